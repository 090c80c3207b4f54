// A cache gives one result to several callers, so the result must be copyable.
// expect-first: the function's result cannot be copied, so it cannot be given to several; return a std::shared_ptr
#include <extensible/extensible.hpp>
#include <extensible/hooks/cache.hpp>

#include <memory>

#ifdef FIXED
inline ext::extensible make{"make", [](int x) { return std::make_shared<int>(x); }};
#else
inline ext::extensible make{"make", [](int x) { return std::make_unique<int>(x); }};
#endif
auto hook = make.around(ext::hooks::cache{make});
