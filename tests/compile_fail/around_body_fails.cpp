// If the body of an around hook has an error, the compiler reports only that error.
// expect-only: no member named .*reslt
#include <extensible/extensible.hpp>

ext::extensible twice{"math.twice", [](int x) { return 2 * x; }};
#ifdef FIXED
auto hook = twice.around([](auto& call, auto& proceed) { proceed(), call.result = 1; });
#else
auto hook = twice.around([](auto& call, auto& proceed) { proceed(), call.reslt = 1; });
#endif
