// A monitor must take an ext::hook_run.
// expect-first: a monitor for on_hook_run\(\) must be callable with a const ext::hook_run&
#include <extensible/extensible.hpp>

ext::registry registry;
#ifdef FIXED
auto hook = registry.on_hook_run([](const ext::hook_run&) {});
#else
auto hook = registry.on_hook_run([](const ext::hook_error&) {});
#endif
