// A generic hook must also take the call by reference.
// expect-first: a hook must take the call of its function by reference
#include <extensible/extensible.hpp>

ext::extensible twice{"math.twice", [](int x) { return 2 * x; }};
#ifdef FIXED
auto hook = twice.on_start([](auto& call) { call.result = 1; });
#else
auto hook = twice.on_start([](auto call) { call.result = 1; });
#endif
