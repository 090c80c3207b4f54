// The signature of an overloaded function cannot be deduced.
// expect-first: for one that is overloaded: ext::fn<static_cast<R \(\*\)\(A...\)>\(&f\)>
#include <extensible/extensible.hpp>

int twice(int);
double twice(double);
#ifdef FIXED
ext::extensible f{"math.twice", ext::fn<static_cast<int (*)(int)>(&twice)>};
#else
ext::extensible f{"math.twice", twice};
#endif
