#pragma once

// How does a hook run that has options or is watched by monitors, or is in a call that is awaited? And the ends that start hooks
// returned?

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
#include <optional>
#include <utility>

namespace ext::inline EXTENSIBLE_ABI::detail {

/// Watches one run of a hook, for the monitors of its registry.
class hook_watch {
public:
    enum class ending { returned, threw, skipped };

    EXTENSIBLE_FUNCTION hook_watch(const hook_record& hook, phase when, call_fields& call) noexcept;

    /// Around what an around hook has inside: that is not its doing, and the time counts apart.
    EXTENSIBLE_FUNCTION void begin_inside() noexcept;
    EXTENSIBLE_FUNCTION void end_inside() noexcept;

    /// Tells the monitors. What they throw is dropped.
    EXTENSIBLE_FUNCTION void tell(ending how);

private:
    EXTENSIBLE_FUNCTION void look() noexcept;

    const hook_record& hook_;
    const phase when_;
    call_fields& call_;
    time_point inside_since_ = 0, inside_ = 0;
    bool had_result_ = false;
    std::exception_ptr exception_{};
    const time_point since_ = now();
};

/// What a run of a hook keeps while it lasts, where the hook has options or is watched.
class hook_guard {
public:
    EXTENSIBLE_FUNCTION hook_guard(hook_record& hook, phase when, call_fields& call) noexcept;
    hook_guard(const hook_guard&) = delete;
    hook_guard& operator=(const hook_guard&) = delete;

    /// Whether the hook is to run. If not, it is skipped, and a monitor has been told. One that has begun as often as it may is
    /// removed.
    EXTENSIBLE_FUNCTION bool begins();

    /// Null where no monitor watches.
    hook_watch* watch() noexcept { return watch_ ? &*watch_ : nullptr; }

    /// Runs it. False where it threw and is isolated: that is reported. What any other throws goes on.
    template <class Run>
    EXTENSIBLE_HIDDEN bool run(Run run);

private:
    EXTENSIBLE_FUNCTION void tell(hook_watch::ending how);

    hook_record& hook_;
    call_fields& call_;
    std::optional<hook_watch> watch_;
    std::optional<running_hook::scope> running_;
};

/// The run of a hook that is awaited, from when it is begun. It tells the monitors when it is destroyed.
class awaited_run {
public:
    EXTENSIBLE_HIDDEN awaited_run(hook_record& hook, call_fields& call) : guard_(hook, hook.when, call), begins_(guard_.begins()) {}
    EXTENSIBLE_FUNCTION ~awaited_run();

    bool begins() const noexcept { return begins_; }
    void done() noexcept { done_ = true; }
    hook_watch* watch() noexcept { return guard_.watch(); }

private:
    hook_guard guard_;
    const bool begins_;
    bool done_ = false;
};

/// Runs the ends that start hooks returned in this call, the last one first.
EXTENSIBLE_CALL_FUNCTION void run_ends(call_fields& call);

/// Runs a hook that is not awaited, in a call that is.
EXTENSIBLE_CALL_FUNCTION void run_on_this_thread(const hook_entry& hook, call_fields& call, const counting_guard& held);

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
        if (next_->run || access::ends(call_).last()) abandon();
    }

    /// The next one to run; null behind the last.
    const hook_entry* next() noexcept { return next_->run ? next_++ : nullptr; }

    /// Behind the last one.
    EXTENSIBLE_FUNCTION void run_ends();

private:
    EXTENSIBLE_FUNCTION void abandon() noexcept;

    const hook_entry* next_;
    call_fields& call_;
    const counting_guard& held_;
};

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

// ---- Monitors -------------------------------------------------------------------------------------------------------

EXTENSIBLE_FUNCTION hook_watch::hook_watch(const hook_record& hook, phase when, call_fields& call) noexcept
    : hook_(hook), when_(when), call_(call) {
    look();
}

// From here on what changes is the hook's doing.
EXTENSIBLE_FUNCTION void hook_watch::look() noexcept {
    const call_operations& operations = access::operations(call_);
    had_result_ = operations.has_result(&call_);
    operations.take_mark(&call_);
    exception_ = call_.exception;
}

EXTENSIBLE_FUNCTION void hook_watch::begin_inside() noexcept { inside_since_ = now(); }

EXTENSIBLE_FUNCTION void hook_watch::end_inside() noexcept {
    inside_ += now() - inside_since_;
    look();
}

EXTENSIBLE_FUNCTION void hook_watch::tell(ending how) {
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
    try {
        const hazard_guard held(hook_.registry->monitors);
        for (const hook_entry* monitor = held.list() ? held.list()->begin() : nullptr; monitor && monitor->run; ++monitor)
            static_cast<void>(detail::tell(*monitor, &run));
    } catch (const std::bad_alloc&) {
        // Of the guard: nobody is told.
    }
}

// ---- Options --------------------------------------------------------------------------------------------------------

// Acquire: it is the load of a call that looks for hooks. See extensible::operator().
EXTENSIBLE_FUNCTION hook_guard::hook_guard(hook_record& hook, phase when, call_fields& call) noexcept : hook_(hook), call_(call) {
    if (hook.registry->monitors.hooks.load(std::memory_order_acquire)) watch_.emplace(hook, when, call);
    if (!hook.reentrant && !running_hook::is_running(hook)) running_.emplace(hook);
}

EXTENSIBLE_FUNCTION bool hook_guard::begins() {
    bool runs = (hook_.only_thread == 0 || hook_.only_thread == this_thread_id()) && (hook_.reentrant || running_);
    if (runs && hook_.times != 0) {
        const std::size_t before = hook_.begun.fetch_add(1, std::memory_order_relaxed);  // relaxed: only the count matters
        runs = before < hook_.times;
        try {
            if (before + 1 == hook_.times) remove(ref(&hook_));
        } catch (const std::bad_alloc&) {
            // It stays registered, and is skipped.
        }
    }
    if (!runs) tell(hook_watch::ending::skipped);
    return runs;
}

EXTENSIBLE_FUNCTION void hook_guard::tell(hook_watch::ending how) {
    if (watch_) watch_->tell(how);
}

template <class Run>
EXTENSIBLE_HIDDEN bool hook_guard::run(Run run) {
    try {
        run();
    } catch (...) {
        if (!std::current_exception()) throw;  // the thread is being cancelled
        tell(hook_watch::ending::threw);
        if (!hook_.isolate) throw;
        report_isolated(hook_, call_.name);
        return false;
    }
    tell(hook_watch::ending::returned);
    return true;
}

EXTENSIBLE_FUNCTION awaited_run::~awaited_run() {
    if (begins_ && watch()) watch()->tell(done_ ? hook_watch::ending::returned : hook_watch::ending::threw);
}

// ---- Ends -----------------------------------------------------------------------------------------------------------

// Runs one, and destroys it.
EXTENSIBLE_FUNCTION void run_end(call_end* end, call_fields& call) {
    const struct destroyer {
        call_end* end;
        ~destroyer() { end->destroy(end); }
    } at_end{end};
    hook_guard(*end->hook, phase::end, call).run([&] { end->run(end, &call); });
}

EXTENSIBLE_CALL_BODY void run_ends(call_fields& call) {
    while (call_end* const end = access::ends(call).take_last()) {
        const hook_record& hook = *end->hook;
        try {
            run_end(end, call);
        } catch (...) {
            keep_exception(call, hook);
        }
    }
}

// ---- Awaited calls --------------------------------------------------------------------------------------------------

EXTENSIBLE_CALL_BODY void run_on_this_thread(const hook_entry& hook, call_fields& call, const counting_guard& held) {
    const counting_guard::on_this_thread here(held);
    hook.run(hook.object, &call, nullptr);
}

EXTENSIBLE_FUNCTION void awaited_end_hooks::run_ends() {
    if (!access::ends(call_).last()) return;
    std::optional<counting_guard::on_this_thread> here;
    try {
        here.emplace(held_);
    } catch (const std::bad_alloc&) {
        // They run all the same. Threads that wait for the call do not know then that it is this one.
    }
    detail::run_ends(call_);
}

EXTENSIBLE_FUNCTION void awaited_end_hooks::abandon() noexcept {
    const auto run = [&](const hook_record& hook, auto run_it) {
        try {
            run_it();
        } catch (...) {
            report(hook, call_.name, std::current_exception(), true);
        }
    };
    try {
        const hook_record& first = next_->run ? *next_->record : *access::ends(call_).last()->hook;
        if (call_.exception) displace_exception(call_, first);
        call_.exception = std::make_exception_ptr(abandoned(join({call_.name, ": the call was destroyed while it was suspended"})));
        while (const hook_entry* const hook = next())
            if (!hook->record->stage) run(*hook->record, [&] { run_on_this_thread(*hook, call_, held_); });
        while (call_end* const end = access::ends(call_).take_last()) {
            const hook_record& hook = *end->hook;
            run(hook, [&] { run_end(end, call_); });
        }
    } catch (...) {
        // No memory for an exception: there is nobody left to tell.
        while (call_end* const end = access::ends(call_).take_last()) end->destroy(end);
    }
}

#endif

}  // namespace ext::inline EXTENSIBLE_ABI::detail
