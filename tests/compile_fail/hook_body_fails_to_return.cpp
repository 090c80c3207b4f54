// An error in what a generic hook returns is the only error: its parameters are right.
// expect-only: no member named .*reslt
#include <extensible/extensible.hpp>

ext::extensible twice{"math.twice", [](int x) { return 2 * x; }};
#ifdef FIXED
auto hook = twice.on_start([](auto& call) { return [done = call.result.has_value()](auto&) {}; });
#else
auto hook = twice.on_start([](auto& call) { return call.reslt; });
#endif
