// Keys from AWS Secrets Manager, over HTTP on loopback. In aws_botocore.py AWS's own client checks
// the signatures.
#include "catch.hpp"
#include "secrets/aws.hpp"
#include "secrets/cache.hpp"
#include "secrets/helpers.hpp"
#include "secrets/readme.hpp"
#include "secrets/server.hpp"

#include <extensible/extensible.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <functional>
#include <list>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Equals;
using namespace std::chrono_literals;
using helpers::application;
using helpers::failure;
using helpers::failure_of;
using secrets::instance_role;
using secrets::reason;

namespace {

const std::string key = helpers::secret("sk-key-of-the-aws-test-5317");
const std::string secret_key = helpers::secret("wJalrXUtnFEMI/secret+of/the=test");
const std::string session_token = helpers::secret("IQoJb3JpZ2luX2VjE-token-of-the-test==");
const std::string container_token = helpers::secret("Basic container-token-of-the-test");
const std::string metadata_token = helpers::secret("AQAEA-metadata-token-of-the-test==");

fake::answer found(const std::string& value) {
    return {200,
            R"({"ARN":"arn:aws:secretsmanager:eu-central-1:1:secret:x","Name":"x","SecretString":)" + value +
                R"(,"VersionStages":["AWSCURRENT"],"CreatedDate":1.5E9})",
            "application/x-amz-json-1.1"};
}

// The answer repeats secrets, as a real server might.
fake::answer refused(const std::string& type, const std::string& message = "", int status = 400) {
    const std::string text = message + " " + key + " " + secret_key;
    const std::string body = R"({"__type":")" + type + R"(","message":")" + text + "\"}";
    return {status, body, "application/x-amz-json-1.1"};
}

fake::answer key_pair(const std::string& id, const std::string& end = "2999-01-01T00:00:00Z") {
    return {200, R"({"Code":"Success","AccessKeyId":")" + id + R"(","SecretAccessKey":")" + secret_key +
                     R"(","Token":")" + session_token + R"(","Expiration":")" + end + "\"}"};
}

// A metadata service of version 2.
fake::answer metadata(const fake::request& request) {
    const std::string roles = "/latest/meta-data/iam/security-credentials/";
    const bool has_time = request.header("x-aws-ec2-metadata-token-ttl-seconds").has_value();
    if (request.path == "/latest/api/token" && request.method == "PUT" && has_time)
        return {200, metadata_token, "text/plain"};
    const bool has_token = request.header("x-aws-ec2-metadata-token") == metadata_token;
    if (request.method != "GET" || !has_token) return {401, ""};
    if (request.path == roles) return {200, "my role\n", "text/plain"};
    return request.path == roles + "my%20role" ? key_pair("ASIA-of-the-instance") : fake::answer{404, ""};
}

// Options without a source of credentials: the test adds one.
secrets::aws_options options_without_key(const std::string& endpoint) {
    secrets::aws_options options;
    options.region = "eu-central-1";
    options.endpoint = endpoint;
    options.http.timeout = 60s;  // no test waits that long
    options.http.tries = 1;
    options.credentials.http.timeout = 60s;
    options.credentials.http.tries = 1;
    return options;
}

secrets::aws_options options_for(const std::string& endpoint) {
    secrets::aws_options options = options_without_key(endpoint);
    options.credentials.key = {secrets::secret_text("AKIDEXAMPLE"), secrets::secret_text(secret_key)};
    return options;
}

std::optional<std::string> read(const secrets::aws_options& options, const std::string& service = "openai") {
    return secrets::aws_store(options).read(service);
}

failure failure_with(const secrets::aws_options& options) {
    return failure_of([&] { read(options); });
}

// The failure of the variables and files, which no server is asked for.
failure failure_of_environment() {
    return failure_of([] {
        const secrets::aws_options options = secrets::aws_from_environment().value();
        secrets::aws_credentials(options.credentials).fetch(secrets::deadline::max());
    });
}

// The id of the key that a request was signed with.
std::string signer_of(const fake::request& request) {
    const std::string authorization = request.header("authorization").value_or("");
    const std::size_t begin = authorization.find("Credential=") + 11;
    return authorization.substr(begin, authorization.find('/', begin) - begin);
}

// While it lives, no variable of AWS is set, and the home directory is empty.
class environment {
public:
    environment() {
        set("HOME", home_.path().string());
        for (const char* const name :
             {"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SECRETS_MANAGER",
              "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT",
              "AWS_CA_BUNDLE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
              "AWS_SECURITY_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SHARED_CREDENTIALS_FILE",
              "AWS_CONFIG_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
              "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
              "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_EC2_METADATA_DISABLED",
              "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN",
              "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"})
            variables_.emplace_back(name, nullptr);
    }
    void set(const std::string& name, const std::string& value) {
        variables_.emplace_front(name, value.c_str());
    }
    void write(const std::string& file, const std::string& text) const {
        std::filesystem::create_directories((home_.path() / file).parent_path());
        std::ofstream(home_.path() / file, std::ios::binary) << text;
    }
    std::string path(const std::string& file) const { return (home_.path() / file).string(); }

private:
    fake::temporary_directory home_;
    std::list<helpers::variable> variables_;  // the newest first, so that the last change is undone first
};

}  // namespace

// ---- Requests ---------------------------------------------------------------------------------------------

TEST_CASE("aws: the key is the whole text of the secret, requested by a signed POST") {
    fake::server server;
    server.always(found('"' + key + '"'));
    CHECK(read(options_for(server.address() + "/")) == key);
    const fake::request asked = server.last();
    CHECK(asked.method == "POST");
    CHECK(asked.path == "/");
    CHECK(asked.body == R"({"SecretId":"api-keys/openai"})");
    CHECK(asked.header("x-amz-target") == "secretsmanager.GetSecretValue");
    CHECK(asked.header("content-type") == "application/x-amz-json-1.1");
    CHECK(!asked.header("x-amz-security-token"));
    const std::string date = asked.header("x-amz-date").value_or("").substr(0, 8);
    CHECK_THAT(asked.header("authorization").value_or(""),
               ContainsSubstring("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/" + date +
                                 "/eu-central-1/secretsmanager/aws4_request, "
                                 "SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature="));
}

TEST_CASE("aws: the session token of a temporary key is sent and signed") {
    fake::server server;
    server.always(found('"' + key + '"'));
    secrets::aws_options options = options_for(server.address());
    options.credentials.key.token = secrets::secret_text(session_token);
    CHECK(read(options) == key);
    CHECK(server.last().header("x-amz-security-token") == session_token);
    CHECK_THAT(server.last().header("authorization").value_or(""),
               ContainsSubstring(";x-amz-date;x-amz-security-token;x-amz-target,"));
}

// From aws-c-auth, tests/aws-signing-test-suite/v4/post-*. If a request has a date, libcurl signs
// with that date.
TEST_CASE("aws: libcurl's signatures match AWS's test vectors for POST requests") {
    struct vector {
        std::string name, path, more_headers, body, signature;
    };
    const std::string sts_token =
        "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeo"
        "IYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5V"
        "SXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yj"
        "c8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
    const std::string hash =
        "X-Amz-Content-Sha256:9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e\n";
    const std::string form = "Content-Length:13\nContent-Type:application/x-www-form-urlencoded";
    const vector with = GENERATE_COPY(values<vector>({
        {"post-vanilla, post-header-key-case, post-sts-header-after", "/", "", "",
         "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
        {"post-header-key-sort", "/", "My-Header1:value1\n", "",
         "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
        {"post-header-value-case", "/", "My-Header1:VALUE1\n", "",
         "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
        {"post-sts-header-before", "/", "X-Amz-Security-Token:" + sts_token + '\n', "",
         "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
        {"post-vanilla-query, post-vanilla-empty-query-value", "/?Param1=value1", "", "",
         "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
        {"post-x-www-form-urlencoded", "/", hash + form + '\n', "Param1=value1",
         "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"},
        {"post-x-www-form-urlencoded-parameters", "/", hash + form + "; charset=utf-8\n", "Param1=value1",
         "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422"},
    }));
    CAPTURE(with.name);
    fake::server server;
    secrets::http_request request{.method = "POST", .url = server.address() + with.path, .about = "a vector"};
    std::string_view lines = with.more_headers;
    std::size_t end = 0;
    for (; (end = lines.find('\n')) != std::string_view::npos; lines.remove_prefix(end + 1))
        request.headers.add(lines.substr(0, lines.find(':')),
                            lines.substr(lines.find(':') + 1, end - lines.find(':') - 1));
    request.headers.add("Host", "example.amazonaws.com").add("X-Amz-Date", "20150830T123600Z");
    request.body = secrets::secret_text(with.body);
    request.sign = secrets::aws_signature{"aws:amz:us-east-1:service", secrets::secret_text("AKIDEXAMPLE"),
                                          secrets::secret_text("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")};
    secrets::http_client("test", {}).send(request, secrets::deadline::max());
    CHECK_THAT(server.last().header("authorization").value_or(""),
               Catch::Matchers::EndsWith("Signature=" + with.signature));
}

TEST_CASE("aws: the application chooses the name of the secret, which may be an ARN") {
    const auto [secret, body] = GENERATE(table<std::string, std::string>({
        {"{service}", R"({"SecretId":"openai"})"},
        {"prod/{service}/x-{service}", R"({"SecretId":"prod/openai/x-openai"})"},
        {"arn:aws:secretsmanager:eu-central-1:1:secret:k/{service}",
         R"({"SecretId":"arn:aws:secretsmanager:eu-central-1:1:secret:k/openai"})"},
    }));
    fake::server server;
    server.always(refused("ResourceNotFoundException"));
    secrets::aws_options options = options_for(server.address());
    options.secret = secret;
    CHECK(!read(options));
    CHECK(server.last().body == body);
}

TEST_CASE("aws: a service that cannot be part of a secret's name is not requested") {
    const std::string service =
        GENERATE("", "..", "a//b", "a b", "a\"b", "a\\b", "a:b", "gr\xc3\xbc\xc3\x9f", "a\nb", "{service}");
    fake::server server;
    CHECK(!read(options_for(server.address()), service));
    CHECK(server.requests() == 0);
    server.always(found('"' + key + '"'));
    CHECK(read(options_for(server.address()), "Az09/_+=.@-") == key);
}

TEST_CASE("aws: a note says where the key came from") {
    fake::server server;
    server.always(found('"' + key + '"'));
    application app;
    secrets::add_aws(app.plugin, "models.get_api_key", options_for(server.address()));
    std::string source;
    app.get_api_key.on_end([&](auto& call) { source = call.kwargs.value_or("source", "nowhere"); });
    CHECK(app.get_api_key("openai") == key);
    CHECK(source == "aws api-keys/openai");
    CHECK(app.runs == 0);
}

// ---- Answers ----------------------------------------------------------------------------------------------

TEST_CASE("aws: with a field, the secret is a JSON object, and the key is a string in it") {
    fake::server server;
    secrets::aws_options options = options_for(server.address());
    options.field = "key";
    server.always(found(R"("{\"key\":\")" + key + R"(\",\"other\":1}")"));
    CHECK(read(options) == key);

    const std::string secret =
        GENERATE(R"("{}")", R"("{\"key\":1}")", R"("{\"key\":\"\"}")", R"("[\"key\"]")", R"("plain text")");
    server.always(found(secret));
    CHECK(failure_with(options).why == reason::missing_field);
}

TEST_CASE("aws: without a field, a secret that is a JSON object is an error, and no part of it is a key") {
    fake::server server;
    server.always(found(R"("{\"openai\":\")" + key + R"(\",\"other\":\"sk-2\"}")"));
    const failure failed = failure_with(options_for(server.address()));
    CHECK(failed.why == reason::missing_field);
    CHECK_THAT(failed.text, ContainsSubstring("the secret is a JSON object: set the option 'field'"));
}

TEST_CASE("aws: a secret without a text fails with its reason") {
    fake::server server;
    const auto [body, why] = GENERATE(table<std::string, reason>({
        {R"({"SecretBinary":"c2stYmluYXJ5"})", reason::missing_field},
        {R"({"SecretString":""})", reason::missing_field},
        {R"({"SecretString":1})", reason::malformed},
        {R"({})", reason::malformed},
        {R"([])", reason::malformed},
        {R"({"SecretString":)", reason::malformed},
        {"<html>", reason::malformed},
        {"", reason::malformed},
    }));
    server.always(fake::answer{200, body});
    CHECK(failure_with(options_for(server.address())).why == why);
}

TEST_CASE("aws: errors are distinguished by their type, and no error text repeats the server's message") {
    const auto [type, message, why] = GENERATE(table<std::string, std::string, std::optional<reason>>({
        {"ResourceNotFoundException", "Secrets Manager can't find the specified secret.", std::nullopt},
        {"InvalidRequestException",
         "You can't perform this operation on the secret because it was marked for deletion.",
         reason::deleted},
        {"InvalidRequestException",
         "You tried to perform the operation on a secret that's currently marked deleted.", reason::deleted},
        {"InvalidRequestException", "The secret is managed by another service.", reason::misconfigured},
        {"InvalidParameterException", "", reason::misconfigured},
        {"ValidationException", "", reason::misconfigured},
        {"AccessDeniedException", "", reason::permission_denied},
        {"UnrecognizedClientException", "", reason::permission_denied},
        {"ExpiredTokenException", "", reason::expired_token},
        {"InvalidSignatureException", "The request signature we calculated does not match",
         reason::bad_signature},
        {"SignatureDoesNotMatch", "", reason::bad_signature},
        {"IncompleteSignatureException", "", reason::bad_signature},
        {"InvalidSignatureException", "Signature expired: 20250101T000000Z is now earlier than",
         reason::clock_skew},
        {"SignatureDoesNotMatch", "Signature not yet current: 20250101T000000Z is still later than",
         reason::clock_skew},
        {"RequestTimeTooSkewed", "", reason::clock_skew},
        {"DecryptionFailure", "", reason::undecryptable},
        {"ThrottlingException", "", reason::rate_limited},
        {"TooManyRequestsException", "", reason::rate_limited},
        {"InternalServiceError", "", reason::server_error},
        {"UnknownOperationException", "", reason::no_engine},
        {"SomethingNewException", "", reason::misconfigured},
    }));
    CAPTURE(type, message);
    fake::server server;
    fake::answer in_header = refused("", message);
    in_header.body.replace(0, std::string_view(R"({"__type":"",)").size(), "{");
    in_header.more_headers =
        "x-amzn-ErrorType: " + type + ":http://internal.amazon.com/coral/com.amazonaws.x/\r\n";
    for (const fake::answer& answer :
         {refused(type, message), refused("com.amazonaws.secretsmanager#" + type, message), in_header}) {
        server.always(answer);
        const failure failed = failure_with(options_for(server.address()));
        CHECK(failed.why == why);
        const std::string about = "aws: " + server.address() + ", api-keys/openai: ";
        if (why) CHECK_THAT(failed.text, ContainsSubstring(about));
        CHECK(failed.text.size() < 200);
    }
}

TEST_CASE("aws: answers that are not from AWS are distinguished by their status") {
    const auto [answer, why] = GENERATE(table<fake::answer, reason>({
        {{204, ""}, reason::rejected},
        {{400, "<html>"}, reason::misconfigured},
        {{401, ""}, reason::permission_denied},
        {{403, ""}, reason::permission_denied},
        {{404, R"({"errors":[]})"}, reason::misconfigured},
        {{405, ""}, reason::misconfigured},
        {{408, ""}, reason::rejected},
        {{429, ""}, reason::rate_limited},
        {{503, "{}"}, reason::server_error},
        {{307, "", "text/plain", "Location: http://127.0.0.1:1/\r\n"}, reason::redirected},
        {{.status = 200, .body = "{}", .cut_off = 10}, reason::malformed},
        {{.raw = "SSH-2.0-OpenSSH_9.2p1\r\n"}, reason::malformed},
        {{200, std::string(1 << 21, ' ')}, reason::malformed},
    }));
    fake::server server;
    server.always(answer);
    CHECK(failure_with(options_for(server.address())).why == why);
}

TEST_CASE("aws: a store that is unreachable or does not answer in time is given up") {
    const fake::closed_port nobody;
    CHECK(failure_with(options_for(nobody.address())).why == reason::unreachable);
    fake::server server;
    fake::answer late = found('"' + key + '"');
    late.until_given_up = GENERATE(true, false);
    late.half = !late.until_given_up;
    server.always(late);
    secrets::aws_options options = options_for(server.address());
    options.http.timeout = 50ms;
    CHECK(failure_with(options).why == reason::timed_out);
}

TEST_CASE("aws: a failure reaches the caller, unless the store is out of reach and may be passed over") {
    fake::server server;
    secrets::aws_options options = options_for(server.address());
    CHECK(options.on_failure == secrets::on_failure::fail);
    options.on_failure = GENERATE(secrets::on_failure::fail, secrets::on_failure::fall_through);
    const bool may_fall_through = options.on_failure == secrets::on_failure::fall_through;
    application app;
    secrets::add_aws(app.plugin, "models.get_api_key", options);
    for (const char* const type :
         {"AccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException",
          "InvalidSignatureException", "DecryptionFailure", "ValidationException", "SomethingNew"}) {
        server.always(refused(type));
        CHECK(failure_of([&] { app.get_api_key("openai"); }).why);
    }
    for (int status = 400; status < 500; ++status) {
        if (status == 408 || status == 429) continue;
        server.always({status, "<html>"});
        CHECK(failure_of([&] { app.get_api_key("openai"); }).why);
    }
    CHECK(app.runs == 0);

    server.always(refused("ServiceUnavailable", "", 503));
    std::string got;
    const failure failed = failure_of([&] { got = app.get_api_key("openai"); });
    CHECK(failed.why == (may_fall_through ? std::nullopt : std::optional(reason::server_error)));
    CHECK(got == (may_fall_through ? "sk-from-the-environment" : ""));
    REQUIRE(app.errors.size() == (may_fall_through ? 1 : 0));
    if (may_fall_through)
        CHECK_THAT(app.errors[0], ContainsSubstring("'aws' of secrets threw: aws: http://"));
}

TEST_CASE("aws: Retry-After is waited for if it fits in the time-out, and otherwise is in the error") {
    fake::server server;
    std::atomic<int> asked = 0;
    fake::answer slower = refused("ThrottlingException");
    slower.more_headers = "Retry-After: 3\r\n";
    server.always([&](const fake::request&) { return ++asked == 1 ? slower : found('"' + key + '"'); });
    helpers::hand_clock clock;
    secrets::aws_options options = options_for(server.address());
    options.http.clock = clock.clock();
    options.http.tries = 2;
    CHECK(read(options) == key);
    CHECK(clock.pauses().at(0) >= 3s);

    asked = 0;
    options.http.timeout = 2s;
    const failure failed = failure_with(options);
    CHECK(failed.why == reason::rate_limited);
    CHECK(failed.retry_after == 3s);
    CHECK(asked == 1);
}

TEST_CASE("aws: permanent errors are not retried") {
    fake::server server;
    const std::string type =
        GENERATE("AccessDeniedException", "InvalidSignatureException", "DecryptionFailure");
    server.always(refused(type));
    secrets::aws_options options = options_for(server.address());
    options.http.tries = 3;
    CHECK(failure_with(options).why);
    CHECK(server.requests() == 1);
}

// ---- Expiry -----------------------------------------------------------------------------------------------

TEST_CASE("aws: an expired token is replaced once") {
    fake::server store, container;
    std::atomic<int> fetched = 0;
    container.always([&](const fake::request&) { return key_pair("ASIA-" + std::to_string(++fetched)); });
    std::string good = "ASIA-1";
    store.always([&](const fake::request& request) {
        return signer_of(request) == good ? found('"' + key + '"') : refused("ExpiredTokenException");
    });
    secrets::aws_options options = options_without_key(store.address());
    options.credentials.container_address = container.address() + "/creds";
    const secrets::aws_store aws(options);
    CHECK(aws.read("openai") == key);
    CHECK(aws.read("openai") == key);
    CHECK(fetched == 1);

    good = "ASIA-2";
    CHECK(aws.read("openai") == key);
    CHECK(fetched == 2);
    CHECK(store.requests() == 4);

    good = "nobody's";
    CHECK(failure_of([&] { aws.read("openai"); }).why == reason::expired_token);
    CHECK(fetched == 3);
    CHECK(store.requests() == 6);
}

TEST_CASE("aws: a key that AWS does not take any more is read again, and a wrong key has not expired") {
    const auto [type, why] = GENERATE(table<std::string, reason>({
        {"ExpiredTokenException", reason::expired_token},
        {"UnrecognizedClientException", reason::permission_denied},
        {"InvalidClientTokenId", reason::permission_denied},
        {"InvalidAccessKeyId", reason::permission_denied},
        {"InvalidSignatureException", reason::bad_signature},
        {"SignatureDoesNotMatch", reason::bad_signature},
    }));
    CAPTURE(type);
    environment clean;
    const std::string rest = "\naws_secret_access_key=s\n";
    clean.write(".aws/credentials", "[default]\naws_access_key_id=OLD" + rest);
    fake::server store;
    std::string good = "OLD";
    store.always([&, &error = type](const fake::request& request) {
        return signer_of(request) == good ? found('"' + key + '"') : refused(error);
    });
    secrets::aws_options options = options_without_key(store.address());
    options.credentials.files = secrets::aws_files_of_environment();
    const secrets::aws_store aws(options);
    CHECK(aws.read("openai") == key);

    good = "NEW";
    const failure failed = failure_of([&] { aws.read("openai"); });
    CHECK(failed.why == why);
    CHECK((failed.text.find("expired") != std::string::npos) == (why == reason::expired_token));
    CHECK(store.requests() == 2);  // not again with the same key
    clean.write(".aws/credentials", "[default]\naws_access_key_id=NEW" + rest);
    CHECK(aws.read("openai") == key);
    CHECK(store.requests() == 4);
    clean.write(".aws/credentials", "[default]\naws_access_key_id=NEWER" + rest);
    CHECK(aws.read("openai") == key);  // the key that works is kept
    CHECK(store.requests() == 5);
}

TEST_CASE("aws: a key is kept if AWS refuses the secret or the time, but not the key") {
    const std::string type = GENERATE("AccessDeniedException", "RequestTimeTooSkewed", "OptInRequired",
                                      "DecryptionFailure", "ResourceNotFoundException");
    fake::server store, container;
    container.always(key_pair("ASIA-1"));
    store.always([&](const fake::request& asked) {
        return asked.body.find("openai") == std::string::npos ? refused(type) : found('"' + key + '"');
    });
    secrets::aws_options options = options_without_key(store.address());
    options.credentials.container_address = container.address() + "/creds";
    const secrets::aws_store aws(options);
    CHECK(aws.read("openai") == key);
    for (int i = 0; i < 2; ++i) failure_of([&] { aws.read("other"); });
    CHECK(aws.read("openai") == key);
    CHECK(container.requests() == 1);
    CHECK(store.requests() == 4);
}

TEST_CASE("aws: one read has one time limit, also for the credentials") {
    fake::server store, service;
    helpers::hand_clock clock;
    store.always(found('"' + key + '"'));
    const fake::answer later{503, "", "text/plain", "Retry-After: 2\r\n"};
    service.always([&](const fake::request& request) {
        if (request.path == "/later") return later;
        clock.pass(2s);
        return request.path == "/creds" ? key_pair("ASIA-1") : metadata(request);
    });
    secrets::aws_options options = options_without_key(store.address());
    options.http.clock = clock.clock();
    options.credentials.http.tries = 2;
    int sent = 0;
    reason why = reason::timed_out;
    SECTION("a container, and no time for the secret") {
        options.credentials.container_address = service.address() + "/creds";
        options.http.timeout = 1s;
        sent = 1;
    }
    SECTION("a container, and no time for a second try") {
        options.credentials.container_address = service.address() + "/later";
        options.http.timeout = 1s;
        sent = 1;
        why = reason::server_error;
    }
    SECTION("an instance, and no time for its last request") {
        options.credentials.instance_address = service.address();
        options.http.timeout = 3s;
        sent = 2;
    }
    SECTION("an instance, with the limit of the credentials") {
        options.credentials.instance_address = service.address();
        options.credentials.http.timeout = 3s;
        sent = 2;
    }
    CHECK(failure_with(options).why == why);
    CHECK(service.requests() == sent);
    CHECK(store.requests() == 0);
}

TEST_CASE("aws: a key is renewed before it expires") {
    fake::server store, container;
    std::atomic<int> fetched = 0;
    container.always([&](const fake::request&) { return key_pair("ASIA-" + std::to_string(++fetched)); });
    store.always(found('"' + key + '"'));
    helpers::hand_clock clock;
    secrets::aws_options options = options_without_key(store.address());
    options.credentials.container_address = container.address() + "/creds";
    options.http.clock = clock.clock();
    const secrets::aws_store aws(options);
    CHECK(aws.read("openai") == key);
    clock.pass(std::chrono::hours(24 * 365) - 30s);  // it expires in 2999, but is kept for only a year
    CHECK(aws.read("openai") == key);
    CHECK(fetched == 2);
    CHECK(signer_of(store.last()) == "ASIA-2");
}

TEST_CASE("aws: two thousand threads that ask for one key fetch it once, and the credentials once") {
    constexpr std::size_t count = 2000;
    fake::server store, container;
    secrets::cache cache;
    container.always(key_pair("ASIA-1"));
    store.always([&](const fake::request&) {
        helpers::eventually([&] { return cache.waiting() == count - 1; });
        return found('"' + key + '"');
    });
    secrets::aws_options options = options_without_key(store.address());
    options.credentials.container_address = container.address() + "/creds";
    application app;
    cache.add_to(app.plugin);
    secrets::add_aws(app.plugin, "models.get_api_key", options);
    const auto keys = helpers::in_threads(count, [&] { return app.get_api_key("openai"); });
    CHECK(std::count(keys.begin(), keys.end(), key) == count);
    CHECK(store.requests() == 1);
    CHECK(container.requests() == 1);
}

TEST_CASE("aws: threads that ask for different keys fetch the credentials once") {
    constexpr std::size_t count = 32;
    fake::server store, container;
    container.always(key_pair("ASIA-1"));
    store.always(found('"' + key + '"'));
    secrets::aws_options options = options_without_key(store.address());
    options.credentials.container_address = container.address() + "/creds";
    const secrets::aws_store aws(options);
    std::atomic<int> number = 0;
    const auto read_next = [&] { return aws.read("s" + std::to_string(++number)).value(); };
    const auto keys = helpers::in_threads(count, read_next);
    CHECK(std::count(keys.begin(), keys.end(), key) == count);
    CHECK(store.requests() == count);
    CHECK(container.requests() == 1);
}

// ---- The container's and the instance's credentials -------------------------------------------------------

TEST_CASE("aws: a container's credentials are requested with its token, and its file is read each time") {
    fake::server store, container;
    store.always(refused("ExpiredTokenException"));
    container.always(key_pair("ASIA-1"));
    environment clean;
    secrets::aws_options options = options_without_key(store.address());
    options.credentials.container_address = container.address() + "/v2/credentials/id?a=b";
    options.credentials.container_token = secrets::secret_text("Basic other");
    CHECK(failure_with(options).why == reason::expired_token);
    CHECK(container.last().path == "/v2/credentials/id?a=b");
    CHECK(container.last().header("authorization") == "Basic other");

    options.credentials.container_token_file = clean.path("token");
    CHECK(failure_with(options).why == reason::no_credential);
    clean.write("token", "first\n");
    const secrets::aws_store aws(options);
    CHECK(failure_of([&] { aws.read("openai"); }).why == reason::expired_token);
    CHECK(container.last().header("authorization") == "first");
    clean.write("token", container_token + "\r\n");
    CHECK(failure_of([&] { aws.read("openai"); }).why == reason::expired_token);
    CHECK(container.last().header("authorization") == container_token);
    clean.write("token", GENERATE("", "\n", "two\nlines"));
    CHECK(failure_with(options).why == reason::no_credential);
    options.credentials.container_token_file = "";
    options.credentials.container_token = secrets::secret_text("two\nlines");
    CHECK(failure_with(options).why == reason::misconfigured);
}

TEST_CASE("aws: a container's credentials are requested only from the documented hosts") {
    const auto [address, is_allowed] = GENERATE(table<std::string, bool>({
        {"https://example.com/creds", true},
        {"http://127.0.0.1/creds", true},
        {"http://127.9.9.9:81/creds", true},
        {"http://localhost:8080/", true},
        {"http://[::1]:8080/", true},
        {"http://169.254.170.2/v2/x", true},
        {"http://169.254.170.23/v1/credentials", true},
        {"http://[fd00:ec2::23]/v1/credentials", true},
        {"http://example.com/creds", false},
        {"http://169.254.169.254/latest", false},
        {"http://169.254.170.20/", false},
        {"http://169.254.170.2.example.com/", false},
        {"http://127.0.0.1.example.com/", false},
        {"http://localhost.example.com/", false},
        {"http://169.254.170.2@example.com/", false},
        {"http://user@127.0.0.1/", false},
        {"http://[fd00:ec2::24]/", false},
        {"http://10.0.0.1/", false},
        {"ftp://127.0.0.1/", false},
        {"file:///etc/passwd", false},
        {"", false},
    }));
    CAPTURE(address);
    CHECK(secrets::is_container_address(address) == is_allowed);
    if (is_allowed || address.empty()) return;
    secrets::aws_options options = options_without_key("http://127.0.0.1:1");
    options.credentials.container_address = address;
    CHECK(failure_with(options).why == reason::misconfigured);
}

TEST_CASE("aws: the key of an instance's role comes from version 2 of the metadata service") {
    fake::server store, service;
    store.always(found('"' + key + '"'));
    service.always(metadata);
    secrets::aws_options options = options_without_key(store.address());
    options.credentials.instance_address = service.address() + "/";
    CHECK(read(options) == key);
    CHECK(signer_of(store.last()) == "ASIA-of-the-instance");
    CHECK(store.last().header("x-amz-security-token") == session_token);
    CHECK(service.requests() == 3);
}

TEST_CASE("aws: each fault of a credentials endpoint has its reason, and no secret is requested") {
    const auto [answer, why] = GENERATE(table<fake::answer, reason>({
        {{400, key}, reason::no_credential},
        {{403, key}, reason::no_credential},
        {{404, key}, reason::no_credential},
        {{405, key}, reason::no_credential},
        {{500, key}, reason::server_error},
        {{429, key}, reason::rate_limited},
        {{302, key, "text/plain", "Location: http://127.0.0.1:1/\r\n"}, reason::no_credential},
        {{200, R"({"Code":"AssumeRoleUnauthorizedAccess","Message":"x"})"}, reason::no_credential},
        {{200, key}, reason::malformed},
        {{200, R"({"AccessKeyId":"ASIA","Token":"x"})"}, reason::malformed},
        {{200, R"({"AccessKeyId":"ASIA","SecretAccessKey":1})"}, reason::malformed},
        {{200, R"({"AccessKeyId":"ASIA","SecretAccessKey":"s","Token":"two\r\nlines"})"},
         reason::no_credential},
        {{.body = "{}", .cut_off = 10}, reason::malformed},
    }));
    CAPTURE(answer.status, answer.body);
    fake::server store, service;
    service.always([&given = answer](const fake::request& request) {
        return request.path == "/creds" || request.path.ends_with("my%20role") ? given : metadata(request);
    });
    secrets::aws_options options = options_without_key(store.address());
    SECTION("container") { options.credentials.container_address = service.address() + "/creds"; }
    SECTION("instance") { options.credentials.instance_address = service.address(); }
    const failure failed = failure_with(options);
    CHECK(failed.why == why);
    CHECK_THAT(failed.text, !ContainsSubstring("creds") && !ContainsSubstring("role"));
    const bool has_address = answer.body.find("two") == std::string::npos;
    const std::string text = has_address ? "credentials at " + service.address() + ": " : "not one line";
    CHECK_THAT(failed.text, ContainsSubstring(text));
    CHECK(store.requests() == 0);
}

TEST_CASE("aws: a metadata service without a token or a role supplies no key") {
    const auto [path, answer, why] = GENERATE(table<std::string, fake::answer, reason>({
        {"token", {403, key}, reason::no_credential},
        {"token", {503, key}, reason::server_error},
        {"token", {200, ""}, reason::malformed},
        {"token", {200, "two\nlines"}, reason::malformed},
        {"security-credentials/", {404, key}, reason::no_credential},
        {"security-credentials/", {200, ""}, reason::no_credential},
    }));
    fake::server service;
    service.always([&end = path, &given = answer](const fake::request& request) {
        return request.path.ends_with(end) ? given : metadata(request);
    });
    secrets::aws_options options = options_without_key("http://127.0.0.1:1");
    options.credentials.instance_address = service.address();
    CHECK(failure_with(options).why == why);
}

TEST_CASE("aws: a credentials endpoint that hangs or is unreachable is given up in time") {
    fake::server store, service;
    service.always(fake::answer{.until_given_up = true});
    const fake::closed_port nobody;
    secrets::aws_options options = options_without_key(store.address());
    const auto address = GENERATE(&secrets::aws_credential_options::container_address,
                                  &secrets::aws_credential_options::instance_address);
    options.credentials.*address = nobody.address();
    CHECK(failure_with(options).why == reason::unreachable);
    options.credentials.*address = service.address();
    options.credentials.http.timeout = 50ms;
    CHECK(failure_with(options).why == reason::timed_out);
    CHECK(secrets::aws_credential_options().http.timeout <= 2s);
    CHECK(secrets::aws_credential_options().http.connect_timeout <= 1s);
    CHECK(store.requests() == 0);
}

// ---- Profiles ---------------------------------------------------------------------------------------------

TEST_CASE("aws: a profile's key comes from AWS's files") {
    const auto [credentials, config, expected] = GENERATE(table<std::string, std::string, std::string>({
        {"[default]\naws_access_key_id = ONE\naws_secret_access_key = s\n", "", "ONE"},
        {"[default]\naws_access_key_id=ONE\naws_secret_access_key=s",
         "[default]\naws_access_key_id=TWO\naws_secret_access_key=s", "ONE"},
        {"", "[default]\naws_access_key_id=TWO\naws_secret_access_key=s", "TWO"},
        {"[other]\naws_access_key_id=ONE\naws_secret_access_key=s", "", "no access key in"},
        {"# a note\n[default]\r\n  AWS_Access_Key_Id : ONE \r\n  aws_secret_access_key:s\r\n; more\n", "",
         "ONE"},
        {"", "[default]\ns3 =\n  aws_access_key_id = NESTED\n  aws_secret_access_key = s\n",
         "no access key in"},
        {"[default]\naws_access_key_id=ONE", "", "aws_access_key_id is set without aws_secret_access_key"},
        {"[default]\naws_secret_access_key=s", "", "aws_secret_access_key is set without aws_access_key_id"},
        {"[default]\naws_session_token = t\n", "[default]\naws_access_key_id=TWO\naws_secret_access_key=s",
         "aws_session_token is set without aws_access_key_id"},
        {"", "[default]\ncredential_process = /bin/x\naws_access_key_id=TWO\naws_secret_access_key=s",
         "profile 'default': credential_process is not supported"},
        {"[default]\naws_access_key_id=ONE\naws_secret_access_key=s",
         "[default]\ncredential_process = /bin/x", "ONE"},
        {"[ default ]\naws_access_key_id=ONE\naws_secret_access_key=s", "", "ONE"},
        {"[default] ; [mine]\naws_access_key_id=ONE\naws_secret_access_key=s", "", "ONE"},
    }));
    CAPTURE(credentials, config);
    environment clean;
    clean.write(".aws/credentials", credentials);
    clean.write(".aws/config", config);
    fake::server store;
    store.always(refused("ResourceNotFoundException"));
    secrets::aws_options options = options_without_key(store.address());
    options.credentials.files = secrets::aws_files_of_environment();
    const failure failed = failure_with(options);
    CHECK_THAT(failed.why ? failed.text : signer_of(store.last()), ContainsSubstring(expected));
    if (failed.why) CHECK(failed.why == reason::no_credential);
}

TEST_CASE("aws: a profile that leads to another identity is refused, and its own key is not used") {
    const std::string line =
        GENERATE("role_arn", "source_profile", "credential_source", "web_identity_token_file", "sso_session",
                 "sso_account_id", "sso_role_name", "sso_start_url", "login_session");
    environment clean;
    clean.set("AWS_REGION", "eu-central-1");
    clean.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1");
    if (GENERATE(true, false))
        clean.write(".aws/credentials", "[default]\naws_access_key_id=ONE\naws_secret_access_key=s\n");
    clean.write(".aws/config", "[default]\n" + line + " = x\n");
    CHECK(secrets::aws_from_environment());
    const failure failed = failure_of_environment();
    CHECK(failed.why == reason::no_credential);
    CHECK_THAT(failed.text, ContainsSubstring("profile 'default': " + line + " is not supported"));
    clean.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "");
    CHECK(secrets::aws_from_environment());  // so that no other store is used
}

TEST_CASE("aws: a file that cannot be understood is an error that names it, and no other key is used") {
    const auto utf16 = [](bool is_big, bool has_mark) {
        const std::string file = "[default]\naws_access_key_id=ONE\naws_secret_access_key=s";
        std::string text = !has_mark ? "" : is_big ? "\xfe\xff" : "\xff\xfe";
        for (const char c : file) text += is_big ? std::string{'\0', c} : std::string{c, '\0'};
        return text;
    };
    const std::string text = GENERATE_COPY(values<std::string>(
        {"\xef\xbb\xbf[default]\naws_access_key_id=ONE\naws_secret_access_key=s\n", utf16(false, true),
         utf16(true, true), utf16(false, false), utf16(true, false), "aws_access_key_id=ONE\n[default]\n",
         "[default\naws_access_key_id=ONE\naws_secret_access_key=s\n", "[default]\naws_access_key_id ONE\n",
         "a directory"}));
    const std::string file = GENERATE("credentials", "config");
    CAPTURE(text, file);
    environment clean;
    if (text == "a directory") std::filesystem::create_directories(clean.path(".aws/" + file));
    else clean.write(".aws/" + file, text);
    fake::server service, store;
    secrets::aws_options options = options_without_key(store.address());
    options.credentials.files = secrets::aws_files_of_environment();
    options.credentials.instance_address = service.address();
    failure failed;
    SECTION("when the options are read") { failed = failure_of([] { secrets::aws_from_environment(); }); }
    SECTION("when a key is read") { failed = failure_with(options); }
    CHECK(failed.why == reason::no_credential);
    CHECK_THAT(failed.text, ContainsSubstring(clean.path(".aws/" + file)));
    CHECK(service.requests() == 0);
}

TEST_CASE("aws: a file that is chosen has to exist, and no other key is used instead") {
    const std::string file = GENERATE("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE");
    environment clean;
    if (GENERATE(true, false)) clean.set("AWS_REGION", "eu-central-1");
    if (GENERATE(true, false)) clean.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1");
    const std::string one = "[default]\naws_access_key_id=ONE\naws_secret_access_key=s\n";
    clean.write(".aws/credentials", one);
    clean.write(".aws/config", one);
    clean.set(file, clean.path("file"));
    CHECK(failure_of([] { secrets::aws_from_environment(); }).why == reason::no_credential);
    CHECK_THAT(failure_of_environment().text, ContainsSubstring(clean.path("file") + " does not exist"));

    clean.write("file", one);
    clean.set("AWS_REGION", "eu-central-1");
    const secrets::aws_options options = secrets::aws_from_environment().value();
    std::filesystem::remove(clean.path("file"));  // later, too
    CHECK_THAT(failure_with(options).text, ContainsSubstring(clean.path("file") + " does not exist"));

    clean.set("AWS_ACCESS_KEY_ID", "AKID");
    clean.set("AWS_SECRET_ACCESS_KEY", "s");
    CHECK(!failure_of_environment().why);  // the file is not needed
}

TEST_CASE("aws: a profile that occurs twice in a file is an error, and no lines of the two are mixed") {
    const std::string one = "aws_access_key_id=ONE\naws_secret_access_key=s\naws_session_token=t\n";
    const std::string two = "AWS_ACCESS_KEY_ID=TWO\naws_secret_access_key=s\n";
    const auto [file, profile, before, between, fault] =
        GENERATE(table<std::string, std::string, std::string, std::string, std::string>({
            {"credentials", "default", "[default]\n", "[default]\n", " has the"},
            {"credentials", "default", "[default]\n", "[other]\nx=1\n[ default ]\n", " has the"},
            {"credentials", "default", "[default]\n", "", " has a line of the"},
            {"credentials", "dev", "[dev]\n", "[dev]\n", " has the"},
            {"config", "default", "[default]\n", "[profile default]\n", " has the"},
            {"config", "default", "[profile default]\n", "[default]\n", " has the"},
            {"config", "dev", "[profile dev]\n", "[profile 'dev']\n", " has the"},
            {"config", "dev", "[profile dev]\n", "", " has a line of the"},
            {"config", "dev", "[profile dev]\n", "[dev]\n", ""},
            {"credentials", "dev", "[dev]\n", "[default]\n", ""},
        }));
    CAPTURE(file, profile, before, between);
    environment clean;
    clean.set("AWS_REGION", "eu-central-1");
    if (profile != "default") clean.set("AWS_PROFILE", profile);
    clean.write(".aws/" + file, before + one + between + two);
    const failure failed = failure_of_environment();
    CHECK(failed.why == (fault.empty() ? std::nullopt : std::optional(reason::no_credential)));
    const std::string text = clean.path(".aws/" + file) + fault + " profile '" + profile + "' twice";
    CHECK_THAT(failed.text, Equals(fault.empty() ? "" : "aws: " + text));
}

TEST_CASE("aws: a named profile is found in either file, and a missing profile is an error") {
    environment clean;
    clean.write("keys",
                "[dev]\naws_access_key_id=DEV\naws_secret_access_key=s\naws_session_token=t\n[default]\n");
    clean.write("conf", "[profile dev]\nregion=eu-west-1\n[profile 'my own']\naws_access_key_id=OWN\n"
                        "aws_secret_access_key=s\n[wrong]\n");
    clean.set("AWS_SHARED_CREDENTIALS_FILE", "~/keys");
    clean.set("AWS_CONFIG_FILE", clean.path("conf"));
    const auto of = [&](const std::string& profile) {
        clean.set("AWS_PROFILE", profile);
        const secrets::aws_options options = secrets::aws_from_environment(instance_role::asked).value();
        const secrets::fetched<secrets::aws_key> got =
            secrets::aws_credentials(options.credentials).fetch(secrets::deadline::max());
        return std::string(got.value.id) + ' ' + std::string(got.value.token) + ' ' + options.region;
    };
    CHECK(of("dev") == "DEV t eu-west-1");
    CHECK(of("my own") == "OWN  ");
    for (const std::string missing : {"wrong", "profile dev", "Dev"}) {
        const failure failed = failure_of([&] { of(missing); });
        CHECK(failed.why == reason::no_credential);
        CHECK_THAT(failed.text, Equals("aws: profile '" + missing + "' does not exist"));
    }
}

// ---- The environment --------------------------------------------------------------------------------------

TEST_CASE("aws: the options come from AWS's variables") {
    environment clean;
    clean.set("AWS_DEFAULT_REGION", "us-west-2");
    clean.set("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    clean.set("AWS_ACCESS_KEY_ID", "AKID");
    clean.set("AWS_SECRET_ACCESS_KEY", secret_key);
    secrets::aws_options options = secrets::aws_from_environment().value();
    CHECK(options.region == "us-west-2");
    CHECK(options.endpoint == "http://127.0.0.1:1");
    CHECK(options.credentials.key.id == "AKID");
    CHECK(options.credentials.key.secret == secret_key);
    CHECK(options.credentials.key.token.empty());
    CHECK(options.on_failure == secrets::on_failure::fail);

    clean.set("AWS_REGION", "eu-central-1");
    clean.set("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:2");
    clean.set("AWS_SESSION_TOKEN", session_token);
    options = secrets::aws_from_environment().value();
    CHECK(options.region == "eu-central-1");
    CHECK(options.endpoint == "http://127.0.0.1:2");
    CHECK(options.credentials.key.token == session_token);
}

TEST_CASE("aws: without AWS's configuration there are no options, unless the instance's role is asked for") {
    environment clean;
    CHECK(!secrets::aws_from_environment());
    const auto instance_address = [] {
        return secrets::aws_from_environment(instance_role::asked).value().credentials.instance_address;
    };
    CHECK(instance_address() == "http://169.254.169.254");
    clean.set("AWS_REGION", "eu-central-1");
    CHECK(!secrets::aws_from_environment());

    SECTION("a key without a region") {
        clean.set("AWS_REGION", "");
        clean.set("AWS_ACCESS_KEY_ID", "AKID");
        clean.set("AWS_SECRET_ACCESS_KEY", "s");
        CHECK(!secrets::aws_from_environment());
        clean.write(".aws/config", "[default]\nregion = eu-west-3\n");
        CHECK(secrets::aws_from_environment().value().region == "eu-west-3");
    }
    SECTION("a profile with a key") {
        clean.write(".aws/credentials", "[default]\nother = 1\n");
        CHECK(!secrets::aws_from_environment());
        clean.write(".aws/credentials", "[default]\naws_access_key_id=ONE\naws_secret_access_key=s\n");
        CHECK(secrets::aws_from_environment());
    }
    SECTION("a profile that is chosen") {
        clean.write(".aws/credentials", "[dev]\n");
        clean.set("AWS_PROFILE", "dev");
        CHECK(secrets::aws_from_environment());
    }
    SECTION("a config file that is chosen, without a key") {
        clean.write("config", "[default]\noutput = json\n");
        clean.set("AWS_CONFIG_FILE", clean.path("config"));
        CHECK(!secrets::aws_from_environment());
    }
    SECTION("a profile that is not supported") {
        clean.write(".aws/config", "[default]\nrole_arn = x\n");
        CHECK(secrets::aws_from_environment());
    }
    SECTION("a container") {
        const auto address = [] {
            return secrets::aws_from_environment().value().credentials.container_address;
        };
        clean.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/x");
        CHECK(address() == "http://127.0.0.1:1/x");
        clean.set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x");
        CHECK(address() == "http://169.254.170.2/v2/x");
        clean.set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@example.com/v2/x");
        CHECK(address() == "http://169.254.170.2/@example.com/v2/x");
    }
    SECTION("an instance") {
        clean.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1");
        CHECK(secrets::aws_from_environment().value().credentials.instance_address == "http://127.0.0.1:1");
        clean.set("AWS_EC2_METADATA_DISABLED", "True");
        CHECK(!secrets::aws_from_environment());
        CHECK(instance_address().empty());
    }
}

TEST_CASE("aws: variables that name an identity or Secrets Manager are used or refused without a region") {
    const std::string ours = "AWS_ENDPOINT_URL_SECRETS_MANAGER=http://127.0.0.1:1";
    const std::string whole = "AWS_ACCESS_KEY_ID=AKID AWS_SECRET_ACCESS_KEY=s";
    const auto [set, text] = GENERATE_COPY(table<std::string, std::string>({
        {"AWS_PROFILE=prodd", "profile 'prodd' does not exist"},
        {"AWS_DEFAULT_PROFILE=prod", "AWS_DEFAULT_PROFILE is set"},
        {"AWS_PROFILE=sso", "profile 'sso': sso_session is not supported"},
        {"AWS_PROFILE=half", "profile 'half': aws_access_key_id is set without"},
        {"AWS_SHARED_CREDENTIALS_FILE=/nonexistent/x", "profile 'default': /nonexistent/x does not exist"},
        {"AWS_CONFIG_FILE=/nonexistent/x", "profile 'default': /nonexistent/x does not exist"},
        {"AWS_ROLE_ARN=arn AWS_WEB_IDENTITY_TOKEN_FILE=/token", "AWS_ROLE_ARN is set"},
        {"AWS_WEB_IDENTITY_TOKEN_FILE=/token", "AWS_WEB_IDENTITY_TOKEN_FILE is set"},
        {"AWS_ACCESS_KEY_ID=AKID", "is set without AWS_SECRET_ACCESS_KEY"},
        {"AWS_SECRET_ACCESS_KEY=s", "is set without AWS_ACCESS_KEY_ID"},
        {"AWS_SESSION_TOKEN=t", "is set without AWS_ACCESS_KEY_ID"},
        {"AWS_PROFILE=prod AWS_USE_FIPS_ENDPOINT=true", "AWS_USE_FIPS_ENDPOINT"},
        {ours + " AWS_ACCESS_KEY_ID=AKID", "is set without AWS_SECRET_ACCESS_KEY"},
        // Nothing is wrong but the region.
        {"AWS_PROFILE=prod", "no region: set AWS_REGION"},
        {ours, "no region: set AWS_REGION"},
        {ours + ' ' + whole, "no region: set AWS_REGION"},
        // AWS is configured for other tools.
        {whole, ""},
        {whole + " AWS_PROFILE=prodd", ""},
        {"AWS_ENDPOINT_URL=http://127.0.0.1:1", ""},
        {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/x", ""},
        {"", ""},
    }));
    environment clean;
    const std::string one = "\naws_access_key_id=ONE\n", rest = "aws_secret_access_key=s\n";
    clean.write(".aws/credentials", "[default]" + one + rest + "[prod]" + one + rest + "[half]" + one);
    clean.write(".aws/config", "[profile sso]\nsso_session = x\n");
    std::istringstream words(set);
    for (std::string word; words >> word;)
        clean.set(word.substr(0, word.find('=')), word.substr(word.find('=') + 1));
    CAPTURE(set, text);
    bool has_options = false;
    const failure at_once =
        failure_of([&] { has_options = secrets::aws_from_environment().has_value(); });
    const bool is_region = text.starts_with("no region");
    CHECK(has_options == is_region);  // the application may set the region
    CHECK(at_once.why.has_value() == (!is_region && !text.empty()));
    const failure failed = failure_of([] {
        if (const auto options = secrets::aws_from_environment()) secrets::aws_store store(*options);
    });
    CHECK(failed.why.has_value() == !text.empty());
    CHECK_THAT(failed.text, ContainsSubstring(text));
}

TEST_CASE("aws: Secrets Manager's endpoint without an access key is an error") {
    environment clean;
    clean.set("AWS_REGION", "eu-central-1");
    clean.set("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:1");
    CHECK_THAT(failure_of_environment().text, Equals("aws: no access key in the environment or the profile"));
    clean.write(".aws/config", "[default]\nrole_arn = x\n");
    CHECK_THAT(failure_of([] { secrets::aws_from_environment(); }).text, ContainsSubstring("role_arn"));
}

TEST_CASE("aws: incomplete or unsupported variables are an error, and no other key is used instead") {
    const auto [name, text] = GENERATE(table<std::string, std::string>({
        {"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID (or key.id) is set without AWS_SECRET_ACCESS_KEY"},
        {"AWS_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY (or key.secret) is set without AWS_ACCESS_KEY_ID"},
        {"AWS_SESSION_TOKEN", "AWS_SESSION_TOKEN, AWS_SECURITY_TOKEN (or key.token) is set without AWS"},
        {"AWS_SECURITY_TOKEN", "AWS_SECURITY_TOKEN (or key.token) is set without AWS_ACCESS_KEY_ID"},
        {"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE is set"},
        {"AWS_ROLE_ARN", "AWS_ROLE_ARN is set"},
        {"AWS_DEFAULT_PROFILE", "AWS_DEFAULT_PROFILE is set, which is not supported here"},
    }));
    environment clean;
    clean.set("AWS_REGION", "eu-central-1");
    if (GENERATE(true, false)) clean.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1");
    if (GENERATE(true, false))
        clean.write(".aws/credentials", "[default]\naws_access_key_id=ONE\naws_secret_access_key=s\n");
    clean.set(name, "x");
    const failure failed = failure_of_environment();
    CHECK(failed.why == (name == "AWS_DEFAULT_PROFILE" ? reason::misconfigured : reason::no_credential));
    CHECK_THAT(failed.text, ContainsSubstring(text));
}

TEST_CASE("aws: a container's token without an address is an error, and the instance is not asked") {
    environment clean;
    clean.set("AWS_REGION", GENERATE("", "eu-central-1"));
    clean.set(GENERATE("AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"), "x");
    clean.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", GENERATE("", "http://127.0.0.1:1"));
    const failure failed = failure_of_environment();
    CHECK(failed.why == reason::no_credential);
    CHECK_THAT(failed.text, ContainsSubstring("AWS_CONTAINER_AUTHORIZATION_TOKEN or its file"));
}

TEST_CASE("aws: a part of a key in the options is an error, and no other key is used") {
    const auto [id, secret, token] = GENERATE(table<std::string, std::string, std::string>(
        {{"ID", "", ""}, {"ID", "", "t"}, {"", "s", ""}, {"", "s", "t"}, {"", "", "t"}}));
    fake::server container;
    secrets::aws_options options = options_without_key("http://127.0.0.1:1");
    using secrets::secret_text;
    options.credentials.key = {secret_text(id), secret_text(secret), secret_text(token)};
    options.credentials.container_address = container.address();
    CHECK(failure_with(options).why == reason::no_credential);
    CHECK(container.requests() == 0);
}

TEST_CASE("aws: each setting of the address is used, or is an error that names it") {
    using settings = std::vector<std::pair<std::string, std::string>>;
    const std::string file = "http://127.0.0.1:3", ours = "AWS_ENDPOINT_URL_SECRETS_MANAGER";
    const settings endpoint = {{ours, "http://127.0.0.1:1"}};
    const settings ignore = {{"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "TRUE"}};
    settings both = endpoint;
    both.push_back(ignore[0]);
    const auto [set, profile, address, named] = GENERATE_COPY(
        table<settings, std::string, std::string, std::string>({
            {{}, "", "", ""},
            {endpoint, "", "http://127.0.0.1:1", ""},
            {both, "", "", ""},
            {endpoint, "ignore_configured_endpoint_urls = true", "", ""},
            {{}, "endpoint_url = " + file, "", "endpoint_url in the profile"},
            {{}, "services = mine", "", "services in the profile"},
            {endpoint, "services = mine\nendpoint_url = " + file, "http://127.0.0.1:1", ""},
            {ignore, "services = mine\nendpoint_url = " + file, "", ""},
            {{{"AWS_USE_FIPS_ENDPOINT", "true"}}, "", "", "AWS_USE_FIPS_ENDPOINT"},
            {{{"AWS_USE_FIPS_ENDPOINT", "True"}, {ours, file}}, "", "", "AWS_USE_FIPS_ENDPOINT"},
            {{{"AWS_USE_FIPS_ENDPOINT", "false"}}, "use_fips_endpoint = true", "", ""},
            {{{"AWS_USE_FIPS_ENDPOINT", "1"}}, "", "", ""},
            {{}, "use_fips_endpoint = true", "", "use_fips_endpoint in the profile"},
            {{{"AWS_USE_DUALSTACK_ENDPOINT", "TRUE"}}, "", "", "AWS_USE_DUALSTACK_ENDPOINT"},
            {{}, "use_dualstack_endpoint = TRUE", "", "use_dualstack_endpoint in the profile"},
            {{}, "use_dualstack_endpoint = false", "", ""},
        }));
    environment clean;
    CHECK(!secrets::aws_from_environment());
    clean.write(".aws/config", "[default]\n" + profile + '\n');
    for (const auto& [name, value] : set) clean.set(name, value);
    const bool is_named = std::any_of(set.begin(), set.end(), [&](auto& pair) { return pair.first == ours; });
    if (!is_named) CHECK(!secrets::aws_from_environment());  // nothing is refused if AWS is not configured
    clean.set("AWS_REGION", "eu-central-1");
    clean.set("AWS_ACCESS_KEY_ID", "AKID");
    clean.set("AWS_SECRET_ACCESS_KEY", "s");
    std::string used;
    const failure failed = failure_of([&] { used = secrets::aws_from_environment().value().endpoint; });
    CHECK(failed.why == (named.empty() ? std::nullopt : std::optional(reason::misconfigured)));
    CHECK_THAT(failed.text, ContainsSubstring(named));
    CHECK(used == address);
}

TEST_CASE("aws: the environment or the profile has the trusted certificates, and the environment the proxy") {
    environment clean;
    fake::server proxy, container;
    proxy.always({403, ""});
    container.always(key_pair("ASIA-1"));
    for (const char* const name : {"http_proxy", "HTTPS_PROXY", "ALL_PROXY"})
        clean.set(name, proxy.address());
    clean.set("AWS_REGION", "eu-central-1");
    clean.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.address());
    CHECK(secrets::aws_from_environment().value().http.ca_file == "");
    secrets::aws_options options = secrets::aws_from_environment().value();
    options.http.tries = 1;
    CHECK(failure_with(options).why == reason::unreachable);
    CHECK(proxy.requests() == 1);
    CHECK(proxy.last().method == "CONNECT");
    CHECK(proxy.last().path == "secretsmanager.eu-central-1.amazonaws.com:443");
    CHECK(container.requests() == 1);  // the key of the identity does not pass through the proxy

    clean.write(".aws/config", "[default]\nca_bundle = /profile.pem\n");
    CHECK(secrets::aws_from_environment().value().http.ca_file == "/profile.pem");
    clean.set("AWS_CA_BUNDLE", "/variable.pem");
    CHECK(secrets::aws_from_environment().value().http.ca_file == "/variable.pem");
}

TEST_CASE("aws: invalid options are rejected when the hook is created") {
    using change = std::function<void(secrets::aws_options&)>;
    const auto [about, spoil] = GENERATE(table<std::string, change>({
        {"aws: no region: set AWS_REGION", [](auto& options) { options.region = ""; }},
        {"not a name such as", [](auto& options) { options.region = "eu.example.com/"; }},
        {"not a name such as", [](auto& options) { options.region = "eu:other"; }},
        {"the endpoint (AWS_ENDPOINT_URL_SECRETS_MANAGER or AWS_ENDPOINT_URL) is not a URL",
         [](auto& options) { options.endpoint = "127.0.0.1"; }},
        {"a user, a query or a fragment",
         [](auto& options) { options.endpoint = "https://me:" + key + "@x"; }},
        {"has no {service} in it", [](auto& options) { options.secret = "one-for-all"; }},
        {"is not a name of a secret", [](auto& options) { options.secret = "a\"b/{service}"; }},
        {"timeout and connect_timeout", [](auto& options) { options.http.timeout = 0s; }},
        {"timeout and connect_timeout", [](auto& options) { options.credentials.http.timeout = 0s; }},
    }));
    CAPTURE(about);
    secrets::aws_options options = options_for("http://127.0.0.1:1");
    spoil(options);
    application app;
    const failure failed = failure_of([&] { secrets::add_aws(app.plugin, "models.get_api_key", options); });
    CHECK(failed.why == reason::misconfigured);
    CHECK_THAT(failed.text, ContainsSubstring(about));
    CHECK(app.registry.functions().at(0).hooks.empty());
}

TEST_CASE("aws: no key is requested without encryption, unless the application allows it") {
    secrets::aws_options options = options_for("http://aws.invalid");
    CHECK_THAT(failure_with(options).text, ContainsSubstring("set plain_http to allow it"));
    options.http.plain_http = true;
    CHECK(failure_with(options).why == reason::unreachable);
}

TEST_CASE("aws: the default endpoint is that of the region, and an unknown partition needs an endpoint") {
    const auto [region, domain] = GENERATE(table<std::string, std::string>({
        {"eu-central-1", "amazonaws.com"},
        {"us-gov-west-1", "amazonaws.com"},
        {"mx-central-1", "amazonaws.com"},
        {"cn-north-1", "amazonaws.com.cn"},
        {"eusc-de-east-1", ""},
        {"us-iso-east-1", ""},
        {"us-isob-east-1", ""},
        {"us-isof-south-1", ""},
        {"eu-isoe-west-1", ""},
        {"xy-central-1", ""},
        {"us-east", ""},
        {"aws-global", ""},
    }));
    const fake::closed_port nobody;
    secrets::aws_options options = options_for("");
    options.region = region;
    options.http.proxy = nobody.address();  // no request gets further
    failure failed = failure_with(options);
    CHECK(failed.why == (domain.empty() ? reason::misconfigured : reason::unreachable));
    const std::string address = "https://secretsmanager." + region + '.' + domain + ", ";
    CHECK_THAT(failed.text, ContainsSubstring(domain.empty() ? "partition of " + region : "aws: " + address));
    options.endpoint = "https://secrets.example";
    CHECK(failure_with(options).why == reason::unreachable);
}

// ---- The program ------------------------------------------------------------------------------------------

TEST_CASE("aws: The program prints what the README shows") {
    fake::server server;
    server.always([](const fake::request& asked) {
        const auto is_for = [&](const char* service) {
            return asked.body.find(service) != std::string::npos;
        };
        if (is_for("openai")) return found('"' + key + '"');
        return refused(is_for("payments") ? "AccessDeniedException" : "ResourceNotFoundException");
    });
    const readme::example shown("aws");
    const std::string address = server.address();
    const std::string usual = "https://secretsmanager.eu-central-1.amazonaws.com";
    CHECK(shown.printed({{usual, address}, {"my-secret-key", secret_key}},
                        {{"AWS_ENDPOINT_URL_SECRETS_MANAGER", address}}) == shown.output());
}
