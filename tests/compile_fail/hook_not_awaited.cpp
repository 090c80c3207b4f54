// A hook of a function that is not awaited cannot return an awaitable: no code would await it.
// expect-first: the hook returns an awaitable, and the function does not
#include <extensible/extensible.hpp>

#include "../tasks.hpp"

inline ext::extensible twice{"math.twice", [](int x) { return 2 * x; }};

#ifdef FIXED
auto hook = twice.on_start([](auto& call) { call.result = 1; });
#else
auto hook = twice.on_start([](auto& call) -> tasks::lazy<void> {
    call.result = 1;
    co_return;
});
#endif
