// spy::count() needs a value for each argument of the function.
// expect: ext::hooks::spy::count: give a value for each of the function's arguments, of its type
#include <extensible/hooks/spy.hpp>

ext::extensible charge{"billing.charge", [](const char*, int) {}};
ext::hooks::spy seen{charge};
#ifdef FIXED
auto count = seen.count("ann", 250);
#else
auto count = seen.count("ann");
#endif
