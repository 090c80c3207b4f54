// An argument given by position cannot also be given by name.
// expect-first: the argument for this parameter is given twice
// expect: url|'u', 'r', 'l'
#include <extensible/extensible.hpp>

#include <string_view>

using namespace ext::literals;

inline ext::extensible fetch{"net.fetch", ext::params("url"_kw, "timeout"_kw = 30),
    [](std::string_view url, int timeout) { return static_cast<int>(url.size()) + timeout; }};

#ifdef FIXED
int result = fetch("a", "timeout"_kw = 5);
#else
int result = fetch("a", "url"_kw = "b");
#endif
