// A hook cannot ask for an argument that the function does not have.
// expect-first: the function has fewer parameters
#include <extensible/extensible.hpp>

#include <string_view>

using namespace ext::literals;

inline ext::extensible fetch{"net.fetch", ext::params("url"_kw, "timeout"_kw = 30),
    [](std::string_view url, int timeout) { return static_cast<int>(url.size()) + timeout; }};

#ifdef FIXED
auto hook = fetch.on_start([](auto& call) { call.template arg<1>() = 1; });
#else
auto hook = fetch.on_start([](auto& call) { call.template arg<7>() = 1; });
#endif
