#pragma once

// Includes the version of Catch2 that catch.cmake has found. The tests use the names of version 3.

#if TESTS_CATCH2_MAJOR >= 3
#include <catch2/catch_all.hpp>
#else
#define CATCH_CONFIG_ENABLE_BENCHMARKING  // version 3 always has it
#include <catch2/catch.hpp>

#include <string>

namespace Catch::Matchers {

inline auto ContainsSubstring(const std::string& text) { return Contains(text); }

}  // namespace Catch::Matchers
#endif

#if defined(__clang__) && __clang_major__ >= 22
#pragma clang diagnostic ignored "-Wc2y-extensions"  // __COUNTER__, which Catch2's macros use
#endif
