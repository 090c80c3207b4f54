#pragma once

// Checks for test programs. A program exits with 0 if `failures` is 0.

#include <cstdio>

inline int failures = 0;

inline void expect(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "does not hold: %s\n", what);
    ++failures;
}
