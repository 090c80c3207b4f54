// A credential is fetched, kept, and renewed before it expires. Threads that need it at the same
// time fetch it once.
#include "catch.hpp"
#include "secrets/credential.hpp"
#include "secrets/helpers.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <latch>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using helpers::failure_of;
using secrets::reason;

namespace {

// Numbered tokens, with a manual clock.
struct numbered {
    std::atomic<int> fetches = 0;
    std::optional<std::chrono::seconds> lifetime = 1000s;
    std::function<void()> first = [] {};
    helpers::hand_clock time;
    secrets::deadline seen_deadline{};
    secrets::credential<int> token{[this](secrets::deadline given) {
                                       seen_deadline = given;
                                       const int number = ++fetches;
                                       first();
                                       return secrets::fetched<int>{number, lifetime};
                                   },
                                   {.renew_before = 100s, .pause = 5s, .clock = time.clock()}};
    static constexpr secrets::deadline until = secrets::deadline::max();
    int get() { return *token.get(until); }
};

[[noreturn]] void fail(std::optional<std::chrono::seconds> retry_after = std::nullopt) {
    throw secrets::store_error("login", reason::rate_limited, "too many", retry_after);
}

}  // namespace

TEST_CASE("A credential is fetched when it is first needed, and kept") {
    numbered c;
    CHECK(c.fetches == 0);
    CHECK(c.get() == 1);
    c.time.pass(899s);
    CHECK(c.get() == 1);
    CHECK(c.fetches == 1);
}

TEST_CASE("A credential is renewed before it expires") {
    numbered c;
    c.get();
    c.time.pass(900s);
    CHECK(c.get() == 2);
    c.time.pass(899s);
    CHECK(c.get() == 2);
}

TEST_CASE("A short-lived credential is kept for three quarters of its life") {
    numbered c;
    c.lifetime = 20s;
    c.get();
    c.time.pass(14s);
    CHECK(c.get() == 1);
    c.time.pass(1s);
    CHECK(c.get() == 2);
}

TEST_CASE("A credential that does not expire is kept until the server refuses it") {
    numbered c;
    c.lifetime = std::nullopt;
    const auto first = c.token.get(c.until);
    c.time.pass(std::chrono::hours(24 * 3000));
    CHECK(c.get() == 1);
    CHECK(*c.token.get(c.until, first) == 2);
    CHECK(*c.token.get(c.until, first) == 2);  // as another thread with the old credential would ask
    CHECK(c.get() == 2);
}

TEST_CASE("A refused credential is kept until there is a new one") {
    numbered c;
    const auto first = c.token.get(c.until);
    c.first = [] { fail(); };
    CHECK(failure_of([&] { c.token.get(c.until, first); }).why == reason::rate_limited);
    CHECK(c.get() == 1);
    c.first = [] {};
    CHECK(*c.token.get(c.until, first) == 3);
}

TEST_CASE("The function that fetches a credential gets the deadline of the read that needs it") {
    numbered c;
    const secrets::deadline until(5s);
    c.token.use(until, [](int) {});
    CHECK(c.seen_deadline == until);

    c.time.pass(900s);  // a renewal gets half of the time: the read can still use the old credential
    const secrets::deadline now = c.time.clock().now();
    c.token.use(now + 4s, [](int) {});
    CHECK(c.seen_deadline == now + 2s);
}

TEST_CASE("The life of a credential begins with the request for it") {
    numbered c;
    c.first = [&] { c.time.pass(300s); };
    c.get();
    c.time.pass(600s);
    CHECK(c.get() == 2);
}

TEST_CASE("A valid credential is used if it cannot be renewed, and renewal is tried again after a pause") {
    numbered c;
    c.get();
    c.first = [] { fail(); };
    c.time.pass(900s);
    CHECK(c.get() == 1);
    CHECK(c.get() == 1);
    CHECK(c.fetches == 2);
    c.time.pass(5s);
    CHECK(c.get() == 1);
    CHECK(c.fetches == 3);
    c.time.pass(95s);  // it expires
    CHECK(failure_of([&] { c.get(); }).why == reason::rate_limited);
}

TEST_CASE("A failure to fetch is not remembered") {
    numbered c;
    c.first = [] { fail(); };
    CHECK(failure_of([&] { c.get(); }).why == reason::rate_limited);
    c.first = [] {};
    CHECK(c.get() == 2);
}

TEST_CASE("A failure with a Retry-After is remembered until then") {
    numbered c;
    c.first = [] { fail(30s); };
    CHECK(failure_of([&] { c.get(); }).retry_after == 30s);
    c.first = [] {};
    c.time.pass(29s);
    CHECK(failure_of([&] { c.get(); }).why == reason::rate_limited);
    CHECK(c.fetches == 1);
    c.time.pass(1s);
    CHECK(c.get() == 2);
}

TEST_CASE("A call that the server refuses is repeated once, with another credential") {
    numbered c;
    c.get();
    std::vector<int> tried;
    const auto call = [&](int token) {
        tried.push_back(token);
        if (token < 2) throw secrets::store_error("store", reason::expired_token, "expired");
        return "sk";
    };
    CHECK(c.token.use(c.until, call) == std::string("sk"));
    CHECK(tried == std::vector{1, 2});
    CHECK(c.token.use(c.until, call) == std::string("sk"));
    CHECK(c.fetches == 2);
}

TEST_CASE("A call that is refused twice fails, "
          "and a call with a fresh credential fails at the first refusal") {
    numbered c;
    int tried = 0;
    const auto call = [&](int) -> int {
        ++tried;
        throw secrets::store_error("store", reason::expired_token, "expired");
    };
    CHECK(failure_of([&] { c.token.use(c.until, call); }).why == reason::expired_token);
    CHECK(tried == 1);  // the credential was fetched for this call
    c.get();
    tried = 0;
    CHECK(failure_of([&] { c.token.use(c.until, call); }).why == reason::expired_token);
    CHECK(tried == 2);
    CHECK(c.fetches == 2);
}

TEST_CASE("A call is not repeated with a new credential that equals the refused one") {
    const auto same = [](secrets::deadline) {
        return secrets::fetched<std::string>{"key of a file", std::nullopt};
    };
    secrets::credential<std::string> key(same);
    key.get(numbered::until);
    int tried = 0;
    CHECK(failure_of([&] {
              key.use(numbered::until, [&](const std::string&) -> int {
                  ++tried;
                  throw secrets::store_error("store", reason::expired_token, "expired");
              });
          }).why == reason::expired_token);
    CHECK(tried == 1);
}

TEST_CASE("A call that fails for another reason is not repeated") {
    numbered c;
    c.get();
    int tried = 0;
    CHECK(failure_of([&] {
              c.token.use(c.until, [&](int) -> int {
                  ++tried;
                  throw secrets::store_error("store", reason::permission_denied, "no");
              });
          }).why == reason::permission_denied);
    CHECK(tried == 1);
    CHECK(c.get() == 1);
}

TEST_CASE("A credential that is needed for its own fetch fails, and does not wait forever") {
    numbered c;
    c.first = [&] { c.get(); };
    CHECK(failure_of([&] { c.get(); }).why == reason::timed_out);
}

TEST_CASE("A valid credential is not used after its end, even if its renewal fails") {
    numbered c;
    c.get();
    c.time.pass(900s);
    c.first = [&] {
        c.time.pass(200s);
        fail();
    };
    CHECK(failure_of([&] { c.get(); }).why == reason::rate_limited);
}

TEST_CASE("A thread waits for the login of another one until its own deadline, and no longer") {
    numbered c;
    std::latch begun(1), given_up(1);
    c.first = [&] {
        begun.count_down();
        given_up.wait();
    };
    std::thread other([&] { c.get(); });
    begun.wait();
    const secrets::deadline soon = c.time.clock().now() + 50ms;
    CHECK(failure_of([&] { c.token.get(soon); }).why == reason::timed_out);
    given_up.count_down();
    other.join();
    CHECK(c.get() == 1);
}

// ---- Threads ----------------------------------------------------------------------------------------------

TEST_CASE("Two thousand threads that need a credential fetch it once") {
    constexpr std::size_t count = 2000;
    numbered c;
    bool all_waited = false;
    c.first = [&] { all_waited = helpers::eventually([&] { return c.token.waiting() == count - 1; }); };
    const auto got = helpers::in_threads(count, [&] { return std::to_string(c.get()); });
    CHECK(all_waited);
    CHECK(std::count(got.begin(), got.end(), "1") == count);
    CHECK(c.fetches == 1);
    CHECK(c.token.waiting() == 0);
}

TEST_CASE("Threads that wait for a credential share its failure") {
    static const auto failure =
        std::make_exception_ptr(secrets::store_error("login", reason::timed_out, "Timeout"));
    numbered c;
    c.first = [&] {
        helpers::eventually([&] { return c.token.waiting() == 15; });
        std::rethrow_exception(failure);
    };
    const auto got = helpers::in_threads(16, [&] { return std::to_string(c.get()); });
    CHECK(std::count(got.begin(), got.end(), "login: Timeout") == 16);
    CHECK(c.fetches == 1);
}

TEST_CASE("While a thread renews a credential, other threads use the old one") {
    numbered c;
    c.get();
    c.time.pass(900s);
    std::latch renewing(1), others_had_it(1);
    c.first = [&] {
        renewing.count_down();
        others_had_it.wait();
    };
    int renewed = 0;
    std::thread other([&] { renewed = c.get(); });
    renewing.wait();
    CHECK(c.get() == 1);
    others_had_it.count_down();
    other.join();
    CHECK(renewed == 2);
    CHECK(c.get() == 2);
}

TEST_CASE("Threads that are refused at the same time fetch another credential once") {
    numbered c;
    c.get();
    std::latch all_refused(16);
    const auto got = helpers::in_threads(16, [&] {
        return std::to_string(c.token.use(c.until, [&](int token) {
            if (token > 1) return token;
            all_refused.arrive_and_wait();
            throw secrets::store_error("store", reason::expired_token, "expired");
        }));
    });
    CHECK(std::count(got.begin(), got.end(), "2") == 16);
    CHECK(c.fetches == 2);
}

// ---- Time -------------------------------------------------------------------------------------------------

TEST_CASE("Times are read as UTC, with or without a fraction and a Z, and other texts are rejected") {
    using namespace std::chrono;
    const auto expected = sys_days(2025y / January / 31) + 9h + 5min + 29s;
    for (const char* const text :
         {"2025-01-31T09:05:29Z", "2025-01-31T09:05:29", "2025-01-31T09:05:29.000000Z",
          "2025-01-31T09:05:29.123456789Z"})
        CHECK(secrets::utc_time(text) == expected);
    for (const char* const text :
         {"", "Z", "2025-01-31", "2025-02-30T09:05:29Z", "2025-01-31T24:00:00Z", "2025-01-31T09:05:29+01:00",
          "2025-01-31 09:05:29Z", "2025-1-31T09:05:29Z", "x025-01-31T09:05:29Z", "2025-01-31T09:05:29.1x"})
        CHECK_FALSE(secrets::utc_time(text));
}

TEST_CASE("A time in the past leaves no life") {
    const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    CHECK(secrets::until(now - 1h) == 0s);
    CHECK(secrets::until(secrets::utc_time("9999-12-31T23:59:59Z").value()) > std::chrono::years(1000));
    const auto left = secrets::until(now + 1h);
    CHECK(left > 59min);
    CHECK(left <= 1h);
}
