// A function without ext::kwargs accepts only the names of its parameters.
// expect-first: the function has no parameter of this name, and takes no ext::kwargs
// expect: tenant|'t', 'e', 'n', 'a', 'n', 't'
#include <extensible/extensible.hpp>

#include <string_view>

using namespace ext::literals;

inline ext::extensible fetch{"net.fetch", ext::params("url"_kw, "timeout"_kw = 30),
    [](std::string_view url, int timeout) { return static_cast<int>(url.size()) + timeout; }};

#ifdef FIXED
int result = fetch("a", "timeout"_kw = 5);
#else
int result = fetch("a", "tenant"_kw = 5);
#endif
