// A reference parameter of an awaited function cannot bind to a converted argument. Here the
// parameter has no name.
// expect-first: a parameter of an awaited function would refer to a temporary
// expect-first: to a temporary that is gone when the function runs; take it by value
#include "../tasks.hpp"

#include <extensible/extensible.hpp>

#include <string>

using namespace ext::literals;

inline ext::extensible fetch{"net.fetch", [](const std::string& url, ext::kwargs) -> tasks::lazy<std::size_t> {
    co_return url.size();
}};
#ifdef FIXED
std::size_t size = fetch(std::string("example.org"), "proxy"_kw = "local").run();
#else
std::size_t size = fetch("example.org", "proxy"_kw = "local").run();
#endif
