#pragma once

// How is a run of a hook measured, and how are monitors notified of it?
//
// What must stay true:
// 1. What happens while an around hook proceeds is not attributed to the hook, and its time is counted
//    separately (tests/monitor.cpp, tests/model).
// 2. A monitor cannot make a call fail: what it throws is dropped (tests/monitor.cpp).
//
// Not here: which runs are measured: run_supervisor in hook_run.hpp and awaited_run in
// awaited/awaited_hook.hpp; how a monitor is called: notify() in failures.hpp.

#include <extensible/any_call.hpp>
#include <extensible/call.hpp>
#include <extensible/detail/call/failures.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/system.hpp>
#include <extensible/detail/reclaim/hazard_guard.hpp>
#include <extensible/detail/records/hook_list.hpp>
#include <extensible/detail/records/hook_record.hpp>
#include <extensible/detail/records/registry_record.hpp>
#include <extensible/detail/types/private_access.hpp>
#include <extensible/monitor.hpp>
#include <extensible/phase.hpp>

#include <exception>
#include <new>
#include <string_view>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// Measures one run of a hook, if its registry has monitors when the run begins. Only the thread on
/// which the call is running uses it. The class itself is not hidden, only its functions: objects of
/// it are in coroutine frames, which GCC does not hide.
class hook_watch {
public:
    enum class ending { returned, threw, skipped };

    EXTENSIBLE_COLD_FUNCTION hook_watch(const hook_record& hook, phase when, call_fields& call) noexcept;
    hook_watch(const hook_watch&) = delete;
    hook_watch& operator=(const hook_watch&) = delete;
    EXTENSIBLE_COLD_FUNCTION ~hook_watch();

    /// True if there are monitors to notify.
    explicit operator bool() const noexcept { return watching_; }

    /// Lives while an around hook proceeds. Its lifetime is counted as took_inside, and what changes in
    /// the call meanwhile is not attributed to the hook.
    class timed_rest {
    public:
        EXTENSIBLE_COLD_FUNCTION explicit timed_rest(hook_watch& watch) noexcept;
        timed_rest(const timed_rest&) = delete;
        timed_rest& operator=(const timed_rest&) = delete;
        EXTENSIBLE_COLD_FUNCTION ~timed_rest();

    private:
        hook_watch& watch_;
        const time_point since_ = now();
    };

    /// Notifies the monitors. If there is no memory for that, does nothing.
    EXTENSIBLE_COLD_FUNCTION void report_run(ending how);

private:
    EXTENSIBLE_COLD_FUNCTION void look() noexcept;

    const hook_record& hook_;
    call_fields& call_;
    const phase when_;     // of the run: the end phase for a finisher
    const bool watching_;  // whether there are monitors; the other members are only used if it is true

    // The outcome of the call when look() was last called.
    bool had_result_ = false;
    std::exception_ptr exception_{};

    time_point since_ = 0;    // the beginning of the run; constant
    time_point in_rest_ = 0;  // in nanoseconds: the sum over all objects of timed_rest
};

// -------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

// Acquire, as in extensible::operator(); pairs with the store in change::publish(). The load decides
// only whether to watch: the monitors themselves are protected in report_run().
hook_watch::hook_watch(const hook_record& hook, phase when, call_fields& call) noexcept
    : hook_(hook),
      call_(call),
      when_(when),
      watching_(hook.registry->monitors.hooks.load(std::memory_order_acquire) != nullptr) {
    if (!watching_) return;
    look();
    since_ = now();
}

hook_watch::~hook_watch() = default;

// Remembers the outcome of the call. What changes from now on is attributed to the hook.
void hook_watch::look() noexcept {
    const call_operations& operations = private_access::operations(call_);
    had_result_ = operations.has_result(&call_);
    operations.take_mark(&call_);
    exception_ = call_.exception;
}

hook_watch::timed_rest::timed_rest(hook_watch& watch) noexcept : watch_(watch) {}

hook_watch::timed_rest::~timed_rest() {
    watch_.in_rest_ += now() - since_;
    watch_.look();
}

void hook_watch::report_run(ending how) {
    if (!watching_) return;
    const time_point took = now() - since_;
    const call_operations& operations = private_access::operations(call_);
    const auto effect_of = [](bool before, bool after, bool written) {
        if (before != after) return before ? effect::cleared : effect::set;
        return written ? effect::replaced : effect::nothing;
    };
    hook_run run{call_.name, when_, hook_.id, hook_.owner()};
    run.skipped = how == ending::skipped;
    run.threw = how == ending::threw;
    run.took = nanoseconds(took);
    run.took_inside = nanoseconds(in_rest_);
    const bool has_result = operations.has_result(&call_);
    run.result = effect_of(had_result_, has_result, operations.take_mark(&call_) && has_result);
    run.exception = effect_of(exception_ != nullptr, call_.exception != nullptr, exception_ != call_.exception);
    EXTENSIBLE_TRY {
        const hazard_guard held(hook_.registry->monitors);
        // There is no list if the last monitor has been removed since the run began.
        const hook_entry* const first = held.list() ? held.list()->begin() : nullptr;
        for (const hook_entry* monitor = first; monitor && monitor->run; ++monitor)
            static_cast<void>(notify(*monitor, {.run = &run}));
    } EXTENSIBLE_CATCH(const std::bad_alloc&) {
        // The guard has no memory for a slot.
    }
}

#endif

}}}  // namespace ext::detail
