#pragma once

// A start hook that takes keys from a KV engine of OpenBao or HashiCorp Vault, version 2 or 1. Needs libcurl and nlohmann-json.
//
//     ext::plugin plugin{"secrets"};
//     if (auto engine = secrets::kv2_from_environment()) secrets::add_kv2(plugin, "models.get_api_key", *engine);

#include "http.hpp"
#include "json.hpp"
#include "kv2_options.hpp"
#include "store.hpp"
#include "vault_login.hpp"

#include <extensible/extensible.hpp>

#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace secrets {

class kv2_store {
public:
    static constexpr std::string_view name = "kv2";

    /// Throws store_error if the options are invalid. Sends no request.
    explicit kv2_store(kv2_options options);

    /// The service's key, or std::nullopt if the engine has none. Throws store_error.
    std::optional<std::string> read(std::string_view service) const;

    /// Where read() looks: "secret/api-keys/openai".
    std::string place_of(std::string_view service) const { return mount_ + '/' + path_of(service); }

private:
    void check_options();
    void warn() const;
    std::string path_of(std::string_view service) const { return percent_encoded(with_service(options_.path, service), "/"); }
    http_request request(const std::string& path, const std::string& about, std::string_view token) const;
    std::optional<std::string> key_in(const http_answer& answer, const std::string& about, std::string_view token) const;
    void check_mount(const std::string& about, std::string_view token) const;
    std::string wrong_mount(std::string_view token) const;

    kv2_options options_;
    std::string address_;  // as in a URL, like mount_
    std::string mount_;
    http_client http_;
    http_headers headers_;
    vault_token token_;

    mutable std::mutex mutex_;
    mutable std::optional<std::string> wrong_mount_;  // guarded by mutex_; empty: correct; std::nullopt: unknown
};

/// Registers the store's hook. `options.on_failure` says what happens on a failure.
inline ext::hook add_kv2(ext::plugin& owner, std::string_view function, kv2_options options,
                         ext::hook_options how = {.id = "kv2"}) {
    return add_store<kv2_store>(owner, function, std::move(options), std::move(how));
}

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

// Whether one of the errors in {"errors": [...]} contains this text, such as "Vault is sealed".
inline bool says(const json& body, std::string_view what) {
    const json* const errors = member(&body, "errors");
    if (!errors || !errors->is_array()) return false;
    for (const json& error : *errors)
        if (const auto said = text(&error); said && said->find(what) != std::string_view::npos) return true;
    return false;
}

// Whether this is a deleted or destroyed version:
//
//     {"data": {"data": null, "metadata": {"deletion_time": "2018-...", "destroyed": false, ...}}}
//
// If there is data, the deletion time is in the future, and does not matter yet.
inline bool is_deleted(const json& body) {
    const json* const secret = member(&body, "data", "data");
    if (!secret || !secret->is_null()) return false;
    const json* const destroyed = member(&body, "data", "metadata", "destroyed");
    return !text(member(&body, "data", "metadata", "deletion_time")).value_or("").empty() ||
           (destroyed && destroyed->is_boolean() && destroyed->get<bool>());
}

// Whether the data is still being copied to another server of the cluster, or from version 1 to 2.
inline bool is_not_ready(const http_answer& answer, const json& body) {
    return answer.status == 412 || (answer.status == 400 && says(body, "Upgrading from non-versioned"));
}

// Whether to try again. A sealed engine stays sealed until an operator unseals it.
inline bool is_passing_answer(const http_answer& answer) {
    const json body = parse_json(answer.body);
    return is_not_ready(answer, body) || answer.status == 429 ||
           (answer.status >= 500 && answer.status != 501 && !says(body, "sealed"));
}

inline std::string without_slashes(std::string_view mount) {
    while (mount.starts_with('/')) mount.remove_prefix(1);
    while (mount.ends_with('/')) mount.remove_suffix(1);
    return std::string(mount);
}

// The address for libcurl. A socket is a separate option.
inline std::string http_address(kv2_options& options) {
    constexpr std::string_view socket = "unix://";
    if (!options.address.starts_with(socket)) return options.address = checked_address("kv2", options.address);
    options.http.unix_socket = options.address.substr(socket.size());
    return "http://localhost";
}

}  // namespace detail

// The key in the answer; std::nullopt if the secret does not exist, or not any more.
inline std::optional<std::string> kv2_store::key_in(const http_answer& answer, const std::string& about,
                                                    std::string_view token) const {
    if (answer.status == 204) return std::nullopt;  // "success, no data"
    const json body = parse_json(answer.body);
    if (answer.status == 503 && detail::says(body, "sealed"))
        throw http_.error(reason::sealed, answer, about, "the engine is sealed");
    if (detail::is_not_ready(answer, body)) throw http_.error(reason::passing, answer, about, "the engine is not ready yet");
    if (answer.status != 200 && answer.status != 404) throw http_.error(answer, about);

    if (detail::is_deleted(body)) return std::nullopt;
    const json* const errors = member(&body, "errors");
    if (answer.status == 404 && errors && errors->is_array()) {
        if (errors->empty()) return check_mount(about, token), std::nullopt;
        if (detail::says(body, "namespace not found"))
            throw http_.error(reason::no_namespace, about, "the namespace does not exist");
        throw http_.error(reason::no_engine, about, "no KV engine is mounted there");
    }

    // An error page of another program must not be mistaken for "no such secret".
    const json* const data = answer.status == 200 ? member(&body, "data") : nullptr;
    const json* const secret = options_.version == 1 ? data : member(data, "data");
    if (!secret || !secret->is_object())
        throw http_.error(reason::malformed, about,
                          "the answer is not one of a KV version " + std::to_string(options_.version) + " engine");
    const json* const value = member(secret, options_.field);
    if (!value || text(value) == "")
        throw http_.error(reason::missing_field, about, "the secret has no text in its field '" + options_.field + "'");
    if (!text(value)) throw http_.error(reason::malformed, about, "the field '" + options_.field + "' is not a text");
    return std::string(*text(value));
}

// An engine of the other version answers as if the secret did not exist. So the engine is asked
// once which version it has.
inline void kv2_store::check_mount(const std::string& about, std::string_view token) const {
    const std::lock_guard lock(mutex_);
    if (!wrong_mount_) wrong_mount_ = wrong_mount(token);
    if (!wrong_mount_->empty()) throw http_.error(reason::no_engine, about, *wrong_mount_);
}

inline std::string kv2_store::wrong_mount(std::string_view token) const {
    const http_answer answer = http_.send(request("sys/internal/ui/mounts/" + mount_, options_.address + ", the mount", token));
    if (answer.status != 200) return "";  // this token may not ask
    const json body = parse_json(answer.body);
    const json* const data = member(&body, "data");
    const std::optional<std::string_view> type = text(member(data, "type"));
    if (!type) return "";
    if (type != "kv" && type != "generic") return "no KV engine is mounted there";
    const int version = number(member(data, "options", "version")) == 2 ? 2 : 1;
    if (version == options_.version) return "";
    return "the engine is of KV version " + std::to_string(version) + ", and is read as one of version " +
           std::to_string(options_.version);
}

inline kv2_store::kv2_store(kv2_options options)
    : options_(std::move(options)), address_(detail::http_address(options_)), mount_(detail::without_slashes(options_.mount)),
      http_(std::string(name), options_.http), token_(options_.login, address_, headers_, http_) {
    check_options();
    mount_ = percent_encoded(mount_, "/");
    headers_.add("X-Vault-Request", "true");  // agents may require it, so that a browser cannot be tricked into asking
    headers_.add("X-Vault-Namespace", options_.name_space);
    if (options_.warn) warn();
}

inline void kv2_store::check_options() {
    const auto refuse = [](const std::string& text) { throw store_error(name, reason::misconfigured, text); };
    if (!is_askable(mount_)) refuse("'" + options_.mount + "' is not a mount");
    if (options_.path.find("{service}") == std::string::npos) refuse("the path '" + options_.path + "' has no {service} in it");
    if (!is_askable(options_.path)) refuse("'" + options_.path + "' is not a path");
    if (options_.version != 1 && options_.version != 2) refuse("there are the versions 1 and 2");
    // A line break in one of these would begin another header.
    if (!is_one_line(options_.login.token)) refuse("the token is not one line of text");
    if (!is_one_line(options_.name_space)) refuse("the namespace is not one line of text");
}

inline void kv2_store::warn() const {
    const url_parts parts = parts_of_url(address_).value();
    if (parts.encrypted && !options_.http.tls_verify)
        options_.warn("kv2: WARNING: certificates are not verified: any server that answers for " + options_.address +
                      " gets the token and chooses the keys");
    if (!parts.encrypted && !parts.local)
        options_.warn("kv2: WARNING: " + options_.address + " is not encrypted: the network can read token and keys");
}

inline http_request kv2_store::request(const std::string& path, const std::string& about, std::string_view token) const {
    http_request ask{
        .url = address_ + "/v1/" + path, .about = about, .headers = headers_, .passing = detail::is_passing_answer};
    ask.headers.add("X-Vault-Token", token);
    return ask;
}

inline std::optional<std::string> kv2_store::read(std::string_view service) const {
    if (!is_askable(service)) return std::nullopt;
    const std::string path = mount_ + (options_.version == 1 ? "/" : "/data/") + path_of(service);
    const std::string about = options_.address + ", " + place_of(service);
    return token_.use([&](std::string_view token) { return key_in(http_.send(request(path, about, token)), about, token); });
}

}  // namespace secrets
