// A hook registered by name must take the call of the given signature.
// expect-first: a hook must take the call of its function by reference, as in
#include <extensible/extensible.hpp>

inline ext::extensible twice{"math.twice", [](int x) { return 2 * x; }};

#ifdef FIXED
auto hook = ext::on_start<int(int)>("math.twice", [](ext::call<int(int)>& call) { call.result = 1; });
#else
auto hook = ext::on_start<int(int)>("math.twice", [](ext::call<long(int)>& call) { call.result = 1; });
#endif
