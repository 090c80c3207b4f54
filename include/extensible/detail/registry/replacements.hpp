#pragma once

// Which hook runs in place of another, and which hooks can run in the calls of a function?
//
// What must stay true:
// 1. Hooks replace each other if they have the same id, phase and pattern. The newest one with
//    `.replace` runs in place of all others. The hook without `.replace` is treated as the oldest,
//    whenever it was registered (tests/registry.cpp, tests/order.cpp, tests/model).
// 2. An awaited hook runs only in calls that have the same type of sub-task. A plain hook runs in all
//    calls, but not around awaited ones (tests/describe.cpp, tests/awaitable.cpp, tests/model).
//
// Not here: which position a replacing hook has: order.hpp. Which hook runs if a call skips the
// replacing one: choose() in call/hook_run.hpp.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/records/array.hpp>
#include <extensible/detail/records/function_record.hpp>
#include <extensible/detail/records/hook_record.hpp>
#include <extensible/detail/types/type_identity.hpp>
#include <extensible/phase.hpp>

#include <cstddef>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// Returns whether calls of the function can run the hook: see 2 above. The answer may differ between
/// functions that match one pattern. `function` is null for error handlers and monitors.
EXTENSIBLE_COLD_FUNCTION bool can_run_in(const hook_record& hook, const function_type* function) noexcept;

/// Finds out which hooks replace each other, among the enabled hooks that can run in calls of a
/// function. If `function` is null, among the enabled hooks under patterns. See 1 above.
class EXTENSIBLE_HIDDEN replacements {
public:
    replacements() noexcept = default;
    EXTENSIBLE_COLD_FUNCTION replacements(const hook_order& hooks, const function_record* function);

    /// Returns the hook that runs in place of this one, or null.
    EXTENSIBLE_COLD_FUNCTION hook_record* replacement_of(const hook_record& hook) const noexcept;
    /// Returns the hook that runs if a call skips this one: the newest of the older hooks that it
    /// replaces, or null.
    EXTENSIBLE_COLD_FUNCTION hook_record* next_replaced(const hook_record& hook) const noexcept;

private:
    array<hook_record*> by_name_{};  // the hooks that have an id, sorted by is_sorted_before()
};

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

// Returns whether the function's calls run the hook if no other hook replaces it.
EXTENSIBLE_COLD_FUNCTION bool is_active_in(const hook_record& hook, const function_record& function) noexcept {
    return hook.is_enabled() && (!function.sites || can_run_in(hook, function.sites->type));
}

EXTENSIBLE_COLD_FUNCTION int compare_names(const hook_record& a, const hook_record& b) noexcept {
    if (a.when != b.when) return a.when < b.when ? -1 : 1;
    const int ids = a.id.compare(b.id);
    return ids != 0 ? ids : a.pattern.compare(b.pattern);
}

// Sorts hooks by name, and those that replace each other by age, the oldest first.
EXTENSIBLE_COLD_FUNCTION bool is_sorted_before(const hook_record* a, const hook_record* b) noexcept {
    if (const int names = compare_names(*a, *b); names != 0) return names < 0;
    return a->replaces != b->replaces ? b->replaces : a->number < b->number;
}

replacements::replacements(const hook_order& hooks, const function_record* function) {
    const auto is_in = [&](const hook_record& hook) {
        return !hook.id.empty() && (function ? is_active_in(hook, *function) : hook.is_enabled());
    };
    std::size_t count = 0;
    for (const ordered_hook& each : hooks) count += is_in(*each.hook);
    by_name_ = array<hook_record*>(count);
    for (const ordered_hook& each : hooks)
        if (is_in(*each.hook)) by_name_[--count] = each.hook;
    detail::sort(by_name_, is_sorted_before);
}

hook_record* replacements::replacement_of(const hook_record& hook) const noexcept {
    const auto is_not_after = [&](const hook_record* other) { return compare_names(*other, hook) <= 0; };
    const std::size_t end = count_first(by_name_, is_not_after);
    hook_record* const newest = end != 0 ? by_name_[end - 1] : nullptr;
    return newest && hook.is_namesake(*newest) && is_sorted_before(&hook, newest) ? newest : nullptr;
}

hook_record* replacements::next_replaced(const hook_record& hook) const noexcept {
    const auto is_before = [&](const hook_record* other) { return is_sorted_before(other, &hook); };
    const std::size_t at = count_first(by_name_, is_before);
    return at != 0 && by_name_[at - 1]->is_namesake(hook) ? by_name_[at - 1] : nullptr;
}

bool can_run_in(const hook_record& hook, const function_type* function) noexcept {
    const type_identity* const sub_task = function ? function->sub_task : nullptr;
    if (hook.sub_task) return sub_task && *hook.sub_task == *sub_task;
    return hook.when != phase::around || !sub_task;
}

#endif

}}}  // namespace ext::detail
