// To wait in an awaited function, limit_rate() needs a function that returns an awaitable pause.
// expect-first: for an awaited function, replace ext::hooks::wait by a callable that returns the awaitable
#include <extensible/extensible.hpp>
#include <extensible/hooks/limit.hpp>

#include "../tasks.hpp"

inline ext::extensible twice{"math.twice", [](int x) -> tasks::lazy<int> { co_return 2 * x; }};

#ifdef FIXED
auto hook = twice.around(ext::hooks::limit_rate({.rate = 5}, [](auto) { return tasks::gate::awaiter{nullptr}; }));
#else
auto hook = twice.around(ext::hooks::limit_rate({.rate = 5}, ext::hooks::wait));
#endif
