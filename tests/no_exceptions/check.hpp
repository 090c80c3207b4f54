#pragma once

// CHECK() for the programs without exceptions, which cannot use Catch2.

#include <cstdio>

inline int failed_checks = 0;

#define CHECK(...) \
    ((__VA_ARGS__) ? void() \
                   : void((++failed_checks, \
                           std::fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #__VA_ARGS__))))

// Each is defined in the file of its name.
void check_calls();
void check_hooks();
void check_awaited_calls();
void check_ready_made_hooks();
