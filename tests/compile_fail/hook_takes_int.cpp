// A hook must take the call, not the function's arguments.
// expect-first: a hook must take the call of its function by reference, as in
#include <extensible/extensible.hpp>

inline ext::extensible twice{"math.twice", [](int x) { return 2 * x; }};

#ifdef FIXED
auto hook = twice.on_start([](auto& call) { call.result = 1; });
#else
auto hook = twice.on_start([](int x) { return x; });
#endif
