#include "catch.hpp"
#include "secrets/helpers.hpp"

#include <secrets/cache.hpp>

#include <extensible/extensible.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

using Catch::Matchers::Equals;
using helpers::eventually;
using helpers::in_threads;
using namespace std::chrono_literals;
using namespace std::string_literals;

namespace {

// A function like get_api_key in a registry of its own, with a cache and a manual clock.
template <class Cache = secrets::cache>
struct cached {
    using answer = std::function<std::string(std::string_view service)>;

    explicit cached(answer given, secrets::cache_options wanted = {}, ext::plugin_options defaults = {})
        : function(std::move(given)),
          plugin(registry, "secrets", defaults),
          cache(with_clock(std::move(wanted))) {
        cache.add_to(plugin);
    }

    secrets::cache_options with_clock(secrets::cache_options options) {
        options.now = [this] { return std::chrono::steady_clock::time_point(1h + time.load()); };
        options.report = [this](std::string_view message) { reports.emplace_back(message); };
        return options;
    }
    void pass(std::chrono::milliseconds more) { time = time.load() + more; }

    ext::registry registry;
    std::atomic<int> asked{0};  // how often the function ran
    std::atomic<std::chrono::milliseconds> time{0ms};
    std::vector<std::string> reports;
    answer function;
    ext::extensible<std::string(std::string_view)> get_key{registry, "models.get_api_key",
                                                           [this](std::string_view service) {
        ++asked;
        return function(service);
    }};
    ext::plugin plugin;
    Cache cache;
};

std::string fail(std::string_view) { throw std::runtime_error("the store is down"); }

// For failures that threads share. It outlives the threads, because ThreadSanitizer does not see
// how the C++ runtime counts references to an exception, and would report its destruction as a
// race.
const std::exception_ptr down = std::make_exception_ptr(std::runtime_error("the store is down"));

}  // namespace

// ---- Time ---------------------------------------------------------------------------------------

TEST_CASE("The cache asks for a key once, and again after its time to live") {
    cached c([](std::string_view service) { return "key of " + std::string(service); }, {.ttl = 10s});
    CHECK(c.get_key("openai") == "key of openai");
    CHECK(c.get_key("other") == "key of other");
    CHECK(c.get_key("openai") == "key of openai");
    CHECK(c.asked == 2);
    c.pass(9999ms);
    CHECK(c.get_key("openai") == "key of openai");
    CHECK(c.asked == 2);
    c.pass(1ms);
    CHECK(c.get_key("openai") == "key of openai");
    CHECK(c.asked == 3);
}

TEST_CASE("The cache can keep a key forever") {
    cached c([](std::string_view) { return "sk"; },
             {.ttl = secrets::cache_options::duration::max(), .serve_stale = true});
    CHECK(c.get_key("openai") == "sk");
    c.pass(std::chrono::hours(10000));
    CHECK(c.get_key("openai") == "sk");
    CHECK(c.asked == 1);
}

TEST_CASE("The cache remembers a missing key for a separate time") {
    cached c([](std::string_view) { return ""; }, {.ttl = 100s, .negative_ttl = 2s, .serve_stale = true});
    CHECK(c.get_key("openai").empty());
    c.pass(1999ms);
    CHECK(c.get_key("openai").empty());
    CHECK(c.asked == 1);
    c.pass(1ms);
    c.function = [](std::string_view) { return "sk"; };
    CHECK(c.get_key("openai") == "sk");
    CHECK(c.asked == 2);
}

TEST_CASE("The cache does not remember failures") {
    cached c(fail);
    CHECK_THROWS_WITH(c.get_key("openai"), "the store is down");
    CHECK_THROWS_WITH(c.get_key("openai"), "the store is down");
    CHECK(c.asked == 2);
    c.function = [](std::string_view) { return "sk"; };
    CHECK(c.get_key("openai") == "sk");
    CHECK(c.asked == 3);
}

// ---- With other hooks ---------------------------------------------------------------------------

TEST_CASE("The cache runs before the hooks that supply keys, whatever their ids, and remembers these keys") {
    cached c(fail);
    int asked = 0;
    const auto supply = [&](auto& call) {
        ++asked;
        call.result = "from a hook";
    };
    c.plugin.on_start(c.get_key, supply, {.id = "a store of ours", .priority = -5, .fallback = true});
    c.registry.on_start("models.get_api_key", [](ext::any_call&) {}, {.id = "any", .priority = -10});
    CHECK(c.get_key("openai") == "from a hook");
    CHECK(c.get_key("openai") == "from a hook");
    CHECK(asked == 1);

    std::string order;
    const std::vector<ext::function_info> functions = c.registry.functions();
    for (const ext::hook_info& hook : functions.at(0).hooks) order += hook.id + " ";
    CHECK(order == "cache any a store of ours cache ");
    CHECK_THAT(ext::describe(c.registry), !Catch::Matchers::ContainsSubstring("kv2"));  // no id that no hook has
}

TEST_CASE("The cache says that a key came from it") {
    cached c([](std::string_view) { return "sk"; });
    std::string source;
    c.get_key.on_end([&](auto& call) { source = call.kwargs.value_or("source", "elsewhere"); });
    c.get_key("openai");
    CHECK(source == "elsewhere");
    c.get_key("openai");
    CHECK(source == "cache");
}

TEST_CASE("The cache does not replace a key that an earlier hook has supplied") {
    cached c([](std::string_view) { return "sk"; });
    c.get_key("openai");
    const auto supply = [](auto& call) { call.result = "other"; };
    ext::scoped_hook other = c.get_key.on_start(supply, {.before = "cache"});
    CHECK(c.get_key("openai") == "other");
    other = {};
    CHECK(c.get_key("openai") == "sk");
    CHECK(c.asked == 1);
}

TEST_CASE("The cache remembers a key under the requested service, even if a later hook changes the service") {
    cached c([](std::string_view service) { return "key of " + std::string(service); });
    c.get_key.on_start([](auto& call) { std::get<0>(call.args) = "anthropic"s; }, {.after = "cache"});
    CHECK(c.get_key("claude") == "key of anthropic");
    CHECK(c.get_key("claude") == "key of anthropic");
    CHECK(c.asked == 1);
}

TEST_CASE("Unloading the plugin removes the cache") {
    cached c([](std::string_view) { return "sk"; });
    c.get_key("openai");
    c.plugin.unload();
    CHECK(c.get_key("openai") == "sk");
    CHECK(c.asked == 2);
}

// ---- Threads ------------------------------------------------------------------------------------

TEST_CASE("Two thousand concurrent calls for a key fetch it once") {
    std::atomic<bool> all_waited{false};
    cached<>* self = nullptr;
    cached c([&](std::string_view) {
        all_waited = eventually([&] { return self->cache.waiting() == 15; });
        return "sk";
    });
    self = &c;

    std::atomic<int> right{0};
    in_threads(16, [&] {
        for (int i = 0; i < 125; ++i) right += c.get_key("openai") == "sk";
        return "";
    });
    CHECK(all_waited);
    CHECK(right == 2000);
    CHECK(c.asked == 1);
    CHECK(c.cache.waiting() == 0);
}

TEST_CASE("All threads that wait for a key get the failure, and the next call asks again") {
    const bool isolate = GENERATE(false, true);  // the plugin's hooks; the cache's own hooks are not isolated
    cached<>* self = nullptr;
    cached c(
        [&](std::string_view) -> std::string {
            eventually([&] { return self->cache.waiting() == 7; });
            std::rethrow_exception(down);
        },
        {}, {.isolate = isolate});
    self = &c;
    const auto ask = [&] { return c.get_key("openai"); };
    CHECK_THAT(in_threads(8, ask), Equals(std::vector(8, "the store is down"s)));
    CHECK(c.asked == 1);
    CHECK(c.cache.waiting() == 0);
    c.function = [](std::string_view) { return "sk"; };
    CHECK(c.get_key("openai") == "sk");
}

TEST_CASE("All threads that wait for a key get the failure of a hook") {
    cached c([](std::string_view) { return "never"; });
    std::atomic<int> asked{0};
    c.registry.on_start(
        "models.get_api_key",
        [&](ext::call<std::string(std::string_view)>&) {
            ++asked;
            eventually([&] { return c.cache.waiting() == 7; });
            std::rethrow_exception(down);
        },
        {.id = "kv2"});
    const auto ask = [&] { return c.get_key("openai"); };
    CHECK_THAT(in_threads(8, ask), Equals(std::vector(8, "the store is down"s)));
    CHECK(asked == 1);
}

TEST_CASE("All threads that wait for a key learn that there is none") {
    cached<>* self = nullptr;
    cached c([&](std::string_view) {
        eventually([&] { return self->cache.waiting() == 7; });
        return "";
    });
    self = &c;
    const auto ask = [&] { return "<" + c.get_key("openai") + ">"; };
    CHECK_THAT(in_threads(8, ask), Equals(std::vector(8, "<>"s)));
    CHECK(c.asked == 1);
}

TEST_CASE("A thread that wants another key does not wait") {
    cached<>* self = nullptr;
    cached c([&](std::string_view service) {
        if (service == "slow") std::thread([&] { self->get_key("other"); }).join();
        return std::string(service);
    });
    self = &c;
    CHECK(c.get_key("slow") == "slow");
    CHECK(c.asked == 2);
}

TEST_CASE("A call that asks for its own key does not wait for itself") {
    cached<>* self = nullptr;
    cached c([&](std::string_view) {
        return self->asked == 1 ? "outer, " + self->get_key("openai") : "inner"s;
    });
    self = &c;
    CHECK(c.get_key("openai") == "outer, inner");
    CHECK(c.get_key("openai") == "outer, inner");
    CHECK(c.asked == 2);
}

TEST_CASE("Two threads that each need the key the other is asking for do not wait for each other") {
    cached<>* self = nullptr;
    std::atomic<int> inside{0}, answered{0};
    cached c([&](std::string_view service) {
        thread_local bool is_nested = false;
        if (is_nested) return "nested " + std::string(service);
        is_nested = true;
        ++inside;
        eventually([&] { return inside == 2; });
        const std::string other = service == "a" ? "b" : "a";
        const std::string key = std::string(service) + " with " + self->get_key(other);
        ++answered;
        eventually([&] { return answered == 2; });
        is_nested = false;
        return key;
    });
    self = &c;
    std::atomic<int> thread{0};
    auto keys = in_threads(2, [&] { return c.get_key(thread++ == 0 ? "a" : "b"); });
    std::sort(keys.begin(), keys.end());
    CHECK_THAT(keys, Equals(std::vector{"a with nested b"s, "b with nested a"s}));
    CHECK(c.asked == 4);
    CHECK(c.get_key("a") == "a with nested b");
    CHECK(c.asked == 4);
}

// ---- Stale keys ---------------------------------------------------------------------------------

TEST_CASE("With serve_stale, an expired key is used while the store is down, for a limited time") {
    cached c([](std::string_view) { return "sk-1"; },
             {.ttl = 10s, .serve_stale = true, .stale_for = 60s, .retry_after = 5s});
    std::string source;
    const auto note = [&](auto& call) { source = call.kwargs.value_or("source", "elsewhere"); };
    c.get_key.on_end(note, {.after = "cache"});
    c.get_key("openai");
    c.function = fail;
    c.pass(10s);
    CHECK(c.get_key("openai") == "sk-1");
    CHECK(c.asked == 2);
    CHECK(source == "cache, stale");
    const std::string report = "openai: its expired key is used, because asking failed: the store is down";
    CHECK_THAT(c.reports, Equals(std::vector{report}));

    // The store is not asked for a while, and then asked again.
    c.pass(4999ms);
    CHECK(c.get_key("openai") == "sk-1");
    CHECK(source == "cache, stale");
    CHECK(c.asked == 2);
    c.pass(1ms);
    CHECK(c.get_key("openai") == "sk-1");
    CHECK(c.asked == 3);

    c.pass(54s);  // 69 s after the key was fetched: the last second in which it is used
    CHECK(c.get_key("openai") == "sk-1");
    CHECK(c.asked == 4);
    c.pass(1s);
    CHECK_THROWS_WITH(c.get_key("openai"), "the store is down");
    CHECK(c.asked == 5);
}

TEST_CASE("A key can become too old for use while the store is asked in vain") {
    cached c([](std::string_view) { return "sk-1"; }, {.ttl = 10s, .serve_stale = true, .stale_for = 60s});
    c.get_key("openai");
    c.pass(69s);
    c.function = [&](std::string_view service) {
        c.pass(1s);
        return fail(service);
    };
    CHECK_THROWS_WITH(c.get_key("openai"), "the store is down");
}

TEST_CASE("When the store is up again, it supplies a new key, which replaces the stale one") {
    cached c([](std::string_view) { return "sk-1"; }, {.ttl = 10s, .serve_stale = true, .retry_after = 5s});
    c.get_key("openai");
    c.function = fail;
    c.pass(10s);
    CHECK(c.get_key("openai") == "sk-1");
    c.function = [](std::string_view) { return "sk-2"; };
    c.pass(5s);
    CHECK(c.get_key("openai") == "sk-2");
    c.pass(9999ms);
    CHECK(c.get_key("openai") == "sk-2");
    CHECK(c.asked == 3);
}

TEST_CASE("An expired key is not used without serve_stale, nor if the store says that there is no key") {
    cached strict([](std::string_view) { return "sk-1"; }, {.ttl = 10s});
    strict.get_key("openai");
    strict.function = fail;
    strict.pass(10s);
    CHECK_THROWS_WITH(strict.get_key("openai"), "the store is down");

    cached lenient([](std::string_view) { return "sk-1"; },
                   {.ttl = 10s, .negative_ttl = 10s, .serve_stale = true});
    lenient.get_key("openai");
    lenient.function = [](std::string_view) { return ""; };
    lenient.pass(10s);
    CHECK(lenient.get_key("openai").empty());
    lenient.function = fail;
    lenient.pass(10s);
    CHECK_THROWS_WITH(lenient.get_key("openai"), "the store is down");
    CHECK(lenient.reports.empty());
}

TEST_CASE("All threads that wait for a key get the stale one") {
    cached c([](std::string_view) { return "sk-1"; }, {.ttl = 10s, .serve_stale = true});
    c.get_key("openai");
    c.pass(10s);
    c.function = [&](std::string_view) -> std::string {
        eventually([&] { return c.cache.waiting() == 7; });
        std::rethrow_exception(down);
    };
    CHECK_THAT(in_threads(8, [&] { return c.get_key("openai"); }), Equals(std::vector(8, "sk-1"s)));
    CHECK(c.asked == 2);
    CHECK(c.reports.size() == 1);
}

// A store that does not fail the call while it is down: the function supplies another key.
void add_store(cached<>& c, const bool& is_down, int& asked) {
    c.plugin.on_start(c.get_key, [&](auto& call) {
        ++asked;
        if (is_down) call.kwargs.set(secrets::note::failure, "the store is down");
        else call.result = "sk-of-the-store";
    }, {.id = "kv2", .fallback = true});
}

TEST_CASE("While the store is down, a key from elsewhere is remembered until the store is asked again") {
    cached c([](std::string_view) { return "sk-from-elsewhere"; }, {.ttl = 60s, .retry_after = 5s});
    bool is_down = true;
    int asked = 0;
    add_store(c, is_down, asked);
    CHECK(c.get_key("openai") == "sk-from-elsewhere");
    c.pass(4999ms);
    CHECK(c.get_key("openai") == "sk-from-elsewhere");
    CHECK(asked == 1);
    is_down = false;
    c.pass(1ms);
    CHECK(c.get_key("openai") == "sk-of-the-store");
    CHECK(asked == 2);
    c.pass(59s);
    CHECK(c.get_key("openai") == "sk-of-the-store");
    CHECK(asked == 2);
}

TEST_CASE("With serve_stale, an expired key does not replace a refused identity or configuration") {
    for (int number = 0; number <= static_cast<int>(secrets::reason::undecryptable); ++number) {
        const auto why = static_cast<secrets::reason>(number);
        CAPTURE(secrets::text_of(why));
        bool is_down = false;
        cached<> c([&](std::string_view) -> std::string {
            if (is_down) throw secrets::store_error("table", why, "no");
            return "sk-1";
        }, {.ttl = 10s, .serve_stale = true});
        c.get_key("openai");
        is_down = true;
        c.pass(10s);
        std::string key;
        const auto failed = helpers::failure_of([&] { key = c.get_key("openai"); });
        CHECK(key == (secrets::is_out_of_reach(why) ? "sk-1" : ""));
        CHECK(failed.why.has_value() == !secrets::is_out_of_reach(why));
    }
}

TEST_CASE("A stale key is used without a report if there is no function for it") {
    bool is_down = false;
    ext::registry registry;
    ext::extensible<std::string(std::string_view)> get_key{registry, "models.get_api_key",
                                                           [&](std::string_view service) {
        return is_down ? fail(service) : "sk-1";
    }};
    ext::plugin plugin{registry, "secrets"};
    secrets::cache_options options{.ttl = 0s, .serve_stale = true, .report = nullptr};
    secrets::cache(options).add_to(plugin);
    get_key("openai");
    is_down = true;
    CHECK(get_key("openai") == "sk-1");
}

TEST_CASE("With serve_stale, an expired key is preferred to a key from elsewhere while the store is down") {
    cached c([](std::string_view) { return "sk-from-elsewhere"; },
             {.ttl = 10s, .serve_stale = true, .retry_after = 5s});
    bool is_down = false;
    int asked = 0;
    add_store(c, is_down, asked);
    CHECK(c.get_key("openai") == "sk-of-the-store");
    is_down = true;
    c.pass(10s);
    CHECK(c.get_key("openai") == "sk-of-the-store");
    CHECK(c.get_key("openai") == "sk-of-the-store");
    CHECK(asked == 2);
    const std::string report = "openai: its expired key is used, because asking failed: the store is down";
    CHECK_THAT(c.reports, Equals(std::vector{report}));
    CHECK(c.get_key("mistral") == "sk-from-elsewhere");  // it has no expired key
}

namespace {

struct failing_store {
    static constexpr std::string_view name = "kv2";
    bool* is_down;
    std::string place_of(std::string_view) const { return "secret"; }
    std::optional<std::string> read(std::string_view) const {
        if (*is_down) throw std::out_of_range("a byte of the secret: 0x51");
        return "sk-of-the-store";
    }
};

}  // namespace

TEST_CASE("If a store throws an exception of a library, its expired key is used, not a key from elsewhere") {
    using secrets::on_failure;
    const on_failure choice = GENERATE(on_failure::fail, on_failure::fall_through);
    cached c([](std::string_view) { return "sk-from-elsewhere"; }, {.ttl = 10s, .serve_stale = true});
    c.registry.on_hook_error([&](const ext::hook_error& error) { c.reports.push_back(error.text()); });
    bool is_down = false;
    const auto store = std::make_shared<const failing_store>(failing_store{&is_down});
    secrets::add_store(c.plugin, c.get_key.name(), store, choice);
    CHECK(c.get_key("openai") == "sk-of-the-store");
    is_down = true;
    c.pass(10s);
    CHECK(c.get_key("openai") == "sk-of-the-store");
    CHECK(c.reports.back() == "openai: its expired key is used, because asking failed: "
                              "kv2: secret: an unexpected exception");
    for (const std::string& report : c.reports) CHECK_THAT(report, !Catch::Matchers::ContainsSubstring("0x51"));
    if (choice == on_failure::fail) CHECK_THROWS_AS(c.get_key("mistral"), secrets::store_error);
}

TEST_CASE("Threads that wait are woken even if a hook leaves a note of an unexpected type") {
    cached c([](std::string_view) { return "sk"; });
    const auto note = [](auto& call) { call.kwargs.set(secrets::note::failure, 7); };
    ext::scoped_hook noting = c.get_key.on_start(note);
    CHECK(c.get_key("openai") == "sk");
    CHECK(c.cache.waiting() == 0);
    noting = {};
    std::string key;
    std::thread([&] { key = c.get_key("openai"); }).join();  // waits forever if the first fetch has not ended
    CHECK(key == "sk");
}

// ---- Forgetting and wiping ----------------------------------------------------------------------

TEST_CASE("The cache forgets one key, or all of them") {
    cached c([](std::string_view service) { return std::string(service); });
    c.get_key("a");
    c.get_key("b");
    c.cache.forget("a");
    c.cache.forget("never asked for");
    c.get_key("a");
    c.get_key("b");
    CHECK(c.asked == 3);
    c.cache.clear();
    c.get_key("a");
    c.get_key("b");
    CHECK(c.asked == 5);
}

TEST_CASE("A key that is forgotten while it is fetched reaches the waiting threads, but not the cache") {
    cached<>* self = nullptr;
    cached c([&](std::string_view) {
        eventually([&] { return self->cache.waiting() == 3; });
        self->cache.forget("openai");
        return "withdrawn";
    });
    self = &c;
    CHECK_THAT(in_threads(4, [&] { return c.get_key("openai"); }), Equals(std::vector(4, "withdrawn"s)));
    CHECK(c.asked == 1);
    c.function = [](std::string_view) { return "new"; };
    CHECK(c.get_key("openai") == "new");
}

TEST_CASE("A call from before a key was forgotten fails if its fetch fails, even if there is a new key") {
    cached<>* self = nullptr;
    cached c([&](std::string_view) -> std::string {
        if (self->asked > 1) return "new";
        self->cache.forget("openai");
        CHECK(self->get_key("openai") == "new");
        throw std::runtime_error("the store is down");
    });
    self = &c;
    CHECK_THROWS_WITH(c.get_key("openai"), "the store is down");
    CHECK(c.get_key("openai") == "new");
    CHECK(c.asked == 2);
    CHECK(c.reports.empty());
}

namespace {

std::atomic<int> kept{0};      // blocks of memory that hold keys
std::atomic<int> wiped{0};     // freed blocks that contained only zeros
std::atomic<int> readable{0};  // freed blocks that were not wiped
std::function<void()> on_free;  // runs whenever a block is freed

template <class T>
struct watching_allocator {
    using value_type = T;

    T* allocate(std::size_t size) {
        ++kept;
        return std::allocator<T>().allocate(size);
    }
    void deallocate(T* memory, std::size_t size) {
        --kept;
        ++(std::all_of(memory, memory + size, [](T c) { return c == T(); }) ? wiped : readable);
        std::allocator<T>().deallocate(memory, size);
        if (on_free) on_free();
    }
    bool operator==(const watching_allocator&) const = default;
};

}  // namespace

TEST_CASE("The cache wipes the keys that it drops") {
    kept = wiped = readable = 0;
    {
        using watched = cached<secrets::basic_cache<watching_allocator<char>>>;
        watched c([](std::string_view service) { return "sk-of-" + std::string(service); }, {.ttl = 10s});
        const auto counts = [] { return std::vector<int>{kept, wiped, readable}; };
        c.get_key("a");
        c.get_key("b");
        c.get_key("c");
        c.get_key(std::string(100, 'd'));
        CHECK_THAT(counts(), Equals(std::vector{4, 0, 0}));

        c.cache.forget("b");
        CHECK_THAT(counts(), Equals(std::vector{3, 1, 0}));

        c.pass(9s);
        c.get_key("e");
        CHECK_THAT(counts(), Equals(std::vector{4, 1, 0}));

        c.pass(1s);  // a, c and d have expired, and are dropped when any key is requested
        c.get_key("a");
        CHECK_THAT(counts(), Equals(std::vector{2, 4, 0}));

        c.cache.clear();
        CHECK_THAT(counts(), Equals(std::vector{0, 6, 0}));
        c.get_key("a");
    }
    CHECK(kept == 0);
    CHECK(wiped == 7);
    CHECK(readable == 0);
}

TEST_CASE("The cache wipes a replaced key after the last waiting thread has received a key") {
    kept = wiped = readable = 0;
    using watched = cached<secrets::basic_cache<watching_allocator<char>>>;
    watched c([](std::string_view) { return "sk-1"; }, {.ttl = 10s, .serve_stale = true});
    c.get_key("openai");
    c.pass(10s);
    c.function = [&](std::string_view) {
        eventually([&] { return c.cache.waiting() == 7; });
        return "sk-2";
    };
    CHECK_THAT(in_threads(8, [&] { return c.get_key("openai"); }), Equals(std::vector(8, "sk-2"s)));
    CHECK(kept == 1);
    CHECK(wiped == 1);
    CHECK(readable == 0);
}

namespace {

// The failure of a store. Calls a function when it is destroyed.
struct watched_failure : ext::refusal {
    explicit watched_failure(std::function<void()> given)
        : ext::refusal("the store is down"), on_end(std::make_shared<at_end>(at_end{std::move(given)})) {}
    struct at_end {
        std::function<void()> function;
        ~at_end() { function(); }
    };
    std::shared_ptr<at_end> on_end;
};

}  // namespace

TEST_CASE("The cache destroys keys and exceptions outside its lock") {
    using watched = cached<secrets::basic_cache<watching_allocator<char>>>;
    watched c([](std::string_view) { return "sk"; }, {.ttl = 10s, .retry_after = 1s});
    // Another thread can use the cache whenever a key or an exception is destroyed.
    int destroyed = 0, locked = 0;
    std::vector<std::thread> threads;
    const auto look = [&] {
        const auto done = std::make_shared<std::atomic<bool>>(false);
        threads.emplace_back([&c, done] { c.cache.waiting(), *done = true; });
        ++destroyed;
        locked += !eventually([&] { return done->load(); });
    };
    const auto fail_for_a_while = [&](auto& call) {
        call.kwargs.set(secrets::note::retry_after, std::chrono::seconds(1));
        throw watched_failure(look);
    };
    const auto destroyed_by = [&](auto function) {
        on_free = look;
        const int before = destroyed;
        function();
        on_free = nullptr;
        return destroyed - before;
    };
    const auto remember_failure = [&] {
        const ext::scoped_hook failing = c.get_key.on_start(fail_for_a_while);
        CHECK_THROWS_AS(c.get_key("openai"), watched_failure);
    };

    c.get_key("openai");
    CHECK(destroyed_by([&] { c.cache.forget("openai"); }) == 1);
    c.get_key("openai");
    CHECK(destroyed_by([&] { c.cache.clear(); }) == 1);
    c.get_key("openai");
    c.pass(10s);
    CHECK(destroyed_by([&] { c.get_key("other"); }) == 1);
    c.cache.clear();

    remember_failure();
    CHECK(destroyed_by([&] { c.cache.forget("openai"); }) == 1);
    remember_failure();
    CHECK(destroyed_by([&] { c.cache.clear(); }) == 1);
    remember_failure();
    c.pass(1s);
    CHECK(destroyed_by([&] { c.get_key("openai"); }) == 1);
    CHECK(locked == 0);
    for (std::thread& thread : threads) thread.join();
}
