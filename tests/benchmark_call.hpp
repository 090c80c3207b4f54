// For the benchmark and its library: a plain function, a start hook, and a loop of calls.
#pragma once

namespace {

// The asm hides the result from the compiler, so that it has to make the call.
[[gnu::noinline]] int plain(int x) {
    asm volatile("" : "+r"(x));
    return x + 1;
}

const auto start_hook = [](auto& call) {
    auto& [x] = call.args;
    x = *x + 1;
};

// A call takes less than a tick of the clock, so each run of a benchmark makes many calls. Aligned,
// so that the loop has the same position in its cache lines whatever it calls.
template <class Function>
[[gnu::noinline, gnu::aligned(64)]] int call_repeatedly(Function& function, int times) {
    int x = 0;
    for (int i = 0; i < times; ++i) x = function(x);
    return x;
}

}  // namespace
