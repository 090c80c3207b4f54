// Only a start hook can return a finisher.
// expect-first: a hook must return nothing: to skip the function, set call.result. A start hook may return a finisher
#include <extensible/extensible.hpp>

#ifdef FIXED
auto hook = ext::on_start("math.*", [](ext::any_call&) { return [](ext::any_call&) {}; });
#else
auto hook = ext::on_end("math.*", [](ext::any_call&) { return [](ext::any_call&) {}; });
#endif
