// An argument can be given by name only once.
// expect-first: the argument for this parameter is given twice
// expect: timeout|'t', 'i', 'm', 'e', 'o', 'u', 't'
#include <extensible/extensible.hpp>

#include <string_view>

using namespace ext::literals;

inline ext::extensible fetch{"net.fetch", ext::params("url"_kw, "timeout"_kw = 30),
    [](std::string_view url, int timeout) { return static_cast<int>(url.size()) + timeout; }};

#ifdef FIXED
int result = fetch("a", "timeout"_kw = 5);
#else
int result = fetch("a", "timeout"_kw = 5, "timeout"_kw = 6);
#endif
