// An around hook of a function that returns an awaitable must return one too.
// expect-first: an around hook of a function that returns an awaitable has to return one too
#include <extensible/extensible.hpp>

#include "../tasks.hpp"

inline ext::extensible twice{"math.twice", [](int x) -> tasks::lazy<int> { co_return 2 * x; }};

#ifdef FIXED
auto hook = twice.around([](auto&, auto& proceed) -> tasks::lazy<void> { co_await proceed(); });
#else
auto hook = twice.around([](auto&, auto& proceed) { proceed(); });
#endif
