#pragma once

// How does a hook run in a call that is awaited?

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

/// The hook that runs in the turn of an entry of a call that is awaited; null if the call skips it.
EXTENSIBLE_COLD_FUNCTION const hook_entry* hook_in_turn(const hook_entry& entry, call_fields& call, const counting_guard& held);

/// The run of a hook that is awaited, from when it is begun until it is destroyed: also where the call is, while it is suspended.
class awaited_run {
public:
    EXTENSIBLE_COLD_FUNCTION awaited_run(hook_record& hook, call_fields& call, const counting_guard& held);
    awaited_run(const awaited_run&) = delete;
    awaited_run& operator=(const awaited_run&) = delete;
    EXTENSIBLE_COLD_FUNCTION ~awaited_run();

    void threw() noexcept { ending_ = hook_watch::ending::threw; }  // otherwise it has returned

    /// Null where no monitor watches.
    hook_watch* watch() noexcept { return watch_ ? &watch_ : nullptr; }

private:
    const counting_guard& held_;
    hook_watch watch_;
    hook_watch::ending ending_ = hook_watch::ending::returned;
};

/// Runs a start hook that is not awaited, in a call that is.
EXTENSIBLE_HIDDEN void run_on_this_thread(const hook_entry& hook, call_fields& call, const counting_guard& held);

/// As those in outcome.hpp, in a call that is awaited: what they report is told on a thread that counts as inside of the call.
EXTENSIBLE_COLD_FUNCTION bool keep_or_isolate(call_fields& call, const hook_record& hook, const counting_guard& held);
EXTENSIBLE_COLD_FUNCTION void displace_exception(call_fields& call, const hook_record& caller, const counting_guard& held);

/// What beginning an awaited hook takes and yields. In: the guard and, for an around hook, its
/// proceed. Out: the sub-task, a coroutine that runs the hook.
struct awaited_slot_base {
    const counting_guard& held;  // of the call
};
template <class SubTask>
struct awaited_slot : awaited_slot_base {
    awaiting_proceed<SubTask>* proceed;  // null except for an around hook
    std::optional<SubTask> begun{};
};

/// Begins a hook whose sub-tasks have this type. An exception of the hook is thrown when the sub_task is
/// awaited.
template <class SubTask>
SubTask begin_hook(const hook_entry& hook, call_fields& call, const counting_guard& held, awaiting_proceed<SubTask>* proceed = nullptr) {
    awaited_slot<SubTask> slot{{held}, proceed};
    const run_input input{.slot = &slot};
    hook.run(hook.object, &call, &input);
    // NOLINTNEXTLINE(bugprone-unchecked-optional-access): the hook has set it
    return std::move(*slot.begun);
}

// A variable for it in a coroutine's frame would have GCC warn of hooks whose class is known in one translation unit only.
template <class Hook>
Hook& hook_in(const hook_record& record) {
    return *static_cast<Hook*>(record.erased.object);
}

// The coroutine that awaits a hook.
template <phase When, class Call, class SubTask, class Hook>
SubTask await_hook(hook_record& record, call_fields* erased_call, const counting_guard& held,
                 [[maybe_unused]] awaiting_proceed<SubTask>* proceed) {
    awaited_run run(record, *erased_call, held);
    auto&& call = Call::of(erased_call);
    EXTENSIBLE_TRY {
        if constexpr (When == phase::around) {
            private_access::watch(*proceed) = run.watch();
            static_cast<void>(co_await detail::invoke(detail::hook_in<Hook>(record), call, *proceed));
        } else {
            static_cast<void>(co_await detail::invoke(detail::hook_in<Hook>(record), call));
        }
    } EXTENSIBLE_CATCH(...) {
        run.threw();
        EXTENSIBLE_RETHROW;
    }
}

template <phase When, class Call, class SubTask, class Hook>
void begin_awaited(void* object, call_fields* erased_call, const run_input* input) {
    auto& slot = static_cast<awaited_slot<SubTask>&>(*input->slot);
    slot.begun.emplace(await_hook<When, Call, SubTask, Hook>(*static_cast<hook_record*>(object), erased_call, slot.held, slot.proceed));
}

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

const hook_entry* hook_in_turn(const hook_entry& entry, call_fields& call, const counting_guard& held) {
    const hook_entry* const candidates = entry.candidates();
    if (!candidates) return &entry;
    const counting_guard::on_this_thread here(held, std::nothrow);
    return choose(candidates, call);
}

awaited_run::awaited_run(hook_record& hook, call_fields& call, const counting_guard& held)
    : held_(held), watch_(hook, hook.when, call) {}

// A call of monitors never throws error: only calls of functions have a limit of nesting.
awaited_run::~awaited_run() {  // NOLINT(bugprone-exception-escape)
    if (!watch_) return;
    const counting_guard::on_this_thread here(held_, std::nothrow);
    watch_.report_run(ending_);
}

EXTENSIBLE_CALLED_BY_USERS void run_on_this_thread(const hook_entry& hook, call_fields& call, const counting_guard& held) {
    const counting_guard::on_this_thread here(held);
    guarded_run(*hook.record, hook.record->when, call).run(hook.run, hook.object, nullptr);
}

bool keep_or_isolate(call_fields& call, const hook_record& hook, const counting_guard& held) {
    const counting_guard::on_this_thread here(held, std::nothrow);
    return keep_or_isolate(call, hook);
}

void displace_exception(call_fields& call, const hook_record& caller, const counting_guard& held) {
    const counting_guard::on_this_thread here(held, std::nothrow);
    displace_exception(call, caller);
}

#endif

}  // namespace detail

}}  // namespace ext
