// Compiles Catch2 2 once for all test programs. Version 3 is a library with a main() of its own.
#define CATCH_CONFIG_MAIN
#include "catch.hpp"
