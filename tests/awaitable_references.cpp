// Functions whose tasks return a reference into the task when awaited: `T&&` like cppcoro's
// task<T>, or `T&` like its shared_task<T>. The object must live until the call has ended.
#include "catch.hpp"
#include "tasks.hpp"

#include <extensible/extensible.hpp>

#include <coroutine>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace {

// A number that throws if it is read or copied after its destruction.
class key {
public:
    explicit key(int number) : number_(number) { alive().insert(this); }
    key(const key& other) : number_(other.number()) { alive().insert(this); }
    key& operator=(const key& other) {
        number_ = other.number();
        return *this;
    }
    ~key() { alive().erase(this); }
    int number() const { return alive().count(this) == 1 ? number_ : throw std::logic_error("a key that is gone"); }

private:
    static std::set<const key*>& alive() {
        static std::set<const key*> keys;
        return keys;
    }
    int number_;
};

// A task that returns a reference of type Given to the value in its coroutine.
template <class T, class Given>
class referring {
public:
    struct promise_type : tasks::outcome<T> {
        std::coroutine_handle<> next = std::noop_coroutine();
        referring get_return_object() {
            const auto handle = std::coroutine_handle<promise_type>::from_promise(*this);
            const auto destroy = [](void* address) {
                std::coroutine_handle<promise_type>::from_address(address).destroy();
            };
            return referring({handle.address(), destroy});
        }
        std::suspend_always initial_suspend() noexcept { return {}; }
        struct resume_next {
            bool await_ready() noexcept { return false; }
            std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> ended) noexcept {
                return ended.promise().next;
            }
            void await_resume() noexcept {}
        };
        resume_next final_suspend() noexcept { return {}; }
        void unhandled_exception() { this->error = std::current_exception(); }
        Given given() {
            if (this->error) std::rethrow_exception(this->error);
            return static_cast<Given>(*this->value);
        }
    };

    struct awaiter {
        std::coroutine_handle<promise_type> handle;
        bool await_ready() const noexcept { return handle.done(); }
        std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) const noexcept {
            handle.promise().next = awaiting;
            return handle;
        }
        Given await_resume() const { return handle.promise().given(); }
    };
    awaiter operator co_await() const noexcept { return {handle()}; }

    void start() { handle().resume(); }
    T run() {
        start();
        return handle().promise().given();
    }
    T get() { return handle().promise().given(); }

private:
    explicit referring(std::shared_ptr<void> frame) : frame_(std::move(frame)) {}
    std::coroutine_handle<promise_type> handle() const {
        return std::coroutine_handle<promise_type>::from_address(frame_.get());
    }
    std::shared_ptr<void> frame_;
};

template <class T>
using task = referring<T, T&&>;
template <class T>
using shared_task = referring<T, T&>;

}  // namespace

TEMPLATE_TEST_CASE("A result that is a reference into the function's task lives until the call has ended", "",
                   task<key>, shared_task<key>) {
    ext::registry registry;
    tasks::gate middle;
    int calls = 0;
    ext::extensible<TestType(int)> fetch{registry, "fetch", [&](int number) -> TestType {
        ++calls;
        co_await middle;
        if (number < 0) throw std::runtime_error("negative");
        co_return key(number);
    }};
    SECTION("with a hook that does nothing") {
        SECTION("at the start") { fetch.on_start([](auto&) {}); }
        SECTION("around") { fetch.around([](auto&, auto& proceed) -> tasks::lazy<void> { co_await proceed(); }); }
        SECTION("at the end") { fetch.on_end([](auto&) {}); }
        SECTION("for any function, watched by a monitor") {
            registry.on_start("*", [](ext::any_call&) {});
            registry.on_hook_run([](const ext::hook_run&) {});
        }
        SECTION("isolated") {
            fetch.on_end([](auto&) { throw 1; }, {.isolate = true});
            registry.on_hook_error([](const ext::hook_error&) {});
        }
        auto call = fetch(7);
        call.start();
        middle.open();
        CHECK(call.get().number() == 7);
        CHECK(fetch(8).run().number() == 8);
        CHECK_THROWS_WITH(fetch(-1).run(), "negative");
    }
    middle.open();
    SECTION("with hooks that read it") {
        int read = 0;
        fetch.around(
            [&](auto& call, auto& proceed) -> tasks::lazy<void> { co_await proceed(), read += call.result->number(); });
        fetch.on_end([&](auto& call) { read += call.result->number(); });
        fetch.on_end([&](ext::any_call& call) { read += call.result<key>()->number(); });
        fetch.on_start([&](auto&) { return [&](auto& call) { read += call.result->number(); }; });
        CHECK(fetch(1).run().number() == 1);
        CHECK(read == 4);
    }
    SECTION("with an around hook that calls the function again") {
        fetch.around([](auto& call, auto& proceed) -> tasks::lazy<void> {
            co_await proceed();
            call.template arg<0>() = *call.template arg<0>() + 1;
            co_await proceed();
        });
        CHECK(fetch(1).run().number() == 2);
        CHECK(calls == 2);
    }
    SECTION("with hooks that supply or replace it") {
        static key stored(9);
        const auto supply = [](auto& call) {
            if constexpr (std::is_same_v<TestType, task<key>>) call.result = key(9);
            else call.result = stored;
        };
        SECTION("at the start") { fetch.on_start(supply); }
        SECTION("at the end") { fetch.on_end(supply); }
        CHECK(fetch(1).run().number() == 9);
    }
}

TEST_CASE("The result of a task that returns an rvalue reference may be move-only") {
    ext::registry registry;
    ext::extensible load{registry, "load",
                         [](int x) -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(x); }};
    load.on_end([](auto& call) { ++**call.result; });
    CHECK(*load(1).run() == 2);
}

TEST_CASE("Callers may share the task of a call") {
    ext::registry registry;
    ext::extensible fetch{registry, "fetch", [](int x) -> shared_task<std::string> { co_return std::to_string(x); }};
    fetch.on_end([](auto& call) { *call.result += "!"; });
    const auto shared = fetch(5);
    const auto ask = [](shared_task<std::string> asked) -> tasks::lazy<const std::string*> {
        co_return &co_await asked;
    };
    const std::string* const first = ask(shared).run();
    CHECK(*first == "5!");
    CHECK(ask(shared).run() == first);
}

TEST_CASE("A parameter of an awaited function may refer to a named argument, or to a default of its own type") {
    using namespace ext::literals;
    ext::registry registry;
    ext::extensible fetch{
        registry, "net.fetch",
        ext::params("page"_kw, "url"_kw = std::string("a default that is too long to stand in the string")),
        [](int page, const std::string& url) -> tasks::lazy<std::string> { co_return url + std::to_string(page); }};
    CHECK(fetch("page"_kw = 1).run() == "a default that is too long to stand in the string1");
    CHECK(fetch(2, "url"_kw = std::string("a temporary that is too long to stand in the string")).run() ==
          "a temporary that is too long to stand in the string2");
}
