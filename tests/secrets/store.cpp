// What all stores have in common: a lookup that becomes a start hook.
#include "catch.hpp"
#include "secrets/helpers.hpp"
#include "secrets/json.hpp"
#include "secrets/store.hpp"
#include "secrets/wipe.hpp"

#include <extensible/extensible.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using helpers::failure_of;
using secrets::reason;

namespace {

struct table {
    static constexpr std::string_view name = "table";
    std::function<std::optional<std::string>(std::string_view)> lookup;
    std::optional<std::string> read(std::string_view service) const { return lookup(service); }
    std::string place_of(std::string_view service) const { return "row " + std::string(service); }
};

std::shared_ptr<const table> store_of(std::function<std::optional<std::string>(std::string_view)> lookup) {
    return std::make_shared<const table>(table{std::move(lookup)});
}

// An application that records the notes of its calls.
struct noting : helpers::application {
    explicit noting(std::shared_ptr<const table> store,
                    secrets::on_failure choice = secrets::on_failure::fail)
        : application(std::move(store), choice) {
        get_api_key.on_end([this](auto& call) {
            said = call.kwargs.value_or(secrets::note::said, "nothing");
            asked = call.kwargs.value_or(secrets::note::store, "none");
            source = call.kwargs.value_or(secrets::note::source, "nowhere");
            failed = call.kwargs.value_or(secrets::note::failure, "not");
            retry_after = call.kwargs.template take<std::chrono::seconds>(secrets::note::retry_after);
        });
    }
    std::string said, asked, source, failed;
    std::optional<std::chrono::seconds> retry_after;
};

}  // namespace

TEST_CASE("A store supplies the key, with a note of where it was") {
    noting app(store_of([](std::string_view service) { return "sk-" + std::string(service); }));
    CHECK(app.get_api_key("openai") == "sk-openai");
    CHECK(app.source == "table row openai");
    CHECK(app.asked == "table");
    CHECK(app.said == "nothing");
    CHECK(app.runs == 0);
}

TEST_CASE("If a store lacks the secret, the function supplies the key, "
          "and a note says that the store was asked") {
    noting app(store_of([](std::string_view) { return std::nullopt; }));
    CHECK(app.get_api_key("openai") == "sk-from-the-environment");
    CHECK(app.said == "not found");
    CHECK(app.failed == "not");
    CHECK(app.errors.empty());
}

TEST_CASE("A store is not asked if an earlier hook or store had the key") {
    int asked = 0;
    noting app(store_of([&](std::string_view) { return ++asked, "sk"; }));
    const auto first = store_of([](std::string_view) { return "sk-of-the-first"; });
    const ext::hook other =
        secrets::add_store(app.plugin, "models.get_api_key", first, secrets::on_failure::fail,
                           {.id = "first", .before = "table"});
    CHECK(app.get_api_key("openai") == "sk-of-the-first");
    other.remove();
    app.get_api_key.on_start([](auto& call) { call.result = "sk-from-a-hook"; }, {.before = "table"});
    CHECK(app.get_api_key("openai") == "sk-from-a-hook");
    CHECK(asked == 0);
}

TEST_CASE("One line break at the end of a key is removed, and nothing else") {
    const std::pair<std::string, std::string> keys[] = {
        {"sk\n", "sk"}, {"sk\r\n", "sk"}, {"sk\n\n", "sk\n"}, {"sk\r", "sk\r"}, {" sk \t", " sk \t"}, {"\nsk", "\nsk"}};
    for (const auto& [stored, expected] : keys) {
        noting app(store_of([&stored = stored](std::string_view) { return stored; }));
        CHECK(app.get_api_key("openai") == expected);
    }
}

TEST_CASE("An empty key is an error") {
    const std::string empty = GENERATE("", "\n", "\r\n");
    noting app(store_of([&](std::string_view) { return empty; }));
    const auto failed = failure_of([&] { app.get_api_key("openai"); });
    CHECK(failed.why == reason::missing_field);
    CHECK(failed.text == "table: row openai: the key is empty");
}

TEST_CASE("A store is not asked for an invalid name") {
    const std::string service = GENERATE(as<std::string>{}, "", ".", "..", "a/..", "../a", "a/./b", "a//b",
                                         "/a", "a/", "a\nb", "a\x1b[2J", "\x7f", std::string("a\0", 2));
    int asked = 0;
    noting app(store_of([&](std::string_view) { return ++asked, "sk"; }));
    CHECK(app.get_api_key(service) == "sk-from-the-environment");
    CHECK(app.said == "not asked");
    CHECK(asked == 0);
}

TEST_CASE("A store is asked for every other name") {
    const std::string service = GENERATE("a.", ".a", "a..b", "...", "a/b", "gr\xc3\xbc\xc3\x9f",
                                         "a b", "%2e%2e", "..%2f");
    noting app(store_of([](std::string_view name) { return "sk of " + std::string(name); }));
    CHECK(app.get_api_key(service) == "sk of " + service);
}

TEST_CASE("A failure is thrown to the caller, with its reason, and in notes") {
    noting app(store_of([](std::string_view) -> std::optional<std::string> {
        throw secrets::store_error("table", reason::rate_limited, "row: too many", 30s);
    }));
    const auto failed = failure_of([&] { app.get_api_key("openai"); });
    CHECK(failed.why == reason::rate_limited);
    CHECK(failed.retry_after == 30s);
    CHECK(app.said == "too many requests");
    CHECK(app.failed == "table: row: too many");
    CHECK(app.retry_after == 30s);
    CHECK(app.runs == 0);
    CHECK(app.errors.empty());
}

TEST_CASE("If the application says so, another source supplies the key "
          "if a store is out of reach, and only then") {
    for (int number = 0; number <= static_cast<int>(reason::undecryptable); ++number) {
        const reason why = static_cast<reason>(number);
        CAPTURE(secrets::text_of(why));
        const auto fail = [why](std::string_view) -> std::optional<std::string> {
            throw secrets::store_error("table", why, "row: no");
        };
        noting app(store_of(fail), secrets::on_failure::fall_through);
        std::string key;
        const auto failed = failure_of([&] { key = app.get_api_key("openai"); });
        if (secrets::is_out_of_reach(why)) {
            CHECK_FALSE(failed.why);
            CHECK(key == "sk-from-the-environment");
            REQUIRE(app.errors.size() == 1);
            CHECK(app.errors[0] ==
                  "models.get_api_key: the isolated start hook 'table' of secrets threw: table: row: no");
        } else {
            CHECK(failed.why == why);
            CHECK(app.runs == 0);
        }
        CHECK(app.failed == "table: row: no");
    }
}

TEST_CASE("An error of identity or configuration never leads to another key") {
    for (const reason why :
         {reason::permission_denied, reason::expired_token, reason::bad_signature, reason::clock_skew,
          reason::no_credential, reason::misconfigured, reason::no_engine, reason::no_namespace,
          reason::missing_field, reason::deleted, reason::disabled, reason::undecryptable})
        CHECK_FALSE(secrets::is_out_of_reach(why));
}

TEST_CASE("What a read throws apart from a store_error is a failure of the store, without its text") {
    const bool is_exception = GENERATE(true, false);
    const auto fail = [=](std::string_view) -> std::optional<std::string> {
        if (is_exception) throw std::runtime_error("parse error near 'sk-secret'");
        throw 1;
    };
    noting app(store_of(fail));
    CHECK(failure_of([&] { app.get_api_key("openai"); }).text ==
          "table: row openai: an unexpected exception");
    CHECK(app.said == "failed");

    noting other(store_of(fail), secrets::on_failure::fall_through);
    CHECK(other.get_api_key("openai") == "sk-from-the-environment");
    CHECK(other.failed == "table: row openai: an unexpected exception");
}

TEST_CASE("A refused identity reaches the caller, even if the hook and its plugin are isolated") {
    helpers::application app;
    const ext::plugin isolated(app.registry, "isolated", {.isolate = true});
    const auto store = store_of([](std::string_view) -> std::optional<std::string> {
        throw secrets::store_error("table", reason::no_credential, "the login is refused");
    });
    app.get_api_key.on_start(secrets::store_hook<table>(store), {.isolate = true});
    CHECK(failure_of([&] { app.get_api_key("openai"); }).why == reason::no_credential);
}

TEST_CASE("A variable that is not supported is named") {
    const helpers::variable unset("SECRETS_TEST_UNSET", nullptr), set("SECRETS_TEST_SET", "sk-x");
    secrets::refuse_variables("table", {"SECRETS_TEST_UNSET"});
    const auto failed =
        failure_of([] { secrets::refuse_variables("table", {"SECRETS_TEST_UNSET", "SECRETS_TEST_SET"}); });
    CHECK(failed.why == reason::misconfigured);
    CHECK(failed.text == "table: SECRETS_TEST_SET is set, which is not supported here");
}

TEST_CASE("Every reason has its own text") {
    std::vector<std::string_view> texts;
    for (int number = 0; number <= static_cast<int>(reason::undecryptable); ++number)
        texts.push_back(secrets::text_of(static_cast<reason>(number)));
    std::sort(texts.begin(), texts.end());
    CHECK(std::adjacent_find(texts.begin(), texts.end()) == texts.end());
}

// ---- JSON -------------------------------------------------------------------------------------------------

TEST_CASE("A JSON member that is missing or has another type is null, and nothing is thrown") {
    const secrets::json body = secrets::parse_json(R"({"a":{"b":"text","n":42,"s":"42","f":4.2},"l":["x"]})");
    CHECK(secrets::text(secrets::member(&body, "a", "b")) == "text");
    CHECK_FALSE(secrets::text(secrets::member(&body, "a", "n")));
    CHECK_FALSE(secrets::member(&body, "a", "b", "c"));
    CHECK_FALSE(secrets::member(&body, "l", "x"));
    CHECK_FALSE(secrets::member(&body, "z", "y"));
    CHECK_FALSE(secrets::text(nullptr));
    CHECK(secrets::number(secrets::member(&body, "a", "n")) == 42);
    CHECK(secrets::number(secrets::member(&body, "a", "s")) == 42);
    CHECK_FALSE(secrets::number(secrets::member(&body, "a", "b")));
    CHECK_FALSE(secrets::number(secrets::member(&body, "a", "f")));
    for (const char* const broken :
         {"", "{", "[1,", "\"\n\"", "nul", "{}{}", R"({"a":1,})", R"({"a" 1})", R"({a:1})"}) {
        const secrets::json none = secrets::parse_json(broken);
        CHECK_FALSE(secrets::member(&none, "a"));
    }
}

TEST_CASE("Texts in JSON are read without their escapes") {
    const auto read = [](std::string_view quoted) {
        const secrets::json value = secrets::parse_json(quoted);
        return std::string(secrets::text(&value).value_or("not a text"));
    };
    CHECK(read(R"("\"\\\/\b\f\n\r\t")") == "\"\\/\b\f\n\r\t");
    CHECK(read(R"("\u0041\u00e9\u20AC\ud83d\ude00")") == "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    for (const char* const broken : {R"("\x")", R"("\u12")", R"("\u12g4")", R"("\ud83d")", R"("\ud83dx")",
                                     R"("\ud83d\u0041")", R"("\ude00")", R"("a)", R"("a\)"})
        CHECK(read(broken) == "not a text");
}

TEST_CASE("A JSON value that is nested deeply is rejected, and does not exhaust the stack") {
    const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
    CHECK(secrets::parse_json(nested(100)).is_array());
    CHECK_FALSE(secrets::parse_json(nested(101)).is_array());
    CHECK_FALSE(secrets::parse_json(std::string(1000000, '[')).is_array());
}

TEST_CASE("Of members with the same name, the last is used") {
    const secrets::json twice = secrets::parse_json(R"({"key":"first","key":"last"})");
    CHECK(secrets::text(secrets::member(&twice, "key")) == "last");
}

TEST_CASE("What is written as JSON is read again, whatever its bytes") {
    std::string all;
    for (int byte = 1; byte < 256; ++byte) all += static_cast<char>(byte);
    const secrets::secret_text written = secrets::json_object({{"a", all}, {"\"", ""}});
    const secrets::json read = secrets::parse_json(written);
    CHECK(secrets::text(secrets::member(&read, "a")) == all);
    CHECK(secrets::text(secrets::member(&read, "\"")) == "");
}

// ---- Wiping -----------------------------------------------------------------------------------------------

TEST_CASE("A wiping allocator overwrites all memory before it frees it") {
    std::vector<char> seen;
    secrets::wiping_allocator<char> allocator;
    char* const memory = allocator.allocate(32);
    std::fill_n(memory, 32, 'x');
    secrets::wipe(memory, 32);
    CHECK(std::all_of(memory, memory + 32, [](char c) { return c == 0; }));
    allocator.deallocate(memory, 32);
}

TEST_CASE("A secret text, however short, is not stored inside the object, where nothing would overwrite it") {
    const secrets::secret_text text("sk");
    const auto* const object = reinterpret_cast<const char*>(&text);
    CHECK((std::less<>()(text.view().data(), object) ||
           !std::less<>()(text.view().data(), object + sizeof text)));
    secrets::secret_text copy = text;
    copy += "-more";
    copy += '!';
    CHECK(copy == "sk-more!");
    CHECK(text == "sk");
    CHECK(std::string(copy.c_str()) == "sk-more!");
    CHECK(copy.size() == 8);
}
