#pragma once

// A start hook that takes keys from a KV version 2 engine of OpenBao or HashiCorp Vault. Needs libcurl and nlohmann-json.
//
//     ext::plugin plugin{"secrets"};
//     if (auto engine = secrets::kv2_from_environment()) secrets::add_kv2(plugin, "models.get_api_key", *engine);

#include "wipe.hpp"

#include <extensible/extensible.hpp>

#include <curl/curl.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace secrets {

// ---- What an application says, and what it is told ------------------------------------------------------------------

/// What a call does when the engine cannot be asked. A secret that is not there is no failure.
enum class on_failure {
    fall_through,  ///< tells the registry's error handler, and leaves the key to the hooks that follow and the function
    fail           ///< throws kv2_error to the caller: better no key than one from elsewhere
};

struct kv2_options {
    std::string address{};     ///< "https://bao.example:8200"
    std::string token{};       ///< empty: none is sent, as it suits an agent that adds its own
    std::string name_space{};  ///< empty: the root namespace
    std::string mount = "secret";
    std::string path = "api-keys/{service}";  ///< below the mount; has to contain {service}, or all would get one key
    std::string field = "key";                ///< of the secret; a text

    std::chrono::milliseconds connect_timeout{2000};
    std::chrono::milliseconds timeout{5000};  ///< for all of it, from the host's name to the end of the answer

    std::string ca_file{};   ///< with certificates to trust, in place of the system's
    std::string ca_path{};   ///< the same, a directory
    bool tls_verify = true;  ///< false: whoever answers gets the token; it is warned of

    /// After the first failure: nothing is tried again, not even on 429 and 503, because the caller is waiting.
    secrets::on_failure on_failure = secrets::on_failure::fall_through;

    /// Gets a line, once for each hook, where the token is not safe on its way.
    std::function<void(std::string_view)> warn = [](std::string_view line) { std::cerr << line << '\n'; };
};

/// BAO_ADDR, BAO_TOKEN, BAO_NAMESPACE, BAO_CACERT and BAO_CAPATH, or where one is not set the same with VAULT_. Nothing
/// without an address: there is no engine to ask. BAO_SKIP_VERIFY and VAULT_SKIP_VERIFY are not heeded: what a forgotten variable turns
/// off is off silently.
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
    options.ca_file = variable("CACERT");
    options.ca_path = variable("CAPATH");
    return options;
}

/// Why there is no answer. Its text names the address and the path, and has nothing that the engine sent: a server that
/// repeats what it was asked would put the token into a log.
class kv2_error : public std::runtime_error {
public:
    enum class reason {
        permission_denied,  ///< the token is wrong, too old, or not for this path
        sealed,             ///< the engine waits for somebody to unseal it
        rate_limited,
        server_error,   ///< 5xx, unless it is sealed
        rejected,       ///< another status that a read should not have
        redirected,     ///< not followed: the token is for this address
        unreachable,    ///< nobody is listening, or the connection broke
        timed_out,
        untrusted,      ///< no TLS connection, or the certificate is not trusted
        malformed,      ///< not the answer of a KV version 2 engine, or not all of it
        missing_field,  ///< the secret is there, and has no text in the field
        no_engine,      ///< 404 with an error: nothing is mounted there
        misconfigured   ///< the options
    };

    kv2_error(reason why, const std::string& text) : std::runtime_error("kv2: " + text), why_(why) {}
    reason why() const noexcept { return why_; }

private:
    reason why_;
};

// ---- HTTP -----------------------------------------------------------------------------------------------------------

namespace detail {

using reason = kv2_error::reason;

// Memory that held a secret is not given back as it is.
template <class T>
struct wiping_allocator : std::allocator<T> {
    template <class U>
    struct rebind {
        using other = wiping_allocator<U>;
    };
    wiping_allocator() = default;
    template <class U>
    wiping_allocator(const wiping_allocator<U>&) noexcept {}
    void deallocate(T* memory, std::size_t count) noexcept {
        wipe(reinterpret_cast<char*>(memory), count * sizeof(T));
        std::allocator<T>::deallocate(memory, count);
    }
};

struct http_answer {
    long status = 0;
    std::vector<char, wiping_allocator<char>> body;
};

// An engine's limit is about this; a server that sends more is none.
inline constexpr std::size_t largest_body = std::size_t{1} << 20;

// Header lines, of which one is the token.
class http_headers {
public:
    http_headers() = default;
    http_headers(const http_headers&) = delete;
    http_headers& operator=(const http_headers&) = delete;
    ~http_headers() {
        for (curl_slist* line = list_; line; line = line->next) wipe(line->data, std::string_view(line->data).size());
        curl_slist_free_all(list_);
    }
    void add(std::string line) {
        curl_slist* const longer = curl_slist_append(list_, line.c_str());
        wipe(line.data(), line.size());
        if (!longer) throw std::bad_alloc();
        list_ = longer;
    }
    curl_slist* get() const noexcept { return list_; }

private:
    curl_slist* list_ = nullptr;
};

inline void need_curl() {
    // Once, and never undone: others in the process may use it. (Before libcurl 7.84 this must not run beside another's.)
    static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (ready != CURLE_OK) throw kv2_error(reason::misconfigured, "libcurl cannot be initialised");
}

// What went wrong before there was an answer, from libcurl's own texts, which know nothing of the request.
[[noreturn]] inline void throw_transport_error(CURLcode code, bool too_large, const std::string& where) {
    const std::string text = where + curl_easy_strerror(code);
    switch (code) {
        case CURLE_OPERATION_TIMEDOUT: throw kv2_error(reason::timed_out, text);
        case CURLE_SSL_CONNECT_ERROR:
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CACERT_BADFILE: throw kv2_error(reason::untrusted, text);
        case CURLE_PARTIAL_FILE: throw kv2_error(reason::malformed, where + "the answer was cut off");
        case CURLE_WEIRD_SERVER_REPLY:
        case CURLE_UNSUPPORTED_PROTOCOL: throw kv2_error(reason::malformed, where + "the answer is not HTTP");
        case CURLE_WRITE_ERROR:
            if (too_large) throw kv2_error(reason::malformed, where + "the answer is too large");
            throw std::bad_alloc();
        default: throw kv2_error(reason::unreachable, text);
    }
}

// A handle for each request, and so a connection: behind a cache there are few. Any thread may call this.
inline http_answer http_get(const kv2_options& options, const std::string& url, const std::string& where) {
    const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> handle(curl_easy_init(), curl_easy_cleanup);
    if (!handle) throw std::bad_alloc();
    // Each is checked: an option that libcurl was built without must not be passed over.
    const auto set = [&](CURLoption option, auto value) {
        if (curl_easy_setopt(handle.get(), option, value) != CURLE_OK)
            throw kv2_error(reason::misconfigured, where + "libcurl refuses option " + std::to_string(option));
    };

    http_headers headers;
    headers.add("X-Vault-Request: true");  // an agent may insist on it, so that a browser cannot be tricked into asking
    if (!options.token.empty()) headers.add("X-Vault-Token: " + options.token);
    if (!options.name_space.empty()) headers.add("X-Vault-Namespace: " + options.name_space);

    struct receiver {
        http_answer answer;
        bool too_large = false;
    } received;
    const curl_write_callback receive = [](char* data, std::size_t, std::size_t size, void* to) -> std::size_t {
        auto& [answer, too_large] = *static_cast<receiver*>(to);
        too_large = size > largest_body - answer.body.size();
        if (too_large) return 0;
        try {
            answer.body.insert(answer.body.end(), data, data + size);
            return size;
        } catch (...) {  // must not pass through libcurl, which is C
            return 0;
        }
    };

    set(CURLOPT_URL, url.c_str());
    set(CURLOPT_HTTPHEADER, headers.get());
    set(CURLOPT_WRITEFUNCTION, receive);
    set(CURLOPT_WRITEDATA, static_cast<void*>(&received));
    set(CURLOPT_NOSIGNAL, 1L);  // a time-out by signal would be another thread's as well
    set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
    set(CURLOPT_TIMEOUT_MS, static_cast<long>(options.timeout.count()));
    set(CURLOPT_FOLLOWLOCATION, 0L);  // or the token would go wherever an answer says
    set(CURLOPT_PROXY, "");           // no proxy that the environment happens to name gets to see the token
#if LIBCURL_VERSION_NUM >= 0x075500   // 7.85
    set(CURLOPT_PROTOCOLS_STR, "http,https");
#else
    set(CURLOPT_PROTOCOLS, static_cast<long>(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    set(CURLOPT_SSL_VERIFYPEER, options.tls_verify ? 1L : 0L);
    set(CURLOPT_SSL_VERIFYHOST, options.tls_verify ? 2L : 0L);
    if (!options.ca_file.empty() || !options.ca_path.empty()) {  // both, or the system's would count beside the one given
        set(CURLOPT_CAINFO, options.ca_file.empty() ? nullptr : options.ca_file.c_str());
        set(CURLOPT_CAPATH, options.ca_path.empty() ? nullptr : options.ca_path.c_str());
    }

    const CURLcode code = curl_easy_perform(handle.get());
    if (code != CURLE_OK) throw_transport_error(code, received.too_large, where);
    curl_easy_getinfo(handle.get(), CURLINFO_RESPONSE_CODE, &received.answer.status);
    return std::move(received.answer);
}

// ---- The KV version 2 API -------------------------------------------------------------------------------------------

using nlohmann::json;

// The member of that name; null where there is none, or where this is no object.
inline json* member(json* object, const char* name) {
    if (!object || !object->is_object()) return nullptr;
    const auto found = object->find(name);
    return found != object->end() ? &*found : nullptr;
}

// An error list, {"errors": [...]}, one of which says so: "Vault is sealed".
inline bool says_sealed(json* errors) {
    if (!errors || !errors->is_array()) return false;
    for (const json& error : *errors)
        if (error.is_string() && error.get_ref<const std::string&>().find("sealed") != std::string::npos) return true;
    return false;
}

// {"data": {"data": null, "metadata": {"deletion_time": "2018-...", "destroyed": false, ...}}}. Where the data is there, a
// deletion time is one to come, and means nothing yet.
inline bool is_deleted(json* data) {
    json* const secret = member(data, "data");
    if (!secret || !secret->is_null()) return false;
    json* const metadata = member(data, "metadata");
    const json* const time = member(metadata, "deletion_time");
    const json* const destroyed = member(metadata, "destroyed");
    return (time && time->is_string() && *time != "") || (destroyed && *destroyed == true);
}

// The field of the secret in this answer; nothing when there is no such secret, or no longer.
inline std::optional<std::string> key_in(const http_answer& answer, const std::string& field, const std::string& where) {
    // Without exceptions: theirs quote what they could not read, which may be the key.
    json body = json::parse(answer.body.begin(), answer.body.end(), nullptr, false);
    json* const errors = member(&body, "errors");
    const std::string status = "status " + std::to_string(answer.status);
    switch (answer.status) {
        case 200:
        case 404: break;
        case 204: return std::nullopt;  // "success, no data"
        case 401:
        case 403: throw kv2_error(reason::permission_denied, where + "permission denied");
        case 429: throw kv2_error(reason::rate_limited, where + "too many requests");
        case 503:
            if (says_sealed(errors)) throw kv2_error(reason::sealed, where + "the engine is sealed");
            [[fallthrough]];
        default:
            if (answer.status >= 500) throw kv2_error(reason::server_error, where + status);
            if (answer.status >= 300 && answer.status < 400)
                throw kv2_error(reason::redirected, where + status + ", a redirect, which the token does not follow");
            throw kv2_error(reason::rejected, where + status);
    }

    json* const data = member(&body, "data");
    if (is_deleted(data)) return std::nullopt;
    if (answer.status == 404) {
        // An error page of something else must not pass for "no such secret".
        if (!errors || !errors->is_array())
            throw kv2_error(reason::malformed, where + "status 404, not from a KV version 2 engine");
        if (!errors->empty()) throw kv2_error(reason::no_engine, where + "no KV version 2 engine is mounted there");
        return std::nullopt;
    }

    json* const secret = member(data, "data");
    if (!secret || !secret->is_object())
        throw kv2_error(reason::malformed, where + "the answer is not one of a KV version 2 engine");
    json* const value = member(secret, field.c_str());
    if (!value || *value == "")
        throw kv2_error(reason::missing_field, where + "the secret has no text in its field '" + field + "'");
    if (!value->is_string()) throw kv2_error(reason::malformed, where + "the field '" + field + "' is not a text");
    return std::move(value->get_ref<std::string&>());
}

inline std::vector<std::string_view> segments(std::string_view path) {
    std::vector<std::string_view> all;
    for (std::size_t slash; (slash = path.find('/')) != std::string_view::npos; path.remove_prefix(slash + 1))
        all.push_back(path.substr(0, slash));
    all.push_back(path);
    return all;
}

// A path of a URL, in which each segment is only text: "my key/a?b" becomes "my%20key/a%3Fb". Nothing for one that would
// lead elsewhere, such as "a/../b", or that an engine takes for another: it has no paths that end in a period.
inline std::optional<std::string> url_path(std::string_view path) {
    constexpr std::string_view plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string url;
    for (const std::string_view segment : segments(path)) {
        if (segment.empty() || segment.ends_with('.')) return std::nullopt;
        if (!url.empty()) url += '/';
        for (const char c : segment) {
            const auto byte = static_cast<unsigned char>(c);
            if (plain.find(c) != std::string_view::npos) url += c;
            else (url += '%') += {digits[byte / 16], digits[byte % 16]};
        }
    }
    return url;
}

// What is to be known of an address before a token is sent there.
struct address_parts {
    bool encrypted;
    bool local;
};

inline address_parts parts_of(const std::string& address) {
    const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> url(curl_url(), curl_url_cleanup);
    if (!url) throw std::bad_alloc();
    const auto part = [&](CURLUPart which) -> std::string {
        char* text = nullptr;
        if (curl_url_get(url.get(), which, &text, 0) != CURLUE_OK) return "";
        const std::unique_ptr<char, decltype(&curl_free)> owner(text, curl_free);
        return text;
    };
    const bool valid = curl_url_set(url.get(), CURLUPART_URL, address.c_str(), 0) == CURLUE_OK;
    const std::string scheme = part(CURLUPART_SCHEME), host = part(CURLUPART_HOST);
    // The address is not in these texts: what is no good as one may be a token, or have a password in it.
    if (!valid || (scheme != "http" && scheme != "https"))
        throw kv2_error(reason::misconfigured, "the address is not a URL that begins with http:// or https://");
    for (const CURLUPart odd : {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY, CURLUPART_FRAGMENT})
        if (!part(odd).empty())
            throw kv2_error(reason::misconfigured, "the address has a user, a query or a fragment in it");
    const bool is_ipv4 = host.find_first_not_of("0123456789.") == std::string::npos;  // unlike 127.example.org
    return {scheme == "https", host == "localhost" || (is_ipv4 && host.starts_with("127.")) || host == "[::1]"};
}

inline bool is_one_line(std::string_view text) {
    for (const char c : text)
        if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') return false;
    return true;
}

}  // namespace detail

// ---- The hook -------------------------------------------------------------------------------------------------------

/// A start hook for a function from a service's name to its key. Any thread may call it, several at once.
class kv2_hook {
public:
    /// Throws kv2_error when the options are no good. Asks nobody yet.
    explicit kv2_hook(kv2_options options);

    /// The service's key, nothing when the engine has none. Throws kv2_error.
    std::optional<std::string> read(std::string_view service) const;

    /// Where read() looks: "secret/api-keys/openai". Nothing for a name under which an engine can have no secret.
    std::optional<std::string> place_of(std::string_view service) const;

    /// Supplies the key, unless a hook before this one did, with a note "source" for the hooks that run later; or throws,
    /// with a note "failure", for those who run although the key is taken from elsewhere then.
    void operator()(ext::call<std::string(std::string_view)>& call) const {
        if (call.result) return;
        const auto& [service] = call.args;
        try {
            std::optional<std::string> key = read(*service);
            if (!key) return;
            call.kwargs.set("source", "kv2 " + *place_of(*service));
            call.result = std::move(*key);
        } catch (const kv2_error& error) {
            call.kwargs.set("failure", error.what());
            throw;
        }
    }

private:
    kv2_options options_;
    std::string mount_;  // as in a URL
};

/// Registers the hook so that a failure goes where the options say.
inline ext::hook add_kv2(ext::plugin& owner, std::string_view function, kv2_options options,
                         ext::hook_options how = {.id = "kv2"}) {
    how.isolate = options.on_failure == on_failure::fall_through;
    return owner.on_start(function, kv2_hook(std::move(options)), std::move(how));
}

inline kv2_hook::kv2_hook(kv2_options options) : options_(std::move(options)) {
    using detail::reason;
    detail::need_curl();
    const auto [encrypted, local] = detail::parts_of(options_.address);
    while (options_.address.ends_with('/')) options_.address.pop_back();

    std::string_view mount = options_.mount;
    while (mount.starts_with('/')) mount.remove_prefix(1);
    while (mount.ends_with('/')) mount.remove_suffix(1);
    const std::optional<std::string> mount_url = detail::url_path(mount);
    if (!mount_url) throw kv2_error(reason::misconfigured, "'" + options_.mount + "' is no mount");
    mount_ = *mount_url;

    if (options_.path.find("{service}") == std::string::npos)
        throw kv2_error(reason::misconfigured, "the path '" + options_.path + "' has no {service} in it");
    if (!place_of("service")) throw kv2_error(reason::misconfigured, "'" + options_.path + "' is no path");
    // A line break in one of these would begin another header.
    if (!detail::is_one_line(options_.token)) throw kv2_error(reason::misconfigured, "the token is not one line of text");
    if (!detail::is_one_line(options_.name_space))
        throw kv2_error(reason::misconfigured, "the namespace is not one line of text");

    // libcurl takes 0 for "no limit", and fewer for an error.
    if (options_.connect_timeout.count() <= 0 || options_.timeout.count() <= 0)
        throw kv2_error(reason::misconfigured, "a time-out has to be longer than nothing");

    if (!options_.warn) return;
    if (encrypted && !options_.tls_verify)
        options_.warn("kv2: WARNING: certificates are not verified, so whoever answers for " + options_.address +
                      " gets the token and chooses the keys");
    if (!encrypted && !local)
        options_.warn("kv2: WARNING: " + options_.address + " is not encrypted, so whoever is on the way gets token and keys");
}

inline std::optional<std::string> kv2_hook::place_of(std::string_view service) const {
    constexpr std::string_view placeholder = "{service}";
    std::string path = options_.path;
    for (std::size_t at = 0; (at = path.find(placeholder, at)) != std::string::npos; at += service.size())
        path.replace(at, placeholder.size(), service);
    const std::optional<std::string> url = detail::url_path(path);
    return url ? std::optional(mount_ + '/' + *url) : std::nullopt;
}

inline std::optional<std::string> kv2_hook::read(std::string_view service) const {
    const std::optional<std::string> place = place_of(service);
    if (!place) return std::nullopt;
    const std::string where = options_.address + ", " + *place + ": ";
    const std::string url = options_.address + "/v1/" + mount_ + "/data/" + place->substr(mount_.size() + 1);
    return detail::key_in(detail::http_get(options_, url, where), options_.field, where);
}

}  // namespace secrets
