// The library's own errors without exceptions: errors <case> handled|returned|default
// Raises the error of the case with a handler that ends the program with 3, with a handler that
// returns, or without a handler.
#include <extensible/extensible.hpp>
#include <extensible/hooks/fault.hpp>
#include <extensible/hooks/retry.hpp>
#include <extensible/library.hpp>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <string>
#include <string_view>

namespace {

ext::registry registry;
ext::extensible twice{registry, "twice", [](int x) { return 2 * x; }};
const auto nothing = [](auto&) {};

const std::map<std::string_view, void (*)()> cases{
    {"bad_kwarg", [] {
        twice.on_start([](auto& call) {
            call.kwargs.set("tenant", 7), call.kwargs.template get<std::string>("tenant");
        });
        twice(1);
    }},
    {"duplicate_hook", [] { twice.on_start(nothing, {.id = "a"}), twice.on_start(nothing, {.id = "a"}); }},
    {"order_cycle", [] {
        twice.on_start(nothing, {.id = "a", .before = {"b"}});
        twice.on_start(nothing, {.id = "b", .before = {"a"}});
    }},
    {"sealed", [] { registry.seal(), twice.on_start(nothing); }},
    {"signature_mismatch", [] { registry.on_start("twice", [](ext::call<void(int)>&) {}); }},
    {"wrapper_mismatch", [] { ext::extensible other{registry, "twice", [](long x) { return x; }}; }},
    {"any_call", [] {
        registry.on_end("tw*", [](ext::any_call& call) { call.set_result(std::string("x")); }), twice(1);
    }},
    {"no_result", [] { twice.on_end([](auto& call) { call.result.reset(); }), twice(1); }},
    {"exception", [] {  // not every standard library can make an exception
        twice.on_end([](auto& call) { call.exception = std::make_exception_ptr(1); }), twice(1);
    }},
    {"empty_hook", [] { twice.on_start(static_cast<void (*)(ext::call<int(int)>&)>(nullptr)); }},
    {"empty_name", [] { ext::extensible other{registry, "", [](long x) { return x; }}; }},
    {"unloaded", [] {
        ext::plugin plugin{registry, "tens"};
        plugin.unload(), plugin.on_start(twice, nothing);
    }},
    {"library", [] { ext::library missing{registry, "/is/not/there.so"}; }},
    {"option", [] { twice.around(ext::hooks::retry({.attempts = 0})); }},
    {"fault", [] { ext::hooks::faults faults{registry, "twice=throw"}; }},
};

}  // namespace

int main(int, char** arguments) {
    const std::string_view handler = arguments[2];
    if (handler == "handled")
        ext::on_error([](const ext::error& error) {
            std::printf("handled: %s\n", error.what()), std::fflush(stdout), std::_Exit(3);
        });
    if (handler == "returned") ext::on_error([](const ext::error&) {});
    std::set_terminate([] { std::_Exit(4); });  // programs may set this
    cases.at(arguments[1])();
    std::puts("the program continued");
}
