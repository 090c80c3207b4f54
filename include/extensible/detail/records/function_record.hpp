#pragma once

// What is known about a function of one name: its wrappers, and its hooks in running order?

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

/// What the calls of a function are like, as far as registering needs to know. In static storage of the function's module.
struct function_type {
    const type_identity* signature;
    const type_identity* sub_task;  // how parts of its calls are awaited; null where the function is not awaited
};

/// A place in the order of hooks. Smaller ones run first.
struct turn {
    phase when{};
    int priority = 0;
    std::uint64_t number = 0;  // of a registration
    friend bool operator==(const turn&, const turn&) = default;
    EXTENSIBLE_ALWAYS_INLINE friend bool operator<(const turn& a, const turn& b) noexcept {
        if (a.when != b.when) return a.when < b.when;
        return a.priority != b.priority ? a.priority < b.priority : a.number < b.number;
    }
};

/// A hook, and the turn that it takes among the hooks of a function: see order.hpp. The holders of a hook own it, see hook_record.
struct ordered_hook {
    hook_record* hook;
    turn taken;
};
using hook_order = array<ordered_hook>;  // in running order, phase by phase

/// Selects the hooks of `group`. If that is null: all hooks if `all` is true, else those registered on an object.
struct hook_selection {
    const hook_group* group;
    bool all;
    bool has(const hook_record& hook) const noexcept { return group ? group->has(hook) : all || hook.on_object; }
    bool has_any(const hook_order& hooks) const noexcept {
        for (const ordered_hook& each : hooks)
            if (has(*each.hook)) return true;
        return false;
    }
};

/// The part of a wrapper that the registry writes to. A call without hooks reads the first member, and nothing else. The second
/// has its place in every version of the library: the stamp of the registry tells whether the rest can be read.
struct wrapper_site {
    mutable atomic<const hook_list*> hooks{nullptr};  // null when there is no enabled hook
    registry_record* registry = nullptr;              // set first, and then constant; the function keeps it

    // The hazard domain; null while the hooks of several sites are being changed in one step. See hazard_guard.
    atomic<const void*> quick_domain{nullptr};

    // Constant while the site is attached.
    ref<function_record> function{};
    const function_type* type = nullptr;  // null for error handlers

    wrapper_site* next = nullptr;  // the function's other wrappers; guarded by the registration lock
};

/// One name in a registry.
struct function_record : reference_counted {
    const std::string name;
    const ref<registry_record> registry;

    // Guarded by the registration lock.
    wrapper_site* sites = nullptr;           // the wrappers; none means that the hooks are waiting
    hook_order hooks;                // disabled ones and those under patterns too
    hook_list* published = nullptr;  // what every site points to

    function_record* next_of_bucket = nullptr;  // in the registry's table of functions

    EXTENSIBLE_COLD_FUNCTION function_record(std::string_view called, const ref<registry_record>& home);
    EXTENSIBLE_COLD_FUNCTION ~function_record();

    /// Whether somebody wraps it, or a hook of its own waits for it.
    EXTENSIBLE_COLD_FUNCTION bool is_wanted() const noexcept;
};

}}}  // namespace ext::detail
