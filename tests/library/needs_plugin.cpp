// A library that is not a plugin, but needs one.

#include <extensible/extensible.hpp>

extern "C" int one();
extern "C" EXTENSIBLE_EXPORT int two() { return one() + one(); }
