// A limit that does not wait has to throw, which needs exceptions.
// expect-first: ext::hooks::limit_calls: this is compiled without exceptions, so it cannot throw; let it wait
#include <extensible/extensible.hpp>
#include <extensible/hooks/limit.hpp>

ext::extensible twice{"twice", [](int x) { return 2 * x; }};
#ifdef FIXED
auto hook = twice.around(ext::hooks::limit_calls({.calls = 5}, ext::hooks::wait));
#else
auto hook = twice.around(ext::hooks::limit_calls({.calls = 5}));
#endif
