// A library that attempts to use the host's registry. libraries.cmake compiles it like the host, and
// in other ways.

#include "attempts.hpp"

extern "C" EXTENSIBLE_EXPORT attempt_function attempt_in_library;

void attempt_in_library(const handed& given, attempt attempted, char* text, std::size_t size) {
    try_to_make(given, attempted, text, size);
}

extern "C" EXTENSIBLE_EXPORT void use_own() { use_own_registry(); }
