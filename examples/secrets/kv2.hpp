#pragma once

// A start hook that takes keys from a KV version 2 engine of OpenBao or HashiCorp Vault. Needs libcurl and nlohmann-json.
//
//     ext::plugin plugin{"secrets"};
//     if (auto engine = secrets::kv2_from_environment()) secrets::add_kv2(plugin, "models.get_api_key", *engine);

#include "http.hpp"
#include "json.hpp"
#include "store.hpp"

#include <extensible/extensible.hpp>

#include <cstddef>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace secrets {

// ---- What an application says ---------------------------------------------------------------------------------------

struct kv2_options {
    std::string address{};     ///< "https://bao.example:8200"
    std::string token{};       ///< empty: none is sent, as it suits an agent that adds its own
    std::string name_space{};  ///< empty: the root namespace
    std::string mount = "secret";
    std::string path = "api-keys/{service}";  ///< below the mount; has to contain {service}, or all would get one key
    std::string field = "key";                ///< of the secret; a text

    http_options http{.plain_http = true};  ///< it is warned of, as is a certificate that is not verified

    secrets::on_failure on_failure = secrets::on_failure::fall_through;

    /// Gets a line, once for each hook, where the token is not safe on its way.
    std::function<void(std::string_view)> warn = [](std::string_view line) { std::cerr << line << '\n'; };
};

/// BAO_ADDR, BAO_TOKEN, BAO_NAMESPACE, BAO_CACERT and BAO_CAPATH, or where one is not set the same with VAULT_. Nothing
/// without an address: there is no engine to ask. BAO_SKIP_VERIFY and VAULT_SKIP_VERIFY are not heeded: what a forgotten variable turns
/// off is off silently.
std::optional<kv2_options> kv2_from_environment();

// ---- The store ------------------------------------------------------------------------------------------------------

class kv2_store {
public:
    static constexpr std::string_view name = "kv2";

    /// Throws store_error when the options are no good. Asks nobody yet.
    explicit kv2_store(kv2_options options);

    /// The service's key, nothing when the engine has none. Throws store_error.
    std::optional<std::string> read(std::string_view service) const;

    /// Where read() looks: "secret/api-keys/openai".
    std::string place_of(std::string_view service) const { return mount_ + '/' + path_of(service); }

private:
    std::string path_of(std::string_view service) const;
    std::optional<std::string> key_in(const http_answer& answer, const std::string& about) const;
    void warn() const;

    kv2_options options_;
    std::string mount_;  // as in a URL
    http_client http_;
};

/// Registers its hook so that a failure goes where the options say.
inline ext::hook add_kv2(ext::plugin& owner, std::string_view function, kv2_options options, ext::hook_options how = {.id = "kv2"}) {
    const on_failure choice = options.on_failure;
    return add_store(owner, function, std::make_shared<const kv2_store>(std::move(options)), choice, std::move(how));
}

// ---------------------------------------------------------------------------------------------------------------------

inline std::optional<kv2_options> kv2_from_environment() {
    const auto variable = [](const std::string& name) -> std::string {
        const char* value = std::getenv(("BAO_" + name).c_str());
        if (!value) value = std::getenv(("VAULT_" + name).c_str());
        return value ? value : "";
    };
    kv2_options options;
    options.address = variable("ADDR");
    if (options.address.empty()) return std::nullopt;
    options.token = variable("TOKEN");
    options.name_space = variable("NAMESPACE");
    options.http.ca_file = variable("CACERT");
    if (options.http.ca_file.empty()) options.http.ca_path = variable("CAPATH");
    return options;
}

namespace detail {

// An error list, {"errors": [...]}, one of which has this in it: "Vault is sealed".
inline bool says(const json& body, std::string_view what) {
    const json* const errors = member(&body, "errors");
    if (!errors || !errors->is_array()) return false;
    for (const json& error : *errors)
        if (const auto said = text(&error); said && said->find(what) != std::string_view::npos) return true;
    return false;
}

// {"data": {"data": null, "metadata": {"deletion_time": "2018-...", "destroyed": false, ...}}}. Where the data is there, a
// deletion time is one to come, and means nothing yet.
inline bool is_deleted(const json& body) {
    const json* const secret = member(&body, "data", "data");
    if (!secret || !secret->is_null()) return false;
    const json* const destroyed = member(&body, "data", "metadata", "destroyed");
    return !text(member(&body, "data", "metadata", "deletion_time")).value_or("").empty() ||
           (destroyed && destroyed->is_boolean() && destroyed->get<bool>());
}

inline bool is_empty_list(const json* list) { return list && list->is_array() && list->empty(); }

}  // namespace detail

// The field of the secret in this answer; nothing when there is no such secret, or no longer.
inline std::optional<std::string> kv2_store::key_in(const http_answer& answer, const std::string& about) const {
    if (answer.status == 204) return std::nullopt;  // "success, no data"
    const json body = parse_json(answer.body);
    if (answer.status == 503 && detail::says(body, "sealed"))
        throw http_.error(reason::sealed, answer, about, "the engine is sealed");
    if (answer.status != 200 && answer.status != 404) throw http_.error(answer, about);

    if (detail::is_deleted(body)) return std::nullopt;
    const json* const errors = member(&body, "errors");
    if (answer.status == 404 && detail::is_empty_list(errors)) return std::nullopt;
    if (answer.status == 404 && errors && errors->is_array())
        throw http_.error(reason::no_engine, about, "no KV version 2 engine is mounted there");

    // An error page of something else must not pass for "no such secret".
    const json* const secret = answer.status == 200 ? member(&body, "data", "data") : nullptr;
    if (!secret || !secret->is_object())
        throw http_.error(reason::malformed, about, "the answer is not one of a KV version 2 engine");
    const json* const value = member(secret, options_.field);
    if (!value || text(value) == "")
        throw http_.error(reason::missing_field, about, "the secret has no text in its field '" + options_.field + "'");
    if (!text(value)) throw http_.error(reason::malformed, about, "the field '" + options_.field + "' is not a text");
    return std::string(*text(value));
}

inline kv2_store::kv2_store(kv2_options options) : options_(std::move(options)), http_(std::string(name), options_.http) {
    const auto refuse = [](const std::string& text) { throw store_error(name, reason::misconfigured, text); };
    options_.address = checked_address(name, options_.address);

    std::string_view mount = options_.mount;
    while (mount.starts_with('/')) mount.remove_prefix(1);
    while (mount.ends_with('/')) mount.remove_suffix(1);
    if (!is_askable(mount)) refuse("'" + options_.mount + "' is no mount");
    mount_ = percent_encoded(mount, "/");

    if (options_.path.find("{service}") == std::string::npos)
        refuse("the path '" + options_.path + "' has no {service} in it");
    if (!is_askable(options_.path)) refuse("'" + options_.path + "' is no path");
    // A line break in one of these would begin another header.
    if (!is_one_line(options_.token)) refuse("the token is not one line of text");
    if (!is_one_line(options_.name_space)) refuse("the namespace is not one line of text");
    if (options_.warn) warn();
}

inline void kv2_store::warn() const {
    const url_parts parts = parts_of_url(options_.address).value();
    if (parts.encrypted && !options_.http.tls_verify)
        options_.warn("kv2: WARNING: certificates are not verified, so whoever answers for " + options_.address +
                      " gets the token and chooses the keys");
    if (!parts.encrypted && !parts.local)
        options_.warn("kv2: WARNING: " + options_.address + " is not encrypted, so whoever is on the way gets token and keys");
}

inline std::string kv2_store::path_of(std::string_view service) const {
    constexpr std::string_view placeholder = "{service}";
    std::string path = options_.path;
    for (std::size_t at = 0; (at = path.find(placeholder, at)) != std::string::npos; at += service.size())
        path.replace(at, placeholder.size(), service);
    return percent_encoded(path, "/");
}

inline std::optional<std::string> kv2_store::read(std::string_view service) const {
    if (!is_askable(service)) return std::nullopt;
    http_request ask{.url = options_.address + "/v1/" + mount_ + "/data/" + path_of(service),
                     .about = options_.address + ", " + place_of(service)};
    ask.headers.add("X-Vault-Request", "true");  // an agent may insist on it, so that a browser cannot be tricked into asking
    ask.headers.add("X-Vault-Token", options_.token);
    ask.headers.add("X-Vault-Namespace", options_.name_space);
    return key_in(http_.send(ask), ask.about);
}

}  // namespace secrets
