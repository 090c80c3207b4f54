// The predicate on a result takes the result: one on the call is the option `.when`.
// expect-first: ext::hooks: the predicate .failed has one parameter, the function's result
#include <extensible/extensible.hpp>
#include <extensible/hooks/retry.hpp>

inline ext::extensible status{"status", [] { return 200; }};
#ifdef FIXED
auto hook = status.around(ext::hooks::retry({.when = [](const ext::any_call& call) { return call.failed(); }}));
#else
auto hook = status.around(ext::hooks::retry({.failed = [](const ext::any_call& call) { return call.failed(); }}));
#endif
