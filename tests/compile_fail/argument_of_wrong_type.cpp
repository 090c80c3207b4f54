// An argument given by name must be convertible to the type of its parameter.
// expect-first: the argument or default for this parameter cannot be converted to its type
// expect: timeout|'t', 'i', 'm', 'e', 'o', 'u', 't'
#include <extensible/extensible.hpp>

#include <string_view>

using namespace ext::literals;

inline ext::extensible fetch{"net.fetch", ext::params("url"_kw, "timeout"_kw = 30),
    [](std::string_view url, int timeout) { return static_cast<int>(url.size()) + timeout; }};

#ifdef FIXED
int result = fetch("a", "timeout"_kw = 5);
#else
int result = fetch("a", "timeout"_kw = "soon");
#endif
