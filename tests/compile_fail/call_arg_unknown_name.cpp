// A hook cannot ask for an argument by a name that no parameter has.
// expect-first: the function has no parameter of this name
// expect: nope|'n', 'o', 'p', 'e'
#include <extensible/extensible.hpp>

#include <string_view>

using namespace ext::literals;

inline ext::extensible fetch{"net.fetch", ext::params("url"_kw, "timeout"_kw = 30),
    [](std::string_view url, int timeout) { return static_cast<int>(url.size()) + timeout; }};

#ifdef FIXED
auto hook = fetch.on_start([](auto& call) { call.template arg<"timeout">() = 1; });
#else
auto hook = fetch.on_start([](auto& call) { call.template arg<"nope">() = 1; });
#endif
