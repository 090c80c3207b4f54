// A hook must take the call of its own function.
// expect-first: a hook must take the call of its function by reference, as in
#include <extensible/extensible.hpp>

inline ext::extensible twice{"math.twice", [](int x) { return 2 * x; }};

#ifdef FIXED
auto hook = twice.on_start([](ext::call<int(int)>& call) { call.result = 1; });
#else
auto hook = twice.on_start([](ext::call<long(int)>& call) { call.result = 1; });
#endif
