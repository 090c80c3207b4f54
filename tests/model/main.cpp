// Random programs of operations on the library, and on a plain model of it.
//
//     model                     20,000 programs, with a fresh seed, which is printed
//     model 1000000             this number of programs
//     model 1000 7              starts with this seed: the first program has seed 7, the second 8
//     model 1 7 print           prints each program before it runs, in case it crashes
//
// 0 is success. If a program shows a difference, the model prints the program in a shrunk form and
// exits with 1. A program that takes a minute is assumed to wait forever, and ends the run.

#include "check.hpp"

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

namespace {

// SplitMix64, by Sebastiano Vigna. It gives the same numbers on all platforms.
class random_bytes {
public:
    explicit random_bytes(std::uint64_t seed) : state_(seed) {}
    std::vector<std::uint8_t> program() {
        std::vector<std::uint8_t> bytes(40 + next() % 220);
        for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(next() >> 24);
        return bytes;
    }

private:
    std::uint64_t next() {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15U;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
        return z ^ (z >> 31);
    }
    std::uint64_t state_;
};

unsigned long long seed_of_program;  // of the running program

// A signal handler that runs while the program waits forever. So it does no harm that it calls
// functions that signal handlers must not call.
void tell_of_waiting(int) {
    std::printf("waits forever: model 1 %llu print\n", seed_of_program);
    std::fflush(stdout);
    std::_Exit(EXIT_FAILURE);
}

bool differs(const model::script& program) {
    alarm(60);
    const bool found = model::compare(program).differs;
    alarm(0);
    return found;
}

}  // namespace

int main(int count, char** arguments) {
    using number = unsigned long long;
    const number programs = count > 1 ? std::strtoull(arguments[1], nullptr, 10) : 20'000;
    const number seed = count > 2 ? std::strtoull(arguments[2], nullptr, 10) : std::random_device()();
    const bool prints = count > 3;
    std::printf("%llu programs from seed %llu\n", programs, seed);
    std::fflush(stdout);
    std::signal(SIGALRM, tell_of_waiting);
    const auto begin = std::chrono::steady_clock::now();
    for (number i = 0; i < programs; ++i) {
        const model::script program = model::decode(random_bytes(seed + i).program());
        if (prints) std::printf("---- seed %llu\n%s", seed + i, model::text_of(program).c_str());
        if (prints) std::fflush(stdout);
        seed_of_program = seed + i;
        if (!differs(program)) continue;
        model::check(program);
        std::printf("found by: model 1 %llu\n", seed + i);
        return EXIT_FAILURE;
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    std::printf("no difference, in %.1f s\n", took.count());
}
