// A hook cannot set the result of a void function to a value.
// expect-first: the function returns nothing, so no value can be its result; call.result.emplace\(\)
#include <extensible/extensible.hpp>

ext::extensible log_line{"log.line", [](int) {}};
#ifdef FIXED
auto hook = log_line.on_start([](auto& call) { call.result.emplace(); });
#else
auto hook = log_line.on_start([](auto& call) { call.result = true; });
#endif
