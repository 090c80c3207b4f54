// What the benchmark and its library call: a plain function, a start hook, and a loop.
#pragma once

namespace {

// The asm keeps the compiler from knowing what comes out, so that it has to call.
[[gnu::noinline]] int plain(int x) {
    asm volatile("" : "+r"(x));
    return x + 1;
}

const auto start_hook = [](auto& call) {
    auto& [x] = call.args;
    x = *x + 1;
};

// One call takes less than the clock's tick, so that each run of a benchmark makes many. Aligned, so that the loop stands
// the same way in cache lines whatever it calls.
template <class Function>
[[gnu::noinline, gnu::aligned(64)]] int call_repeatedly(Function& function, int times) {
    int x = 0;
    for (int i = 0; i < times; ++i) x = function(x);
    return x;
}

}  // namespace
