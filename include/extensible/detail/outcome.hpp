#pragma once

// How does a call keep what was thrown, tell of what no caller will see, and end without a result? Most of it is rare, and out of
// line: inlined, it would make every call save more registers.

#include <extensible/call.hpp>
#include <extensible/detail/config.hpp>
#include <extensible/detail/hazard.hpp>
#include <extensible/detail/records.hpp>
#include <extensible/detail/system.hpp>
#include <extensible/error.hpp>

#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <utility>

namespace ext::inline EXTENSIBLE_ABI::detail {

/// In a catch-all block: keeps what it has caught. What is no C++ exception cannot be kept and goes on: a thread that is cancelled.
EXTENSIBLE_FUNCTION void keep_exception(std::exception_ptr& exception);

/// As above, for what `hook` threw in this call. If it displaces another exception, that is reported.
EXTENSIBLE_FUNCTION void keep_exception(call_fields& call, const hook_record& hook);

/// As above. An isolated hook's exception is reported, and the call goes on as if it had returned: tells whether it does.
EXTENSIBLE_FUNCTION bool keep_or_isolate(call_fields& call, const hook_record& hook);

/// Hands an exception to the handlers of the registry; without one, a line goes to stderr. `function` is the name of the one that
/// was called.
EXTENSIBLE_FUNCTION void report(const hook_record& hook, std::string_view function, std::exception_ptr exception, bool displaced);

/// In a catch-all block: reports what it has caught, which the isolated `hook` threw.
EXTENSIBLE_FUNCTION void report_isolated(const hook_record& hook, std::string_view function);

/// Before the around hook `caller` goes on once more: the exception that the inside left before, and nobody cleared, is displaced.
EXTENSIBLE_FUNCTION void displace_exception(call_fields& call, const hook_record& caller);

/// Throws what the call ended with, when that is no result.
[[noreturn]] EXTENSIBLE_FUNCTION void throw_outcome(call_fields& call);

/// Runs a hook that is not awaited, in a call that is.
EXTENSIBLE_CALL_FUNCTION void run_on_this_thread(const hook_entry& hook, call_fields& call, const counting_guard& held);

/// The end hooks of a call that is awaited, one by one. Where the call is destroyed before they have all run, the others run then,
/// but for those that would have to be awaited: they find ext::abandoned in `call.exception`.
class awaited_end_hooks {
public:
    awaited_end_hooks(call_fields& call, const counting_guard& held) noexcept
        : next_(held.list()->begin(phase::end)), call_(call), held_(held) {}
    awaited_end_hooks(const awaited_end_hooks&) = delete;
    awaited_end_hooks& operator=(const awaited_end_hooks&) = delete;
    ~awaited_end_hooks() {
        if (next_->run) abandon();
    }

    /// The next one to run; null behind the last.
    const hook_entry* next() noexcept { return next_->run ? next_++ : nullptr; }

private:
    EXTENSIBLE_FUNCTION void abandon() noexcept;

    const hook_entry* next_;
    call_fields& call_;
    const counting_guard& held_;
};

/// On the stack while a hook runs that must not run beneath itself: tells whether one is running on this thread, further out.
class EXTENSIBLE_HIDDEN running_hook {
public:
    constexpr running_hook() noexcept = default;
    explicit running_hook(const hook_record& hook) noexcept;
    running_hook(const running_hook&) = delete;
    running_hook& operator=(const running_hook&) = delete;

    static bool is_running(const hook_record& hook) noexcept;

    struct scope;

private:
    const hook_record* hook_ = nullptr;
    running_hook* outer_ = nullptr;
};

// Each module has its own. That does, because the same code of the same module always runs the same hook.
EXTENSIBLE_HIDDEN inline constinit running_hook no_running_hook;
using innermost_running_hook = thread_pointer<running_hook, no_running_hook>;

struct EXTENSIBLE_HIDDEN running_hook::scope {
    explicit scope(const hook_record& hook) noexcept : running(hook) {}
    scope(const scope&) = delete;
    scope& operator=(const scope&) = delete;
    ~scope() { innermost_running_hook::set(running.outer_); }
    running_hook running;
};

inline running_hook::running_hook(const hook_record& hook) noexcept : hook_(&hook), outer_(innermost_running_hook::get()) {
    innermost_running_hook::set(this);
}

inline bool running_hook::is_running(const hook_record& hook) noexcept {
    const running_hook* running = innermost_running_hook::get();
    while (running && running->hook_ != &hook) running = running->outer_;
    return running != nullptr;
}

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

EXTENSIBLE_FUNCTION void keep_exception(std::exception_ptr& exception) {
    std::exception_ptr caught = std::current_exception();
    if (!caught) throw;
    exception = std::move(caught);
}

EXTENSIBLE_FUNCTION void keep_exception(call_fields& call, const hook_record& hook) {
    std::exception_ptr before = call.exception;
    keep_exception(call.exception);
    if (before && before != call.exception) report(hook, call.name, std::move(before), true);
}

EXTENSIBLE_FUNCTION bool keep_or_isolate(call_fields& call, const hook_record& hook) {
    if (hook.isolate) report_isolated(hook, call.name);
    else keep_exception(call, hook);
    return hook.isolate;
}

EXTENSIBLE_FUNCTION void displace_exception(call_fields& call, const hook_record& caller) {
    report(caller, call.name, std::exchange(call.exception, nullptr), true);
}

EXTENSIBLE_FUNCTION void throw_outcome(call_fields& call) {
    if (call.exception) std::rethrow_exception(std::exchange(call.exception, nullptr));
    throw no_result(join({call.name, ": the call ended with neither a result nor an exception"}));
}

EXTENSIBLE_CALL_BODY void run_on_this_thread(const hook_entry& hook, call_fields& call, const counting_guard& held) {
    const counting_guard::on_this_thread here(held);
    hook.run(hook.object, &call, nullptr);
}

EXTENSIBLE_FUNCTION void awaited_end_hooks::abandon() noexcept {
    try {
        if (call_.exception) displace_exception(call_, *next_->record);
        call_.exception = std::make_exception_ptr(abandoned(join({call_.name, ": the call was destroyed while it was suspended"})));
        while (const hook_entry* const hook = next()) {
            if (hook->record->stage) continue;
            try {
                run_on_this_thread(*hook, call_, held_);
            } catch (...) {
                report(*hook->record, call_.name, std::current_exception(), true);
            }
        }
    } catch (...) {
        // No memory for an exception: there is nobody left to tell.
    }
}

EXTENSIBLE_FUNCTION void write_to_stderr(const hook_error& error) noexcept {
    try {
        std::fputs(join({"extensible: ", error.text(), "\n"}).c_str(), stderr);
    } catch (...) {
        std::fputs("extensible: out of memory while a hook's exception was reported\n", stderr);
    }
}

EXTENSIBLE_FUNCTION void report_to(const hook_entry& handler, hook_error& error) {
    // A handler that causes an error itself must not be handed that: it might never end.
    if (running_hook::is_running(*handler.record)) return write_to_stderr(error);
    const running_hook::scope running(*handler.record);
    try {
        handler.run(handler.object, nullptr, &error);
    } catch (...) {
        if (!std::current_exception()) throw;  // the thread is being cancelled
        write_to_stderr(error);
    }
}

EXTENSIBLE_FUNCTION void report(const hook_record& hook, std::string_view function, std::exception_ptr exception, bool displaced) {
    hook_error error{function,  hook.when, hook.id, hook.plugin ? std::string_view(hook.plugin->name) : std::string_view(),
                     std::move(exception), displaced};
    try {
        const hazard_guard held(hook.registry->errors);
        if (!held.list()) return write_to_stderr(error);
        for (const hook_entry* handler = held.list()->begin(); handler->run; ++handler) report_to(*handler, error);
    } catch (const std::bad_alloc&) {  // of the guard: the call that is reported of goes on all the same
        write_to_stderr(error);
    }
}

EXTENSIBLE_FUNCTION void report_isolated(const hook_record& hook, std::string_view function) {
    if (!std::current_exception()) throw;  // the thread is being cancelled
    report(hook, function, std::current_exception(), false);
}

#endif

}  // namespace ext::inline EXTENSIBLE_ABI::detail
