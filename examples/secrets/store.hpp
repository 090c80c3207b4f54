#pragma once

// Shared by the hooks of all stores: the exception that they throw, and the start hook that looks
// up a key.
//
// To support another store, write a class like this one. http.hpp, json.hpp and credential.hpp have
// the rest:
//
//     class my_store {
//     public:
//         static constexpr std::string_view name = "mine";
//         std::string place_of(std::string_view service) const { return "keys/" + std::string(service); }
//         std::optional<std::string> read(std::string_view service) const {
//             const std::string about = address_ + ", " + place_of(service);
//             return token_.use([&](const secret_text& token) -> std::optional<std::string> {
//                 http_request ask{.url = address_ + '/' + percent_encoded(service), .about = about};
//                 ask.headers.add("Authorization", "Bearer ", token);
//                 const http_answer answer = http_.send(ask);
//                 if (answer.status == 404) return std::nullopt;
//                 if (answer.status == 401) throw http_.error(reason::expired_token, about, "the token has expired");
//                 if (answer.status != 200) throw http_.error(answer, about);
//                 const json body = parse_json(answer.body);
//                 return http_.key_in(text(member(&body, "data", "key")), about);
//             });
//         }
//     private:
//         std::string address_;
//         http_client http_{std::string(name), {}};
//         mutable credential<secret_text> token_{[this] { return log_in(); }};  // {token, lifetime}
//     };
//
//     secrets::add_store(plugin, "models.get_api_key", std::make_shared<const my_store>(), on_failure::fall_through);

#include <extensible/extensible.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace secrets {

/// What a call does if a store cannot be asked. A secret that does not exist is not a failure.
enum class on_failure {
    fall_through,  ///< reports to the registry's error handlers, and asks the next hook or the function
    fail           ///< throws store_error to the caller: no key is better than one from elsewhere
};

/// The reason for a failure.
enum class reason {
    permission_denied,  ///< the credential is wrong, or not for this secret
    wrong_network,      ///< the store takes no requests from this address, whatever the credential
    expired_token,      ///< the credential was valid once: a new one may help
    bad_signature,      ///< for example a wrong secret access key
    clock_skew,         ///< this machine's clock and the server's differ too much
    sealed,             ///< an operator has to unseal the engine
    rate_limited,
    server_error,  ///< 5xx
    passing,       ///< the server is not ready yet
    rejected,      ///< another status that a read should not have
    redirected,    ///< not followed: the credential is for this address
    unreachable,   ///< nothing listens there, or the connection broke
    timed_out,
    untrusted,      ///< no TLS connection, or the certificate is not trusted
    malformed,      ///< not the answer of such a store, or not all of it
    missing_field,  ///< the secret has no text in the field
    deleted,        ///< the secret waits for its deletion, or its latest version is destroyed
    disabled,       ///< the secret is switched off
    undecryptable,  ///< the store cannot decrypt the secret
    no_engine,      ///< the address or mount is not such a store
    no_namespace,
    no_credential,  ///< there is nothing to log in with, or the login failed
    misconfigured   ///< the options cannot work
};

/// The reason in words, such as "permission denied".
std::string_view text_of(reason why) noexcept;

/// Whether it may help to ask again, with nothing changed.
bool is_passing(reason why) noexcept;

/// The exception of all stores. Its text names the store, the address and the place of the secret.
/// It contains nothing that the server sent, except Barbican's host and OpenStack's ids of
/// requests: a server that repeats the request would put a token into a log.
class store_error : public std::runtime_error {
public:
    store_error(std::string_view store, secrets::reason why, const std::string& text,
                std::optional<std::chrono::seconds> retry_after = std::nullopt)
        : std::runtime_error(std::string(store) + ": " + text), why_(why), retry_after_(retry_after) {}

    secrets::reason why() const noexcept { return why_; }

    /// How long the server does not want to be asked.
    std::optional<std::chrono::seconds> retry_after() const noexcept { return retry_after_; }

private:
    secrets::reason why_;
    std::optional<std::chrono::seconds> retry_after_;
};

/// Whether a secret can have this name: it is not empty, and has no control characters and no
/// segments that are empty, `.` or `..`, which could change a path. Stores are not asked for other
/// names.
bool is_askable(std::string_view service) noexcept;

/// Whether the text has no control characters: a line break would begin another header, or another
/// line of a log.
bool is_one_line(std::string_view text) noexcept;

/// A pattern such as "api-keys/{service}", with `{service}` replaced by the service. The inserted
/// name is not searched for `{service}`.
std::string with_service(std::string pattern, std::string_view service);

/// Notes that a store's hook leaves in the call's kwargs.
namespace note {
inline constexpr std::string_view source = "source";            ///< where the key came from: "kv2 secret/api-keys/openai"
inline constexpr std::string_view failure = "failure";          ///< what() of the exception; the call continues
inline constexpr std::string_view retry_after = "retry_after";  ///< std::chrono::seconds: do not ask for this time
inline constexpr std::string_view said = "said";                ///< what the last store said: "not found", "permission denied"
}  // namespace note

/// A start hook for a function that takes a service's name and returns its key. `Store` has `name`,
/// `place_of(service)` for the notes, and a thread-safe `read(service)`, which returns the key, or
/// std::nullopt if there is none, or throws a store_error.
template <class Store>
class store_hook {
public:
    using call_type = ext::call<std::string(std::string_view)>;

    explicit store_hook(std::shared_ptr<const Store> store) : store_(std::move(store)) {}

    /// Supplies the key, unless an earlier hook did, and leaves the note "source". If it throws, it
    /// leaves the note "failure".
    void operator()(call_type& call) const {
        if (call.result) return;
        const std::string_view service = *std::get<0>(call.args);
        if (!is_askable(service)) return call.kwargs.set(note::said, "not asked");
        try {
            std::optional<std::string> key = store_->read(service);
            if (!key) return call.kwargs.set(note::said, "not found");
            call.kwargs.set(note::source, std::string(Store::name) + ' ' + store_->place_of(service));
            call.result = std::move(*key);
        } catch (const store_error& error) {
            call.kwargs.set(note::failure, error.what());
            call.kwargs.set(note::said, std::string(text_of(error.why())));
            if (error.retry_after()) call.kwargs.set(note::retry_after, *error.retry_after());
            throw;
        }
    }

private:
    std::shared_ptr<const Store> store_;
};

/// Registers the store's hook. Its id is the store's name by default. `choice` says what happens on
/// a failure.
template <class Store>
ext::hook add_store(ext::plugin& owner, std::string_view function, std::shared_ptr<const Store> store, on_failure choice,
                    ext::hook_options how = {.id = std::string(Store::name)}) {
    how.isolate = choice == on_failure::fall_through;
    return owner.on_start(function, store_hook<Store>(std::move(store)), std::move(how));
}

/// The same for a store that is made from its options, which have the choice in `on_failure`.
/// Throws store_error if the options are invalid.
template <class Store, class Options>
ext::hook add_store(ext::plugin& owner, std::string_view function, Options options, ext::hook_options how) {
    const on_failure choice = options.on_failure;
    return add_store(owner, function, std::make_shared<const Store>(std::move(options)), choice, std::move(how));
}

// ---------------------------------------------------------------------------------------------------------------------

inline std::string_view text_of(reason why) noexcept {
    switch (why) {
        case reason::permission_denied: return "permission denied";
        case reason::wrong_network: return "not from this network";
        case reason::expired_token: return "the token has expired";
        case reason::bad_signature: return "the signature is wrong";
        case reason::clock_skew: return "the clocks differ";
        case reason::sealed: return "sealed";
        case reason::rate_limited: return "too many requests";
        case reason::server_error: return "server error";
        case reason::passing: return "not now";
        case reason::rejected: return "rejected";
        case reason::redirected: return "redirected";
        case reason::unreachable: return "unreachable";
        case reason::timed_out: return "timed out";
        case reason::untrusted: return "not trusted";
        case reason::malformed: return "malformed answer";
        case reason::missing_field: return "field missing";
        case reason::deleted: return "deleted";
        case reason::disabled: return "disabled";
        case reason::undecryptable: return "cannot be decrypted";
        case reason::no_engine: return "no such engine";
        case reason::no_namespace: return "no such namespace";
        case reason::no_credential: return "no credential";
        case reason::misconfigured: return "misconfigured";
    }
    return "failed";
}

inline bool is_passing(reason why) noexcept {
    return why == reason::rate_limited || why == reason::server_error || why == reason::passing || why == reason::unreachable ||
           why == reason::timed_out;
}

inline bool is_one_line(std::string_view text) noexcept {
    for (const char c : text)
        if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') return false;
    return true;
}

inline std::string with_service(std::string pattern, std::string_view service) {
    constexpr std::string_view placeholder = "{service}";
    for (std::size_t at = 0; (at = pattern.find(placeholder, at)) != std::string::npos; at += service.size())
        pattern.replace(at, placeholder.size(), service);
    return pattern;
}

inline bool is_askable(std::string_view service) noexcept {
    if (!is_one_line(service)) return false;
    for (;;) {
        const std::size_t slash = service.find('/');
        const std::string_view segment = service.substr(0, slash);
        if (segment.empty() || segment == "." || segment == "..") return false;
        if (slash == std::string_view::npos) return true;
        service.remove_prefix(slash + 1);
    }
}

}  // namespace secrets
