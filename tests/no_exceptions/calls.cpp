// Without exceptions: what hooks see and change in a call.
#include "check.hpp"

#include <extensible/extensible.hpp>

#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#if EXTENSIBLE_EXCEPTIONS
#error "Compile this file without exceptions."
#endif

using namespace ext::literals;

namespace {

// The function of the README's first example.
ext::extensible get_api_key{"no_exceptions.get_api_key", [](std::string_view service) -> std::string {
    return service == "anthropic" ? "sk-from-the-environment" : "";
}};

void the_flagship() {
    CHECK(get_api_key("claude").empty());
    const ext::scoped_hook alias = get_api_key.on_start([](auto& call) {
        auto& [service] = call.args;
        if (*service == "claude") service = std::string("anthropic");
    });
    CHECK(get_api_key("claude") == "sk-from-the-environment");
    const ext::scoped_hook vault =
        ext::on_start<std::string(std::string_view)>("no_exceptions.get_api_key", [](auto& call) {
            if (call.template arg<0>() == "openai") call.result = "sk-from-the-vault";
        });
    CHECK(get_api_key("openai") == "sk-from-the-vault");
    CHECK(get_api_key("claude") == "sk-from-the-environment");
}

void the_way_of_a_call() {
    std::vector<std::string> steps;
    ext::registry registry;
    ext::extensible add{registry, "add", [&](int a, int b) { return steps.push_back("function"), a + b; }};
    add.on_start([&](auto&) { steps.push_back("start"); });
    add.on_start([&](auto&) { return [&](auto&) { steps.push_back("end of the start"); }; });
    add.around([&](auto&, auto& proceed) { steps.push_back("around"), proceed(), steps.push_back("around again"); });
    add.on_end([&](auto& call) { steps.push_back("end"), *call.result *= 10; });
    CHECK(add(1, 2) == 30);
    CHECK(steps == std::vector<std::string>{"start", "around", "function", "around again", "end", "end of the start"});
}

void a_supplied_result_stands_for_the_function() {
    int ran = 0;
    ext::registry registry;
    ext::extensible work{registry, "work", [&](int x) { return ++ran, std::make_unique<int>(x); }};
    work.on_start([](auto& call) {
        if (*call.template arg<0>() < 0) call.result = std::make_unique<int>(0);
    });
    bool original_ran = true;
    work.on_end([&](auto& call) { original_ran = call.original_ran; });
    CHECK(*work(-1) == 0 && ran == 0 && !original_ran);
    CHECK(*work(7) == 7 && ran == 1 && original_ran);

    ext::extensible save{registry, "save", [&] { ++ran; }};
    save.on_start([](auto& call) { call.result.emplace(); });
    save();
    CHECK(ran == 1);
}

void an_around_hook_goes_on_as_often_as_it_likes() {
    int ran = 0;
    ext::registry registry;
    ext::extensible attempt{registry, "attempt", [&] { return ++ran; }};
    attempt.around([](auto& call, auto& proceed) {
        do proceed();
        while (*call.result < 3);
    });
    CHECK(attempt() == 3);
    attempt.around([](auto& call, auto&) { call.result = -1; }, {.priority = -1});
    CHECK(attempt() == -1 && ran == 3);
}

void named_arguments() {
    ext::registry registry;
    ext::extensible fetch{registry, "fetch", ext::params("url"_kw, "timeout"_kw = 30),
                          [](std::string_view url, int timeout, const ext::kwargs& more) {
                              return std::string(url) + std::to_string(timeout) +
                                     more.value_or("tenant", std::string("none"));
                          }};
    fetch.on_start([](auto& call) { call.template arg<"timeout">() = 2 * *call.template arg<"timeout">(); });
    CHECK(fetch("a") == "a60none");
    CHECK(fetch("timeout"_kw = 1, "url"_kw = "b") == "b2none");
    fetch.on_start([](auto& call) {
        const std::string* const tenant = call.kwargs.template get<std::string>("tenant");
        call.kwargs.set("tenant", tenant ? *tenant + "!" : "hook");
    });
    CHECK(fetch("c") == "c60hook");
    CHECK(fetch("c", "tenant"_kw = "acme") == "c60acme!");
}

// Hooks see an exception that a hook has set. A hook must clear it before the call ends.
void a_call_has_no_exception_but_by_a_hook() {
    ext::registry registry;
    ext::extensible twice{registry, "twice", [](int x) { return 2 * x; }};
    std::string seen;
    twice.on_end([&](auto& call) { seen += call.exception ? "set " : "null "; });
    CHECK(twice(1) == 2 && seen == "null ");
#if defined(__GLIBCXX__) && defined(__cpp_rtti)  // other libraries end the program, or return null
    twice.on_start([](auto& call) { call.exception = std::make_exception_ptr(1); }, {.times = 1});
    twice.on_end([](auto& call) { if (call.exception) call.exception = nullptr, call.result = -1; });
    CHECK(twice(1) == -1 && seen == "null set ");
    CHECK(twice(1) == 2 && seen == "null set null ");
#endif
}

}  // namespace

void check_calls() {
    the_flagship();
    the_way_of_a_call();
    a_supplied_result_stands_for_the_function();
    an_around_hook_goes_on_as_often_as_it_likes();
    named_arguments();
    a_call_has_no_exception_but_by_a_hook();
}
