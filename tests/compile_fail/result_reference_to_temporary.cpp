// If the function returns a reference, a hook cannot set the result to a temporary: it would be
// destroyed before the caller sees it.
// expect-first: use of deleted function .*ext::.*result<T&>::operator=\(T&&\)|overload resolution selected deleted operator '='
#include <extensible/extensible.hpp>

inline int counter = 0;
inline ext::extensible count{"count", []() -> int& { return counter; }};

#ifdef FIXED
auto hook = count.on_start([](auto& call) { call.result = counter; });
#else
auto hook = count.on_start([](auto& call) { call.result = 5; });
#endif
