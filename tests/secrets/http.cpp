// Requests to stores over HTTP and HTTPS on loopback.
#include "catch.hpp"
#include "secrets/helpers.hpp"
#include "secrets/http.hpp"
#include "secrets/server.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Equals;
using namespace std::chrono_literals;
using helpers::failure_of;
using helpers::variable;
using secrets::reason;

namespace {

const std::string token = helpers::secret("token-of-the-http-test-1");
const std::string key = helpers::secret("key-of-the-http-test-2");

// A request with three tries, a manual clock and a time-out of 10 seconds. The pauses are not
// random: each is the longest possible one.
struct asking {
    helpers::hand_clock time;
    secrets::http_options options{
        .timeout = 10s, .tries = 3, .first_pause = 100ms, .clock = time.clock(),
        .chance = [] { return 1.0; }};
    secrets::http_request request{.about = "the store, the place"};

    explicit asking(const std::string& url) {
        request.url = url;
        request.headers.add("Authorization", "Bearer ", token);
    }
    secrets::deadline until = secrets::deadline::max();
    secrets::http_answer send() const { return secrets::http_client("mine", options).send(request, until); }
    helpers::failure failure() const {
        return failure_of([&] { send(); });
    }
};

fake::answer status(int number, std::string headers = "") {
    return {number, key, "text/plain", std::move(headers)};
}

// Gives the answers in turn, and then repeats the last one.
fake::server::function in_turn(std::vector<fake::answer> answers) {
    return [answers = std::move(answers),
            next = std::make_shared<std::atomic<std::size_t>>(0)](const fake::request&) {
        return answers[std::min(next->fetch_add(1), answers.size() - 1)];
    };
}

}  // namespace

// ---- Requests and answers ---------------------------------------------------------------------------------

TEST_CASE("A request is sent as given, and the answer has status, headers and body") {
    fake::server server;
    server.always({201, key, "text/plain",
                   "x-Subject-Token:   abc \r\nX-Empty:\r\nX-Twice: 1\r\nX-Twice: 2\r\n"});
    asking ask(server.address() + "/a?b=c");
    ask.request.method = "POST";
    ask.request.body = secrets::form_encoded(
        {{"grant_type", "client_credentials"}, {"secret", "a b&c=d/\xc3\xbc"}});
    ask.request.headers.add("X-Empty", "").add("X-Amz-Target", "secretsmanager.", "GetSecretValue");
    const secrets::http_answer answer = ask.send();
    CHECK(answer.status == 201);
    CHECK(answer.body == key);
    CHECK(answer.headers.find("X-Subject-Token") == "abc");
    CHECK(answer.headers.find("X-Empty") == "");
    CHECK(answer.headers.find("x-twice") == "1");
    CHECK_FALSE(answer.headers.find("X-Subject"));
    CHECK_FALSE(answer.retry_after);

    const fake::request asked = server.last();
    CHECK(asked.method == "POST");
    CHECK(asked.path == "/a?b=c");
    CHECK(asked.body == "grant_type=client_credentials&secret=a%20b%26c%3Dd%2F%C3%BC");
    CHECK(asked.header("authorization") == "Bearer " + token);
    CHECK(asked.header("x-amz-target") == "secretsmanager.GetSecretValue");
    CHECK_FALSE(asked.header("x-empty"));  // not sent: an empty header would be signed
}

TEST_CASE("PUT without a body, and a body with a null, arrive") {
    fake::server server;
    server.always(status(200));
    asking ask(server.address());
    ask.request.method = "PUT";
    ask.send();
    CHECK(server.last().method == "PUT");
    CHECK(server.last().header("content-length") == "0");
    ask.request.body = secrets::secret_text(std::string_view("a\0b", 3));
    ask.send();
    CHECK(server.last().body == std::string_view("a\0b", 3));
}

TEST_CASE("A header that would be two lines is rejected, and the error does not contain its value") {
    secrets::http_headers headers;
    try {
        headers.add("X-Token", token, "\r\nX-Other: 1");
        FAIL("it was taken");
    } catch (const std::invalid_argument& error) {
        CHECK_THAT(helpers::searched(error.what()), ContainsSubstring("X-Token"));
    }
    headers.add("X-Empty", "", "");
    CHECK(headers.lines.empty());
}

TEST_CASE("An answer that is too long is not read to its end") {
    fake::server server;
    server.always({200, std::string(1001, 'x')});
    asking ask(server.address());
    ask.options.largest_body = 1000;
    CHECK(ask.failure().why == reason::malformed);
    ask.options.largest_body = 1001;
    CHECK(ask.send().body.size() == 1001);
    std::string headers;
    for (int i = 0; i < 300; ++i) headers += "X-Header: " + std::to_string(i) + "\r\n";
    server.always({200, "", "text/plain", headers});
    CHECK_THAT(ask.failure().text, ContainsSubstring("too large"));
    server.always({200, "", "text/plain", "X-Header: " + std::string(5000000, 'x') + "\r\n"});
    CHECK(ask.failure().why == reason::malformed);
}

TEST_CASE("A proxy of the environment is used only if the options say so, for https to another machine") {
    fake::server proxy, server;
    proxy.always({403, ""});
    server.always({200, "server"});
    const std::string address = proxy.address();
    const variable https("HTTPS_PROXY", address.c_str()), http("http_proxy", address.c_str()),
        all("ALL_PROXY", address.c_str()), small("https_proxy", nullptr), none("no_proxy", nullptr),
        NONE("NO_PROXY", nullptr);
    asking near(server.address()), far("https://store.invalid"), plain("http://store.invalid");
    far.options.tries = plain.options.tries = 1;
    plain.options.plain_http = true;
    CHECK(far.failure().why == reason::unreachable);
    for (asking* const ask : {&near, &far, &plain}) ask->options.proxy_of_environment = true;
    CHECK(near.send().body == "server");
    CHECK(plain.failure().why == reason::unreachable);
    CHECK(proxy.requests() == 0);
    CHECK(far.failure().why == reason::unreachable);
    CHECK(proxy.requests() == 1);
    CHECK(proxy.last().method == "CONNECT");
    far.options.proxy = "http://127.0.0.1:1";  // wins
    CHECK(far.failure().why == reason::unreachable);
    CHECK(proxy.requests() == 1);
}

TEST_CASE("A proxy of the options is used for every address") {
    fake::server proxy;
    proxy.always({200, "proxy"});
    const variable except("no_proxy", "127.0.0.1");
    asking ask("http://127.0.0.1:1");
    ask.options.proxy = proxy.address();
    CHECK(ask.send().body == "proxy");
}

TEST_CASE("A connection can use a Unix socket in place of a host") {
    const fake::temporary_directory directory;
    const std::string file = (directory.path() / "socket").string();
    fake::server server(fake::server_options{.unix_socket = file});
    server.always({200, "by file"});
    asking ask("http://store.example/v1");
    ask.options.unix_socket = file;
    CHECK(ask.send().body == "by file");
    CHECK(server.last().path == "/v1");
    ask.options.unix_socket += ".missing";
    CHECK(ask.failure().why == reason::unreachable);
}

TEST_CASE("A signed request has AWS's signature of its body and headers, "
          "and does not contain the secret key") {
    const std::string secret = helpers::secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    fake::server server;
    server.always(status(200));
    asking ask(server.address() + "/");
    ask.request.method = "POST";
    ask.request.body = secrets::secret_text("{}");
    ask.request.headers = {};
    ask.request.headers.add("X-Amz-Target", "secretsmanager.GetSecretValue")
        .add("X-Amz-Security-Token", token);
    ask.request.sign = secrets::aws_signature{"aws:amz:eu-central-1:secretsmanager",
                                              secrets::secret_text("AKIDEXAMPLE"),
                                              secrets::secret_text(secret)};
    const auto version = curl_version_info(CURLVERSION_NOW)->version_num;
    if (version < 0x075600) {
        CHECK_THAT(ask.failure().text, ContainsSubstring("libcurl 7.86"));
        return;
    }
    ask.send();
    const std::string authorization = server.last().header("authorization").value_or("none");
    CHECK_THAT(authorization, ContainsSubstring("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/") &&
                                  ContainsSubstring("/eu-central-1/secretsmanager/aws4_request") &&
                                  ContainsSubstring("x-amz-target") &&
                                  ContainsSubstring("x-amz-security-token"));
    CHECK(authorization.find(secret) == std::string::npos);
}

// ---- Trust ------------------------------------------------------------------------------------------------

TEST_CASE("Without encryption nothing is sent to another machine, unless the options allow it") {
    asking ask("http://store.example:1/");
    ask.options.proxy = "http://127.0.0.1:1";  // so that no name is looked up
    CHECK_THAT(ask.failure().text, ContainsSubstring("plain_http"));
    ask.options.plain_http = true;
    CHECK(ask.failure().why == reason::unreachable);
    for (const char* const odd :
         {"ftp://127.0.0.1/", "file:///etc/passwd", "127.0.0.1", "", "http://me:pw@127.0.0.1/"}) {
        ask.request.url = odd;
        CHECK(ask.failure().why == reason::misconfigured);
    }
}

TEST_CASE("A server is trusted only for its own certificate and its own name") {
    const fake::certificate own, of_another_host("DNS:another.example");
    if (!own.is_usable()) return;
    fake::server server(fake::server_options{.tls = &own});
    fake::server other(fake::server_options{.tls = &of_another_host});
    server.always(status(200));
    other.always(status(200));
    asking ask(server.address()), ask_other(other.address());
    CHECK(ask.failure().why == reason::untrusted);
    ask.options.ca_file = own.file();
    CHECK(ask.send().body == key);
    ask.request.url = server.address("localhost");
    CHECK(ask.failure().why == reason::untrusted);
    ask.options.ca_file += ".missing";
    CHECK(ask.failure().why == reason::misconfigured);

    ask_other.options.ca_file = of_another_host.file();
    CHECK(ask_other.failure().why == reason::untrusted);
    ask_other.options.tls_server_name = "another.example";
    CHECK(ask_other.send().body == key);
    CHECK(other.last().header("host") == other.address().substr(8));
    ask_other.options.tls_server_name = "third.example";
    CHECK(ask_other.failure().why == reason::untrusted);
    CHECK(server.requests() == 1);
    CHECK(other.requests() == 1);
}

TEST_CASE("A server may require the client's certificate") {
    const fake::certificate own, client("DNS:client");
    if (!own.is_usable()) return;
    fake::server server(fake::server_options{.tls = &own, .wanted_client = &client});
    server.always(status(200));
    asking ask(server.address());
    ask.options.ca_file = own.file();
    CHECK(ask.failure().why.has_value());
    CHECK(server.requests() == 0);
    ask.options.client_certificate = client.file();
    ask.options.client_key = client.key();
    CHECK(ask.send().body == key);
    ask.options.client_key = client.key() + ".missing";
    CHECK(ask.failure().why == reason::misconfigured);
}

// ---- Redirects --------------------------------------------------------------------------------------------

TEST_CASE("One redirect is followed if the options allow it, "
          "and to another host only if they allow that too") {
    const int number = GENERATE(301, 302, 307, 308);
    fake::server other, server;
    other.always(status(200));
    server.always([&](const fake::request& asked) {
        if (asked.path == "/same") return status(number, "Location: /found\r\n");
        if (asked.path == "/other")
            return status(number, "Location: " + other.address() + "/" + token + "\r\n");
        if (asked.path == "/twice") return status(number, "Location: /same\r\n");
        return status(200);
    });
    const auto ask = [&](const std::string& path, secrets::redirects choice) {
        asking one(server.address() + path);
        one.options.redirects = choice;
        return one.send().status;
    };
    CHECK(ask("/same", secrets::redirects::none) == number);
    CHECK(ask("/same", secrets::redirects::same_host) == 200);
    CHECK(server.last().path == "/found");
    CHECK(ask("/twice", secrets::redirects::any_host) == number);
    CHECK(ask("/other", secrets::redirects::same_host) == number);
    CHECK(other.requests() == 0);
    CHECK(ask("/other", secrets::redirects::any_host) == 200);
    CHECK(other.last().header("authorization") == "Bearer " + token);
}

TEST_CASE("No redirect from https to http is followed, "
          "and a redirected POST stays a POST or is not followed") {
    fake::server plain;
    plain.always(status(200));
    SECTION("from https to http") {
        const fake::certificate own;
        if (!own.is_usable()) return;
        fake::server server(fake::server_options{.tls = &own});
        server.always(status(307, "Location: " + plain.address() + "\r\n"));
        asking ask(server.address());
        ask.options.ca_file = own.file();
        ask.options.redirects = secrets::redirects::any_host;
        CHECK(ask.send().status == 307);
        CHECK(plain.requests() == 0);
    }
    SECTION("of a POST") {
        const int number = GENERATE(302, 303, 307);
        fake::server server;
        server.always(status(number, "Location: " + plain.address() + "/\r\n"));
        asking ask(server.address());
        ask.request.method = "POST";
        ask.request.body = secrets::secret_text("body");
        ask.options.redirects = secrets::redirects::any_host;
        CHECK(ask.send().status == (number == 307 ? 200 : number));
        CHECK(plain.last().body == (number == 307 ? "body" : ""));
    }
}

// ---- Retry ------------------------------------------------------------------------------------------------

TEST_CASE("A read that fails is retried, with pauses that grow") {
    const int number = GENERATE(408, 429, 500, 502, 503, 504);
    fake::server server;
    server.always(in_turn({status(number), status(number), status(200)}));
    asking ask(server.address());
    CHECK(ask.send().status == 200);
    CHECK(ask.time.pauses() == std::vector<std::chrono::milliseconds>{100ms, 200ms});
}

TEST_CASE("After the last try, its answer is returned") {
    fake::server server;
    server.always(status(503, "Retry-After: 1\r\n"));
    asking ask(server.address());
    const secrets::http_answer answer = ask.send();
    CHECK(answer.status == 503);
    CHECK(answer.retry_after == 1s);
    CHECK(server.requests() == 3);
    const secrets::store_error error = secrets::http_client("mine", {}).error(answer, "here");
    CHECK(error.why() == reason::server_error);
    CHECK(error.retry_after() == 1s);
    CHECK(helpers::searched(error.what()) == "mine: here: status 503");
}

TEST_CASE("Permanent failures are not retried, and neither are requests that are not reads") {
    fake::server server;
    server.always(status(GENERATE(200, 204, 301, 400, 401, 403, 404, 501)));
    asking(server.address()).send();
    CHECK(server.requests() == 1);

    server.always(status(503));
    asking post(server.address());
    post.request.method = "POST";
    post.send();
    CHECK(server.requests() == 2);
    post.request.repeatable = true;
    post.send();
    CHECK(server.requests() == 5);
}

TEST_CASE("A store can say which of its failures are temporary") {
    fake::server server;
    server.always(in_turn({{400, R"({"__type":"ThrottlingException"})"}, status(503)}));
    asking ask(server.address());
    ask.request.passing = [](const secrets::http_answer& answer) {
        return answer.body.view().find("Throttling") != std::string_view::npos;
    };
    CHECK(ask.send().status == 503);
    CHECK(server.requests() == 2);
}

TEST_CASE("Retry-After is waited for if it fits in the time-out, and otherwise there is no retry") {
    fake::server server;
    server.always(in_turn({status(429, "Retry-After: 9\r\n"), status(200)}));
    asking ask(server.address());
    CHECK(ask.send().status == 200);
    CHECK(ask.time.pauses() == std::vector<std::chrono::milliseconds>{9100ms});

    server.always(status(429, GENERATE("Retry-After: 10\r\n", "Retry-After: 99999999999999\r\n",
                                       "Retry-After: Fri, 31 Dec 2999 23:59:59 GMT\r\n")));
    asking late(server.address());
    const secrets::http_answer answer = late.send();
    CHECK(answer.status == 429);
    CHECK(answer.retry_after >= 10s);
    CHECK(late.time.pauses().empty());
}

TEST_CASE("An invalid Retry-After is ignored") {
    fake::server server;
    const std::string header =
        GENERATE(as<std::string>{}, "Retry-After: -5\r\n", "Retry-After: soon\r\n", "Retry-After:\r\n",
                 "Retry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n");
    server.always(in_turn({status(429, header), status(200)}));
    asking ask(server.address());
    CHECK(ask.send().status == 200);
    CHECK(ask.time.pauses() == std::vector<std::chrono::milliseconds>{100ms});
}

TEST_CASE("The pauses are random, and none is longer than its limit") {
    fake::server server;
    server.always(status(503));
    asking ask(server.address());
    ask.options.chance = [] { return 0.25; };
    ask.send();
    CHECK(ask.time.pauses() == std::vector<std::chrono::milliseconds>{25ms, 50ms});
    const secrets::http_options fresh;
    for (int i = 0; i < 100; ++i) {
        const double drawn = fresh.chance();
        CHECK((drawn >= 0 && drawn <= 1));
    }
}

// ---- Faults -----------------------------------------------------------------------------------------------

TEST_CASE("A server that does not listen is unreachable, after all tries") {
    const fake::closed_port nobody;
    const asking ask(nobody.address());
    const auto failed = ask.failure();
    CHECK(failed.why == reason::unreachable);
    CHECK_THAT(failed.text, ContainsSubstring("mine: the store, the place: ") &&
                                ContainsSubstring("connect"));
    CHECK(ask.time.pauses().size() == 2);
}

TEST_CASE("Faulty answers, plain and encrypted, have their reasons, "
          "and no error contains what was sent or received") {
    const bool encrypted = GENERATE(false, true);
    const fake::certificate own;
    if (encrypted && !own.is_usable()) return;
    fake::server server(fake::server_options{.tls = encrypted ? &own : nullptr});
    asking ask(server.address());
    ask.options.ca_file = encrypted ? own.file() : "";
    ask.options.tries = 1;

    fake::answer cut_off{200, key}, half{200, key + key}, never{200, key}, odd, closed;
    cut_off.cut_off = 10;
    half.half = true;
    never.until_given_up = true;
    odd.raw = "SSH-2.0-" + token + "\r\n";
    server.always(cut_off);
    CHECK(ask.failure().why == reason::malformed);
    server.always(odd);
    CHECK(ask.failure().why == reason::malformed);
    ask.options.timeout = 300ms;
    server.always(half);
    CHECK(ask.failure().why == reason::timed_out);
    server.always(never);
    CHECK(ask.failure().why == reason::timed_out);
}

TEST_CASE("No retry begins after the time-out") {
    fake::server server;
    server.always(status(503));
    asking ask(server.address());
    ask.options.first_pause = 9s;
    ask.send();
    CHECK(server.requests() == 2);  // the second pause would be 18 s
}

TEST_CASE("No request is sent, and no pause begins, after the deadline of a read") {
    fake::server server;
    server.always(status(503));
    asking ask(server.address());
    ask.until = ask.time.clock().now() + 250ms;
    ask.send();
    CHECK(server.requests() == 2);  // the second pause would end at 300 ms
    ask.time.pass(200ms);
    CHECK(ask.failure().why == reason::timed_out);
    CHECK(server.requests() == 2);
}

TEST_CASE("The deadline of a read ends after the time-out, and after a day if that is longer") {
    helpers::hand_clock time;
    const auto begin_with = [&](std::chrono::milliseconds timeout) {
        const secrets::http_client http("mine", {.timeout = timeout, .clock = time.clock()});
        return http.begin_read() - time.clock().now();
    };
    CHECK(begin_with(5s) == 5s);
    CHECK(begin_with(std::chrono::milliseconds::max()) == 24h);
}

TEST_CASE("The environment configures trusted certificates and a proxy") {
    const variable file("SECRETS_TEST_CA", "ca.pem");
    const secrets::http_options options = secrets::http_options_of_environment("SECRETS_TEST_CA");
    CHECK(options.ca_file == "ca.pem");
    CHECK(options.proxy_of_environment);
}

TEST_CASE("The key is the text of a secret, or of the named field") {
    const secrets::http_client http("mine", {});
    const auto key_in = [&](std::optional<std::string_view> secret, std::string_view field = "") {
        return http.key_in(secret, field, "the place");
    };
    CHECK(key_in(key) == key);
    CHECK(key_in(R"({"key":"sk-1","other":"sk-2"})", "other") == "sk-2");
    CHECK(key_in("[1,2]") == "[1,2]");

    const auto refused = [&](std::optional<std::string_view> secret, std::string_view field = "") {
        return failure_of([&] { key_in(secret, field); });
    };
    const std::string object = R"({"key":")" + key + R"("})";
    CHECK(refused(std::nullopt).why == reason::malformed);
    for (const char* const empty : {"", "\n", "\r\n"}) CHECK(refused(empty).why == reason::missing_field);
    CHECK(refused(object).why == reason::missing_field);
    CHECK_THAT(refused(object).text, ContainsSubstring("JSON object") && ContainsSubstring("option 'field'"));
    CHECK_THAT(refused(object, "other").text, ContainsSubstring("no text in its field 'other'"));
    CHECK(refused(key, "key").why == reason::missing_field);
    CHECK(refused(R"({"key":1})", "key").why == reason::missing_field);
    CHECK(refused(R"({"key":""})", "key").why == reason::missing_field);
}

TEST_CASE("The headers of an interim answer are not those of the answer") {
    fake::server server;
    fake::answer both;
    both.raw = "HTTP/1.1 103 Early Hints\r\nX-Place: one\r\n\r\n"
               "HTTP/1.1 200 OK\r\nX-Place: two\r\nContent-Length: 0\r\n\r\n";
    server.always(both);
    CHECK(asking(server.address()).send().headers.find("x-place") == "two");
}

TEST_CASE("After main has ended, there are requests without TLS, and an error for those with it") {
    fake::server server;
    server.always(status(200));
    secrets::detail::is_program_ending = true;
    CHECK(asking(server.address()).send().status == 200);
    const helpers::failure failed = asking("https://127.0.0.1:1").failure();
    secrets::detail::is_program_ending = false;
    CHECK(failed.why == reason::failed);
    CHECK_THAT(failed.text, ContainsSubstring("main has ended"));
}

TEST_CASE("Invalid options are rejected") {
    const auto refused = [](auto spoil) {
        secrets::http_options options;
        spoil(options);
        return failure_of([&] { secrets::http_client("mine", options); }).why == reason::misconfigured;
    };
    CHECK_FALSE(refused([](auto&) {}));
    CHECK(refused([](auto& options) { options.timeout = 0s; }));
    CHECK(refused([](auto& options) { options.connect_timeout = -1s; }));
    CHECK(refused([](auto& options) { options.tries = 0; }));
    CHECK(refused([](auto& options) { options.first_pause = -1ms; }));
    CHECK(refused([](auto& options) { options.client_key = "key.pem"; }));
}

// ---- Text -------------------------------------------------------------------------------------------------

TEST_CASE("A text in a URL is percent-encoded") {
    CHECK(secrets::percent_encoded("aZ9-._~") == "aZ9-._~");
    CHECK(secrets::percent_encoded("a b/c?d#e%f\xff") == "a%20b%2Fc%3Fd%23e%25f%FF");
    CHECK(secrets::percent_encoded("a/b c", "/") == "a/b%20c");
    CHECK(secrets::percent_encoded(secrets::percent_encoded("a+b")) == "a%252Bb");
}

TEST_CASE("An address has parts, and addresses of this machine are recognized") {
    const auto parts = secrets::parts_of_url("HTTPS://Store.Example/a").value();
    CHECK(parts.scheme == "https");
    CHECK(parts.host == "store.example");
    CHECK(parts.port == "443");
    CHECK(parts.encrypted);
    CHECK_FALSE(parts.local);
    for (const char* const local :
         {"http://127.0.0.1", "http://127.9.9.9:80", "http://localhost", "http://[::1]:8200"})
        CHECK(secrets::parts_of_url(local).value().local);
    for (const char* const far :
         {"http://127.evil.example", "http://localhost.evil.example",
          "http://128.0.0.1", "http://169.254.169.254"})
        CHECK_FALSE(secrets::parts_of_url(far).value().local);
    CHECK(secrets::checked_address("mine", "https://store.example/a//") == "https://store.example/a");
    for (const std::string& odd :
         {"https://" + token + "@a.example", "https://a.example/?" + token, "https://a.example/#" + token,
          token, std::string("https://a.example?"), std::string("https://a.example/b#")})
        CHECK(failure_of([&] { secrets::checked_address("mine", odd); }).why == reason::misconfigured);
}
