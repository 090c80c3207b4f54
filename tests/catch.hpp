#pragma once

// Catch2, whichever is there: version 3, or the single header of version 2.

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#define CATCH_CONFIG_ENABLE_BENCHMARKING  // version 3 always has it
#include <catch2/catch.hpp>
#endif
