// A data member cannot be wrapped.
// expect-first: the signature of this function cannot be deduced
#include <extensible/extensible.hpp>

struct account {
    int cents;
    int get() const { return cents; }
};
#ifdef FIXED
ext::extensible f{"account.get", &account::get};
#else
ext::extensible f{"account.get", &account::cents};
#endif
