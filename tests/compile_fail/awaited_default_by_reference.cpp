// A reference parameter of an awaited function cannot bind to a converted default.
// expect-first: this parameter of an awaited function would refer to a temporary
// expect-first: to a temporary that is gone when the function runs; take it by value
#include "../tasks.hpp"

#include <extensible/extensible.hpp>

#include <string>

using namespace ext::literals;

#ifdef FIXED
using text = std::string;
#else
using text = const std::string&;
#endif

inline ext::extensible fetch{"net.fetch", ext::params("page"_kw, "proxy"_kw = "none"),
                             [](int page, text) -> tasks::lazy<int> { co_return page; }};
int page = fetch("page"_kw = 1).run();
