#include "catch.hpp"

#include <extensible/extensible.hpp>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace {

struct shape {
    virtual ~shape() = default;
    virtual int sides() const = 0;
};
struct square : shape {
    int sides() const override { return 4; }
};
struct triangle : shape {
    int sides() const override { return 3; }
};

struct opaque;  // never defined
const opaque* address_of(const opaque& handle) { return &handle; }

const std::string long_text = "a text that is longer than any small string holds";

}  // namespace

TEST_CASE("Hooks read the caller's own object, not a copy") {
    ext::registry registry;
    ext::extensible size{registry, "size", [](const std::string& text) { return text.size(); }};
    const std::string mine = long_text;
    const std::string* seen = nullptr;
    size.on_start([&](auto& call) { seen = &*call.template arg<0>(); });
    CHECK(size(mine) == mine.size());
    CHECK(seen == &mine);
}

TEST_CASE("A string_view argument owns the characters that a hook assigns") {
    ext::registry registry;
    ext::extensible echo{registry, "echo", [](std::string_view text) { return std::string(text); }};

    SECTION("from a temporary string") {
        echo.on_start([](auto& call) { call.template arg<0>() = long_text + "!"; });
        CHECK(echo("x") == long_text + "!");
    }
    SECTION("from a string that goes out of scope") {
        echo.on_start([](auto& call) {
            std::string local = long_text;
            call.template arg<0>() = local;
            local.assign(local.size(), '#');
        });
        CHECK(echo("x") == long_text);
    }
    SECTION("from a view of characters that go out of scope") {
        echo.on_start([](auto& call) {
            auto local = std::make_unique<std::string>(long_text);
            call.template arg<0>() = std::string_view(*local).substr(2);
        });
        CHECK(echo("x") == long_text.substr(2));
    }
    SECTION("from a part of itself") {
        echo.on_start([](auto& call) { call.template arg<0>() = long_text + "?"; });
        echo.on_start([](auto& call) {
            auto& [text] = call.args;
            text = text->substr(3);
        });
        CHECK(echo("x") == (long_text + "?").substr(3));
    }
    SECTION("as a literal") {
        echo.on_start([](auto& call) { call.template arg<0>() = "literal"; });
        CHECK(echo("x") == "literal");
    }
}

TEST_CASE("Every replacement lives until the last end hook has run") {
    ext::registry registry;
    ext::extensible echo{registry, "echo", [](std::string_view text) { return std::string(text); }};
    std::string_view first, second;
    echo.on_start([&](auto& call) {
        auto& [text] = call.args;
        text = long_text + "1";
        first = *text;
        text = long_text + "2";
        second = *text;
        text = "3";
    });
    std::string seen;
    echo.on_end([&](auto&) { seen = std::string(first) + std::string(second); });
    CHECK(echo("x") == "3");
    CHECK(seen == long_text + "1" + long_text + "2");
}

TEST_CASE("Another kind of view argument keeps the container that a hook assigns") {
    ext::registry registry;
    ext::extensible sum{registry, "sum", [](std::span<const int> numbers) {
        int total = 0;
        for (int number : numbers) total += number;
        return total;
    }};
    sum.on_start([](auto& call) { call.template arg<0>() = std::vector<int>(100, 2); });
    const std::vector<int> mine{1, 2, 3};
    CHECK(sum(mine) == 200);
}

TEST_CASE("Assigning to the argument of a reference parameter writes to the caller's object") {
    ext::registry registry;
    ext::extensible append{registry, "append", [](std::string& text) { text += "!"; }};
    append.on_start([](auto& call) { call.template arg<0>() = "from the hook"; });
    std::string mine = "mine";
    append(mine);
    CHECK(mine == "from the hook!");
}

TEST_CASE("Assigning to the argument of a const reference parameter leaves the caller's object alone") {
    ext::registry registry;
    ext::extensible echo{registry, "echo", [](const std::string& text) { return text; }};
    echo.on_start([](auto& call) {
        auto& [text] = call.args;
        text = *text + "?";
    });
    const std::string mine = "mine";
    CHECK(echo(mine) == "mine?");
    CHECK(mine == "mine");
}

TEST_CASE("Assigning to the argument of an rvalue reference parameter leaves the caller's object alone") {
    ext::registry registry;
    ext::extensible take{registry, "take", [](std::string&& text) { return std::move(text); }};
    std::string mine = long_text;
    SECTION("with a replacement") {
        take.on_start([](auto& call) { call.template arg<0>() = "other"; });
        CHECK(take(std::move(mine)) == "other");
        CHECK(mine == long_text);
    }
    SECTION("without a replacement, the function moves from it") {
        take.on_start([](auto&) {});
        CHECK(take(std::move(mine)) == long_text);
        CHECK(mine.empty());
    }
}

TEST_CASE("A by-value argument may be changed in place") {
    ext::registry registry;
    ext::extensible echo{registry, "echo", [](std::string text, int count) { return text + std::to_string(count); }};
    echo.on_start([](auto& call) {
        auto& [text, count] = call.args;
        *text += "+";
        text->push_back('-');
        *count += 2;
        count = *count * 10;
    });
    CHECK(echo("a", 1) == "a+-30");
}

TEST_CASE("A move-only argument can be replaced, and is moved into the function") {
    ext::registry registry;
    ext::extensible unwrap{registry, "unwrap", [](std::unique_ptr<int> p) { return p ? *p : -1; }};
    bool empty_at_the_end = false;
    unwrap.on_start([](auto& call) { call.template arg<0>() = std::make_unique<int>(7); });
    unwrap.on_end([&](auto& call) { empty_at_the_end = *call.template arg<0>() == nullptr; });
    CHECK(unwrap(std::make_unique<int>(1)) == 7);
    CHECK(empty_at_the_end);
}

TEST_CASE("A container of move-only elements is moved into the function, too") {
    ext::registry registry;
    ext::extensible count{registry, "count", [](std::vector<std::unique_ptr<int>> all) { return all.size(); }};
    count.on_end([](auto&) {});
    std::vector<std::unique_ptr<int>> all;
    all.push_back(std::make_unique<int>(1));
    CHECK(count(std::move(all)) == 1);
}

TEST_CASE("An object of a derived class is not sliced") {
    ext::registry registry;
    ext::extensible sides{registry, "sides", [](const shape& s) { return s.sides(); }};
    CHECK(sides(square()) == 4);
    sides.on_start([](auto& call) { call.template arg<0>() = triangle(); });
    CHECK(sides(square()) == 3);
}

namespace {
struct told_apart {
    bool operator!=(const told_apart&) const { return true; }
};
}  // namespace

TEST_CASE("An argument can be compared if its type can") {
    STATIC_REQUIRE(std::is_invocable_v<std::equal_to<>, const ext::arg<std::string>&, const char*>);
    STATIC_REQUIRE(!std::is_invocable_v<std::equal_to<>, const ext::arg<told_apart>&, const told_apart&>);
}

TEST_CASE("A reference to an incomplete type can be passed through") {
    ext::registry registry;
    ext::extensible address{registry, "address", &address_of};
    address.on_start([](auto&) {});
    const int stands_for_one = 0;
    const auto& handle = reinterpret_cast<const opaque&>(stands_for_one);
    CHECK(address(handle) == &handle);
}

TEST_CASE("Only what converts to an argument's type can be assigned to it, and an argument cannot be copied") {
    STATIC_REQUIRE(std::is_assignable_v<ext::arg<std::string>&, const char*>);
    STATIC_REQUIRE(!std::is_assignable_v<ext::arg<std::string>&, std::vector<int>>);
    STATIC_REQUIRE(!std::is_assignable_v<ext::arg<int>&, std::string>);
    STATIC_REQUIRE(!std::is_copy_constructible_v<ext::arg<int>>);
}

TEST_CASE("An argument can be compared with a value without dereferencing it") {
    ext::registry registry;
    ext::extensible f{registry, "f",
                      [](std::string_view service, int n) { return std::string(service) + std::to_string(n); }};
    f.on_start([](auto& call) {
        auto& [service, n] = call.args;
        if (service == "claude" && n != 2) service = "anthropic";
        if (3 == n) n = 4;
    });
    CHECK(f("claude", 1) == "anthropic1");
    CHECK(f("claude", 2) == "claude2");
    CHECK(f("openai", 3) == "openai4");
}
