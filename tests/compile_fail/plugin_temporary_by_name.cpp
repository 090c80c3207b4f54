// The hooks that a temporary plugin registers by name would be removed at once.
// expect-only: this plugin is a temporary, .* give it a name
#include <extensible/extensible.hpp>

#ifdef FIXED
ext::plugin plugin{"math"};
auto hook = plugin.around<int(int)>("math.twice", [](auto&, auto& proceed) { proceed(); });
#else
auto hook = ext::plugin{"math"}.around<int(int)>("math.twice", [](auto&, auto& proceed) { proceed(); });
#endif
