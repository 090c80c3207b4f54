#pragma once

// Helpers for the tests of all stores: an application, its environment, threads, and a search of
// every text for secrets.

#include "latch.hpp"
#include "secrets/store.hpp"

#include <extensible/extensible.hpp>
#include <extensible/hooks/clock.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <streambuf>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace helpers {

// ---- The search -------------------------------------------------------------------------------------------

// The tokens and keys of all tests. If a text contains one of them, the program is aborted, on any
// thread: no test can ignore that. Text that is written to std::cerr and std::clog is searched
// automatically.
class leaks {
public:
    static leaks& search() {
        static leaks one;
        return one;
    }

    // Adds a text to the secrets.
    std::string secret(std::string text) {
        const std::lock_guard lock(mutex_);
        secrets_.push_back(text);
        return text;
    }

    bool is_in(std::string_view text) const {
        const std::lock_guard lock(mutex_);
        for (const std::string& secret : secrets_)
            if (text.find(secret) != std::string_view::npos) return true;
        return false;
    }

    // Returns the text. Aborts the program if the text contains a secret.
    const std::string& in(const std::string& text) const {
        if (!is_in(text)) return text;
        std::fputs("A text that is logged, thrown or printed contains a secret of the tests.\n", stderr);
        std::abort();
    }

private:
    // Forwards its output, and searches each line.
    class searched : public std::streambuf {
    public:
        searched(std::ostream& stream, const leaks& search)
            : stream_(stream), inner_(stream.rdbuf(this)), search_(search) {}
        searched(const searched&) = delete;
        searched& operator=(const searched&) = delete;
        ~searched() override { stream_.rdbuf(inner_); }

    protected:
        int_type overflow(int_type c) override {
            if (traits_type::eq_int_type(c, traits_type::eof())) return traits_type::not_eof(c);
            const std::lock_guard lock(mutex_);
            line_ += traits_type::to_char_type(c);
            search_.in(line_);
            if (line_.back() == '\n') line_.clear();
            return inner_->sputc(traits_type::to_char_type(c));
        }
        int sync() override { return inner_->pubsync(); }

    private:
        std::ostream& stream_;
        std::streambuf* const inner_;
        const leaks& search_;
        std::mutex mutex_;
        std::string line_;
    };

    mutable std::mutex mutex_;
    std::vector<std::string> secrets_;
    searched cerr_{std::cerr, *this}, clog_{std::clog, *this};
};

inline std::string secret(std::string text) { return leaks::search().secret(std::move(text)); }
inline const std::string& searched(const std::string& text) { return leaks::search().in(text); }

// ---- Failures ---------------------------------------------------------------------------------------------

// The store_error that the function throws, or nothing.
struct failure {
    std::optional<secrets::reason> why{};
    std::string text{};
    std::optional<std::chrono::seconds> retry_after{};
};

template <class Function>
failure failure_of(Function function) {
    try {
        function();
    } catch (const secrets::store_error& error) {
        return {error.why(), searched(error.what()), error.retry_after()};
    }
    return {};
}

// ---- An application ---------------------------------------------------------------------------------------

// An application with a key in its environment. It collects the reports to its registry's error
// handler.
struct application {
    ext::registry registry;
    std::atomic<int> runs = 0;
    ext::extensible<std::string(std::string_view)> get_api_key{
        registry, "models.get_api_key", [this](std::string_view) {
            ++runs;
            return std::string("sk-from-the-environment");
        }};
    ext::plugin plugin{registry, "secrets"};
    std::mutex mutex;
    std::vector<std::string> errors;

    application() {
        registry.on_hook_error([this](const ext::hook_error& error) {
            const std::lock_guard lock(mutex);
            errors.push_back(searched(error.text()));
        });
    }

    template <class Store>
    explicit application(std::shared_ptr<const Store> store,
                         secrets::on_failure choice = secrets::on_failure::fail)
        : application() {
        secrets::add_store(plugin, "models.get_api_key", std::move(store), choice);
    }
};

// Sets or unsets a variable of the environment, and restores it at the end.
class variable {
public:
    variable(std::string name, const char* value) : name_(std::move(name)) {
        if (const char* const old = std::getenv(name_.c_str())) old_ = old;
        value ? setenv(name_.c_str(), value, 1) : unsetenv(name_.c_str());
    }
    variable(const variable&) = delete;
    variable& operator=(const variable&) = delete;
    ~variable() { old_ ? setenv(name_.c_str(), old_->c_str(), 1) : unsetenv(name_.c_str()); }

private:
    std::string name_;
    std::optional<std::string> old_;
};

// ---- Threads ----------------------------------------------------------------------------------------------

// Waits until the condition is true. Returns false after a long time, when the test has failed.
template <class Condition>
bool eventually(Condition condition) {
    for (const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20); !condition();
         std::this_thread::yield())
        if (std::chrono::steady_clock::now() > limit) return false;
    return true;
}

// Calls `ask` on this many threads, which begin at the same time. Returns their results, or the
// texts of their exceptions.
inline std::vector<std::string> in_threads(std::size_t count, const std::function<std::string()>& ask) {
    std::vector<std::string> outcomes(count);
    std::vector<std::thread> threads;
    tests::latch begin(static_cast<std::ptrdiff_t>(count));
    for (std::string& outcome : outcomes)
        threads.emplace_back([&] {
            begin.arrive_and_wait();
            try {
                outcome = ask();
            } catch (const std::exception& error) {
                outcome = searched(error.what());
            }
        });
    for (std::thread& thread : threads) thread.join();
    return outcomes;
}

// A manual clock. Sleeping advances it.
class hand_clock {
public:
    ext::hooks::clock clock() {
        return {[this] { return ext::hooks::time_point(std::chrono::hours(1)) + passed_.load(); },
                [this](ext::hooks::duration time) {
                    {
                        const std::lock_guard lock(mutex_);
                        pauses_.push_back(std::chrono::round<std::chrono::milliseconds>(time));
                    }
                    pass(time);
                }};
    }
    void pass(ext::hooks::duration time) { passed_ = passed_.load() + time; }
    std::vector<std::chrono::milliseconds> pauses() const {
        const std::lock_guard lock(mutex_);
        return pauses_;
    }

private:
    std::atomic<ext::hooks::duration> passed_{ext::hooks::duration(0)};
    mutable std::mutex mutex_;
    std::vector<std::chrono::milliseconds> pauses_;
};

}  // namespace helpers
