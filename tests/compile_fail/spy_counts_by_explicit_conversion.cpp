// spy::count() takes values that convert to the types of the arguments, not by explicit constructors.
// expect: ext::hooks::spy::count: give a value for each of the function's arguments, of its type
#include <extensible/hooks/spy.hpp>

#include <memory>

ext::extensible keep{"keep", [](std::shared_ptr<int>) {}};
ext::hooks::spy seen{keep};
int number = 5;
#ifdef FIXED
auto count = seen.count(std::shared_ptr<int>());
#else
auto count = seen.count(&number);
#endif
