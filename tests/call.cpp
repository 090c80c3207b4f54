#include "catch.hpp"
#include "text_of.hpp"

#include <extensible/extensible.hpp>

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

using Catch::Matchers::Equals;
using namespace std::string_literals;

namespace {

// A function that doubles its argument, throws if it is negative, and counts its runs. Hooks record
// the order in which they run.
struct doubling {
    ext::registry registry;
    int runs = 0;
    std::string way;
    ext::extensible<int(int)> twice{registry, "twice", [this](int x) {
        ++runs;
        way += "f";
        if (x < 0) throw std::runtime_error("negative");
        return 2 * x;
    }};

    auto mark(std::string text) {
        return [this, text](auto&) { way += text; };
    }
};

}  // namespace

TEST_CASE("Hooks receive the name, the arguments and whether the function has run") {
    doubling d;
    d.twice.on_start([](auto& call) {
        CHECK(call.name == "twice");
        CHECK(*call.template arg<0>() == 4);
        CHECK(!call.result);
        CHECK(!call.exception);
        CHECK(!call.original_ran);
        CHECK(call.kwargs.empty());
    });
    d.twice.on_end([](auto& call) {
        CHECK(call.original_ran);
        CHECK(call.result == 8);
        CHECK(!call.exception);
    });
    CHECK(d.twice(4) == 8);
}

TEST_CASE("Start hooks run before the function and end hooks after it, in order") {
    doubling d;
    d.twice.on_end(d.mark("e"));
    d.twice.on_start(d.mark("s"));
    d.twice.on_start(d.mark("t"));
    d.twice.on_end(d.mark("n"));
    CHECK(d.twice(1) == 2);
    CHECK(d.way == "stfen");
}

TEST_CASE("A start hook sees the changes of earlier start hooks") {
    doubling d;
    d.twice.on_start([](auto& call) {
        call.template arg<0>() = 10;
        call.kwargs.set("note", "from the first");
    });
    d.twice.on_start([](auto& call) {
        CHECK(*call.template arg<0>() == 10);
        CHECK(*call.kwargs.template get<std::string>("note") == "from the first");
        call.template arg<0>() = 11;
    });
    CHECK(d.twice(1) == 22);
}

TEST_CASE("If a start hook sets a result, the function is not called, but all other hooks run") {
    doubling d;
    d.twice.on_start([](auto& call) { call.result = 100; });
    d.twice.on_start([&](auto& call) {
        d.way += "s";
        CHECK(call.result == 100);
        call.result = 101;
    });
    SECTION("without end hooks") { CHECK(d.twice(1) == 101); }
    SECTION("with end hooks") {
        d.twice.on_end([&](auto& call) {
            d.way += "e";
            CHECK(!call.original_ran);
            call.result = *call.result + 1;
        });
        CHECK(d.twice(1) == 102);
        CHECK(d.way == "se");
    }
    CHECK(d.runs == 0);
}

TEST_CASE("If a later start hook clears the result, the function runs") {
    doubling d;
    d.twice.on_start([](auto& call) { call.result = 100; });
    d.twice.on_start([](auto& call) { call.result.reset(); });
    CHECK(d.twice(1) == 2);
}

TEST_CASE("If a start hook throws, later start hooks and the function are skipped") {
    doubling d;
    d.twice.on_start([](auto&) { throw std::logic_error("refused"); });
    d.twice.on_start(d.mark("never"));
    SECTION("the caller gets the exception") { CHECK_THROWS_WITH(d.twice(1), Equals("refused")); }
    SECTION("end hooks run and see it") {
        d.twice.on_end([&](auto& call) {
            d.way += "e";
            CHECK(text_of(call.exception) == "refused");
            CHECK(!call.original_ran);
        });
        CHECK_THROWS_AS(d.twice(1), std::logic_error);
        CHECK(d.way == "e");
    }
    CHECK(d.runs == 0);
}

TEST_CASE("A start hook may set the exception without throwing, and the start hooks after it still run") {
    doubling d;
    d.twice.on_start([](auto& call) { call.exception = std::make_exception_ptr(std::runtime_error("set")); });
    d.twice.on_start(d.mark("s"));
    CHECK_THROWS_WITH(d.twice(1), Equals("set"));
    CHECK(d.way == "s");
}

TEST_CASE("An end hook runs when the function throws") {
    doubling d;
    SECTION("and sees the exception") {
        d.twice.on_end([&](auto& call) {
            d.way += "e";
            CHECK(text_of(call.exception) == "negative");
            CHECK(!call.result);
            CHECK(call.original_ran);
        });
        CHECK_THROWS_WITH(d.twice(-1), Equals("negative"));
        CHECK(d.way == "fe");
    }
    SECTION("and may turn the exception into a result") {
        d.twice.on_end([](auto& call) {
            call.exception = nullptr;
            call.result = 0;
        });
        CHECK(d.twice(-1) == 0);
    }
    SECTION("and may replace the exception") {
        d.twice.on_end([](auto& call) { call.exception = std::make_exception_ptr(std::out_of_range("replaced")); });
        CHECK_THROWS_AS(d.twice(-1), std::out_of_range);
    }
    SECTION("a result without clearing the exception changes nothing") {
        d.twice.on_end([](auto& call) { call.result = 5; });
        CHECK_THROWS_WITH(d.twice(-1), Equals("negative"));
    }
}

TEST_CASE("Without end hooks, the function's exception reaches the caller unchanged") {
    doubling d;
    d.twice.on_start([](auto&) {});
    CHECK_THROWS_WITH(d.twice(-1), Equals("negative"));
}

TEST_CASE("An end hook that throws sets the exception, and the others still run") {
    doubling d;
    d.twice.on_end([](auto&) { throw std::logic_error("from the end"); });
    d.twice.on_end([&](auto& call) {
        d.way += "e";
        CHECK(text_of(call.exception) == "from the end");
        CHECK(call.result == 2);
    });
    CHECK_THROWS_WITH(d.twice(1), Equals("from the end"));
    CHECK(d.way == "fe");

    d.twice.on_end([](auto& call) { call.exception = nullptr; });
    CHECK(d.twice(1) == 2);  // the function's result is used again
}

TEST_CASE("A call that ends with neither a result nor an exception is an error that names the function") {
    doubling d;
    SECTION("the exception was cleared") {
        d.twice.on_end([](auto& call) { call.exception = nullptr; });
        CHECK_THROWS_WITH(d.twice(-1), Equals("twice: the call ended with neither a result nor an exception"));
        CHECK_THROWS_AS(d.twice(-1), ext::no_result);
    }
    SECTION("the result was cleared") {
        d.twice.on_end([](auto& call) { call.result.reset(); });
        CHECK_THROWS_AS(d.twice(1), ext::no_result);
    }
}

TEST_CASE("A call of a void function returns unless it has an exception") {
    ext::registry registry;
    int runs = 0;
    ext::extensible handle{registry, "handle", [&](bool fails) {
        ++runs;
        if (fails) throw std::runtime_error("critical");
    }};
    SECTION("because an end hook cleared the exception") {
        handle.on_end([](auto& call) { call.exception = nullptr; });
        handle(true);
        CHECK(runs == 1);
    }
    SECTION("because a start hook says that it has returned") {
        handle.on_start([](auto& call) { call.result.emplace(); });
        handle(true);
        CHECK(runs == 0);
    }
    SECTION("even if an around hook did not proceed") {
        handle.around([](auto&, auto&) {});
        handle(true);
        CHECK(runs == 0);
    }
}

TEST_CASE("The kwargs of a call pass state from hook to hook, even if the function takes none") {
    doubling d;
    d.twice.on_start([](auto& call) { call.kwargs.set("begun", 7); });
    int begun = 0;
    d.twice.on_end([&](auto& call) { begun = call.kwargs.value_or("begun", 0); });
    d.twice(1);
    CHECK(begun == 7);
    begun = 0;
    d.twice(1);
    CHECK(begun == 7);  // set in this call, not in the previous one
}

TEST_CASE("End hooks see the arguments that the function was called with") {
    ext::registry registry;
    ext::extensible consume{registry, "consume", [](std::string by_value, std::vector<int> list) {
        std::string taken = std::move(by_value);
        list.clear();
        return taken.size();
    }};
    consume.on_start([](auto& call) { call.template arg<0>() = std::string(100, 'y'); });
    bool checked = false;
    consume.on_end([&](auto& call) {
        auto& [text, list] = call.args;
        CHECK(*text == std::string(100, 'y'));
        CHECK(*list == std::vector<int>{1, 2});
        checked = true;
    });
    CHECK(consume("x", {1, 2}) == 100);
    CHECK(checked);
}

TEST_CASE("original() runs no hooks") {
    doubling d;
    d.twice.on_start(d.mark("s"));
    CHECK(d.twice.original()(3) == 6);
    CHECK(d.way == "f");
}
