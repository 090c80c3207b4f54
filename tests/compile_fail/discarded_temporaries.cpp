// The compiler warns about a temporary whose destructor would undo its effect at once.
// expect: the hook is removed where its ext::scoped_hook is destroyed: give it a name
// expect: the spy is gone where it is destroyed: give it a name.*the spy is gone where it is destroyed: give it a name
// expect: the faults are gone where this is destroyed: give it a name
// expect: the trace ends where this is destroyed: give it a name
// expect: the library is closed where its ext::library is destroyed: give it a name
#include <extensible/extensible.hpp>
#include <extensible/hooks/fault.hpp>
#include <extensible/hooks/spy.hpp>
#include <extensible/hooks/trace.hpp>
#include <extensible/library.hpp>

#include <iostream>

#pragma GCC diagnostic error "-Wunused-result"
#pragma GCC diagnostic error "-Wunused-value"

ext::extensible twice{"math.twice", [](int x) { return 2 * x; }};

void use() {
#ifdef FIXED
    ext::scoped_hook hook{twice.on_start([](auto&) {})};
    ext::hooks::spy seen{twice};
    ext::hooks::spy<int(int)> seen_by_name{ext::default_registry(), "math.twice"};
    ext::hooks::faults drill{"math.*=throw"};
    ext::hooks::trace trace{std::cout};
    ext::library vault{"libvault.so"};
#else
    ext::scoped_hook{twice.on_start([](auto&) {})};
    ext::hooks::spy{twice};
    ext::hooks::spy<int(int)>{ext::default_registry(), "math.twice"};
    ext::hooks::faults{"math.*=throw"};
    ext::hooks::trace{std::cout};
    ext::library{"libvault.so"};
#endif
}
