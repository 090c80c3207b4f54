// A hook returns nothing, or the end of its call.
// expect-first: a hook must return nothing; a start hook may return the end of its call
#include <extensible/extensible.hpp>

ext::extensible twice{"math.twice", [](int x) { return 2 * x; }};
#ifdef FIXED
auto hook = twice.on_start([](auto& call) { return [](auto& ended) { ended.result = 1; }; });
#else
auto hook = twice.on_start([](auto& call) { return call.name.size(); });
#endif
