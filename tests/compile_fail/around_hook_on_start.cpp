// An around hook that is registered as a start or end hook gets its own message.
// expect-first: this hook takes the call and an ext::proceed, so it is an around hook: register it with around\(\)
#include <extensible/extensible.hpp>

#include <extensible/hooks/retry.hpp>

inline ext::extensible twice{"math.twice", [](int x) { return 2 * x; }};

#ifdef FIXED
auto hook = twice.around(ext::hooks::retry());
#else
auto hook = twice.on_start(ext::hooks::retry());
#endif
