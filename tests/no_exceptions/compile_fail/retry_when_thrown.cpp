// Without exceptions, hooks::thrown has no exception whose type it could check.
// expect-first: ext::hooks::thrown: this is compiled without exceptions
#include <extensible/extensible.hpp>
#include <extensible/hooks/retry.hpp>

ext::extensible twice{"twice", [](int x) { return 2 * x; }};
#ifdef FIXED
auto hook = twice.around(ext::hooks::retry({.when = [](const ext::any_call& call) { return call.failed(); }}));
#else
auto hook = twice.around(ext::hooks::retry({.when = ext::hooks::thrown<ext::error>}));
#endif
