// ext::fn does not accept a data member.
// expect-first: ext::fn: a data member is not a function
#include <extensible/extensible.hpp>

struct account {
    int cents;
    int get() const { return cents; }
};
#ifdef FIXED
ext::extensible get{"account.get", ext::fn<&account::get>};
#else
ext::extensible get{"account.get", ext::fn<&account::cents>};
#endif
