#pragma once

// A model of the registry: what is registered, and which hooks a call runs. It is as simple as
// possible: everything is a vector, each answer is computed from all that is registered, and
// nothing of the library is used.

#include "../plain_order.hpp"
#include "machine.hpp"
#include "program.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace model {

/// The model throws this if the library throws an exception of this type.
struct refusal : std::exception {
    const char* type;
    explicit refusal(const char* name) : type(name) {}
    const char* what() const noexcept override { return type; }
};

/// True if the name matches the pattern. Each '*' stands for any sequence of characters.
inline bool matches(std::string_view pattern, std::string_view name) {
    if (pattern.empty()) return name.empty();
    if (pattern[0] != '*') return !name.empty() && pattern[0] == name[0] && matches(pattern.substr(1), name.substr(1));
    return matches(pattern.substr(1), name) || (!name.empty() && matches(pattern, name.substr(1)));
}

inline bool is_pattern(std::string_view name) { return name.find('*') != std::string_view::npos; }

inline constexpr std::string_view signatures[]{
    "int(int)",
    "std::string(std::string, const ext::kwargs&)",
    "void(int&)",
    "std::optional<int>(int)",
    "tasks::task<int, true>(int)",
    "tasks::task<model::reply, false>(int)",
    "tasks::task<void, true>(int)"};
constexpr std::string_view signature_of(shape of) { return signatures[static_cast<int>(of)]; }

class world : public machine {
public:
    // ---- Records ----------------------------------------------------------------------------------------------------

    struct registry;

    struct plugin {
        std::string name;
        bool isolate, reentrant;  // defaults for its hooks
        std::shared_ptr<registry> home;
        bool enabled = true, unloaded = false;
    };

    struct hook {
        // plain_order uses these.
        std::string id;
        int priority;
        std::vector<std::string> before, after;
        std::uint64_t number;  // the order of registration
        bool replaces, inherits_turn;
        std::string pattern;   // empty for a hook on one function

        const operation* stated;
        phase when;
        std::string name;         // of the function; empty for a hook under a pattern
        std::optional<shape> of;  // empty for a hook of any signature
        bool on_object, awaited, isolate, reentrant, fallback, this_thread;
        int times, begun = 0;  // times = 0: no limit
        std::shared_ptr<plugin> owner;
        std::shared_ptr<registry> home;
        bool enabled = true, registered = false;

        bool runs() const { return enabled && (!owner || owner->enabled); }
        bool concerns(std::string_view function) const {
            return pattern.empty() ? name == function : matches(pattern, function);
        }
        // An awaited hook runs only in awaited calls. A plain around hook does not run in these.
        bool suits(shape function) const {
            return awaited ? is_awaited(function) : when != phase::around || !is_awaited(function);
        }
        bool has_options() const { return isolate || !reentrant || fallback || this_thread || times != 0; }
    };
    using hook_ref = std::shared_ptr<hook>;
    using hooks = std::vector<hook_ref>;

    struct wrapper {
        const operation* stated;
        std::string_view name;
        shape of;
        std::shared_ptr<registry> home;
    };

    struct registry {
        std::uint64_t registrations = 0;
        bool sealed = false, closed = false;
        world::hooks registered;  // for functions and for patterns, the oldest first
        world::hooks handlers, monitors;
        std::vector<const wrapper*> wrapped;
    };

    /// Hooks that must not be destroyed yet, because a running call can still run them; or handlers
    /// that a running report can still call.
    struct holder {
        world& in;
        const std::vector<hooks> turns;  // in each turn the call runs the first hook that it does not skip
        const hooks held = all_of(turns);
        hooks ends{};  // the finishers of these hooks have not ended yet
        const bool is_awaited;
        bool on_this_thread = false;  // in an awaited call: a plain hook runs, or is being reported
        holder(world& model, std::vector<hooks> these, bool awaited = false)
            : in(model), turns(std::move(these)), is_awaited(awaited) {
            in.holders_.push_back(this);
        }
        holder(const holder&) = delete;
        ~holder() { std::erase(in.holders_, this); }

        static hooks all_of(const std::vector<hooks>& turns) {
            hooks all;
            for (const hooks& turn : turns) all.insert(all.end(), turn.begin(), turn.end());
            return all;
        }
    };

    struct on_this_thread {
        holder& call;
        const bool before;
        on_this_thread(holder& of, bool is_here) : call(of), before(std::exchange(of.on_this_thread, is_here)) {}
        on_this_thread(const on_this_thread&) = delete;
        ~on_this_thread() { call.on_this_thread = before; }
    };

    // ---- Registries and wrappers ------------------------------------------------------------------------------------

    void renew_registry() override {
        for (const hook_ref& h : hooks(home_->registered)) take_away(h);
        for (const hook_ref& h : hooks(home_->handlers)) take_away(h);
        for (const hook_ref& h : hooks(home_->monitors)) take_away(h);
        home_->closed = true;
        home_ = std::make_shared<registry>();
    }
    void seal() override { home_->sealed = true; }

    void wrap(const operation& o) override {
        const std::string_view name = function_names[o.name];
        check_name(name);
        for (const wrapper* w : home_->wrapped)
            if (w->name == name && w->of != o.of) throw refusal("signature_mismatch");
        for (const hook_ref& h : home_->registered)
            if (h->concerns(name) && h->of && *h->of != o.of) throw refusal("signature_mismatch");
        wrappers_[index(o.slot)].emplace(wrapper{&o, name, o.of, home_});
        home_->wrapped.push_back(&*wrappers_[index(o.slot)]);
    }
    // With the last wrapper of a name, the hooks are removed that were registered on such wrappers.
    void unwrap(int slot) override {
        const wrapper& leaving = *wrappers_[index(slot)];
        const std::shared_ptr<registry> home = leaving.home;
        std::erase(home->wrapped, &leaving);
        if (!is_wrapped(*home, leaving.name))
            for (const hook_ref& h : hooks(home->registered))
                if (h->on_object && h->name == leaving.name) take_away(h);
        wrappers_[index(slot)].reset();
    }

    // ---- Registering ------------------------------------------------------------------------------------------------

    void add(const operation& o, bool awaited) override {
        const std::shared_ptr<plugin> owner = o.plugin >= 0 ? plugins_[index(o.plugin)] : nullptr;
        if (o.plugin >= 0 && !owner) throw refusal("error");  // the plugin was moved from
        const wrapper* const on = o.where == place::on_object ? &*wrappers_[index(o.slot)] : nullptr;
        const hook_ref added = std::make_shared<hook>();
        added->stated = &o;
        added->when = o.when;
        added->id = ids[o.id];
        added->awaited = awaited;
        added->owner = owner;
        added->home = on ? on->home : owner ? owner->home : home_;
        added->on_object = on != nullptr;
        const std::string_view under = o.where == place::for_any ? patterns[o.name] : "";
        if (is_pattern(under)) added->pattern = under;
        else added->name = on ? on->name : o.where == place::for_any ? under : function_names[o.name];
        if (o.where == place::by_name && !o.takes_any) added->of = o.of;
        if (on && !o.takes_any) added->of = on->of;
        add(added, o);
        handles_[index(o.other)] = added;
    }

    // Errors are checked in this order. If this throws, nothing has been changed.
    void add(const hook_ref& added, const operation& o) {
        registry& home = *added->home;
        check_registration(*added);
        state_options(*added, o);
        if (added->fallback && added->when != phase::start) throw refusal("error");
        if (added->awaited && (!added->reentrant || o.this_thread)) throw refusal("error");
        for (const hook_ref& h : home.registered)
            if (!added->replaces && !h->replaces && is_namesake(*h, *added)) throw refusal("duplicate_hook");
        for (const wrapper* w : home.wrapped)
            if (w->name == added->name && added->of && *added->of != w->of) throw refusal("signature_mismatch");

        hooks after = home.registered;
        after.push_back(added);
        if (added->pattern.empty()) in_order(of_function(after, added->name));
        else check_pattern(home, after, *added);
        home.registered = after;
        ++home.registrations;
        take_in(added);
    }
    static void check_registration(const hook& added) {
        const std::shared_ptr<plugin> owner = added.owner;
        if (added.pattern.empty() && !added.on_object) check_name(added.name);
        if (added.home->closed) throw refusal("error");
        if (added.home->sealed) throw refusal("sealed");
        if (owner && owner->home != added.home) throw refusal("error");
        if (owner && owner->unloaded) throw refusal("error");
    }

    void add_handler(const operation& o) override { add_handler(o, home_->handlers); }
    void add_monitor(const operation& o) override { add_handler(o, home_->monitors); }
    void add_handler(const operation& o, hooks& to) {
        if (home_->sealed) throw refusal("sealed");
        const hook_ref added = std::make_shared<hook>();
        added->stated = &o;
        added->home = home_;
        to.push_back(added);
        take_in(added);
        handles_[index(o.slot)] = added;
    }

    // ---- Handles ----------------------------------------------------------------------------------------------------

    void remove(int handle) override { take_away(handles_[index(handle)]); }
    void remove_and_wait(int handle) override { remove(handle); }
    void set_enabled(int handle, bool enabled) override {
        const hook_ref h = handles_[index(handle)];
        if (h && h->registered) h->enabled = enabled;
    }
    void find_handle(int number, int to) override {
        const hooks all = list().second;
        handles_[index(to)] = all.empty() ? nullptr : all[index(number) % all.size()];
    }
    void copy_handle(int from, int to) override { handles_[index(to)] = handles_[index(from)]; }
    void drop_handle(int handle) override { handles_[index(handle)] = nullptr; }
    void own_handle(int handle, int scope) override {
        take_away(scopes_[index(scope)]);
        scopes_[index(scope)] = handles_[index(handle)];
    }
    void end_scope(int scope) override {
        take_away(scopes_[index(scope)]);
        scopes_[index(scope)] = nullptr;
    }
    void release(int scope, int handle) override {
        handles_[index(handle)] = std::exchange(scopes_[index(scope)], nullptr);
    }

    // ---- Plugins ----------------------------------------------------------------------------------------------------

    bool has_plugin(int slot) override { return has_plugin_[index(slot)]; }
    void make_plugin(int slot, bool isolate, bool reentrant) override {
        plugins_[index(slot)] = std::make_shared<plugin>(plugin{"p" + std::to_string(slot), isolate, reentrant, home_});
        has_plugin_[index(slot)] = true;
    }
    void destroy_plugin(int slot) override {
        unload(slot);
        plugins_[index(slot)] = nullptr;
        has_plugin_[index(slot)] = false;
    }
    void set_plugin_enabled(int slot, bool enabled) override {
        if (!plugins_[index(slot)]) return;  // it was moved from
        if (!plugins_[index(slot)]->unloaded) plugins_[index(slot)]->enabled = enabled;
    }
    void unload(int slot) override {
        const std::shared_ptr<plugin> unloaded = plugins_[index(slot)];
        if (!unloaded) return;
        for (const hook_ref& h : hooks(unloaded->home->registered))
            if (h->owner == unloaded) take_away(h);
        unloaded->unloaded = true;
    }
    bool unload_for_no_time(int slot) override {
        unload(slot);
        return !would_wait_for_plugin(slot);
    }
    void move_plugin(int from, int to) override {
        if (from == to) return;
        unload(to);
        plugins_[index(to)] = std::exchange(plugins_[index(from)], nullptr);
    }

    bool would_wait_for_hook(int handle) override {
        const hook_ref h = handles_[index(handle)];
        return h && any_suspended([&](const hook_ref& held) { return held == h; });
    }
    bool would_wait_for_plugin(int slot) override {
        const std::shared_ptr<plugin> waited = plugins_[index(slot)];
        return waited && any_suspended([&](const hook_ref& held) { return held->owner == waited; });
    }

    // ---- What can be observed ---------------------------------------------------------------------------------------

    std::string functions() override { return list().first; }

    /// Returns the text and the listed hooks, in the order of the text. It lists functions by name,
    /// if they are wrapped or have a hook that waits for them. After these it lists patterns that
    /// match none of them.
    std::pair<std::string, hooks> list() const {
        std::vector<std::string> names;
        for (const wrapper* w : home_->wrapped) names.emplace_back(w->name);
        for (const hook_ref& h : home_->registered)
            if (h->pattern.empty()) names.push_back(h->name);
        std::sort(names.begin(), names.end());
        names.erase(std::unique(names.begin(), names.end()), names.end());
        std::pair<std::string, hooks> listed;
        for (const std::string& name : names) list(listed, name);
        const hooks under_any = in_order(under_patterns(home_->registered));
        for (const hook_ref& h : under_any) {
            if (std::any_of(names.begin(), names.end(), [&](const std::string& name) { return h->concerns(name); }))
                continue;
            write_function(listed.first, h->pattern, "", false);
            list(listed, h, true, running_instead(*h, under_any, std::nullopt));
        }
        return listed;
    }
    void list(std::pair<std::string, hooks>& to, const std::string& name) const {
        const wrapper* wrapped = nullptr;
        for (const wrapper* w : home_->wrapped)
            if (w->name == name) wrapped = w;
        const hooks all = in_order(of_function(home_->registered, name));
        std::string_view signature = wrapped ? signature_of(wrapped->of) : "";
        for (const hook_ref& h : all)
            if (signature.empty() && h->of) signature = signature_of(*h->of);
        write_function(to.first, name, signature, wrapped != nullptr);
        const auto of = wrapped ? std::optional(wrapped->of) : std::nullopt;
        for (const hook_ref& h : all) list(to, h, !of || h->suits(*of), running_instead(*h, all, of));
    }
    void list(std::pair<std::string, hooks>& to, const hook_ref& h, bool suits, const hook_ref& instead) const {
        const std::string owner = h->owner ? h->owner->name : "";
        const std::string other =
            !instead ? "" : instead->owner ? instead->id + " of " + instead->owner->name : instead->id;
        const auto handle = static_cast<std::size_t>(std::find(handles_.begin(), handles_.end(), h) - handles_.begin());
        write_hook(to.first, {h->when, h->id, owner, h->pattern, other, h->priority, h->runs(), suits, handle});
        to.second.push_back(h);
    }

    std::string active() override {
        std::string text = " active ";
        for (const hook_ref& h : handles_) text += h && h->registered && h->runs() ? '1' : '0';
        return text;
    }

    /// The captures of a hook live while the hook is registered, and while a call runs that began
    /// with the hook. The captures of a finisher live until the finisher has run.
    std::string alive() override {
        std::vector<int> labels;
        for (const hook_ref& h : all_) {
            bool is_held = h->registered;
            for (const holder* each : holders_) is_held |= std::count(each->held.begin(), each->held.end(), h) != 0;
            if (is_held) labels.push_back(h->stated->label);
        }
        for (const holder* each : holders_)
            for (const hook_ref& h : each->ends) labels.push_back(h->stated->label);
        std::sort(labels.begin(), labels.end());
        std::string text = " alive";
        for (const int label : labels) (text += " ") += std::to_string(label);
        return text;
    }

protected:
    // ---- Which hooks, in which order --------------------------------------------------------------------------------

    static hooks of_function(const hooks& all, std::string_view name) {
        hooks some;
        for (const hook_ref& h : all)
            if (h->concerns(name)) some.push_back(h);
        return some;
    }
    static hooks under_patterns(const hooks& all) {
        hooks some;
        for (const hook_ref& h : all)
            if (!h->pattern.empty()) some.push_back(h);
        return some;
    }
    /// Phase by phase.
    static hooks in_order(const hooks& all) {
        hooks ordered;
        for (const phase when : {phase::start, phase::around, phase::end}) {
            std::vector<hook*> part;
            for (const hook_ref& h : all)
                if (h->when == when) part.push_back(h.get());
            try {
                part = plain_order(part);
            } catch (const plain_order_cycle&) {
                throw refusal("order_cycle");
            }
            for (const hook* h : part)
                for (const hook_ref& other : all)
                    if (other.get() == h) ordered.push_back(other);
        }
        return ordered;
    }
    /// The turns of a call that begins now. Each turn has the hook that runs, and after it the
    /// hooks that run if the call skips the hooks before them.
    static std::vector<hooks> running_turns(const wrapper& called) {
        const hooks all = in_order(of_function(called.home->registered, called.name));
        std::vector<hooks> running;
        for (const hook_ref& h : all) {
            if (!h->runs() || !h->suits(called.of) || running_instead(*h, all, called.of)) continue;
            running.push_back({h});
            if (!h->has_options() && called.home->monitors.empty()) continue;  // it is never skipped
            while (const hook_ref other = replaced_by(*running.back().back(), all, called.of))
                running.back().push_back(other);
        }
        return running;
    }
    /// The hook of the function that a call runs if it skips `h`: of the hooks that `h` replaces,
    /// the newest that could run.
    static hook_ref replaced_by(const hook& h, const hooks& all, shape of) {
        const auto age = [](const hook& any) { return std::pair(any.replaces, any.number); };  // `replace` is newer
        hook_ref newest;
        for (const hook_ref& other : all)
            if (is_namesake(*other, h) && age(*other) < age(h) && other->runs() && other->suits(of))
                if (!newest || age(*newest) < age(*other)) newest = other;
        return newest;
    }
    /// The hook of the function that runs in place of `h`: the last registered hook with `replace`
    /// that could run.
    static hook_ref running_instead(const hook& h, const hooks& all, std::optional<shape> of) {
        hook_ref last;
        for (const hook_ref& other : all) {
            const bool may_replace =
                other->replaces && is_namesake(*other, h) && (!h.replaces || other->number > h.number);
            if (!may_replace || !other->runs() || (of && !other->suits(*of))) continue;
            if (!last || other->number > last->number) last = other;
        }
        return last;
    }
    /// True if two hooks have the same id and phase, and the same function or pattern.
    static bool is_namesake(const hook& one, const hook& other) {
        const bool same_place = one.name == other.name && one.pattern == other.pattern;
        return !one.id.empty() && one.id == other.id && one.when == other.when && same_place;
    }

    static void check_name(std::string_view name) {
        if (name.empty() || is_pattern(name)) throw refusal("error");
    }
    static bool is_wrapped(const registry& home, std::string_view name) {
        return std::any_of(home.wrapped.begin(), home.wrapped.end(), [&](const wrapper* w) { return w->name == name; });
    }
    static bool is_known(const registry& home, std::string_view name) {
        if (is_wrapped(home, name)) return true;
        return std::any_of(home.registered.begin(), home.registered.end(),
                           [&](const hook_ref& h) { return h->pattern.empty() && h->name == name; });
    }

    static void state_options(hook& added, const operation& o) {
        for (std::size_t i = 0; i < std::size(ids); ++i) {
            if (o.before >> i & 1) added.before.emplace_back(ids[i]);
            if (o.after >> i & 1) added.after.emplace_back(ids[i]);
        }
        added.priority = o.priority.value_or(0);
        added.number = added.home->registrations + 1;
        added.replaces = o.replaces && !added.id.empty();
        added.inherits_turn = added.replaces && !o.priority && added.before.empty() && added.after.empty();
        added.isolate = o.isolate.value_or(added.owner && added.owner->isolate);
        added.reentrant = o.reentrant.value_or(!added.owner || added.owner->reentrant);
        added.times = o.times;
        added.fallback = o.fallback;
        added.this_thread = o.this_thread;
    }

    // There must be an order of all hooks under patterns, and then one of all hooks of each
    // function that the new pattern matches.
    static void check_pattern(const registry& home, const hooks& after, const hook& added) {
        in_order(under_patterns(after));
        for (const std::string_view name : function_names)
            if (is_known(home, name) && added.concerns(name)) in_order(of_function(after, name));
    }

    void take_in(const hook_ref& added) {
        added->registered = true;
        all_.push_back(added);
    }
    static void take_away(const hook_ref& leaving) {
        if (!leaving || !leaving->registered) return;
        const hook_ref kept = leaving;
        kept->registered = false;
        std::erase(kept->home->registered, kept);
        std::erase(kept->home->handlers, kept);
        std::erase(kept->home->monitors, kept);
    }

    /// Counts a run. False if the hook has already had all its runs. The last run removes the hook.
    static bool counts_and_begins(const hook_ref& h) {
        if (h->times == 0) return true;
        if (++h->begun == h->times) take_away(h);
        return h->begun <= h->times;
    }

    // True if a suspended call can still run a hook for which `concerned` is true.
    template <class Predicate>
    bool any_suspended(Predicate concerned) const {
        for (const holder* each : holders_) {
            if (!each->is_awaited || each->on_this_thread) continue;
            if (std::any_of(each->held.begin(), each->held.end(), concerned)) return true;
        }
        return false;
    }

    static std::size_t index(int slot) { return static_cast<std::size_t>(slot); }

    std::shared_ptr<registry> home_ = std::make_shared<registry>();
    std::array<std::optional<wrapper>, model::wrappers> wrappers_;
    std::array<hook_ref, model::handles> handles_;
    std::array<hook_ref, model::scopes> scopes_;
    std::array<std::shared_ptr<plugin>, model::plugins> plugins_;  // null if it was moved from
    std::array<bool, model::plugins> has_plugin_{};
    hooks all_;  // all that were ever registered
    std::vector<holder*> holders_;
};

}  // namespace model
