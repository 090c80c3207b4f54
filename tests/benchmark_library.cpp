// A wrapped function in a shared library, for the benchmark.
#include <extensible/extensible.hpp>

namespace {

[[gnu::noinline]] int plain(int x) {
    asm volatile("" : "+r"(x));
    return x + 1;
}

// The default registry is the program's, where the program includes the library too.
ext::registry own_registry;
ext::extensible of_own_registry{own_registry, "benchmark.of_own_registry", [](int x) { return plain(x); }};
ext::extensible of_program_registry{"benchmark.of_program_registry", [](int x) { return plain(x); }};

const auto start_hook = [](auto& call) {
    auto& [x] = call.args;
    x = *x + 1;
};

template <class Function>
[[gnu::noinline, gnu::aligned(64)]] int call_repeatedly(Function& function, int times) {
    int x = 0;
    for (int i = 0; i < times; ++i) x = function(x);
    return x;
}

}  // namespace

void add_hooks_in_library() {
    of_own_registry.on_start(start_hook);
    of_program_registry.on_start(start_hook);
}

int call_in_library(int times) { return call_repeatedly(of_own_registry, times); }
int call_in_library_of_program(int times) { return call_repeatedly(of_program_registry, times); }
