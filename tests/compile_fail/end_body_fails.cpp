// If the body of a finisher has an error, the compiler reports only that error.
// expect-only: no member named .*reslt
#include <extensible/extensible.hpp>

ext::extensible twice{"math.twice", [](int x) { return 2 * x; }};
#ifdef FIXED
auto hook = twice.on_start([](auto&) { return [](auto& call) { call.result = 1; }; });
#else
auto hook = twice.on_start([](auto&) { return [](auto& call) { call.reslt = 1; }; });
#endif
