// The hooks of a temporary plugin would be removed at once.
// expect-only: this plugin is a temporary, .* give it a name
#include <extensible/extensible.hpp>

ext::extensible twice{"math.twice", [](int x) { return 2 * x; }};
#ifdef FIXED
ext::plugin plugin{"math"};
auto hook = plugin.on_start(twice, [](auto&) {}, {.id = "nothing"});
#else
auto hook = ext::plugin{"math"}.on_start(twice, [](auto&) {}, {.id = "nothing"});
#endif
