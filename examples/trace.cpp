// Shows one hook for all functions of a program, on all its threads: it records when each call began, how long it took
// and whether it threw, in a file that https://ui.perfetto.dev and chrome://tracing draw. From the project's root:
//
//     c++ -std=c++20 -pthread -Iinclude examples/trace.cpp -o trace && ./trace trace.json

#include <extensible/extensible.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <exception>
#include <fstream>
#include <iostream>
#include <mutex>
#include <ostream>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

// ---- The application, which knows nothing of traces: a shop with four tills -----------------------------------------

namespace shop {

using namespace ext::literals;
using namespace std::chrono_literals;

void work() {
    std::this_thread::sleep_for(300us);  // so that there is something to see
}

// Functions may have names for their parameters. Callers need not use them; the trace does.
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

// Serves the customers of one till; tells whether all of them could pay.
inline ext::extensible serve{"shop.serve", [](int till) -> bool {
    const std::string card = "4929-1318-0000-000" + std::to_string(till);
    bool all_paid = true;
    for (const int count : {1, till, 2 * till}) {
        try {
            // Text as customers type it: with quotes, a line break, and a byte that is no UTF-8.
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

// ---- JSON -----------------------------------------------------------------------------------------------------------

// How many bytes the character takes that `text` begins with; 0 where that is no UTF-8.
std::size_t utf8_length(std::string_view text) {
    const auto byte = [text](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
    const unsigned first = byte(0), second = byte(1);
    const std::size_t length =
        first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
    for (std::size_t i = 1; i < length; ++i)
        if ((byte(i) & 0xC0) != 0x80) return 0;
    if (first == 0xE0 && second < 0xA0) return 0;  // two bytes would have done
    if (first == 0xED && second > 0x9F) return 0;  // one half of a surrogate pair
    if (first == 0xF0 && second < 0x90) return 0;  // three bytes would have done
    if (first == 0xF4 && second > 0x8F) return 0;  // there is no such character
    return length;
}

std::string json_string(std::string_view text) {
    constexpr std::string_view hex = "0123456789abcdef";
    std::string json = "\"";
    while (!text.empty()) {
        const char c = text.front();
        const auto code = static_cast<unsigned char>(c);
        const std::size_t length = utf8_length(text);
        if (length == 0) json += "\\ufffd";  // one stray byte would make the whole file unreadable
        else if (code < 0x20) json += {'\\', 'u', '0', '0', hex[code / 16u], hex[code % 16u]};
        else if (c == '"' || c == '\\') json += {'\\', c};
        else json += text.substr(0, length);
        text.remove_prefix(std::max<std::size_t>(length, 1));
    }
    return json + '"';
}

template <class T>
std::string json(const T& value) {
    if constexpr (std::is_same_v<T, bool>) {
        return value ? "true" : "false";
    } else if constexpr (std::is_arithmetic_v<T>) {
        if (!std::isfinite(static_cast<double>(value))) return "null";  // JSON has no infinity
        std::array<char, 32> digits;
        return {digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr};
    } else {
        return json_string(value);
    }
}

// The one of the values that is there; empty when none is.
template <class... T>
std::string json_of(const T*... values) {
    std::string text;
    ((values ? void(text = json(*values)) : void()), ...);
    return text;
}

class json_object {
public:
    // Leaves out what has no value.
    void add(std::string_view name, const std::string& value) {
        if (!value.empty()) members_ += (members_.empty() ? "" : ", ") + json_string(name) + ": " + value;
    }
    std::string text() const { return "{" + members_ + "}"; }

private:
    std::string members_;
};

// ---- The hook -------------------------------------------------------------------------------------------------------

// The arguments of a call of any function, as far as they are of the types that are asked for here.
std::string arguments_of(const ext::any_call& call) {
    json_object arguments;
    for (std::size_t i = 0; i < call.size(); ++i) {
        const std::string value = json_of(call.arg<bool>(i), call.arg<int>(i), call.arg<double>(i),
                                          call.arg<std::string>(i), call.arg<std::string_view>(i));
        const std::string name(call.arg_name(i));  // empty for a function without ext::params
        arguments.add(name.empty() ? std::to_string(i) : name, value);
    }
    return arguments.text();
}

std::string result_of(const ext::any_call& call) {
    return json_of(call.result<bool>(), call.result<int>(), call.result<double>(), call.result<std::string>(),
                   call.result<std::string_view>());
}

std::string text_of(const std::exception_ptr& exception) {
    try {
        std::rethrow_exception(exception);
    } catch (const std::exception& error) {
        return error.what();
    } catch (...) {
        return "something that is no std::exception";
    }
}

// Records calls, from any thread.
class tracer {
public:
    // Values are what a program works with: keys, names, card numbers. They are recorded only when asked for, and so is
    // the text of an exception, which often quotes them.
    explicit tracer(bool with_values) : with_values_(with_values) {}

    // An around hook. It measures what it stands around: the function, and the around hooks that come after this one.
    void record(ext::any_call& call, ext::proceed& proceed) {
        json_object details;
        // Before the function has the arguments, because it may move from them.
        if (with_values_) details.add("arguments", arguments_of(call));

        const auto begin = clock::now();
        proceed();  // throws nothing: what the function throws is in the call
        const auto end = clock::now();

        if (with_values_) details.add("result", result_of(call));
        const bool threw = call.exception() != nullptr;
        if (threw) details.add("threw", with_values_ ? json(text_of(call.exception())) : json(true));

        // A copy of the name, because the view is valid only during the call.
        past_call past{std::string(call.name()), this_thread(), begin - start_, end - begin, threw, details.text()};
        const std::lock_guard lock(mutex_);  // not before: proceed() under a lock would make the threads wait in line
        calls_.push_back(std::move(past));
    }

    // As an array of Chrome's trace events, of which "X" is a call as a whole, and "M" gives a name to a thread.
    void write(std::ostream& out) const {
        const std::lock_guard lock(mutex_);
        std::set<int> threads;
        std::string_view separator = "[\n";
        const auto write_event = [&](const json_object& event) {
            out << std::exchange(separator, ",\n") << event.text();
        };
        for (const past_call& call : calls_) {
            if (threads.insert(call.thread).second) {
                json_object name, event;
                name.add("name", json("thread " + std::to_string(call.thread)));
                event.add("ph", json("M"));
                event.add("name", json("thread_name"));
                event.add("pid", json(1));  // the standard library knows no process ids
                event.add("tid", json(call.thread));
                event.add("args", name.text());
                write_event(event);
            }
            json_object event;
            event.add("ph", json("X"));
            event.add("name", json(call.name));
            event.add("cat", json(call.name.substr(0, call.name.rfind('.'))));
            event.add("ts", in_microseconds(call.begin));
            event.add("dur", in_microseconds(call.length));
            event.add("pid", json(1));
            event.add("tid", json(call.thread));
            event.add("args", call.details);
            write_event(event);
        }
        out << (calls_.empty() ? "[]\n" : "\n]\n");
    }

    std::string summary() const {
        const std::lock_guard lock(mutex_);
        const auto did_throw = [](const past_call& call) { return call.threw; };
        const auto threw = std::count_if(calls_.begin(), calls_.end(), did_throw);
        return std::to_string(calls_.size()) + " calls, of which " + std::to_string(threw) + " threw";
    }

private:
    using clock = std::chrono::steady_clock;

    struct past_call {
        std::string name;
        int thread;
        std::chrono::nanoseconds begin, length;
        bool threw;
        std::string details;  // a JSON object
    };

    // Threads are counted from 1, in the order of their first calls: a std::thread::id is no number.
    static int this_thread() {
        static std::atomic<int> threads{0};
        thread_local const int number = ++threads;
        return number;
    }

    // To the nanosecond, in a few hundred of which many a call is over.
    static std::string in_microseconds(std::chrono::nanoseconds time) {
        const std::string digits = std::to_string(time.count() % 1000);
        return std::to_string(time.count() / 1000) + "." + std::string(3 - digits.size(), '0') + digits;
    }

    const bool with_values_;
    const clock::time_point start_ = clock::now();
    mutable std::mutex mutex_;
    std::vector<past_call> calls_;  // guarded by the mutex; in the order in which the calls ended
};

// ---- The command line -----------------------------------------------------------------------------------------------

int main(int argc, char** argv) {
    std::string file = "trace.json";
    bool with_values = false;
    for (const std::string_view argument : std::vector<std::string_view>(argv + 1, argv + argc)) {
        if (argument == "--args") {
            with_values = true;
        } else if (argument.starts_with('-')) {
            std::cerr << "usage: trace [--args] [FILE]\n\n"
                         "Writes a trace of a small program's calls to FILE, trace.json if none is given.\n\n"
                         "  --args  with arguments, results and the texts of exceptions\n";
            return 2;
        } else {
            file = argument;
        }
    }

    tracer trace(with_values);
    {
        // "*" is for all functions, those included that are wrapped later. As the first of the around hooks it
        // measures the others too. It is isolated, because no call should fail for the sake of its trace.
        const ext::scoped_hook hook = ext::around(
            "*", [&trace](ext::any_call& call, ext::proceed& proceed) { trace.record(call, proceed); },
            {.id = "trace", .priority = -1000, .isolate = true});
        shop::open();
    }

    std::ofstream out(file, std::ios::binary);
    trace.write(out);
    if (!out.flush()) {
        std::cerr << "trace: cannot write " << file << '\n';
        return 1;
    }
    std::cout << file << ": " << trace.summary() << '\n';
}
