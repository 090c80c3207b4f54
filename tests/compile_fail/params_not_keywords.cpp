// Parameters are named by "name"_kw, not by strings.
// expect-first: ext::params takes names, as in .*_kw, or with a default
#include <extensible/extensible.hpp>

using namespace ext::literals;

#ifdef FIXED
inline ext::extensible twice{"math.twice", ext::params("x"_kw), [](int x) { return 2 * x; }};
#else
inline ext::extensible twice{"math.twice", ext::params("x"), [](int x) { return 2 * x; }};
#endif
