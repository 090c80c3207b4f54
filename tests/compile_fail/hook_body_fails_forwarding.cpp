// If the body of a hook has an error, the compiler reports only that error. Here the hook takes the
// call by a forwarding reference.
// expect-only: no member named .*reslt
#include <extensible/extensible.hpp>

ext::extensible twice{"math.twice", [](int x) { return 2 * x; }};
#ifdef FIXED
auto hook = twice.on_start([](auto&& call) { call.result = 1; });
#else
auto hook = twice.on_start([](auto&& call) { call.reslt = 1; });
#endif
