#pragma once

// What is known about a function of one name: its wrappers, and its hooks in running order?
//
// What must stay true, except while a change is being committed:
// 1. All wrappers of a name point to the same list, `published` (tests/wrapper.cpp; tests/explorer,
//    scenarios "twosites" and "detach").
// 2. `hooks` is in running order, see order.hpp (tests/order.cpp).
// 3. If a function is wrapped, its wrappers have one signature, and each of its hooks is for that
//    signature or for any (tests/registry.cpp, tests/wrapper.cpp).
//
// Not here: which hooks a call runs: hook_list.hpp. How hooks and lists are changed:
// registry/change.hpp. The names of a registry: registry_record.hpp.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/system.hpp>
#include <extensible/detail/records/array.hpp>
#include <extensible/detail/records/hook_record.hpp>
#include <extensible/detail/records/ref.hpp>
#include <extensible/detail/types/type_identity.hpp>
#include <extensible/phase.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

struct function_record;
struct hook_list;
struct registry_record;

/// What registering needs to know about a function's calls. In static storage of the function's
/// module.
struct function_type {
    const type_identity* signature;
    const type_identity* sub_task;  // the type of the sub-tasks of its calls; null if they are not awaited
};

/// A position in the order of hooks. Smaller ones run first.
struct turn {
    phase when{};
    int priority = 0;
    std::uint64_t number = 0;  // a hook_record::number
    friend bool operator==(const turn&, const turn&) = default;
    EXTENSIBLE_ALWAYS_INLINE friend bool operator<(const turn& a, const turn& b) noexcept {
        if (a.when != b.when) return a.when < b.when;
        return a.priority != b.priority ? a.priority < b.priority : a.number < b.number;
    }
};

/// A hook, and the turn that it takes among the hooks of a function: see order.hpp. It does not own
/// the hook: see hook_record::holders.
struct ordered_hook {
    hook_record* hook;
    turn taken;
};
using hook_order = array<ordered_hook>;  // in running order, phase by phase

/// Selects hooks: those of a group, those that were registered on a wrapper, or all.
struct hook_selection {
    const hook_group* group;  // null: those on wrappers, or all
    bool selects_all;

    static hook_selection of(const hook_group& group) noexcept { return {&group, false}; }
    static hook_selection on_wrappers() noexcept { return {nullptr, false}; }
    static hook_selection all() noexcept { return {nullptr, true}; }

    bool has(const hook_record& hook) const noexcept {
        return group ? group->has(hook) : selects_all || hook.on_wrapper;
    }
    bool has_any(const hook_order& hooks) const noexcept {
        for (const ordered_hook& each : hooks)
            if (has(*each.hook)) return true;
        return false;
    }
};

/// The part of a wrapper that the registry writes to. A call without hooks reads only the first member.
/// The first two members have the same offset in every version of the library: code that registers a
/// hook reads the stamp of `registry` first, and other members only if that matches its own stamp.
struct wrapper_site {
    // The list that calls run; null if the function has no enabled hook. Each call reads it. Changes
    // write it under the registration lock. A call that completes a step writes it without the lock,
    // by compare-and-exchange: see hazard_guard::complete_step().
    mutable atomic<const hook_list*> hooks{nullptr};

    // Set when the wrapper is constructed, then constant. `function` keeps the registry_record alive.
    registry_record* registry = nullptr;

    // The hazard domain, which lets calls protect the list on the fast path. Null while the hooks of
    // several sites are being changed in one step: calls then look for the step. Written under the
    // registration lock, read by each call with hooks: see hazard_guard and change.
    atomic<const void*> quick_domain{nullptr};

    // Written under the registration lock when the site is attached, then constant.
    ref<function_record> function{};
    const function_type* type = nullptr;  // null for error handlers and monitors

    // The next wrapper of the function. Guarded by the registration lock.
    wrapper_site* next = nullptr;
};

/// One name in a registry.
struct function_record : reference_counted {
    const std::string name;
    const ref<registry_record> registry;

    // Guarded by the registration lock.
    wrapper_site* sites = nullptr;   // the wrappers; null if the hooks wait for the function to be wrapped
    hook_order hooks;                // including disabled hooks, and hooks under patterns that match the name
    hook_list* published = nullptr;  // the list that every site points to; null if calls run no hook
    function_record* next_of_bucket = nullptr;  // in the registry's function_table

    EXTENSIBLE_COLD_FUNCTION function_record(std::string_view called, const ref<registry_record>& home);
    EXTENSIBLE_COLD_FUNCTION ~function_record();

    /// Returns whether the function has a wrapper, or a hook of its own, which is not under a pattern.
    EXTENSIBLE_COLD_FUNCTION bool is_wanted() const noexcept;
};

}}}  // namespace ext::detail
