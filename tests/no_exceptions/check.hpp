#pragma once

// With what do the programs without exceptions check? Catch2 is compiled with them.

#include <cstdio>

inline int failed_checks = 0;

#define CHECK(...) \
    ((__VA_ARGS__) ? void() : void((++failed_checks, std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #__VA_ARGS__))))

// Each in the file of its name.
void check_calls();
void check_hooks();
void check_awaited_calls();
void check_ready_made_hooks();
