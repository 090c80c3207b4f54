#pragma once

// A server for tests: HTTP or HTTPS on 127.0.0.1, or on a Unix socket. It answers as the API
// documentation of OpenBao and Vault says, or calls a function for its answers. A test can give it
// faults.

#include "catch.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <unistd.h>

#ifdef TESTS_HAVE_OPENSSL
#include <openssl/ssl.h>
#endif

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace fake {

// A file descriptor that is closed at the end.
class descriptor {
public:
    explicit descriptor(int number) : number_(number) {
        if (number < 0) throw std::runtime_error("no descriptor, errno " + std::to_string(errno));
    }
    descriptor(descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    descriptor& operator=(descriptor&&) = delete;
    ~descriptor() {
        if (number_ >= 0) close(number_);
    }
    int get() const noexcept { return number_; }

private:
    int number_;
};

// Decodes "%2F" to "/", and "+" to " ".
inline std::string decoded(std::string_view text) {
    std::string read;
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] == '%' && at + 2 < text.size()) {
            read += static_cast<char>(std::stoi(std::string(text.substr(at + 1, 2)), nullptr, 16));
            at += 2;
        } else {
            read += text[at] == '+' ? ' ' : text[at];
        }
    }
    return read;
}

// Binds the socket to a free port, and returns the port.
inline int bind_to_loopback(int socket) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const any_address = reinterpret_cast<sockaddr*>(&address);
    if (bind(socket, any_address, size) != 0 || getsockname(socket, any_address, &size) != 0)
        throw std::runtime_error("no port, errno " + std::to_string(errno));
    return ntohs(address.sin_port);
}

class temporary_directory {
public:
    temporary_directory() {
        std::string name = (std::filesystem::temp_directory_path() / "kv2-test-XXXXXX").string();
        if (!mkdtemp(name.data())) throw std::runtime_error("no temporary directory");
        path_ = name;
    }
    temporary_directory(const temporary_directory&) = delete;
    temporary_directory& operator=(const temporary_directory&) = delete;
    ~temporary_directory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    const std::filesystem::path& path() const noexcept { return path_; }

private:
    std::filesystem::path path_;
};

struct request {
    std::string method, path;
    std::map<std::string, std::string> headers;  // names are in lower case
    std::string body{};

    std::optional<std::string> header(const std::string& name) const {
        const auto found = headers.find(name);
        return found == headers.end() ? std::nullopt : std::optional(found->second);
    }
};

struct answer {
    int status = 200;
    std::string body{};
    std::string content_type = "application/json";
    std::string more_headers{};     // each with its \r\n
    std::size_t cut_off = 0;        // this many more bytes are announced than sent
    bool until_given_up = false;    // sent only after the client has closed the connection
    bool half = false;              // the second half of the body is never sent
    std::string raw{};              // sent in place of all of the above
    std::function<void()> first{};  // called before the answer is sent
};

// ---- Answers from the documentation -----------------------------------------------------------------------

inline std::string version_metadata(const std::string& deletion_time, bool destroyed) {
    return R"({"created_time":"2018-03-22T02:24:06.945319214Z","custom_metadata":null,)"
           R"("deletion_time":")" + deletion_time + R"(","destroyed":)" + (destroyed ? "true" : "false") +
           R"(,"version":2})";
}

// `data` and `metadata` in the envelope of all API answers.
inline std::string secret(const std::string& data, const std::string& metadata) {
    return R"({"request_id":"657ccf81-56a7-453e-6332-7fcc26b2ee93","lease_id":"","renewable":false,)"
           R"("lease_duration":0,"data":{"data":)" + data + R"(,"metadata":)" + metadata +
           R"(},"wrap_info":null,"warnings":null,"auth":null})";
}

inline answer found(const std::string& key) {
    return {200, secret(R"({"key":")" + key + R"("})", version_metadata("", false))};
}
inline answer found_data(const std::string& data) { return {200, secret(data, version_metadata("", false))}; }
inline answer deleted() {
    return {404, secret("null", version_metadata("2018-03-22T02:36:43.986212308Z", false))};
}
inline answer destroyed() { return {404, secret("null", version_metadata("", true))}; }
inline answer errors(int status, const std::string& list) {
    return {status, R"({"errors":[)" + list + "]}\n"};
}
// An engine's description of a mount.
inline answer mount(const std::string& options, const std::string& type = "kv") {
    return {200, R"({"request_id":"1","data":{"accessor":"kv_1","path":"secret/","type":")" + type +
                     R"(","options":)" + options + "}}"};
}
inline answer login(const std::string& token, int seconds) {
    return {200, R"({"request_id":"1","auth":{"client_token":")" + token +
                     R"(","accessor":"a","policies":["default"],"lease_duration":)" +
                     std::to_string(seconds) + R"(,"renewable":true,"token_type":"service"}})"};
}
inline answer missing() { return errors(404, ""); }

// ---- The server -------------------------------------------------------------------------------------------

// A self-signed certificate and its key, in files. It is not usable if the program openssl is
// missing.
class certificate {
public:
    explicit certificate(const std::string& name = "IP:127.0.0.1") {
        const std::string make =
            "cd '" + directory_.path().string() +
            "' && openssl req -x509 -newkey ec -pkeyopt "
            "ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out certificate.pem -days 2 -subj /CN=test "
            "-addext subjectAltName=" +
            name + " >/dev/null 2>&1";
        is_made_ = std::system(make.c_str()) == 0;
    }
    // If false, warns that the test ends without having tested anything.
    bool is_usable() const {
#ifdef TESTS_HAVE_OPENSSL
        if (is_made_) return true;
#endif
        WARN("there is no OpenSSL, so nothing was tested");
        return false;
    }
    std::string file() const { return (directory_.path() / "certificate.pem").string(); }
    std::string key() const { return (directory_.path() / "key.pem").string(); }

private:
    temporary_directory directory_;
    bool is_made_ = false;
};

// A connection to a client, encrypted or not.
class connection {
public:
    explicit connection(descriptor socket) : socket_(std::move(socket)) {}
    int get() const { return socket_.get(); }

#ifdef TESTS_HAVE_OPENSSL
    connection(descriptor socket, SSL_CTX* tls)
        : socket_(std::move(socket)), tls_(tls ? SSL_new(tls) : nullptr, SSL_free) {
        if (tls_) is_open_ = SSL_set_fd(tls_.get(), socket_.get()) == 1 && SSL_accept(tls_.get()) == 1;
    }
    long receive(char* to, std::size_t size) const {
        if (tls_) return is_open_ ? SSL_read(tls_.get(), to, static_cast<int>(size)) : -1;
        return recv(socket_.get(), to, size, 0);
    }
    long give(std::string_view text) const {
        if (tls_) return is_open_ ? SSL_write(tls_.get(), text.data(), static_cast<int>(text.size())) : -1;
        return send(socket_.get(), text.data(), text.size(), 0);
    }
    bool has_more() const { return tls_ && SSL_pending(tls_.get()) > 0; }

private:
    descriptor socket_;
    std::unique_ptr<SSL, decltype(&SSL_free)> tls_{nullptr, SSL_free};
    bool is_open_ = true;
#else
    long receive(char* to, std::size_t size) const { return recv(socket_.get(), to, size, 0); }
    long give(std::string_view text) const { return send(socket_.get(), text.data(), text.size(), 0); }
    bool has_more() const { return false; }

private:
    descriptor socket_;
#endif
};

struct server_options {
    std::string token{};                       // of a KV version 2 engine; empty: none is needed
    const certificate* tls = nullptr;          // must outlive the server
    const certificate* wanted_client = nullptr;  // the certificate that a client must have
    std::string unix_socket{};                 // a file to listen on instead of a port
};

class server {
public:
    using function = std::function<answer(const request&)>;

    explicit server(std::string token = "") : server(server_options{.token = std::move(token)}) {}
    explicit server(server_options options)
        : options_(std::move(options)),
          listener_(socket(options_.unix_socket.empty() ? AF_INET : AF_UNIX, SOCK_STREAM, 0)) {
        std::signal(SIGPIPE, SIG_IGN);  // a closed connection must not end the program
        int ends[2];
        if (pipe(ends) != 0) throw std::runtime_error("no pipe");
        stop_.emplace_back(ends[0]);
        stop_.emplace_back(ends[1]);

        if (options_.unix_socket.empty()) port_ = bind_to_loopback(listener_.get());
        else bind_to_file();
        if (listen(listener_.get(), 1024) != 0) throw std::runtime_error("cannot listen");
        set_up_tls();
        acceptor_ = std::thread([this] { accept_all(); });
    }
    server(const server&) = delete;
    server& operator=(const server&) = delete;

    // Closes open connections.
    ~server() {
        // Never read, so all polls see it.
        [[maybe_unused]] const auto written = write(stop_[1].get(), "", 1);
        acceptor_.join();
        for (std::thread& connection : connections_) connection.join();
    }

    std::string address(const std::string& host = "127.0.0.1") const {
        return (options_.tls ? "https://" : "http://") + host + ":" + std::to_string(port_);
    }

    // Sets the answer for this path, such as "secret/data/api-keys/openai". Other paths have no
    // secret.
    void put(const std::string& path, answer with) {
        const std::lock_guard lock(mutex_);
        answers_["/v1/" + path] = std::move(with);
    }

    // Sets the answer to every request, whatever its path and its token. The function is called on
    // any thread.
    void always(answer with) {
        always(function([with = std::move(with)](const request&) { return with; }));
    }
    void always(function answers) {
        const std::lock_guard lock(mutex_);
        always_ = std::move(answers);
    }

    int requests() const { return requests_; }
    request last() const {
        const std::lock_guard lock(mutex_);
        return received_.empty() ? request{} : received_.back();
    }
    std::vector<request> received() const {
        const std::lock_guard lock(mutex_);
        return received_;
    }

private:
    // Waits. True if there is something to read or the client has closed; false if the server
    // should stop.
    bool wait_for(int socket) const {
        for (;;) {
            pollfd polled[] = {{socket, POLLIN, 0}, {stop_[0].get(), POLLIN, 0}};
            if (poll(polled, 2, -1) < 0 && errno != EINTR) return false;
            if (polled[1].revents) return false;
            if (polled[0].revents) return true;
        }
    }
    bool wait_for(const connection& from) const { return from.has_more() || wait_for(from.get()); }

    void wait_for_end(const connection& from) const {
        for (char ignored; wait_for(from) && from.receive(&ignored, 1) > 0;) {}
    }

    void bind_to_file() const {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        if (options_.unix_socket.size() >= sizeof address.sun_path)
            throw std::runtime_error("the socket's name is too long");
        std::memcpy(address.sun_path, options_.unix_socket.c_str(), options_.unix_socket.size() + 1);
        if (bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
            throw std::runtime_error("no socket, errno " + std::to_string(errno));
    }

#ifdef TESTS_HAVE_OPENSSL
    void set_up_tls() {
        if (!options_.tls) return;
        tls_.reset(SSL_CTX_new(TLS_server_method()));
        bool is_good =
            SSL_CTX_use_certificate_file(tls_.get(), options_.tls->file().c_str(), SSL_FILETYPE_PEM) == 1 &&
            SSL_CTX_use_PrivateKey_file(tls_.get(), options_.tls->key().c_str(), SSL_FILETYPE_PEM) == 1;
        if (options_.wanted_client) {
            SSL_CTX_set_verify(tls_.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
            const std::string trusted = options_.wanted_client->file();
            is_good = is_good && SSL_CTX_load_verify_locations(tls_.get(), trusted.c_str(), nullptr) == 1;
        }
        if (!is_good) throw std::runtime_error("no certificate");
    }
    connection connect(int accepted) const { return {descriptor(accepted), tls_.get()}; }
    std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> tls_{nullptr, SSL_CTX_free};
#else
    void set_up_tls() {
        if (options_.tls) throw std::runtime_error("no TLS");
    }
    connection connect(int accepted) const { return connection(descriptor(accepted)); }
#endif

    void accept_all() {
        while (wait_for(listener_.get())) {
            const int accepted = accept(listener_.get(), nullptr, nullptr);
            if (accepted < 0) continue;  // the client has already closed the connection
            connections_.emplace_back([this, accepted] { serve(connect(accepted)); });
        }
    }

    void serve(const connection& to) {
        const std::optional<request> asked = read_request(to);
        if (!asked) return;
        ++requests_;
        const answer with = answer_to(*asked);
        if (with.first) with.first();
        if (with.until_given_up) wait_for_end(to);

        std::string text = "HTTP/1.1 " + std::to_string(with.status) + " Status\r\nContent-Type: " +
                           with.content_type + "\r\nContent-Length: " +
                           std::to_string(with.body.size() + with.cut_off) +
                           "\r\nConnection: close\r\n" + with.more_headers + "\r\n" + with.body;
        if (!with.raw.empty()) text = with.raw;
        if (with.half) text.resize(text.size() - with.body.size() / 2);
        for (std::string_view rest = text; !rest.empty();) {
            const auto sent = to.give(rest);
            if (sent <= 0) return;
            rest.remove_prefix(static_cast<std::size_t>(sent));
        }
        if (with.half) return wait_for_end(to);
        // If it were closed now with unread data, the connection would be reset, and the answer
        // could be lost.
        shutdown(to.get(), SHUT_WR);
        wait_for_end(to);
    }

    std::optional<request> read_request(const connection& from) const {
        std::string text;
        const auto read_until = [&](auto has_come) {
            while (!has_come()) {
                char part[4096];
                if (!wait_for(from)) return false;
                const auto size = from.receive(part, sizeof part);
                if (size <= 0) return false;
                text.append(part, static_cast<std::size_t>(size));
            }
            return true;
        };
        if (!read_until([&] { return text.find("\r\n\r\n") != std::string::npos; })) return std::nullopt;

        request read;
        const std::size_t method = text.find(' '), path = text.find(' ', method + 1);
        read.method = text.substr(0, method);
        read.path = text.substr(method + 1, path - method - 1);
        std::size_t line = text.find("\r\n") + 2;
        while (text.compare(line, 2, "\r\n") != 0) {
            const std::size_t colon = text.find(":", line), end = text.find("\r\n", line);
            std::string name = text.substr(line, colon - line);
            for (char& c : name)
                if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
            const std::size_t value = std::min(text.find_first_not_of(' ', colon + 1), end);
            read.headers[name] = text.substr(value, end - value);
            line = end + 2;
        }
        const std::size_t size = std::stoul(read.header("content-length").value_or("0"));
        if (!read_until([&] { return text.size() >= line + 2 + size; })) return std::nullopt;
        read.body = text.substr(line + 2, size);
        return read;
    }

    answer answer_to(const request& asked) {
        std::unique_lock lock(mutex_);
        received_.push_back(asked);
        if (const function answers = always_) {
            lock.unlock();
            return answers(asked);
        }
        if (asked.method != "GET") return errors(405, R"("unsupported operation")");
        if (!options_.token.empty() && asked.header("x-vault-token") != options_.token)
            return errors(403, R"("permission denied")");
        const auto found = answers_.find(asked.path);
        if (found != answers_.end()) return found->second;
        const bool is_of_mount = asked.path.starts_with("/v1/sys/internal/ui/mounts/");
        return is_of_mount ? mount(R"({"version":"2"})") : missing();
    }

    const server_options options_;
    const descriptor listener_;
    std::vector<descriptor> stop_;  // the two ends of a pipe
    int port_ = 0;
    std::atomic<int> requests_{0};
    mutable std::mutex mutex_;
    std::map<std::string, answer> answers_;  // guarded by the mutex, as are the next two
    function always_;
    std::vector<request> received_;
    std::vector<std::thread> connections_;  // used by the acceptor, and then by the destructor
    std::thread acceptor_;
};

// An address without a listener. While this lives, no server can listen there.
class closed_port {
public:
    closed_port() : socket_(socket(AF_INET, SOCK_STREAM, 0)), port_(bind_to_loopback(socket_.get())) {}
    std::string address() const { return "http://127.0.0.1:" + std::to_string(port_); }

private:
    descriptor socket_;
    int port_;
};

}  // namespace fake
