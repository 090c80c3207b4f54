// If the signature says that the result is a reference, the function must return one.
// expect-only: ext::extensible: the signature's result is a reference, and would refer to a temporary
// expect-only: and would refer to a temporary that the function returns
#include <extensible/extensible.hpp>

#include <string>

inline const std::string stored = "stored";

#ifdef FIXED
inline ext::extensible<const std::string&()> get{"get", []() -> const std::string& { return stored; }};
#else
inline ext::extensible<const std::string&()> get{"get", [] { return stored; }};
#endif
