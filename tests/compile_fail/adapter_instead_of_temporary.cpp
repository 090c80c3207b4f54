// If the wrapped function returns a reference, so must the function in ext::instead.
// expect-only: ext::result: the result is a reference, and would refer to a temporary
#include <extensible/extensible.hpp>

#include <string>

inline const std::string stored = "stored";
inline ext::extensible get{"get", [](int) -> const std::string& { return stored; }};

#ifdef FIXED
auto hook = get.on_start(ext::instead([](int) -> const std::string& { return stored; }));
#else
auto hook = get.on_start(ext::instead([](int x) { return std::to_string(x); }));
#endif
