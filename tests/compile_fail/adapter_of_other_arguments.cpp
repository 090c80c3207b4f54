// The function in ext::instead must take the arguments of the wrapped function.
// expect: ext::instead: the function must take the arguments of the wrapped function, and return what that returns
#include <extensible/extensible.hpp>

ext::extensible twice{"math.twice", [](int x) { return 2 * x; }};
#ifdef FIXED
auto hook = twice.on_start(ext::instead([](int x) { return x; }));
#else
auto hook = twice.on_start(ext::instead([](int x, int y) { return x + y; }));
#endif
