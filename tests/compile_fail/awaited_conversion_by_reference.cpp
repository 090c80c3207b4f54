// Nor to what an argument beside a named one is converted to.
// expect-first: this parameter of an awaited function would refer to a temporary that is gone when the function runs; take it by value
#include "../tasks.hpp"

#include <extensible/extensible.hpp>

#include <string>

using namespace ext::literals;

#ifdef FIXED
using text = std::string;
#else
using text = const std::string&;
#endif

inline ext::extensible fetch{"net.fetch", ext::params("url"_kw, "page"_kw), [](text, int page) -> tasks::lazy<int> { co_return page; }};
int page = fetch("example.org", "page"_kw = 1).run();
