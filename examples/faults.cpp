// Shows how a program behaves when its dependencies fail or are slow. Faults are injected into its
// calls. From the project's root:
//
//     c++ -std=c++20 -pthread -Iinclude examples/faults.cpp -o faults && ./faults
//     EXTENSIBLE_FAULTS='net.*=throw(0.9); seed=7' ./faults

#include <extensible/extensible.hpp>
#include <extensible/hooks/fault.hpp>
#include <extensible/hooks/retry.hpp>

#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>

// ---- The application: shows pages from a network, or else from a store ----------------------------------------------

ext::extensible fetch{"net.fetch", [](int page) { return "page " + std::to_string(page); }};
ext::extensible load{"store.load", [](int page) { return "old page " + std::to_string(page); }};

std::string show(int page) {
    try {
        return fetch(page);
    } catch (const std::exception& error) {
        std::cout << "  " << error.what() << '\n';
        return load(page);
    }
}

// ---- The three runs -------------------------------------------------------------------------------------------------

void visit(const char* when) {
    int fresh = 0, old = 0;
    std::cout << when << ":\n";
    for (int page = 1; page <= 20; ++page) ++(show(page).starts_with("old") ? old : fresh);
    std::cout << "  " << fresh << " fresh pages, " << old << " old ones\n";
}

int main() try {
    fetch.around(ext::hooks::retry({.attempts = 3, .first_pause = {}}));
    {
        const auto faults = ext::hooks::faults::from_environment();  // none if the variable is not set
        visit("With the faults of EXTENSIBLE_FAULTS");
    }
    {
        const ext::hooks::faults faults{"net.*=throw(0.5); store.*=delay(1ms, 0.5); seed=5"};
        visit("With a network that fails half of the time");
    }
    visit("Without faults");
} catch (const ext::error& error) {  // the value of the variable is malformed
    std::cerr << "faults: " << error.what() << '\n';
    return EXIT_FAILURE;
}
