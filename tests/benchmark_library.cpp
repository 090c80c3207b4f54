// Wrapped functions in a shared library, for the benchmark.
#include "benchmark_call.hpp"

#include <extensible/extensible.hpp>

namespace {

// If the program includes extensible too, the default registry is the program's.
ext::registry own_registry;
ext::extensible of_own_registry{own_registry, "benchmark.of_own_registry", [](int x) { return plain(x); }};
ext::extensible of_program_registry{"benchmark.of_program_registry", [](int x) { return plain(x); }};

}  // namespace

void add_hooks_in_library() {
    of_own_registry.on_start(start_hook);
    of_program_registry.on_start(start_hook);
}

int call_in_library(int times) { return call_repeatedly(of_own_registry, times); }
int call_in_library_of_program(int times) { return call_repeatedly(of_program_registry, times); }
