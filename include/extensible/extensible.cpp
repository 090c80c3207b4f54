// The functions of the library that are not templates. Programs that are compiled with
// EXTENSIBLE_COMPILED have this file as one of their sources.

#define EXTENSIBLE_IMPLEMENTATION
#include <extensible/extensible.hpp>
