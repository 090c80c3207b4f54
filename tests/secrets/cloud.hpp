#pragma once

// Helpers for the stand-ins of clouds: URLs and forms, the time, and the output of other programs.

#include "catch.hpp"
#include "secrets/helpers.hpp"
#include "secrets/server.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace cloud {

// The fields of a form or a query such as "a=1&b=2".
inline std::map<std::string, std::string> fields(std::string_view form) {
    std::map<std::string, std::string> read;
    while (!form.empty()) {
        const std::string_view field = form.substr(0, form.find('&'));
        const std::size_t equals = std::min(field.find('='), field.size());
        read[fake::decoded(field.substr(0, equals))] =
            fake::decoded(field.substr(std::min(equals + 1, field.size())));
        form.remove_prefix(std::min(field.size() + 1, form.size()));
    }
    return read;
}

// The target of a request, without a port. A request to a proxy has the whole URL in its path.
struct target {
    std::string host, path, query;
};

inline target target_of(const fake::request& asked) {
    std::string host = asked.header("host").value_or(""), rest = asked.path;
    if (const std::size_t begin = rest.find("://"); begin < rest.find('/')) {
        const std::size_t slash = std::min(rest.find('/', begin + 3), rest.size());
        host = rest.substr(begin + 3, slash - begin - 3);
        rest.erase(0, slash);
    }
    const std::size_t question = std::min(rest.find('?'), rest.size());
    return {host.substr(0, host.find(':')), rest.substr(0, question),
            rest.substr(std::min(question + 1, rest.size()))};
}

// The tokens of a cloud. Any thread may use this class.
class tokens {
public:
    explicit tokens(std::string begin) : begin_(std::move(begin)) {}
    std::string good() const { return begin_ + '-' + std::to_string(generation_); }

    // Invalidates all tokens that were issued before.
    void expire() { ++generation_; }

private:
    const std::string begin_;
    std::atomic<int> generation_ = 0;
};

// Checks that a token that expires early is replaced once, and that one login has two requests.
// `refused` is the cloud's answer to an invalid token.
template <class Store, class Setting>
void check_renewal(Setting& with, const std::string& key, const fake::answer& refused) {
    const Store store(with.options);
    CHECK(store.read("openai") == key);
    with.cloud.tokens.expire();
    CHECK(store.read("openai") == key);
    CHECK(with.cloud.logins == 2);
    CHECK(with.cloud.reads == 3);
    with.answer(refused);
    const auto before = with.server.requests();
    CHECK(helpers::failure_of([&] { store.read("openai"); }).why == secrets::reason::expired_token);
    CHECK(with.cloud.logins == 3);
    CHECK(with.server.requests() == before + 3);  // a read and a login: the same token is not tried again
}

// The reason for which a call of an application fails that `add` has given a store, or nothing.
template <class Add>
std::optional<secrets::reason> failure_with(helpers::application& app, const Add& add) {
    add(app.plugin);
    return helpers::failure_of([&] { app.get_api_key("openai"); }).why;
}

// Checks that a failure reaches the caller, unless the store is out of reach and the options say
// fall_through. `refused` is an answer for a secret that is disabled. The options then still say fall_through.
template <class Setting, class Add>
void check_fall_through(Setting& with, const Add& add, const fake::answer& down,
                        const fake::answer& refused) {
    using secrets::reason;
    with.answer(down);
    {
        helpers::application app;
        CHECK(failure_with(app, add) == reason::server_error);
    }
    with.options.on_failure = secrets::on_failure::fall_through;
    {
        helpers::application app;
        CHECK(failure_with(app, add) == std::nullopt);
        CHECK(app.runs == 1);
        REQUIRE(app.errors.size() == 1);
        CHECK_THAT(app.errors[0], Catch::Matchers::ContainsSubstring("status 500"));
    }
    with.answer(refused);
    helpers::application app;
    CHECK(failure_with(app, add) == reason::disabled);
}

inline std::int64_t unix_time() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

// Runs the command, and returns its output on stdout and stderr.
inline std::string output_of(const std::string& command) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(popen((command + " 2>&1").c_str(), "r"),
                                                               pclose);
    if (!pipe) throw std::runtime_error("no pipe");
    std::string text;
    char part[4096];
    for (std::size_t size; (size = std::fread(part, 1, sizeof part, pipe.get())) > 0;)
        text.append(part, size);
    return text;
}

// FNV-1a. Other programs print this hash of a key, because they must not print the key.
inline std::string digest(std::string_view text) {
    std::uint64_t hash = 14695981039346656037u;
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
    return std::to_string(hash);
}

}  // namespace cloud
