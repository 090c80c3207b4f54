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
    explicit noting(std::shared_ptr<const table> store, secrets::on_failure choice = secrets::on_failure::fall_through)
        : application(std::move(store), choice) {
        get_api_key.on_end([this](auto& call) {
            said = call.kwargs.value_or(secrets::note::said, "nothing");
            source = call.kwargs.value_or(secrets::note::source, "nowhere");
            failed = call.kwargs.value_or(secrets::note::failure, "not");
            retry_after = call.kwargs.template take<std::chrono::seconds>(secrets::note::retry_after);
        });
    }
    std::string said, source, failed;
    std::optional<std::chrono::seconds> retry_after;
};

}  // namespace

TEST_CASE("A store supplies the key, with a note of where it was") {
    noting app(store_of([](std::string_view service) { return "sk-" + std::string(service); }));
    CHECK(app.get_api_key("openai") == "sk-openai");
    CHECK(app.source == "table row openai");
    CHECK(app.said == "nothing");
    CHECK(app.runs == 0);
}

TEST_CASE("If a store lacks the secret, the function supplies the key, and a note says that the store was asked") {
    noting app(store_of([](std::string_view) { return std::nullopt; }), secrets::on_failure::fail);
    CHECK(app.get_api_key("openai") == "sk-from-the-environment");
    CHECK(app.said == "not found");
    CHECK(app.failed == "not");
    CHECK(app.errors.empty());
}

TEST_CASE("A store is not asked if an earlier hook had the key") {
    int asked = 0;
    noting app(store_of([&](std::string_view) { return ++asked, "sk"; }));
    app.get_api_key.on_start([](auto& call) { call.result = "sk-from-a-hook"; }, {.before = "table"});
    CHECK(app.get_api_key("openai") == "sk-from-a-hook");
    CHECK(asked == 0);
}

TEST_CASE("A store is not asked for an invalid name") {
    const std::string service = GENERATE(as<std::string>{}, "", ".", "..", "a/..", "../a", "a/./b", "a//b", "/a", "a/", "a\nb",
                                         "a\x1b[2J", "\x7f", std::string("a\0", 2));
    int asked = 0;
    noting app(store_of([&](std::string_view) { return ++asked, "sk"; }));
    CHECK(app.get_api_key(service) == "sk-from-the-environment");
    CHECK(app.said == "not asked");
    CHECK(asked == 0);
}

TEST_CASE("A store is asked for every other name") {
    const std::string service = GENERATE("a.", ".a", "a..b", "...", "a/b", "gr\xc3\xbc\xc3\x9f", "a b", "%2e%2e", "..%2f");
    noting app(store_of([](std::string_view name) { return "sk of " + std::string(name); }));
    CHECK(app.get_api_key(service) == "sk of " + service);
}

TEST_CASE("A failure is reported or thrown, as the application says, with its reason and retry_after in notes") {
    const auto fail = [](std::string_view) -> std::optional<std::string> {
        throw secrets::store_error("table", reason::rate_limited, "row: too many", 30s);
    };
    noting app(store_of(fail));
    CHECK(app.get_api_key("openai") == "sk-from-the-environment");
    CHECK(app.said == "too many requests");
    CHECK(app.failed == "table: row: too many");
    CHECK(app.retry_after == 30s);
    REQUIRE(app.errors.size() == 1);
    CHECK(app.errors[0] == "models.get_api_key: the isolated start hook 'table' of secrets threw: table: row: too many");

    noting strict(store_of(fail), secrets::on_failure::fail);
    const auto failed = failure_of([&] { strict.get_api_key("openai"); });
    CHECK(failed.why == reason::rate_limited);
    CHECK(failed.retry_after == 30s);
    CHECK(strict.runs == 0);
    CHECK(strict.errors.empty());
}

TEST_CASE("Every reason has its own text") {
    std::vector<std::string_view> texts;
    for (int number = 0; number <= static_cast<int>(reason::misconfigured); ++number)
        texts.push_back(secrets::text_of(static_cast<reason>(number)));
    std::sort(texts.begin(), texts.end());
    CHECK(std::adjacent_find(texts.begin(), texts.end()) == texts.end());
    CHECK(std::find(texts.begin(), texts.end(), "failed") == texts.end());
}

// ---- JSON -----------------------------------------------------------------------------------------------------------

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
    for (const char* const broken : {"", "{", "[1,", "\"\xff\"", "nul", "{}{}"}) {
        const secrets::json none = secrets::parse_json(broken);
        CHECK_FALSE(secrets::member(&none, "a"));
    }
}

// ---- Wiping ---------------------------------------------------------------------------------------------------------

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
    CHECK((std::less<>()(text.view().data(), object) || !std::less<>()(text.view().data(), object + sizeof text)));
    secrets::secret_text copy = text;
    copy += "-more";
    copy += '!';
    CHECK(copy == "sk-more!");
    CHECK(text == "sk");
    CHECK(std::string(copy.c_str()) == "sk-more!");
    CHECK(copy.size() == 8);
}
