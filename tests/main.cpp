// Catch2 2 is compiled here, once for all test programs. Version 3 is a library, and brings its own main.
#define CATCH_CONFIG_MAIN
#include "catch.hpp"
