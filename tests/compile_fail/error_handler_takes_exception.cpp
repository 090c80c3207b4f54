// An error handler must take an ext::hook_error.
// expect-first: a handler for on_hook_error\(\) must be callable with a const ext::hook_error&
#include <extensible/extensible.hpp>

#include <exception>

#ifdef FIXED
auto hook = ext::default_registry().on_hook_error([](const ext::hook_error&) {});
#else
auto hook = ext::default_registry().on_hook_error([](std::exception_ptr) {});
#endif
