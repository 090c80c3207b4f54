// If the function returns a reference, emplace() must not bind the result to a temporary.
// expect-only: ext::result: the result is a reference, and would refer to a temporary
#include <extensible/extensible.hpp>

#include <string>

inline const std::string stored = "stored";
inline ext::extensible get{"get", []() -> const std::string& { return stored; }};

#ifdef FIXED
auto hook = get.on_start([](auto& call) { call.result.emplace(stored); });
#else
auto hook = get.on_start([](auto& call) { call.result.emplace("a text"); });
#endif
