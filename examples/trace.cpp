// Records all calls of a program, on all its threads: when each call began, how long it took, and
// whether it threw. You can view the file with https://ui.perfetto.dev or chrome://tracing. From
// the project's root:
//
//     c++ -std=c++20 -pthread -Iinclude examples/trace.cpp -o trace && ./trace trace.json

#include <extensible/extensible.hpp>
#include <extensible/hooks/trace.hpp>

#include <atomic>
#include <chrono>
#include <exception>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

// ---- The application, which knows nothing of traces: a shop with four tills -----------------------------------------

namespace shop {

using namespace ext::literals;
using namespace std::chrono_literals;

void work() {
    std::this_thread::sleep_for(300us);  // so that there is something to see
}

// Parameters may have names. Callers need not use them; the trace does.
inline ext::extensible price{"shop.price", ext::params("item"_kw), [](std::string_view item) -> double {
    work();
    return item == "espresso" ? 2.5 : 4.25;
}};

inline ext::extensible pay{"shop.pay", ext::params("card"_kw, "amount"_kw), [](const std::string& card, double amount) {
    work();
    if (amount > 20) throw std::runtime_error("card " + card + " is declined");
}};

inline ext::extensible sell{"shop.sell", ext::params("item"_kw, "count"_kw, "card"_kw),
    [](std::string_view item, int count, const std::string& card) -> double {
        const double total = count * price(item);
        work();
        pay(card, total);
        return total;
    }};

// Serves the customers of one till. Returns whether all of them could pay.
inline ext::extensible serve{"shop.serve", [](int till) -> bool {
    const std::string card = "4929-1318-0000-000" + std::to_string(till);
    bool all_paid = true;
    for (const int count : {1, till, 2 * till}) {
        try {
            // Text as customers type it: with quotes, a line break, and a byte that is not UTF-8.
            sell(till % 2 ? "espresso" : "\"large\" tea\nto go \xE9", count, card);
        } catch (const std::exception&) {
            all_paid = false;
        }
    }
    return all_paid;
}};

void open() {
    std::vector<std::thread> tills;
    for (int till = 1; till <= 4; ++till) tills.emplace_back([till] { serve(till); });
    for (std::thread& till : tills) till.join();
}

}  // namespace shop

// ---- The command line -----------------------------------------------------------------------------------------------

int main(int argc, char** argv) {
    std::string file = "trace.json";
    bool with_values = false;
    for (const std::string_view argument : std::vector<std::string_view>(argv + 1, argv + argc)) {
        if (argument == "--args") {
            with_values = true;
        } else if (argument.starts_with('-')) {
            std::cerr << "usage: trace [--args] [FILE]\n\n"
                         "Writes a trace of a small program's calls to FILE, by default trace.json.\n\n"
                         "  --args  include arguments, results and the texts of exceptions\n";
            return 2;
        } else {
            file = argument;
        }
    }

    std::ofstream out(file, std::ios::binary);
    std::atomic<int> calls{0}, threw{0};
    if (out) {
        // Traces all functions, including functions that are wrapped later, until the end of the
        // scope. Arguments, results and exception texts may contain keys, names or card numbers. So
        // they are recorded only if the user asks for them.
        const ext::hooks::trace trace{out, {.values = with_values}};
        const ext::scoped_hook count = ext::on_end("*", [&](ext::any_call& call) {
            ++calls;
            if (call.exception()) ++threw;
        });
        shop::open();
    }
    if (!out) {
        std::cerr << "trace: cannot write " << file << '\n';
        return 1;
    }
    std::cout << file << ": " << calls << " calls, of which " << threw << " threw\n";
}
