// Keys from a stand-in for Keystone and Barbican, over HTTP on loopback. It gives the answers that
// the real servers were observed to give. tests/secrets/barbican has the test with the real
// servers.
#include "catch.hpp"

// Macros of Windows' headers. No header of the example may use these words.
#define interface struct
#define near
#define far
#define small char
#define hyper __int64

#include "secrets/barbican.hpp"
#include "secrets/cache.hpp"
#include "secrets/helpers.hpp"
#include "secrets/replacement.hpp"
#include "secrets/server.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Equals;
using namespace std::chrono_literals;
using helpers::failure;
using helpers::failure_of;
using helpers::variable;
using secrets::reason;
using secrets::secret_text;

namespace {

const std::string password = helpers::secret("pw-\"of\\the\"-test-5512");
const std::string key = helpers::secret("sk-key-of-the-test-9482");
const std::string token = "gAAAAABm-token-of-the-test-";  // followed by a number
const std::string searched_token = helpers::secret(token);
const std::string uuid = "0dc34e09-35a2-4a6e-a5e2-824c576eda65";
const std::string place = "api-keys/openai";

// ---- The stand-in -----------------------------------------------------------------------------------------

struct stored {
    std::string name, payload, id = uuid;
};

// Compares like SQL's LIKE.
bool is_like(std::string_view name, std::string_view pattern) {
    if (pattern.empty()) return name.empty();
    if (pattern[0] == '%')
        return is_like(name, pattern.substr(1)) || (!name.empty() && is_like(name.substr(1), pattern));
    if (name.empty()) return false;
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    return (pattern[0] == '_' || lower(pattern[0]) == lower(name[0])) &&
           is_like(name.substr(1), pattern.substr(1));
}

std::string parameter(const std::string& path, const std::string& name) {
    const std::size_t at = path.find(name + '=');
    if (at == std::string::npos) return "";
    const std::size_t begin = at + name.size() + 1;
    return fake::decoded(path.substr(begin, path.find('&', begin) - begin));
}

// The three forms of errors.
fake::answer keystone_error(int status) {
    return {status,
            R"({"error":{"code":)" + std::to_string(status) + R"(,"title":"Title","message":"Message"}})"};
}
fake::answer barbican_error(int status, const std::string& description = "Description") {
    return {status, R"({"code": )" + std::to_string(status) + R"(, "title": "Title", "description": ")" +
                        description + "\"}"};
}
fake::answer html(int status) {
    return {status, "<html>" + password + token + key + "</html>", "text/html; charset=UTF-8"};
}

class cloud {
public:
    explicit cloud(fake::server_options options = {}) : server(std::move(options)) {
        server.always([this](const fake::request& asked) { return answer_to(asked); });
    }

    std::string catalogue() const {
        return R"([{"type":"identity","endpoints":[)"
               R"({"interface":"public","region":"one","url":"http://127.0.0.1:1"}]},)"
               R"({"type":"key-manager","endpoints":[)"
               R"({"interface":"internal","region":"one","url":"http://127.0.0.1:2"},)"
               R"({"interface":"public","region":"one","region_id":"one","url":")" +
               server.address() + "\"}]}]";
    }
    std::size_t count(const std::string& beginning) const {
        const std::vector<fake::request> all = server.received();
        return static_cast<std::size_t>(
            std::count_if(all.begin(), all.end(),
                          [&](const fake::request& asked) { return asked.path.starts_with(beginning); }));
    }
    std::size_t logins() const { return count("/v3/auth/tokens"); }
    std::size_t finds() const { return count("/v1/secrets?"); }
    std::size_t payloads() const { return count("/v1/secrets/"); }

    // Invalidates all tokens.
    void withdraw() {
        const std::lock_guard lock(mutex);
        good.clear();
    }

    fake::server server;
    std::mutex mutex;
    std::vector<stored> kept{{place, key}};  // the newest first
    std::set<std::string> good;
    int given = 0;
    std::size_t largest_page = 100;
    std::string issued = "2026-11-24T08:00:00.000000Z", expires = "2026-11-24T09:00:00.000000Z",
                offered = catalogue(), token_header = "X-Subject-Token", host = "http://localhost:9311";
    fake::replacement<const fake::request&> instead;

private:
    fake::answer answer_to(const fake::request& asked) {
        if (std::optional<fake::answer> other = instead(asked)) return *other;
        if (asked.method == "POST" && asked.path == "/v3/auth/tokens") return log_in(asked);
        const std::lock_guard lock(mutex);
        if (!good.contains(asked.header("x-auth-token").value_or(""))) return keystone_error(401);
        if (asked.path.starts_with("/v1/secrets?")) return list(asked.path);
        if (!asked.path.starts_with("/v1/secrets/")) return html(404);
        for (const stored& secret : kept)
            if (asked.path == "/v1/secrets/" + secret.id + "/payload")
                return {200, secret.payload, asked.header("accept").value_or("")};
        return barbican_error(404, "Secret not found.");
    }

    fake::answer log_in(const fake::request& asked) {
        const std::lock_guard lock(mutex);
        if (asked.body.find(R"("password":"pw-\"of\\the\"-test-5512")") == std::string::npos &&
            asked.body.find(R"("secret":"pw-\"of\\the\"-test-5512")") == std::string::npos)
            return keystone_error(401);
        const std::string fresh = token + std::to_string(++given);
        good.insert(fresh);
        return {201,
                R"({"token":{"issued_at":")" + issued + R"(","expires_at":")" + expires + R"(","catalog":)" +
                    offered + "}}",
                "application/json", token_header + ": " + fresh + "\r\n"};
    }

    fake::answer list(const std::string& path) const {
        const std::string pattern = fake::decoded(parameter(path, "name"));  // again: it is encoded twice
        const auto offset = std::stoul("0" + parameter(path, "offset")),
                   limit = std::stoul("0" + parameter(path, "limit"));
        std::string entries;
        std::size_t total = 0;
        for (const stored& secret : kept) {
            if (!is_like(secret.name, pattern) || total++ < offset ||
                total > offset + std::min(limit, largest_page))
                continue;
            secret_text name;
            secrets::append_quoted(name, secret.name);
            entries += (entries.empty() ? "" : ",") + (R"({"name":)" + std::string(name.view())) +
                       R"(,"secret_ref":")" + host + "/v1/secrets/" + secret.id + "\"}";
        }
        return {200, R"({"secrets":[)" + entries +
                         R"(],"next":"http://127.0.0.1:1/v1/secrets?limit=10&offset=10","total":)" +
                         std::to_string(total) + "}"};
    }
};

secrets::barbican_options options_for(const std::string& address) {
    secrets::barbican_options options;
    options.keystone.auth_url = address + "/v3";
    options.keystone.user_name = "loader";
    options.keystone.user_domain_name = "Default";
    options.keystone.password = secret_text(password);
    options.keystone.project_name = "demo";
    options.keystone.project_domain_name = "Default";
    options.http.timeout = 60s;  // no test waits that long
    options.http.first_pause = 0ms;
    return options;
}
secrets::barbican_options options_for(const cloud& cloud) { return options_for(cloud.server.address()); }

secrets::barbican_options with_application_credential(secrets::barbican_options options) {
    options.keystone.application_credential_id = "587b547998854931af5370b396bbaf57";
    options.keystone.application_credential_secret = secret_text(password);
    return options;
}

failure failure_with(const secrets::barbican_options& options, std::string_view service = "openai") {
    return failure_of([&] { secrets::barbican_store(options).read(service); });
}

std::optional<std::string> key_with(const secrets::barbican_options& options,
                                    std::string_view service = "openai") {
    return secrets::barbican_store(options).read(service);
}

// The environment of an application that logs in with a password, and none of the other variables.
class environment {
public:
    explicit environment(const std::string& auth_url) {
        const auto set = [this](const char* name, const char* value) {
            variables_.push_back(std::make_unique<variable>(name, value));
        };
        for (const char* const name :
             {"OS_USER_ID", "OS_PROJECT_ID", "OS_USER_DOMAIN_ID", "OS_PROJECT_DOMAIN_ID", "OS_INTERFACE",
              "OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_SECRET",
              "OS_APPLICATION_CREDENTIAL_NAME", "OS_AUTH_TYPE", "OS_AUTH_PLUGIN", "OS_TOKEN", "OS_AUTH_TOKEN",
              "OS_CLOUD", "OS_TRUST_ID", "OS_SYSTEM_SCOPE", "OS_TENANT_ID", "OS_IDENTITY_API_VERSION",
              "OS_ENDPOINT_TYPE", "OS_ENDPOINT_OVERRIDE", "OS_KEY_MANAGER_ENDPOINT_OVERRIDE",
              "OS_KEY_MANAGER_INTERFACE", "OS_KEY_MANAGER_REGION_NAME", "BARBICAN_ENDPOINT", "OS_CACERT",
              "OS_CERT", "OS_KEY", "http_proxy", "all_proxy", "ALL_PROXY"})
            set(name, nullptr);
        set("OS_AUTH_URL", auth_url.c_str());
        set("OS_USERNAME", "loader");
        set("OS_PASSWORD", password.c_str());
        set("OS_PROJECT_NAME", "demo");
        set("OS_USER_DOMAIN_NAME", "Default");
        set("OS_PROJECT_DOMAIN_NAME", "Default");
        set("OS_REGION_NAME", "one");
    }

private:
    std::vector<std::unique_ptr<variable>> variables_;
};

}  // namespace

// ---- The login --------------------------------------------------------------------------------------------

TEST_CASE("A key comes from Barbican, by a login at Keystone, a search and a read") {
    cloud cloud;
    helpers::application app;
    secrets::add_barbican(app.plugin, "models.get_api_key", options_for(cloud));
    std::string source;
    app.get_api_key.on_end([&](auto& call) { source = call.kwargs.value_or("source", "nowhere"); });
    CHECK(app.get_api_key("openai") == key);
    CHECK(source == "barbican api-keys/openai");
    CHECK(app.runs == 0);
    CHECK(app.errors.empty());
    CHECK(cloud.server.requests() == 3);

    CHECK(app.get_api_key("nobody") == "sk-from-the-environment");
    CHECK(app.errors.empty());
    CHECK(cloud.logins() == 1);
    CHECK(cloud.finds() == 2);
    CHECK(cloud.payloads() == 1);
}

TEST_CASE("Keystone is asked under /v3, whether its address in the options has the /v3 or not") {
    const std::string end = GENERATE("", "/", "/v3", "/v3/", "/v3//");
    cloud cloud;
    secrets::barbican_options options = options_for(cloud);
    options.keystone.auth_url = cloud.server.address() + end;
    CHECK(key_with(options) == key);
    const fake::request login = cloud.server.received().at(0);
    CHECK(login.method == "POST");
    CHECK(login.path == "/v3/auth/tokens");
    CHECK(login.header("content-type") == "application/json");
    CHECK(!login.header("x-auth-token"));
}

TEST_CASE("A password is sent with the user and the project, by names with domains or by ids") {
    cloud cloud;
    secrets::barbican_options options = options_for(cloud);
    CHECK(key_with(options) == key);
    CHECK(cloud.server.received().at(0).body ==
          R"({"auth":{"identity":{"methods":["password"],"password":{)"
          R"("user":{"name":"loader","domain":{"name":"Default"},"password":"pw-\"of\\the\"-test-5512"}}},)"
          R"("scope":{"project":{"name":"demo","domain":{"name":"Default"}}}}})");

    options.keystone.user_domain_id = options.keystone.project_domain_id = "default";
    CHECK(key_with(options) == key);
    CHECK(cloud.server.received().at(3).body ==
          R"({"auth":{"identity":{"methods":["password"],"password":{)"
          R"("user":{"name":"loader","domain":{"id":"default"},"password":"pw-\"of\\the\"-test-5512"}}},)"
          R"("scope":{"project":{"name":"demo","domain":{"id":"default"}}}}})");

    options.keystone.user_id = "u\n1";
    options.keystone.project_id = "p1";
    CHECK(key_with(options) == key);
    CHECK(cloud.server.received().at(6).body ==
          R"({"auth":{"identity":{"methods":["password"],"password":{"user":{"id":"u\u000a1",)"
          R"("password":"pw-\"of\\the\"-test-5512"}}},"scope":{"project":{"id":"p1"}}}})");
}

TEST_CASE("An application credential is sent alone, and is preferred to a password") {
    cloud cloud;
    CHECK(key_with(with_application_credential(options_for(cloud))) == key);
    CHECK(cloud.server.received().at(0).body ==
          R"({"auth":{"identity":{"methods":["application_credential"],"application_credential":)"
          R"({"id":"587b547998854931af5370b396bbaf57","secret":"pw-\"of\\the\"-test-5512"}}}})");
}

TEST_CASE("The header with the token may be in any case") {
    cloud cloud;
    cloud.token_header = GENERATE("X-Subject-Token", "x-subject-token", "X-SUBJECT-TOKEN");
    CHECK(key_with(options_for(cloud)) == key);
    CHECK(cloud.server.last().header("x-auth-token") == token + "1");
}

TEST_CASE("The error of a refused login says what may be wrong, and the login is not retried") {
    const auto [is_password, status, why, text] = GENERATE(table<bool, int, reason, std::string>({
        {true, 401, reason::no_credential, "refused: a wrong user, password or project, or no role in it"},
        {true, 404, reason::no_engine, "there is no Keystone at this address"},
        {true, 400, reason::no_credential, "the login is refused, status 400"},
        {true, 403, reason::no_credential, "the login is refused, status 403"},
        {true, 200, reason::malformed, "the answer is not one of Keystone"},
        {true, 308, reason::redirected, "status 308, a redirect"},
        {false, 401, reason::no_credential, "the application credential has expired, or its secret is wrong"},
        {false, 404, reason::no_credential, "there is no such application credential"},
    }));
    cloud cloud;
    cloud.instead = [answer = status](const fake::request&) { return keystone_error(answer); };
    secrets::barbican_options options = options_for(cloud);
    if (!is_password) options = with_application_credential(options);
    const failure failed = failure_with(options);
    CHECK(failed.why == why);
    CHECK_THAT(failed.text, ContainsSubstring("barbican: " + cloud.server.address() + "/v3, login: ") &&
                                ContainsSubstring(text));
    CHECK(cloud.server.requests() == 1);
}

TEST_CASE("A refused login reaches the caller, although the options say fall_through") {
    const int status = GENERATE(400, 401, 403, 404, 405, 422, 499, 408, 410, 429, 500);
    const bool is_refused = status < 500 && status != 408 && status != 410 && status != 429;
    const bool is_password = GENERATE(true, false);
    CAPTURE(status, is_password);
    cloud cloud;
    cloud.instead = [=](const fake::request&) { return keystone_error(status); };
    secrets::barbican_options options = options_for(cloud);
    if (!is_password) options = with_application_credential(options);
    options.on_failure = secrets::on_failure::fall_through;
    options.http.tries = 1;
    helpers::application app;
    secrets::add_barbican(app.plugin, "models.get_api_key", options);
    const reason refusal = status == 404 && is_password ? reason::no_engine : reason::no_credential;
    CHECK(failure_of([&] { app.get_api_key("openai"); }).why ==
          (is_refused ? std::optional(refusal) : std::nullopt));
    CHECK(app.runs == (is_refused ? 0 : 1));
}

TEST_CASE("A server that is not Keystone is distinguished from a missing application credential") {
    cloud cloud;
    cloud.instead = [](const fake::request&) { return html(404); };
    CHECK(failure_with(with_application_credential(options_for(cloud))).why == reason::no_engine);
}

TEST_CASE("A token is renewed half a minute before it expires by the server's clock, in any time format") {
    const auto [issued, expires, lifetime] = GENERATE(table<std::string, std::string, std::chrono::seconds>({
        {"2026-11-24T08:00:29.000000Z", "2026-11-24T09:00:29.000000Z", 3600s},
        {"2026-11-24T08:00:29.000000Z", "2026-11-24T08:11:49", 680s},
        {"2006-12-31T23:30:00Z", "2007-01-01T00:30:00Z", 3600s},
        {"2026-11-24T08:00:29.000000Z", "2026-11-24T08:00:39.000000Z", 37s},  // 10 s: renewed after 7.5 s
    }));
    CAPTURE(expires);
    cloud cloud;
    cloud.issued = issued;
    cloud.expires = expires;
    helpers::hand_clock clock;
    secrets::barbican_options options = options_for(cloud);
    options.http.clock = clock.clock();
    const secrets::barbican_store store(options);
    store.read("openai");
    clock.pass(lifetime - 31s);
    store.read("openai");
    CHECK(cloud.logins() == 1);
    clock.pass(2s);
    CHECK(store.read("openai") == key);
    CHECK(cloud.logins() == 2);
}

TEST_CASE("A token whose expiry cannot be parsed is used until it is refused") {
    cloud cloud;
    cloud.expires = GENERATE("", "soon", "2026-11-24", "2026-11-24T07:00:00Z");
    helpers::hand_clock clock;
    secrets::barbican_options options = options_for(cloud);
    options.http.clock = clock.clock();
    const secrets::barbican_store store(options);
    store.read("openai");
    clock.pass(std::chrono::hours(24 * 400));
    store.read("openai");
    CHECK(cloud.logins() == 1);
    cloud.withdraw();
    CHECK(store.read("openai") == key);
    CHECK(cloud.logins() == 2);
}

// ---- The catalogue ----------------------------------------------------------------------------------------

TEST_CASE("Barbican's address comes from the catalogue, by interface and region") {
    cloud cloud;
    const std::string good = cloud.server.address();
    const auto endpoint = [](const std::string& kind, const std::string& where, const std::string& url) {
        return R"({"interface":")" + kind + "\"," + where + R"(,"url":")" + url + "\"}";
    };
    cloud.offered = R"([1,{"type":"key-manager"},{"type":"key-manager","endpoints":[)" +
                    endpoint("admin", R"("region":"one")", "http://127.0.0.1:1") + ",7," +
                    endpoint("public", R"("region":"one")", good + "/v1/") + "," +
                    endpoint("internal", R"("region_id":"two")", good + "//") + "," +
                    endpoint("public", R"("region_id":"three")", "http://127.0.0.1:1") + "]}]";
    secrets::barbican_options options = options_for(cloud);
    const auto chosen = [&](const std::string& kind, const std::string& region) {
        options.keystone.endpoint_interface = kind;
        options.keystone.region = region;
        return key_with(options);
    };
    CHECK(chosen("public", "") == key);
    CHECK(chosen("public", "one") == key);
    CHECK(chosen("internal", "") == key);
    CHECK(chosen("internal", "two") == key);
    CHECK(cloud.payloads() == 4);
    CHECK(chosen("publicURL", "") == key);
    CHECK(chosen("internalURL", "two") == key);
    CHECK_THAT(failure_of([&] { chosen("adminURL", "two"); }).text,
               ContainsSubstring("interface admin, region two"));

    options.http.tries = 1;
    options.keystone.endpoint_interface = "internal";
    options.keystone.region = "one";
    const failure failed = failure_with(options);
    CHECK(failed.why == reason::no_engine);
    CHECK_THAT(failed.text, ContainsSubstring("the catalogue does not have service key-manager, "
                                              "interface internal, region one"));
    cloud.offered = GENERATE("[]", "null", "{}", R"([{"type":"compute"}])");
    options.keystone.region = "";
    CHECK_THAT(failure_with(options).text, ContainsSubstring("interface internal, region any"));
}

TEST_CASE("An invalid address in the catalogue receives no token") {
    const auto [url, why] = GENERATE(table<std::string, reason>({
        {"", reason::malformed},
        {"ftp://127.0.0.1", reason::malformed},
        {"http://" + token + ":" + token + "@127.0.0.1:1", reason::malformed},
        {"http://10.0.0.1:9311", reason::misconfigured},  // not encrypted
        {"http://127.0.0.1:1/?", reason::malformed},
        {"http://127.0.0.1:1/#", reason::malformed},
        {"http://127.0.0.1:1/?a=" + token, reason::malformed},
    }));
    cloud cloud;
    cloud.offered = R"([{"type":"key-manager","endpoints":[{"interface":"public","url":")" + url + "\"}]}]";
    CHECK(failure_with(options_for(cloud)).why == why);
    CHECK(cloud.server.requests() == 1);
}

// ---- The search -------------------------------------------------------------------------------------------

TEST_CASE("A secret is searched by its name, encoded twice, with the newest first") {
    const auto [service, name] = GENERATE(table<std::string, std::string>({
        {"openai", "api-keys%252Fopenai"},
        {"a+b", "api-keys%252Fa%252Bb"},
        {"a%2Bb", "api-keys%252Fa%25252Bb"},
        {"my key&limit=1", "api-keys%252Fmy%2520key%2526limit%253D1"},
        {"gr\xc3\xbc\xc3\x9f", "api-keys%252Fgr%25C3%25BC%25C3%259F"},
    }));
    cloud cloud;
    cloud.kept = {{"api-keys/" + service, key}};
    CHECK(key_with(options_for(cloud), service) == key);
    const fake::request asked = cloud.server.received().at(1);
    CHECK(asked.method == "GET");
    CHECK(asked.path == "/v1/secrets?name=" + name + "&sort=created:desc&limit=100&offset=0");
    CHECK(asked.header("accept") == "application/json");
    CHECK(asked.header("x-auth-token") == token + "1");
    CHECK(!asked.header("openstack-api-version"));
    CHECK(!asked.header("x-project-id"));
}

TEST_CASE("Only a secret with exactly the name is used, although Barbican finds others") {
    const auto [service, other] = GENERATE(table<std::string, std::string>({
        {"%", place}, {"o_enai", place}, {"OpenAI", place}, {"openai", "API-KEYS/openai"}}));
    cloud cloud;
    cloud.kept = {{other, "sk-of-another"}};
    CHECK(!key_with(options_for(cloud), service));
    CHECK(cloud.payloads() == 0);
    cloud.kept.push_back({"api-keys/" + service, key, "11111111-35a2-4a6e-a5e2-824c576eda65"});
    CHECK(key_with(options_for(cloud), service) == key);
}

TEST_CASE("All pages of a search are read, and no more than there are") {
    cloud cloud;
    cloud.kept.assign(230, {"api-keys/Openai", "sk-of-another"});
    cloud.kept.push_back({place, key, "11111111-35a2-4a6e-a5e2-824c576eda65"});
    CHECK(key_with(options_for(cloud)) == key);
    CHECK(cloud.finds() == 3);
    CHECK_THAT(cloud.server.received().at(3).path, ContainsSubstring("&offset=200"));
    cloud.kept.pop_back();
    cloud.kept.resize(200);
    CHECK(!key_with(options_for(cloud)));
    CHECK(cloud.finds() == 5);

    cloud.kept.push_back({place, key, "11111111-35a2-4a6e-a5e2-824c576eda65"});
    cloud.largest_page = 50;  // although more are requested
    CHECK(key_with(options_for(cloud)) == key);
    CHECK(cloud.finds() == 10);
}

TEST_CASE("A search with endless pages is given up, and an empty page is the last one") {
    cloud cloud;
    cloud.instead = [](const fake::request& asked) -> std::optional<fake::answer> {
        if (!asked.path.starts_with("/v1/secrets?")) return std::nullopt;
        return fake::answer{200, R"({"secrets":[{"name":"x"}],"total":1000000})"};
    };
    const failure failed = failure_with(options_for(cloud));
    CHECK(failed.why == reason::rejected);
    CHECK_THAT(failed.text, ContainsSubstring("too many secrets"));
    CHECK(cloud.finds() == 100);

    cloud.instead = [](const fake::request& asked) -> std::optional<fake::answer> {
        if (!asked.path.starts_with("/v1/secrets?")) return std::nullopt;
        return fake::answer{200, R"({"secrets":[],"total":13})"};
    };
    CHECK(!key_with(options_for(cloud)));
    CHECK(cloud.finds() == 101);
}

TEST_CASE("Of several secrets with one name, the newest is used") {
    cloud cloud;
    cloud.kept = {{place, key, "11111111-35a2-4a6e-a5e2-824c576eda65"}, {place, "sk-older"}};
    CHECK(key_with(options_for(cloud)) == key);
    CHECK(cloud.payloads() == 1);
}

TEST_CASE("A UUID in the options needs no search") {
    cloud cloud;
    secrets::barbican_options options = options_for(cloud);
    options.ids = {{"mistral", uuid}};
    CHECK(key_with(options, "mistral") == key);
    CHECK(secrets::barbican_store(options).place_of("mistral") == uuid);
    CHECK(cloud.finds() == 0);
    CHECK(cloud.server.last().path == "/v1/secrets/" + uuid + "/payload");
    options.ids = {{"mistral", "11111111-35a2-4a6e-a5e2-824c576eda65"}};
    CHECK(!key_with(options, "mistral"));
}

TEST_CASE("A service whose name is a UUID is searched by this name, and no secret is read by its id") {
    const std::string pattern = GENERATE("api-keys/{service}", "{service}");
    cloud cloud;
    secrets::barbican_options options = options_for(cloud);
    options.secret = pattern;
    options.ids = {{"mistral", uuid}};
    CHECK(!key_with(options, uuid));
    CHECK(cloud.finds() == 1);
    CHECK(cloud.payloads() == 0);

    cloud.kept = {{secrets::with_service(pattern, uuid), key, "11111111-35a2-4a6e-a5e2-824c576eda65"}};
    CHECK(key_with(options, uuid) == key);
    CHECK(cloud.server.last().path == "/v1/secrets/11111111-35a2-4a6e-a5e2-824c576eda65/payload");
}

TEST_CASE("Only the UUID of a secret's reference is used, and its host receives nothing") {
    cloud cloud;
    fake::server other;
    cloud.host = other.address();
    CHECK(key_with(options_for(cloud)) == key);
    CHECK(other.requests() == 0);
    cloud.kept[0].id =
        GENERATE("", "x", "..", "0dc34e09-35a2-4a6e-a5e2-824c576eda6", "0dc34e09-35a2-4a6e-a5e2-824c576eda6g",
                 "0dc34e0935a2-4a6e-a5e2-824c576eda65-");
    CHECK(failure_with(options_for(cloud)).why == reason::malformed);
}

TEST_CASE("A name with control characters or empty parts is not requested") {
    cloud cloud;
    CHECK(!key_with(options_for(cloud),
                    GENERATE(as<std::string>{}, "", "a\nb", "a//b", "..", std::string("a\0b", 3))));
    CHECK(cloud.server.requests() == 0);
}

// ---- The payload ------------------------------------------------------------------------------------------

TEST_CASE("A payload is read as bytes, and arrives as it was stored") {
    const std::string payload = GENERATE(as<std::string>{}, key, key + "\n", std::string("\0\x01\xff\r\n", 5),
                                         " ", std::string(20000, 'k'));
    cloud cloud;
    cloud.kept[0].payload = payload;
    CHECK(key_with(options_for(cloud)) == payload);
    CHECK(cloud.server.last().method == "GET");
    CHECK(cloud.server.last().header("accept") == "application/octet-stream");
    CHECK(cloud.server.last().header("x-auth-token") == token + "1");
}

TEST_CASE("A payload without a length is refused, because the end of the key may be missing") {
    const std::string chunks = "3\r\n" + key.substr(0, 3) + "\r\n14\r\n" + key.substr(3) + "\r\n0\r\n\r\n";
    const auto [header, body, why] = GENERATE_COPY(table<std::string, std::string, std::optional<reason>>({
        {"Content-Length: " + std::to_string(key.size()) + "\r\n", key, std::nullopt},
        {"transfer-encoding: Chunked\r\n", chunks, std::nullopt},
        {"Content-Length: " + std::to_string(key.size()) + "\r\n", key.substr(0, 9), reason::malformed},
        {"Transfer-Encoding: chunked\r\n", chunks.substr(0, 20), reason::malformed},
        {"Transfer-Encoding: identity\r\n", key.substr(0, 9), reason::malformed},
        {"", key.substr(0, 9), reason::malformed},
        {"", key, reason::malformed},
    }));
    CAPTURE(header, body);
    cloud cloud;
    fake::answer answer;
    answer.raw = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n" + header +
                 "Connection: close\r\n\r\n" + body;
    cloud.instead = [&](const fake::request& asked) {
        return asked.path.ends_with("/payload") ? std::optional(answer) : std::nullopt;
    };
    std::optional<std::string> got;
    CHECK(failure_of([&] { got = key_with(options_for(cloud)); }).why == why);
    CHECK(got == (why ? std::nullopt : std::optional(key)));
}

TEST_CASE("The key is a field of a JSON object only if the options name the field") {
    cloud cloud;
    cloud.kept[0].payload = R"({"user":"me, too","key":")" + key + R"(","none":""})";
    secrets::barbican_options options = options_for(cloud);
    const failure unnamed = failure_with(options);
    CHECK(unnamed.why == reason::missing_field);
    CHECK_THAT(unnamed.text, ContainsSubstring(", api-keys/openai: the secret is a JSON object"));
    options.field = "key";
    CHECK(key_with(options) == key);
    options.field = GENERATE("other", "none");
    CHECK(failure_with(options).why == reason::missing_field);
    cloud.kept[0].payload = key;
    CHECK(failure_with(options).why == reason::missing_field);
}

TEST_CASE("A secret that is deleted or has no payload is not a failure") {
    cloud cloud;
    const std::string text =
        GENERATE("Secret not found.", "Not Found. Sorry but your secret has no payload.");
    cloud.instead = [&](const fake::request& asked) -> std::optional<fake::answer> {
        if (!asked.path.ends_with("/payload")) return std::nullopt;
        return barbican_error(404, text);
    };
    helpers::application app;
    secrets::add_barbican(app.plugin, "models.get_api_key", options_for(cloud));
    CHECK(app.get_api_key("openai") == "sk-from-the-environment");
    CHECK(cloud.logins() == 1);
    CHECK(cloud.payloads() == 1);
}

// ---- Failures ---------------------------------------------------------------------------------------------

TEST_CASE("A request that Barbican refuses because of the role is not retried, not even with another token") {
    cloud cloud;
    const std::string where = GENERATE("?name", "/payload");
    cloud.instead = [where](const fake::request& asked) -> std::optional<fake::answer> {
        if (asked.path.find(where) == std::string::npos) return std::nullopt;
        return barbican_error(403);
    };
    const secrets::barbican_store store(options_for(cloud));
    for (int i = 1; i <= 2; ++i) {
        const failure failed = failure_of([&] { store.read("openai"); });
        CHECK(failed.why == reason::permission_denied);
        CHECK_THAT(failed.text, Equals("barbican: " + cloud.server.address() + ", api-keys/openai: the role "
                                       "does not allow it, or the secret is another project's"));
        CHECK(cloud.logins() == 1);
        CHECK(cloud.finds() == static_cast<std::size_t>(i));
    }
}

TEST_CASE("A token that expires early is replaced once") {
    cloud cloud;
    std::atomic<bool> refused = false;
    cloud.instead = [&](const fake::request& asked) -> std::optional<fake::answer> {
        if (!refused || !asked.path.ends_with("/payload") || asked.header("x-auth-token") != token + "1")
            return std::nullopt;
        return keystone_error(401);
    };
    const secrets::barbican_store store(options_for(cloud));
    CHECK(store.read("openai") == key);
    refused = true;
    CHECK(store.read("openai") == key);
    CHECK(cloud.logins() == 2);
    CHECK(store.read("openai") == key);
    CHECK(cloud.logins() == 2);

    cloud.instead = [](const fake::request& asked) -> std::optional<fake::answer> {
        if (asked.path.starts_with("/v1")) return keystone_error(401);
        return std::nullopt;
    };
    CHECK(failure_of([&] { store.read("openai"); }).why == reason::expired_token);
    CHECK(cloud.logins() == 3);
    const secrets::barbican_store fresh(options_for(cloud));
    CHECK(failure_of([&] { fresh.read("openai"); }).why == reason::expired_token);
    CHECK(cloud.logins() == 4);  // a second new token would not help
}

TEST_CASE("A new token that equals the refused one is not tried") {
    cloud cloud;
    std::atomic<bool> refused = false;
    cloud.instead = [&](const fake::request& asked) -> std::optional<fake::answer> {
        if (!refused) return std::nullopt;
        if (asked.path.starts_with("/v1")) return keystone_error(401);
        return fake::answer{201, R"({"token":{"catalog":)" + cloud.catalogue() + "}}", "application/json",
                            "X-Subject-Token: " + token + "1\r\n"};
    };
    const secrets::barbican_store store(options_for(cloud));
    CHECK(store.read("openai") == key);
    refused = true;
    CHECK(failure_of([&] { store.read("openai"); }).why == reason::expired_token);
    CHECK(cloud.logins() == 2);
    CHECK(cloud.finds() == 2);
}

TEST_CASE("A token is kept until there is another") {
    cloud cloud;
    std::atomic<bool> refused = false;
    cloud.instead = [&](const fake::request& asked) -> std::optional<fake::answer> {
        if (!refused) return std::nullopt;
        return keystone_error(asked.path.starts_with("/v1") ? 401 : 403);
    };
    const secrets::barbican_store store(options_for(cloud));
    CHECK(store.read("openai") == key);
    refused = true;
    CHECK(failure_of([&] { store.read("openai"); }).why == reason::no_credential);
    refused = false;
    CHECK(store.read("openai") == key);
    CHECK(cloud.server.last().header("x-auth-token") == token + "1");
    CHECK(cloud.logins() == 2);
}

TEST_CASE("The login, the pages and the payload of one read have one time limit") {
    cloud cloud;
    helpers::hand_clock clock;
    cloud.instead = [&](const fake::request& asked) -> std::optional<fake::answer> {
        clock.pass(asked.path.starts_with("/v3") ? 2s : 1s);
        return std::nullopt;
    };
    secrets::barbican_options options = options_for(cloud);
    options.http.clock = clock.clock();
    options.http.timeout = 5s;
    CHECK(key_with(options) == key);  // 2 s, 1 s and 1 s

    options.http.timeout = 3s;
    const secrets::barbican_store store(options);
    CHECK(failure_of([&] { store.read("openai"); }).why == reason::timed_out);
    CHECK(cloud.payloads() == 1);
    CHECK(store.read("openai") == key);  // with the token of the failed read
    CHECK(cloud.logins() == 2);

    cloud.kept.assign(1000, {"api-keys/Openai", "sk-of-another"});
    options.http.timeout = 5s;
    const std::size_t finds = cloud.finds();
    CHECK(failure_with(options).why == reason::timed_out);
    CHECK(cloud.finds() == finds + 3);
}

TEST_CASE("A new login after a refusal has no time of its own") {
    cloud cloud;
    helpers::hand_clock clock;
    secrets::barbican_options options = options_for(cloud);
    options.http.clock = clock.clock();
    options.http.timeout = 5s;
    const secrets::barbican_store store(options);
    CHECK(store.read("openai") == key);
    cloud.withdraw();
    cloud.instead = [&](const fake::request&) -> std::optional<fake::answer> {
        clock.pass(5s);
        return std::nullopt;
    };
    CHECK(failure_of([&] { store.read("openai"); }).why == reason::timed_out);
    CHECK(cloud.logins() == 1);
}

TEST_CASE("Temporary failures of login, search and read are retried as often as the options say") {
    cloud cloud;
    const std::string where = GENERATE("/auth/tokens", "?name", "/payload");
    const int status = GENERATE(429, 500, 502, 503);
    std::atomic<int> bad = 2;
    cloud.instead = [&](const fake::request& asked) -> std::optional<fake::answer> {
        if (asked.path.find(where) == std::string::npos || bad-- <= 0) return std::nullopt;
        return html(status);
    };
    secrets::barbican_options options = options_for(cloud);
    CHECK(key_with(options) == key);
    CHECK(cloud.server.requests() == 5);
    bad = 3;
    CHECK(failure_with(options).why == (status == 429 ? reason::rate_limited : reason::server_error));
    CHECK(bad == 0);
}

TEST_CASE("Retry-After of either server is in the error, and is waited for if there is time") {
    cloud cloud;
    const std::string where = GENERATE("/auth/tokens", "?name");
    const int status = GENERATE(429, 503);
    std::atomic<int> bad = 1;
    cloud.instead = [&](const fake::request& asked) -> std::optional<fake::answer> {
        if (asked.path.find(where) == std::string::npos || bad-- <= 0) return std::nullopt;
        fake::answer answer = html(status);
        answer.more_headers = "Retry-After: 7\r\n";
        return answer;
    };
    helpers::hand_clock clock;
    secrets::barbican_options options = options_for(cloud);
    options.http.clock = clock.clock();
    CHECK(key_with(options) == key);
    CHECK(clock.pauses() == std::vector<std::chrono::milliseconds>{7s});

    bad = 1;
    options.http.timeout = 5s;
    const secrets::barbican_store store(options);
    const failure failed = failure_of([&] { store.read("openai"); });
    CHECK(failed.why == (status == 429 ? reason::rate_limited : reason::server_error));
    CHECK(failed.retry_after == 7s);
}

TEST_CASE("An error contains the request's id if it looks like one, and nothing else from the server") {
    const auto [id, told] = GENERATE(table<std::string, std::string>({
        {"req-" + uuid, ", request req-" + uuid + ": "},
        {"req-" + token, "openai: "},
        {token, "openai: "},
        {"", "openai: "},
    }));
    for (const int status : {400, 403, 406, 500}) {
        cloud cloud;
        cloud.instead = [&, request_id = id](const fake::request& asked) -> std::optional<fake::answer> {
            if (!asked.path.starts_with("/v1")) return std::nullopt;
            fake::answer answer = barbican_error(status, token + password + key);
            answer.more_headers = "x-openstack-request-id: " + request_id + "\r\n";
            return answer;
        };
        CHECK_THAT(failure_with(options_for(cloud)).text, ContainsSubstring(told));
    }
}

TEST_CASE("An answer from another server is distinguished from a missing secret") {
    const auto leak = '"' + token + password + key + '"';
    fake::answer cut_off{200, R"({"secrets":[],"total":0})"}, half{200, R"({"secrets":[],"total":0})"};
    cut_off.cut_off = 10;
    const std::string where = GENERATE("/auth/tokens", "?name", "/payload");
    const auto answers = std::vector<std::pair<fake::answer, reason>>{
        {html(404), reason::no_engine},
        {{404, ""}, reason::no_engine},
        {html(200), reason::malformed},
        {cut_off, reason::malformed},
        {{200, "", "text/html"}, reason::malformed},
        {{300, leak}, reason::redirected},
        {{307, leak, "text/plain", "Location: http://127.0.0.1:1/\r\n"}, reason::redirected},
        {{418, leak}, where == "/auth/tokens" ? reason::no_credential : reason::rejected},
        {{200, std::string(std::size_t{1} << 21, 'x')}, reason::malformed},
    };
    for (const auto& [answer, why] : answers) {
        CAPTURE(where, answer.status, answer.body.substr(0, 100));
        cloud cloud;
        cloud.instead = [&, given = &answer](const fake::request& asked) -> std::optional<fake::answer> {
            if (asked.path.find(where) == std::string::npos) return std::nullopt;
            return *given;
        };
        helpers::application app;
        secrets::add_barbican(app.plugin, "models.get_api_key", options_for(cloud));
        CHECK(failure_of([&] { app.get_api_key("openai"); }).why == why);
        CHECK(app.runs == 0);
    }
}

TEST_CASE("An invalid list is malformed") {
    cloud cloud;
    const std::string body =
        GENERATE(R"([])", R"({"secrets":{},"total":0})", R"({"secrets":[]})", R"({"total":0})", "{", "\xff",
                 R"({"secrets":[{"name":"api-keys/openai"}],"total":1})",
                 R"({"secrets":[{"name":"api-keys/openai","secret_ref":7}],"total":1})");
    cloud.instead = [&](const fake::request& asked) -> std::optional<fake::answer> {
        if (!asked.path.starts_with("/v1/secrets?")) return std::nullopt;
        return fake::answer{200, body};
    };
    CHECK(failure_with(options_for(cloud)).why == reason::malformed);
}

TEST_CASE("A login's answer is malformed if its token is missing or is not a valid header") {
    cloud cloud;
    const auto [header, body] = GENERATE(table<std::string, std::string>({
        {"", R"({"token":{"catalog":[]}})"}, {"X-Subject-Token: \r\n", R"({"token":{"catalog":[]}})"},
        {"X-Subject-Token: a\x01" "b\r\n", R"({"token":{"catalog":[]}})"}, {"X-Subject-Token: a\r\n", "{}"},
        {"X-Subject-Token: a\r\n", "<html>"}}));
    cloud.instead = [&, more = header, text = body](const fake::request&) {
        return fake::answer{201, text, "application/json", more};
    };
    CHECK(failure_with(options_for(cloud)).why == reason::malformed);

    cloud.instead = [&](const fake::request&) {  // all is right except for the status
        return fake::answer{200, R"({"token":{"catalog":)" + cloud.catalogue() + "}}", "application/json",
                            "X-Subject-Token: a\r\n"};
    };
    CHECK(failure_with(options_for(cloud)).why == reason::malformed);
    CHECK(cloud.server.requests() == 2);
}

TEST_CASE("Servers that are unreachable or do not answer are given up in time") {
    const fake::closed_port nobody;
    secrets::barbican_options options = options_for(nobody.address());
    CHECK(failure_with(options).why == reason::unreachable);

    cloud cloud;
    options = options_for(cloud);
    cloud.offered =
        R"([{"type":"key-manager","endpoints":[{"interface":"public","url":")" + nobody.address() + "\"}]}]";
    const failure failed = failure_with(options);
    CHECK(failed.why == reason::unreachable);
    CHECK_THAT(failed.text, ContainsSubstring("barbican: " + nobody.address() + ", api-keys/openai: "));
    cloud.offered =  // the error does not contain the path
        R"([{"type":"key-manager","endpoints":[{"interface":"public","url":")" + nobody.address() + '/' +
        token + "\"}]}]";
    CHECK(failure_with(options).text == failed.text);

    cloud.offered = cloud.catalogue();
    options.http.timeout = 50ms;
    for (const std::string where : {"/auth/tokens", "?name", "/payload"}) {
        for (const bool half : {false, true}) {
            cloud.instead = [where, half](const fake::request& asked) -> std::optional<fake::answer> {
                if (asked.path.find(where) == std::string::npos) return std::nullopt;
                fake::answer late{200, key};
                (half ? late.half : late.until_given_up) = true;
                return late;
            };
            CHECK(failure_with(options).why == reason::timed_out);
        }
    }
}

TEST_CASE("Neither token nor password is sent to the target of a redirect") {
    cloud cloud;
    fake::server other;
    const std::string where = GENERATE("/auth/tokens", "?name", "/payload");
    cloud.instead = [&](const fake::request& asked) -> std::optional<fake::answer> {
        if (asked.path.find(where) == std::string::npos) return std::nullopt;
        return fake::answer{307, "", "text/plain", "Location: " + other.address() + "/\r\n"};
    };
    CHECK(failure_with(options_for(cloud)).why == reason::redirected);
    CHECK(other.requests() == 0);
}

TEST_CASE("Nothing is sent over a network unencrypted, and only the options' certificates are trusted") {
    CHECK(failure_with(options_for("http://keystone.example:5000")).why == reason::misconfigured);

    const fake::certificate certificate, other;
    if (!certificate.is_usable()) return;
    cloud cloud({.tls = &certificate});
    secrets::barbican_options options = options_for(cloud);
    CHECK(failure_with(options).why == reason::untrusted);
    options.http.ca_file = other.file();
    CHECK(failure_with(options).why == reason::untrusted);
    CHECK(cloud.server.requests() == 0);
    options.http.ca_file = certificate.file();
    CHECK(key_with(options) == key);
}

// ---- Options ----------------------------------------------------------------------------------------------

TEST_CASE("The environment configures the login") {
    cloud cloud;
    const environment of_openstack("");
    const variable files[] = {{"OS_CACERT", "/ca.pem"}, {"OS_CERT", "/cert.pem"}, {"OS_KEY", "/key.pem"}};
    const variable address("OS_AUTH_URL", cloud.server.address().c_str());
    secrets::barbican_options options = secrets::barbican_from_environment().value();
    CHECK(options.http.ca_file == "/ca.pem");
    CHECK(options.http.client_certificate == "/cert.pem");
    CHECK(options.http.client_key == "/key.pem");
    CHECK(options.http.proxy_of_environment);
    CHECK(options.http.tls_verify);
    CHECK(!options.http.plain_http);
    CHECK(options.keystone.endpoint_interface == "public");
    CHECK(options.keystone.region == "one");
    options.http = {};
    CHECK(key_with(options) == key);

    const variable ids[] = {{"OS_USER_ID", "u1"}, {"OS_PROJECT_ID", "p1"}, {"OS_USER_DOMAIN_ID", "d1"},
                            {"OS_PROJECT_DOMAIN_ID", "d2"}, {"OS_INTERFACE", "internal"},
                            {"OS_APPLICATION_CREDENTIAL_ID", "a1"},
                            {"OS_APPLICATION_CREDENTIAL_SECRET", password.c_str()}};
    const secrets::keystone_options login = secrets::keystone_from_environment().value();
    CHECK(login.user_id == "u1");
    CHECK(login.project_id == "p1");
    CHECK(login.user_domain_id == "d1");
    CHECK(login.project_domain_id == "d2");
    CHECK(login.endpoint_interface == "internal");
    CHECK(login.application_credential_id == "a1");
    CHECK(login.application_credential_secret == password);
}

TEST_CASE("A variable that names another identity, scope or address is refused by its name") {
    const auto [name, value] = GENERATE(table<std::string, std::string>({
        {"OS_CLOUD", "mine"},
        {"OS_APPLICATION_CREDENTIAL_NAME", "mine"},
        {"OS_TOKEN", token},
        {"OS_AUTH_TOKEN", token},
        {"OS_AUTH_TYPE", "v3token"},
        {"OS_AUTH_TYPE", "v3oidcpassword"},
        {"OS_AUTH_TYPE", "v2password"},
        {"OS_AUTH_TYPE", "none"},
        {"OS_AUTH_TYPE", "v3applicationcredential"},
        {"OS_AUTH_PLUGIN", "token"},
        {"OS_TRUST_ID", "t1"},
        {"OS_TENANT_ID", "p2"},
        {"OS_SYSTEM_SCOPE", "all"},
        {"OS_IDENTITY_API_VERSION", "2"},
        {"OS_IDENTITY_API_VERSION", "2.0"},
        {"OS_INTERFACE", "private"},
        {"OS_INTERFACE", "URL"},
        {"OS_ENDPOINT_TYPE", "internalURL"},
        {"OS_ENDPOINT_OVERRIDE", "https://b.example"},
        {"OS_KEY_MANAGER_ENDPOINT_OVERRIDE", "https://b.example"},
        {"OS_KEY_MANAGER_INTERFACE", "internal"},
        {"OS_KEY_MANAGER_REGION_NAME", "two"},
        {"BARBICAN_ENDPOINT", "https://b.example"},
    }));
    CAPTURE(name, value);
    cloud cloud;
    const environment of_openstack(cloud.server.address());
    CHECK(key_with(secrets::barbican_from_environment().value()) == key);
    const int requests = cloud.server.requests();
    const variable named(name, value.c_str());
    const failure failed = failure_of([] { key_with(secrets::barbican_from_environment().value()); });
    CHECK(failed.why == reason::misconfigured);
    CHECK_THAT(failed.text, ContainsSubstring("barbican: ") && ContainsSubstring(name));
    CHECK(cloud.server.requests() == requests);
}

TEST_CASE("Without OS_AUTH_URL there are no options, but a credential or another address is an error") {
    using names = std::vector<std::string>;
    const auto [set, missing] = GENERATE(table<names, bool>({
        {{"OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_SECRET"}, true},
        {{"OS_APPLICATION_CREDENTIAL_ID"}, true},
        {{"OS_APPLICATION_CREDENTIAL_SECRET"}, true},
        {{"OS_USERNAME", "OS_PASSWORD"}, true},
        {{"OS_USER_ID", "OS_PASSWORD"}, true},
        {{"OS_CLOUD"}, false},
        {{"OS_TOKEN"}, false},
        {{"OS_AUTH_TOKEN"}, false},
        {{"OS_APPLICATION_CREDENTIAL_NAME"}, false},
        {{"OS_TRUST_ID"}, false},
        {{"BARBICAN_ENDPOINT"}, false},
        {{"OS_KEY_MANAGER_ENDPOINT_OVERRIDE"}, false},
    }));
    CAPTURE(set);
    const environment of_openstack("");
    const variable none[] = {{"OS_USERNAME", nullptr}, {"OS_PASSWORD", nullptr}};
    CHECK(!secrets::keystone_from_environment());
    {
        const variable half(GENERATE("OS_USERNAME", "OS_USER_ID", "OS_PASSWORD"), "half");
        CHECK(!secrets::barbican_from_environment());
    }
    std::list<variable> variables;
    for (const std::string& name : set) variables.emplace_back(name, "some");
    const variable address("OS_AUTH_URL", GENERATE(as<const char*>{}, nullptr, ""));
    const failure failed = failure_of([] { secrets::barbican_from_environment(); });
    CHECK(failed.why == reason::misconfigured);
    CHECK(failed.text == "barbican: " + (missing ? "OS_AUTH_URL is not set"
                                                 : set[0] + " is set, which is not supported here"));
}

TEST_CASE("Half of an application credential is an error that names the other half, although a user is set") {
    const auto [half, other] = GENERATE(table<std::string, std::string>({
        {"OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_SECRET"},
        {"OS_APPLICATION_CREDENTIAL_SECRET", "OS_APPLICATION_CREDENTIAL_ID"},
    }));
    cloud cloud;
    const environment of_openstack(cloud.server.address());
    const variable set(half, password.c_str());
    const failure failed = failure_of([] { key_with(secrets::barbican_from_environment().value()); });
    CHECK(failed.why == reason::misconfigured);
    CHECK_THAT(failed.text, ContainsSubstring(other + " is not set"));
    CHECK(cloud.server.requests() == 0);
}

TEST_CASE("OS_AUTH_TYPE must be the type of the credential") {
    cloud cloud;
    const environment of_openstack(cloud.server.address());
    const auto login_with = [&](const char* type) {
        const variable named("OS_AUTH_TYPE", type);
        const std::size_t before = cloud.server.received().size();
        const std::optional<std::string> read = key_with(secrets::barbican_from_environment().value());
        CHECK(read == key);
        return cloud.server.received().at(before).body;
    };
    for (const char* const type : {"", "password", "v3password"})
        CHECK_THAT(login_with(type), ContainsSubstring(R"("methods":["password"])"));

    const variable id("OS_APPLICATION_CREDENTIAL_ID", "a1");
    const variable secret("OS_APPLICATION_CREDENTIAL_SECRET", password.c_str());
    for (const char* const type : {"", "v3applicationcredential"})
        CHECK_THAT(login_with(type), ContainsSubstring(R"("methods":["application_credential"])"));
    for (const char* const type : {"password", "v3password"}) {
        const failure failed = failure_of([&] { login_with(type); });
        CHECK(failed.why == reason::misconfigured);
        CHECK_THAT(failed.text, ContainsSubstring("OS_APPLICATION_CREDENTIAL_ID is set"));
    }
}

TEST_CASE("Variables that change neither identity nor address are ignored") {
    cloud cloud;
    const environment of_openstack(cloud.server.address());
    CHECK(key_with(secrets::barbican_from_environment().value()) == key);
    const variable more[] = {{"OS_IDENTITY_API_VERSION", "3"}, {"OS_DOMAIN_NAME", "other"},
                             {"OS_INSECURE", "true"},          {"OS_DEFAULT_DOMAIN", "other"},
                             {"OS_TENANT_NAME", "demo"},       {"OS_INTERFACE", "publicURL"},
                             {"OS_ENDPOINT_TYPE", "publicURL"}};
    CHECK(secrets::barbican_from_environment()->http.tls_verify);
    CHECK(key_with(secrets::barbican_from_environment().value()) == key);
    CHECK(cloud.server.received().at(3).body == cloud.server.received().at(0).body);
}

TEST_CASE("Invalid options are rejected when the store is created, and the error names what is missing") {
    using change = std::function<void(secrets::barbican_options&)>;
    const auto [about, spoil] = GENERATE(table<std::string, change>({
        {"OS_USERNAME or OS_USER_ID is not set", [](auto& options) { options.keystone.user_name = ""; }},
        {"OS_USER_DOMAIN_NAME or OS_USER_DOMAIN_ID is not set",
         [](auto& options) { options.keystone.user_domain_name = ""; }},
        {"OS_PASSWORD is not set", [](auto& options) { options.keystone.password = {}; }},
        {"OS_PROJECT_NAME or OS_PROJECT_ID is not set",
         [](auto& options) { options.keystone.project_name = ""; }},
        {"OS_PROJECT_DOMAIN_NAME or OS_PROJECT_DOMAIN_ID is not set",
         [](auto& options) { options.keystone.project_domain_name = ""; }},
        {"OS_APPLICATION_CREDENTIAL_SECRET is not set",
         [](auto& options) { options.keystone.application_credential_id = "a1"; }},
        {"OS_APPLICATION_CREDENTIAL_ID is not set",
         [](auto& options) { options.keystone.application_credential_secret = secret_text(password); }},
        {"OS_INTERFACE is not public", [](auto& options) { options.keystone.endpoint_interface = "URL"; }},
        {"barbican: the address (OS_AUTH_URL) is not a URL",
         [](auto& options) { options.keystone.auth_url = password; }},
        {"a user, a query or a fragment",
         [](auto& options) { options.keystone.auth_url = "https://me:" + token + "@k.example"; }},
        {"a user, a query or a fragment", [](auto& options) { options.keystone.auth_url += "/v3?"; }},
        {"a user, a query or a fragment", [](auto& options) { options.keystone.auth_url += "/v3#"; }},
        {"'api-keys/openai' has no {service} in it", [](auto& options) { options.secret = place; }},
        {"not one line", [](auto& options) { options.secret = "{service}\n"; }},
        {"the id of 'openai' is not a UUID", [](auto& options) { options.ids = {{"openai", key}}; }},
        {"timeout", [](auto& options) { options.http.timeout = 0s; }},
    }));
    CAPTURE(about);
    secrets::barbican_options options = options_for("https://keystone.example");
    CHECK(!failure_of([&] { secrets::barbican_store store(options); }).why);
    spoil(options);
    const failure failed = failure_of([&] { secrets::barbican_store store(options); });
    CHECK(failed.why == reason::misconfigured);
    CHECK_THAT(failed.text, ContainsSubstring(about));
}

// ---- Threads ----------------------------------------------------------------------------------------------

TEST_CASE("Two thousand threads that ask for one key log in once, search once and read once") {
    constexpr std::size_t count = 2000;
    cloud cloud;
    secrets::cache cache;
    cloud.instead = [&](const fake::request&) -> std::optional<fake::answer> {
        helpers::eventually([&] { return cache.waiting() == count - 1; });  // the other threads wait first
        return std::nullopt;
    };
    helpers::application app;
    cache.add_to(app.plugin);
    secrets::add_barbican(app.plugin, "models.get_api_key", options_for(cloud));
    const std::vector<std::string> keys =
        helpers::in_threads(count, [&] { return app.get_api_key("openai"); });
    CHECK(std::count(keys.begin(), keys.end(), key) == count);
    CHECK(cloud.logins() == 1);
    CHECK(cloud.finds() == 1);
    CHECK(cloud.payloads() == 1);
}

TEST_CASE("Threads without a cache log in once, and again once after their token is withdrawn") {
    constexpr std::size_t count = 50;
    cloud cloud;
    const secrets::barbican_store store(options_for(cloud));
    const auto ask = [&] { return store.read("openai").value_or("none"); };
    for (std::size_t logins = 1; logins <= 3; ++logins) {
        const std::vector<std::string> keys = helpers::in_threads(count, ask);
        CHECK(std::count(keys.begin(), keys.end(), key) == count);
        CHECK(cloud.logins() == logins);
        cloud.withdraw();
    }
}

TEST_CASE("Threads share the failure of a login that hangs") {
    constexpr std::size_t count = 50;
    cloud cloud;
    secrets::cache cache;
    cloud.instead = [&](const fake::request&) {
        helpers::eventually([&] { return cache.waiting() == count - 1; });
        fake::answer late;
        late.until_given_up = true;
        return late;
    };
    helpers::application app;
    cache.add_to(app.plugin);
    secrets::barbican_options options = options_for(cloud);
    options.http.timeout = 200ms;
    secrets::add_barbican(app.plugin, "models.get_api_key", options);
    const std::vector<std::string> texts =
        helpers::in_threads(count, [&] { return app.get_api_key("openai"); });
    for (const std::string& text : texts) CHECK_THAT(text, ContainsSubstring("/v3, login: "));
    CHECK(app.runs == 0);
}
