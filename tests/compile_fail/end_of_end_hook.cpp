// Only a start hook returns the end of its call.
// expect-first: a hook must return nothing; a start hook may return the end of its call
#include <extensible/extensible.hpp>

#ifdef FIXED
auto hook = ext::on_start("math.*", [](ext::any_call&) { return [](ext::any_call&) {}; });
#else
auto hook = ext::on_end("math.*", [](ext::any_call&) { return [](ext::any_call&) {}; });
#endif
