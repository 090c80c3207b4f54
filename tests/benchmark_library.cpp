// A wrapped function in a shared library, for the benchmark.
#include <extensible/extensible.hpp>

namespace {

[[gnu::noinline]] int plain(int x) {
    asm volatile("" : "+r"(x));
    return x + 1;
}

ext::extensible in_library{"benchmark.in_library", [](int x) { return plain(x); }};

}  // namespace

void add_hook_in_library() {
    in_library.on_start([](auto& call) {
        auto& [x] = call.args;
        x = *x + 1;
    });
}

[[gnu::noinline, gnu::aligned(64)]] int call_in_library(int times) {
    int x = 0;
    for (int i = 0; i < times; ++i) x = in_library(x);
    return x;
}
