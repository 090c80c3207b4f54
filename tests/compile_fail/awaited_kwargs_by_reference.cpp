// An awaited function cannot take its ext::kwargs by reference: they would be gone when it runs.
// expect-first: the ext::kwargs of an awaited function would be gone when the function runs; take them by value
#include "../tasks.hpp"

#include <extensible/extensible.hpp>

using namespace ext::literals;

#ifdef FIXED
using named = ext::kwargs;
#else
using named = const ext::kwargs&;
#endif

inline ext::extensible fetch{"net.fetch", [](int page, named) -> tasks::lazy<int> { co_return page; }};
int page = fetch(1, "proxy"_kw = "local").run();
