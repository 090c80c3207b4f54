#pragma once

// Requests to a store over HTTP, with libcurl. There is a time limit, TLS is verified, redirects are followed
// only on request, the pauses between tries are random, and error texts contain no secrets of the request.
//
// libcurl copies the request, and the name and password of a user, into buffers of its own, which
// are not wiped. It is told not to change signal handlers, because these belong to all threads. So
// a program that asks over TLS should ignore SIGPIPE: a connection that breaks may raise it.

#include "abi.hpp"
#include "environment.hpp"
#include "json.hpp"
#include "store.hpp"
#include "wipe.hpp"

#include <extensible/hooks/clock.hpp>

#include <curl/curl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <initializer_list>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace secrets { inline namespace v1 SECRETS_HIDDEN {

// ---- Requests and answers ---------------------------------------------------------------------------------

/// Header lines. They are wiped, because one may contain a token.
class SECRETS_VISIBLE http_headers {
public:
    /// Adds a header with the joined parts as its value. Adds nothing if the value is empty: a
    /// header without a value would be signed, too. Throws std::invalid_argument, without the value
    /// in its text, if the header is not one line.
    template <class... Parts>
    SECRETS_HIDDEN http_headers& add(std::string_view name, const Parts&... parts) {
        secret_text line(name);
        line += ": ";
        const std::size_t empty = line.size();
        ((line += std::string_view(parts)), ...);
        if (!is_one_line(line))
            throw std::invalid_argument("the header " + std::string(name) + " would not be one line");
        if (line.size() != empty) lines.push_back(std::move(line));
        return *this;
    }

    /// The value of the first header of this name, ignoring case; std::nullopt if there is none.
    SECRETS_HIDDEN std::optional<std::string_view> find(std::string_view name) const;

    std::vector<secret_text> lines;  ///< "Name: value"
};

/// Makes libcurl sign the request. Needs libcurl 7.86 or newer at run time.
struct aws_signature {
    std::string scope{};  ///< "aws:amz:eu-central-1:secretsmanager"
    secret_text key_id{}, secret_key{};
};

struct http_answer {
    long status = 0;
    http_headers headers{};
    secret_text body{};
    std::optional<std::chrono::seconds> retry_after{};  ///< at most an hour, even if the server says more
    std::string redirect{};  ///< the URL to which a redirect leads
};

struct http_request {
    std::string method = "GET";
    std::string url{};  ///< must not contain a secret
    /// Server and secret, for error texts: "https://bao.example:8200, secret/api-keys/openai".
    std::string about{};
    http_headers headers{};
    secret_text body{};
    std::optional<aws_signature> sign{};

    bool repeatable = false;  ///< changes nothing, so it may be sent again; a GET always may
    /// Whether to try again after this answer.
    std::function<bool(const http_answer&)> passing = [](const http_answer& answer) {
        const auto statuses = {408L, 429L, 500L, 502L, 503L, 504L};
        return std::find(statuses.begin(), statuses.end(), answer.status) != statuses.end();
    };
};

// ---- Options ----------------------------------------------------------------------------------------------

/// Whether one redirect is followed. A signed request follows none, and https never leads to http.
enum class redirects {
    none,
    same_host,  ///< scheme, host and port
    any_host    ///< the other host gets the headers, and so the token
};

struct SECRETS_VISIBLE http_options {
    std::chrono::milliseconds connect_timeout{2000};
    /// For one read of a key, with its login, its tries and its pages.
    std::chrono::milliseconds timeout{5000};

    int tries = 3;  ///< maximum number of tries, within the time-out
    /// The longest pause before the second try. It doubles for each further try.
    std::chrono::milliseconds first_pause{100};

    std::string ca_file{};             ///< trusted certificates, instead of the system's
    std::string ca_path{};             ///< the same, a directory
    std::string client_certificate{};  ///< a file
    std::string client_key{};          ///< a file
    std::string tls_server_name{};     ///< name in the server's certificate, if not the host in the address
    bool tls_verify = true;            ///< if false, any server that answers gets the token

    bool plain_http = false;  ///< allow http:// to other machines; to this machine it is always allowed
    secrets::redirects redirects = secrets::redirects::none;
    std::string proxy{};  ///< empty: none, or that of the environment
    /// Without `proxy`, to an https address of another machine: use that of HTTPS_PROXY.
    bool proxy_of_environment = false;
    std::string unix_socket{};  ///< connect to this socket instead of the host in the address

    std::size_t largest_body = std::size_t{1} << 20;  ///< a longer answer is an error

    ext::hooks::clock clock{};  ///< for tests, as is `chance`
    /// A random number from 0 to 1, by which each pause is multiplied. Has to be thread-safe.
    std::function<double()> chance = [] {
        std::random_device device;
        return std::uniform_real_distribution<double>()(device);
    };
};

/// The options for a store that the environment configures: `ca_variable` may name a file of trusted
/// certificates, and a proxy in the environment is used.
inline http_options http_options_of_environment(const char* ca_variable) {
    http_options options;
    options.ca_file = environment_variable(ca_variable);
    options.proxy_of_environment = true;
    return options;
}

/// Sends requests to the servers of one store. Thread-safe. Each request opens a connection of its
/// own: with a cache, there are few requests.
class SECRETS_VISIBLE http_client {
public:
    /// Throws store_error if the options are invalid.
    SECRETS_HIDDEN http_client(std::string store, http_options options);

    /// The deadline of a read that begins now.
    SECRETS_HIDDEN deadline begin_read() const {
        constexpr std::chrono::milliseconds longest = std::chrono::hours(24);
        return options_.clock.now() + std::min(options_.timeout, longest);
    }

    /// Returns the answer, of any status. Throws store_error if there is none before the deadline, or
    /// within the options' `timeout`.
    SECRETS_HIDDEN http_answer send(const http_request& request, deadline until) const;

    /// Makes an error with the text "kv2: <about>: <text>", for a store to throw.
    SECRETS_HIDDEN store_error error(reason why, const std::string& about, const std::string& text) const {
        return {store_, why, about + ": " + text};
    }
    /// The same for an answer with an unexpected status, with its Retry-After.
    SECRETS_HIDDEN store_error error(const http_answer& answer, const std::string& about) const;
    /// The same, with a reason and a text from the store.
    SECRETS_HIDDEN store_error error(reason why, const http_answer& answer, const std::string& about,
                                     const std::string& text) const {
        return {store_, why, about + ": " + text, answer.retry_after};
    }

    /// Returns the key in the text of a secret: the text of this field of a JSON object, or all of it if
    /// `field` is empty. Throws `malformed` without a text. Throws `missing_field` if the key is empty, or
    /// if the secret is a JSON object and no field is named: a part of it could be taken for a key.
    SECRETS_HIDDEN std::string key_in(std::optional<std::string_view> secret, std::string_view field,
                                      const std::string& about) const;

    SECRETS_HIDDEN const http_options& options() const noexcept { return options_; }

private:
    SECRETS_HIDDEN http_answer send_once(const http_request& request, const std::string& url,
                                         std::chrono::milliseconds left) const;
    SECRETS_HIDDEN std::optional<std::string> redirect_of(const http_request& request,
                                                          const http_answer& answer) const;
    class SECRETS_HIDDEN transfer;  // a request's libcurl handle

    std::string store_;
    http_options options_;
};

// ---- Text -------------------------------------------------------------------------------------------------

namespace detail {

using url_handle = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

inline std::string part_of(CURLU* url, CURLUPart which) {
    char* text = nullptr;
    if (curl_url_get(url, which, &text, CURLU_DEFAULT_PORT) != CURLUE_OK) return "";
    const std::unique_ptr<char, decltype(&curl_free)> owner(text, curl_free);
    return text;
}

template <class Text>
void append_encoded(Text& url, std::string_view text, std::string_view plain) {
    constexpr std::string_view always = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    constexpr std::string_view digits = "0123456789ABCDEF";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (always.find(c) != std::string_view::npos || plain.find(c) != std::string_view::npos) url += c;
        else ((url += '%') += digits[byte / 16]) += digits[byte % 16];
    }
}

}  // namespace detail

/// The text as part of a URL. Letters, digits, `-`, `.`, `_`, `~` and the characters in `plain` are
/// not encoded.
inline std::string percent_encoded(std::string_view text, std::string_view plain = "") {
    std::string url;
    detail::append_encoded(url, text, plain);
    return url;
}

/// The body of a form, such as a login: "grant_type=client_credentials&client_secret=...".
inline secret_text form_encoded(std::initializer_list<std::pair<std::string_view, std::string_view>> fields) {
    secret_text form;
    for (const auto& [name, value] : fields) {
        if (!form.empty()) form += '&';
        detail::append_encoded(form, name, "");
        form += '=';
        detail::append_encoded(form, value, "");
    }
    return form;
}

/// What one has to know of an address before sending a token there.
struct url_parts {
    /// In lower case. The port is also set if it is the scheme's default.
    std::string scheme{}, host{}, port{};
    bool encrypted = false;
    bool local = false;  ///< on this machine's loopback
};

/// Returns std::nullopt if the text is not a URL that begins with http:// or https://, or if it
/// contains a user.
inline std::optional<url_parts> parts_of_url(const std::string& url) {
    const detail::url_handle read(curl_url(), curl_url_cleanup);
    if (!read) throw std::bad_alloc();
    if (curl_url_set(read.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) return std::nullopt;
    const auto part = [&](CURLUPart which) { return detail::part_of(read.get(), which); };
    url_parts parts{.scheme = part(CURLUPART_SCHEME), .port = part(CURLUPART_PORT)};
    const bool has_user = !part(CURLUPART_USER).empty() || !part(CURLUPART_PASSWORD).empty();
    if ((parts.scheme != "http" && parts.scheme != "https") || has_user) return std::nullopt;
    const std::string& host = parts.host = in_lower_case(part(CURLUPART_HOST));
    const bool is_ipv4 = host.find_first_not_of("0123456789.") == std::string::npos;  // not 127.example.org
    parts.encrypted = parts.scheme == "https";
    parts.local = host == "localhost" || (is_ipv4 && host.starts_with("127.")) || host == "[::1]";
    return parts;
}

/// The address of a store, without slashes at its end. Throws store_error if it is not a URL, or
/// contains a user, a query or a fragment. The error begins with `what`, such as "the address (BAO_ADDR)". It
/// does not contain the address, which may contain a password or be a token.
inline std::string checked_address(std::string_view store, std::string address,
                                   const std::string& what = "the address") {
    const auto refuse = [&](const char* text) {
        throw store_error(store, reason::misconfigured, what + text);
    };
    const bool is_url = parts_of_url(address).has_value();
    if (!is_url && address.find('@') == std::string::npos)
        refuse(" is not a URL that begins with https:// or http://");
    if (!is_url || address.find_first_of("?#") != std::string::npos)
        refuse(" has a user, a query or a fragment in it");
    while (address.ends_with('/')) address.pop_back();
    return address;
}

// ---- For libcurl ------------------------------------------------------------------------------------------

namespace detail {

inline std::atomic<bool> is_program_ending = false;  // the TLS library must not be used any more

// Receives an answer from libcurl. No exception may pass through libcurl, which is C.
struct receiver {
    http_answer answer{};
    std::size_t largest_body = 0;
    bool too_large = false;

    static std::size_t body(char* data, std::size_t, std::size_t size, void* to) noexcept try {
        auto& self = *static_cast<receiver*>(to);
        self.too_large = size > self.largest_body - self.answer.body.size();
        if (!self.too_large) self.answer.body += std::string_view(data, size);
        return self.too_large ? 0 : size;
    } catch (...) {
        return 0;
    }
    static std::size_t header(char* data, std::size_t, std::size_t size, void* to) noexcept try {
        auto& self = *static_cast<receiver*>(to);
        std::vector<secret_text>& lines = self.answer.headers.lines;
        const std::string_view line(data, size);
        if (line.starts_with("HTTP/")) lines.clear();  // the earlier lines are of a "100 Continue"
        self.too_large = lines.size() == 200;
        if (!self.too_large) lines.emplace_back(line);
        return self.too_large ? 0 : size;
    } catch (...) {
        return 0;
    }
};

class header_list {
public:
    explicit header_list(const http_headers& headers) {
        for (const secret_text& line : headers.lines) add(line);
    }
    header_list(const header_list&) = delete;
    header_list& operator=(const header_list&) = delete;
    ~header_list() {
        for (curl_slist* line = list_; line; line = line->next)
            wipe(line->data, std::string_view(line->data).size());
        curl_slist_free_all(list_);
    }
    void add(secret_text line) {
        curl_slist* const longer = curl_slist_append(list_, line.c_str());
        if (!longer) throw std::bad_alloc();
        list_ = longer;
    }
    curl_slist* get() const noexcept { return list_; }

private:
    curl_slist* list_ = nullptr;
};

}  // namespace detail

inline std::optional<std::string_view> http_headers::find(std::string_view name) const {
    for (const std::string_view line : lines) {
        const std::size_t colon = std::min(line.find(':'), line.size());
        if (colon < line.size() && equals_ignoring_case(line.substr(0, colon), name))
            return trimmed(line.substr(colon + 1));
    }
    return std::nullopt;
}

// ---- Sending ----------------------------------------------------------------------------------------------

inline http_client::http_client(std::string store, http_options options)
    : store_(std::move(store)), options_(std::move(options)) {
    // Once, and never undone, because other code may use libcurl. (Before libcurl 7.84, no other
    // thread may initialise libcurl meanwhile.)
    static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
    // Called before the clean-up of the TLS library, which libcurl has just loaded.
    static const int registered = std::atexit([] { detail::is_program_ending = true; });
    static_cast<void>(registered);
    const auto refuse = [&](const char* text) { throw store_error(store_, reason::misconfigured, text); };
    if (ready != CURLE_OK) refuse("libcurl cannot be initialised");
    // For libcurl, 0 means "no limit", and a negative number is an error.
    if (options_.connect_timeout.count() <= 0 || options_.timeout.count() <= 0)
        refuse("timeout and connect_timeout must be longer than 0");
    if (options_.tries < 1 || options_.first_pause.count() < 0) refuse("tries must be at least 1");
    if (options_.client_certificate.empty() && !options_.client_key.empty())
        refuse("the client's key is without its certificate");
}

inline http_answer http_client::send(const http_request& request, deadline until) const {
    using std::chrono::milliseconds;
    until = std::min(until, begin_read());
    milliseconds pause = options_.first_pause;
    const auto left = [&] { return std::chrono::ceil<milliseconds>(until - options_.clock.now()); };
    const auto pause_fits = [&](int made, std::optional<std::chrono::seconds> wanted) {
        if (made >= options_.tries || (request.method != "GET" && !request.repeatable)) return false;
        const double share = static_cast<double>(pause.count()) * options_.chance();
        milliseconds wait{static_cast<milliseconds::rep>(share)};
        if (wanted) wait += *wanted;
        if (wait >= left()) return false;
        if (wait.count() > 0) options_.clock.sleep(wait);
        pause *= 2;
        return left().count() > 0;
    };

    for (int made = 1;; ++made) {
        try {
            http_answer answer = send_once(request, request.url, left());
            if (const std::optional<std::string> other = redirect_of(request, answer))
                answer = send_once(request, *other, left());
            if (!request.passing(answer) || !pause_fits(made, answer.retry_after)) return answer;
        } catch (const store_error& error) {
            if (!is_passing(error.why()) || !pause_fits(made, std::nullopt)) throw;
        }
    }
}

// One request with libcurl, which keeps pointers to most of this.
class http_client::transfer {
public:
    transfer(const http_client& client, const http_request& request, const std::string& url, url_parts parts)
        : client_(client), options_(client.options_), request_(request), url_(url),
          parts_(std::move(parts)), headers_(request.headers) {
        if (!handle_) throw std::bad_alloc();
    }

    http_answer run(std::chrono::milliseconds left) {
        if (left.count() <= 0) fail(reason::timed_out, "no time is left");
        set_request();
        set_limits(left);
        set_tls();
        set_way();
        if (request_.sign) set_signature();
        set(CURLOPT_HTTPHEADER, headers_.get());

        const CURLcode code = curl_easy_perform(handle_.get());
        if (received_.too_large) fail(reason::malformed, "the answer is too large");
        if (code != CURLE_OK) fail_with(code);

        http_answer& answer = received_.answer;
        curl_easy_getinfo(handle_.get(), CURLINFO_RESPONSE_CODE, &answer.status);
        curl_off_t seconds = 0;  // also if the header is a date
        if (curl_easy_getinfo(handle_.get(), CURLINFO_RETRY_AFTER, &seconds) == CURLE_OK && seconds > 0)
            answer.retry_after = std::chrono::seconds(std::min<curl_off_t>(seconds, 3600));
        const char* redirect = nullptr;
        if (curl_easy_getinfo(handle_.get(), CURLINFO_REDIRECT_URL, &redirect) == CURLE_OK && redirect)
            answer.redirect = redirect;
        return std::move(answer);
    }

private:
    [[noreturn]] void fail(reason why, const std::string& text) const {
        throw client_.error(why, request_.about, text);
    }

    // Throws the error for a request without an answer. The text is libcurl's, which contains nothing
    // of the request.
    [[noreturn]] void fail_with(CURLcode code) const {
        const char* const text = curl_easy_strerror(code);
        switch (code) {
            case CURLE_OPERATION_TIMEDOUT: fail(reason::timed_out, text);
            case CURLE_SSL_CONNECT_ERROR:
            case CURLE_PEER_FAILED_VERIFICATION: fail(reason::untrusted, text);
            case CURLE_SSL_CERTPROBLEM:  // the client's certificate
            case CURLE_SSL_CACERT_BADFILE: fail(reason::misconfigured, text);
            case CURLE_PARTIAL_FILE: fail(reason::malformed, "the answer was cut off");
            case CURLE_WEIRD_SERVER_REPLY:
            case CURLE_UNSUPPORTED_PROTOCOL: fail(reason::malformed, "the answer is not HTTP");
            case CURLE_OUT_OF_MEMORY:  // also for a header line that is too long
            case CURLE_WRITE_ERROR: fail(reason::malformed, "the answer is too large, or memory is short");
            default: fail(reason::unreachable, text);
        }
    }

    // Each option is checked: this libcurl may be built without it, which must not go unnoticed.
    template <class Value>
    void set(CURLoption option, Value value) {
        if (curl_easy_setopt(handle_.get(), option, value) != CURLE_OK)
            fail(reason::misconfigured, "libcurl refuses option " + std::to_string(option));
    }
    void set_file(CURLoption option, const std::string& name) {
        if (!name.empty()) set(option, name.c_str());
    }

    void set_request() {
        set(CURLOPT_URL, url_.c_str());
        if (request_.method != "GET") {
            set(CURLOPT_POST, 1L);
            set(CURLOPT_CUSTOMREQUEST, request_.method.c_str());
            set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
            set(CURLOPT_POSTFIELDS, request_.body.view().data() ? request_.body.view().data() : "");
        }
        received_.largest_body = options_.largest_body;
        set(CURLOPT_WRITEFUNCTION, &detail::receiver::body);
        set(CURLOPT_WRITEDATA, static_cast<void*>(&received_));
        set(CURLOPT_HEADERFUNCTION, &detail::receiver::header);
        set(CURLOPT_HEADERDATA, static_cast<void*>(&received_));
    }

    void set_limits(std::chrono::milliseconds left) {
#if LIBCURL_VERSION_NUM >= 0x075700  // 7.87
        set(CURLOPT_QUICK_EXIT, 1L);  // or libcurl waits for the thread that asks for the host's address
#endif
        set(CURLOPT_NOSIGNAL, 1L);  // a time-out by signal would affect other threads, too
        set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(std::min(options_.connect_timeout, left).count()));
        set(CURLOPT_TIMEOUT_MS, static_cast<long>(left.count()));
        // Each request has a connection of its own, so HTTP/2 would bring nothing.
        set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
        set(CURLOPT_FOLLOWLOCATION, 0L);  // otherwise an answer could send the token anywhere
#if LIBCURL_VERSION_NUM >= 0x075500       // 7.85
        set(CURLOPT_PROTOCOLS_STR, "http,https");
#else
        set(CURLOPT_PROTOCOLS, static_cast<long>(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    }

    void set_tls() {
        set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
        set(CURLOPT_SSL_VERIFYPEER, options_.tls_verify ? 1L : 0L);
        set(CURLOPT_SSL_VERIFYHOST, options_.tls_verify ? 2L : 0L);
        // Both, or the system's would be trusted, too.
        if (!options_.ca_file.empty() || !options_.ca_path.empty()) {
            set(CURLOPT_CAINFO, options_.ca_file.empty() ? nullptr : options_.ca_file.c_str());
            set(CURLOPT_CAPATH, options_.ca_path.empty() ? nullptr : options_.ca_path.c_str());
        }
        set_file(CURLOPT_SSLCERT, options_.client_certificate);
        set_file(CURLOPT_SSLKEY, options_.client_key);
        if (!options_.tls_server_name.empty()) set_server_name();
    }

    // libcurl reads the certificate's name from the URL. So the URL gets that name, and
    // CURLOPT_CONNECT_TO gets the host.
    void set_server_name() {
        const detail::url_handle url(curl_url(), curl_url_cleanup);
        if (!url) throw std::bad_alloc();
        if (curl_url_set(url.get(), CURLUPART_URL, url_.c_str(), 0) != CURLUE_OK ||
            curl_url_set(url.get(), CURLUPART_HOST, options_.tls_server_name.c_str(), 0) != CURLUE_OK)
            fail(reason::misconfigured, "the TLS server name is not a host's name");
        connect_to_.add(secret_text("::" + parts_.host + ':' + parts_.port));
        headers_.add(secret_text("Host: " + parts_.host + ':' + parts_.port));
        set(CURLOPT_CONNECT_TO, connect_to_.get());
        set(CURLOPT_URL, detail::part_of(url.get(), CURLUPART_URL).c_str());
    }

    void set_way() {
        // Without encryption, a proxy would see the token.
        const bool asks_environment = options_.proxy_of_environment && parts_.encrypted && !parts_.local;
        if (!options_.proxy.empty() || !asks_environment) {
            set(CURLOPT_PROXY, options_.proxy.c_str());
            set(CURLOPT_NOPROXY, "");
        }
        set_file(CURLOPT_UNIX_SOCKET_PATH, options_.unix_socket);
    }

    // Before 7.86, libcurl signs other headers than it sends.
    void set_signature() {
#if LIBCURL_VERSION_NUM >= 0x074b00  // 7.75
        if (curl_version_info(CURLVERSION_NOW)->version_num >= 0x075600) {
            secret_text id = request_.sign->key_id, key = request_.sign->secret_key;
            set(CURLOPT_AWS_SIGV4, request_.sign->scope.c_str());
            set(CURLOPT_USERNAME, id.c_str());
            set(CURLOPT_PASSWORD, key.c_str());
            return;
        }
#endif
        fail(reason::misconfigured, "signing requests needs libcurl 7.86 or newer");
    }

    const http_client& client_;
    const http_options& options_;
    const http_request& request_;
    const std::string url_;
    const url_parts parts_;
    detail::header_list headers_, connect_to_{http_headers()};
    detail::receiver received_{};
    // Destroyed first: it has pointers to the others.
    const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> handle_{curl_easy_init(), curl_easy_cleanup};
};

inline http_answer http_client::send_once(const http_request& request, const std::string& url,
                                          std::chrono::milliseconds left) const {
    const std::optional<url_parts> parts = parts_of_url(url);
    if (!parts)
        throw error(reason::misconfigured, request.about,
                    "the address is not a URL that begins with http:// or https://");
    if (!parts->encrypted && !parts->local && !options_.plain_http && options_.unix_socket.empty())
        throw error(reason::misconfigured, request.about,
                    "http:// to another machine: set plain_http to allow it");
    if (parts->encrypted && detail::is_program_ending)
        throw error(reason::failed, request.about, "main has ended, so there is no TLS any more");
    return transfer(*this, request, url, *parts).run(left);
}

// The URL to ask instead; std::nullopt if the answer is not a redirect, or if it is not followed.
inline std::optional<std::string> http_client::redirect_of(const http_request& request,
                                                           const http_answer& answer) const {
    const bool keeps_method = answer.status == 307 || answer.status == 308 || request.method == "GET";
    if (options_.redirects == redirects::none || answer.redirect.empty() || request.sign || !keeps_method)
        return std::nullopt;
    const std::optional<url_parts> from = parts_of_url(request.url), to = parts_of_url(answer.redirect);
    if (!from || !to || (from->encrypted && !to->encrypted)) return std::nullopt;
    const bool same = from->scheme == to->scheme && from->host == to->host && from->port == to->port;
    return same || options_.redirects == redirects::any_host ? std::optional(answer.redirect) : std::nullopt;
}

// ---- Errors -----------------------------------------------------------------------------------------------

inline store_error http_client::error(const http_answer& answer, const std::string& about) const {
    const std::string status = "status " + std::to_string(answer.status);
    if (answer.status == 401 || answer.status == 403)
        return error(reason::permission_denied, answer, about, "permission denied");
    if (answer.status == 429) return error(reason::rate_limited, answer, about, "too many requests");
    if (answer.status >= 500) return error(reason::server_error, answer, about, status);
    if (answer.status >= 300 && answer.status < 400)
        return error(reason::redirected, answer, about, status + ", a redirect, which is not followed");
    return error(reason::rejected, answer, about, status);
}

inline std::string http_client::key_in(std::optional<std::string_view> secret, std::string_view field,
                                       const std::string& about) const {
    if (!secret) throw error(reason::malformed, about, "the answer has no key in it");
    const json fields = parse_json(*secret);
    if (field.empty() && fields.is_object())
        throw error(reason::missing_field, about,
                    "the secret is a JSON object: set the option 'field' to the name of the key's field");
    if (!field.empty()) secret = text(fields.find(field));
    if (!secret)
        throw error(reason::missing_field, about,
                    "the secret has no text in its field '" + std::string(field) + "'");
    if (without_line_break(*secret).empty()) throw error(reason::missing_field, about, "the key is empty");
    return std::string(*secret);
}

}}  // namespace secrets
