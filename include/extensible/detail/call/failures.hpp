#pragma once

// How does a call keep what was thrown, report what no caller will see, and end without a result? Most of it is rare, and out of
// line: inlined, it would make every call save more registers.

#include <extensible/call.hpp>
#include <extensible/detail/call/running_hook.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/reclaim/hazard_guard.hpp>
#include <extensible/detail/records/hook_list.hpp>
#include <extensible/detail/records/hook_record.hpp>
#include <extensible/detail/records/registry_record.hpp>
#include <extensible/detail/types/private_access.hpp>
#include <extensible/detail/types/text.hpp>
#include <extensible/error.hpp>

#include <cstdio>
#include <exception>
#include <new>
#include <string_view>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// In a catch-all block: keeps what it has caught. What is no C++ exception cannot be kept and goes on: a thread that is cancelled.
/// The ends that start hooks returned are destroyed then.
EXTENSIBLE_COLD_FUNCTION void keep_exception(call_fields& call);

/// As above, for what `hook` threw in this call. If it displaces another exception, that is reported.
EXTENSIBLE_COLD_FUNCTION void keep_exception(call_fields& call, const hook_record& hook);

/// As above. An isolated hook's exception is reported, unless it is a refusal, and the call proceeds as if the hook had returned.
/// Returns whether it does.
EXTENSIBLE_COLD_FUNCTION bool keep_or_isolate(call_fields& call, const hook_record& hook);

/// Whether one is the other thrown again. Where that is a copy nothing tells but the text, which is all that a report would add.
template <bool AreCopied = EXTENSIBLE_EXCEPTIONS_ARE_COPIED>
bool is_same_exception(const std::exception_ptr& before, const std::exception_ptr& now);

/// Hands an exception to the handlers of the registry; without one, a line goes to stderr. `function` is the name of the one that
/// was called.
EXTENSIBLE_COLD_FUNCTION void report(const hook_record& hook, std::string_view function, std::exception_ptr exception, bool displaced);

/// In a catch-all block: reports what it has caught, which the isolated `hook` threw.
EXTENSIBLE_COLD_FUNCTION void report_isolated(const hook_record& hook, std::string_view function);

/// Hands `what` to a handler or monitor. False where it throws, or is running on this thread already: one that causes such an event
/// itself must not be told of that, for it might never end.
EXTENSIBLE_COLD_FUNCTION bool notify(const hook_entry& handler, const run_input& input);

/// Before the around hook `caller` goes on once more: the exception that the inside left before, and nobody cleared, is displaced.
EXTENSIBLE_COLD_FUNCTION void displace_exception(call_fields& call, const hook_record& caller);

/// Throws what the call ended with, when that is no result. Without exceptions the handler of on_error() gets an error that says so.
[[noreturn]] EXTENSIBLE_COLD_FUNCTION void throw_outcome(call_fields& call);

// ---------------------------------------------------------------------------------------------------------------------

template <bool AreCopied>
bool is_same_exception(const std::exception_ptr& before, const std::exception_ptr& now) {
    if (before == now) return true;
    if constexpr (AreCopied) {
        EXTENSIBLE_TRY {
            return text_of(before) == text_of(now);
        } EXTENSIBLE_CATCH(const std::bad_alloc&) {
            // Then it is reported.
        }
    }
    return false;
}

#if EXTENSIBLE_BODIES

void keep_exception(call_fields& call) {
    std::exception_ptr caught = std::current_exception();
    if (!caught) {
        while (finisher* const last = private_access::finishers(call).take_last()) last->destroy(last);
        EXTENSIBLE_RETHROW;
    }
    call.exception = std::move(caught);
}

void keep_exception(call_fields& call, const hook_record& hook) {
    std::exception_ptr before = call.exception;
    keep_exception(call);
    if (!before) return;
    if (is_same_exception(before, call.exception)) call.exception = std::move(before);  // for monitors too it is the same
    else report(hook, call.name, std::move(before), true);
}

// In a catch-all block: whether what it has caught is an ext::refusal.
EXTENSIBLE_COLD_FUNCTION bool is_refusal() noexcept {
#if EXTENSIBLE_EXCEPTIONS
    try {
        throw;
    } catch (const refusal&) {
        return true;
    } catch (...) {
        return false;
    }
#else
    return false;
#endif
}

bool keep_or_isolate(call_fields& call, const hook_record& hook) {
    const bool isolates = hook.isolate && !is_refusal();
    if (isolates) report_isolated(hook, call.name);
    else keep_exception(call, hook);
    return isolates;
}

void displace_exception(call_fields& call, const hook_record& caller) {
    report(caller, call.name, std::exchange(call.exception, nullptr), true);
}

void throw_outcome(call_fields& call) {
    if (call.exception) {
        if constexpr (EXTENSIBLE_EXCEPTIONS) std::rethrow_exception(std::exchange(call.exception, nullptr));
        else raise<error>(join({call.name, ": a hook set call.exception, which cannot be thrown without exceptions"}));
    }
    raise<no_result>(join({call.name, ": the call ended with neither a result nor an exception"}));
}

EXTENSIBLE_COLD_FUNCTION void write_to_stderr(const hook_error& error) noexcept {
    EXTENSIBLE_TRY {
        static_cast<void>(std::fputs(join({"extensible: ", error.text(), "\n"}).c_str(), stderr));
    } EXTENSIBLE_CATCH(...) {
        static_cast<void>(std::fputs("extensible: out of memory while a hook's exception was reported\n", stderr));
    }
}

bool notify(const hook_entry& handler, const run_input& input) {
    if (running_hook::is_running(*handler.record)) return false;
    const running_hook::scope running(handler.record);
    EXTENSIBLE_TRY {
        handler.run(handler.object, nullptr, &input);
        return true;
    } EXTENSIBLE_CATCH(...) {
        if (!std::current_exception()) EXTENSIBLE_RETHROW;  // the thread is being cancelled
        return false;
    }
}

void report(const hook_record& hook, std::string_view function, std::exception_ptr exception, bool displaced) {
    hook_error error{function,  hook.when, hook.id, hook.plugin ? std::string_view(hook.plugin->name) : std::string_view(),
                     std::move(exception), displaced};
    EXTENSIBLE_TRY {
        const hazard_guard held(hook.registry->errors);
        if (!held.list()) return write_to_stderr(error);
        for (const hook_entry* handler = held.list()->begin(); handler->run; ++handler)
            if (!notify(*handler, {.error = &error})) write_to_stderr(error);
    } EXTENSIBLE_CATCH(const std::bad_alloc&) {  // of the guard: the call that is reported of goes on all the same
        write_to_stderr(error);
    }
}

void report_isolated(const hook_record& hook, std::string_view function) {
    if (!std::current_exception()) EXTENSIBLE_RETHROW;  // the thread is being cancelled
    report(hook, function, std::current_exception(), false);
}

#endif

}}}  // namespace ext::detail
