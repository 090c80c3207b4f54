#pragma once

// The options of a KV engine of OpenBao or HashiCorp Vault, from the application or the
// environment.

#include "environment.hpp"
#include "http.hpp"
#include "store.hpp"
#include "vault_login.hpp"

#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace secrets {

struct kv2_options {
    std::string address{};     ///< "https://bao.example:8200", or "unix:///run/agent.socket"
    vault_login login{};       ///< empty: no token is sent, for an agent that adds its own
    std::string name_space{};  ///< empty: the root namespace
    std::string mount = "secret";
    int version = 2;  ///< of the engine, 1 or 2
    std::string path = "api-keys/{service}";  ///< below the mount; has to contain {service}: one key per service
    std::string field = "key";                ///< of the secret; has to be a text

    http_options http{.plain_http = true};  ///< with a warning, as for certificates that are not verified

    secrets::on_failure on_failure = secrets::on_failure::fall_through;

    /// Gets one line per hook if the token is not protected on its way.
    std::function<void(std::string_view)> warn = [](std::string_view line) { std::cerr << line << '\n'; };
};

/// The options from these variables with the prefix BAO_. If one of them is not set, the variable
/// with the prefix VAULT_ is read. Returns std::nullopt without an address. Throws store_error for
/// an invalid time-out or version.
///
///     ADDR, NAMESPACE, CACERT or CAPATH, CLIENT_CERT, CLIENT_KEY, TLS_SERVER_NAME, CLIENT_TIMEOUT,
///     PROXY_ADDR, KV_VERSION
///
/// The login is the first of these that is set. AUTH_MOUNT is the mount of the second and the
/// third.
///
///     TOKEN
///     ROLE_ID with SECRET_ID or SECRET_ID_FILE (AppRole)
///     K8S_ROLE (Kubernetes)
///     TOKEN_PATH, by default ~/.vault-token, if that file exists
///
/// OpenBao's own programs know all of these except KV_VERSION, AUTH_MOUNT, and the variables of
/// AppRole and Kubernetes. SKIP_VERIFY is ignored, because a forgotten variable would turn off the
/// verification without notice.
std::optional<kv2_options> kv2_from_environment();

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

inline std::string vault_variable(const std::string& name) {
    const char* value = std::getenv(("BAO_" + name).c_str());
    if (!value) value = std::getenv(("VAULT_" + name).c_str());
    return value ? value : "";
}

// Reads "90", "90s" or "1m30s" as Vault's own programs do; std::nullopt for other texts and for
// zero.
inline std::optional<std::chrono::milliseconds> vault_duration(std::string_view text) {
    using namespace std::chrono;
    milliseconds sum{0};
    while (!text.empty()) {
        int count = 0;
        const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), count);
        if (error != std::errc() || count < 0 || count > 1000000) return std::nullopt;
        text.remove_prefix(static_cast<std::size_t>(rest - text.data()));
        const std::string_view unit = text.substr(0, text.find_first_of("0123456789"));
        text.remove_prefix(unit.size());
        if (unit == "ms") sum += milliseconds(count);
        else if (unit == "s" || (unit.empty() && sum.count() == 0)) sum += seconds(count);
        else if (unit == "m") sum += minutes(count);
        else if (unit == "h") sum += hours(count);
        else return std::nullopt;
    }
    return sum.count() > 0 ? std::optional(sum) : std::nullopt;
}

// The file that `vault login` writes, if it exists.
inline std::string default_token_file() {
    const std::string_view home = environment_variable("HOME");
    if (home.empty()) return "";
    std::error_code ignored;
    const std::filesystem::path file = std::filesystem::path(home) / ".vault-token";
    return std::filesystem::is_regular_file(file, ignored) ? file.string() : "";
}

}  // namespace detail

inline std::optional<kv2_options> kv2_from_environment() {
    using detail::vault_variable;
    kv2_options options;
    options.address = vault_variable("ADDR");
    if (options.address.empty()) return std::nullopt;
    options.name_space = vault_variable("NAMESPACE");
    options.login = {.token = vault_variable("TOKEN"),
                     .role_id = vault_variable("ROLE_ID"),
                     .secret_id = vault_variable("SECRET_ID"),
                     .secret_id_file = vault_variable("SECRET_ID_FILE"),
                     .kubernetes_role = vault_variable("K8S_ROLE"),
                     .token_file = vault_variable("TOKEN_PATH"),
                     .mount = vault_variable("AUTH_MOUNT")};
    if (options.login.token_file.empty()) options.login.token_file = detail::default_token_file();

    http_options& http = options.http;
    http.ca_file = vault_variable("CACERT");
    if (http.ca_file.empty()) http.ca_path = vault_variable("CAPATH");
    http.client_certificate = vault_variable("CLIENT_CERT");
    http.client_key = vault_variable("CLIENT_KEY");
    http.tls_server_name = vault_variable("TLS_SERVER_NAME");
    http.proxy = vault_variable("PROXY_ADDR");
    const auto refuse = [](const char* text) { throw store_error("kv2", reason::misconfigured, text); };
    if (const std::string timeout = vault_variable("CLIENT_TIMEOUT"); !timeout.empty()) {
        if (const auto time = detail::vault_duration(timeout)) http.timeout = *time;
        else refuse("CLIENT_TIMEOUT is not a time such as 5s");
    }
    if (const std::string version = vault_variable("KV_VERSION"); !version.empty()) {
        if (version != "1" && version != "2") refuse("KV_VERSION is neither 1 nor 2");
        options.version = version == "1" ? 1 : 2;
    }
    return options;
}

}  // namespace secrets
