#pragma once

// How does one hook run in an awaited call, whether it is awaited itself or not?
//
// What must stay true:
// 1. Hooks that are not awaited, error handlers and monitors run while their thread is registered as
//    being in the call (counting_guard::on_this_thread). So a thread does not wait for its own call
//    (tests/awaitable.cpp, tests/hook_error.cpp, scenario pinself of tests/explorer).
// 2. Monitors are notified of each run, also if the call is destroyed while the hook is suspended
//    (tests/monitor.cpp, tests/model).
//
// Not here: the steps of a call: path.hpp; end hooks of a call that is destroyed: end_hooks.hpp;
// which candidate runs: choose() in call/hook_run.hpp.

#include <extensible/call.hpp>
#include <extensible/detail/awaited/counting_guard.hpp>
#include <extensible/detail/call/failures.hpp>
#include <extensible/detail/call/hook_run.hpp>
#include <extensible/detail/call/monitoring.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/records/hook_list.hpp>
#include <extensible/detail/records/hook_record.hpp>
#include <extensible/detail/types/invoke.hpp>
#include <extensible/detail/types/private_access.hpp>
#include <extensible/phase.hpp>

#include <new>
#include <optional>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI {

template <class SubTask>
class awaiting_proceed;

namespace detail {

/// Returns the hook that runs in the turn of this entry of an awaited call, and claims its run; null if
/// the call skips all candidates.
EXTENSIBLE_COLD_FUNCTION const hook_entry* hook_in_turn(const hook_entry& entry, call_fields& call,
                                                        const counting_guard& held);

/// One run of an awaited hook, in the frame of the coroutine that awaits it. The destructor reports
/// the run to monitors, also if the coroutine is destroyed while the hook is suspended.
class awaited_run {
public:
    EXTENSIBLE_COLD_FUNCTION awaited_run(hook_record& hook, call_fields& call, const counting_guard& held);
    awaited_run(const awaited_run&) = delete;
    awaited_run& operator=(const awaited_run&) = delete;
    EXTENSIBLE_COLD_FUNCTION ~awaited_run();

    /// Notes that the hook threw. Otherwise the run is reported as one that returned.
    void threw() noexcept { ending_ = hook_watch::ending::threw; }

    /// Null if there are no monitors.
    hook_watch* watch() noexcept { return watch_ ? &watch_ : nullptr; }

private:
    const counting_guard& held_;  // of the call
    hook_watch watch_;
    hook_watch::ending ending_ = hook_watch::ending::returned;
};

/// Runs a start hook that is not awaited, in an awaited call. Throws what the hook throws; if the hook
/// is isolated, throws only an ext::refusal. Throws std::bad_alloc before the hook begins if there is
/// no memory for a slot.
EXTENSIBLE_HIDDEN void run_on_this_thread(const hook_entry& hook, call_fields& call, const counting_guard& held);

/// As the functions of these names in call/failures.hpp, for an awaited call: the error handlers run
/// while this thread is registered as being in the call.
EXTENSIBLE_COLD_FUNCTION bool keep_or_isolate(call_fields& call, const hook_record& hook, const counting_guard& held);
EXTENSIBLE_COLD_FUNCTION void displace_exception(call_fields& call, const hook_record& caller,
                                                 const counting_guard& held);

/// What run_input::slot points to. begin_hook() sets the guard and, for an around hook, its proceed.
/// The hook's `run`, which is begin_awaited(), adds the sub-task: a coroutine that awaits the hook.
struct awaited_slot_base {
    const counting_guard& held;  // of the call
};
template <class SubTask>
struct awaited_slot : awaited_slot_base {
    awaiting_proceed<SubTask>* proceed;  // null except for an around hook
    std::optional<SubTask> begun{};
};

/// Begins an awaited hook, whose sub-tasks must have this type, and returns its sub-task. Await it: it
/// throws what the hook throws.
template <class SubTask>
SubTask begin_hook(const hook_entry& hook, call_fields& call, const counting_guard& held,
                   awaiting_proceed<SubTask>* proceed = nullptr) {
    awaited_slot<SubTask> slot{{held}, proceed};
    const run_input input{.slot = &slot};
    hook.run(hook.object, &call, &input);
    // NOLINTNEXTLINE(bugprone-unchecked-optional-access): the hook has set it
    return std::move(*slot.begun);
}

// Not a local variable of await_hook(): in a coroutine's frame, GCC warns about hooks whose type has
// internal linkage.
template <class Hook>
Hook& hook_in(const hook_record& record) {
    return *static_cast<Hook*>(record.erased.object);
}

// The sub-task of a hook: calls the hook, and awaits what it returns.
template <phase When, class Call, class SubTask, class Hook>
SubTask await_hook(hook_record& record, call_fields* erased_call, const counting_guard& held,
                 [[maybe_unused]] awaiting_proceed<SubTask>* proceed) {
    awaited_run run(record, *erased_call, held);
    auto&& call = Call::of(erased_call);
    EXTENSIBLE_TRY {
        if constexpr (When == phase::around) {
            private_access::place(*proceed).watch = run.watch();
            static_cast<void>(co_await detail::invoke(detail::hook_in<Hook>(record), call, *proceed));
        } else {
            static_cast<void>(co_await detail::invoke(detail::hook_in<Hook>(record), call));
        }
    } EXTENSIBLE_CATCH(...) {
        run.threw();
        EXTENSIBLE_RETHROW;
    }
}

// The run_hook of an awaited hook. `object` is the hook's record.
template <phase When, class Call, class SubTask, class Hook>
void begin_awaited(void* object, call_fields* erased_call, const run_input* input) {
    auto& slot = static_cast<awaited_slot<SubTask>&>(*input->slot);
    auto& record = *static_cast<hook_record*>(object);
    slot.begun.emplace(await_hook<When, Call, SubTask, Hook>(record, erased_call, slot.held, slot.proceed));
}

// -------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

const hook_entry* hook_in_turn(const hook_entry& entry, call_fields& call, const counting_guard& held) {
    const hook_entry* const candidates = entry.candidates();
    if (!candidates) return &entry;
    const counting_guard::on_this_thread here(held, std::nothrow);
    return choose(candidates, call);
}

awaited_run::awaited_run(hook_record& hook, call_fields& call, const counting_guard& held)
    : held_(held), watch_(hook, hook.when, call) {}

// Does not throw: the guards of report_run() are for handlers, which are exempt from the limit of
// nesting. See thread_hazards::check_nesting().
awaited_run::~awaited_run() {  // NOLINT(bugprone-exception-escape)
    if (!watch_) return;
    const counting_guard::on_this_thread here(held_, std::nothrow);
    watch_.report_run(ending_);
}

EXTENSIBLE_CALLED_BY_USERS void run_on_this_thread(const hook_entry& hook, call_fields& call,
                                                   const counting_guard& held) {
    const counting_guard::on_this_thread here(held);
    run_supervised(hook, call, nullptr);
}

bool keep_or_isolate(call_fields& call, const hook_record& hook, const counting_guard& held) {
    const counting_guard::on_this_thread here(held, std::nothrow);
    return detail::keep_or_isolate(call, hook);
}

void displace_exception(call_fields& call, const hook_record& caller, const counting_guard& held) {
    const counting_guard::on_this_thread here(held, std::nothrow);
    detail::displace_exception(call, caller);
}

#endif

}  // namespace detail

}}  // namespace ext
