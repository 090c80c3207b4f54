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

template <class Stage>
class awaiting_proceed;

namespace detail {

/// The hook that runs in the turn of an entry of a call that is awaited; null if the call skips it.
EXTENSIBLE_FUNCTION const hook_entry* hook_in_turn(const hook_entry& entry, call_fields& call, const counting_guard& held);

/// The run of a hook that is awaited, from when it is begun until it is destroyed: also where the call is, while it is suspended.
class awaited_run {
public:
    EXTENSIBLE_FUNCTION awaited_run(hook_record& hook, call_fields& call, const counting_guard& held);
    awaited_run(const awaited_run&) = delete;
    awaited_run& operator=(const awaited_run&) = delete;
    EXTENSIBLE_FUNCTION ~awaited_run();

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
EXTENSIBLE_FUNCTION bool keep_or_isolate(call_fields& call, const hook_record& hook, const counting_guard& held);
EXTENSIBLE_FUNCTION void displace_exception(call_fields& call, const hook_record& caller, const counting_guard& held);

/// What beginning an awaited hook takes and yields. In: the guard and, for an around hook, its
/// proceed. Out: the stage, a coroutine that runs the hook.
template <class Stage>
struct place_for_stage {
    const counting_guard& held;       // of the call
    awaiting_proceed<Stage>* inside;  // null except for an around hook
    std::optional<Stage> begun{};
};

/// Begins a hook whose stages have this type. An exception of the hook is thrown when the stage is
/// awaited.
template <class Stage>
Stage begin_hook(const hook_entry& hook, call_fields& call, const counting_guard& held, awaiting_proceed<Stage>* inside = nullptr) {
    place_for_stage<Stage> place{held, inside};
    hook.run(hook.object, &call, &place);
    // NOLINTNEXTLINE(bugprone-unchecked-optional-access): the hook has set it
    return std::move(*place.begun);
}

// A variable for it in a coroutine's frame would have GCC warn of hooks whose class is known in one translation unit only.
template <class Hook>
Hook& hook_in(const hook_record& record) {
    return *static_cast<Hook*>(record.erased.object);
}

// The coroutine that awaits a hook.
template <phase When, class Call, class Stage, class Hook>
Stage await_hook(hook_record& record, call_fields* erased_call, const counting_guard& held,
                 [[maybe_unused]] awaiting_proceed<Stage>* inside) {
    awaited_run run(record, *erased_call, held);
    auto&& call = Call::from(erased_call);
    EXTENSIBLE_TRY {
        if constexpr (When == phase::around) {
            access::watch(*inside) = run.watch();
            static_cast<void>(co_await detail::invoke(detail::hook_in<Hook>(record), call, *inside));
        } else {
            static_cast<void>(co_await detail::invoke(detail::hook_in<Hook>(record), call));
        }
    } EXTENSIBLE_CATCH(...) {
        run.threw();
        EXTENSIBLE_RETHROW;
    }
}

template <phase When, class Call, class Stage, class Hook>
void begin_awaited(void* object, call_fields* erased_call, void* inside) {
    auto& place = *static_cast<place_for_stage<Stage>*>(inside);
    place.begun.emplace(await_hook<When, Call, Stage, Hook>(*static_cast<hook_record*>(object), erased_call, place.held, place.inside));
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
    watch_.tell(ending_);
}

EXTENSIBLE_CALL_FUNCTION void run_on_this_thread(const hook_entry& hook, call_fields& call, const counting_guard& held) {
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
