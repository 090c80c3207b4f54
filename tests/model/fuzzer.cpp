// Runs programs like model/main.cpp, but libFuzzer chooses their bytes. It needs Clang and the
// standard library that Clang's libFuzzer was built with, usually libstdc++. Configure with
// -DEXTENSIBLE_FUZZER=ON, then run
//
//     model_fuzzer -max_total_time=60
//
// A difference ends the run. The program is printed in a shrunk form.

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
