// A default must be convertible to the type of its parameter.
// expect-first: the argument or default for this parameter cannot be converted to its type
// expect: "x"|'x'
#include <extensible/extensible.hpp>

using namespace ext::literals;

#ifdef FIXED
inline ext::extensible twice{"math.twice", ext::params("x"_kw = 1), [](int x) { return 2 * x; }};
#else
inline ext::extensible twice{"math.twice", ext::params("x"_kw = "one"), [](int x) { return 2 * x; }};
#endif
int result = twice();
