// A start hook cannot know whether the function is awaited, so it cannot wait.
// expect-first: a limit that waits must be an around hook
#include <extensible/extensible.hpp>
#include <extensible/hooks/limit.hpp>

#ifdef FIXED
auto hook = ext::on_start("math.*", ext::hooks::limit_calls({.calls = 5}));
#else
auto hook = ext::on_start("math.*", ext::hooks::limit_calls({.calls = 5}, ext::hooks::wait));
#endif
