#pragma once

// How are monitors notified of a run of a hook, and of what the hook did?

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

/// Watches one run of a hook for the monitors of its registry, if there are any. In a coroutine's frame, which GCC does not hide: so
/// its functions are hidden, and not the class.
class hook_watch {
public:
    enum class ending { returned, threw, skipped };

    EXTENSIBLE_COLD_FUNCTION hook_watch(const hook_record& hook, phase when, call_fields& call) noexcept;
    hook_watch(const hook_watch&) = delete;
    hook_watch& operator=(const hook_watch&) = delete;
    EXTENSIBLE_COLD_FUNCTION ~hook_watch();

    explicit operator bool() const noexcept { return watching_; }

    /// Lives while what an around hook has inside runs: that is not its doing, and the time counts apart.
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

    /// Tells the monitors. What they throw is dropped.
    EXTENSIBLE_COLD_FUNCTION void report_run(ending how);

private:
    EXTENSIBLE_COLD_FUNCTION void look() noexcept;

    const hook_record& hook_;
    call_fields& call_;
    const phase when_;
    const bool watching_;

    // Where it is watching.
    bool had_result_ = false;
    std::exception_ptr exception_{};
    time_point since_ = 0, in_rest_ = 0;
};

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

// Acquire, as the load of a call that looks for hooks: see extensible::operator().
hook_watch::hook_watch(const hook_record& hook, phase when, call_fields& call) noexcept
    : hook_(hook), call_(call), when_(when), watching_(hook.registry->monitors.hooks.load(std::memory_order_acquire) != nullptr) {
    if (!watching_) return;
    look();
    since_ = now();
}

hook_watch::~hook_watch() = default;

// From here on what changes is the hook's doing.
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
        return before && !after ? effect::cleared : !before && after ? effect::set : written ? effect::replaced : effect::nothing;
    };
    hook_run run{call_.name, when_, hook_.id, hook_.plugin ? std::string_view(hook_.plugin->name) : std::string_view()};
    run.skipped = how == ending::skipped;
    run.threw = how == ending::threw;
    run.took = nanoseconds(took);
    run.took_inside = nanoseconds(in_rest_);
    const bool has_result = operations.has_result(&call_);
    run.result = effect_of(had_result_, has_result, operations.take_mark(&call_) && has_result);
    run.exception = effect_of(exception_ != nullptr, call_.exception != nullptr, exception_ != call_.exception);
    EXTENSIBLE_TRY {
        const hazard_guard held(hook_.registry->monitors);
        for (const hook_entry* monitor = held.list() ? held.list()->begin() : nullptr; monitor && monitor->run; ++monitor)
            static_cast<void>(notify(*monitor, {.run = &run}));
    } EXTENSIBLE_CATCH(const std::bad_alloc&) {
        // Of the guard: nobody is told.
    }
}

#endif

}}}  // namespace ext::detail
