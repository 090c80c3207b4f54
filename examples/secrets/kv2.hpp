#pragma once

// A start hook that takes keys from a KV engine of OpenBao or HashiCorp Vault, version 2 or 1. Needs libcurl.
//
//     ext::plugin plugin{"secrets"};
//     if (auto engine = secrets::kv2_from_environment())
//         secrets::add_kv2(plugin, "models.get_api_key", *engine);

#include "abi.hpp"
#include "http.hpp"
#include "json.hpp"
#include "kv2_options.hpp"
#include "store.hpp"
#include "vault_login.hpp"

#include <extensible/extensible.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace secrets { inline namespace v1 SECRETS_HIDDEN {

/// For store_hook. The constructor throws store_error if the options are invalid. It sends no request.
class kv2_store {
public:
    static constexpr std::string_view name = "kv2";
    explicit kv2_store(kv2_options options);
    std::optional<std::string> read(std::string_view service) const;
    std::string place_of(std::string_view service) const { return mount_ + '/' + path_of(service); }

private:
    void check_options() const;
    std::string path_of(std::string_view service) const {
        return percent_encoded(with_service(options_.path, service), "/");
    }
    http_request request(const std::string& path, const std::string& about) const;
    std::optional<std::string> key_in(const http_answer& answer, const std::string& about,
                                      deadline until) const;
    void check_mount(const std::string& about, deadline until) const;

    kv2_options options_;
    std::string address_;  // as in a URL, like mount_
    std::string mount_;
    http_client http_;
    http_headers headers_;
    vault_token token_;
};

/// Registers the store's hook. `options.on_failure` says what happens if the engine cannot be reached.
inline ext::hook add_kv2(ext::plugin& owner, std::string_view function, kv2_options options,
                         ext::hook_options how = {.id = "kv2"}) {
    return add_store<kv2_store>(owner, function, std::move(options), std::move(how));
}

// -----------------------------------------------------------------------------------------------------------

namespace detail {

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
           (destroyed && destroyed->is_true());
}

// The address for libcurl. A socket is a separate option.
inline std::string http_address(kv2_options& options) {
    constexpr std::string_view socket = "unix://";
    const std::string what = "the address (BAO_ADDR or VAULT_ADDR)";
    if (!options.address.starts_with(socket))
        return options.address = checked_address("kv2", options.address, what);
    options.http.unix_socket = options.address.substr(socket.size());
    if (options.http.unix_socket.empty())  // libcurl would connect to localhost:80
        throw store_error("kv2", reason::misconfigured, what + " has no path after unix://");
    return "http://localhost";
}

}  // namespace detail

// The key in the answer; std::nullopt if the secret does not exist, or not any more.
inline std::optional<std::string> kv2_store::key_in(const http_answer& answer, const std::string& about,
                                                    deadline until) const {
    if (answer.status == 204) return std::nullopt;  // "success, no data"
    if (answer.status != 200 && answer.status != 404) throw detail::vault_error(http_, answer, about);
    const json body = parse_json(answer.body);
    if (detail::is_deleted(body)) return std::nullopt;
    const json* const errors = member(&body, "errors");
    if (answer.status == 404 && errors && errors->is_array()) {
        if (errors->elements().empty()) return check_mount(about, until), std::nullopt;
        if (detail::says(body, "namespace not found"))
            throw http_.error(reason::no_namespace, about, "the namespace does not exist");
        throw http_.error(reason::no_engine, about, "no KV engine is mounted there");
    }

    // An error page of another program must not be mistaken for "no such secret".
    const json* const data = answer.status == 200 ? member(&body, "data") : nullptr;
    const json* const secret = options_.version == 1 ? data : member(data, "data");
    if (!secret || !secret->is_object())
        throw http_.error(reason::malformed, about, "the answer is not one of a KV version " +
                                                        std::to_string(options_.version) + " engine");
    const json* const value = member(secret, options_.field);
    const std::string field = "field '" + options_.field + "'";
    if (value && !value->is_text())
        throw http_.error(reason::malformed, about, "the " + field + " is not a text");
    if (!value || without_line_break(value->characters()).empty())
        throw http_.error(reason::missing_field, about, "the secret has no text in its " + field);
    if (parse_json(value->characters()).is_object())  // a part of it could be taken for a key
        throw http_.error(reason::missing_field, about,
                          "the " + field + " has a JSON object in it, which is not a key");
    return std::string(value->characters());
}

// An engine of the other version answers as if the secret did not exist. The engine is asked each time,
// because its mount can be upgraded or replaced.
inline void kv2_store::check_mount(const std::string& about, deadline until) const {
    const http_request ask = request("sys/internal/ui/mounts/" + mount_, options_.address + ", the mount");
    const http_answer answer = token_.send(ask, until);
    if (detail::is_down(answer)) throw detail::vault_error(http_, answer, ask.about);
    if (answer.status != 200) return;  // this token may not ask
    const json body = parse_json(answer.body);
    const json* const data = member(&body, "data");
    const std::optional<std::string_view> type = text(member(data, "type"));
    if (!type) return;
    if (type != "kv" && type != "generic")
        throw http_.error(reason::no_engine, about, "no KV engine is mounted there");
    const int version = number(member(data, "options", "version")) == 2 ? 2 : 1;
    if (version != options_.version)
        throw http_.error(reason::no_engine, about,
                          "the engine is of KV version " + std::to_string(version) +
                              ", and is read as one of version " + std::to_string(options_.version));
}

inline kv2_store::kv2_store(kv2_options options)
    : options_(std::move(options)),
      address_(detail::http_address(options_)),
      mount_(detail::without_slashes(options_.mount)),
      http_(std::string(name), options_.http),
      token_(options_.login, address_, headers_, http_) {
    check_options();
    mount_ = percent_encoded(mount_, "/");
    headers_.add("X-Vault-Request", "true");  // agents may require it, so that a browser cannot be tricked
    headers_.add("X-Vault-Namespace", options_.name_space);
    const url_parts parts = parts_of_url(address_).value();
    if (options_.warn && parts.encrypted && !options_.http.tls_verify)
        options_.warn("kv2: WARNING: certificates are not verified: any server that answers for " +
                      options_.address + " gets the token and chooses the keys");
    if (options_.warn && !parts.encrypted && !parts.local)
        options_.warn("kv2: WARNING: " + options_.address +
                      " is not encrypted: the network can read token and keys");
}

inline void kv2_store::check_options() const {
    const auto refuse = [](const std::string& text) { throw store_error(name, reason::misconfigured, text); };
    if (!is_askable(mount_)) refuse("'" + options_.mount + "' is not a mount");
    if (options_.path.find("{service}") == std::string::npos)
        refuse("the path '" + options_.path + "' has no {service} in it");
    if (!is_askable(options_.path)) refuse("'" + options_.path + "' is not a path");
    if (options_.version != 1 && options_.version != 2) refuse("version must be 1 or 2");
    const vault_login& login = options_.login;
    if (login.role_id.empty() && !(login.secret_id.empty() && login.secret_id_file.empty()))
        refuse("a secret id is set without its role_id");
    if (login.role_id.empty() && login.kubernetes_role.empty() && !login.mount.empty())
        refuse("the mount of a login is set without a role_id or kubernetes_role");
    if (!login.mount.empty() && !is_askable(detail::without_slashes(login.mount)))
        refuse("'" + login.mount + "' is not a mount of a login");
    // A line break in one of these would begin another header.
    if (!is_one_line(login.token)) refuse("the token is not one line of text");
    if (!is_one_line(options_.name_space)) refuse("the namespace is not one line of text");
}

inline http_request kv2_store::request(const std::string& path, const std::string& about) const {
    return {.url = address_ + "/v1/" + path,
            .about = about,
            .headers = headers_,
            .passing = detail::is_passing_answer};
}

inline std::optional<std::string> kv2_store::read(std::string_view service) const {
    if (!is_askable(service)) return std::nullopt;
    const deadline until = http_.begin_read();
    const std::string path = mount_ + (options_.version == 1 ? "/" : "/data/") + path_of(service);
    const std::string about = options_.address + ", " + place_of(service);
    return key_in(token_.send_or_renew(request(path, about), until), about, until);
}

}}  // namespace secrets
