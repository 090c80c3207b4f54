// The error for a call without arguments names the missing one.
// expect-first: the argument for this parameter is missing, and it has no default
// expect: url|'u', 'r', 'l'
#include <extensible/extensible.hpp>

#include <string_view>

using namespace ext::literals;

inline ext::extensible fetch{"net.fetch", ext::params("url"_kw, "timeout"_kw = 30),
    [](std::string_view url, int timeout) { return static_cast<int>(url.size()) + timeout; }};

#ifdef FIXED
int result = fetch("a");
#else
int result = fetch();
#endif
