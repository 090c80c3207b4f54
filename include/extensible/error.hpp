#pragma once

// The exceptions that the library throws, what the error handlers of a registry receive, and
// ext::on_error() for programs without exceptions.

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <extensible/detail/types/text.hpp>
#include <extensible/phase.hpp>

#include <atomic>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>

namespace ext { inline namespace EXTENSIBLE_ABI {

// The classes are visible across shared libraries, even with -fvisibility=hidden, so that a `catch`
// in one module catches what another module has thrown.

/// The base class of all exceptions that the library throws. The text of what() begins with what
/// the error is about, usually the name of the function.
class EXTENSIBLE_VISIBLE error : public std::runtime_error {
public:
    /// Constructs the exception with the text that what() returns.
    using std::runtime_error::runtime_error;
};

/// Thrown if the signature of a hook, or of a second wrapper with the same name, is not that of the
/// function. The text names both signatures. Also thrown if a hook sets an argument or the result
/// through an ext::any_call with a value of another type.
class EXTENSIBLE_VISIBLE signature_mismatch : public error {
public:
    using error::error;
};

/// Thrown if another hook of the same function (or pattern) and phase has the id already, and
/// neither of the two hooks has `.replace`.
class EXTENSIBLE_VISIBLE duplicate_hook : public error {
public:
    using error::error;
};

/// Thrown if the `before` and `after` of a function's hooks form a cycle. The text names its hooks.
class EXTENSIBLE_VISIBLE order_cycle : public error {
public:
    using error::error;
};

/// Thrown if a hook, an error handler or a monitor is registered in a sealed registry. See
/// registry::seal().
class EXTENSIBLE_VISIBLE sealed : public error {
public:
    using error::error;
};

/// Thrown if two modules (the program, a shared library) meet that were compiled with incompatible
/// versions of extensible, or with different standard libraries: if a module uses a registry of
/// another module, or ext::library loads a plugin. The text names both sides.
class EXTENSIBLE_VISIBLE incompatible_module : public error {
public:
    using error::error;
};

/// Thrown if a call ends with neither a result nor an exception, for instance because a hook
/// cleared the exception and set no result; a call of a `void` function then just returns. Also
/// thrown if a hook reads a result that is not there.
class EXTENSIBLE_VISIBLE no_result : public error {
public:
    using error::error;
};

/// What the remaining end hooks find in `call.exception` if a call is destroyed while it is
/// suspended. Without exceptions, `call.exception` is null.
class EXTENSIBLE_VISIBLE abandoned : public error {
public:
    using error::error;
};

/// Thrown if a named argument is read as another type than the stored one. The text gives the name
/// and both types.
class EXTENSIBLE_VISIBLE bad_kwarg : public error {
public:
    using error::error;
};

/// A base class for exceptions with which a hook refuses a call, for instance because a limit is
/// reached or the caller is not allowed to call. The call fails with it, even if the hook is
/// registered with `.isolate`.
class EXTENSIBLE_VISIBLE refusal : public error {
public:
    using error::error;
};

/// An exception that no caller sees, as an error handler of a registry receives it. See
/// registry::on_hook_error(). The views are valid while the handler runs.
struct hook_error {
    /// The name of the function that was called.
    std::string_view function;

    /// The phase in which the hook is registered.
    ext::phase phase;

    /// The id of the hook, or empty.
    std::string_view hook;

    /// The name of the ext::plugin that the hook belongs to, or empty.
    std::string_view owner;

    /// What was thrown.
    std::exception_ptr exception;

    /// False if this hook threw the exception and is isolated. True if the exception was in the
    /// call already, and this hook replaced it by throwing another one, or discarded it by
    /// proceeding.
    bool displaced;

    /// Returns all of it in one line, such as "net.fetch: the isolated start hook 'vault' of
    /// openbao threw: connection refused".
    EXTENSIBLE_COLD_FUNCTION std::string text() const;
};

/// Sets the handler for the library's own errors in a program that is compiled without exceptions
/// (-fno-exceptions). With exceptions, the handler is never called.
///
///     ext::on_error([](const ext::error& error) { log(error.what()), std::_Exit(1); });
///
/// The library calls `handler` instead of throwing, on the thread that would have thrown. The
/// handler must end the program by std::abort() or std::_Exit(). It must not return, and must not
/// call std::exit(): that runs destructors, which wait for locks that may be held. If the handler
/// returns, is null or was never set, the library writes the text to stderr and calls
/// std::terminate().
///
/// All modules that can see each other's symbols share one handler. Its code must stay loaded.
EXTENSIBLE_COLD_FUNCTION void on_error(void (*handler)(const error&)) noexcept;

namespace detail {

/// Throws one of the library's own errors; all of them are thrown here. Without exceptions, the
/// handler of on_error() receives the error.
template <class Error>
[[noreturn]] EXTENSIBLE_COLD_FUNCTION void raise(const std::string& text);

/// Returns a description such as "start hook 'vault' for 'models.*' of openbao". Empty parts are
/// left out.
EXTENSIBLE_COLD_FUNCTION std::string text_of(phase when, std::string_view id, std::string_view pattern,
                                             std::string_view owner);

/// Returns the what() of an exception, which must not be null.
EXTENSIBLE_COLD_FUNCTION std::string text_of(const std::exception_ptr& exception);

/// Without exceptions: calls the handler of on_error(), and ends the program.
[[noreturn]] EXTENSIBLE_COLD_FUNCTION void end_program(const error& problem) noexcept;

}  // namespace detail

// -------------------------------------------------------------------------------------------------

template <class Error>
void detail::raise(const std::string& text) {
#if EXTENSIBLE_EXCEPTIONS
    throw Error(text);
#else
    end_program(Error(text));
#endif
}

#if EXTENSIBLE_BODIES

#if EXTENSIBLE_EXCEPTIONS

void on_error(void (*)(const error&)) noexcept {}

#else

namespace detail {
EXTENSIBLE_SHARED_VARIABLE constinit std::atomic<void (*)(const error&)> error_handler{nullptr};
}

void on_error(void (*handler)(const error&)) noexcept {
    // Release: a thread that calls the handler sees everything that was written before the handler
    // was set. Pairs with the load in end_program().
    detail::error_handler.store(handler, std::memory_order_release);
}

void detail::end_program(const error& problem) noexcept {
    // Acquire: pairs with the store in on_error().
    if (const auto handler = error_handler.load(std::memory_order_acquire)) handler(problem);
    std::fprintf(stderr, "extensible: %s\n", problem.what());
    std::terminate();
}

#endif

std::string detail::text_of(phase when, std::string_view id, std::string_view pattern, std::string_view owner) {
    return join({to_string(when), " hook", id.empty() ? "" : " '", id, id.empty() ? "" : "'",
                 pattern.empty() ? "" : " for '", pattern, pattern.empty() ? "" : "'", owner.empty() ? "" : " of ",
                 owner});
}

std::string detail::text_of(const std::exception_ptr& exception) {
#if EXTENSIBLE_EXCEPTIONS
    try {
        std::rethrow_exception(exception);
    } catch (const std::exception& thrown) {
        const char* const text = thrown.what();
        return text ? text : "an exception without a text";
    } catch (...) {
        return "something that is not a std::exception";
    }
#else
    return exception ? "an exception, which cannot be looked at without exceptions" : "";
#endif
}

std::string hook_error::text() const {
    return detail::join({function, displaced ? ": the " : ": the isolated ", detail::text_of(phase, hook, "", owner),
                         displaced ? " displaced: " : " threw: ", detail::text_of(exception)});
}

#endif

}}  // namespace ext
