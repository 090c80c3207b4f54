// The part of the library that is no template, for programs that are compiled with EXTENSIBLE_COMPILED: one of their sources.

#define EXTENSIBLE_IMPLEMENTATION
#include <extensible/extensible.hpp>
