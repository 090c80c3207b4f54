// A hook cannot ask for an argument by name if the parameters have no names.
// expect-first: the parameters have no names here; name them with ext::params
// expect: "x"|'x'
#include <extensible/extensible.hpp>

inline ext::extensible twice{"math.twice", [](int x) { return 2 * x; }};

#ifdef FIXED
auto hook = twice.on_start([](auto& call) { call.template arg<0>() = 1; });
#else
auto hook = twice.on_start([](auto& call) { call.template arg<"x">() = 1; });
#endif
