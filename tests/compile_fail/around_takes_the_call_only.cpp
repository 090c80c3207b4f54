// An around hook must also take an ext::proceed.
// expect-first: an around hook must take the call of its function and an ext::proceed by reference, as in
#include <extensible/extensible.hpp>

inline ext::extensible twice{"math.twice", [](int x) { return 2 * x; }};

#ifdef FIXED
auto hook = twice.around([](auto&, auto& proceed) { proceed(); });
#else
auto hook = twice.around([](auto& call) { call.result = 1; });
#endif
