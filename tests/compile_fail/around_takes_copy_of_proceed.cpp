// An around hook must take the ext::proceed by reference, even if it is generic.
// expect-first: an around hook must take the call of its function and an ext::proceed by reference, as in
#include <extensible/extensible.hpp>

inline ext::extensible twice{"math.twice", [](int x) { return 2 * x; }};

#ifdef FIXED
auto hook = twice.around([](auto& call, auto& proceed) { proceed(), call.result = 7; });
#else
auto hook = twice.around([](auto& call, auto proceed) { proceed(), call.result = 7; });
#endif
