// A generic around hook registered by name needs the function's signature.
// expect-first: a hook registered by name takes an ext::call<R\(A\.\.\.\)>& or an ext::any_call&,
// expect-first: or an ext::any_call&, or the signature is given
#include <extensible/extensible.hpp>

#ifdef FIXED
auto hook = ext::around<int(int)>("math.twice", [](auto&, auto& proceed) { proceed(); });
#else
auto hook = ext::around("math.twice", [](auto&, auto& proceed) { proceed(); });
#endif
