#pragma once

// The token for OpenBao or Vault: it is given, or in a file, or comes from a login.

#include "abi.hpp"
#include "credential.hpp"
#include "http.hpp"
#include "json.hpp"
#include "store.hpp"
#include "wipe.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace secrets { inline namespace v1 SECRETS_HIDDEN {

/// Of `token`, `role_id`, `kubernetes_role` and `token_file`, the first that is set is used. If none is set,
/// no token is sent: use this with an agent that adds its own. Files are read again for each login.
struct SECRETS_VISIBLE vault_login {
    std::string token{};  ///< sent as it is, and never renewed

    std::string role_id{};         ///< AppRole; a secret id that may be used only once allows one login
    std::string secret_id{};       ///< empty: in secret_id_file; both empty: the role has none
    std::string secret_id_file{};

    std::string kubernetes_role{};  ///< login by Kubernetes, with the token of the pod's service account
    std::string kubernetes_token_file = "/var/run/secrets/kubernetes.io/serviceaccount/token";

    std::string token_file{};  ///< written by an agent or `vault login`; read again if its token has expired

    std::string mount{};  ///< of the login; empty: "approle" or "kubernetes"
};

/// Sends requests with the token. Thread-safe. If several threads need a token at the same time, one of
/// them logs in.
class vault_token {
public:
    /// Each login sends `headers`. `headers` and `http` have to outlive this object.
    vault_token(vault_login login, std::string address, const http_headers& headers, const http_client& http)
        : login_(std::move(login)), address_(std::move(address)), headers_(headers), http_(http) {}

    /// Returns the answer, of any status.
    http_answer send(const http_request& request, deadline until) const {
        return is_fetched() ? send_with(*kept_.get(until), request, until)
                            : send_with(login_.token, request, until);
    }

    /// The same. If the answer is 403, and the token came from a login or a file and has expired, sends the
    /// request a second time with a new token.
    http_answer send_or_renew(const http_request& request, deadline until) const;

private:
    bool is_login() const noexcept { return !login_.role_id.empty() || !login_.kubernetes_role.empty(); }
    bool is_fetched() const noexcept {
        return login_.token.empty() && (is_login() || !login_.token_file.empty());
    }
    http_answer send_with(std::string_view token, http_request request, deadline until) const {
        request.headers.add("X-Vault-Token", token);
        return http_.send(request, until);
    }
    bool has_expired(std::string_view token, const std::string& refused_url, deadline until) const;
    bool is_remembered(const std::string& refused_url) const {
        const std::lock_guard lock(mutex_);
        const auto found = refused_.find(refused_url);
        return found != refused_.end() && http_.options().clock.now() < found->second;
    }
    void remember(const std::string& refused_url) const {
        const deadline now = http_.options().clock.now();
        const std::lock_guard lock(mutex_);
        std::erase_if(refused_, [&](const auto& refused) { return refused.second <= now; });
        refused_[refused_url] = now + std::chrono::minutes(1);
    }
    fetched<secret_text> fetch(deadline until) const;
    fetched<secret_text> log_in(std::string_view method, secret_text body, deadline until) const;

    const vault_login login_;
    const std::string address_;
    const http_headers& headers_;
    const http_client& http_;
    mutable credential<secret_text> kept_{[this](deadline until) { return fetch(until); },
                                          {.clock = http_.options().clock}};
    mutable std::mutex mutex_;
    mutable std::map<std::string, deadline> refused_;  // URLs, each for a minute; guarded by mutex_
};

// -----------------------------------------------------------------------------------------------------------

namespace detail {

// Whether one of the errors in {"errors": [...]} contains this text, such as "Vault is sealed".
inline bool says(const json& body, std::string_view what) {
    const json* const errors = member(&body, "errors");
    if (!errors || !errors->is_array()) return false;
    for (const json& error : errors->elements())
        if (const auto said = text(&error); said && said->find(what) != std::string_view::npos) return true;
    return false;
}

// Whether the data is still being copied to another server of the cluster, or from version 1 to 2.
inline bool is_not_ready(const http_answer& answer, const json& body) {
    return answer.status == 412 || (answer.status == 400 && says(body, "Upgrading from non-versioned"));
}

// Whether to try again. A sealed engine stays sealed until an operator unseals it.
inline bool is_passing_answer(const http_answer& answer) {
    if (answer.status < 400) return false;
    const json body = parse_json(answer.body);
    return is_not_ready(answer, body) || answer.status == 429 ||
           (answer.status >= 500 && answer.status != 501 && !says(body, "sealed"));
}

// Whether the server does not work now, whatever the request is.
inline bool is_down(const http_answer& answer) {
    return answer.status == 408 || answer.status == 412 || answer.status == 429 || answer.status >= 500;
}

// The error for an answer that a request should not have.
inline store_error vault_error(const http_client& http, const http_answer& answer, const std::string& about) {
    const json body = parse_json(answer.body);
    if (answer.status == 503 && says(body, "sealed"))
        return http.error(reason::sealed, answer, about, "the engine is sealed");
    if (is_not_ready(answer, body))
        return http.error(reason::passing, answer, about, "the engine is not ready yet");
    return http.error(answer, about);
}

inline std::string without_slashes(std::string_view mount) {
    while (mount.starts_with('/')) mount.remove_prefix(1);
    while (mount.ends_with('/')) mount.remove_suffix(1);
    return std::string(mount);
}

}  // namespace detail

inline http_answer vault_token::send_or_renew(const http_request& request, deadline until) const {
    if (!is_fetched()) return send_with(login_.token, request, until);
    http_answer answer;
    try {
        kept_.use(until, [&](const secret_text& token) {
            answer = send_with(token, request, until);
            if (answer.status == 403 && has_expired(token, request.url, until))
                throw http_.error(reason::expired_token, request.about, "the token has expired");
        });
    } catch (const store_error& error) {
        const bool is_login_refused =
            is_login() && answer.status == 403 && error.why() == reason::no_credential;
        if (error.why() != reason::expired_token && !is_login_refused) throw;
        // The login supplied no better token. Do not log in again for this URL for a minute: each login adds
        // a lease. A token file is always read again.
        if (is_login()) remember(request.url);
    }
    return answer;
}

// Engines answer 403 for an expired token, and also for a secret that the token's policy does not allow. If
// the policy does not allow lookup-self either, the token is taken for expired.
inline bool vault_token::has_expired(std::string_view token, const std::string& refused_url,
                                     deadline until) const {
    if (is_remembered(refused_url)) return false;
    const http_request ask{.url = address_ + "/v1/auth/token/lookup-self",
                           .about = address_ + ", auth/token/lookup-self",
                           .headers = headers_,
                           .passing = detail::is_passing_answer};
    const http_answer answer = send_with(token, ask, until);
    if (answer.status == 401 || answer.status == 403) return true;
    if (answer.status != 200) throw detail::vault_error(http_, answer, ask.about);  // it is not known
    remember(refused_url);
    return false;
}

inline fetched<secret_text> vault_token::fetch(deadline until) const {
    const auto read = [&](const std::string& file, const char* what) {
        if (std::optional<secret_text> text = token_in_file(file)) return std::move(*text);
        throw http_.error(reason::no_credential, address_,
                          std::string(what) + " cannot be read from " + file);
    };
    if (!login_.role_id.empty()) {
        secret_text id(login_.secret_id);
        if (id.empty() && login_.secret_id_file.empty())
            return log_in("approle", json_object({{"role_id", login_.role_id}}), until);
        if (id.empty()) id = read(login_.secret_id_file, "the AppRole's secret id");
        return log_in("approle", json_object({{"role_id", login_.role_id}, {"secret_id", id}}), until);
    }
    if (!login_.kubernetes_role.empty()) {
        const secret_text jwt = read(login_.kubernetes_token_file, "the service account's token");
        return log_in("kubernetes", json_object({{"role", login_.kubernetes_role}, {"jwt", jwt}}), until);
    }
    return {read(login_.token_file, "the token"), std::nullopt};
}

inline fetched<secret_text> vault_token::log_in(std::string_view method, secret_text body,
                                                deadline until) const {
    const std::string mount = detail::without_slashes(login_.mount.empty() ? method : login_.mount);
    const std::string path = "auth/" + percent_encoded(mount, "/") + "/login";
    http_request ask{.method = "POST",
                     .url = address_ + "/v1/" + path,
                     .about = address_ + ", " + path,
                     .headers = headers_,
                     .body = std::move(body)};
    ask.headers.add("Content-Type", "application/json");
    const http_answer answer = http_.send(ask, until);
    // For example 404: the mount does not exist.
    if (answer.status >= 400 && !detail::is_down(answer))
        throw http_.error(reason::no_credential, answer, ask.about, "the login is refused");
    if (answer.status != 200) throw detail::vault_error(http_, answer, ask.about);

    const json came = parse_json(answer.body);
    const std::optional<std::string_view> token = text(member(&came, "auth", "client_token"));
    if (token.value_or("").empty() || !is_one_line(*token))
        throw http_.error(reason::malformed, ask.about, "the answer has no token in it");
    const std::int64_t seconds = number(member(&came, "auth", "lease_duration")).value_or(0);
    if (seconds <= 0) return {secret_text(*token), std::nullopt};
    return {secret_text(*token), std::chrono::seconds(seconds)};
}

}}  // namespace secrets
