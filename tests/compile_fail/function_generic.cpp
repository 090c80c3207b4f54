// The signature of a generic lambda cannot be deduced, so it must be given.
// expect-first: the signature of this function cannot be deduced.*give it: ext::extensible<R\(A\.\.\.\)>
#include <extensible/extensible.hpp>

#ifdef FIXED
inline ext::extensible<int(int)> twice{"math.twice", [](auto x) { return 2 * x; }};
#else
inline ext::extensible twice{"math.twice", [](auto x) { return 2 * x; }};
#endif
