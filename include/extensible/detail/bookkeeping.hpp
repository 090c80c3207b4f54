#pragma once

// How do wrappers and hooks come together? Everything that changes a registry: each change happens whole or not at all, and in
// one step for the calls that begin afterwards.

#include <extensible/detail/config.hpp>
#include <extensible/detail/hazard.hpp>
#include <extensible/detail/order.hpp>
#include <extensible/detail/records.hpp>
#include <extensible/detail/system.hpp>
#include <extensible/error.hpp>
#include <extensible/options.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ext::inline EXTENSIBLE_ABI::detail {

/// A registry that is locked, which everything that follows needs. Calls are not kept from running meanwhile. When it is unlocked
/// what nobody uses any more is destroyed, foreign code included.
class locked_registry {
public:
    /// May throw incompatible_module; and std::bad_alloc, when it is locked for the first time.
    EXTENSIBLE_FUNCTION explicit locked_registry(registry_record& registry);
    locked_registry(const locked_registry&) = delete;
    locked_registry& operator=(const locked_registry&) = delete;
    EXTENSIBLE_FUNCTION ~locked_registry();

    /// A wrapper of `name` appears at `place`. The hooks that wait for it are attached.
    EXTENSIBLE_FUNCTION void attach(site& place, std::string_view name, const function_type& type);

    /// The wrapper goes. The hooks that were registered on the function itself go with its last wrapper.
    EXTENSIBLE_FUNCTION void detach(site& place);

    /// Registers `hook` on a wrapped function; by name, which may not be wrapped yet; under a pattern; for errors.
    EXTENSIBLE_FUNCTION void add(const site& place, hook_record& hook, const hook_options& options);
    EXTENSIBLE_FUNCTION void add(std::string_view name, hook_record& hook, const hook_options& options);
    EXTENSIBLE_FUNCTION void add_pattern(std::string_view pattern, hook_record& hook, const hook_options& options);
    EXTENSIBLE_FUNCTION void add_error_handler(hook_record& hook);
    EXTENSIBLE_FUNCTION void add_monitor(hook_record& hook);

    /// Removes the hooks of the group, which can register no more.
    EXTENSIBLE_FUNCTION void remove(hook_group& group);
    EXTENSIBLE_FUNCTION void set_enabled(hook_group& group, bool enabled);

    /// The predecessor's hooks are removed, and the successor's, which are disabled, are enabled if those were, in one step: no call
    /// runs hooks of both, or of neither.
    EXTENSIBLE_FUNCTION void hand_over(plugin_record& predecessor, plugin_record& successor);

    /// The ext::registry goes: its hooks are removed, its functions go on without.
    EXTENSIBLE_FUNCTION void close();

    registry_record* operator->() const noexcept { return registry_.get(); }

private:
    EXTENSIBLE_FUNCTION void check_registration(std::string_view function, const hook_record& hook) const;
    EXTENSIBLE_FUNCTION std::size_t place_of(std::string_view name) const noexcept;
    EXTENSIBLE_FUNCTION ref<function_record> find_or_make(std::string_view name);
    EXTENSIBLE_FUNCTION void forget_if_unused(function_record& function) noexcept;
    EXTENSIBLE_FUNCTION void add(function_record& function, hook_record& hook, const hook_options& options);
    EXTENSIBLE_FUNCTION void add_handler(site& place, std::string_view name, hook_record& hook);
    EXTENSIBLE_FUNCTION void prepare(std::string_view where, const hook_sequence& hooks, hook_record& hook,
                                     const hook_options& options) const;

    // Which hooks are meant: those of a group; without one those that were registered on an object, or all.
    struct selection {
        const hook_group* group;
        bool all;
        bool has(const hook_record& hook) const noexcept { return group ? group->has(hook) : all || hook.on_object; }
        hook_record* only_hook() const noexcept { return group ? group->only_hook : nullptr; }
    };
    EXTENSIBLE_FUNCTION static bool any_in(const hook_sequence& hooks, const selection& selected) noexcept;
    EXTENSIBLE_FUNCTION static bool concerns(const function_record& function, const selection& selected) noexcept;
    EXTENSIBLE_FUNCTION static hook_sequence::edit without(std::string_view where, hook_sequence& hooks, const selection& leaving);
    EXTENSIBLE_FUNCTION void remove(const selection& leaving, function_record* from, const hook_group* coming = nullptr);

    const ref<registry_record> registry_;
    struct reclaim_at_end {
        hazard_domain& domain;
        ~reclaim_at_end() { domain.reclaim(); }
    } reclaim_;
    mutex_lock lock_;
};

// What handles do with their hook, or a plugin with its hooks. Null: nothing. A copy of `group` is held meanwhile, because what the
// hooks captured may own the handle.
template <class Group>
void remove(ref<Group> group) {  // NOLINT(performance-unnecessary-value-param)
    if (group) locked_registry(*group->registry).remove(*group);
}

template <class Group>
void set_enabled(const ref<Group>& group, bool enabled) {
    if (group) locked_registry(*group->registry).set_enabled(*group, enabled);
}

/// Gives up at `until`, if that is not null; tells whether it did not have to.
template <class Group>
bool remove_and_wait(ref<Group> group,  // NOLINT(performance-unnecessary-value-param)
                     const time_point* until = nullptr) {
    if (!group) return true;
    remove(group);
    return group->registry->domain->wait_until_unused(*group, until);
}

inline bool is_active(const ref<hook_record>& hook) {
    if (!hook) return false;
    const locked_registry registry(*hook->registry);
    return hook->registered && hook->runs();
}

/// Whether the hook can run in the function's calls: one that is awaited only in calls that are awaited in the same way, and a
/// plain one not around them. Hooks for any function may be under a pattern that matches others too.
EXTENSIBLE_FUNCTION bool suits(const hook_record& hook, const function_type* function) noexcept;

/// The hook of the function's that runs in place of this one, see hook_options::replace; null where none does.
EXTENSIBLE_FUNCTION const hook_record* running_instead(const hook_record& hook, const function_record& function,
                                                       const hook_sequence& hooks);

// ---- The stamp ------------------------------------------------------------------------------------------------------

constexpr void write_number(char*& at, std::size_t number) noexcept {
    if (number >= 10) write_number(at, number / 10);
    *at++ = static_cast<char>('0' + number % 10);
}

EXTENSIBLE_HIDDEN constexpr stamp make_stamp() noexcept {
    stamp made{};
    char* at = made.text;
    const auto write = [&at](std::string_view part) {
        for (const char c : part) *at++ = c;
    };
    write("extensible with layout " EXTENSIBLE_TEXT(EXTENSIBLE_ABI) ", " EXTENSIBLE_STANDARD_LIBRARY ", sizes");
    for (const std::size_t size : {sizeof(std::string), sizeof(std::vector<int>), sizeof(std::exception_ptr), sizeof(mutex),
                                   sizeof(registry_record), sizeof(registry_contents), sizeof(function_record),
                                   sizeof(hook_sequence), sizeof(plugin_record), sizeof(hook_record), sizeof(type_identity),
                                   sizeof(site), sizeof(hook_list), sizeof(hook_entry), sizeof(change_step),
                                   sizeof(hazard_domain), sizeof(thread_hazards), sizeof(hazard_slot), sizeof(hook_error)}) {
        write(" ");
        write_number(at, size);
    }
    write("; version ");  // which may differ
    write(version);
    return made;
}

/// Throws incompatible_module unless `other` is the stamp of a module that was compiled as this one was. The text begins with
/// `where`, and names both sides: this module, and `whose`.
EXTENSIBLE_FUNCTION void check_stamp(const stamp& other, std::string_view where, std::string_view whose);

EXTENSIBLE_HIDDEN constexpr registry_record::registry_record(hazard_domain& shared, std::size_t initial_references) noexcept
    : stamp(make_stamp()), counted(initial_references), domain(&shared) {
    errors.registry = monitors.registry = this;
}

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

EXTENSIBLE_FUNCTION void check_stamp(const stamp& other, std::string_view where, std::string_view whose) {
    static constexpr stamp own = make_stamp();
    const std::string_view mine = own.text;
    std::string_view its(other.text, sizeof other.text);
    its = its.substr(0, its.find('\0'));
    if (mine.substr(0, mine.find(';')) == its.substr(0, its.find(';'))) return;
    raise<incompatible_module>(
        join({where, ": this module was compiled with ", mine, "; ", whose, " with ", its, "; compile both alike"}));
}

EXTENSIBLE_FUNCTION registry_record& registry_record::checked() {
    check_stamp(*this, "ext", "the module of the registry");
    return *this;
}

// Whether it runs in the function's calls, if no other runs in its place.
EXTENSIBLE_FUNCTION bool runs_in(const hook_record& hook, const function_record& function) noexcept {
    return hook.runs() && (!function.sites || suits(hook, function.sites->type));
}

EXTENSIBLE_FUNCTION const hook_record* running_instead(const hook_record& hook, const function_record& function,
                                                       const hook_sequence& hooks) {
    return hooks.find_replacing(hook, [&](const hook_record& other) { return runs_in(other, function); });
}

EXTENSIBLE_FUNCTION bool suits(const hook_record& hook, const function_type* function) noexcept {
    const type_identity* const stage = function ? function->stage : nullptr;
    if (hook.stage) return stage && *hook.stage == *stage;
    return hook.when != phase::around || !stage;
}

/// A change that is being prepared: which hooks come and go, and what the functions concerned run from then on. The registry is
/// locked all the while. Everything that may throw does so before or in make(), and leaves everything as it was.
class change {
public:
    explicit change(registry_record& registry) noexcept : registry_(registry), watched_(registry.watched) {}
    change(const change&) = delete;
    change& operator=(const change&) = delete;
    EXTENSIBLE_FUNCTION ~change();

    /// The hook, one at most, is registered from then on; or no more. The functions that it concerns are told apart from this.
    void add(hook_record& hook) noexcept { added_ = &hook; }
    EXTENSIBLE_FUNCTION void remove(hook_record& hook);

    /// The function's hooks change in this way.
    EXTENSIBLE_FUNCTION void edit(function_record& function, hook_sequence::edit planned);

    /// The function's hooks stay, but some run no more, or run again; or its wrappers have changed.
    EXTENSIBLE_FUNCTION void refresh(function_record& function);

    /// From then on all functions are watched by monitors; or no more.
    EXTENSIBLE_FUNCTION void watch(bool watched);

    /// Makes the change, for all calls that begin afterwards.
    EXTENSIBLE_FUNCTION void make();

private:
    struct part {
        ref<function_record> function;
        bool edits;
        hook_sequence::edit planned;
        part* next_part;
        bool publishes = false;                 // calls see something of it
        hook_list* next = nullptr;              // what is published then; null where no hook runs
        hook_list* placeholder = nullptr;       // what is published until the step has happened, where nothing was before
        hook_link* gained = nullptr;            // hooks that `next` has, and the published list has not
        hook_link* dropped = nullptr;           // hooks that the published list has, and `next` has not
    };

    EXTENSIBLE_FUNCTION void copy_list(part& p);
    EXTENSIBLE_FUNCTION const hook_record* running_before(const part& p) const noexcept;
    EXTENSIBLE_FUNCTION void list_anew(part& p);
    EXTENSIBLE_FUNCTION void compare(part& p);
    EXTENSIBLE_FUNCTION ref<change_step> prepare_step();
    EXTENSIBLE_FUNCTION void let_happen(change_step& step) noexcept;
    EXTENSIBLE_FUNCTION void publish(const function_record& function, hook_list* list) noexcept;
    EXTENSIBLE_FUNCTION void commit(part& p) noexcept;

    registry_record& registry_;
    bool watched_;
    part* parts_ = nullptr;
    hook_record* added_ = nullptr;
    hook_link* removed_ = nullptr;
};

EXTENSIBLE_FUNCTION change::~change() {
    while (parts_) {
        part* const p = std::exchange(parts_, parts_->next_part);
        // Where the change was not made, these have never been published.
        if (p->next) hook_list::free(p->next);
        if (p->placeholder) hook_list::free(p->placeholder);
        free_chain(p->gained);
        free_chain(p->dropped);
        delete p;
    }
    free_chain(removed_);
}

EXTENSIBLE_FUNCTION void change::remove(hook_record& hook) { removed_ = new hook_link{ref(&hook), removed_}; }

EXTENSIBLE_FUNCTION void change::edit(function_record& function, hook_sequence::edit planned) {
    const bool only_one = !planned.moves_others && function.sites && function.published;
    parts_ = new part{ref(&function), true, std::move(planned), parts_};
    if (only_one) copy_list(*parts_);
    else list_anew(*parts_);
}

EXTENSIBLE_FUNCTION void change::refresh(function_record& function) {
    parts_ = new part{ref(&function), false, {}, parts_};
    list_anew(*parts_);
}

EXTENSIBLE_FUNCTION void change::watch(bool watched) {
    if (watched == watched_) return;
    watched_ = watched;
    for (const auto& function : registry_.contents->functions) refresh(*function);
}

// One hook comes or goes: the published list is copied with that difference.
EXTENSIBLE_FUNCTION void change::copy_list(part& p) {
    function_record& function = *p.function;
    const hook_list* const published = function.published;
    const hook_sequence::edit& planned = p.planned;
    if (planned.added && runs_in(*planned.added, function)) {
        p.gained = new hook_link{ref(planned.added), nullptr};
        p.next = published->copy_with(*planned.added, running_before(p));
    } else if (planned.leaving && runs_in(*planned.leaving, function)) {
        p.dropped = new hook_link{ref(const_cast<hook_record*>(planned.leaving)), nullptr};
        if (published->size > 1) p.next = published->copy_without(*planned.leaving);
    } else {
        return;
    }
    p.publishes = true;
}

// The hook that runs directly before the added one; null for the first of all.
EXTENSIBLE_FUNCTION const hook_record* change::running_before(const part& p) const noexcept {
    const function_record& function = *p.function;
    for (std::size_t at = p.planned.at; at-- > 0;)
        if (const hook_record& hook = function.hooks[at];
            runs_in(hook, function) && !running_instead(hook, function, function.hooks)) return &hook;
    return nullptr;
}

EXTENSIBLE_FUNCTION void change::list_anew(part& p) {
    function_record& function = *p.function;
    const hook_sequence& hooks = p.edits ? p.planned.anew : function.hooks;
    const std::size_t room = function.sites ? hooks.size() : 0;  // one that nobody wraps publishes nothing
    if (room == 0 && !function.published) return;
    hook_list::writer running(function, room, watched_);
    for (std::size_t at = 0; at != room; ++at)
        if (hook_record& hook = hooks[at];
            runs_in(hook, function) && !running_instead(hook, function, hooks)) running.add(hook);
    p.next = running.finish();
    compare(p);
    if (!p.publishes || p.next->size == 0) hook_list::free(std::exchange(p.next, nullptr));
}

// What the published list has that the next one has not, and the other way round.
EXTENSIBLE_FUNCTION void change::compare(part& p) {
    const hook_list* const published = p.function->published;
    const std::uint64_t here = ++registry_.marks, here_and_there = ++registry_.marks;
    bool same = published ? published->watched == watched_ && published->size == p.next->size : p.next->size == 0;
    for (std::size_t at = 0; published && same && at != published->size + phase_count; ++at)
        same = published->begin()[at].record == p.next->begin()[at].record;
    p.publishes = !same;
    if (same) return;
    const auto for_each = [](const hook_list* list, auto visit) {
        if (list) list->any_of([&](const hook_entry& entry) { return visit(*entry.record), false; });
    };
    for_each(published, [&](hook_record& hook) { hook.mark = here; });
    for_each(p.next, [&](hook_record& hook) {
        if (hook.mark != here) p.gained = new hook_link{ref(&hook), p.gained};
        hook.mark = here_and_there;
    });
    for_each(published, [&](hook_record& hook) {
        if (hook.mark == here) p.dropped = new hook_link{ref(&hook), p.dropped};
    });
}

EXTENSIBLE_FUNCTION void change::make() {
    std::size_t sites = 0;
    for (const part* p = parts_; p; p = p->next_part)
        for (const site* s = p->publishes ? p->function->sites : nullptr; s; s = s->next) ++sites;
    const ref<change_step> step = sites > 1 ? prepare_step() : ref<change_step>();

    // Nothing fails from here on. A hook has its holders before a call can see it.
    registry_.watched = watched_;
    hazard_domain& domain = *registry_.domain;
    if (added_) {
        domain.keep(*added_);
        added_->registered = true;
    }
    for (const part* p = parts_; p; p = p->next_part)
        for (const hook_link* gained = p->gained; gained; gained = gained->next) domain.keep(*gained->hook);
    if (step) let_happen(*step);
    for (part* p = parts_; p; p = p->next_part) commit(*p);
    for (const hook_link* removed = removed_; removed; removed = removed->next) {
        removed->hook->registered = false;
        domain.let_go(*removed->hook);
    }
}

// Makes what is needed to change several sites in one step.
EXTENSIBLE_FUNCTION ref<change_step> change::prepare_step() {
    ref step(new change_step);
    for (part* p = parts_; p; p = p->next_part)
        if (p->publishes && !p->function->published) p->placeholder = hook_list::writer(*p->function, 0, watched_).finish();
    return step;
}

// Announces the change in every list that is in use, then lets it happen for all of them at once. From the announcement on no
// call takes the quick way, in which it would not look for a step.
EXTENSIBLE_FUNCTION void change::let_happen(change_step& step) noexcept {
    for (part* p = parts_; p; p = p->next_part) {
        if (!p->publishes) continue;
        function_record& function = *p->function;
        hook_list& list = p->placeholder ? *p->placeholder : *function.published;
        list.successor = p->next;
        list.step.store(ref(&step).release(), std::memory_order_seq_cst);
        for (site* s = function.sites; s; s = s->next) s->quick_domain.store(nullptr, std::memory_order_seq_cst);
        if (p->placeholder) {
            function.published = std::exchange(p->placeholder, nullptr);
            publish(function, function.published);
        }
    }
    step.happened.store(true, std::memory_order_seq_cst);
}

// In the order of a sequentially consistent store: a call either finds the new list, or is found holding the old one.
EXTENSIBLE_FUNCTION void change::publish(const function_record& function, hook_list* list) noexcept {
    for (site* s = function.sites; s; s = s->next) s->hooks.store(list, std::memory_order_seq_cst);
}

EXTENSIBLE_FUNCTION void change::commit(part& p) noexcept {
    function_record& function = *p.function;
    if (p.publishes) {
        hook_list* const replaced = std::exchange(function.published, std::exchange(p.next, nullptr));
        publish(function, function.published);
        // Behind the hooks: see hazard_guard.
        for (site* s = function.sites; s; s = s->next) s->quick_domain.store(registry_.domain, std::memory_order_seq_cst);
        if (replaced) registry_.domain->retire(*replaced, std::exchange(p.dropped, nullptr));
    }
    if (p.edits) function.hooks.apply(p.planned);
}

// ---- Errors, each raised in one place -------------------------------------------------------------------------------

EXTENSIBLE_FUNCTION std::string text_of(const hook_record& hook) {
    return text_of(hook.when, hook.id, hook.pattern, hook.plugin ? std::string_view(hook.plugin->name) : std::string_view());
}

[[noreturn]] EXTENSIBLE_FUNCTION void throw_signature_mismatch(std::string_view function, const type_identity& wrapped,
                                                               std::string_view other, const type_identity& given) {
    raise<signature_mismatch>(join({function, ": the function is ", wrapped.name, ", the ", other, " is for ", given.name}));
}

[[noreturn]] EXTENSIBLE_FUNCTION void throw_duplicate(std::string_view function, const hook_record& first) {
    raise<duplicate_hook>(join({function, ": there is ", article(first.when), text_of(first),
                                " already; remove it, or set .replace to run in its place"}));
}

EXTENSIBLE_FUNCTION void check_name(std::string_view name) {
    if (name.empty()) raise<error>("ext: a function's name must not be empty");
    if (is_pattern(name))
        raise<error>(join({name, ": a name with '*' is a pattern; it takes hooks that take an ext::any_call&, and no function may be "
                                 "called so"}));
}

EXTENSIBLE_FUNCTION void check_open(const registry_record& registry, std::string_view function) {
    if (registry.closed) raise<error>(join({function, ": its registry is gone, no hook can be registered"}));
}

EXTENSIBLE_FUNCTION void locked_registry::check_registration(std::string_view function, const hook_record& hook) const {
    check_open(*registry_, function);
    if (registry_->sealed) raise<ext::sealed>(join({function, ": the registry is sealed, no hook can be registered"}));
    if (!hook.plugin) return;
    if (hook.plugin->registry != registry_)
        raise<error>(join({function, ": the function is in another registry than the plugin ", hook.plugin->name}));
    if (!hook.plugin->registered)
        raise<error>(join({function, ": the plugin ", hook.plugin->name, " is unloaded, no hook can be registered"}));
}

// ---- Functions by name ----------------------------------------------------------------------------------------------

EXTENSIBLE_FUNCTION locked_registry::locked_registry(registry_record& registry)
    : registry_(&registry.checked()), reclaim_{*registry.domain}, lock_(registry.domain->registration()) {
    if (!registry.contents) registry.contents = new registry_contents;
}

EXTENSIBLE_FUNCTION locked_registry::~locked_registry() = default;

// Where the function of this name is in the registry, or would be.
EXTENSIBLE_FUNCTION std::size_t locked_registry::place_of(std::string_view name) const noexcept {
    std::size_t from = 0, to = registry_->contents->functions.size();
    while (from != to) {
        const std::size_t middle = (from + to) / 2;
        if (registry_->contents->functions[middle]->name < name) from = middle + 1;
        else to = middle;
    }
    return from;
}

// The record of a name. A new one gets the hooks under patterns that match it.
EXTENSIBLE_FUNCTION ref<function_record> locked_registry::find_or_make(std::string_view name) {
    std::vector<ref<function_record>>& all = registry_->contents->functions;
    const std::size_t at = place_of(name);
    if (at != all.size() && all[at]->name == name) return all[at];
    ref made(new function_record(name, registry_));
    for (hook_record& hook : registry_->contents->patterns)
        if (matches(hook.pattern, name)) made->hooks.add(hook);
    made->hooks.arrange(name);
    all.insert(all.begin() + static_cast<std::ptrdiff_t>(at), made);
    return made;
}

// Forgets a name that nobody wraps and no hook of its own waits for.
EXTENSIBLE_FUNCTION void locked_registry::forget_if_unused(function_record& function) noexcept {
    if (function.is_wanted()) return;
    std::vector<ref<function_record>>& all = registry_->contents->functions;
    const std::size_t at = place_of(function.name);
    if (at != all.size() && all[at].get() == &function) all.erase(all.begin() + static_cast<std::ptrdiff_t>(at));
}

// ---- Wrappers -------------------------------------------------------------------------------------------------------

EXTENSIBLE_FUNCTION void locked_registry::attach(site& place, std::string_view name, const function_type& type) {
    check_name(name);
    check_open(*registry_, name);
    const ref<function_record> function = find_or_make(name);
    if (function->sites && !(*function->sites->type->signature == *type.signature))
        throw_signature_mismatch(name, *function->sites->type->signature, "second wrapper", *type.signature);
    for (const hook_record& hook : function->hooks)
        if (hook.signature && !(*hook.signature == *type.signature))
            throw_signature_mismatch(name, *type.signature, join({text_of(hook), " that waits for it"}), *hook.signature);

    place.function = function;
    place.type = &type;
    place.quick_domain.store(registry_->domain, std::memory_order_seq_cst);
    place.hooks.store(function->published, std::memory_order_seq_cst);
    place.next = std::exchange(function->sites, &place);
    if (place.next) return;
    EXTENSIBLE_TRY {
        change attaching(*registry_);
        attaching.refresh(*function);
        attaching.make();
    } EXTENSIBLE_CATCH(...) {
        function->sites = nullptr;
        forget_if_unused(*function);
        EXTENSIBLE_RETHROW;
    }
}

EXTENSIBLE_FUNCTION void locked_registry::detach(site& place) {
    function_record& function = *place.function;
    site** at = &function.sites;
    while (*at != &place) at = &(*at)->next;
    *at = place.next;
    if (function.sites) return;
    remove({nullptr, false}, &function);
}

// ---- Hooks ----------------------------------------------------------------------------------------------------------

EXTENSIBLE_FUNCTION void take_options(hook_record& hook, const hook_options& options) {
    std::vector<std::string>(options.before).swap(hook.before);
    std::vector<std::string>(options.after).swap(hook.after);
    hook.priority = options.priority.value_or(0);
    hook.replaces = options.replace && !hook.id.empty();
    hook.takes_place = hook.replaces && !options.priority && hook.before.empty() && hook.after.empty();
    hook.isolate = options.isolate.value_or(hook.plugin && hook.plugin->isolate);
    hook.reentrant = options.reentrant.value_or(!hook.plugin || hook.plugin->reentrant);
    hook.only_thread = options.this_thread ? this_thread_id() : 0;
    hook.times = options.times;
}

// Makes the hook ready to be registered among `hooks`, or throws.
EXTENSIBLE_FUNCTION void locked_registry::prepare(std::string_view where, const hook_sequence& hooks, hook_record& hook,
                                                  const hook_options& options) const {
    check_registration(where, hook);
    take_options(hook, options);
    hook.registry = registry_;
    hook.number = registry_->registrations + 1;
    if (hook.stage && (!hook.reentrant || hook.only_thread))
        raise<error>(join({where, ": the ", text_of(hook), " is awaited, and may go on on any thread; it cannot be registered with ",
                           hook.only_thread ? ".this_thread = true" : ".reentrant = false"}));
    const hook_record* const first = hook.replaces ? nullptr : hooks.find_original(hook);
    if (first) throw_duplicate(where, *first);
}

EXTENSIBLE_FUNCTION void locked_registry::add(function_record& function, hook_record& hook, const hook_options& options) {
    prepare(function.name, function.hooks, hook, options);
    if (hook.signature && function.sites && !(*function.sites->type->signature == *hook.signature))
        throw_signature_mismatch(function.name, *function.sites->type->signature, text_of(hook), *hook.signature);
    hook.function = ref(&function);

    change adding(*registry_);
    adding.edit(function, function.hooks.plan_with(function.name, hook));
    if (function.sites == &registry_->monitors) adding.watch(true);
    adding.add(hook);
    adding.make();
    ++registry_->registrations;
}

EXTENSIBLE_FUNCTION void locked_registry::add(const site& place, hook_record& hook, const hook_options& options) {
    hook.on_object = true;
    add(*place.function, hook, options);
}

EXTENSIBLE_FUNCTION void locked_registry::add(std::string_view name, hook_record& hook, const hook_options& options) {
    check_name(name);
    const ref<function_record> function = find_or_make(name);
    EXTENSIBLE_TRY {
        add(*function, hook, options);
    } EXTENSIBLE_CATCH(...) {
        forget_if_unused(*function);
        EXTENSIBLE_RETHROW;
    }
}

EXTENSIBLE_FUNCTION void locked_registry::add_pattern(std::string_view pattern, hook_record& hook, const hook_options& options) {
    if (pattern.empty()) raise<error>("ext: a function's name must not be empty");
    prepare(pattern, registry_->contents->patterns, hook, options);

    // In one function that all patterns match these must have an order; then they have one in each.
    hook_sequence::edit patterns = registry_->contents->patterns.plan_with(pattern, hook);
    change adding(*registry_);
    for (const auto& function : registry_->contents->functions)
        if (matches(pattern, function->name)) adding.edit(*function, function->hooks.plan_with(function->name, hook));
    adding.add(hook);
    adding.make();
    registry_->contents->patterns.apply(patterns);
    ++registry_->registrations;
}

// The name is of no function; it is for an error's text.
EXTENSIBLE_FUNCTION void locked_registry::add_handler(site& place, std::string_view name, hook_record& hook) {
    check_registration(name, hook);
    if (!place.function) {
        place.function = ref(new function_record(name, registry_));
        place.quick_domain.store(registry_->domain, std::memory_order_seq_cst);
        place.function->sites = &place;
    }
    add(*place.function, hook, no_options());
}

EXTENSIBLE_FUNCTION void locked_registry::add_error_handler(hook_record& hook) { add_handler(registry_->errors, "on_hook_error", hook); }
EXTENSIBLE_FUNCTION void locked_registry::add_monitor(hook_record& hook) { add_handler(registry_->monitors, "on_hook_run", hook); }

EXTENSIBLE_FUNCTION bool locked_registry::any_in(const hook_sequence& hooks, const selection& selected) noexcept {
    for (const hook_record& hook : hooks)
        if (selected.has(hook)) return true;
    return false;
}

// Whether the function has one of the hooks.
EXTENSIBLE_FUNCTION bool locked_registry::concerns(const function_record& function, const selection& selected) noexcept {
    const hook_record* const only = selected.only_hook();
    if (!only) return any_in(function.hooks, selected);
    return only->function ? only->function.get() == &function : matches(only->pattern, function.name);
}

EXTENSIBLE_FUNCTION hook_sequence::edit locked_registry::without(std::string_view where, hook_sequence& hooks,
                                                                 const selection& leaving) {
    if (const hook_record* const only = leaving.only_hook()) return hooks.plan_without(where, *only);
    hook_sequence::edit all{.moves_others = true};
    for (hook_record& hook : hooks)
        if (!leaving.has(hook)) all.anew.add(hook);
    all.anew.arrange(where);
    return all;
}

// Removes hooks from one function, or from all functions and from the patterns if that is null. In the same step those that are
// `coming`, which have just been enabled, begin to run.
EXTENSIBLE_FUNCTION void locked_registry::remove(const selection& leaving, function_record* from, const hook_group* coming) {
    registry_contents& contents = *registry_->contents;
    change removing(*registry_);
    const auto remove_from = [&](function_record& function) {
        if (!concerns(function, leaving) && (function.sites || !function.published)) {
            if (coming && any_in(function.hooks, {coming, false})) removing.refresh(function);
            return;
        }
        if (leaving.only_hook() == nullptr)
            for (hook_record& hook : function.hooks)
                if (hook.function && leaving.has(hook)) removing.remove(hook);
        removing.edit(function, without(function.name, function.hooks, leaving));
        if (function.sites == &registry_->monitors) removing.watch(function.hooks.size() > 1 && leaving.only_hook());
    };
    hook_sequence::edit patterns;
    const bool concerns_patterns = !from && any_in(contents.patterns, leaving);
    if (from) remove_from(*from);
    else for (const auto& function : contents.functions) remove_from(*function);
    if (leaving.only_hook()) removing.remove(*leaving.only_hook());
    if (concerns_patterns) {
        for (hook_record& hook : contents.patterns)
            if (!leaving.only_hook() && leaving.has(hook)) removing.remove(hook);
        patterns = without("*", contents.patterns, leaving);
    }
    removing.make();
    if (concerns_patterns) contents.patterns.apply(patterns);
    if (from) forget_if_unused(*from);
    else for (std::size_t i = contents.functions.size(); i-- > 0;) forget_if_unused(*contents.functions[i]);
}

EXTENSIBLE_FUNCTION void locked_registry::remove(hook_group& group) {
    if (!group.registered) return;
    const ref<function_record> function = group.only_hook ? group.only_hook->function : ref<function_record>();
    remove({&group, false}, function.get());
    group.registered = false;
}

EXTENSIBLE_FUNCTION void locked_registry::set_enabled(hook_group& group, bool enabled) {
    if (!group.registered || group.enabled == enabled) return;
    group.enabled = enabled;
    EXTENSIBLE_TRY {
        change enabling(*registry_);
        function_record* const only = group.only_hook ? group.only_hook->function.get() : nullptr;
        if (only) enabling.refresh(*only);
        else for (const auto& function : registry_->contents->functions)
            if (concerns(*function, {&group, false})) enabling.refresh(*function);
        enabling.make();
    } EXTENSIBLE_CATCH(...) {
        group.enabled = !enabled;
        EXTENSIBLE_RETHROW;
    }
}

EXTENSIBLE_FUNCTION void locked_registry::hand_over(plugin_record& predecessor, plugin_record& successor) {
    successor.enabled = predecessor.enabled;
    EXTENSIBLE_TRY {
        remove({&predecessor, false}, nullptr, &successor);
    } EXTENSIBLE_CATCH(...) {
        successor.enabled = false;
        EXTENSIBLE_RETHROW;
    }
    predecessor.registered = false;
    successor.predecessor = {};
}

EXTENSIBLE_FUNCTION void locked_registry::close() {
    for (site* handlers : {&registry_->errors, &registry_->monitors}) {
        const ref<function_record> function = std::exchange(handlers->function, {});
        if (function) remove({nullptr, true}, function.get());
    }
    remove({nullptr, true}, nullptr);
    registry_->contents->functions.clear();
    registry_->closed = true;
}

#endif

}  // namespace ext::inline EXTENSIBLE_ABI::detail
