// A hook registered by name must take the call, not the function's arguments.
// expect-first: a hook registered by name takes an ext::call<R\(A\.\.\.\)>& or an ext::any_call&,
// expect-first: or an ext::any_call&, or the signature is given
#include <extensible/extensible.hpp>

inline ext::extensible twice{"math.twice", [](int x) { return 2 * x; }};

#ifdef FIXED
auto hook = ext::on_start("math.twice", [](ext::call<int(int)>& call) { call.result = 1; });
#else
auto hook = ext::on_start("math.twice", [](int x) { return x; });
#endif
