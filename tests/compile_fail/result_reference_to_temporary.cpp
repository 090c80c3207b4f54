// If the function returns a reference, a hook cannot set the result to a temporary: it would be
// destroyed before the caller sees it.
// expect-first: use of deleted function |overload resolution selected deleted operator '='
// expect-first: deleted function .*ext::.*result<T&>::operator=\(T&&\)|selected deleted operator '='
#include <extensible/extensible.hpp>

inline int counter = 0;
inline ext::extensible count{"count", []() -> int& { return counter; }};

#ifdef FIXED
auto hook = count.on_start([](auto& call) { call.result = counter; });
#else
auto hook = count.on_start([](auto& call) { call.result = 5; });
#endif
