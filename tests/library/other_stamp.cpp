// A plugin compiled with another layout or version of the headers. Its entry must not be called.

#include <extensible/extensible.hpp>

#include <cstdlib>

EXTENSIBLE_PLUGIN(self) { std::abort(); }
