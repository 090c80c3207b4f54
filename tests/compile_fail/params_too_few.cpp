// Either all parameters have names, or none.
// expect-first: ext::params must name each parameter of the function, except a last ext::kwargs
#include <extensible/extensible.hpp>

using namespace ext::literals;

#ifdef FIXED
inline ext::extensible add{"math.add", ext::params("a"_kw, "b"_kw), [](int a, int b) { return a + b; }};
#else
inline ext::extensible add{"math.add", ext::params("a"_kw), [](int a, int b) { return a + b; }};
#endif
