#include "catch.hpp"

#include <extensible/kwargs.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

using Catch::Matchers::Equals;

TEST_CASE("Named values are set, replaced, read and taken") {
    ext::kwargs all;
    CHECK(all.empty());
    all.set("retries", 3);
    all.set("hosts", std::vector<std::string>{"a", "b"});
    CHECK(all.size() == 2);
    REQUIRE(all.get<int>("retries"));
    *all.get<int>("retries") += 1;
    CHECK(*std::as_const(all).get<int>("retries") == 4);
    CHECK(all.get<int>("missing") == nullptr);

    all.set("retries", std::string("many"));  // of another type now
    CHECK(*all.get<std::string>("retries") == "many");
    CHECK(all.size() == 2);

    CHECK(all.take<std::vector<std::string>>("hosts") == std::vector<std::string>{"a", "b"});
    CHECK(!all.contains("hosts"));
    CHECK(all.take<int>("hosts") == std::nullopt);
    CHECK(all.erase("retries"));
    CHECK(!all.erase("retries"));
    CHECK(all.empty());
}

TEST_CASE("Literals, C strings and views are kept as strings") {
    ext::kwargs all;
    const char* c_string = "c";
    std::string gone = "gone";
    all.set("literal", "l");
    all.set("c", c_string);
    all.set("view", std::string_view(gone));
    gone = "####";
    for (const char* name : {"literal", "c", "view"}) CHECK(all.get<std::string>(name) != nullptr);
    CHECK(*all.get<std::string>("view") == "gone");
    CHECK(all.value_or("literal", "default") == "l");
    CHECK(all.value_or("missing", "default") == std::string("default"));
    CHECK(all.value_or("missing", 5) == 5);
}

TEST_CASE("Iteration follows the order in which the names were set") {
    ext::kwargs all;
    all.set("z", 1);
    all.set("a", "two");
    all.set("m", 3.0);
    all.set("z", 4);
    std::string names, types;
    for (const auto& [name, value] : all) {
        names += name;
        types += std::string(value.type()) + " ";
    }
    CHECK(names == "zam");
    CHECK(types == "int std::string double ");
    CHECK(*all.begin()->value.get_if<int>() == 4);
    CHECK(all.begin()->value.get_if<long>() == nullptr);
    CHECK(ext::kwargs().begin() == ext::kwargs().end());
}

TEST_CASE("Copies are independent") {
    ext::kwargs first;
    first.set("shared", std::make_shared<int>(1));
    first.set("number", 1);
    ext::kwargs second = first;
    second.set("number", 2);
    second.set("more", 3);
    CHECK(*first.get<int>("number") == 1);
    CHECK(first.size() == 2);
    CHECK(first.get<std::shared_ptr<int>>("shared")->use_count() == 2);
    first = second;
    CHECK(first.size() == 3);
    const ext::kwargs moved = std::move(first);
    CHECK(moved.size() == 3);
    CHECK(ext::kwargs(ext::kwargs()).empty());
}

TEST_CASE("Emptied or moved-from kwargs are empty, and can be used again") {
    ext::kwargs all;
    all.set("one", 1);
    CHECK(!all.empty());
    CHECK(all.take<int>("one") == 1);
    CHECK(all.empty());
    CHECK(all.begin() == all.end());
    all.set("two", 2);
    all.set("three", 3);
    CHECK(all.erase("two"));
    CHECK(!all.empty());

    ext::kwargs taken = std::move(all);
    CHECK(all.empty());
    CHECK(ext::kwargs(all).empty());
    all.set("four", 4);
    CHECK(all.size() == 1);
    CHECK(taken.contains("three"));
    taken = std::move(all);
    CHECK(*taken.get<int>("four") == 4);
    CHECK(taken.size() == 1);
}

TEST_CASE("Asking for another type than the stored one is an error that names both types") {
    ext::kwargs all;
    all.set("retries", 3);
    const char* const text = "retries: the named argument holds int, but it was read as std::string";
    CHECK_THROWS_WITH(all.get<std::string>("retries"), Equals(text));
    CHECK_THROWS_WITH(all.take<std::string>("retries"), Equals(text));
    CHECK_THROWS_WITH(all.value_or("retries", "x"), Equals(text));
    CHECK_THROWS_AS(all.get<long>("retries"), ext::bad_kwarg);
    CHECK(*all.get<int>("retries") == 3);
}

TEST_CASE("A named argument that was moved from holds no value") {
    ext::kwarg value(std::string("text"));
    const ext::kwarg taken = std::move(value);
    CHECK(*taken.get_if<std::string>() == "text");

    CHECK(value.type() == "");
    CHECK(value.get_if<std::string>() == nullptr);
    CHECK(std::as_const(value).get_if<int>() == nullptr);

    ext::kwarg copy = value;
    CHECK(copy.get_if<std::string>() == nullptr);
    const ext::kwarg moved = std::move(value);
    CHECK(moved.get_if<std::string>() == nullptr);

    copy = taken;
    CHECK(*copy.get_if<std::string>() == "text");
    copy = value;
    CHECK(copy.type() == "");
    value = taken;
    CHECK(*value.get_if<std::string>() == "text");
}

namespace {

struct like_a_view {
    int kept = 7;
    operator std::string_view() const { return "view"; }
};

}  // namespace

TEST_CASE("A value keeps its type, even if it is a null pointer or converts to a view") {
    ext::kwargs kwargs;
    kwargs.set("nothing", nullptr);
    kwargs.set("view", like_a_view());
    REQUIRE(kwargs.get<std::nullptr_t>("nothing"));
    CHECK(kwargs.get<like_a_view>("view")->kept == 7);
    char text[] = "text";
    kwargs.set("array", text);
    kwargs.set("pointer", static_cast<char*>(text));
    text[0] = 'n';
    CHECK(*kwargs.get<std::string>("array") == "text");
    CHECK(*kwargs.get<std::string>("pointer") == "text");
}
