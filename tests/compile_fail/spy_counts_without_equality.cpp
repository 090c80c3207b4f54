// spy::count() compares arguments, so their types need operator==.
// expect: ext::hooks::spy::count: the type of an argument has no ==; look at what calls\(\) returns
#include <extensible/hooks/spy.hpp>

struct account {
    int number;
#ifdef FIXED
    bool operator==(const account&) const = default;
#endif
};
ext::extensible charge{"billing.charge", [](account) {}};
ext::hooks::spy seen{charge};
auto count = seen.count(account{5});
