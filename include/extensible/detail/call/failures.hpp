#pragma once

// What happens to an exception of a hook or of the function? It is kept in the call, or reported to
// the error handlers. And what does a call throw that ends without a result?
//
// What must stay true:
// 1. No exception disappears: if another one displaces it, or if its hook is isolated, it is reported
//    (tests/hook_error.cpp, tests/model). An ext::refusal is kept even if its hook is isolated.
// 2. A handler or monitor is not called on a thread on which it is already running: one that causes
//    such an event itself might never end (tests/hook_error.cpp, tests/monitor.cpp).
// 3. In a call that is not awaited, a forced unwinding (the thread is cancelled, or calls
//    pthread_exit()) is neither kept nor reported, but rethrown. std::current_exception() is null then
//    (tests/programs/cancelled_thread.cpp).
//
// Most functions are out of line: inlined, they would make every call save more registers.
//
// Not here: which hooks run: hook_run.hpp; what monitors receive: monitoring.hpp.

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

/// Stores the caught exception in the call. Call it in a catch-all block. Rethrows a forced unwinding,
/// after it has destroyed the finishers of the call, which will not run.
EXTENSIBLE_COLD_FUNCTION void keep_exception(call_fields& call);

/// As above, for an exception that `hook` threw. If the call already has another exception, reports
/// that one, which is displaced.
EXTENSIBLE_COLD_FUNCTION void keep_exception(call_fields& call, const hook_record& hook);

/// As above, but if `hook` is isolated and did not throw an ext::refusal, reports the exception
/// instead. Returns true if it did: the call then proceeds as if the hook had returned.
EXTENSIBLE_COLD_FUNCTION bool keep_or_isolate(call_fields& call, const hook_record& hook);

/// Returns true if `now` is `before`, thrown again. If the platform copies exceptions that are thrown
/// again, two exceptions with the same text are treated as the same: a report would repeat that text.
/// `AreCopied` is a parameter for the test.
template <bool AreCopied = EXTENSIBLE_EXCEPTIONS_ARE_COPIED>
bool is_same_exception(const std::exception_ptr& before, const std::exception_ptr& now);

/// Reports an exception to the error handlers of the hook's registry. If there are none, and for each
/// handler that fails, writes a line to stderr. `function` is the name of the called function.
/// `displaced` is true if `hook` displaced the exception, and false if it threw it and is isolated.
EXTENSIBLE_COLD_FUNCTION void report(const hook_record& hook, std::string_view function, std::exception_ptr exception,
                                     bool displaced);

/// Reports the caught exception, which the isolated `hook` threw. Call it in a catch-all block.
/// Rethrows a forced unwinding.
EXTENSIBLE_COLD_FUNCTION void report_isolated(const hook_record& hook, std::string_view function);

/// Calls an error handler or a monitor. Returns false if it threw, or if it is not called because it
/// is already running on this thread. Rethrows a forced unwinding.
EXTENSIBLE_COLD_FUNCTION bool notify(const hook_entry& handler, const run_input& input);

/// Takes call.exception out of the call, and reports it as displaced by `caller`: an around hook that
/// proceeds while the call still has an exception, or a hook of a call that is abandoned.
EXTENSIBLE_COLD_FUNCTION void displace_exception(call_fields& call, const hook_record& caller);

/// Throws call.exception, or no_result if that is null. Without exceptions (-fno-exceptions) it cannot
/// throw call.exception; it raises an error instead, which the handler of ext::on_error() receives.
[[noreturn]] EXTENSIBLE_COLD_FUNCTION void throw_outcome(call_fields& call);

// -------------------------------------------------------------------------------------------------

template <bool AreCopied>
bool is_same_exception(const std::exception_ptr& before, const std::exception_ptr& now) {
    if (before == now) return true;
    if constexpr (AreCopied) {
        EXTENSIBLE_TRY {
            return text_of(before) == text_of(now);
        } EXTENSIBLE_CATCH(const std::bad_alloc&) {
            // Not known to be the same, so it is reported.
        }
    }
    return false;
}

#if EXTENSIBLE_BODIES

void keep_exception(call_fields& call) {
    std::exception_ptr caught = std::current_exception();
    if (!caught) {
        private_access::finishers(call).destroy_all();
        EXTENSIBLE_RETHROW;
    }
    call.exception = std::move(caught);
}

void keep_exception(call_fields& call, const hook_record& hook) {
    std::exception_ptr before = call.exception;
    detail::keep_exception(call);
    if (!before) return;
    // Keeps the old pointer if they are the same, because monitoring compares the pointers.
    if (is_same_exception(before, call.exception)) call.exception = std::move(before);
    else report(hook, call.name, std::move(before), true);
}

// Returns true if the caught exception is an ext::refusal. Call it in a catch-all block.
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
    else detail::keep_exception(call, hook);
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
        if (!std::current_exception()) EXTENSIBLE_RETHROW;  // a forced unwinding
        return false;
    }
}

void report(const hook_record& hook, std::string_view function, std::exception_ptr exception, bool displaced) {
    hook_error error{function, hook.when, hook.id, hook.owner(), std::move(exception), displaced};
    EXTENSIBLE_TRY {
        const hazard_guard held(hook.registry->errors);
        if (!held.list()) return write_to_stderr(error);
        for (const hook_entry* handler = held.list()->begin(); handler->run; ++handler)
            if (!notify(*handler, {.error = &error})) write_to_stderr(error);
    } EXTENSIBLE_CATCH(const std::bad_alloc&) {  // the guard has no memory for a slot
        write_to_stderr(error);
    }
}

void report_isolated(const hook_record& hook, std::string_view function) {
    if (!std::current_exception()) EXTENSIBLE_RETHROW;  // a forced unwinding
    report(hook, function, std::current_exception(), false);
}

#endif

}}}  // namespace ext::detail
