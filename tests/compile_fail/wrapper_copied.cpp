// A wrapper cannot be copied.
// expect-first: use of deleted function .*extensible\(const |call to deleted constructor of 'ext::extensible
#include <extensible/extensible.hpp>

inline ext::extensible twice{"math.twice", [](int x) { return 2 * x; }};

#ifdef FIXED
auto hook = &twice;
#else
auto hook = twice;
#endif
