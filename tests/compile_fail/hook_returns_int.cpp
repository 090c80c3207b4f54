// A start hook must return nothing or a finisher.
// expect-first: a hook must return nothing: to skip the function, set call.result. A start hook may return a finisher
#include <extensible/extensible.hpp>

ext::extensible twice{"math.twice", [](int x) { return 2 * x; }};
#ifdef FIXED
auto hook = twice.on_start([](auto& call) { return [](auto& ended) { ended.result = 1; }; });
#else
auto hook = twice.on_start([](auto& call) { return call.name.size(); });
#endif
