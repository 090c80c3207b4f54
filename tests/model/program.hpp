#pragma once

// A program of operations: its parts, how bytes are decoded to a program, and how it is printed.

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace model {

enum class phase { start, around, end };

/// The signatures of the wrapped functions: int(int), std::string(std::string, const ext::kwargs&),
/// void(int&), std::optional<int>(int), and three awaited ones: lazy<int>(int), eager<reply>(int)
/// and lazy<void>(int). A reply can denote a failed call. Everywhere else in the model, arguments
/// and results are numbers.
enum class shape { number, text, change, maybe, later, now, silent };
inline constexpr int shapes = 7;

constexpr bool is_awaited(shape of) { return of >= shape::later; }
constexpr bool is_void(shape of) { return of == shape::change || of == shape::silent; }

enum class action {
    // Operations on a registry and its contents.
    renew_registry,  // destroys the registry, and creates a new one
    seal,
    wrap,
    unwrap,
    add,
    add_handler,
    add_monitor,
    remove,
    remove_and_wait,
    enable,
    disable,
    find_handle,
    copy_handle,
    drop_handle,
    own_handle,  // a scoped hook takes the handle
    end_scope,
    release,
    make_plugin,
    destroy_plugin,
    enable_plugin,
    disable_plugin,
    unload,
    unload_for,
    move_plugin,

    // Calls. An awaited call is kept. It can be suspended and resumed, or destroyed before it ends.
    call,
    begin_kept,
    go_on_suspended,
    drop_kept,

    // In a hook or a function: operations on its call.
    set_argument,
    set_result,
    take_result,
    set_no_number,     // the empty std::optional
    set_other_result,  // of a type that no function has
    set_exception,
    clear_exception,
    throw_new,
    throw_again,  // the exception of the call
    set_kwarg,
    set_text_kwarg,
    erase_kwarg,
    read_kwarg,
    look,
    proceed,
    suspend,     // only if it is awaited
    await_call,  // only if it is awaited
};

inline constexpr std::string_view action_names[]{
    "renew_registry",  "seal",            "wrap",            "unwrap",          "add",             "add_handler",
    "add_monitor",     "remove",          "remove_and_wait", "enable",          "disable",         "find_handle",
    "copy_handle",     "drop_handle",     "own_handle",      "end_scope",       "release",         "make_plugin",
    "destroy_plugin",  "enable_plugin",   "disable_plugin",  "unload",          "unload_for",      "move_plugin"};
static_assert(std::size(action_names) == static_cast<std::size_t>(action::call));

enum class place { on_object, by_name, for_any };

inline constexpr int wrappers = 4, handles = 6, scopes = 2, plugins = 3, kept_calls = 3;
inline constexpr int good_names = 8;  // the names after these are invalid
inline constexpr std::string_view function_names[]{"a", "ab", "b", "c", "ba", "d", "cb", "ac", "", "a*"};
inline constexpr shape usual_shapes[]{shape::number, shape::number, shape::later,  shape::text,   shape::change,
                                      shape::now,    shape::maybe,  shape::silent, shape::number, shape::number};
inline constexpr std::string_view patterns[]{"*", "a*", "*b", "ab", "e*", ""};
inline constexpr std::string_view ids[]{"", "x", "y", "z"};
inline constexpr std::string_view kwarg_names[]{"k", "m"};

/// One operation. `what` decides which of the other fields are used.
struct operation {
    action what{};
    int slot = 0;   // of a wrapper, a handle, a scope, a plugin or a kept call
    int other = 0;  // a second slot
    int value = 0;  // an argument or result, or the number of an exception
    bool flag = false;
    bool flag_too = false;

    // For operations that wrap a function or register a hook.
    int label = 0;  // identifies hooks and functions in the trace
    shape of{};
    int name = 0;  // index in function_names or patterns
    place where{};
    phase when{};
    bool takes_any = false;  // a hook on the object or by name takes an ext::any_call
    bool awaited = false;    // if the function is awaited
    int plugin = -1;         // its slot, -1 without a plugin
    int id = 0;
    std::optional<int> priority{};
    unsigned before = 0, after = 0;  // a bit for each of `ids`
    bool replaces = false, this_thread = false, fallback = false;
    std::optional<bool> isolate{}, reentrant{};
    int times = 0;
    bool returns_end = false;  // only a start hook that is not awaited

    // The scripts of the hook or function, and of the finisher that the hook returns. The finisher
    // is empty for an ext::any_call with an odd argument.
    std::vector<operation> does{}, at_end{};
};

using script = std::vector<operation>;

/// Makes a program from bytes. Every sequence of bytes is valid.
script decode(std::span<const std::uint8_t> bytes);

/// Prints one operation per line.
std::string text_of(const script& program);

// ---- Decoding -------------------------------------------------------------------------------------------------------

class decoder {
public:
    explicit decoder(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

    script program() {
        likes_ = below(8);
        liked_name_ = below(4);
        liked_phase_ = static_cast<phase>(below(3));
        script made;
        for (int slot = 0; slot < wrappers; ++slot) {
            made.push_back(wrapping(0));
            made.back().slot = slot;
        }
        for (int slot = 0; slot < 2; ++slot) {
            operation plugin;
            plugin.what = action::make_plugin;
            plugin.slot = slot;
            plugin.flag = one_in(6);
            plugin.flag_too = one_in(6);
            made.push_back(std::move(plugin));
        }
        for (int i = 0; i < 3; ++i) made.push_back(registration(0));
        while (!bytes_.empty()) made.push_back(world_operation(0));
        return made;
    }

private:
    // An action, and how often it is chosen from its table.
    struct weighted {
        action what;
        int weight;
    };

    int below(int limit) {
        if (bytes_.empty()) return 0;
        const int byte = bytes_.front();
        bytes_ = bytes_.subspan(1);
        return byte % limit;
    }
    bool one_in(int n) { return below(n) == n - 1; }  // false if no bytes are left

    action choose(std::span<const weighted> table) {
        int sum = 0;
        for (const weighted& entry : table) sum += entry.weight;
        int left = below(sum);
        for (const weighted& entry : table)
            if ((left -= entry.weight) < 0) return entry.what;
        return table.front().what;
    }

    operation world_operation(int depth) {
        using enum action;
        static constexpr weighted table[]{
            {call, 54},           {add, 60},           {wrap, 10},         {add_handler, 6},      {remove, 8},
            {remove_and_wait, 6}, {enable, 8},         {disable, 8},       {copy_handle, 1},      {drop_handle, 1},
            {add_monitor, 6},     {find_handle, 4},    {own_handle, 3},    {end_scope, 3},        {release, 2},
            {make_plugin, 8},     {destroy_plugin, 3}, {enable_plugin, 4}, {disable_plugin, 4},   {unload, 3},
            {unload_for, 2},      {move_plugin, 2},    {begin_kept, 8},    {go_on_suspended, 12}, {drop_kept, 6},
            {unwrap, 6},          {renew_registry, 1}, {seal, 1}};
        operation made;
        made.what = choose(table);
        if (made.what == wrap) return wrapping(depth);
        if (made.what == add) return registration(depth);
        made.slot = below(slots_of(made.what));
        if (made.what == make_plugin) made.slot = made.slot % 4 % plugins;
        const bool is_handler = made.what == add_handler || made.what == add_monitor;
        if (is_handler) made.label = ++labels_, made.does = steps_of_handler(depth);
        else if (made.what == make_plugin) made.flag = one_in(4), made.flag_too = one_in(4);
        else if (made.what == call) finish_call(made);
        else if (uses_two_slots(made.what)) made.other = below(made.what == move_plugin ? plugins : handles);
        else if (made.what == find_handle) made.value = below(8);
        return made;
    }

    static int slots_of(action what) {
        using enum action;
        switch (what) {
        case unwrap: case call: case await_call: return wrappers;
        case end_scope: case own_handle: case release: return scopes;
        case make_plugin: return 4;
        case destroy_plugin: case enable_plugin: case disable_plugin: case unload: case unload_for:
        case move_plugin: return plugins;
        case begin_kept: case drop_kept: return kept_calls;
        case go_on_suspended: return 4;
        default: return handles;
        }
    }
    static bool uses_two_slots(action what) {
        using enum action;
        return what == copy_handle || what == own_handle || what == release || what == move_plugin;
    }
    // Decodes the slot for an awaited call, the argument, and how the arguments are passed.
    void finish_call(operation& made) {
        const int how = below(kept_calls * 10 * 4 * 2);
        made.other = how % kept_calls;
        made.value = how / kept_calls % 10;
        made.flag = how / kept_calls / 10 % 4 != 0;          // see text_of_step()
        made.flag_too = how / kept_calls / 10 / 4 % 2 != 0;  // with a named argument
    }

    // A name mostly has the same shape.
    operation wrapping(int depth) {
        operation made;
        made.what = action::wrap;
        made.slot = below(wrappers);
        name_function(made);
        made.label = ++labels_;
        made.value = 10 * below(5);
        if (one_in(is_awaited(made.of) ? 2 : 3)) made.does = steps(depth, is_awaited(made.of), false);
        return made;
    }
    void name_function(operation& made) {
        static constexpr int often[]{0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 5, 6, 7};
        made.name = one_in(24) ? good_names + below(2) : likes(name) ? liked_name_ : often[below(14)];
        made.of = one_in(8) ? static_cast<shape>(below(shapes)) : usual_shapes[made.name];
    }

    operation registration(int depth) {
        operation made;
        made.what = action::add;
        made.label = ++labels_;
        const int how = below(240);
        made.where = static_cast<place>(how % 3);
        made.when = likes(one_phase) ? liked_phase_ : static_cast<phase>(how / 3 % 3);
        made.takes_any = how / 9 % 4 == 3;
        made.awaited = how / 36 % 3 == 2;
        const int which = below(24 * 8);
        made.slot = which % wrappers;
        made.other = which / wrappers % handles;
        made.plugin = which / 24 < 2 ? 0 : which / 24 == 2 ? 1 : -1;
        name_function(made);
        if (made.where == place::for_any) made.name = one_in(24) ? 5 : below(5);
        state_options(made);
        const bool may_be_awaited = made.where == place::on_object || made.awaited || is_awaited(made.of);
        made.does = steps(depth, may_be_awaited, made.when == phase::around);
        made.returns_end = made.when == phase::start && one_in(3);
        if (made.returns_end) made.at_end = steps(depth, false, false);
        return made;
    }
    void state_options(operation& made) {
        const int has = below(256) | (likes(order) ? 1 + 2 + 8 + 32 : 0);
        if (has & 1) made.id = 1 + below(3);
        if ((has & 6) == 6) made.priority = below(4) - 1;
        if ((has & 24) == 24) made.before = some_ids();
        if ((has & 96) == 96) made.after = some_ids();
        if ((has & 128) == 0) return;
        const int rest = below(27 * 9);
        made.replaces = rest % 3 == 2 && made.id != 0;
        if (rest / 3 % 3 != 0) made.isolate = rest / 3 % 3 == 1;
        if (rest / 9 % 3 != 0) made.reentrant = rest / 9 % 3 == 2 || (made.awaited && !one_in(8));
        if (rest / 27 < 3) made.times = 1 + rest / 27 % 2;
        made.this_thread = rest / 27 == 4 && (!made.awaited || one_in(8));
        made.fallback = rest / 27 >= 7 && (made.when == phase::start || one_in(8));
    }
    unsigned some_ids() {
        const int which = below(16);
        return which < 12 ? 2U << which % 3 : static_cast<unsigned>(below(16));
    }

    // The script of a hook or function.
    script steps(int depth, bool can_suspend, bool can_proceed) {
        static constexpr int counts[]{0, 1, 1, 1, 2, 2, 3, 4};
        script made;
        for (int left = counts[below(8)]; left > 0; --left) made.push_back(step(depth, can_suspend, can_proceed));
        if (can_proceed && !one_in(4)) {
            operation goes_on;
            goes_on.what = action::proceed;
            made.insert(made.begin() + below(static_cast<int>(made.size()) + 1), goes_on);
        }
        return made;
    }
    // A handler or monitor cannot change a call.
    script steps_of_handler(int depth) {
        script made;
        for (int left = 1 + below(2); left > 0 && depth < 2; --left) made.push_back(world_operation(depth + 1));
        if (!one_in(4)) return made;
        made.emplace_back();
        made.back().what = action::throw_new;
        made.back().value = below(10);
        return made;
    }
    operation step(int depth, bool can_suspend, bool can_proceed) {
        using enum action;
        if (depth < 2 && one_in(5)) return world_operation(depth + 1);
        static constexpr weighted table[]{
            {set_argument, 6},   {set_result, 8},      {take_result, 5}, {set_other_result, 1}, {set_no_number, 2},
            {set_exception, 4},  {clear_exception, 6}, {throw_new, 9},   {throw_again, 3},      {set_kwarg, 3},
            {set_text_kwarg, 1}, {erase_kwarg, 2},     {read_kwarg, 2},  {look, 1},             {call, 8},
            {proceed, 4},        {suspend, 12},        {await_call, 8}};
        const std::span all(table);
        operation made;
        made.what = choose(can_suspend ? all : can_proceed ? all.first(all.size() - 2) : all.first(all.size() - 3));
        if (made.what == call || made.what == await_call) {
            made.slot = below(wrappers);
            finish_call(made);
        } else {
            const int value = below(10);
            made.value = value;
            made.slot = value % 2;  // of a named argument
        }
        return made;
    }

    // What a program prefers: one function, one phase, or hooks with constraints on their order.
    enum liking { name = 1, one_phase = 2, order = 4 };
    bool likes(liking what) { return (likes_ & what) && !one_in(4); }

    std::span<const std::uint8_t> bytes_;
    int labels_ = 0;
    int likes_ = 0, liked_name_ = 0;
    phase liked_phase_{};
};

inline script decode(std::span<const std::uint8_t> bytes) { return decoder(bytes).program(); }

// ---- As text --------------------------------------------------------------------------------------------------------

inline constexpr std::string_view phase_names[]{"start", "around", "end"};
inline constexpr std::string_view shape_names[]{"number", "text", "change", "maybe", "later", "now", "silent"};

constexpr std::string_view name_of(phase when) { return phase_names[static_cast<int>(when)]; }
constexpr std::string_view name_of(shape of) { return shape_names[static_cast<int>(of)]; }

inline std::string quoted(std::string_view text) { return "'" + std::string(text) + "'"; }

inline std::string names_in(unsigned bits) {
    std::string text;
    for (std::size_t i = 0; i < std::size(ids); ++i)
        if (bits >> i & 1) text += (text.empty() ? "" : ", ") + quoted(ids[i]);
    return "{" + text + "}";
}

inline std::string options_of(const operation& o) {
    std::string text;
    if (o.id != 0) text += ", id " + quoted(ids[o.id]);
    if (o.priority) text += ", priority " + std::to_string(*o.priority);
    if (o.before) text += ", before " + names_in(o.before);
    if (o.after) text += ", after " + names_in(o.after);
    if (o.replaces) text += ", replace";
    if (o.fallback) text += ", fallback";
    if (o.isolate) text += *o.isolate ? ", isolate" : ", isolate = false";
    if (o.reentrant) text += *o.reentrant ? ", reentrant" : ", reentrant = false";
    if (o.this_thread) text += ", this thread";
    if (o.times != 0) text += ", times " + std::to_string(o.times);
    return text;
}

inline std::string text_of_registration(const operation& o) {
    std::string text = "handle " + std::to_string(o.other) + " = ";
    if (o.plugin >= 0) text += "plugin " + std::to_string(o.plugin) + ": ";
    text +=
        std::string(o.awaited ? "awaited " : "") + std::string(name_of(o.when)) + " hook " + std::to_string(o.label);
    if (o.where == place::on_object) text += " on wrapper " + std::to_string(o.slot);
    if (o.where == place::by_name) text += " for " + std::string(name_of(o.of)) + " " + quoted(function_names[o.name]);
    if (o.where != place::for_any && o.takes_any) text += " as any_call";
    if (o.where == place::for_any) text += " for any " + quoted(patterns[o.name]);
    return text + options_of(o);
}

inline std::string text_of_world_operation(const operation& o) {
    const std::string slot = std::to_string(o.slot), other = std::to_string(o.other), value = std::to_string(o.value);
    switch (o.what) {
    case action::renew_registry: return "destroy the registry, and create a new one";
    case action::seal: return "seal";
    case action::wrap:
        return "wrapper " + slot + " = function " + std::to_string(o.label) + ", " + std::string(name_of(o.of)) + " " +
               quoted(function_names[o.name]) + ", adds " + value;
    case action::unwrap: return "destroy wrapper " + slot;
    case action::add: return text_of_registration(o);
    case action::add_handler: return "handle " + slot + " = error handler " + std::to_string(o.label);
    case action::add_monitor: return "handle " + slot + " = monitor " + std::to_string(o.label);
    case action::remove: return "remove by handle " + slot;
    case action::remove_and_wait: return "remove by handle " + slot + ", and wait";
    case action::enable: return "enable by handle " + slot;
    case action::disable: return "disable by handle " + slot;
    case action::find_handle: return "handle " + slot + " = handle of hook number " + value;
    case action::copy_handle: return "handle " + slot + " = handle " + other;
    case action::drop_handle: return "drop handle " + slot;
    case action::own_handle: return "scope " + slot + " owns handle " + other;
    case action::end_scope: return "scope " + slot + " ends";
    case action::release: return "handle " + other + " = scope " + slot + " released";
    case action::make_plugin:
        return "plugin " + slot + " created" + (o.flag ? ", isolate" : "") + (o.flag_too ? ", reentrant = false" : "");
    case action::unload_for: return "unload plugin " + slot + " for no time";
    case action::move_plugin: return "plugin " + other + " = std::move(plugin " + slot + ")";
    default: return std::string(action_names[static_cast<std::size_t>(o.what)]) + " " + slot;
    }
}

inline std::string text_of_step(const operation& o) {
    const std::string slot = std::to_string(o.slot), value = std::to_string(o.value);
    const std::string arguments = "(" + value + (o.flag_too ? ", k = 9)" : ")"), kwarg(kwarg_names[o.slot % 2]);
    switch (o.what) {
    case action::call:
        return "call wrapper " + slot + arguments + ", if awaited keep it as " + std::to_string(o.other) +
               (o.flag ? " and begin it" : ", else let its exception through");
    case action::begin_kept: return "begin kept call " + slot;
    case action::go_on_suspended: return "resume suspended coroutine " + slot;
    case action::drop_kept: return "destroy kept call " + slot;
    case action::set_argument: return "argument = " + value;
    case action::set_result: return "result = " + value;
    case action::take_result: return "remove the result";
    case action::set_no_number: return "result = std::nullopt";
    case action::set_other_result: return "result = something of another type";
    case action::set_exception: return "exception = t" + value;
    case action::clear_exception: return "exception = none";
    case action::throw_new: return "throw t" + value;
    case action::throw_again: return "throw the exception of the call, if any";
    case action::set_kwarg: return "kwarg " + kwarg + " = " + value;
    case action::set_text_kwarg: return "kwarg " + kwarg + " = a text";
    case action::erase_kwarg: return "erase kwarg " + kwarg;
    case action::read_kwarg: return "read kwarg " + kwarg + " as a number";
    case action::proceed: return "proceed";
    case action::suspend: return "suspend";
    case action::await_call: return "await call of wrapper " + slot + arguments;
    default: return "look";
    }
}

inline void write(std::string& text, const script& program, int indent) {
    for (const operation& o : program) {
        text += std::string(static_cast<std::size_t>(indent), ' ');
        text += (o.what < action::call ? text_of_world_operation(o) : text_of_step(o)) + "\n";
        write(text, o.does, indent + 4);
        if (o.returns_end) text += std::string(static_cast<std::size_t>(indent + 2), ' ') + "and its finisher\n";
        write(text, o.at_end, indent + 4);
    }
}

inline std::string text_of(const script& program) {
    std::string text;
    write(text, program, 0);
    return text;
}

}  // namespace model
