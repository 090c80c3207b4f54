#include "catch.hpp"

#include <extensible/extensible.hpp>

#include <string>
#include <string_view>

using Catch::Matchers::Equals;

namespace {

struct ordered {
    ext::registry registry;
    std::string way;
    ext::extensible<void()> f{registry, "f", [] {}};

    // Registers a start hook that writes down its id.
    ext::hook add(ext::hook_options options) {
        auto run = [this, id = options.id](auto&) { way += id; };
        return f.on_start(run, std::move(options));
    }
    std::string run() {
        way.clear();
        f();
        return way;
    }
};

}  // namespace

TEST_CASE_METHOD(ordered, "Smaller priorities run first, then hooks run in order of registration") {
    add({.id = "d", .priority = 1});
    add({.id = "b"});
    add({.id = "c"});
    add({.id = "a", .priority = -1});
    CHECK(run() == "abcd");
}

TEST_CASE_METHOD(ordered, "The order of one phase is not that of the other") {
    f.on_end([this](auto&) { way += "2"; }, {.id = "x", .priority = 2});
    f.on_end([this](auto&) { way += "1"; }, {.id = "y", .priority = 1});
    add({.id = "b", .priority = 2});
    add({.id = "a", .priority = 1, .after = {"y"}});
    CHECK(run() == "ab12");
}

TEST_CASE_METHOD(ordered, "before moves the hook that states it, and no other") {
    add({.id = "x"});
    add({.id = "y"});
    add({.id = "z"});
    add({.id = "h", .before = {"x", "y"}});
    CHECK(run() == "hxyz");
    add({.id = "i", .before = "z"});
    CHECK(run() == "hxyiz");
}

TEST_CASE_METHOD(ordered, "after moves the hook that states it, and no other") {
    add({.id = "h", .after = {"y"}});
    add({.id = "x"});
    add({.id = "y"});
    add({.id = "z"});
    CHECK(run() == "xyhz");
}

TEST_CASE_METHOD(ordered, "A hook that must run after another counts with at least its priority") {
    add({.id = "late", .priority = 10});
    add({.id = "n", .priority = 10});
    add({.id = "h", .priority = -99, .after = {"late"}});
    add({.id = "m", .priority = 5});
    add({.id = "o", .priority = 10});
    CHECK(run() == "mlatehno");
}

TEST_CASE_METHOD(ordered, "A hook that must run before another counts with at most its priority") {
    add({.id = "early", .priority = -10});
    add({.id = "h", .priority = 99, .before = {"early"}});
    add({.id = "m", .priority = -50});
    add({.id = "n", .priority = 0, .before = {"early"}});
    add({.id = "i", .after = {"h"}});
    CHECK(run() == "mnhearlyi");
}

TEST_CASE_METHOD(ordered, "Of hooks that count alike the one whose own priority is smaller goes first") {
    add({.id = "c"});
    add({.id = "b"});
    add({.id = "a", .priority = -1, .after = {"c"}});
    add({.id = "d", .priority = -4, .after = {"c"}});
    CHECK(run() == "cdab");
}

TEST_CASE_METHOD(ordered, "A constraint that holds already moves nothing") {
    add({.id = "a"});
    add({.id = "b"});
    add({.id = "h", .after = {"a"}});
    add({.id = "c", .priority = 1});
    add({.id = "i", .before = {"c"}});
    CHECK(run() == "abhic");
}

TEST_CASE_METHOD(ordered, "Constraints follow each other") {
    add({.id = "c", .after = {"b"}});
    add({.id = "b", .after = {"a"}});
    add({.id = "a", .priority = 3});
    add({.id = "0", .before = {"1"}});
    add({.id = "1", .before = {"a"}});
    CHECK(run() == "01abc");
}

TEST_CASE_METHOD(ordered, "Ids that nobody has registered are passed over until somebody does") {
    add({.id = "a", .after = {"later"}});
    add({.id = "b"});
    CHECK(run() == "ab");
    ext::hook later = add({.id = "later"});
    CHECK(run() == "blatera");
    later.remove();
    CHECK(run() == "ab");
}

TEST_CASE_METHOD(ordered, "A disabled hook still holds its place for others") {
    add({.id = "a"});
    ext::hook b = add({.id = "b"});
    add({.id = "c", .before = {"b"}});
    b.disable();
    CHECK(run() == "ac");
    add({.id = "d", .priority = -1, .after = {"b"}});
    CHECK(run() == "acd");
}

TEST_CASE_METHOD(ordered, "A hook between two that stand the other way round takes the later one with it") {
    add({.id = "a"});
    add({.id = "c"});
    add({.id = "h", .before = {"a"}, .after = {"c"}});
    CHECK(run() == "cha");
}

TEST_CASE_METHOD(ordered, "A cycle is refused with its members, and nothing has changed") {
    add({.id = "a"});
    add({.id = "b", .after = {"a"}});
    CHECK(run() == "ab");
    CHECK_THROWS_AS(add({.id = "c", .before = {"a"}, .after = {"b"}}), ext::order_cycle);
    CHECK_THROWS_WITH(add({.id = "c", .before = {"a"}, .after = {"b"}}),
                      Equals("f: the start hooks cannot be put in order: 'a' before 'b' before 'c' before 'a'"));
    CHECK_THROWS_WITH(add({.id = "self", .after = {"self"}}),
                      Equals("f: the start hooks cannot be put in order: 'self' before 'self'"));
    CHECK_THROWS_WITH(add({.before = {"a"}, .after = {"b"}}),
                      Equals("f: the start hooks cannot be put in order: 'a' before 'b' before (a hook without id) before 'a'"));
    CHECK(run() == "ab");
    add({.id = "c"});
    CHECK(run() == "abc");
}

TEST_CASE_METHOD(ordered, "A cycle by replacement is refused, and the hook that was there stays") {
    ext::hook a = add({.id = "a"});
    add({.id = "b", .after = {"a"}});
    CHECK_THROWS_AS(add({.id = "a", .after = {"b"}, .replace = true}), ext::order_cycle);
    CHECK(a.active());
    CHECK(run() == "ab");
}

TEST_CASE("An id that is stated may be any kind of text") {
    ext::registry registry;
    std::string way;
    ext::extensible f{registry, "f", [] {}};
    f.on_start([&](auto&) { way += "a"; }, {.id = "a"});
    f.on_start([&](auto&) { way += "b"; }, {.before = std::string_view("a")});
    f.on_start([&](auto&) { way += "c"; }, {.before = std::string("a")});
    f.on_start([&](auto&) { way += "d"; }, {.before = {"a", "x"}});
    f();
    CHECK(way == "bcda");
}
