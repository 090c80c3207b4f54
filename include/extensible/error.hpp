#pragma once

// What can go wrong? Every exception that the library throws of its own accord, and what the error handler of a registry gets.
// Without exceptions, where does what would be thrown go?

#include <extensible/detail/config.hpp>
#include <extensible/options.hpp>

#include <atomic>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>

namespace ext::inline EXTENSIBLE_ABI {

// The classes are visible across shared libraries, also under -fvisibility=hidden, so that a `catch` in one module
// takes what another has thrown.

/// The base of all the library's exceptions. `what()` begins with the name of the function concerned.
class EXTENSIBLE_VISIBLE error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// A hook, or a second wrapper of the same name, has another signature than the function. Names both.
class EXTENSIBLE_VISIBLE signature_mismatch : public error {
public:
    using error::error;
};

/// A hook's id is taken in its function and phase, and `.replace` was not asked for.
class EXTENSIBLE_VISIBLE duplicate_hook : public error {
public:
    using error::error;
};

/// The `before` and `after` of a function's hooks contradict each other. Names the hooks that do.
class EXTENSIBLE_VISIBLE order_cycle : public error {
public:
    using error::error;
};

/// A hook is registered in a registry that has been sealed.
class EXTENSIBLE_VISIBLE sealed : public error {
public:
    using error::error;
};

/// A module was compiled with another version or layout of the library than the registry's. Names both sides.
class EXTENSIBLE_VISIBLE incompatible_module : public error {
public:
    using error::error;
};

/// A call ended with neither a result nor an exception: a hook cleared the exception and set no result.
class EXTENSIBLE_VISIBLE no_result : public error {
public:
    using error::error;
};

/// End hooks find this in `call.exception` when a suspended call is destroyed before it has produced an outcome. Without
/// exceptions they find neither that nor a result.
class EXTENSIBLE_VISIBLE abandoned : public error {
public:
    using error::error;
};

/// A named argument was asked for as another type than the one it holds. Gives the name and both types.
class EXTENSIBLE_VISIBLE bad_kwarg : public error {
public:
    using error::error;
};

/// Derive an exception from this if a hook throws it to refuse a call: a limit is reached, the caller is not allowed to call. The call
/// fails with it, even if the hook is registered with `.isolate`.
class EXTENSIBLE_VISIBLE refusal : public error {
public:
    using error::error;
};

/// What the error handler of a registry gets: an exception that no caller will see. The views are valid while the handler runs.
struct hook_error {
    std::string_view function;     ///< the name of the function that was called
    ext::phase phase;              ///< of the hook concerned
    std::string_view hook;         ///< its id, empty without one
    std::string_view owner;        ///< the ext::plugin that it belongs to, empty without one
    std::exception_ptr exception;  ///< what was thrown

    /// False: the hook threw it, and is registered with `.isolate`. True: something else had thrown it, and then this hook
    /// threw another, or went on without it.
    bool displaced;

    /// All of it in one line: "net.fetch: the isolated start hook 'vault' of openbao threw: connection refused".
    EXTENSIBLE_FUNCTION std::string text() const;
};

/// Where the program is compiled without exceptions (-fno-exceptions), the library hands its own errors to `handler`, on the thread
/// that would have thrown them. The handler ends the program, by std::abort() or std::_Exit(): it must not return, and std::exit()
/// would run destructors, which wait for locks that may be held. Where it returns, is null, or was never set, the text is written to
/// stderr, and std::terminate() is called. All modules that can see each other's symbols have one handler, whose code has to stay
/// loaded. With exceptions it is not called.
///
///     ext::on_error([](const ext::error& error) { log(error.what()), std::_Exit(1); });
EXTENSIBLE_FUNCTION void on_error(void (*handler)(const error&)) noexcept;

namespace detail {

/// Throws one of the library's own errors, all of which come from here. Without exceptions the handler of on_error() gets it.
template <class Error>
[[noreturn]] EXTENSIBLE_FUNCTION void raise(const std::string& text);

/// Texts in one, for what() of an error.
EXTENSIBLE_FUNCTION std::string join(std::initializer_list<std::string_view> parts);

/// "start hook 'vault' for 'models.*' of openbao", without what is empty.
EXTENSIBLE_FUNCTION std::string text_of(phase when, std::string_view id, std::string_view pattern, std::string_view owner);

/// The what() of an exception. There is one.
EXTENSIBLE_FUNCTION std::string text_of(const std::exception_ptr& exception);

}  // namespace detail

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_EXCEPTIONS

template <class Error>
void detail::raise(const std::string& text) {
    throw Error(text);
}

#else

namespace detail {

[[noreturn]] EXTENSIBLE_FUNCTION void end_program(const error& problem) noexcept;

}  // namespace detail

template <class Error>
void detail::raise(const std::string& text) {
    end_program(Error(text));
}

#endif

#if EXTENSIBLE_BODIES

#if EXTENSIBLE_EXCEPTIONS

void on_error(void (*)(const error&)) noexcept {}

#else

namespace detail {

EXTENSIBLE_SHARED_VARIABLE constinit std::atomic<void (*)(const error&)> error_handler{nullptr};

// Release and acquire: whoever calls the handler sees what was there when it was set.
void end_program(const error& problem) noexcept {
    if (const auto handler = error_handler.load(std::memory_order_acquire)) handler(problem);
    std::fprintf(stderr, "extensible: %s\n", problem.what());
    std::terminate();
}

}  // namespace detail

void on_error(void (*handler)(const error&)) noexcept {
    detail::error_handler.store(handler, std::memory_order_release);
}

#endif

std::string detail::join(std::initializer_list<std::string_view> parts) {
    std::size_t size = 0;
    for (const std::string_view part : parts) size += part.size();
    std::string text(size, ' ');  // filled in place: growing it would be much more code
    char* at = text.data();
    for (const std::string_view part : parts)
        for (const char c : part) *at++ = c;
    return text;
}

std::string detail::text_of(phase when, std::string_view id, std::string_view pattern,
                                                std::string_view owner) {
    return join({to_string(when), " hook", id.empty() ? "" : " '", id, id.empty() ? "" : "'", pattern.empty() ? "" : " for '", pattern,
                 pattern.empty() ? "" : "'", owner.empty() ? "" : " of ", owner});
}

std::string detail::text_of(const std::exception_ptr& exception) {
#if EXTENSIBLE_EXCEPTIONS
    try {
        std::rethrow_exception(exception);
    } catch (const std::exception& thrown) {
        return thrown.what();
    } catch (...) {
        return "something that is no std::exception";
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

}  // namespace ext::inline EXTENSIBLE_ABI
