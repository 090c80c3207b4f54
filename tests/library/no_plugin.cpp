// A library that is not a plugin, or a plugin without a stamp.

#include <extensible/extensible.hpp>

#include <cstdlib>

#if defined(WITHOUT_STAMP)
extern "C" EXTENSIBLE_EXPORT void extensible_plugin(ext::plugin&) { std::abort(); }
#else
extern "C" EXTENSIBLE_EXPORT int answer() { return 42; }
#endif
