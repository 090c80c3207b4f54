#include "catch.hpp"

#include <secrets/cache.hpp>
#include <secrets/dotenv.hpp>
#include <secrets/get_api_key.hpp>
#include <secrets/in_turn.hpp>
#include <secrets/names.hpp>

#include <extensible/extensible.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#if !defined(_WIN32)  // Windows has no setenv()

using Catch::Matchers::Equals;
using secrets::keys_in;
using secrets::next_key;
using secrets::variable_names;
using texts = std::vector<std::string>;

namespace {

// Sets a variable of the environment, and unsets it at the end.
class variable {
public:
    variable(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
    variable(const variable&) = delete;
    variable& operator=(const variable&) = delete;
    ~variable() { unsetenv(name_); }

private:
    const char* name_;
};

template <class Ask>
texts ask_times(int times, const Ask& ask) {
    texts keys;
    for (int i = 0; i < times; ++i) keys.emplace_back(ask());
    return keys;
}

// A function like get_api_key, and a store with lists of keys, in a registry of their own.
struct with_store {
    ext::registry registry;
    ext::extensible<std::string(std::string_view)> get_key{
        registry, "models.get_api_key",
        [](std::string_view service) { return get_api_key.original()(service); }};
    ext::plugin plugin{registry, "secrets"};
    std::map<std::string, std::string, std::less<>> lists;
    std::atomic<int> asked{0};

    with_store() {
        plugin.on_start(get_key, [this](auto& call) {
            ++asked;
            auto& [service] = call.args;
            if (const auto known = lists.find(*service); known != lists.end()) call.result = known->second;
        }, {.id = "kv2", .fallback = true});
    }
};

// Asks for a key after main has ended. It is made before the turns, and so destroyed after them.
struct asks_at_exit {
    bool has_asked = false;
    ~asks_at_exit() {
        if (!has_asked || next_key("at exit", "a,b") == "b") return;
        std::fputs("After main has ended, the keys are not used in turn.\n", stderr);
        std::_Exit(1);
    }
} at_exit;

}  // namespace

// ---- Names and lists ----------------------------------------------------------------------------

TEST_CASE("The variables of a service have capital letters, digits and underscores") {
    using names = std::array<std::string, 3>;
    CHECK(variable_names("openai") == names{"API_KEY_OPENAI", "OPENAI_API_KEY", "OPENAI_API_TOKEN"});
    CHECK(variable_names("My-Cloud.2") ==
          names{"API_KEY_MY_CLOUD_2", "MY_CLOUD_2_API_KEY", "MY_CLOUD_2_API_TOKEN"});
    CHECK(variable_names("a=\xC3\xA4")[1] == "A____API_KEY");
    CHECK(variable_names("")[1] == "_API_KEY");
}

TEST_CASE("Keys are separated by commas, and white space around them is ignored") {
    using views = std::vector<std::string_view>;
    CHECK(keys_in("a") == views{"a"});
    CHECK(keys_in(" a, b,,\tc d\r\n,") == views{"a", "b", "c d"});
    CHECK(keys_in("").empty());
    CHECK(keys_in(" , ,\n").empty());
}

TEST_CASE("From a single key, one line break at its end is removed, and nothing else") {
    using views = std::vector<std::string_view>;
    CHECK(keys_in("a\n") == views{"a"});
    CHECK(keys_in(" a\tb \r\n") == views{" a\tb "});
    CHECK(keys_in("\na\n\n") == views{"\na\n"});
    CHECK(keys_in(" \t\r\n").empty());
}

TEST_CASE("A text that begins like JSON is one key, although it has commas") {
    const std::string object = GENERATE(as<std::string>{}, R"({"a":"sk-1","b":"sk-2"})",
                                        " {\"a\": 1,\n\"b\": 2}\r\n ", R"(["sk-1","sk-2"])", R"("sk-1,sk-2")",
                                        "\xEF\xBB\xBF{\"a\":1,\"b\":2}", R"({"a":1},)");
    const variable outside("IN_TURN_JSON_API_KEY", (object + "\n").c_str());
    CHECK(keys_in(object + "\n") == std::vector{std::string_view(object)});
    CHECK(get_api_key("in-turn-json") == object);

    with_store s;
    s.lists = {{"json", object + "\n"}};  // another hook than a store's may leave a line break
    secrets::use_keys_in_turn(s.plugin);
    CHECK(s.get_key("json") == object + "\n");
    CHECK(s.get_key("in-turn-json") == object);
    CHECK(keys_in("a,b}").size() == 2);
}

TEST_CASE("The keys of a list are used in turn, separately for each service and each list") {
    CHECK_THAT(ask_times(4, [] { return next_key("turns", "a,b,c"); }), Equals(texts{"a", "b", "c", "a"}));
    CHECK(next_key("turns", "d,e") == "d");
    CHECK(next_key("other turns", "a,b,c") == "a");
    CHECK(next_key("turns", "a,b,c") == "b");
    CHECK(next_key("turns", " a \n") == " a ");
    CHECK(next_key("turns", ",").empty());
}

TEST_CASE("Keys are used in turn for any number of lists, and on any thread") {
    for (int i = 0; i < 5000; ++i) {
        const std::string list = "a,b," + std::to_string(i);
        REQUIRE(next_key("many", list) == "a");
        REQUIRE(next_key("many", list) == "b");
    }
    std::atomic<int> of_b{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&] {
            for (int turn = 0; turn < 1000; ++turn) of_b += next_key("threads", "a,b") == "b";
        });
    for (std::thread& thread : threads) thread.join();
    CHECK(of_b == 2000);
}

TEST_CASE("The function reads the first of the variables that has a key, and uses its keys in turn") {
    const auto ask = [] { return get_api_key("turn-test"); };
    CHECK(ask().empty());
    const variable token("TURN_TEST_API_TOKEN", "sk-3");
    CHECK(ask() == "sk-3");
    const variable key("TURN_TEST_API_KEY", " sk-1, sk-2 ");
    CHECK_THAT(ask_times(3, ask), Equals(texts{"sk-1", "sk-2", "sk-1"}));
    const variable first("API_KEY_TURN_TEST", ",");
    CHECK(ask() == "sk-2");
    const variable again("API_KEY_TURN_TEST", "sk-0\n");
    CHECK(ask() == "sk-0");
}

// ---- The hooks ----------------------------------------------------------------------------------

TEST_CASE("Several keys from a store are used in turn, and one key is left as it is") {
    with_store s;
    s.lists = {{"in-turn-store", "sk-1,sk-2"}, {"one", " sk-3 "}, {"none", ""}, {"empty", ", "}};
    CHECK(s.get_key("in-turn-store") == "sk-1,sk-2");  // without the hooks
    secrets::use_keys_in_turn(s.plugin);
    const auto ask = [&] { return s.get_key("in-turn-store"); };
    CHECK_THAT(ask_times(3, ask), Equals(texts{"sk-1", "sk-2", "sk-1"}));
    CHECK(s.get_key("one") == " sk-3 ");
    CHECK(s.get_key("none").empty());
    CHECK(s.get_key("empty").empty());
    CHECK(s.get_key("nobody-has-it").empty());
}

TEST_CASE("Cached keys are used in turn, in either order of registration") {
    const variable outside("IN_TURN_CACHED_API_KEY", "sk-3,sk-4");
    for (const bool cache_first : {true, false}) {
        with_store s;
        const std::string service = cache_first ? "cached-first" : "cached-last";
        s.lists = {{service, "sk-1,sk-2"}};
        secrets::cache cache;
        if (cache_first) cache.add_to(s.plugin);
        secrets::use_keys_in_turn(s.plugin);
        if (!cache_first) cache.add_to(s.plugin);
        CHECK_THAT(ask_times(3, [&] { return s.get_key(service); }), Equals(texts{"sk-1", "sk-2", "sk-1"}));
        CHECK(s.asked == 1);

        // The same for keys from the environment. In the second round this list is known, and its
        // turns continue.
        const texts keys = ask_times(2, [&] { return s.get_key("in-turn-cached"); });
        CHECK_THAT(keys, Equals(texts{"sk-3", "sk-4"}));
        CHECK(s.asked == 2);
    }
}

TEST_CASE("A note names the variable that had the key, and a store is preferred to the environment") {
    const variable outside("API_KEY_IN_TURN_SOURCE", "sk-1\n");
    with_store s;
    secrets::use_keys_in_turn(s.plugin);
    std::string source;
    s.get_key.on_end([&](auto& call) { source = call.kwargs.value_or("source", "none"); });
    CHECK(s.get_key("in-turn-source") == "sk-1");
    CHECK(source == "API_KEY_IN_TURN_SOURCE");
    s.lists = {{"in-turn-source", "sk-2"}};
    CHECK(s.get_key("in-turn-source") == "sk-2");
    s.plugin.on_start(s.get_key, [](auto& call) { call.result = "sk-3"; }, {.before = "kv2"});
    CHECK(s.get_key("in-turn-source") == "sk-3");
}

TEST_CASE("No key is chosen in a call that fails") {
    with_store s;
    secrets::use_keys_in_turn(s.plugin);
    const ext::scoped_hook failing = s.get_key.on_start([](auto&) { throw 7; }, {.before = "kv2"});
    CHECK_THROWS_AS(s.get_key("in-turn-store"), int);
}

TEST_CASE("Keys are used in turn even after main has ended") {
    // The last test: the turns are forgotten after many lists.
    CHECK(next_key("at exit", "a,b") == "a");
    at_exit.has_asked = true;
}

#endif
