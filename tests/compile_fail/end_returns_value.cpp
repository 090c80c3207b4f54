// A finisher must return nothing.
// expect-first: the finisher that a start hook returns must return nothing
#include <extensible/extensible.hpp>

ext::extensible twice{"math.twice", [](int x) { return 2 * x; }};
#ifdef FIXED
auto hook = twice.on_start([](auto&) { return [](auto& call) { call.result = 1; }; });
#else
auto hook = twice.on_start([](auto&) { return [](auto&) { return 1; }; });
#endif
