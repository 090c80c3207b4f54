#pragma once

// Which hook runs in the place of another, and which hooks can run in the calls of a function?

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/records/array.hpp>
#include <extensible/detail/records/function_record.hpp>
#include <extensible/detail/records/hook_record.hpp>
#include <extensible/detail/types/type_identity.hpp>
#include <extensible/phase.hpp>

#include <cstddef>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// Whether the hook can run in the function's calls: one that is awaited only in calls that are awaited in the same way, and a
/// plain one not around them. Hooks for any function may be under a pattern that matches others too.
EXTENSIBLE_COLD_FUNCTION bool can_run_in(const hook_record& hook, const function_type* function) noexcept;

/// Finds which hooks replace which, see hook_options::replace, among the enabled hooks that suit a function. If
/// `function` is null, among the enabled hooks under patterns. Hooks that have one id, in one phase and under one
/// pattern, replace each other: the newest one with `.replace` runs in place of all others. The hook without `.replace`
/// is treated as the oldest, whenever it was registered.
class EXTENSIBLE_HIDDEN replacements {
public:
    replacements() noexcept = default;
    replacements(const hook_order& hooks, const function_record* function);

    /// The hook that runs in the place of this one; null if there is none.
    hook_record* replacement_of(const hook_record& hook) const noexcept;
    /// The hook that runs if a call skips this one: the next older one that it replaces. Null if there is none.
    hook_record* next_replaced(const hook_record& hook) const noexcept;

private:
    array<hook_record*> by_name_{};  // those that have an id, sorted by is_sorted_before()
};

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

// Whether it runs in the function's calls, if no other stands in for it.
EXTENSIBLE_COLD_FUNCTION bool is_active_in(const hook_record& hook, const function_record& function) noexcept {
    return hook.is_enabled() && (!function.sites || can_run_in(hook, function.sites->type));
}

EXTENSIBLE_COLD_FUNCTION int compare_names(const hook_record& a, const hook_record& b) noexcept {
    if (a.when != b.when) return a.when < b.when ? -1 : 1;
    const int ids = a.id.compare(b.id);
    return ids != 0 ? ids : a.pattern.compare(b.pattern);
}

// The order of hooks by name; of hooks that replace each other, by age.
EXTENSIBLE_COLD_FUNCTION bool is_sorted_before(const hook_record* a, const hook_record* b) noexcept {
    if (const int names = compare_names(*a, *b); names != 0) return names < 0;
    return a->replaces != b->replaces ? b->replaces : a->number < b->number;
}

EXTENSIBLE_COLD_FUNCTION replacements::replacements(const hook_order& hooks, const function_record* function) {
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

EXTENSIBLE_COLD_FUNCTION hook_record* replacements::replacement_of(const hook_record& hook) const noexcept {
    const std::size_t end = count_first(by_name_, [&](const hook_record* other) { return compare_names(*other, hook) <= 0; });
    hook_record* const newest = end != 0 ? by_name_[end - 1] : nullptr;
    return newest && hook.is_namesake(*newest) && is_sorted_before(&hook, newest) ? newest : nullptr;
}

EXTENSIBLE_COLD_FUNCTION hook_record* replacements::next_replaced(const hook_record& hook) const noexcept {
    const std::size_t at = count_first(by_name_, [&](const hook_record* other) { return is_sorted_before(other, &hook); });
    return at != 0 && by_name_[at - 1]->is_namesake(hook) ? by_name_[at - 1] : nullptr;
}

bool can_run_in(const hook_record& hook, const function_type* function) noexcept {
    const type_identity* const sub_task = function ? function->sub_task : nullptr;
    if (hook.sub_task) return sub_task && *hook.sub_task == *sub_task;
    return hook.when != phase::around || !sub_task;
}

#endif

}}}  // namespace ext::detail
