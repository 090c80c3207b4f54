// A plugin that is compiled with another layout or version of the headers, and whose entry must not be called.

#include <extensible/extensible.hpp>

#include <cstdlib>

EXTENSIBLE_PLUGIN(self) { std::abort(); }
