// If the body of an around hook for any function has an error, that is the only error reported.
// expect-only: no member named .*set_reslt
#include <extensible/extensible.hpp>

#ifdef FIXED
auto hook = ext::around("math.*", [](ext::any_call& call, auto& proceed) { proceed(), call.set_result(1); });
#else
auto hook = ext::around("math.*", [](ext::any_call& call, auto& proceed) { proceed(), call.set_reslt(1); });
#endif
