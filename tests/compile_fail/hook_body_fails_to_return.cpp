// If the return statement of a generic hook has an error, the compiler reports only that error. It
// does not complain about the hook's parameters.
// expect-only: no member named .*reslt
#include <extensible/extensible.hpp>

ext::extensible twice{"math.twice", [](int x) { return 2 * x; }};
#ifdef FIXED
auto hook = twice.on_start([](auto& call) { return [done = call.result.has_value()](auto&) {}; });
#else
auto hook = twice.on_start([](auto& call) { return call.reslt; });
#endif
