#pragma once

// What is said of a KV engine of OpenBao or HashiCorp Vault, by an application or by the environment?

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
    vault_login login{};       ///< nothing in it: no token is sent, as it suits an agent that adds its own
    std::string name_space{};  ///< empty: the root namespace
    std::string mount = "secret";
    int version = 2;  ///< of the engine; 1 is read as well
    std::string path = "api-keys/{service}";  ///< below the mount; has to contain {service}, or all would get one key
    std::string field = "key";                ///< of the secret; a text

    http_options http{.plain_http = true};  ///< it is warned of, as is a certificate that is not verified

    secrets::on_failure on_failure = secrets::on_failure::fall_through;

    /// Gets a line, once for each hook, where the token is not safe on its way.
    std::function<void(std::string_view)> warn = [](std::string_view line) { std::cerr << line << '\n'; };
};

/// From these variables with BAO_ before them, or where one is not set, with VAULT_. Nothing without an address: there is no
/// engine to ask. Throws store_error for a time-out or a version that is none.
///
///     ADDR, NAMESPACE, CACERT (goes before CAPATH), CLIENT_CERT, CLIENT_KEY, TLS_SERVER_NAME, CLIENT_TIMEOUT, PROXY_ADDR
///     TOKEN, or else by a login ROLE_ID with SECRET_ID or SECRET_ID_FILE (AppRole), K8S_ROLE (Kubernetes), AUTH_MOUNT, or
///     else TOKEN_PATH, or else ~/.vault-token where it is there
///     KV_VERSION
///
/// OpenBao knows all but those of logins and versions, for which there are no names of its own. SKIP_VERIFY is not heeded: what
/// a forgotten variable turns off is off silently.
std::optional<kv2_options> kv2_from_environment();

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

inline std::string vault_variable(const std::string& name) {
    const char* value = std::getenv(("BAO_" + name).c_str());
    if (!value) value = std::getenv(("VAULT_" + name).c_str());
    return value ? value : "";
}

// "90", "90s" or "1m30s", as Vault's own programs read it; nothing for what is none, or no time at all.
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

// The file of `vault login`, where nobody has said how else to log in.
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
