// Keys from a KV version 2 engine, over HTTP on loopback.
#include "catch.hpp"
#include "secrets/cache.hpp"
#include "secrets/dotenv.hpp"
#include "secrets/get_api_key.hpp"
#include "secrets/helpers.hpp"
#include "secrets/kv2.hpp"
#include "secrets/readme.hpp"
#include "secrets/server.hpp"

#include <extensible/extensible.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <fstream>
#include <functional>
#include <latch>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Equals;
using namespace std::chrono_literals;
using helpers::failure;
using helpers::failure_of;
using helpers::variable;
using secrets::reason;

namespace {

const std::string token = helpers::secret("hvs.CAESIJ-token-of-the-test");
const std::string key = helpers::secret("sk-key-of-the-test-9482");
const std::string place = "secret/data/api-keys/openai";

secrets::kv2_options options_for(const std::string& address) {
    secrets::kv2_options options;
    options.address = address;
    options.login.token = token;
    options.http.timeout = 60s;  // no test waits that long
    options.http.tries = 1;
    return options;
}

struct application : helpers::application {
    application() = default;
    explicit application(secrets::kv2_options options) {
        secrets::add_kv2(plugin, "models.get_api_key", std::move(options));
    }
};

bool has_secret(const std::string& text) { return helpers::leaks::search().is_in(text); }

failure failure_with(secrets::kv2_options options) {
    return failure_of([&] { secrets::kv2_store hook(std::move(options)); });
}

// A way in which an engine, or a server in its place, can fail. Each answer with a body repeats
// token and key.
struct fault {
    std::string name;
    fake::answer answer;
    reason why;
};

std::vector<fault> faults() {
    const std::string leak = '"' + token + " " + key + '"';
    const std::string no_metadata = R"(,"metadata":{}}})";
    fake::answer cut_off = fake::found(key), html{404, "<html>" + token + key + "</html>"};
    cut_off.cut_off = 10;
    html.content_type = "text/html";
    fake::answer redirect{307, leak};
    redirect.more_headers = "Location: http://127.0.0.1:1/" + token + "\r\n";
    return {
        {"a token that is not valid for the path", fake::errors(403, R"("permission denied",)" + leak),
         reason::permission_denied},
        {"a proxy that requires a login", {401, leak}, reason::permission_denied},
        {"an engine that is sealed", fake::errors(503, R"("Vault is sealed",)" + leak), reason::sealed},
        {"an engine that is down for maintenance", fake::errors(503, leak), reason::server_error},
        {"a 503 that is not JSON", {503, "sealed? " + leak}, reason::server_error},
        {"too many requests", fake::errors(429, leak), reason::rate_limited},
        {"an internal error", fake::errors(500, leak), reason::server_error},
        {"a bad gateway", {502, leak}, reason::server_error},
        {"a request that is rejected", fake::errors(400, leak), reason::rejected},
        {"a redirect", redirect, reason::redirected},
        {"nothing mounted", fake::errors(404, R"("no handler for route",)" + leak), reason::no_engine},
        {"a 404 from another server", html, reason::malformed},
        {"a 404 without a body", {404, ""}, reason::malformed},
        {"an answer that was cut off", cut_off, reason::malformed},
        {"an answer without a body", {200, ""}, reason::malformed},
        {"an answer that is not JSON", {200, R"({"data":{"data":{"key":)" + leak}, reason::malformed},
        {"an answer that is not UTF-8", {200, "{" + leak + ":\"\xff\"}"}, reason::malformed},
        {"an answer that is an array", {200, "[" + leak + "]"}, reason::malformed},
        {"data that is a text", {200, R"({"data":)" + leak + "}"}, reason::malformed},
        {"data of version 1", {200, R"({"data":{"key":)" + leak + "}}"}, reason::malformed},
        {"data that is null for no reason", fake::found_data("null"), reason::malformed},
        {"metadata of the wrong types",
         {200, R"({"data":{"data":null,"metadata":{"deletion_time":1,"destroyed":"true"}}})"},
         reason::malformed},
        {"a field that is a number",
         fake::found_data(R"({"key":42,"token":)" + leak + "}"), reason::malformed},
        {"a field that is an object", fake::found_data(R"({"key":{"key":)" + leak + "}}"), reason::malformed},
        {"a secret without the field", fake::found_data(R"({"other":)" + leak + "}"), reason::missing_field},
        {"a field without a text",
         fake::found_data(R"({"key":"","other":)" + leak + "}"), reason::missing_field},
        {"a field that is a line break", fake::found_data(R"({"key":"\n","other":)" + leak + "}"),
         reason::missing_field},
        {"a text that is a JSON object",
         fake::found_data(R"({"key":" {\"user\":\"a,b\",\"password\":\")" + key + R"(\"}\n"})"),
         reason::missing_field},
        {"an answer that is too long",
         fake::found_data(R"({"key":")" + key + std::string(1 << 21, 'x') + "\"}"), reason::malformed},
        {"an answer that is nested too deeply", {200, std::string(1 << 17, '[')}, reason::malformed},
    };
}

}  // namespace

TEST_CASE("The key is the field of the secret") {
    fake::server server(token);
    server.put(place, fake::found(key));
    application app(options_for(server.address()));
    CHECK(app.get_api_key("openai") == key);
    CHECK(app.runs == 0);
    CHECK(app.errors.empty());
    CHECK(server.requests() == 1);
}

TEST_CASE("A read is a GET request for the data of the path, with the token") {
    fake::server server(token);
    CHECK(!secrets::kv2_store(options_for(server.address() + "/")).read("openai"));
    const fake::request asked = server.received().front();
    CHECK(asked.method == "GET");
    CHECK(asked.path == "/v1/secret/data/api-keys/openai");
    CHECK(asked.header("x-vault-token") == token);
    CHECK(asked.header("x-vault-request") == "true");
    CHECK(!asked.header("x-vault-namespace"));
    CHECK(!asked.header("authorization"));
}

TEST_CASE("A request without a token has no header for it") {
    fake::server server;
    secrets::kv2_options options = options_for(server.address());
    options.login.token = "";
    CHECK(!secrets::kv2_store(options).read("openai"));
    CHECK(!server.received().front().header("x-vault-token"));
}

TEST_CASE("A namespace is sent as a header") {
    fake::server server(token);
    secrets::kv2_options options = options_for(server.address());
    options.name_space = "team/search";
    CHECK(!secrets::kv2_store(options).read("openai"));
    CHECK(server.received().front().header("x-vault-namespace") == "team/search");
}

TEST_CASE("The application chooses mount, path and field") {
    fake::server server(token);
    server.put("team/kv/data/prod/openai/x/openai-2",
               fake::found_data(R"({"key":"other","api_key":")" + key + "\"}"));
    secrets::kv2_options options = options_for(server.address());
    options.mount = "/team/kv/";
    options.path = "prod/{service}/x/{service}-2";
    options.field = "api_key";
    CHECK(secrets::kv2_store(options).read("openai") == key);
}

TEST_CASE("The service's name is percent-encoded in the path") {
    const auto [service, path] = GENERATE(table<std::string, std::string>({
        {"my key", "my%20key"},
        {"a?version=1#b", "a%3Fversion%3D1%23b"},
        {"100%", "100%25"},
        {"%2e%2e", "%252e%252e"},
        {"gr\xc3\xbc\xc3\x9f", "gr%C3%BC%C3%9F"},
        {"a.", "a."},
        {"azure/openai", "azure/openai"},
        {".openai", ".openai"},
        {"{service}", "%7Bservice%7D"},
    }));
    fake::server server(token);
    CHECK(!secrets::kv2_store(options_for(server.address())).read(service));
    CHECK(server.received().front().path == "/v1/secret/data/api-keys/" + path);
}

TEST_CASE("A name that would lead to another path or has control characters is not requested") {
    const std::string service =
        GENERATE(as<std::string>{}, "", ".", "..", "../other", "a/../b", "a//b", "/a", "a/",
                 "../../sys/mounts", "open\r\nX-Other: 1", "a\tb", "\x7f", std::string("a\0b", 3));
    fake::server server(token);
    application app(options_for(server.address()));
    CHECK(app.get_api_key(service) == "sk-from-the-environment");
    CHECK(server.requests() == 0);
    CHECK(app.errors.empty());
}

TEST_CASE("A key with quotes, line breaks and other letters arrives as it was stored") {
    fake::server server(token);
    server.put(place, fake::found_data(R"({"key":"\"sk\"\\\n\u00fc\u0000."})"));
    CHECK(secrets::kv2_store(options_for(server.address())).read("openai") ==
          std::string("\"sk\"\\\n\xc3\xbc\0.", 10));
}

TEST_CASE("kv2: A line break at the end of a key is removed, and nothing else") {
    const auto [stored, got] = GENERATE(table<std::string, std::string>({
        {R"(sk-1\n)", "sk-1"},
        {R"(sk-1\r\n)", "sk-1"},
        {R"(sk-1\n\n)", "sk-1\n"},
        {R"( sk-1 \t)", " sk-1 \t"},
        {R"(sk-1,sk-2)", "sk-1,sk-2"},
    }));
    fake::server server(token);
    server.put(place, fake::found(stored));
    CHECK(application(options_for(server.address())).get_api_key("openai") == got);
}

TEST_CASE("kv2: An error says that the field has a JSON object in it") {
    fake::server server(token);
    server.put(place, fake::found(R"({\"user\":\"me\"})"));
    const secrets::kv2_store store(options_for(server.address()));
    CHECK_THAT(failure_of([&] { store.read("openai"); }).text,
               ContainsSubstring("the field 'key' has a JSON object in it, which is not a key"));
}

TEST_CASE("A note says where the key came from") {
    fake::server server(token);
    server.put(place, fake::found(key));
    application app(options_for(server.address()));
    std::string source;
    app.get_api_key.on_end([&](auto& call) { source = call.kwargs.value_or("source", "nowhere"); });
    app.get_api_key("openai");
    CHECK(source == "kv2 secret/api-keys/openai");
    app.get_api_key("nobody");
    CHECK(source == "nowhere");
}

TEST_CASE("If a secret is missing, deleted or destroyed, "
          "the function supplies the key, and nothing is reported") {
    fake::server server(token);
    const fake::answer none = GENERATE(fake::missing(), fake::deleted(), fake::destroyed(),
                                       fake::answer{204});
    server.put(place, none);
    const auto choice = GENERATE(secrets::on_failure::fall_through, secrets::on_failure::fail);
    secrets::kv2_options options = options_for(server.address());
    options.on_failure = choice;
    application app(options);
    CHECK(app.get_api_key("openai") == "sk-from-the-environment");
    CHECK(app.errors.empty());
    for (const fake::request& asked : server.received())  // one request asks what is mounted there
        CHECK((asked.path == "/v1/" + place || asked.path == "/v1/sys/internal/ui/mounts/secret"));
    CHECK(server.requests() == (none.body == fake::missing().body ? 2 : 1));
}

TEST_CASE("A version that will be deleted later still has its key") {
    fake::server server(token);
    const std::string metadata = fake::version_metadata("2999-01-01T00:00:00Z", false);
    server.put(place, {200, fake::secret(R"({"key":")" + key + R"("})", metadata)});
    CHECK(secrets::kv2_store(options_for(server.address())).read("openai") == key);
}

TEST_CASE("The engine is not asked if an earlier hook has supplied the key") {
    fake::server server(token);
    application app(options_for(server.address()));
    app.get_api_key.on_start([](auto& call) { call.result = "sk-from-a-hook"; }, {.before = "kv2"});
    CHECK(app.get_api_key("openai") == "sk-from-a-hook");
    CHECK(server.requests() == 0);
}

// ---- Failures ---------------------------------------------------------------------------------------------

TEST_CASE("Each failure has its reason, and no error text contains the token or the key") {
    for (const fault& fault : faults()) {
        CAPTURE(fault.name);
        fake::server server;
        server.always(fault.answer);
        const secrets::kv2_store hook(options_for(server.address()));
        const failure failed = failure_of([&] { hook.read("openai"); });
        CHECK(failed.why == fault.why);
        CHECK_THAT(failed.text, ContainsSubstring("kv2: " + server.address() + ", secret/api-keys/openai: "));
        CHECK(!has_secret(failed.text));
        CHECK(failed.text.size() < 200);
        CHECK(server.requests() == 1);  // no retry
    }
}

TEST_CASE("A failure reaches the caller, unless the engine is out of reach, and the hook falls through") {
    const auto choice = GENERATE(secrets::on_failure::fall_through, secrets::kv2_options().on_failure);
    for (const fault& fault : faults()) {
        CAPTURE(fault.name);
        fake::server server;
        server.always(fault.answer);
        secrets::kv2_options options = options_for(server.address());
        options.on_failure = choice;
        application app(options);
        if (choice == secrets::on_failure::fall_through && secrets::is_out_of_reach(fault.why)) {
            CHECK(app.get_api_key("openai") == "sk-from-the-environment");
            REQUIRE(app.errors.size() == 1);
            CHECK_THAT(app.errors[0],
                       ContainsSubstring("the isolated start hook 'kv2' of secrets threw: kv2: http://"));
            CHECK(!has_secret(app.errors[0]));
            continue;
        }
        const failure failed = failure_of([&] { app.get_api_key("openai"); });
        CHECK(failed.why == fault.why);
        CHECK(!has_secret(failed.text));
        CHECK(app.runs == 0);
        CHECK(app.errors.empty());
    }
}

TEST_CASE("A wrong token is distinguished from a missing secret") {
    fake::server server("another token");
    server.put(place, fake::found(key));
    const failure failed =
        failure_of([&] { secrets::kv2_store(options_for(server.address())).read("openai"); });
    CHECK(failed.why == reason::permission_denied);
    CHECK_THAT(failed.text,
               Equals("kv2: " + server.address() + ", secret/api-keys/openai: permission denied"));
}

TEST_CASE("An engine that does not answer in time is given up") {
    fake::server server;
    fake::answer late = fake::found(key);
    late.until_given_up = true;
    server.always(late);
    secrets::kv2_options options = options_for(server.address());
    options.http.timeout = 50ms;
    options.on_failure = secrets::on_failure::fall_through;
    application app(options);
    CHECK(app.get_api_key("openai") == "sk-from-the-environment");
    REQUIRE(app.errors.size() == 1);
    CHECK_THAT(app.errors[0], ContainsSubstring("imeout"));
    CHECK(failure_of([&] { secrets::kv2_store(options).read("openai"); }).why == reason::timed_out);
}

TEST_CASE("An engine that does not listen is unreachable") {
    const fake::closed_port nobody;
    secrets::kv2_options options = options_for(nobody.address());
    options.on_failure = secrets::on_failure::fall_through;
    application app(options);
    CHECK(app.get_api_key("openai") == "sk-from-the-environment");
    REQUIRE(app.errors.size() == 1);
    CHECK(!has_secret(app.errors[0]));
    const failure failed =
        failure_of([&] { secrets::kv2_store(options_for(nobody.address())).read("openai"); });
    CHECK(failed.why == reason::unreachable);
    CHECK_THAT(failed.text, ContainsSubstring("connect"));
}

TEST_CASE("A failed call does not prevent the next call from getting the key") {
    fake::server server(token);
    server.put(place, fake::errors(503, R"("Vault is sealed")"));
    application app(options_for(server.address()));
    CHECK(failure_of([&] { app.get_api_key("openai"); }).why == reason::sealed);
    server.put(place, fake::found(key));
    CHECK(app.get_api_key("openai") == key);
}

// ---- Where the token is sent ------------------------------------------------------------------------------

TEST_CASE("The token is not sent to the target of a redirect") {
    fake::server other, server;
    other.always(fake::found(key));
    server.always({307, "", "text/plain", "Location: " + other.address() + "/v1/" + place + "\r\n"});
    const secrets::kv2_store store(options_for(server.address()));
    CHECK(failure_of([&] { store.read("openai"); }).why == reason::redirected);
    CHECK(other.requests() == 0);
}

TEST_CASE("The token is not sent to a proxy from the environment") {
    fake::server proxy, server(token);
    proxy.always(fake::found("sk-of-the-proxy"));
    server.put(place, fake::found(key));
    const variable http("http_proxy", proxy.address().c_str()), all("ALL_PROXY", proxy.address().c_str()),
        none("no_proxy", nullptr), NONE("NO_PROXY", nullptr);
    CHECK(secrets::kv2_store(options_for(server.address())).read("openai") == key);
    CHECK(proxy.requests() == 0);
}

TEST_CASE("Each hook warns once if its connection is not encrypted or certificates are not verified") {
    std::vector<std::string> warnings;
    const auto hook_for = [&](const std::string& address, bool verify) {
        warnings.clear();
        secrets::kv2_options options = options_for(address);
        options.http.tls_verify = verify;
        options.warn = [&](std::string_view line) { warnings.emplace_back(line); };
        return secrets::kv2_store(options);
    };
    hook_for("https://bao.example:8200", true);
    CHECK(warnings.empty());
    hook_for("https://bao.example:8200", false);
    REQUIRE(warnings.size() == 1);
    CHECK_THAT(warnings[0], ContainsSubstring("WARNING: certificates are not verified"));
    CHECK(!has_secret(warnings[0]));
    hook_for("http://bao.example:8200", true);
    REQUIRE(warnings.size() == 1);
    CHECK_THAT(warnings[0], ContainsSubstring("WARNING: http://bao.example:8200 is not encrypted"));
    hook_for("http://127.evil.example:8200", true);
    CHECK(warnings.size() == 1);
    for (const char* const local : {"http://127.0.0.1:8200", "http://localhost:8200", "http://[::1]:8200"}) {
        hook_for(local, true);
        CHECK(warnings.empty());
    }

    fake::server server(token);
    server.put(place, fake::found(key));
    const secrets::kv2_store hook = hook_for(server.address(), false);
    hook.read("openai");
    hook.read("openai");
    CHECK(warnings.empty());  // there is no certificate to verify
}

TEST_CASE("Certificates are verified unless the options say otherwise, whatever the environment says") {
    const variable bao("BAO_SKIP_VERIFY", "true"), vault("VAULT_SKIP_VERIFY", "true");
    const variable address("BAO_ADDR", "https://127.0.0.1:1");
    CHECK(secrets::kv2_from_environment().value().http.tls_verify);
    CHECK(secrets::kv2_options().http.tls_verify);
}

TEST_CASE("A server with an untrusted certificate does not receive the token") {
    const fake::certificate certificate;
    if (!certificate.is_usable()) return;
    fake::server server({.token = token, .tls = &certificate});
    server.put(place, fake::found(key));
    secrets::kv2_options options = options_for(server.address());
    int warnings = 0;
    options.warn = [&](std::string_view) { ++warnings; };
    CHECK(failure_of([&] { secrets::kv2_store(options).read("openai"); }).why == reason::untrusted);

    SECTION("a certificate in the options is trusted") {
        options.http.ca_file = certificate.file();
        CHECK(secrets::kv2_store(options).read("openai") == key);
        CHECK(warnings == 0);
    }
    SECTION("a certificate for another host is not trusted") {
        options.http.ca_file = certificate.file();
        options.address = server.address("localhost");
        CHECK(failure_of([&] { secrets::kv2_store(options).read("openai"); }).why == reason::untrusted);
    }
    SECTION("nothing is trusted if the file in the options cannot be read") {
        options.http.ca_file = certificate.file() + ".missing";
        CHECK(failure_of([&] { secrets::kv2_store(options).read("openai"); }).why == reason::misconfigured);
    }
    SECTION("without verification the server receives the token, and there is a warning") {
        options.http.tls_verify = false;
        CHECK(secrets::kv2_store(options).read("openai") == key);
        CHECK(warnings == 1);
    }
}

TEST_CASE("A server without TLS at an https address is not trusted") {
    fake::server server;
    secrets::kv2_options options = options_for("https" + server.address().substr(4));
    options.http.timeout = 50ms;  // the server may take the greeting for a request, and wait for its end
    const failure failed = failure_of([&] { secrets::kv2_store(options).read("openai"); });
    CHECK((failed.why == reason::untrusted || failed.why == reason::timed_out));
    CHECK(server.requests() == 0);
}

// ---- Options ----------------------------------------------------------------------------------------------

TEST_CASE("The options come from BAO_ variables, or from VAULT_ variables if those are not set") {
    const variable bao_address("BAO_ADDR", nullptr), vault_address("VAULT_ADDR", "http://127.0.0.1:2"),
        bao_token("BAO_TOKEN", nullptr), vault_token("VAULT_TOKEN", "of vault"),
        bao_space("BAO_NAMESPACE", nullptr), vault_space("VAULT_NAMESPACE", "space of vault"),
        bao_file("BAO_CACERT", nullptr), vault_file("VAULT_CACERT", "/vault.pem"),
        bao_path("BAO_CAPATH", nullptr), vault_path("VAULT_CAPATH", "/vault");
    secrets::kv2_options options = secrets::kv2_from_environment().value();
    CHECK(options.address == "http://127.0.0.1:2");
    CHECK(options.login.token == "of vault");
    CHECK(options.name_space == "space of vault");
    CHECK(options.http.ca_file == "/vault.pem");
    CHECK(options.http.ca_path.empty());  // the file is preferred to the directory
    CHECK(options.on_failure == secrets::on_failure::fail);
    {
        const variable address("BAO_ADDR", "http://127.0.0.1:1"), the_token("BAO_TOKEN", "of bao"),
            space("BAO_NAMESPACE", ""), file("BAO_CACERT", "/bao.pem"), path("BAO_CAPATH", "/bao");
        options = secrets::kv2_from_environment().value();
        CHECK(options.address == "http://127.0.0.1:1");
        CHECK(options.login.token == "of bao");
        CHECK(options.name_space.empty());  // set, but empty
        CHECK(options.http.ca_file == "/bao.pem");
        CHECK(options.http.ca_path.empty());
        const variable no_file("BAO_CACERT", "");
        CHECK(secrets::kv2_from_environment().value().http.ca_path == "/bao");
    }
    const variable none("VAULT_ADDR", nullptr);
    CHECK_FALSE(secrets::kv2_from_environment());
}

TEST_CASE("Invalid options are rejected when the hook is created, and the error does not contain the token") {
    using change = std::function<void(secrets::kv2_options&)>;
    const auto [about, spoil] = GENERATE(table<std::string, change>({
        {"the address (BAO_ADDR or VAULT_ADDR) is not a URL", [](auto& options) { options.address = ""; }},
        {"the address (BAO_ADDR or VAULT_ADDR) is not a URL", [](auto& options) { options.address = token; }},
        {"the address (BAO_ADDR or VAULT_ADDR) is not a URL",
         [](auto& options) { options.address = "bao.example:8200"; }},
        {"the address (BAO_ADDR or VAULT_ADDR) is not a URL",
         [](auto& options) { options.address = "ftp://bao.example"; }},
        {"the address (BAO_ADDR or VAULT_ADDR) is not a URL",
         [](auto& options) { options.address = "file:///etc/passwd"; }},
        {"VAULT_ADDR) has a user, a query or a fragment",
         [](auto& options) { options.address = "https://me:" + token + "@bao.example"; }},
        {"VAULT_ADDR) has a user, a query or a fragment",
         [](auto& options) { options.address = "https://bao.example/?x=" + token; }},
        {"VAULT_ADDR) has a user, a query or a fragment",
         [](auto& options) { options.address = "https://bao.example?"; }},
        {"VAULT_ADDR) has a user, a query or a fragment",
         [](auto& options) { options.address = "https://bao.example/#"; }},
        {"the address (BAO_ADDR or VAULT_ADDR) has no path after unix://",
         [](auto& options) { options.address = "unix://"; }},
        {"version must be 1 or 2", [](auto& options) { options.version = GENERATE(0, 3); }},
        {"the token is not one line", [](auto& options) { options.login.token += "\r\nX-Other: 1"; }},
        {"the namespace is not one line", [](auto& options) { options.name_space = "a\nb"; }},
        {"'' is not a mount", [](auto& options) { options.mount = ""; }},
        {"'a/../b' is not a mount", [](auto& options) { options.mount = "a/../b"; }},
        {"'api-keys/openai' has no {service} in it", [](auto& options) { options.path = "api-keys/openai"; }},
        {"'../{service}' is not a path", [](auto& options) { options.path = "../{service}"; }},
        {"timeout", [](auto& options) { options.http.timeout = 0s; }},
        {"connect_timeout", [](auto& options) { options.http.connect_timeout = -1s; }},
    }));
    CAPTURE(about);
    secrets::kv2_options options = options_for("https://bao.example");
    CHECK(!failure_with(options).why);
    spoil(options);
    const failure failed = failure_with(options);
    CHECK(failed.why == reason::misconfigured);
    CHECK_THAT(failed.text, ContainsSubstring(about));
    CHECK(!has_secret(failed.text));

    application app;
    CHECK_THROWS_AS(secrets::add_kv2(app.plugin, "models.get_api_key", options), secrets::store_error);
    CHECK(app.registry.functions().at(0).hooks.empty());
}

// ---- With the other hooks ---------------------------------------------------------------------------------

TEST_CASE("A key comes from the cache, else from the engine, "
          "else from the .env file, else from the environment") {
    fake::server server(token);
    server.put(place, fake::found(key));
    const fake::temporary_directory directory;
    std::ofstream(directory.path() / ".env") << "OPENAI_API_KEY=wrong\nMISTRAL_API_KEY=sk-from-dotenv\n";
    const variable openai("OPENAI_API_KEY", "wrong"), mistral("MISTRAL_API_KEY", "wrong"),
        other("OTHER_API_KEY", "sk-from-env");

    ext::plugin plugin{"secrets"};
    secrets::cache cache;  // registered in the least suitable order
    cache.add_to(plugin);
    plugin.on_start(get_api_key, secrets::dotenv_hook(directory.path() / ".env"),
                    {.id = "dotenv", .after = "kv2", .fallback = true});
    secrets::add_kv2(plugin, "models.get_api_key", options_for(server.address()));

    for (int i = 0; i < 2; ++i) {
        CHECK(get_api_key("openai") == key);
        CHECK(get_api_key("mistral") == "sk-from-dotenv");
        CHECK(get_api_key("other") == "sk-from-env");
        CHECK(get_api_key("nobody").empty());
        CHECK(server.requests() == 7);  // one for each of four keys, and three for the mount
    }
    plugin.unload();
    CHECK(get_api_key("openai") == "wrong");  // the function without hooks
}

TEST_CASE("While the engine is down, a key from elsewhere and an earlier key can still be used") {
    fake::server server(token);
    server.put(place, fake::found(key));
    auto now = std::chrono::steady_clock::now();
    secrets::kv2_options down = options_for(server.address());
    down.on_failure = secrets::on_failure::fall_through;
    application app(down);
    secrets::cache_options options{.ttl = 60s, .serve_stale = true, .retry_after = 5s};
    options.report = [](std::string_view) {};
    options.now = [&] { return now; };
    secrets::cache(options).add_to(app.plugin);
    CHECK(app.get_api_key("openai") == key);

    server.always(fake::errors(503, R"("Vault is sealed")"));
    now += 60s;
    CHECK(app.get_api_key("openai") == key);
    CHECK(app.get_api_key("mistral") == "sk-from-the-environment");
    CHECK(app.errors.size() == 2);
    CHECK(server.requests() == 3);

    server.always(fake::found("sk-new"));
    now += 5s;
    CHECK(app.get_api_key("openai") == "sk-new");
    CHECK(app.get_api_key("mistral") == "sk-new");
    CHECK(app.errors.size() == 2);
}

// ---- Threads ----------------------------------------------------------------------------------------------

TEST_CASE("Threads ask for different keys at the same time") {
    constexpr int count = 16;
    fake::server server(token);
    std::latch all_asked(count);
    for (int i = 0; i < count; ++i) {
        fake::answer answer = fake::found(key + std::to_string(i));
        answer.first = [&] { all_asked.arrive_and_wait(); };  // no answer before all have asked
        server.put("secret/data/api-keys/service-" + std::to_string(i), answer);
    }
    application app(options_for(server.address()));
    std::atomic<int> right = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < count; ++i)
        threads.emplace_back([&, i] {
            right += app.get_api_key("service-" + std::to_string(i)) == key + std::to_string(i);
        });
    for (std::thread& thread : threads) thread.join();
    CHECK(right == count);
    CHECK(app.errors.empty());
}

TEST_CASE("Two thousand threads that ask for one key send one request to the engine") {
    constexpr int count = 2000;
    fake::server server(token);
    secrets::cache cache;
    fake::answer answer = fake::found(key);
    answer.first = [&] {  // waits until all other threads wait, or a second request is there
        while (cache.waiting() < count - 1 && server.requests() == 1) std::this_thread::yield();
    };
    server.put(place, answer);
    application app(options_for(server.address()));
    cache.add_to(app.plugin);
    std::atomic<int> right = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < count; ++i) threads.emplace_back([&] { right += app.get_api_key("openai") == key; });
    for (std::thread& thread : threads) thread.join();
    CHECK(right == count);
    CHECK(server.requests() == 1);
    CHECK(app.get_api_key("openai") == key);
    CHECK(server.requests() == 1);
    CHECK(app.errors.empty());
}

// ---- The program ------------------------------------------------------------------------------------------

TEST_CASE("kv2: The program prints what the README shows, and asks the engine once for each service") {
    fake::server server(token);
    server.put(place, fake::found(key));
    server.put("secret/data/api-keys/payments", fake::errors(403, R"("permission denied")"));
    const readme::example shown("vault");
    const readme::texts replaced{{"https://bao.example:8200", server.address()}, {"my-token", token}};
    CHECK(shown.printed(replaced) == shown.output());
    const std::vector<fake::request> all = server.received();
    const auto is_of_key = [](const fake::request& asked) { return asked.path == "/v1/" + place; };
    CHECK(std::count_if(all.begin(), all.end(), is_of_key) == 1);
    const readme::texts variables{{"BAO_ADDR", server.address()}, {"BAO_TOKEN", token}};
    CHECK(readme::output_of("./get_key --reveal openai", variables) == "openai: " + key + "\n");
}
