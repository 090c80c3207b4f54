// If the body of a mutable hook has an error, the compiler reports only that error.
// expect-only: no member named .*reslt
#include <extensible/extensible.hpp>

ext::extensible twice{"math.twice", [](int x) { return 2 * x; }};
#ifdef FIXED
auto hook = twice.on_start([n = 1](auto& call) mutable { call.result = n++; });
#else
auto hook = twice.on_start([n = 1](auto& call) mutable { call.reslt = n++; });
#endif
