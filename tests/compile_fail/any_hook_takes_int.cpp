// A hook for any function must take an ext::any_call.
// expect-first: a hook for any function must be callable with an ext::any_call&
#include <extensible/extensible.hpp>

#ifdef FIXED
auto hook = ext::on_start<ext::any_call>("math.*", [](auto&) {});
#else
auto hook = ext::on_start<ext::any_call>("math.*", [](int) {});
#endif
