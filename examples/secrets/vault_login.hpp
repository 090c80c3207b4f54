#pragma once

// The token for OpenBao or Vault: it is given, or in a file, or comes from a login.

#include "credential.hpp"
#include "http.hpp"
#include "json.hpp"
#include "store.hpp"
#include "wipe.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace secrets {

/// Of `token`, `role_id`, `kubernetes_role` and `token_file`, the first that is set is used. If
/// none is set, no token is sent: use this with an agent that adds its own. Files are read again
/// for each login.
struct vault_login {
    std::string token{};  ///< sent as it is, and never renewed

    std::string role_id{};         ///< AppRole; a secret id that may be used only once allows one login
    std::string secret_id{};       ///< empty: in secret_id_file
    std::string secret_id_file{};

    std::string kubernetes_role{};  ///< login by Kubernetes, with the token of the pod's service account
    std::string kubernetes_token_file = "/var/run/secrets/kubernetes.io/serviceaccount/token";

    std::string token_file{};  ///< written by an agent or `vault login`; read again if its token is refused

    std::string mount{};  ///< of the login; empty: "approle" or "kubernetes"
};

/// The token. Thread-safe. If several threads need one at the same time, one of them logs in.
class vault_token {
public:
    /// Each login sends `headers`. `headers` and `http` have to outlive this object.
    vault_token(vault_login login, std::string address, const http_headers& headers, const http_client& http);

    /// Calls the function with the token. If it throws `permission_denied`, and the token came from
    /// a login or a file, calls it a second time with a new token.
    template <class Function>
    auto use(Function function) const {
        if (!login_.token.empty() || is_none()) return function(std::string_view(login_.token));
        return kept_->use([&](const secret_text& token) { return function(token.view()); }, reason::permission_denied);
    }

private:
    bool is_none() const noexcept {
        return login_.role_id.empty() && login_.kubernetes_role.empty() && login_.token_file.empty();
    }
    fetched<secret_text> fetch() const;
    fetched<secret_text> log_in(std::string_view method, const json& body) const;

    vault_login login_;
    std::string address_;
    const http_headers& headers_;
    const http_client& http_;
    std::unique_ptr<credential<secret_text>> kept_;
};

// ---------------------------------------------------------------------------------------------------------------------

inline vault_token::vault_token(vault_login login, std::string address, const http_headers& headers, const http_client& http)
    : login_(std::move(login)),
      address_(std::move(address)),
      headers_(headers),
      http_(http),
      kept_(std::make_unique<credential<secret_text>>([this] { return fetch(); },
                                                      credential_options{.clock = http.options().clock})) {}

inline fetched<secret_text> vault_token::fetch() const {
    const auto read = [&](const std::string& file, const char* what) {
        if (std::optional<secret_text> text = token_in_file(file)) return std::move(*text);
        throw http_.error(reason::no_credential, address_, std::string(what) + " cannot be read from " + file);
    };
    json body = json::object();
    if (!login_.role_id.empty()) {
        body["role_id"] = json_string(login_.role_id);
        const bool is_in_file = login_.secret_id.empty() && !login_.secret_id_file.empty();
        if (is_in_file) body["secret_id"] = json_string(read(login_.secret_id_file, "the AppRole's secret id"));
        else if (!login_.secret_id.empty()) body["secret_id"] = json_string(login_.secret_id);
        return log_in("approle", body);
    }
    if (!login_.kubernetes_role.empty()) {
        body["role"] = json_string(login_.kubernetes_role);
        body["jwt"] = json_string(read(login_.kubernetes_token_file, "the service account's token"));
        return log_in("kubernetes", body);
    }
    return {read(login_.token_file, "the token"), std::nullopt};
}

inline fetched<secret_text> vault_token::log_in(std::string_view method, const json& body) const {
    const std::string path = "auth/" + percent_encoded(login_.mount.empty() ? method : login_.mount, "/") + "/login";
    http_request ask{.method = "POST", .url = address_ + "/v1/" + path, .about = address_ + ", " + path, .headers = headers_};
    ask.headers.add("Content-Type", "application/json");
    ask.body = secret_text(body.dump());
    const http_answer answer = http_.send(ask);
    if (answer.status == 400 || answer.status == 401 || answer.status == 403)
        throw http_.error(reason::no_credential, answer, ask.about, "the login is refused");
    if (answer.status != 200) throw http_.error(answer, ask.about);

    const json came = parse_json(answer.body);
    const std::optional<std::string_view> token = text(member(&came, "auth", "client_token"));
    if (token.value_or("").empty() || !is_one_line(*token))
        throw http_.error(reason::malformed, ask.about, "the answer has no token in it");
    const std::int64_t seconds = number(member(&came, "auth", "lease_duration")).value_or(0);
    if (seconds <= 0) return {secret_text(*token), std::nullopt};
    return {secret_text(*token), std::chrono::seconds(seconds)};
}

}  // namespace secrets
