// Positional arguments must precede named ones.
// expect-first: a positional argument comes after a named one
#include <extensible/extensible.hpp>

#include <string_view>

using namespace ext::literals;

inline ext::extensible fetch{"net.fetch", ext::params("url"_kw, "timeout"_kw = 30),
    [](std::string_view url, int timeout) { return static_cast<int>(url.size()) + timeout; }};

#ifdef FIXED
int result = fetch("a", "timeout"_kw = 5);
#else
int result = fetch("url"_kw = "a", 5);
#endif
