// Two parameters cannot have the same name.
// expect-first: ext::params gives two parameters the same name
#include <extensible/extensible.hpp>

using namespace ext::literals;

#ifdef FIXED
inline ext::extensible add{"math.add", ext::params("a"_kw, "b"_kw), [](int a, int b) { return a + b; }};
#else
inline ext::extensible add{"math.add", ext::params("a"_kw, "a"_kw), [](int a, int b) { return a + b; }};
#endif
