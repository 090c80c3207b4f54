#pragma once

// How does a hook run that has options or is watched by monitors? And the finishers that start hooks returned? What must stay true:
//
// 1. In the turn of an entry with candidates at most one of them runs: the first that the call does not skip. See hook_entry.
// 2. A call skips a hook before it begins, and for good: a run that is claimed counts, also if it throws.
// 3. Monitors are notified of each run and of each hook that is skipped.

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

/// The first of the candidates that the call does not skip; null if it skips them all. If `can_await` is
/// false, passes over awaited hooks.
EXTENSIBLE_COLD_FUNCTION const hook_entry* choose(const hook_entry* candidates, call_fields& call, bool can_await = true);

/// Runs the ends that start hooks returned in this call, the last one first.
EXTENSIBLE_HIDDEN void run_finishers(call_fields& call);

/// Runs one of the candidates of a hook_entry, which are at `object`, or none if the call skips
/// them all.
EXTENSIBLE_HIDDEN void run_guarded(void* object, call_fields* call, const run_input* input);

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

// ---- Options ---------------------------------------------------------------------------------------------------------

EXTENSIBLE_COLD_FUNCTION bool has_result(call_fields& call) noexcept { return private_access::operations(call).has_result(&call); }

// Whether the hook is to run in this call, on this thread. Then the run counts. A hook that has begun as often as it may is removed.
EXTENSIBLE_COLD_FUNCTION bool claim_run(hook_record& hook, call_fields& call) {
    if (hook.fallback && has_result(call)) return false;
    if (hook.only_thread != 0 && hook.only_thread != hook.registry->domain->this_thread().number) return false;
    if (!hook.reentrant && running_hook::is_running(hook)) return false;
    if (hook.times == 0) return true;
    const std::size_t before = hook.begun.fetch_add(1, std::memory_order_relaxed);  // relaxed: only the count matters
    EXTENSIBLE_TRY {
        if (before + 1 >= hook.times) remove(ref(&hook));
    } EXTENSIBLE_CATCH(const std::bad_alloc&) {
        // It stays registered, and is skipped; the next call tries again.
    }
    return before < hook.times;
}

const hook_entry* choose(const hook_entry* candidates, call_fields& call, bool can_await) {
    for (const hook_entry* hook = candidates; hook->run; ++hook) {
        if (hook->record->sub_task && !can_await) continue;
        if (claim_run(*hook->record, call)) return hook;
        hook_watch(*hook->record, hook->record->when, call).report_run(hook_watch::ending::skipped);
        if (hook->record->fallback && has_result(call)) break;  // what it replaces is not needed either
    }
    return nullptr;
}

/// A run of a hook, or of the end that it returned.
class EXTENSIBLE_HIDDEN guarded_run {
public:
    guarded_run(hook_record& hook, phase when, call_fields& call) noexcept : hook_(hook), call_(call), watch_(hook, when, call) {}

    /// Runs it, or its end. False if that threw and the hook is isolated: it is reported. What any other throws goes on.
    bool run(run_hook* what, void* object, const run_input* input) {
        const running_hook::scope running(hook_.reentrant ? nullptr : &hook_);
        EXTENSIBLE_TRY {
            what(object, &call_, input);
        } EXTENSIBLE_CATCH(...) {
            if (!std::current_exception()) EXTENSIBLE_RETHROW;  // the thread is being cancelled
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

// Runs one hook. Returns false if the rest of the call still has to run: the hook is an isolated
// around hook, and failed before it produced an outcome. `input` is null except for an around hook.
EXTENSIBLE_COLD_FUNCTION bool run_hook_guarded(const hook_entry& hook, call_fields& call, const run_input* input) {
    guarded_run guarded(*hook.record, hook.record->when, call);
    if (!input) return guarded.run(hook.run, hook.object, nullptr);
    proceed& next = *input->proceed;
    private_access::hook_of(next) = hook.record;
    private_access::watch(next) = guarded.watch() ? &guarded.watch() : nullptr;
    const bool returned = guarded.run(hook.run, hook.object, input);
    private_access::watch(next) = nullptr;  // the hook's run is over
    return returned || private_access::was_called(next) || private_access::operations(call).has_result(&call) || call.exception;
}

EXTENSIBLE_CALLED_BY_USERS void run_guarded(void* object, call_fields* call, const run_input* input) {
    const auto* const candidates = static_cast<const hook_entry*>(object);
    const hook_entry* const hook = choose(candidates, *call);
    bool done = false;
    EXTENSIBLE_TRY {
        done = hook && run_hook_guarded(*hook, *call, input);
    } EXTENSIBLE_CATCH(...) {
        keep_exception(*call, *hook->record);  // only here it is known which candidate threw it
        EXTENSIBLE_RETHROW;
    }
    if (input && !done) (*input->proceed)();
}

// ---- Finishers -------------------------------------------------------------------------------------------------------

// Runs one, and destroys it.
EXTENSIBLE_COLD_FUNCTION void run_finisher(finisher* last, call_fields& call) {
    const struct destroyer {
        finisher* self;
        ~destroyer() { self->destroy(self); }
    } at_end{last};
    guarded_run(*last->hook, phase::end, call).run(last->run, last, nullptr);
}

EXTENSIBLE_CALLED_BY_USERS void run_finishers(call_fields& call) {
    while (finisher* const last = private_access::finishers(call).take_last()) {
        const hook_record& hook = *last->hook;
        EXTENSIBLE_TRY {
            run_finisher(last, call);
        } EXTENSIBLE_CATCH(...) {
            keep_exception(call, hook);
        }
    }
}

#endif

}}}  // namespace ext::detail
