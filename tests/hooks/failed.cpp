#include "../catch.hpp"
#include "../tasks.hpp"

#include <extensible/extensible.hpp>
#include <extensible/hooks/failed.hpp>

#include <functional>
#include <stdexcept>

namespace hooks = ext::hooks;

namespace {

struct reply {
    int code;
    bool is_bad() const { return code >= 500; }
};
bool is_bad(const reply& received) { return received.code >= 500; }

// Its own failed() says the opposite of the predicates below.
struct inverse {
    bool value;
    friend bool failed(const inverse& of) { return !of.value; }
};

// Returns whether the call has failed, as a hook for functions of any signature sees it.
template <class... A>
bool fails(ext::extensible<A...>& function, const hooks::failure_predicate& failed) {
    bool answer = false;
    ext::scoped_hook hook = function.around([&](ext::any_call& call, auto& proceed) {
        proceed();
        answer = failed(call);
        call.exception() = nullptr;
        if (!call.has_result()) call.set_result(reply{0});
    });
    function();
    return answer;
}

}  // namespace

TEST_CASE("The predicate of .failed decides for results of its parameter's type") {
    ext::registry registry;
    int code = 0;
    ext::extensible ask{registry, "ask", [&] { return reply{code}; }};
    const auto decides = [&](const hooks::failure_predicate& failed) {
        code = 200;
        CHECK_FALSE(fails(ask, failed));
        code = 500;
        CHECK(fails(ask, failed));
    };
    decides([](const reply& received) { return received.code >= 500; });
    decides([](reply received) { return received.code >= 500; });
    decides([limit = 500](const reply& received) mutable { return received.code >= limit; });
    decides(&is_bad);
    decides(&reply::is_bad);
    decides(std::function<bool(const reply&)>(is_bad));
    CHECK_FALSE(fails(ask, {}));
    CHECK_FALSE(fails(ask, std::function<bool(const reply&)>()));
}

TEST_CASE("The predicate of .failed takes precedence over ext::failed") {
    ext::registry registry;
    ext::extensible ask{registry, "ask", [] { return inverse{true}; }};
    bool failed = false;
    ask.around([&](ext::call<inverse()>& call, auto& proceed) {  // a hook of one signature
        proceed();
        failed = hooks::failure_predicate([](const inverse& of) { return of.value; })(call);
        CHECK_FALSE(hooks::failure_predicate()(call));
    });
    ask();
    CHECK(failed);
}

TEST_CASE("For results of another type than that of .failed, ext::failed decides") {
    ext::registry registry;
    const hooks::failure_predicate always([](const int&) { return true; });
    SECTION("a type that is never a failure") {
        ext::extensible ask{registry, "ask", [] { return reply{500}; }};
        CHECK_FALSE(fails(ask, always));
    }
    SECTION("a type with a function failed()") {
        ext::extensible ask{registry, "ask", [] { return inverse{false}; }};
        bool failed = false;
        ask.around([&](ext::any_call& call, auto& proceed) { proceed(), failed = always(call); });
        ask();
        CHECK(failed);
    }
}

TEST_CASE("An exception is a failure, whatever the predicate of .failed says") {
    ext::registry registry;
    const hooks::failure_predicate never([](const reply&) { return false; });
    ext::extensible ask{registry, "ask", []() -> reply { throw std::runtime_error("busy"); }};
    CHECK(fails(ask, never));
    bool failed = false;
    ext::extensible get{registry, "get", [] { return reply{200}; }};
    get.on_end([](auto& call) { call.exception = std::make_exception_ptr(std::runtime_error("late")); });
    get.on_end([&](ext::any_call& call) { failed = call.has_result() && never(call); });  // it has both
    CHECK_THROWS_WITH(get(), "late");
    CHECK(failed);
}

TEST_CASE("The predicate of .failed sees the object that a reference refers to, and the value that is awaited") {
    ext::registry registry;
    const hooks::failure_predicate is_negative([](const int& value) { return value < 0; });
    bool failed = false;
    const auto look = [&](ext::any_call& call) { failed = is_negative(call); };
    int value = -1;
    ext::extensible refer{registry, "refer", [&]() -> const int& { return value; }};
    refer.on_end(look);
    refer();
    CHECK(failed);
    ext::extensible load{registry, "load", []() -> tasks::lazy<int> { co_return 1; }};
    load.on_end(look);
    load().run();
    CHECK_FALSE(failed);
}
