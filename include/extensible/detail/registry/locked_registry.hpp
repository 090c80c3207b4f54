#pragma once

// Which operations does a registry have? The bodies follow the life of a hook: from the checks of a
// registration to its removal, and to the end of the registry.
//
// What must stay true:
// 1. Operations exclude each other by the registration lock. No call takes this lock, except to remove a
//    hook whose `times` are used up (tests/threads.cpp; tests/explorer, which finds data races).
// 2. If an operation throws, it has changed nothing that a call or a later operation can notice. detach()
//    and close() run in destructors, where an exception ends the program (tests/out_of_memory.cpp,
//    tests/registry.cpp).
// 3. No hook runs, and no captures are destroyed, under the lock
//    (tests/nesting.cpp; tests/explorer, scenario "deep").
// 4. A name is forgotten when no code wraps it and no hook of its own waits for it (tests/registry.cpp).
//
// Not here: how a change becomes visible to calls: change.hpp. The order of hooks: order.hpp. How a
// function object becomes a hook: register_hook.hpp in the folder above.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/system.hpp>
#include <extensible/detail/reclaim/hazard_domain.hpp>
#include <extensible/detail/reclaim/waiting.hpp>
#include <extensible/detail/records/array.hpp>
#include <extensible/detail/records/function_record.hpp>
#include <extensible/detail/records/hook_record.hpp>
#include <extensible/detail/records/ref.hpp>
#include <extensible/detail/records/registry_record.hpp>
#include <extensible/detail/registry/change.hpp>
#include <extensible/detail/registry/checks.hpp>
#include <extensible/detail/registry/order.hpp>
#include <extensible/detail/registry/pattern.hpp>
#include <extensible/detail/types/text.hpp>
#include <extensible/detail/types/type_identity.hpp>
#include <extensible/error.hpp>
#include <extensible/options.hpp>
#include <extensible/phase.hpp>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// Holds the registration lock of a registry; its members are the operations of the registry. Calls run
/// meanwhile. After the lock is released, the destructor destroys what no call uses any more, which runs
/// foreign code.
class EXTENSIBLE_HIDDEN locked_registry {
public:
    /// May throw incompatible_module and, when the registry is locked for the first time, std::bad_alloc.
    explicit locked_registry(registry_record& registry);
    locked_registry(const locked_registry&) = delete;
    locked_registry& operator=(const locked_registry&) = delete;
    ~locked_registry();

    /// Adds a wrapper of the function `name`, and attaches the hooks that wait for it.
    void attach(wrapper_site& site, std::string_view name, const function_type& type);

    /// Removes a wrapper. With the last wrapper of a function, removes the hooks that were registered on
    /// its wrappers.
    void detach(wrapper_site& site);

    /// Registers `hook` on a wrapped function.
    EXTENSIBLE_COLD_FUNCTION void add(const wrapper_site& site, hook_record& hook, const hook_options& options);
    /// Registers `hook` by the name of a function that need not be wrapped yet.
    EXTENSIBLE_COLD_FUNCTION void add(std::string_view name, hook_record& hook, const hook_options& options);
    /// Registers `hook` under a pattern.
    EXTENSIBLE_COLD_FUNCTION void add_pattern(std::string_view pattern, hook_record& hook, const hook_options& options);
    /// Registers `hook` as a handler of on_hook_error().
    EXTENSIBLE_COLD_FUNCTION void add_error_handler(hook_record& hook);
    /// Registers `hook` as a monitor of on_hook_run().
    EXTENSIBLE_COLD_FUNCTION void add_monitor(hook_record& hook);

    /// Removes the hooks of the group. If it is a plugin, it can no longer register hooks. Does nothing if
    /// the group has been removed.
    EXTENSIBLE_COLD_FUNCTION void remove(hook_group& group);
    /// Enables or disables the hooks of the group. Does nothing if the group has been removed.
    EXTENSIBLE_COLD_FUNCTION void set_enabled(hook_group& group, bool enabled);

    /// Removes the predecessor's hooks, and enables the successor's hooks if the predecessor was enabled.
    /// Both happen in one step: no call runs hooks of both plugins. Until then the
    /// successor is disabled.
    EXTENSIBLE_COLD_FUNCTION void replace_plugin(plugin_record& predecessor, plugin_record& successor);

    /// Removes all hooks, when the ext::registry is destroyed. Its functions remain callable.
    void close();

    registry_record* operator->() const noexcept { return registry_.get(); }

private:
    EXTENSIBLE_COLD_FUNCTION void check_registration(std::string_view function, const hook_record& hook) const;
    EXTENSIBLE_COLD_FUNCTION ref<function_record> find_or_make(std::string_view name);
    EXTENSIBLE_COLD_FUNCTION void forget_if_unused(function_record& function) noexcept;
    EXTENSIBLE_COLD_FUNCTION void add(function_record& function, hook_record& hook, const hook_options& options);
    EXTENSIBLE_COLD_FUNCTION void add_handler(wrapper_site& site, std::string_view name, hook_record& hook);
    EXTENSIBLE_COLD_FUNCTION void prepare(std::string_view where, const hook_order& hooks, hook_record& hook,
                                          const hook_options& options) const;

    EXTENSIBLE_COLD_FUNCTION static bool concerns(const function_record& function, const hook_group& group) noexcept;
    EXTENSIBLE_COLD_FUNCTION void finish_registration(hook_record& hook) noexcept;
    EXTENSIBLE_COLD_FUNCTION void remove(const hook_selection& leaving, function_record* from,
                                         const hook_group* coming = nullptr);

    // In this order, so that the lock is released first, then domain.reclaim() runs, and the registry
    // remains until the end.
    const ref<registry_record> registry_;
    struct reclaim_at_end {
        hazard_domain& domain;
        ~reclaim_at_end() { domain.reclaim(); }
    } reclaim_;
    mutex_lock lock_;
};

// The operations of an ext::hook, and of an ext::plugin on its hooks. They do nothing if `group` is null.

// `group` is a copy because the hooks' captures may own the handle, which is then destroyed meanwhile.
template <class Group>
void remove(ref<Group> group) {  // NOLINT(performance-unnecessary-value-param)
    if (group) locked_registry(*group->registry).remove(*group);
}

template <class Group>
void set_enabled(const ref<Group>& group, bool enabled) {
    if (group) locked_registry(*group->registry).set_enabled(*group, enabled);
}

// Waits until `until` at most, if that is not null. Returns false if it gave up. For the copy of `group`,
// see remove().
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
    return hook->registered && hook->is_enabled();
}

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

// ---- Functions by name ----------------------------------------------------------------------------------------------

void locked_registry::check_registration(std::string_view function, const hook_record& hook) const {
    check_open(*registry_, function);
    if (registry_->sealed)
        raise<ext::sealed>(join({function, ": the registry is sealed, so no hook can be registered"}));
    if (!hook.plugin) return;
    if (hook.plugin->registry != registry_)
        raise<error>(join({function, ": the function is in another registry than the plugin ", hook.plugin->name}));
    if (!hook.plugin->registered)
        raise<error>(join({function, ": the plugin ", hook.plugin->name,
                           " is unloaded, so no hook can be registered"}));
}

EXTENSIBLE_CALLED_BY_USERS locked_registry::locked_registry(registry_record& registry)
    : registry_(&registry.checked()), reclaim_{*registry.domain}, lock_(registry.domain->registration()) {
    if (!registry.contents) registry.contents = new registry_contents;
}

EXTENSIBLE_CALLED_BY_USERS locked_registry::~locked_registry() {}

// Returns the record of a name. A new record receives the hooks under patterns that match the name.
ref<function_record> locked_registry::find_or_make(std::string_view name) {
    registry_contents& contents = *registry_->contents;
    if (function_record* const known = contents.functions.find(name)) return ref(known);
    ref made(new function_record(name, registry_));
    matching_hooks(name, contents.patterns).swap(made->hooks);
    contents.functions.add(made);
    return made;
}

// Forgets a name that no code wraps, and that no hook of its own waits for.
void locked_registry::forget_if_unused(function_record& function) noexcept {
    function_table& functions = registry_->contents->functions;
    if (!function.is_wanted() && functions.find(function.name) == &function) functions.erase(function);
}

// ---- Wrappers -------------------------------------------------------------------------------------------------------

EXTENSIBLE_CALLED_BY_USERS void locked_registry::attach(wrapper_site& site, std::string_view name,
                                                        const function_type& type) {
    check_name(name);
    check_open(*registry_, name);
    const ref<function_record> function = find_or_make(name);
    if (function->sites && !(*function->sites->type->signature == *type.signature))
        throw_signature_mismatch(name, *function->sites->type->signature, "second wrapper", *type.signature);
    for (const ordered_hook& each : function->hooks)
        if (each.hook->signature && !(*each.hook->signature == *type.signature))
            throw_signature_mismatch(name, *type.signature, join({text_of(*each.hook), " that waits for it"}),
                                     *each.hook->signature);

    site.function = function;
    site.type = &type;
    // These stores pair with no load, so relaxed would be enough: calls begin only after the wrapper is
    // constructed, and other changes only after the lock is released.
    site.quick_domain.store(registry_->domain, std::memory_order_seq_cst);
    site.hooks.store(function->published, std::memory_order_seq_cst);
    site.next = std::exchange(function->sites, &site);
    if (site.next) return;
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

EXTENSIBLE_CALLED_BY_USERS void locked_registry::detach(wrapper_site& site) {
    function_record& function = *site.function;
    wrapper_site** at = &function.sites;
    while (*at != &site) at = &(*at)->next;
    *at = site.next;
    if (function.sites) return;
    remove(hook_selection::on_wrappers(), &function);
}

// ---- Hooks ----------------------------------------------------------------------------------------------------------

// Prepares a hook for its registration among `hooks`: stores its options, and throws if it cannot be
// registered there.
void locked_registry::prepare(std::string_view where, const hook_order& hooks,
                              hook_record& hook, const hook_options& options) const {
    check_registration(where, hook);
    std::vector<std::string>(options.before).swap(hook.before);
    std::vector<std::string>(options.after).swap(hook.after);
    hook.priority = options.priority.value_or(0);
    hook.replaces = options.replace;
    hook.inherits_turn = hook.replaces && !options.priority && hook.before.empty() && hook.after.empty();
    hook.fallback = options.fallback;
    hook.isolate = options.isolate.value_or(hook.plugin && hook.plugin->isolate);
    hook.reentrant = options.reentrant.value_or(!hook.plugin || hook.plugin->reentrant);
    hook.times = options.times;
    check_options(where, hook, options);
    hook.only_thread = options.this_thread ? registry_->domain->this_thread().number : 0;
    const bool may_skip = !hook.reentrant || hook.fallback || options.this_thread || hook.times != 0;
    hook.needs_check_in_call = hook.isolate || may_skip;
    hook.registry = registry_;
    hook.number = registry_->registrations + 1;
    const hook_record* const first = hook.replaces || hook.id.empty() ? nullptr : find_duplicate(hook, hooks);
    if (first) throw_duplicate(where, *first);
}

// Call it after the change is made: the registration holds the hook from now on.
void locked_registry::finish_registration(hook_record& hook) noexcept {
    registry_->domain->retain(hook);
    hook.registered = true;
    ++registry_->registrations;
}

void locked_registry::add(function_record& function, hook_record& hook, const hook_options& options) {
    prepare(function.name, function.hooks, hook, options);
    if (hook.signature && function.sites && !(*function.sites->type->signature == *hook.signature))
        throw_signature_mismatch(function.name, *function.sites->type->signature, text_of(hook), *hook.signature);
    hook.function = ref(&function);

    change adding(*registry_);
    adding.set_hooks(function, with_hook(function.name, function.hooks, hook));
    if (function.sites == &registry_->monitors) adding.watch(true);
    adding.make();
    finish_registration(hook);
}

void locked_registry::add(const wrapper_site& site, hook_record& hook, const hook_options& options) {
    hook.on_wrapper = true;
    add(*site.function, hook, options);
}

void locked_registry::add(std::string_view name, hook_record& hook, const hook_options& options) {
    check_name(name);
    const ref<function_record> function = find_or_make(name);
    EXTENSIBLE_TRY {
        add(*function, hook, options);
    } EXTENSIBLE_CATCH(...) {
        forget_if_unused(*function);
        EXTENSIBLE_RETHROW;
    }
}

void locked_registry::add_pattern(std::string_view pattern, hook_record& hook, const hook_options& options) {
    prepare(pattern, registry_->contents->patterns, hook, options);
    hook_order patterns = with_hook(pattern, registry_->contents->patterns, hook);
    change adding(*registry_);
    registry_->contents->functions.for_each([&](function_record& function) {
        if (matches(pattern, function.name)) adding.set_hooks(function, with_hook(function.name, function.hooks, hook));
    });
    adding.make();
    registry_->contents->patterns.swap(patterns);
    finish_registration(hook);
}

// `name` is not the name of a wrapped function: it is for the texts of errors.
void locked_registry::add_handler(wrapper_site& site, std::string_view name, hook_record& hook) {
    check_registration(name, hook);
    if (!site.function) {
        site.function = ref(new function_record(name, registry_));
        // Relaxed would be enough: the domain only permits the fast path, which checks the hooks itself.
        // Pairs with the loads of `quick_domain` in hazard_guard.
        site.quick_domain.store(registry_->domain, std::memory_order_seq_cst);
        site.function->sites = &site;
    }
    add(*site.function, hook, no_options());
}

void locked_registry::add_error_handler(hook_record& hook) {
    add_handler(registry_->errors, "on_hook_error", hook);
}
void locked_registry::add_monitor(hook_record& hook) {
    add_handler(registry_->monitors, "on_hook_run", hook);
}

// Returns whether the function has a hook of the group.
bool locked_registry::concerns(const function_record& function, const hook_group& group) noexcept {
    const hook_record* const only = group.only_hook;
    if (!only) return hook_selection::of(group).has_any(function.hooks);
    return only->function ? only->function.get() == &function : matches(only->pattern, function.name);
}

// Removes the `leaving` hooks from the function `from`, or from all functions and patterns if that is
// null. In the same step, the hooks of the plugin `coming` begin to run, unless that is null: call this
// after `coming->predecessor` was cleared.
void locked_registry::remove(const hook_selection& leaving, function_record* from, const hook_group* coming) {
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
    removing.end_registrations(leaving, from);
    if (from) return forget_if_unused(*from);
    contents.patterns.swap(patterns);
    end_registrations(leaving, patterns, nullptr);  // the former patterns
    contents.functions.for_each([this](function_record& function) { forget_if_unused(function); });
}

void locked_registry::remove(hook_group& group) {
    if (!group.registered) return;
    const ref<function_record> function = group.only_hook ? group.only_hook->function : ref<function_record>();
    remove(hook_selection::of(group), function.get());
    group.registered = false;
}

void locked_registry::set_enabled(hook_group& group, bool enabled) {
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

void locked_registry::replace_plugin(plugin_record& predecessor, plugin_record& successor) {
    // From here on, the `before`, `after` and ids of the successor's hooks take effect.
    const ref<plugin_record> replaced = std::exchange(successor.predecessor, {});
    successor.enabled = predecessor.enabled;
    EXTENSIBLE_TRY {
        remove(hook_selection::of(predecessor), nullptr, &successor);
    } EXTENSIBLE_CATCH(...) {
        successor.enabled = false;
        successor.predecessor = replaced;
        EXTENSIBLE_RETHROW;
    }
    predecessor.registered = false;
}

EXTENSIBLE_CALLED_BY_USERS void locked_registry::close() {
    for (wrapper_site* handlers : {&registry_->errors, &registry_->monitors}) {
        const ref<function_record> function = std::exchange(handlers->function, {});
        if (function) remove(hook_selection::all(), function.get());
    }
    remove(hook_selection::all(), nullptr);
    registry_->contents->functions.clear();
    registry_->closed = true;
}

#endif

}}}  // namespace ext::detail
