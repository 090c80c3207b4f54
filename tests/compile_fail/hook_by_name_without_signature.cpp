// A generic hook registered by name needs the function's signature.
// expect-first: a hook registered by name takes an ext::call<R\(A\.\.\.\)>& or an ext::any_call&,
// expect-first: or an ext::any_call&, or the signature is given
#include <extensible/extensible.hpp>

inline ext::extensible twice{"math.twice", [](int x) { return 2 * x; }};

#ifdef FIXED
auto hook = ext::on_start<int(int)>("math.twice", [](auto& call) { call.result = 1; });
#else
auto hook = ext::on_start("math.twice", [](auto& call) { call.result = 1; });
#endif
