#pragma once

// A KV version 2 engine for tests: a small HTTP server on 127.0.0.1 that answers as the API documentation of OpenBao and
// Vault says, and has the faults that a test wants.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
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

// Gives the socket a free port, and tells which.
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
    std::map<std::string, std::string> headers;  // by names in lower case

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
    std::size_t cut_off = 0;        // so many bytes are promised that do not come
    bool until_given_up = false;    // comes only when the client has closed the connection
    std::function<void()> first{};  // is done before the answer goes out
};

// ---- What the documentation has as answers --------------------------------------------------------------------------

inline std::string version_metadata(const std::string& deletion_time, bool destroyed) {
    return R"({"created_time":"2018-03-22T02:24:06.945319214Z","custom_metadata":null,"deletion_time":")" + deletion_time +
           R"(","destroyed":)" + (destroyed ? "true" : "false") + R"(,"version":2})";
}

// `data` and `metadata` in the envelope that all answers of the API have.
inline std::string secret(const std::string& data, const std::string& metadata) {
    return R"({"request_id":"657ccf81-56a7-453e-6332-7fcc26b2ee93","lease_id":"","renewable":false,"lease_duration":0,)"
           R"("data":{"data":)" + data + R"(,"metadata":)" + metadata + R"(},"wrap_info":null,"warnings":null,"auth":null})";
}

inline answer found(const std::string& key) { return {200, secret(R"({"key":")" + key + R"("})", version_metadata("", false))}; }
inline answer found_data(const std::string& data) { return {200, secret(data, version_metadata("", false))}; }
inline answer deleted() { return {404, secret("null", version_metadata("2018-03-22T02:36:43.986212308Z", false))}; }
inline answer destroyed() { return {404, secret("null", version_metadata("", true))}; }
inline answer errors(int status, const std::string& list) { return {status, R"({"errors":[)" + list + "]}\n"}; }
inline answer missing() { return errors(404, ""); }

// ---- The server -----------------------------------------------------------------------------------------------------

class server {
public:
    explicit server(std::string token = "") : token_(std::move(token)), listener_(socket(AF_INET, SOCK_STREAM, 0)) {
        int ends[2];
        if (pipe(ends) != 0) throw std::runtime_error("no pipe");
        stop_.emplace_back(ends[0]);
        stop_.emplace_back(ends[1]);

        port_ = bind_to_loopback(listener_.get());
        if (listen(listener_.get(), 1024) != 0) throw std::runtime_error("cannot listen");
        acceptor_ = std::thread([this] { accept_all(); });
    }
    server(const server&) = delete;
    server& operator=(const server&) = delete;

    // Connections that are open are closed.
    ~server() {
        [[maybe_unused]] const auto written = write(stop_[1].get(), "", 1);  // nobody reads it: all polls see it
        acceptor_.join();
        for (std::thread& connection : connections_) connection.join();
    }

    std::string address() const { return "http://127.0.0.1:" + std::to_string(port_); }

    // What is answered for this path, such as "secret/data/api-keys/openai". Other paths have no secret.
    void put(const std::string& path, answer with) {
        const std::lock_guard lock(mutex_);
        answers_["/v1/" + path] = std::move(with);
    }

    // What is answered to every request, whatever its path and its token.
    void always(answer with) {
        const std::lock_guard lock(mutex_);
        always_ = std::move(with);
    }

    int requests() const { return requests_; }
    request last() const {
        const std::lock_guard lock(mutex_);
        return last_;
    }

private:
    // True when there is something to read, or the other side has closed; false when the server is to stop.
    bool wait_for(int socket) const {
        for (;;) {
            pollfd polled[] = {{socket, POLLIN, 0}, {stop_[0].get(), POLLIN, 0}};
            if (poll(polled, 2, -1) < 0 && errno != EINTR) return false;
            if (polled[1].revents) return false;
            if (polled[0].revents) return true;
        }
    }

    void accept_all() {
        while (wait_for(listener_.get())) {
            const int accepted = accept(listener_.get(), nullptr, nullptr);
            if (accepted < 0) continue;  // the client has gone again
#ifdef SO_NOSIGPIPE  // where MSG_NOSIGNAL is missing
            const int yes = 1;
            setsockopt(accepted, SOL_SOCKET, SO_NOSIGPIPE, &yes, sizeof yes);
#endif
            connections_.emplace_back([this, connection = descriptor(accepted)] { serve(connection.get()); });
        }
    }

    void serve(int connection) {
        const std::optional<request> asked = read_request(connection);
        if (!asked) return;
        ++requests_;
        const answer with = answer_to(*asked);
        if (with.first) with.first();
        if (with.until_given_up)
            for (char ignored; wait_for(connection) && recv(connection, &ignored, 1, 0) > 0;) {}

        std::string text = "HTTP/1.1 " + std::to_string(with.status) + " Status\r\nContent-Type: " + with.content_type +
                           "\r\nContent-Length: " + std::to_string(with.body.size() + with.cut_off) +
                           "\r\nConnection: close\r\n" + with.more_headers + "\r\n" + with.body;
        for (std::string_view rest = text; !rest.empty();) {
            const auto sent = send(connection, rest.data(), rest.size(), no_signal);
            if (sent <= 0) return;
            rest.remove_prefix(static_cast<std::size_t>(sent));
        }
        // Closed at once, with something unread, the connection would be reset, and the answer might be lost.
        shutdown(connection, SHUT_WR);
        for (char ignored; wait_for(connection) && recv(connection, &ignored, 1, 0) > 0;) {}
    }

    std::optional<request> read_request(int connection) const {
        std::string text;
        while (text.find("\r\n\r\n") == std::string::npos) {
            char part[4096];
            if (!wait_for(connection)) return std::nullopt;
            const auto size = recv(connection, part, sizeof part, 0);
            if (size <= 0) return std::nullopt;
            text.append(part, static_cast<std::size_t>(size));
        }

        request read;
        const std::size_t method = text.find(' '), path = text.find(' ', method + 1);
        read.method = text.substr(0, method);
        read.path = text.substr(method + 1, path - method - 1);
        for (std::size_t line = text.find("\r\n") + 2; text.compare(line, 2, "\r\n") != 0;) {
            const std::size_t colon = text.find(": ", line), end = text.find("\r\n", line);
            std::string name = text.substr(line, colon - line);
            for (char& c : name)
                if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
            read.headers[name] = text.substr(colon + 2, end - colon - 2);
            line = end + 2;
        }
        return read;
    }

    answer answer_to(const request& asked) {
        const std::lock_guard lock(mutex_);
        last_ = asked;
        if (always_) return *always_;
        if (asked.method != "GET") return errors(405, R"("unsupported operation")");
        if (!token_.empty() && asked.header("x-vault-token") != token_) return errors(403, R"("permission denied")");
        const auto found = answers_.find(asked.path);
        return found == answers_.end() ? missing() : found->second;
    }

#ifdef MSG_NOSIGNAL
    static constexpr int no_signal = MSG_NOSIGNAL;  // a client that has gone must not end the program
#else
    static constexpr int no_signal = 0;
#endif

    const std::string token_;
    const descriptor listener_;
    std::vector<descriptor> stop_;  // the two ends of a pipe
    int port_ = 0;
    std::atomic<int> requests_{0};
    mutable std::mutex mutex_;
    std::map<std::string, answer> answers_;  // guarded by the mutex, as the next two
    std::optional<answer> always_;
    request last_;
    std::vector<std::thread> connections_;  // of the acceptor, and then of the destructor
    std::thread acceptor_;
};

// An address on which nobody listens, and nobody else can while this lives.
class closed_port {
public:
    closed_port() : socket_(socket(AF_INET, SOCK_STREAM, 0)), port_(bind_to_loopback(socket_.get())) {}
    std::string address() const { return "http://127.0.0.1:" + std::to_string(port_); }

private:
    descriptor socket_;
    int port_;
};

// An engine behind TLS, with a certificate of its own making for 127.0.0.1, which has one secret and asks for no token. It
// is a process of the program openssl; where there is none it is not running.
class tls_server {
public:
    tls_server(const std::string& path, const answer& with) {
        const std::string make_certificate =
            "cd '" + directory_.path().string() + "' && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
            "-keyout key.pem -out certificate.pem -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1 >/dev/null 2>&1";
        if (std::system(make_certificate.c_str()) != 0) return;

        // What it sends is the text of a file with the name that is asked for.
        const std::filesystem::path file = directory_.path() / "v1" / path;
        std::filesystem::create_directories(file.parent_path());
        std::ofstream(file) << "HTTP/1.0 " << with.status << " Status\r\nContent-Length: " << with.body.size() << "\r\n\r\n"
                            << with.body;

        int ends[2];
        if (pipe(ends) != 0) throw std::runtime_error("no pipe");
        output_.emplace(ends[0]);
        {
            const descriptor input(ends[1]);
            process_ = fork();
            if (process_ == 0) {
                const int nothing = open("/dev/null", O_RDWR);
                if (chdir(directory_.path().c_str()) != 0 || dup2(nothing, STDIN_FILENO) < 0 || dup2(nothing, STDERR_FILENO) < 0 ||
                    dup2(input.get(), STDOUT_FILENO) < 0)
                    _exit(127);
                execlp("openssl", "openssl", "s_server", "-HTTP", "-accept", "127.0.0.1:0", "-cert", "certificate.pem",
                       "-key", "key.pem", nullptr);
                _exit(127);
            }
        }
        // "ACCEPT 127.0.0.1:43210": from here on it listens.
        std::string told;
        constexpr std::string_view before = "ACCEPT 127.0.0.1:";
        for (char c; read(output_->get(), &c, 1) == 1;) {
            told += c;
            const std::size_t at = told.find(before);
            if (c == '\n' && at != std::string::npos) {
                port_ = std::stoi(told.substr(at + before.size()));
                return;
            }
        }
    }
    tls_server(const tls_server&) = delete;
    tls_server& operator=(const tls_server&) = delete;
    ~tls_server() {
        if (process_ > 0) {
            kill(process_, SIGKILL);
            waitpid(process_, nullptr, 0);
        }
    }

    bool is_running() const { return port_ != 0; }
    std::string address(const std::string& host = "127.0.0.1") const { return "https://" + host + ":" + std::to_string(port_); }
    std::string certificate() const { return (directory_.path() / "certificate.pem").string(); }

private:
    temporary_directory directory_;
    std::optional<descriptor> output_;  // open as long as the process may write to it
    pid_t process_ = 0;
    int port_ = 0;
};

}  // namespace fake
