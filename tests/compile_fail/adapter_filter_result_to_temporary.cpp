// If the wrapped function returns a reference, so must the function in ext::filter_result.
// expect-only: ext::result: the result is a reference, and would refer to a temporary
#include <extensible/extensible.hpp>

#include <string>

inline const std::string stored = "stored";
inline ext::extensible get{"get", []() -> const std::string& { return stored; }};

#ifdef FIXED
auto hook = get.on_end(ext::filter_result([](const std::string& result) -> const std::string& { return result; }));
#else
auto hook = get.on_end(ext::filter_result([](const std::string& result) { return result + "!"; }));
#endif
