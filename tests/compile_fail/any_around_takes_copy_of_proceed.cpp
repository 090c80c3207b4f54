// An around hook for any function must take the ext::proceed by reference, even if it is generic.
// expect-first: an around hook with an ext::proceed& as well
#include <extensible/extensible.hpp>

#ifdef FIXED
auto hook = ext::around("math.*", [](ext::any_call&, auto& proceed) { proceed(); });
#else
auto hook = ext::around("math.*", [](ext::any_call&, auto proceed) { proceed(); });
#endif
