#pragma once

// How does a hook run if it has an option that calls must apply, or if monitors watch it? And how do
// finishers run?
//
// What must stay true:
// 1. In the turn of an entry with candidates at most one of them runs: the first that the call does
//    not skip (tests/options.cpp, tests/model).
// 2. A call decides whether to skip a hook before the hook begins, and does not revise that: a claimed
//    run counts towards `.times` even if the hook throws (tests/options.cpp).
// 3. Monitors are notified of each of these runs, and of each candidate that claim_run() refuses
//    (tests/monitor.cpp, tests/model).
//
// Not here: other hooks, which calls run directly: wrapper.hpp; awaited hooks:
// awaited/awaited_hook.hpp; candidates: records/hook_list.hpp; notifying: monitoring.hpp.

#include <extensible/any_call.hpp>
#include <extensible/call.hpp>
#include <extensible/detail/call/failures.hpp>
#include <extensible/detail/call/finishers.hpp>
#include <extensible/detail/call/monitoring.hpp>
#include <extensible/detail/call/running_hook.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/system.hpp>
#include <extensible/detail/reclaim/hazard_domain.hpp>
#include <extensible/detail/records/hook_list.hpp>
#include <extensible/detail/records/hook_record.hpp>
#include <extensible/detail/registry/locked_registry.hpp>
#include <extensible/detail/types/private_access.hpp>
#include <extensible/error.hpp>
#include <extensible/phase.hpp>
#include <extensible/proceed.hpp>

#include <cstddef>
#include <exception>
#include <new>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// Returns the first candidate that the call does not skip, and claims its run; null if the call skips
/// all of them. If `can_await` is false, ignores awaited hooks. The array of candidates ends with an
/// entry whose `run` is null.
EXTENSIBLE_COLD_FUNCTION const hook_entry* choose(const hook_entry* candidates, call_fields& call,
                                                  bool can_await = true);

/// Runs and destroys the finishers of this call, the last one first. An exception of a finisher is
/// kept in the call.
EXTENSIBLE_HIDDEN void run_finishers(call_fields& call);

/// A run_hook, for entries with candidates. `object` is the array of candidates: one of them runs, or
/// none if the call skips all of them. Throws what the hook throws; if the hook is isolated, throws
/// only an ext::refusal.
EXTENSIBLE_HIDDEN void run_with_options(void* object, call_fields* call, const run_input* input);

// -------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

// ---- Options ------------------------------------------------------------------------------------

EXTENSIBLE_COLD_FUNCTION bool has_result(call_fields& call) noexcept {
    return private_access::operations(call).has_result(&call);
}

// Returns false if the call must skip the hook because of `.fallback`, `.this_thread`,
// `.reentrant = false` or `.times`. Otherwise claims a run. The last run that `.times` allows removes
// the hook.
EXTENSIBLE_COLD_FUNCTION bool claim_run(hook_record& hook, call_fields& call) {
    if (hook.fallback && has_result(call)) return false;
    if (hook.only_thread != 0 && hook.only_thread != hook.registry->domain->this_thread().number) return false;
    if (!hook.reentrant && running_hook::is_running(hook)) return false;
    if (hook.times == 0) return true;
    // Relaxed: each call gets a different number, and no other data depends on it.
    const std::size_t before = hook.begun.fetch_add(1, std::memory_order_relaxed);
    EXTENSIBLE_TRY {
        if (before + 1 >= hook.times) remove(ref(&hook));
    } EXTENSIBLE_CATCH(const std::bad_alloc&) {
        // The hook remains registered, and is skipped. The next call tries again to remove it.
    }
    return before < hook.times;
}

const hook_entry* choose(const hook_entry* candidates, call_fields& call, bool can_await) {
    for (const hook_entry* hook = candidates; hook->run; ++hook) {
        if (hook->record->sub_task && !can_await) continue;
        if (claim_run(*hook->record, call)) return hook;
        hook_watch(*hook->record, hook->record->when, call).report_run(hook_watch::ending::skipped);
        // A fallback is not needed, so the hooks that it replaces are not needed either.
        if (hook->record->fallback && has_result(call)) break;
    }
    return nullptr;
}

/// One run of a hook, or of a finisher that it returned: isolates its exceptions, notifies monitors,
/// and marks the hook as running on this thread if it is not reentrant.
class EXTENSIBLE_HIDDEN run_supervisor {
public:
    run_supervisor(hook_record& hook, phase when, call_fields& call) noexcept
        : hook_(hook), call_(call), watch_(hook, when, call) {}

    /// Calls `function`, which runs the hook or the finisher at `object`. Returns false if that threw and
    /// the hook is isolated: the exception has been reported. Rethrows other exceptions, and every
    /// ext::refusal.
    bool run(run_hook* function, void* object, const run_input* input) {
        const running_hook::scope running(hook_.reentrant ? nullptr : &hook_);
        EXTENSIBLE_TRY {
            function(object, &call_, input);
        } EXTENSIBLE_CATCH(...) {
            if (!std::current_exception()) EXTENSIBLE_RETHROW;  // a forced unwinding, see failures.hpp
            watch_.report_run(hook_watch::ending::threw);
            if (!hook_.isolate || is_refusal()) EXTENSIBLE_RETHROW;
            report_isolated(hook_, call_.name);
            return false;
        }
        watch_.report_run(hook_watch::ending::returned);
        return true;
    }

    hook_watch& watch() noexcept { return watch_; }

private:
    hook_record& hook_;
    call_fields& call_;
    hook_watch watch_;
};

// Runs one hook. `input` is null except for an around hook. For an around hook, returns false if the
// rest of the call still has to run: the hook is isolated, and threw before it produced an outcome.
EXTENSIBLE_COLD_FUNCTION bool run_supervised(const hook_entry& hook, call_fields& call, const run_input* input) {
    run_supervisor supervisor(*hook.record, hook.record->when, call);
    if (!input) return supervisor.run(hook.run, hook.object, nullptr);
    auto& place = private_access::place(*input->proceed);
    place.hook = hook.record;
    place.watch = supervisor.watch() ? &supervisor.watch() : nullptr;
    const bool returned = supervisor.run(hook.run, hook.object, input);
    place.watch = nullptr;  // the run is over, but run_with_options() may still use the `proceed`
    return returned || place.called || private_access::operations(call).has_result(&call) || call.exception;
}

EXTENSIBLE_CALLED_BY_USERS void run_with_options(void* object, call_fields* call, const run_input* input) {
    const auto* const candidates = static_cast<const hook_entry*>(object);
    const hook_entry* const hook = choose(candidates, *call);
    bool done = false;
    EXTENSIBLE_TRY {
        done = hook && run_supervised(*hook, *call, input);
    } EXTENSIBLE_CATCH(...) {
        // Kept here, because the caller does not know which candidate threw. The caller catches the same
        // exception, and keeping it again changes nothing.
        detail::keep_exception(*call, *hook->record);
        EXTENSIBLE_RETHROW;
    }
    if (input && !done) (*input->proceed)();
}

// ---- Finishers ----------------------------------------------------------------------------------

// Runs a finisher that has been taken, and destroys it, even if it throws.
EXTENSIBLE_COLD_FUNCTION void run_finisher(finisher* last, call_fields& call) {
    const struct destroyer {
        finisher* self;
        ~destroyer() { self->destroy(self); }
    } at_end{last};
    run_supervisor(*last->hook, phase::end, call).run(last->run, last, nullptr);
}

EXTENSIBLE_CALLED_BY_USERS void run_finishers(call_fields& call) {
    while (finisher* const last = private_access::finishers(call).take_last()) {
        const hook_record& hook = *last->hook;
        EXTENSIBLE_TRY {
            run_finisher(last, call);
        } EXTENSIBLE_CATCH(...) {
            detail::keep_exception(call, hook);
        }
    }
}

#endif

}}}  // namespace ext::detail
