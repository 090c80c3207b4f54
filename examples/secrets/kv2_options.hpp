#pragma once

// The options of a KV engine of OpenBao or HashiCorp Vault, from the application or the environment.

#include "abi.hpp"
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

namespace secrets { inline namespace v1 SECRETS_HIDDEN {

struct SECRETS_VISIBLE kv2_options {
    std::string address{};     ///< "https://bao.example:8200", or "unix:///run/agent.socket"
    vault_login login{};       ///< empty: no token is sent, for an agent that adds its own
    std::string name_space{};  ///< empty: the root namespace
    std::string mount = "secret";
    int version = 2;  ///< of the engine, 1 or 2
    std::string path = "api-keys/{service}";  ///< below the mount; has to contain {service}
    std::string field = "key";                ///< of the secret; has to be a text, and not a JSON object

    http_options http{.plain_http = true};  ///< with a warning, as for certificates that are not verified

    secrets::on_failure on_failure = secrets::on_failure::fail;

    /// Gets one line per hook if the token is not protected on its way.
    std::function<void(std::string_view)> warn = [](std::string_view line) { std::cerr << line << '\n'; };
};

// ---- The environment --------------------------------------------------------------------------------------

namespace detail {

// The variable with the prefix BAO_ if it is set, else the one with VAULT_.
inline std::string vault_variable_name(const std::string& name) {
    return (std::getenv(("BAO_" + name).c_str()) ? "BAO_" : "VAULT_") + name;
}

inline std::string vault_variable(const std::string& name) {
    return std::string(environment_variable(vault_variable_name(name).c_str()));
}

// The login, from variables with the same prefix: a token of another server must not replace it.
inline vault_login login_of_environment() {
    std::string prefix = "VAULT_";
    for (const char* const name : {"BAO_TOKEN", "BAO_TOKEN_PATH", "BAO_ROLE_ID", "BAO_SECRET_ID",
                                   "BAO_SECRET_ID_FILE", "BAO_K8S_ROLE", "BAO_AUTH_MOUNT"})
        if (std::getenv(name)) prefix = "BAO_";
    const auto value = [&](const char* name) {
        return std::string(environment_variable((prefix + name).c_str()));
    };
    const auto refuse = [](const std::string& text) {
        throw store_error("kv2", reason::misconfigured, text);
    };
    const auto refuse_both = [&](const char* one, const char* other) {
        if (!value(one).empty() && !value(other).empty())
            refuse(prefix + one + " and " + prefix + other + " are two identities: set only one of them");
    };
    refuse_both("TOKEN", "ROLE_ID");
    refuse_both("TOKEN", "K8S_ROLE");
    refuse_both("ROLE_ID", "K8S_ROLE");
    const bool has_app_role = !value("ROLE_ID").empty();
    for (const char* const name : {"SECRET_ID", "SECRET_ID_FILE"})
        if (!has_app_role && !value(name).empty())
            refuse(prefix + name + " is set without " + prefix + "ROLE_ID");
    if (!has_app_role && value("K8S_ROLE").empty() && !value("AUTH_MOUNT").empty())
        refuse(prefix + "AUTH_MOUNT is set without " + prefix + "ROLE_ID or " + prefix + "K8S_ROLE");
    return {.token = value("TOKEN"),
            .role_id = value("ROLE_ID"),
            .secret_id = value("SECRET_ID"),
            .secret_id_file = value("SECRET_ID_FILE"),
            .kubernetes_role = value("K8S_ROLE"),
            .token_file = value("TOKEN_PATH"),
            .mount = value("AUTH_MOUNT")};
}

// Reads "90", "90s" or "1m30s" as Vault's own programs do; std::nullopt for other texts and for zero.
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

/// The options from the variables that README.md lists, with the prefix BAO_. If one of them is not set, the
/// variable with the prefix VAULT_ is read. Those of the login all have the same prefix: BAO_ if one of them
/// is set with it. Returns std::nullopt without an address. Throws store_error for a login without an
/// address, for an invalid time-out or version, for a part of a login without its ROLE_ID or K8S_ROLE, and
/// for two identities. SKIP_VERIFY is ignored, because a forgotten variable would turn off the verification
/// without notice.
inline std::optional<kv2_options> kv2_from_environment() {
    using detail::vault_variable;
    kv2_options options;
    options.address = vault_variable("ADDR");
    const auto refuse = [](const std::string& name, const char* what) {
        throw store_error("kv2", reason::misconfigured, name + what);
    };
    if (options.address.empty()) {
        for (const std::string prefix : {"BAO_", "VAULT_"})
            for (const char* const name : {"ROLE_ID", "SECRET_ID", "SECRET_ID_FILE", "K8S_ROLE"})
                if (!environment_variable((prefix + name).c_str()).empty())
                    refuse(prefix + name, " is set without BAO_ADDR or VAULT_ADDR");
        return std::nullopt;
    }
    options.name_space = vault_variable("NAMESPACE");
    options.login = detail::login_of_environment();
    if (options.login.token_file.empty()) options.login.token_file = detail::default_token_file();

    http_options& http = options.http;
    http.ca_file = vault_variable("CACERT");
    if (http.ca_file.empty()) http.ca_path = vault_variable("CAPATH");
    http.client_certificate = vault_variable("CLIENT_CERT");
    http.client_key = vault_variable("CLIENT_KEY");
    http.tls_server_name = vault_variable("TLS_SERVER_NAME");
    http.proxy = vault_variable("PROXY_ADDR");
    http.proxy_of_environment = true;
    if (const std::string timeout = vault_variable("CLIENT_TIMEOUT"); !timeout.empty()) {
        if (const auto time = detail::vault_duration(timeout)) http.timeout = *time;
        else refuse(detail::vault_variable_name("CLIENT_TIMEOUT"), " is not a time such as 5s");
    }
    if (const std::string version = vault_variable("KV_VERSION"); !version.empty()) {
        if (version != "1" && version != "2")
            refuse(detail::vault_variable_name("KV_VERSION"), " is neither 1 nor 2");
        options.version = version == "1" ? 1 : 2;
    }
    return options;
}

}}  // namespace secrets
