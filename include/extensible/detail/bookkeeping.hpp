#pragma once

// How do wrappers and hooks come together? Everything that changes a registry: each change happens whole or not at all,
// in one step for the calls that begin afterwards.

#include <extensible/detail/change.hpp>
#include <extensible/detail/hazard.hpp>
#include <extensible/detail/order.hpp>
#include <extensible/detail/pattern.hpp>
#include <extensible/detail/records.hpp>
#include <extensible/detail/run_guarded.hpp>
#include <extensible/error.hpp>
#include <extensible/options.hpp>

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ext::detail {

/// Destroys at the end of its scope the hook lists that have been replaced in it. It stands before the lock in every
/// function below, because that may destroy what hooks captured, which is foreign code.
struct reclaim_when_unlocked {
    explicit reclaim_when_unlocked(registry_record& registry) noexcept : domain(*registry.domain) {}
    ~reclaim_when_unlocked() { domain.reclaim(); }
    hazard_domain& domain;
};

// ---- Errors, each raised in one place -------------------------------------------------------------------------------

inline std::string text_of(const hook_record& hook) {
    std::string text = std::string(to_string(hook.when)) + " hook";
    if (!hook.id.empty()) text += " '" + hook.id + "'";
    if (!hook.pattern.empty()) text += " for '" + hook.pattern + "'";
    if (hook.owner) text += " of " + hook.owner->name;
    return text;
}

[[noreturn]] inline void throw_signature_mismatch(std::string_view function, const type_identity& wrapped,
                                                  const std::string& other, const type_identity& given) {
    throw signature_mismatch(std::string(function) + ": the function is " + std::string(wrapped.name) + ", the " + other +
                             " is for " + std::string(given.name));
}

[[noreturn]] inline void throw_duplicate(std::string_view function, const hook_record& first, const hook_record& second) {
    // A hook of one function cannot take the place of one that other functions have too, nor the other way round.
    const bool alike = first.pattern.empty() == second.pattern.empty();
    throw duplicate_hook(std::string(function) + ": there is a " + text_of(first) + " already; " +
                         (alike ? "remove it, or set .replace to take its place" : "remove it, or choose another id"));
}

inline void check_name(std::string_view name) {
    if (name.empty()) throw error("ext: a function's name must not be empty");
    if (is_pattern(name))
        throw error(std::string(name) + ": a name with '*' is a pattern; it takes hooks that take an ext::any_call&, and no "
                                        "function may be called so");
}

inline void check_open(const registry_record& registry, std::string_view function) {
    if (registry.closed) throw error(std::string(function) + ": its registry is gone, no hook can be registered");
}

/// Whether `hook` may be registered now. The mutex is held.
inline void check_registration(const registry_record& registry, std::string_view function, const hook_record& hook) {
    check_open(registry, function);
    if (registry.sealed) throw ext::sealed(std::string(function) + ": the registry is sealed, no hook can be registered");
    if (!hook.owner) return;
    if (hook.owner->registry.get() != &registry)
        throw error(std::string(function) + ": the function is in another registry than the plugin " + hook.owner->name);
    if (hook.owner->unloaded)
        throw error(std::string(function) + ": the plugin " + hook.owner->name + " is unloaded, no hook can be registered");
}

// ---- Functions by name ----------------------------------------------------------------------------------------------

// No std::span of them: in GCC 12 its constructor uses variables that the dynamic linker keeps a library in memory for.
using function_records = std::vector<ref<function_record>>;

/// Where the function of this name stands in the registry, or would stand. The mutex is held.
inline function_records::iterator place_of(registry_record& registry, std::string_view name) noexcept {
    return std::lower_bound(registry.functions.begin(), registry.functions.end(), name,
                            [](const ref<function_record>& function, std::string_view n) { return function->name < n; });
}

/// The record of a name, made where there is none: with the hooks under patterns that match it. The mutex is held.
inline ref<function_record> find_or_make(registry_record& registry, std::string_view name) {
    const auto at = place_of(registry, name);
    if (at != registry.functions.end() && (*at)->name == name) return *at;
    hooks_in_order hooks;
    for (const auto& hook : registry.patterns)
        if (matches(hook->pattern, name)) hooks.push_back(hook);
    ref made(new function_record(name, ref(&registry)));
    made->hooks = in_running_order(name, std::move(hooks));
    return *registry.functions.insert(at, std::move(made));
}

/// Forgets a name that nobody wraps and no hook of its own waits for. The mutex is held.
inline void forget_if_unused(function_record& function) noexcept {
    if (function.wanted()) return;
    registry_record& registry = *function.registry;
    const auto at = place_of(registry, function.name);
    if (at != registry.functions.end() && at->get() == &function) registry.functions.erase(at);
}

// ---- Wrappers -------------------------------------------------------------------------------------------------------

/// A wrapper of `name` appears at `place`. The hooks that wait for it are attached.
inline void attach(registry_record& registry, std::string_view name, const call_operations& operations, site& place) {
    const type_identity& signature = *operations.signature;
    check_name(name);
    const ref<registry_record> alive(&registry);
    const reclaim_when_unlocked reclaim(registry);
    const std::lock_guard lock(registry.mutex);
    check_open(registry, name);
    const ref<function_record> function = find_or_make(registry, name);
    if (function->sites && !(*function->sites->operations->signature == signature))
        throw_signature_mismatch(name, *function->sites->operations->signature, "second wrapper", signature);
    for (const auto& hook : function->hooks)
        if (hook->signature && !(*hook->signature == signature))
            throw_signature_mismatch(name, signature, text_of(*hook) + " that waits for it", *hook->signature);

    place.domain = registry.domain;
    place.function = function;
    place.operations = &operations;
    place.next = std::exchange(function->sites, &place);
    if (place.next) {
        place.hooks.store(function->published, std::memory_order_seq_cst);
    } else {
        try {
            change attaching(registry);
            attaching.set_hooks(*function, function->hooks);
            attaching.make();
        } catch (...) {
            function->sites = nullptr;
            forget_if_unused(*function);
            throw;
        }
    }
}

/// The wrapper goes. With the last one go the hooks that were registered on the function itself.
inline void detach(site& place) {
    const ref<function_record> function = place.function;
    const ref<registry_record> registry = function->registry;
    const reclaim_when_unlocked reclaim(*registry);
    const std::lock_guard lock(registry->mutex);
    site** at = &function->sites;
    while (*at != &place) at = &(*at)->next;
    *at = place.next;
    if (function->sites || function->hooks.empty()) return forget_if_unused(*function);

    change detaching(*registry);
    hooks_in_order staying;
    for (const auto& hook : function->hooks) {
        if (hook->on_object) detaching.remove(hook);
        else staying.push_back(hook);
    }
    detaching.set_hooks(*function, in_running_order(function->name, std::move(staying)));
    detaching.make();
    forget_if_unused(*function);
}

// ---- Hooks ----------------------------------------------------------------------------------------------------------

/// What a registration says of its hook, but for the priority, which may come from a hook that it replaces.
inline void take_options(std::string_view function, hook_record& hook, hook_options& options) {
    hook.id = std::move(options.id);
    hook.before = std::move(options.before);
    hook.after = std::move(options.after);
    hook.isolate = options.isolate.value_or(hook.owner && hook.owner->isolate);
    hook.reentrant = options.reentrant.value_or(!hook.owner || hook.owner->reentrant);
    // What an awaited hook throws is met where it is awaited.
    hook.run = !hook.stage && (hook.isolate || !hook.reentrant) ? &run_guarded : hook.erased.run;
    if (hook.stage && !hook.reentrant)
        throw error(std::string(function) + ": the " + text_of(hook) + " is awaited, and may go on on any thread; it cannot be "
                                            "registered with .reentrant = false");
}

/// The hook of this phase and id, null when there is none or the id is empty.
inline ref<hook_record> find_hook(const hooks_in_order& hooks, phase when, std::string_view id) noexcept {
    for (const auto& hook : hooks)
        if (!id.empty() && hook->when == when && hook->id == id) return hook;
    return {};
}

/// The same hooks without `leaving`, which may be null, and with `added`, which may be null, in running order.
inline hooks_in_order exchanged(std::string_view function, const hooks_in_order& hooks, const ref<hook_record>& leaving,
                                const ref<hook_record>& added) {
    hooks_in_order changed;
    changed.reserve(hooks.size() + 1);
    for (const auto& hook : hooks)
        if (hook != leaving) changed.push_back(hook);
    if (added) changed.push_back(added);
    return in_running_order(function, std::move(changed));
}

/// Registers `hook` on functions of which `is_target` is true, in the place of `first` if that is not null.
/// The mutex is held.
template <class Predicate>
void add(registry_record& registry, const ref<hook_record>& hook, const ref<hook_record>& first, hook_options& options,
         const function_records& functions, Predicate is_target) {
    hook->number = first ? first->number : registry.registrations + 1;
    hook->priority = options.priority.value_or(first ? first->priority : 0);
    if (first && hook->before.empty()) hook->before = first->before;
    if (first && hook->after.empty()) hook->after = first->after;

    change adding(registry);
    for (const auto& function : functions) {
        const bool target = is_target(*function);
        if (target || (first && find_hook(function->hooks, first->when, first->id) == first))
            adding.set_hooks(*function, exchanged(function->name, function->hooks, first, target ? hook : ref<hook_record>()));
    }
    if (first) adding.remove(first);
    adding.make();
    hook->registered = true;
    ++registry.registrations;
}

/// Registers `hook` on `function`. The mutex is held.
inline void add(const ref<function_record>& function, const ref<hook_record>& hook, hook_options& options) {
    take_options(function->name, *hook, options);
    if (hook->signature && function->sites && !(*function->sites->operations->signature == *hook->signature))
        throw_signature_mismatch(function->name, *function->sites->operations->signature, text_of(*hook), *hook->signature);
    const ref<hook_record> first = find_hook(function->hooks, hook->when, hook->id);
    if (first && (!options.replace || !first->function)) throw_duplicate(function->name, *first, *hook);
    hook->function = function;
    add(*function->registry, hook, first, options, {function}, [](const function_record&) { return true; });
}

/// Registers `hook` by name. The function may not be wrapped yet.
inline void add(registry_record& registry, std::string_view name, const ref<hook_record>& hook, hook_options& options) {
    check_name(name);
    const ref<registry_record> alive(&registry);
    const reclaim_when_unlocked reclaim(registry);
    const std::lock_guard lock(registry.mutex);
    check_registration(registry, name, *hook);
    hook->registry = alive;
    const ref<function_record> function = find_or_make(registry, name);
    try {
        add(function, hook, options);
    } catch (...) {
        forget_if_unused(*function);
        throw;
    }
}

/// Registers `hook` on a wrapped function.
inline void add(const site& place, const ref<hook_record>& hook, hook_options& options) {
    const ref<registry_record> registry = place.function->registry;
    const reclaim_when_unlocked reclaim(*registry);
    const std::lock_guard lock(registry->mutex);
    check_registration(*registry, place.function->name, *hook);
    hook->registry = registry;
    hook->on_object = true;
    add(place.function, hook, options);
}

/// Registers `hook`, which takes calls of any function, for those whose names match, now or later.
inline void add_pattern(registry_record& registry, std::string_view pattern, const ref<hook_record>& hook,
                        hook_options& options) {
    if (pattern.empty()) throw error("ext: a pattern must not be empty; '*' stands for all functions");
    const ref<registry_record> alive(&registry);
    const reclaim_when_unlocked reclaim(registry);
    const std::lock_guard lock(registry.mutex);
    check_registration(registry, pattern, *hook);
    hook->registry = alive;
    hook->pattern = pattern;
    take_options(pattern, *hook, options);

    const ref<hook_record> first = find_hook(registry.patterns, hook->when, hook->id);
    if (first && !options.replace) throw_duplicate(pattern, *first, *hook);
    const auto is_target = [&](const function_record& function) { return matches(pattern, function.name); };
    for (const auto& function : registry.functions) {
        if (!is_target(*function)) continue;
        const ref<hook_record> namesake = find_hook(function->hooks, hook->when, hook->id);
        if (namesake && namesake != first) throw_duplicate(function->name, *namesake, *hook);
    }
    // In one function that all patterns match these must have an order; then they have one in each.
    hooks_in_order patterns = exchanged(pattern, registry.patterns, first, hook);
    add(registry, hook, first, options, registry.functions, is_target);
    registry.patterns = std::move(patterns);
}

/// Registers `hook` as a handler of the exceptions that no caller sees.
inline void add_error_handler(registry_record& registry, const ref<hook_record>& hook) {
    constexpr std::string_view name = "on_hook_error";  // of no function; stands in an error's text
    const ref<registry_record> alive(&registry);
    const reclaim_when_unlocked reclaim(registry);
    const std::lock_guard lock(registry.mutex);
    check_registration(registry, name, *hook);
    hook->registry = alive;
    if (!registry.errors.function) {
        const ref function(new function_record(name, alive));
        function->sites = &registry.errors;
        registry.errors.function = function;
    }
    hook_options options;
    add(registry.errors.function, hook, options);
}

/// Removes the hooks of these functions, and of the patterns, that are so. The mutex is held.
template <class Predicate>
void remove(registry_record& registry, const function_records& functions, Predicate is_removed) {
    change removing(registry);
    hooks_in_order patterns;
    for (const auto& hook : registry.patterns) {
        if (is_removed(*hook)) removing.remove(hook);
        else patterns.push_back(hook);
    }
    function_records changed;
    for (const auto& function : functions) {
        hooks_in_order staying;
        for (const auto& hook : function->hooks) {
            if (!is_removed(*hook)) staying.push_back(hook);
            else if (hook->function) removing.remove(hook);
        }
        if (staying.size() == function->hooks.size()) continue;
        removing.set_hooks(*function, in_running_order(function->name, std::move(staying)));
        changed.push_back(function);
    }
    removing.make();
    registry.patterns = std::move(patterns);
    for (const auto& function : changed) forget_if_unused(*function);
}

/// The functions that may have the hook. The mutex is held.
inline function_records functions_of(const hook_record& hook) {
    if (hook.function) return {hook.function};
    return hook.registry->functions;
}

/// Removes the hook, if it is still registered.
inline void remove(const ref<hook_record>& hook) {
    const ref<registry_record> registry = hook->registry;
    const reclaim_when_unlocked reclaim(*registry);
    const std::lock_guard lock(registry->mutex);
    if (hook->registered)
        remove(*registry, functions_of(*hook), [&](const hook_record& other) { return &other == hook.get(); });
}

/// Sets `enabled`, which stands in hooks for which `concerns` is true or in their owner. The mutex is held.
template <class Predicate>
void set_enabled(registry_record& registry, bool& enabled, bool wanted, const function_records& functions,
                 Predicate concerns) {
    if (enabled == wanted) return;
    enabled = wanted;
    try {
        change enabling(registry);
        for (const auto& function : functions) {
            bool concerned = false;
            for (const auto& hook : function->hooks) concerned |= concerns(*hook);
            if (concerned) enabling.set_hooks(*function, function->hooks);
        }
        enabling.make();
    } catch (...) {
        enabled = !wanted;
        throw;
    }
}

/// Enables or disables the hook, if it is still registered.
inline void set_enabled(const ref<hook_record>& hook, bool wanted) {
    const ref<registry_record> registry = hook->registry;
    const reclaim_when_unlocked reclaim(*registry);
    const std::lock_guard lock(registry->mutex);
    if (hook->registered)
        set_enabled(*registry, hook->enabled, wanted, functions_of(*hook),
                    [&](const hook_record& other) { return &other == hook.get(); });
}

inline bool is_active(const ref<hook_record>& hook) {
    const ref<registry_record> registry = hook->registry;
    const std::lock_guard lock(registry->mutex);
    return hook->registered && hook->runs();
}

// ---- Owners ---------------------------------------------------------------------------------------------------------

/// Enables or disables all hooks of the owner.
inline void set_enabled(owner_record& owner, bool wanted) {
    const ref<registry_record> registry = owner.registry;
    const reclaim_when_unlocked reclaim(*registry);
    const std::lock_guard lock(registry->mutex);
    set_enabled(*registry, owner.enabled, wanted, registry->functions,
                [&](const hook_record& hook) { return hook.owner.get() == &owner; });
}

/// Removes all hooks of the owner, and it can register no more.
inline void unload(owner_record& owner) {
    const ref<registry_record> registry = owner.registry;
    const reclaim_when_unlocked reclaim(*registry);
    const std::lock_guard lock(registry->mutex);
    const auto is_owned = [&](const hook_record& hook) { return hook.owner.get() == &owner; };
    if (!owner.unloaded) remove(*registry, registry->functions, is_owned);
    owner.unloaded = true;
}

// ---- Registries -----------------------------------------------------------------------------------------------------

inline void seal(registry_record& registry) {
    const std::lock_guard lock(registry.mutex);
    registry.sealed = true;
}

/// The ext::registry goes: its hooks are removed, its functions go on without.
inline void close(registry_record& registry) {
    const reclaim_when_unlocked reclaim(registry);
    function_records functions;
    const std::lock_guard lock(registry.mutex);
    functions = registry.functions;
    if (registry.errors.function) functions.push_back(std::exchange(registry.errors.function, {}));
    remove(registry, functions, [](const hook_record&) { return true; });
    registry.functions.clear();
    registry.closed = true;
}

}  // namespace ext::detail
