#pragma once

// How do wrappers and hooks come together? Everything that changes a registry: each change happens whole or not at all,
// in one step for the calls that begin afterwards.

#include <extensible/detail/hazard.hpp>
#include <extensible/detail/order.hpp>
#include <extensible/detail/reclaim.hpp>
#include <extensible/detail/records.hpp>
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

using hooks_in_order = std::vector<ref<hook_record>>;

/// Destroys at the end of its scope the hook lists that have been replaced in it. It stands before the lock in every
/// function below, because that may destroy what hooks captured, which is foreign code.
struct reclaim_when_unlocked {
    ~reclaim_when_unlocked() { hazards().reclaim(); }
};

// ---- Errors, each raised in one place -------------------------------------------------------------------------------

inline std::string text_of(const hook_record& hook) {
    std::string text = std::string(name_of(hook.when)) + " hook";
    if (!hook.id.empty()) text += " '" + hook.id + "'";
    return text;
}

[[noreturn]] inline void throw_signature_mismatch(std::string_view function, const type_identity& wrapped,
                                                  const std::string& other, const type_identity& given) {
    throw signature_mismatch(std::string(function) + ": the function is " + std::string(wrapped.name) + ", the " + other +
                             " is for " + std::string(given.name));
}

inline void check_name(std::string_view name) {
    if (name.empty()) throw error("ext: a function's name must not be empty");
}

inline void check_open(const registry_record& registry, std::string_view function) {
    if (registry.closed) throw error(std::string(function) + ": its registry is gone, no hook can be registered");
}

// ---- One change -----------------------------------------------------------------------------------------------------

/// Gives the function these hooks, in running order, and publishes those that are enabled. `removed` were among its hooks
/// and are no more. Throws std::bad_alloc at most, and then nothing has changed. The mutex is held.
inline void set_hooks(function_record& function, hooks_in_order hooks, const hooks_in_order& removed) {
    std::vector<hook_record*> running, unlisted;
    if (function.sites)
        for (const auto& hook : hooks)
            if (hook->enabled) running.push_back(hook.get());
    // What a removed hook captured goes with the list that holds it. One that is in no list, because it is disabled or
    // waiting, gets one for that.
    for (const auto& hook : removed)
        if (!function.published || !function.published->contains(*hook)) unlisted.push_back(hook.get());

    const ref<function_record> self(&function);
    hook_list* const next = running.empty() ? nullptr : hook_list::make(self, running);
    hook_list* leaving = nullptr;
    try {
        if (!unlisted.empty()) leaving = hook_list::make(self, unlisted);
    } catch (...) {
        if (next) hazards().retire(next);  // it has never been published
        throw;
    }

    hook_list* const replaced = std::exchange(function.published, next);
    // In the order of a sequentially consistent store: a call either finds the new list, or is found holding the old one.
    for (site* s = function.sites; s; s = s->next) s->hooks.store(next, std::memory_order_seq_cst);
    function.hooks = std::move(hooks);
    for (const auto& hook : removed) {
        hook->registered = false;
        hook->release();  // the registration's hold; a list that is not retired yet has another one
    }
    // Under the same lock: who removes a hook next has to find every list that it ever was in.
    if (replaced) hazards().retire(replaced);
    if (leaving) hazards().retire(leaving);
}

/// Where the function of this name stands in the registry, or would stand. The mutex is held.
inline std::vector<ref<function_record>>::iterator place_of(registry_record& registry, std::string_view name) noexcept {
    return std::lower_bound(registry.functions.begin(), registry.functions.end(), name,
                            [](const ref<function_record>& function, std::string_view n) { return function->name < n; });
}

/// The record of a name, made where there is none. The mutex is held.
inline ref<function_record> find_or_make(registry_record& registry, std::string_view name) {
    const auto at = place_of(registry, name);
    if (at != registry.functions.end() && (*at)->name == name) return *at;
    return *registry.functions.insert(at, ref(new function_record(name, ref(&registry))));
}

/// Forgets a name that nobody wraps and no hook waits for. The mutex is held.
inline void forget_if_unused(function_record& function) noexcept {
    if (function.sites || !function.hooks.empty()) return;
    registry_record& registry = *function.registry;
    const auto at = place_of(registry, function.name);
    if (at != registry.functions.end() && at->get() == &function) registry.functions.erase(at);
}

// ---- Wrappers -------------------------------------------------------------------------------------------------------

/// A wrapper of `name` appears at `place`. The hooks that wait for it are attached.
inline void attach(registry_record& registry, std::string_view name, const type_identity& signature, site& place) {
    check_name(name);
    const ref<registry_record> alive(&registry);
    const reclaim_when_unlocked reclaim;
    const std::lock_guard lock(registry.mutex);
    check_open(registry, name);
    const ref<function_record> function = find_or_make(registry, name);
    if (function->sites && !(*function->sites->signature == signature))
        throw_signature_mismatch(name, *function->sites->signature, "second wrapper", signature);
    for (const auto& hook : function->hooks)
        if (!(*hook->signature == signature))
            throw_signature_mismatch(name, signature, text_of(*hook) + " that waits for it", *hook->signature);

    place.function = function;
    place.signature = &signature;
    place.next = std::exchange(function->sites, &place);
    if (place.next) {
        place.hooks.store(function->published, std::memory_order_seq_cst);
    } else {
        try {
            set_hooks(*function, function->hooks, {});
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
    const reclaim_when_unlocked reclaim;
    const std::lock_guard lock(registry->mutex);
    site** at = &function->sites;
    while (*at != &place) at = &(*at)->next;
    *at = place.next;
    if (function->sites || function->hooks.empty()) return forget_if_unused(*function);

    hooks_in_order staying, leaving;
    for (const auto& hook : function->hooks) (hook->on_object ? leaving : staying).push_back(hook);
    set_hooks(*function, in_running_order(std::move(staying)), leaving);
    forget_if_unused(*function);
}

// ---- Hooks ----------------------------------------------------------------------------------------------------------

/// Registers `hook` on `function`. The mutex is held.
inline void add(const ref<function_record>& function, const ref<hook_record>& hook, hook_options& options) {
    hook->id = std::move(options.id);
    hook->before = std::move(options.before);
    hook->after = std::move(options.after);
    if (function->sites && !(*function->sites->signature == *hook->signature))
        throw_signature_mismatch(function->name, *function->sites->signature, text_of(*hook), *hook->signature);

    std::size_t namesake = 0;
    while (namesake < function->hooks.size() &&
           (hook->id.empty() || function->hooks[namesake]->when != hook->when || function->hooks[namesake]->id != hook->id))
        ++namesake;
    hooks_in_order hooks = function->hooks, leaving;
    if (namesake == hooks.size()) {
        hook->number = function->registry->registrations + 1;
        hook->priority = options.priority.value_or(0);
    } else {
        const hook_record& first = *hooks[namesake];
        if (!options.replace)
            throw duplicate_hook(function->name + ": there is a " + text_of(first) +
                                 " already; remove it, or set .replace to take its place");
        leaving.push_back(hooks[namesake]);
        hooks.erase(hooks.begin() + static_cast<std::ptrdiff_t>(namesake));
        hook->number = first.number;
        hook->priority = options.priority.value_or(first.priority);
        if (hook->before.empty()) hook->before = first.before;
        if (hook->after.empty()) hook->after = first.after;
    }
    hook->function = function;
    hooks.push_back(hook);
    set_hooks(*function, in_running_order(std::move(hooks)), leaving);
    hook->registered = true;
    ++function->registry->registrations;
}

/// Registers `hook` by name. The function may not be wrapped yet.
inline void add(registry_record& registry, std::string_view name, const ref<hook_record>& hook,
                hook_options& options) {
    check_name(name);
    const ref<registry_record> alive(&registry);
    const reclaim_when_unlocked reclaim;
    const std::lock_guard lock(registry.mutex);
    check_open(registry, name);
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
    const reclaim_when_unlocked reclaim;
    const std::lock_guard lock(registry->mutex);
    check_open(*registry, place.function->name);
    hook->on_object = true;
    add(place.function, hook, options);
}

/// Removes the hook from its function, if it is still there.
inline void remove(const ref<hook_record>& hook) {
    const ref<function_record> function = hook->function;
    const ref<registry_record> registry = function->registry;
    const reclaim_when_unlocked reclaim;
    const std::lock_guard lock(registry->mutex);
    if (!hook->registered) return;
    hooks_in_order staying;
    for (const auto& other : function->hooks)
        if (other != hook) staying.push_back(other);
    set_hooks(*function, in_running_order(std::move(staying)), {hook});
    forget_if_unused(*function);
}

/// Enables or disables the hook, if it is still registered.
inline void set_enabled(const ref<hook_record>& hook, bool enabled) {
    const ref<function_record> function = hook->function;
    const ref<registry_record> registry = function->registry;
    const reclaim_when_unlocked reclaim;
    const std::lock_guard lock(registry->mutex);
    if (!hook->registered || hook->enabled == enabled) return;
    hook->enabled = enabled;
    try {
        set_hooks(*function, function->hooks, {});
    } catch (...) {
        hook->enabled = !enabled;
        throw;
    }
}

inline bool is_active(const ref<hook_record>& hook) {
    const ref<registry_record> registry = hook->function->registry;
    const std::lock_guard lock(registry->mutex);
    return hook->registered && hook->enabled;
}

/// The ext::registry goes: its hooks are removed, its functions go on without.
inline void close(registry_record& registry) {
    const reclaim_when_unlocked reclaim;
    std::vector<ref<function_record>> functions;
    const std::lock_guard lock(registry.mutex);
    registry.closed = true;
    functions.swap(registry.functions);
    for (const auto& function : functions) set_hooks(*function, {}, hooks_in_order(function->hooks));
}

}  // namespace ext::detail
