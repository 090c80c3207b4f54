// If the body of a generic error handler has an error, the compiler reports only that error.
// expect-only: no member named .*functon
#include <extensible/extensible.hpp>

#ifdef FIXED
auto hook = ext::default_registry().on_hook_error([](auto& error) { static_cast<void>(error.function); });
#else
auto hook = ext::default_registry().on_hook_error([](auto& error) { static_cast<void>(error.functon); });
#endif
