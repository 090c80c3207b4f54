// The programs of model/main.cpp from bytes that libFuzzer chooses, with Clang and the standard
// library that its libFuzzer was
// built with, mostly libstdc++: cmake -DEXTENSIBLE_FUZZER=ON, and then
//
//     model_fuzzer -max_total_time=60
//
// A difference is printed, shrunk, and ends the run.

#include "check.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    if (model::check(model::decode({bytes, size}))) return 0;
    std::fflush(stdout);
    std::abort();
}
