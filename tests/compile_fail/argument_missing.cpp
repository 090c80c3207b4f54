// A parameter without a default needs an argument.
// expect-only: the argument for this parameter is missing, and it has no default
// expect: url|'u', 'r', 'l'
#include <extensible/extensible.hpp>

#include <string_view>

using namespace ext::literals;

inline ext::extensible fetch{"net.fetch", ext::params("url"_kw, "timeout"_kw = 30),
    [](std::string_view url, int timeout) { return static_cast<int>(url.size()) + timeout; }};

#ifdef FIXED
int result = fetch("timeout"_kw = 5, "url"_kw = "a");
#else
int result = fetch("timeout"_kw = 5);
#endif
