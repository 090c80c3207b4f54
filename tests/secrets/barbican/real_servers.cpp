// Tests the hook with the real Keystone and Barbican, which servers.py has started. The variable
// BARBICAN_SERVERS is the folder of servers.py.
#include "catch.hpp"
#include "secrets/barbican.hpp"
#include "secrets/cache.hpp"
#include "secrets/helpers.hpp"
#include "secrets/json.hpp"
#include "secrets/readme.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <regex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using namespace std::chrono_literals;
using helpers::failure_of;
using secrets::reason;
using secrets::secret_text;

namespace {

const std::string any_token = helpers::secret("gAAAAA");  // each of Keystone's tokens begins like this

std::string text_of_file(const std::string& name) {
    std::ifstream file(name);
    return {std::istreambuf_iterator<char>(file), {}};
}

// Both servers, with the accounts of their administrator and users.
class cloud {
public:
    cloud() : folder_(std::getenv("BARBICAN_SERVERS") + std::string("/state/")) {
        description_ = secrets::parse_json(text_of_file(folder_ + "cloud.json"));
        for (const secrets::json& password : secrets::member(&description_, "passwords")->elements())
            helpers::secret(std::string(secrets::text(&password).value()));
        helpers::secret(said("credential", "secret"));
    }

    template <class... Names>
    std::string said(Names... names) const {
        return std::string(secrets::text(secrets::member(&description_, names...)).value());
    }

    secrets::barbican_options options(const std::string& user, const std::string& project = "demo") const {
        secrets::barbican_options options;
        options.keystone.auth_url = said("keystone");
        options.keystone.user_name = user;
        options.keystone.password = secret_text(said("passwords", user));
        options.keystone.project_name = project;
        options.keystone.user_domain_name = options.keystone.project_domain_name = "Default";
        options.keystone.region = "RegionOne";
        options.http.timeout = 60s;
        return options;
    }

    // Sends a request as the user. Throws unless the answer has this status.
    secrets::json ask(const std::string& user, const std::string& project, std::string method,
                      std::string url, int status, std::string_view body = "") const {
        const secrets::keystone login("test", http_, options(user, project).keystone);
        secrets::http_request ask{.method = std::move(method), .url = std::move(url), .about = "test"};
        ask.body = secret_text(body);
        const secrets::deadline until = http_.begin_read();
        ask.headers.add("X-Auth-Token", login.log_in("key-manager", until).value.token)
            .add("Content-Type", "application/json");
        const secrets::http_answer answer = http_.send(ask, until);
        if (answer.status != status)
            throw std::runtime_error(ask.url + " says " + std::to_string(answer.status));
        return secrets::parse_json(answer.body);
    }

    // Stores secrets with one login, and returns the UUID of the last one.
    std::string store(const std::vector<std::pair<std::string, std::string>>& names_and_payloads,
                      std::string_view more = R"(,"payload_content_type":"text/plain")") const {
        const secrets::keystone login("test", http_, options("loader").keystone);
        const secret_text token = login.log_in("key-manager", http_.begin_read()).value.token;
        std::string uuid;
        for (const auto& [name, payload] : names_and_payloads) {
            secrets::http_request ask{
                .method = "POST", .url = said("barbican") + "/v1/secrets", .about = "test"};
            secrets::append_quoted(ask.body += R"({"name":)", name);
            if (!payload.empty()) secrets::append_quoted(ask.body += R"(,"payload":)", payload);
            (ask.body += payload.empty() ? "" : more) += "}";
            ask.headers.add("X-Auth-Token", token).add("Content-Type", "application/json");
            const secrets::http_answer answer = http_.send(ask, http_.begin_read());
            if (answer.status != 201)
                throw std::runtime_error("not stored: status " + std::to_string(answer.status));
            const secrets::json made = secrets::parse_json(answer.body);
            const std::string_view reference = secrets::text(secrets::member(&made, "secret_ref")).value();
            uuid = reference.substr(reference.rfind('/') + 1);
        }
        return uuid;
    }

    void change_user(const std::string& user, const std::string& to) const {
        ask("admin", "admin", "PATCH", said("keystone") + "/v3/users/" + said("ids", user), 200,
            R"({"user":{)" + to + "}}");
    }

    // The number of lines in the server's access log that contain all of these texts.
    template <class... Texts>
    std::size_t count(const std::string& server, Texts... texts) const {
        std::ifstream log(folder_ + server + ".access");
        std::size_t found = 0;
        for (std::string line; std::getline(log, line);)
            found += ((line.find(texts) != std::string::npos) && ...);
        return found;
    }
    std::size_t logins(const std::string& server = "keystone") const {
        return count(server, "POST /v3/auth/tokens 201");
    }
    std::size_t finds() const { return count("barbican", "GET /v1/secrets?"); }
    std::size_t payloads() const { return count("barbican", "GET /v1/secrets/"); }

private:
    std::string folder_;
    secrets::json description_;
    secrets::http_client http_{"test", {.timeout = 60s}};
};

const cloud& servers() {
    static const cloud one;
    return one;
}

std::string key_of(const secrets::barbican_options& options, std::string_view service) {
    return secrets::barbican_store(options).read(service).value_or("none");
}

// Options with which the service "by id" is the secret with this UUID.
secrets::barbican_options with_id(secrets::barbican_options options, const std::string& uuid) {
    options.ids["by id"] = uuid;
    return options;
}

const std::string key = helpers::secret("sk-key-of-the-test-9482");

}  // namespace

TEST_CASE("A key is read by its name and by its UUID, with one login") {
    const std::string uuid = servers().store({{"api-keys/openai", key}});
    secrets::barbican_options options = with_id(servers().options("loader"), uuid);
    options.ids["no secret"] = "00000000-0000-4000-8000-000000000000";
    const secrets::barbican_store store(options);
    const std::size_t logins = servers().logins(), finds = servers().finds(), payloads = servers().payloads();
    CHECK(store.read("openai") == key);
    CHECK(store.read("by id") == key);
    CHECK(!store.read("nobody"));
    CHECK(!store.read("no secret"));
    CHECK(!store.read(uuid));  // not in the options, so it is a name
    CHECK(servers().logins() == logins + 1);
    CHECK(servers().finds() == finds + 3);
    CHECK(servers().payloads() == payloads + 3);
}

TEST_CASE("Only a secret with exactly the name is used, whatever characters the name has") {
    const std::vector<std::pair<std::string, std::string>> odd = {
        {"a+b", "1"},   {"a%2Bb", "2"},   {"a b", "3"},     {"a&limit=0", "4"}, {"50%", "5"},
        {"50%25", "6"}, {"o_d", "7"},     {"odd", "8"},     {"ODD", "9"},       {"gr\xc3\xbc\xc3\x9f", "10"},
        {"a/b", "11"},  {"a\"b\\", "12"}, {"a;b#c?d", "13"}};
    auto secrets = odd;
    for (auto& [name, payload] : secrets) name = "api-keys/" + name;
    servers().store(secrets);
    const secrets::barbican_store store(servers().options("loader"));
    for (const auto& [name, payload] : odd) {
        CAPTURE(name);
        CHECK(store.read(name) == payload);
    }
    for (const std::string name : {"%", "o%", "_dd", "Odd", "a_b/", "50", "a%20b"}) {
        CAPTURE(name);
        CHECK(!store.read(name));
    }
}

TEST_CASE("A name that is not UTF-8 finds no secret, and is not a failure") {
    const secrets::barbican_store store(servers().options("loader"));
    const auto read = [&] { CHECK(!store.read("open\xff" "ai")); };
    CHECK(!failure_of(read).why);
}

TEST_CASE("A name is found after more than a hundred similar names") {
    std::vector<std::pair<std::string, std::string>> secrets = {{"api-keys/page", key}};
    secrets.insert(secrets.end(), 110, {"api-keys/PAGE", "of another"});
    servers().store(secrets);
    const std::size_t finds = servers().finds();
    CHECK(key_of(servers().options("loader"), "page") == key);
    CHECK(servers().finds() == finds + 2);
}

TEST_CASE("Of several secrets with one name, the newest is used") {
    servers().store(
        {{"api-keys/several", "oldest"}, {"api-keys/several", "older"}, {"api-keys/several", key}});
    CHECK(key_of(servers().options("loader"), "several") == key);
}

TEST_CASE("A payload arrives byte for byte") {
    servers().store({{"api-keys/letters", "gr\xc3\xbc\xc3\x9f"}, {"api-keys/long", std::string(20000, 'k')}});
    servers().store(
        {{"api-keys/bytes", "AAECA/8NCg=="}},
        R"(,"payload_content_type":"application/octet-stream","payload_content_encoding":"base64")");
    const secrets::barbican_store store(servers().options("loader"));
    CHECK(store.read("letters") == "gr\xc3\xbc\xc3\x9f");
    CHECK(store.read("long") == std::string(20000, 'k'));
    CHECK(store.read("bytes") == std::string("\0\1\2\3\xff\r\n", 7));
}

TEST_CASE("A secret that is deleted or has no payload is not found") {
    servers().store({{"api-keys/hollow", ""}});
    const std::string uuid = servers().store({{"api-keys/gone", key}});
    servers().ask("loader", "demo", "DELETE", servers().said("barbican") + "/v1/secrets/" + uuid, 204);
    const secrets::barbican_store store(with_id(servers().options("loader"), uuid));
    CHECK(!store.read("hollow"));
    CHECK(!store.read("gone"));
    CHECK(!store.read("by id"));
}

TEST_CASE("The roles creator and observer can read, others cannot, and a project sees only its own secrets") {
    const std::string uuid = servers().store({{"api-keys/roles", key}});
    CHECK(key_of(servers().options("watcher"), "roles") == key);
    for (const std::string user : {"member", "auditor"}) {
        const secrets::barbican_store store(with_id(servers().options(user), uuid));
        const std::size_t logins = servers().logins();
        CHECK(failure_of([&] { store.read("roles"); }).why == reason::permission_denied);
        CHECK(failure_of([&] { store.read("by id"); }).why == reason::permission_denied);
        CHECK(servers().logins() == logins + 1);
    }
    const secrets::barbican_store outside(with_id(servers().options("outsider", "other"), uuid));
    CHECK(!outside.read("roles"));
    CHECK(failure_of([&] { outside.read("by id"); }).why == reason::permission_denied);
}

TEST_CASE("An application credential can read, and the error of a wrong one says what is wrong") {
    servers().store({{"api-keys/credential", key}});
    secrets::barbican_options options = servers().options("loader");
    options.keystone.user_name = options.keystone.project_name = "";
    options.keystone.password = {};
    options.keystone.application_credential_id = servers().said("credential", "id");
    options.keystone.application_credential_secret = secret_text(servers().said("credential", "secret"));
    CHECK(key_of(options, "credential") == key);

    options.keystone.application_credential_secret = secret_text(helpers::secret("wrong-secret"));
    CHECK_THAT(failure_of([&] { key_of(options, "openai"); }).text,
               ContainsSubstring("the application credential has expired, or its secret is wrong"));
    options.keystone.application_credential_id = std::string(32, '0');
    const auto failed = failure_of([&] { key_of(options, "openai"); });
    CHECK(failed.why == reason::no_credential);
    CHECK_THAT(failed.text, ContainsSubstring("there is no such application credential") &&
                                ContainsSubstring(", request req-"));
}

TEST_CASE("A login that Keystone refuses is not retried") {
    const std::size_t refused = servers().count("keystone", "POST /v3/auth/tokens 401");
    secrets::barbican_options options = servers().options("loader");
    options.keystone.password = secret_text(helpers::secret("wrong-password"));
    const auto failed = failure_of([&] { key_of(options, "openai"); });
    CHECK(failed.why == reason::no_credential);
    CHECK_THAT(failed.text, ContainsSubstring("/v3, login, request req-") &&
                                ContainsSubstring(": refused: a wrong user, password or project"));
    CHECK(failure_of([&] { key_of(servers().options("loader", "other"), "openai"); }).why ==
          reason::no_credential);
    CHECK(failure_of([&] { key_of(servers().options("loader", "no such project"), "openai"); }).why ==
          reason::no_credential);
    CHECK(servers().count("keystone", "POST /v3/auth/tokens 401") == refused + 3);

    options = servers().options("loader");
    options.keystone.auth_url = servers().said("barbican");
    CHECK(failure_of([&] { key_of(options, "openai"); }).why == reason::no_engine);
}

TEST_CASE("Users, projects and domains can be given by id") {
    servers().store({{"api-keys/ids", key}});
    secrets::barbican_options options = servers().options("loader");
    options.keystone.user_name = options.keystone.user_domain_name = "";
    options.keystone.project_domain_name = "";
    options.keystone.user_id = servers().said("ids", "loader");
    options.keystone.project_domain_id = "default";
    options.keystone.auth_url += "/v3/";
    CHECK(key_of(options, "ids") == key);
}

TEST_CASE("The region selects the Barbican server") {
    secrets::barbican_options options = servers().options("loader");
    options.http.tries = 1;
    options.keystone.region = "RegionTwo";
    const auto failed = failure_of([&] { key_of(options, "openai"); });
    CHECK(failed.why == reason::unreachable);
    CHECK_THAT(failed.text, ContainsSubstring("http://127.0.0.1:9, api-keys/openai: "));
    options.keystone.region = "Nowhere";
    CHECK(failure_of([&] { key_of(options, "openai"); }).why == reason::no_engine);
}

// ---- Expiry of tokens -------------------------------------------------------------------------------------

TEST_CASE("A token is renewed before it expires, so that none is refused") {
    const std::string uuid = servers().store({{"api-keys/renewed", key}});
    secrets::barbican_options options = with_id(servers().options("watcher"), uuid);
    options.keystone.auth_url = servers().said("short");
    const secrets::barbican_store store(options);
    const std::size_t logins = servers().logins("short"), refused = servers().count("barbican", " 401");
    CHECK(helpers::eventually(
        [&] { return store.read("by id") == key && servers().logins("short") == logins + 3; }));
    CHECK(servers().count("barbican", " 401") == refused);
}

TEST_CASE("An expired token is replaced, even if it has not expired by the local clock") {
    const std::string uuid = servers().store({{"api-keys/expired", key}});
    helpers::hand_clock clock;  // stands still
    secrets::barbican_options options = with_id(servers().options("watcher"), uuid);
    options.keystone.auth_url = servers().said("short");
    options.http.clock = clock.clock();
    const secrets::barbican_store store(options);
    const std::size_t logins = servers().logins("short"), refused = servers().count("barbican", " 401");
    CHECK(helpers::eventually(
        [&] { return store.read("by id") == key && servers().logins("short") == logins + 2; }));
    CHECK(servers().count("barbican", " 401") == refused + 1);
}

TEST_CASE("A withdrawn token is replaced, and after a change of the password the login fails") {
    const std::string uuid = servers().store({{"api-keys/withdrawn", key}});
    const secrets::barbican_options options = with_id(servers().options("watcher"), uuid);
    const secrets::barbican_store store(options);
    CHECK(store.read("by id") == key);
    servers().change_user("watcher", R"("enabled":false)");
    CHECK(failure_of([&] { store.read("by id"); }).why == reason::no_credential);
    servers().change_user("watcher", R"("enabled":true)");
    // Keystone withdraws all tokens of the second in which the user was disabled, even those of a
    // later login.
    CHECK(helpers::eventually([&] {
        std::string read;
        const auto failed = failure_of([&] { read = key_of(options, "by id"); });
        return !failed.why && read == key;
    }));
    const std::size_t logins = servers().logins();
    CHECK(store.read("by id") == key);
    CHECK(store.read("by id") == key);
    CHECK(servers().logins() == logins + 1);

    const std::string other = helpers::secret("another-password");
    servers().change_user("watcher", R"("password":")" + other + '"');
    CHECK(failure_of([&] { store.read("by id"); }).why == reason::no_credential);
    secrets::barbican_options changed = options;
    changed.keystone.password = secret_text(other);
    CHECK(helpers::eventually([&] { return !failure_of([&] { key_of(changed, "by id"); }).why; }));
    servers().change_user("watcher", R"("password":")" + servers().said("passwords", "watcher") + '"');
    CHECK(helpers::eventually([&] { return !failure_of([&] { key_of(options, "by id"); }).why; }));
}

// ---- Threads ----------------------------------------------------------------------------------------------

TEST_CASE("Many threads that ask for one key log in once, and with a cache they search and read once") {
    constexpr std::size_t count = 200;
    servers().store({{"api-keys/threads", key}});
    helpers::application app;
    const secrets::cache cache;
    cache.add_to(app.plugin);
    secrets::add_barbican(app.plugin, "models.get_api_key", servers().options("loader"));
    const std::size_t logins = servers().logins(), finds = servers().finds(), payloads = servers().payloads();
    const std::vector<std::string> keys =
        helpers::in_threads(count, [&] { return app.get_api_key("threads"); });
    CHECK(std::count(keys.begin(), keys.end(), key) == count);
    CHECK(servers().logins() == logins + 1);
    CHECK(servers().finds() == finds + 1);
    CHECK(servers().payloads() == payloads + 1);

    const secrets::barbican_store store(servers().options("loader"));
    const std::vector<std::string> more =
        helpers::in_threads(20, [&] { return store.read("threads").value_or("none"); });
    CHECK(std::count(more.begin(), more.end(), key) == 20);
    CHECK(servers().logins() == logins + 2);
}

// ---- The program ------------------------------------------------------------------------------------------

TEST_CASE("The program prints what the README shows") {
    servers().store({{"api-keys/openai", key}});
    const std::string uuid = servers().store({{"api-keys/payments", key}});
    servers().ask("loader", "demo", "PUT", servers().said("barbican") + "/v1/secrets/" + uuid + "/acl", 200,
                  R"({"read":{"project-access":false}})");  // only its creator can read it
    const readme::example shown("barbican");
    const std::string printed = shown.printed({{"https://keystone.example:5000", servers().said("keystone")},
                                               {"https://barbican.example:9311", servers().said("barbican")},
                                               {"OS_USERNAME=reader", "OS_USERNAME=watcher"},
                                               {"my-password", servers().said("passwords", "watcher")}});
    const std::regex request("req-[-0-9a-f]{36}");
    CHECK(std::regex_replace(printed, request, "req-...") ==
          std::regex_replace(shown.output(), request, "req-..."));
}

TEST_CASE("The servers' access logs contain no password, token or key") {
    for (const std::string server : {"keystone", "short", "barbican"}) {
        const std::string log =
            text_of_file(std::getenv("BARBICAN_SERVERS") + ("/state/" + server + ".access"));
        CHECK(!log.empty());
        helpers::searched(log);
    }
}
