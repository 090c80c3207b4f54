// The type of the results that the predicate tests is that of its parameter.
// expect-first: ext::hooks: the predicate .failed has one parameter, the function's result
#include <extensible/extensible.hpp>
#include <extensible/hooks/retry.hpp>

inline ext::extensible status{"status", [] { return 200; }};
#ifdef FIXED
auto hook = status.around(ext::hooks::retry({.failed = [](const int& code) { return code >= 500; }}));
#else
auto hook = status.around(ext::hooks::retry({.failed = [](const auto& code) { return code >= 500; }}));
#endif
