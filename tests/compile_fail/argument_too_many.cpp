// A call cannot have more arguments than the function has parameters. Here all are positional.
// expect-first: too many arguments for this function
#include <extensible/extensible.hpp>

#include <string_view>

using namespace ext::literals;

inline ext::extensible fetch{"net.fetch", ext::params("url"_kw, "timeout"_kw = 30),
    [](std::string_view url, int timeout) { return static_cast<int>(url.size()) + timeout; }};

#ifdef FIXED
int result = fetch("a", 5);
#else
int result = fetch("a", 5, 6);
#endif
