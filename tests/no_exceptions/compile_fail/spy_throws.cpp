// A spy cannot throw an exception as its answer.
// expect-first: ext::hooks::spy: this is compiled without exceptions, so no answer can throw
#include <extensible/extensible.hpp>
#include <extensible/hooks/spy.hpp>

ext::extensible twice{"twice", [](int x) { return 2 * x; }};
void test() {
    ext::hooks::spy seen{twice};
#ifdef FIXED
    seen.returns(1);
#else
    seen.throws(1);
#endif
}
