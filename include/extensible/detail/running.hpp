#pragma once

// How does a hook run that has options or is watched by monitors, or is in a call that is awaited? And the ends that start hooks
// returned? What must stay true:
//
// 1. In the turn of an entry with candidates at most one of them runs: the first that the call does not skip. See hook_entry.
// 2. A call skips a hook before it begins, and for good: a run that is claimed counts, also if it throws.
// 3. Monitors are notified of each run and of each hook that is skipped.

#include <extensible/any_call.hpp>
#include <extensible/call.hpp>
#include <extensible/detail/bookkeeping.hpp>
#include <extensible/detail/config.hpp>
#include <extensible/detail/ends.hpp>
#include <extensible/detail/hazard.hpp>
#include <extensible/detail/outcome.hpp>
#include <extensible/detail/records.hpp>
#include <extensible/detail/system.hpp>
#include <extensible/error.hpp>
#include <extensible/monitor.hpp>
#include <extensible/options.hpp>

#include <cstddef>
#include <exception>
#include <new>
#include <utility>

namespace ext::inline EXTENSIBLE_ABI::detail {

/// Watches one run of a hook for the monitors of its registry, if there are any. In a coroutine's frame, which GCC does not hide: so
/// its functions are hidden, and not the class.
class hook_watch {
public:
    enum class ending { returned, threw, skipped };

    EXTENSIBLE_FUNCTION hook_watch(const hook_record& hook, phase when, call_fields& call) noexcept;
    hook_watch(const hook_watch&) = delete;
    hook_watch& operator=(const hook_watch&) = delete;
    EXTENSIBLE_FUNCTION ~hook_watch();

    explicit operator bool() const noexcept { return watching_; }

    /// Lives while what an around hook has inside runs: that is not its doing, and the time counts apart.
    class inside {
    public:
        EXTENSIBLE_FUNCTION explicit inside(hook_watch& watch) noexcept;
        inside(const inside&) = delete;
        inside& operator=(const inside&) = delete;
        EXTENSIBLE_FUNCTION ~inside();

    private:
        hook_watch& watch_;
        const time_point since_ = now();
    };

    /// Tells the monitors. What they throw is dropped.
    EXTENSIBLE_FUNCTION void tell(ending how);

private:
    EXTENSIBLE_FUNCTION void look() noexcept;

    const hook_record& hook_;
    call_fields& call_;
    const phase when_;
    const bool watching_;

    // Where it is watching.
    bool had_result_ = false;
    std::exception_ptr exception_{};
    time_point since_ = 0, inside_ = 0;
};

/// The first of the candidates that the call does not skip; null if it skips them all. If `can_await` is
/// false, passes over awaited hooks.
EXTENSIBLE_FUNCTION const hook_entry* choose(const hook_entry* candidates, call_fields& call, bool can_await = true);

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

/// Runs the ends that start hooks returned in this call, the last one first.
EXTENSIBLE_HIDDEN void run_ends(call_fields& call);

/// Runs a start hook that is not awaited, in a call that is.
EXTENSIBLE_HIDDEN void run_on_this_thread(const hook_entry& hook, call_fields& call, const counting_guard& held);

/// As those in outcome.hpp, in a call that is awaited: what they report is told on a thread that counts as inside of the call.
EXTENSIBLE_FUNCTION bool keep_or_isolate(call_fields& call, const hook_record& hook, const counting_guard& held);
EXTENSIBLE_FUNCTION void displace_exception(call_fields& call, const hook_record& caller, const counting_guard& held);

/// The end hooks of a call that is awaited, one by one, and then the ends that start hooks returned. Where the call is destroyed before
/// they have all run, the others run then, but for those that would have to be awaited: they find ext::abandoned in
/// `call.exception`.
class awaited_end_hooks {
public:
    awaited_end_hooks(call_fields& call, const counting_guard& held) noexcept
        : next_(held.list()->begin(phase::end)), call_(call), held_(held) {}
    awaited_end_hooks(const awaited_end_hooks&) = delete;
    awaited_end_hooks& operator=(const awaited_end_hooks&) = delete;
    ~awaited_end_hooks() {
        if (!done_) abandon();
    }

    /// The next one to run; null after the last.
    const hook_entry* next() {
        while (next_->run)
            if (const hook_entry* const hook = hook_in_turn(*next_++, call_, held_)) return hook;
        return nullptr;
    }

    /// Runs one that is not awaited, also on a thread that has no memory for its slots.
    EXTENSIBLE_HIDDEN void run(const hook_entry& hook);

    /// Behind the last one.
    void run_ends() {
        if (held_.list()->has_ends) run_ends_on_this_thread();
        done_ = true;
    }

private:
    EXTENSIBLE_FUNCTION void run_ends_on_this_thread();
    EXTENSIBLE_FUNCTION void abandon() noexcept;
    EXTENSIBLE_FUNCTION void run_abandoned();

    const hook_entry* next_;
    bool done_ = false;
    call_fields& call_;
    const counting_guard& held_;
};

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

// ---- Monitors -------------------------------------------------------------------------------------------------------

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
    const call_operations& operations = access::operations(call_);
    had_result_ = operations.has_result(&call_);
    operations.take_mark(&call_);
    exception_ = call_.exception;
}

hook_watch::inside::inside(hook_watch& watch) noexcept : watch_(watch) {}

hook_watch::inside::~inside() {
    watch_.inside_ += now() - since_;
    watch_.look();
}

void hook_watch::tell(ending how) {
    if (!watching_) return;
    const time_point took = now() - since_;
    const call_operations& operations = access::operations(call_);
    const auto effect_of = [](bool before, bool after, bool written) {
        return before && !after ? effect::taken_away : !before && after ? effect::set : written ? effect::replaced : effect::nothing;
    };
    hook_run run{call_.name, when_, hook_.id, hook_.plugin ? std::string_view(hook_.plugin->name) : std::string_view()};
    run.skipped = how == ending::skipped;
    run.threw = how == ending::threw;
    run.took = nanoseconds(took);
    run.took_inside = nanoseconds(inside_);
    const bool has_result = operations.has_result(&call_);
    run.result = effect_of(had_result_, has_result, operations.take_mark(&call_) && has_result);
    run.exception = effect_of(exception_ != nullptr, call_.exception != nullptr, exception_ != call_.exception);
    EXTENSIBLE_TRY {
        const hazard_guard held(hook_.registry->monitors);
        for (const hook_entry* monitor = held.list() ? held.list()->begin() : nullptr; monitor && monitor->run; ++monitor)
            static_cast<void>(detail::tell(*monitor, &run));
    } EXTENSIBLE_CATCH(const std::bad_alloc&) {
        // Of the guard: nobody is told.
    }
}

// ---- Options --------------------------------------------------------------------------------------------------------

EXTENSIBLE_FUNCTION bool has_result(call_fields& call) noexcept { return access::operations(call).has_result(&call); }

// Whether the hook is to run in this call, on this thread. Then the run counts. A hook that has begun as often as it may is removed.
EXTENSIBLE_FUNCTION bool claim_run(hook_record& hook, call_fields& call) {
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
        if (hook->record->stage && !can_await) continue;
        if (claim_run(*hook->record, call)) return hook;
        hook_watch(*hook->record, hook->record->when, call).tell(hook_watch::ending::skipped);
        if (hook->record->fallback && has_result(call)) break;  // what it replaces is not needed either
    }
    return nullptr;
}

const hook_entry* hook_in_turn(const hook_entry& entry, call_fields& call, const counting_guard& held) {
    const hook_entry* const candidates = entry.candidates();
    if (!candidates) return &entry;
    const counting_guard::on_this_thread here(held, std::nothrow);
    return choose(candidates, call);
}

/// A run of a hook, or of the end that it returned.
class EXTENSIBLE_HIDDEN guarded_run {
public:
    guarded_run(hook_record& hook, phase when, call_fields& call) noexcept : hook_(hook), call_(call), watch_(hook, when, call) {}

    /// Runs it, or its end. False if that threw and the hook is isolated: it is reported. What any other throws goes on.
    bool run(run_hook* what, void* object, void* inside) {
        const running_hook::scope running(hook_.reentrant ? nullptr : &hook_);
        EXTENSIBLE_TRY {
            what(object, &call_, inside);
        } EXTENSIBLE_CATCH(...) {
            if (!std::current_exception()) EXTENSIBLE_RETHROW;  // the thread is being cancelled
            watch_.tell(hook_watch::ending::threw);
            if (!hook_.isolate || is_refusal()) EXTENSIBLE_RETHROW;
            report_isolated(hook_, call_.name);
            return false;
        }
        watch_.tell(hook_watch::ending::returned);
        return true;
    }

    hook_watch& watch() noexcept { return watch_; }

private:
    hook_record& hook_;
    call_fields& call_;
    hook_watch watch_;
};

awaited_run::awaited_run(hook_record& hook, call_fields& call, const counting_guard& held)
    : held_(held), watch_(hook, hook.when, call) {}

// A call of monitors never throws error: only calls of functions have a limit of nesting.
awaited_run::~awaited_run() {  // NOLINT(bugprone-exception-escape)
    if (!watch_) return;
    const counting_guard::on_this_thread here(held_, std::nothrow);
    watch_.tell(ending_);
}

// ---- Ends -----------------------------------------------------------------------------------------------------------

// Runs one, and destroys it.
EXTENSIBLE_FUNCTION void run_end(call_end* end, call_fields& call) {
    const struct destroyer {
        call_end* end;
        ~destroyer() { end->destroy(end); }
    } at_end{end};
    guarded_run(*end->hook, phase::end, call).run(end->run, end, nullptr);
}

EXTENSIBLE_CALL_FUNCTION void run_ends(call_fields& call) {
    while (call_end* const end = access::ends(call).take_last()) {
        const hook_record& hook = *end->hook;
        EXTENSIBLE_TRY {
            run_end(end, call);
        } EXTENSIBLE_CATCH(...) {
            keep_exception(call, hook);
        }
    }
}

// ---- Awaited calls --------------------------------------------------------------------------------------------------

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

EXTENSIBLE_CALL_FUNCTION void awaited_end_hooks::run(const hook_entry& hook) {
    const counting_guard::on_this_thread here(held_, std::nothrow);
    guarded_run(*hook.record, hook.record->when, call_).run(hook.run, hook.object, nullptr);
}

void awaited_end_hooks::run_ends_on_this_thread() {
    const counting_guard::on_this_thread here(held_, std::nothrow);
    detail::run_ends(call_);
}

void awaited_end_hooks::abandon() noexcept {
    EXTENSIBLE_TRY {
        const counting_guard::on_this_thread here(held_, std::nothrow);
        run_abandoned();
    } EXTENSIBLE_CATCH(...) {
        // No memory for an exception: there is nobody left to tell.
    }
    while (call_end* const end = access::ends(call_).take_last()) end->destroy(end);
}

void awaited_end_hooks::run_abandoned() {
    const auto run = [&](const hook_record& hook, auto run_it) {
        EXTENSIBLE_TRY {
            run_it();
        } EXTENSIBLE_CATCH(...) {
            report(hook, call_.name, std::current_exception(), true);
        }
    };
    if (call_.exception) {
        const hook_record* nearest = next_->record;  // without a next one, the last one
        if (!nearest) held_.list()->any_of([&](const hook_record& hook) {
            nearest = &hook;
            return false;
        });
        displace_exception(call_, *nearest);
    }
#if EXTENSIBLE_EXCEPTIONS
    try {
        call_.exception = std::make_exception_ptr(abandoned(join({call_.name, ": the call was destroyed while it was suspended"})));
    } catch (const std::bad_alloc&) {
        call_.exception = std::current_exception();  // the hooks run all the same
    }
#endif
    for (; next_->run; ++next_) {
        // Not hook_in_turn(): this thread counts as inside of the call already.
        const hook_entry* const candidates = next_->candidates();
        const hook_entry* const hook = candidates ? choose(candidates, call_, false) : next_->record->stage ? nullptr : next_;
        if (!hook) continue;
        run(*hook->record, [&] { guarded_run(*hook->record, phase::end, call_).run(hook->run, hook->object, nullptr); });
    }
    while (call_end* const end = access::ends(call_).take_last()) {
        const hook_record& hook = *end->hook;
        run(hook, [&] { run_end(end, call_); });
    }
}

#endif

}  // namespace ext::inline EXTENSIBLE_ABI::detail
