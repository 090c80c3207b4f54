#pragma once

// A credential, such as a token: fetched once for all threads, kept, and renewed before it ends.
//
//     secrets::credential<secrets::secret_text> token{[](secrets::deadline until) { return log_in(until); }};
//     // Calls it again if the token has expired:
//     token.use(until, [&](const secrets::secret_text& value) { return ask_with(value); });

#include "abi.hpp"
#include "store.hpp"
#include "wipe.hpp"

#include <extensible/hooks/clock.hpp>
#include <extensible/hooks/single_flight.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

namespace secrets { inline namespace v1 SECRETS_HIDDEN {

/// The result of a login.
template <class Value>
struct SECRETS_VISIBLE fetched {
    Value value{};
    /// From now on; std::nullopt: until the server refuses it.
    std::optional<std::chrono::seconds> lifetime{};
};

struct SECRETS_VISIBLE credential_options {
    /// It is renewed this long before its end, or when three quarters of its time have passed,
    /// whichever is later.
    std::chrono::seconds renew_before{60};
    /// The pause before the next attempt, if a renewal fails and the old credential is still valid.
    std::chrono::seconds pause{5};
    ext::hooks::clock clock{};
};

/// A credential that is fetched when it is first needed. Thread-safe. If several threads need it, one of
/// them fetches it. The others wait, and get the same credential or the same exception. An exception is
/// not remembered, except a store_error with a Retry-After, until that time has passed. While a valid
/// credential is renewed, other threads get the old one. The function that fetches it must return or
/// throw before the deadline.
template <class Value>
class SECRETS_VISIBLE credential {
public:
    using shared_value = std::shared_ptr<const Value>;
    using fetch_function = std::function<fetched<Value>(deadline until)>;

    SECRETS_HIDDEN explicit credential(fetch_function fetch, credential_options options = {})
        : fetch_(std::move(fetch)), options_(std::move(options)) {}

    /// The valid credential, or a new one if `refused` is the current one. Pass null for the
    /// first attempt. The old credential is kept until there is a new one. Throws what the function throws.
    SECRETS_HIDDEN shared_value get(deadline until, const shared_value& refused = nullptr) {
        const time_point now = options_.clock.now();
        std::unique_lock lock = fetches_.lock();
        const shared_value good = value_ && value_ != refused && now < ends_at_ ? value_ : nullptr;
        if (good && now < renew_at_) return good;
        if (failure_ && now < failed_until_) std::rethrow_exception(failure_);

        if (const auto flight = fetches_.find("")) {
            if (good) return good;
            constexpr ext::hooks::duration longest = std::chrono::hours(24);
            if (!fetches_.wait(lock, *flight, std::min(until - now, longest)))
                throw store_error("login", reason::timed_out, "too long, or it needs its own credential");
            if (flight->outcome.failure) std::rethrow_exception(flight->outcome.failure);
            return flight->outcome.value;
        }
        const auto flight = fetches_.make("");
        fetches_.begin(flight);
        lock.unlock();
        // With a valid credential, half of the time is left for the read, in case the server of the login
        // hangs.
        return fetch(*flight, good, good ? now + (until - now) / 2 : until);
    }

    /// Calls the function with the credential. If it throws the store_error `expired_token`, calls it a
    /// second time with a new credential. There is only one call if the credential was fetched just for
    /// it, or if the new one is equal: it would be no better.
    template <class Function>
    SECRETS_HIDDEN auto use(deadline until, Function function)
        -> std::invoke_result_t<Function&, const Value&> {
        shared_value kept;
        {
            const auto lock = fetches_.lock();
            kept = value_;
        }
        const shared_value first = get(until);
        shared_value second;
        try {
            return function(*first);
        } catch (const store_error& error) {
            if (error.why() != reason::expired_token || first != kept) throw;
            second = get(until, first);
            if constexpr (std::equality_comparable<Value>)
                if (*second == *first) throw;
        }
        return function(*second);
    }

    /// The number of threads that wait for a credential.
    SECRETS_HIDDEN std::size_t waiting() const {
        const auto lock = fetches_.lock();
        return fetches_.waiting();
    }

private:
    using time_point = ext::hooks::time_point;
    struct outcome {
        shared_value value{};
        std::exception_ptr failure{};
    };
    using flights = ext::hooks::single_flight<outcome>;

    SECRETS_HIDDEN shared_value fetch(typename flights::flight& flight, const shared_value& old,
                                      deadline until) {
        const time_point begun = options_.clock.now();
        outcome came;
        std::optional<std::chrono::seconds> lifetime;
        std::chrono::seconds retry_after{0};
        try {
            fetched<Value> got = fetch_(until);
            lifetime = got.lifetime;
            came.value = shared_value(new Value(std::move(got.value)));
        } catch (const store_error& error) {
            retry_after = error.retry_after().value_or(retry_after);
            came.failure = std::current_exception();
        } catch (...) {
            came.failure = std::current_exception();
            if (!came.failure) {  // pthread_cancel(): the threads that wait must not wait for ever
                const store_error cancelled("login", reason::failed, "its thread was cancelled");
                const auto lock = fetches_.lock();
                end(flight, {nullptr, std::make_exception_ptr(cancelled)});
                throw;
            }
        }

        const time_point now = options_.clock.now();
        const auto lock = fetches_.lock();
        failure_ = came.failure;
        if (came.value) {
            keep(came.value, lifetime, begun);
        } else {
            failed_until_ = now + retry_after;
            renew_at_ = std::max(renew_at_, now + std::max(options_.pause, retry_after));
            if (old && old == value_ && now < ends_at_) came = {old, nullptr};
        }
        end(flight, came);
        if (came.failure) std::rethrow_exception(came.failure);
        return came.value;
    }

    // Call it with the lock held.
    SECRETS_HIDDEN void end(typename flights::flight& flight, const outcome& came) {
        flight.outcome = came;
        fetches_.close(flight);
        fetches_.end(flight);
    }

    // Its lifetime is counted from before the request, because the server's begins during the request.
    SECRETS_HIDDEN void keep(shared_value value, std::optional<std::chrono::seconds> lifetime,
                             time_point begun) {
        constexpr std::chrono::seconds longest = std::chrono::hours(24 * 365);
        const std::chrono::seconds lives = std::min(lifetime.value_or(longest), longest);
        value_ = std::move(value);
        ends_at_ = begun + lives;
        renew_at_ = std::max(ends_at_ - options_.renew_before, begun + lives * 3 / 4);
        if (!lifetime) renew_at_ = ends_at_ = time_point::max();
    }

    const fetch_function fetch_;
    const credential_options options_;
    flights fetches_{};  // its lock guards the members below
    shared_value value_{};
    time_point renew_at_{}, ends_at_{};
    std::exception_ptr failure_{};  // thrown again until failed_until_
    time_point failed_until_{};
};

/// The token in a file, which is one line of text; std::nullopt if there is none.
inline std::optional<secret_text> token_in_file(const std::filesystem::path& file) {
    const std::optional<secret_text> text = text_of_file(file);
    secret_text token(trimmed(text ? text->view() : ""));
    return token.empty() || !is_one_line(token) ? std::nullopt : std::optional(std::move(token));
}

/// The time from now until `end`, by the system clock; zero if it has passed.
inline std::chrono::seconds until(std::chrono::sys_seconds end) {
    const auto now = std::chrono::ceil<std::chrono::seconds>(std::chrono::system_clock::now());
    return std::max(end - now, std::chrono::seconds(0));
}

/// Reads "2025-01-31T09:00:29Z" as UTC, with or without the Z and a fraction of a second. Returns
/// std::nullopt for other texts. The unit is seconds, because the clock's own unit may overflow in
/// the year 2262.
inline std::optional<std::chrono::sys_seconds> utc_time(std::string_view text) {
    constexpr std::string_view pattern = "dddd-dd-ddTdd:dd:dd";
    if (text.ends_with('Z')) text.remove_suffix(1);
    if (text.size() < pattern.size()) return std::nullopt;
    if (text.size() > pattern.size() &&
        (text[pattern.size()] != '.' ||
         text.find_first_not_of("0123456789", pattern.size() + 1) != std::string_view::npos))
        return std::nullopt;
    int fields[6] = {};
    for (std::size_t i = 0, field = 0; i < pattern.size(); ++i) {
        const bool is_digit = text[i] >= '0' && text[i] <= '9';
        if (pattern[i] == 'd' ? !is_digit : text[i] != pattern[i]) return std::nullopt;
        if (is_digit) fields[field] = fields[field] * 10 + (text[i] - '0');
        else ++field;
    }
    using namespace std::chrono;
    const auto date = year{fields[0]} / fields[1] / fields[2];
    if (!date.ok() || fields[3] > 23 || fields[4] > 59 || fields[5] > 60) return std::nullopt;
    return sys_days(date) + hours(fields[3]) + minutes(fields[4]) + seconds(fields[5]);
}

}}  // namespace secrets
