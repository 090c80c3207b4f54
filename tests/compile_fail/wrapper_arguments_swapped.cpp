// The name must precede the function.
// expect-first: the arguments are a registry if it is not the default one, a name
#include <extensible/extensible.hpp>

#ifdef FIXED
ext::extensible f{"math.twice", [](int x) { return 2 * x; }};
#else
ext::extensible f{[](int x) { return 2 * x; }, "math.twice"};
#endif
