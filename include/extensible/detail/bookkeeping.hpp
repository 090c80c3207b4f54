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
class EXTENSIBLE_HIDDEN locked_registry {
public:
    /// May throw incompatible_module; and std::bad_alloc, when it is locked for the first time.
    explicit locked_registry(registry_record& registry);
    locked_registry(const locked_registry&) = delete;
    locked_registry& operator=(const locked_registry&) = delete;
    ~locked_registry();

    /// A wrapper of `name` appears at `place`. The hooks that wait for it are attached.
    void attach(site& place, std::string_view name, const function_type& type);

    /// The wrapper goes. The hooks that were registered on the function itself go with its last wrapper.
    void detach(site& place);

    /// Registers `hook` on a wrapped function; by name, which may not be wrapped yet; under a pattern; for errors.
    void add(const site& place, hook_record& hook, const hook_options& options);
    void add(std::string_view name, hook_record& hook, const hook_options& options);
    void add_pattern(std::string_view pattern, hook_record& hook, const hook_options& options);
    void add_error_handler(hook_record& hook);
    void add_monitor(hook_record& hook);

    /// Removes the hooks of the group, which can register no more.
    void remove(hook_group& group);
    void set_enabled(hook_group& group, bool enabled);

    /// The predecessor's hooks are removed, and the successor's, which are disabled, are enabled if those were, in one step: no call
    /// runs hooks of both, or of neither.
    void hand_over(plugin_record& predecessor, plugin_record& successor);

    /// The ext::registry goes: its hooks are removed, its functions go on without.
    void close();

    registry_record* operator->() const noexcept { return registry_.get(); }

private:
    void check_registration(std::string_view function, const hook_record& hook) const;
    ref<function_record> find_or_make(std::string_view name);
    void forget_if_unused(function_record& function) noexcept;
    void add(function_record& function, hook_record& hook, const hook_options& options);
    void add_handler(site& place, std::string_view name, hook_record& hook);
    void prepare(std::string_view where, const hook_order& hooks, hook_record& hook, const hook_options& options) const;

    static bool concerns(const function_record& function, const hook_group& group) noexcept;
    void registered(hook_record& hook) noexcept;
    void remove(const hook_selection& leaving, function_record* from, const hook_group* coming = nullptr);

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

/// Finds which hooks replace which, see hook_options::replace, among the enabled hooks that suit a function. If
/// `function` is null, among the enabled hooks under patterns. Hooks that have one id, in one phase and under one
/// pattern, replace each other: the newest one with `.replace` runs in place of all others. The hook without `.replace`
/// is treated as the oldest, whenever it was registered.
class EXTENSIBLE_HIDDEN replacements {
public:
    replacements() noexcept = default;
    replacements(const hook_order& hooks, const function_record* function);

    /// The hook that runs in the place of this one; null if there is none.
    hook_record* stand_in_of(const hook_record& hook) const noexcept;
    /// The hook that runs if a call skips this one: the next older one that it replaces. Null if there is none.
    hook_record* next_older(const hook_record& hook) const noexcept;

private:
    array<hook_record*> by_name_{};  // those that have an id, sorted by is_sorted_before()
};

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

// Whether it runs in the function's calls, if no other stands in for it.
EXTENSIBLE_FUNCTION bool runs_in(const hook_record& hook, const function_record& function) noexcept {
    return hook.runs() && (!function.sites || suits(hook, function.sites->type));
}

EXTENSIBLE_FUNCTION int compare_names(const hook_record& a, const hook_record& b) noexcept {
    if (a.when != b.when) return a.when < b.when ? -1 : 1;
    const int ids = a.id.compare(b.id);
    return ids != 0 ? ids : a.pattern.compare(b.pattern);
}

// The order of hooks by name; of hooks that replace each other, by age.
EXTENSIBLE_FUNCTION bool is_sorted_before(const hook_record* a, const hook_record* b) noexcept {
    if (const int names = compare_names(*a, *b); names != 0) return names < 0;
    return a->replaces != b->replaces ? b->replaces : a->number < b->number;
}

EXTENSIBLE_FUNCTION replacements::replacements(const hook_order& hooks, const function_record* function) {
    const auto is_in = [&](const hook_record& hook) {
        return !hook.id.empty() && (function ? runs_in(hook, *function) : hook.runs());
    };
    std::size_t count = 0;
    for (const ordered_hook& each : hooks) count += is_in(*each.hook);
    by_name_ = array<hook_record*>(count);
    for (const ordered_hook& each : hooks)
        if (is_in(*each.hook)) by_name_[--count] = each.hook;
    detail::sort(by_name_, is_sorted_before);
}

EXTENSIBLE_FUNCTION hook_record* replacements::stand_in_of(const hook_record& hook) const noexcept {
    const std::size_t end = count_first(by_name_, [&](const hook_record* other) { return compare_names(*other, hook) <= 0; });
    hook_record* const newest = end != 0 ? by_name_[end - 1] : nullptr;
    return newest && hook.is_namesake(*newest) && is_sorted_before(&hook, newest) ? newest : nullptr;
}

EXTENSIBLE_FUNCTION hook_record* replacements::next_older(const hook_record& hook) const noexcept {
    const std::size_t at = count_first(by_name_, [&](const hook_record* other) { return is_sorted_before(other, &hook); });
    return at != 0 && by_name_[at - 1]->is_namesake(hook) ? by_name_[at - 1] : nullptr;
}

bool suits(const hook_record& hook, const function_type* function) noexcept {
    const type_identity* const stage = function ? function->stage : nullptr;
    if (hook.stage) return stage && *hook.stage == *stage;
    return hook.when != phase::around || !stage;
}

// Ends the registration of the hooks that leave. `former` is what the function had; the function is null for hooks
// under patterns.
EXTENSIBLE_FUNCTION void let_go_of(const hook_selection& leaving, const hook_order& former,
                                   const function_record* function) noexcept {
    for (const ordered_hook& each : former) {
        if (!leaving.has(*each.hook) || each.hook->function.get() != function) continue;
        each.hook->registered = false;
        each.hook->registry->domain->let_go(*each.hook);
    }
}

/// A change that is being prepared: what the functions concerned have and run from then on. The registry is locked all the while.
/// Everything that may throw does so before or in make(), and leaves everything as it was.
class EXTENSIBLE_HIDDEN change {
public:
    explicit change(registry_record& registry) noexcept : registry_(registry), watched_(registry.watched) {}
    change(const change&) = delete;
    change& operator=(const change&) = delete;
    EXTENSIBLE_COLD ~change() {
        while (parts_) delete std::exchange(parts_, parts_->next_part);
    }

    /// The function has these hooks from then on, and calls run those that are enabled.
    EXTENSIBLE_COLD void set_hooks(function_record& function, hook_order hooks) {
        parts_ = new part{ref(&function), std::move(hooks), parts_};
        if (!function.sites) return;  // the hooks wait
        bool any_runs = false, any_candidates = watched_, any_replaces = false;
        for (const ordered_hook& each : parts_->hooks) {
            any_runs = any_runs || runs_in(*each.hook, function);
            any_candidates |= each.hook->has_options;
            any_replaces |= each.hook->replaces;
        }
        if (!any_runs) return;
        const replacements replaced = any_replaces ? replacements(parts_->hooks, &function) : replacements();
        // Each hook is an entry or a candidate, and the candidates of each entry need one more after the last.
        const std::size_t most = parts_->hooks.size();
        hook_list::writer list(function, most, any_candidates ? 2 * most : 0, watched_);
        for (const ordered_hook& each : parts_->hooks) {
            hook_record* hook = each.hook;
            if (!runs_in(*hook, function) || replaced.stand_in_of(*hook) || !list.add(*hook)) continue;
            for (; hook; hook = replaced.next_older(*hook)) list.add_candidate(*hook);
            list.end_candidates();
        }
        parts_->next = list.finish();
    }

    /// The function's hooks stay, but other ones are enabled, or its wrappers have changed.
    EXTENSIBLE_COLD void refresh(function_record& function) { set_hooks(function, function.hooks); }

    /// From then on all functions are watched by monitors; or no more.
    EXTENSIBLE_COLD void watch(bool watched) {
        if (watched == watched_) return;
        watched_ = watched;
        registry_.contents->functions.for_each([this](function_record& function) { refresh(function); });
    }

    /// Makes the change, for all calls that begin afterwards.
    EXTENSIBLE_COLD void make() {
        std::size_t sites = 0;
        for (const part* p = parts_; p; p = p->next_part)
            for (const site* s = p->publishes() ? p->function->sites : nullptr; s; s = s->next) ++sites;
        const ref<change_step> step = sites > 1 ? prepare_step() : ref<change_step>();

        // Nothing fails from here on. A hook has its holders before a call can see it.
        registry_.watched = watched_;
        for (const part* p = parts_; p; p = p->next_part)
            if (p->next) registry_.domain->keep(*p->next);
        if (step) let_happen(*step);
        for (part* p = parts_; p; p = p->next_part) commit(*p);
    }

    /// After make(): ends the registration of hooks that left one function, or all functions if that is null.
    EXTENSIBLE_COLD void let_go_of(const hook_selection& leaving, const function_record* from) noexcept {
        for (const part* p = parts_; p; p = p->next_part)
            if (!from || p->function.get() == from) detail::let_go_of(leaving, p->hooks, p->function.get());
    }

private:
    struct part {
        ref<function_record> function;
        hook_order hooks;  // its hooks from then on; once the change is made, those that it had
        part* next_part;
        hook_list* next = nullptr;         // what is published then; null where no hook runs
        hook_list* placeholder = nullptr;  // what is published until the step has happened, where nothing was before

        bool publishes() const noexcept { return next || function->published; }
        EXTENSIBLE_COLD ~part() {  // where the change was not made, these have never been published
            if (next) hook_list::free(next);
            if (placeholder) hook_list::free(placeholder);
        }
    };

    // Makes what is needed to change several sites in one step.
    EXTENSIBLE_COLD ref<change_step> prepare_step() {
        ref step(new change_step);
        for (part* p = parts_; p; p = p->next_part)
            if (p->next && !p->function->published) p->placeholder = hook_list::writer(*p->function, 0, 0, watched_).finish();
        return step;
    }

    // Announces the change in every list that is in use, then lets it happen for all of them at once. From the announcement on no
    // call takes the quick way, in which it would not look for a step.
    EXTENSIBLE_COLD void let_happen(change_step& step) noexcept {
        for (part* p = parts_; p; p = p->next_part) {
            if (!p->publishes()) continue;
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
    EXTENSIBLE_COLD static void publish(const function_record& function, hook_list* list) noexcept {
        for (site* s = function.sites; s; s = s->next) s->hooks.store(list, std::memory_order_seq_cst);
    }

    EXTENSIBLE_COLD void commit(part& p) noexcept {
        function_record& function = *p.function;
        if (p.publishes()) {
            hook_list* const replaced = std::exchange(function.published, std::exchange(p.next, nullptr));
            publish(function, function.published);
            // Behind the hooks: see hazard_guard.
            for (site* s = function.sites; s; s = s->next) s->quick_domain.store(registry_.domain, std::memory_order_seq_cst);
            if (replaced) registry_.domain->retire(*replaced);
        }
        function.hooks.swap(p.hooks);
    }

    registry_record& registry_;
    bool watched_;
    part* parts_ = nullptr;
};

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
        raise<error>(join({name, ": a name with '*' is a pattern; a function cannot have it, and its hooks must take an "
                                 "ext::any_call&"}));
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

EXTENSIBLE_CALL_FUNCTION locked_registry::locked_registry(registry_record& registry)
    : registry_(&registry.checked()), reclaim_{*registry.domain}, lock_(registry.domain->registration()) {
    if (!registry.contents) registry.contents = new registry_contents;
}

EXTENSIBLE_CALL_FUNCTION locked_registry::~locked_registry() {}

// The record of a name. A new one gets the hooks under patterns that match it.
EXTENSIBLE_FUNCTION ref<function_record> locked_registry::find_or_make(std::string_view name) {
    registry_contents& contents = *registry_->contents;
    if (function_record* const known = contents.functions.find(name)) return ref(known);
    ref made(new function_record(name, registry_));
    matching_hooks(name, contents.patterns).swap(made->hooks);
    contents.functions.add(made);
    return made;
}

// Forgets a name that no code wraps, and that no hook of its own waits for.
EXTENSIBLE_FUNCTION void locked_registry::forget_if_unused(function_record& function) noexcept {
    function_table& functions = registry_->contents->functions;
    if (!function.is_wanted() && functions.find(function.name) == &function) functions.erase(function);
}

// ---- Wrappers -------------------------------------------------------------------------------------------------------

EXTENSIBLE_CALL_FUNCTION void locked_registry::attach(site& place, std::string_view name, const function_type& type) {
    check_name(name);
    check_open(*registry_, name);
    const ref<function_record> function = find_or_make(name);
    if (function->sites && !(*function->sites->type->signature == *type.signature))
        throw_signature_mismatch(name, *function->sites->type->signature, "second wrapper", *type.signature);
    for (const ordered_hook& each : function->hooks)
        if (each.hook->signature && !(*each.hook->signature == *type.signature))
            throw_signature_mismatch(name, *type.signature, join({text_of(*each.hook), " that waits for it"}), *each.hook->signature);

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

EXTENSIBLE_CALL_FUNCTION void locked_registry::detach(site& place) {
    function_record& function = *place.function;
    site** at = &function.sites;
    while (*at != &place) at = &(*at)->next;
    *at = place.next;
    if (function.sites) return;
    remove({nullptr, false}, &function);
}

// ---- Hooks ----------------------------------------------------------------------------------------------------------

// Throws error for options that contradict each other, or that hooks of this kind cannot have.
EXTENSIBLE_FUNCTION void check_options(std::string_view where, const hook_record& hook, const hook_options& options) {
    const char* wrong = nullptr;
    if (contains(options.before, "*"))
        wrong = " states .before = \"*\", which is not the id of a hook; use .priority to run before all others";
    else if (contains(options.after, "*"))
        wrong = " states .after = \"*\", which is not the id of a hook; use .priority to run after all others";
    else if (options.replace && options.id.empty())
        wrong = " has .replace = true and no .id, which names the hook to replace";
    else if (options.fallback && hook.when != phase::start) wrong = " has .fallback = true, which is for start hooks";
    else if (hook.stage && options.this_thread)
        wrong = " is awaited and may resume on another thread; it cannot have .this_thread = true";
    else if (hook.stage && !hook.reentrant)
        wrong = " is awaited and may resume on another thread; it cannot have .reentrant = false";
    if (wrong) raise<error>(join({where, ": the ", text_of(hook), wrong}));
}

// Makes the hook ready to be registered among `hooks`, or throws.
EXTENSIBLE_FUNCTION void locked_registry::prepare(std::string_view where, const hook_order& hooks, hook_record& hook,
                                                  const hook_options& options) const {
    check_registration(where, hook);
    std::vector<std::string>(options.before).swap(hook.before);
    std::vector<std::string>(options.after).swap(hook.after);
    hook.priority = options.priority.value_or(0);
    hook.replaces = options.replace && !hook.id.empty();
    hook.takes_place = hook.replaces && !options.priority && hook.before.empty() && hook.after.empty();
    hook.fallback = options.fallback;
    hook.isolate = options.isolate.value_or(hook.plugin && hook.plugin->isolate);
    hook.reentrant = options.reentrant.value_or(!hook.plugin || hook.plugin->reentrant);
    hook.times = options.times;
    check_options(where, hook, options);
    hook.only_thread = options.this_thread ? registry_->domain->this_thread().number : 0;
    hook.has_options = hook.isolate || !hook.reentrant || hook.fallback || options.this_thread || hook.times != 0;
    hook.registry = registry_;
    hook.number = registry_->registrations + 1;
    const hook_record* const first = hook.replaces || hook.id.empty() ? nullptr : find_duplicate(hook, hooks);
    if (first) throw_duplicate(where, *first);
}

// The hook belongs to the registry from here on.
EXTENSIBLE_FUNCTION void locked_registry::registered(hook_record& hook) noexcept {
    registry_->domain->keep(hook);
    hook.registered = true;
    ++registry_->registrations;
}

EXTENSIBLE_FUNCTION void locked_registry::add(function_record& function, hook_record& hook, const hook_options& options) {
    prepare(function.name, function.hooks, hook, options);
    if (hook.signature && function.sites && !(*function.sites->type->signature == *hook.signature))
        throw_signature_mismatch(function.name, *function.sites->type->signature, text_of(hook), *hook.signature);
    hook.function = ref(&function);

    change adding(*registry_);
    adding.set_hooks(function, with_hook(function.name, function.hooks, hook));
    if (function.sites == &registry_->monitors) adding.watch(true);
    adding.make();
    registered(hook);
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
    hook_order patterns = with_hook(pattern, registry_->contents->patterns, hook);
    change adding(*registry_);
    registry_->contents->functions.for_each([&](function_record& function) {
        if (matches(pattern, function.name)) adding.set_hooks(function, with_hook(function.name, function.hooks, hook));
    });
    adding.make();
    registry_->contents->patterns.swap(patterns);
    registered(hook);
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

// Whether the function has a hook of the group.
EXTENSIBLE_FUNCTION bool locked_registry::concerns(const function_record& function, const hook_group& group) noexcept {
    const hook_record* const only = group.only_hook;
    if (!only) return hook_selection{&group, false}.has_any(function.hooks);
    return only->function ? only->function.get() == &function : matches(only->pattern, function.name);
}

// Removes hooks from one function, or from all functions and from the patterns if that is null. In the same step those that are
// `coming`, which have just been enabled, begin to run.
EXTENSIBLE_FUNCTION void locked_registry::remove(const hook_selection& leaving, function_record* from, const hook_group* coming) {
    registry_contents& contents = *registry_->contents;
    change removing(*registry_);
    hook_order patterns;
    if (from) {
        hook_order others = without_hooks(from->name, from->hooks, leaving, false);
        const bool any_left = others.size() != 0;
        removing.set_hooks(*from, std::move(others));
        if (from->sites == &registry_->monitors) removing.watch(any_left);
    } else {
        contents.functions.for_each([&](function_record& function) {
            const bool any_coming = coming && concerns(function, *coming);
            if (any_coming || (leaving.group ? concerns(function, *leaving.group) : leaving.has_any(function.hooks)))
                removing.set_hooks(function, without_hooks(function.name, function.hooks, leaving, any_coming));
        });
        patterns = without_hooks("*", contents.patterns, leaving, coming);
    }
    removing.make();
    removing.let_go_of(leaving, from);
    if (from) return forget_if_unused(*from);
    contents.patterns.swap(patterns);
    let_go_of(leaving, patterns, nullptr);
    contents.functions.for_each([this](function_record& function) { forget_if_unused(function); });
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
        else registry_->contents->functions.for_each([&](function_record& function) {
            if (concerns(function, group)) enabling.refresh(function);
        });
        enabling.make();
    } EXTENSIBLE_CATCH(...) {
        group.enabled = !enabled;
        EXTENSIBLE_RETHROW;
    }
}

EXTENSIBLE_FUNCTION void locked_registry::hand_over(plugin_record& predecessor, plugin_record& successor) {
    // From now on, the `before`, `after` and ids of the successor's hooks take effect.
    const ref<plugin_record> replaced = std::exchange(successor.predecessor, {});
    successor.enabled = predecessor.enabled;
    EXTENSIBLE_TRY {
        remove({&predecessor, false}, nullptr, &successor);
    } EXTENSIBLE_CATCH(...) {
        successor.enabled = false;
        successor.predecessor = replaced;
        EXTENSIBLE_RETHROW;
    }
    predecessor.registered = false;
}

EXTENSIBLE_CALL_FUNCTION void locked_registry::close() {
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
