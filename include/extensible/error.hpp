#pragma once

// What can go wrong? Every exception that the library throws of its own accord.

#include <stdexcept>

namespace ext {

// The classes are visible across shared libraries, also under -fvisibility=hidden, so that a `catch` in one module
// takes what another has thrown.

/// The base of all the library's exceptions. `what()` begins with the name of the function concerned.
class [[gnu::visibility("default")]] error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// A hook, or a second wrapper of the same name, has another signature than the function. Names both.
class [[gnu::visibility("default")]] signature_mismatch : public error {
public:
    using error::error;
};

/// A hook's id is taken in its function and phase, and `.replace` was not asked for.
class [[gnu::visibility("default")]] duplicate_hook : public error {
public:
    using error::error;
};

/// The `before` and `after` of a function's hooks contradict each other. Names the hooks that do.
class [[gnu::visibility("default")]] order_cycle : public error {
public:
    using error::error;
};

/// A hook is registered in a registry that has been sealed.
class [[gnu::visibility("default")]] sealed : public error {
public:
    using error::error;
};

/// A call ended with neither a result nor an exception: a hook cleared the exception and set no result.
class [[gnu::visibility("default")]] no_result : public error {
public:
    using error::error;
};

/// What end hooks find in `call.exception` when a call that was suspended is destroyed, and comes to no end of its own.
class [[gnu::visibility("default")]] abandoned : public error {
public:
    using error::error;
};

/// A named argument was asked for as another type than the one it holds. Gives the name and both types.
class [[gnu::visibility("default")]] bad_kwarg : public error {
public:
    using error::error;
};

}  // namespace ext
