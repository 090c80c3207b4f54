// The library calls its own functions with a qualifier. Otherwise it would find an application's
// functions of the same name, by argument-dependent lookup: calls would be ambiguous, or the library
// would call the application's function. Each function template in names.hpp ends the compilation if
// it is found. Types of the namespace `application` are used in every place in which the library
// receives types.

#include <extensible/extensible.hpp>
#include <extensible/hooks.hpp>
#include <extensible/library.hpp>

#include "../tasks.hpp"
#include "names.hpp"  // made by names.cmake

#include <compare>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace application {

using namespace ext::literals;

struct key {
    int number = 0;
    friend auto operator<=>(const key&, const key&) = default;
    friend std::ostream& operator<<(std::ostream& to, const key& shown) { return to << shown.number; }
};
struct answer {
    int number = 0;
    friend bool operator==(const answer&, const answer&) = default;
};
struct handle {
    std::unique_ptr<int> owned = std::make_unique<int>(1);
};
struct problem {};

struct view {
    view(const std::vector<key>& keys) : first(keys.empty() ? nullptr : keys.data()) {}
    const key* first;
};

// Functions of each kind.
struct service {
    int added = 0;
    answer ask(key asked) const { return {asked.number + added}; }
};
answer ask(key asked) { return {asked.number}; }
answer refuse(key) { throw problem(); }
tasks::task<answer, true> ask_later(key asked) { co_return answer{asked.number}; }
tasks::task<void, true> tell_later(key&) { co_return; }

// Hooks that are functions and function objects.
void see(ext::call<answer(key)>&) {}
struct see_any {
    void operator()(ext::any_call&) const {}
};
struct finish {
    void operator()(ext::call<answer(key)>&) const {}
};

template <class Function>
void use_all(ext::registry& registry, const Function& wrapped) {
    ext::hook one = wrapped.on_start([](auto& call) { call.template arg<0>() = key{2}; }, {.id = "one"});
    wrapped.on_start([](auto&) { return finish(); });
    wrapped.on_start([](auto&) { return std::function<void(ext::call<answer(key)>&)>(); });
    wrapped.on_start(&see, {.fallback = true});
    wrapped.on_start(see_any(), {.isolate = true, .reentrant = false});
    wrapped.around([](auto&, auto& proceed) { proceed(); });
    wrapped.around([](ext::any_call&, auto& proceed) { proceed(); }, {.times = 3});
    wrapped.on_end([](auto& call) {
        if (call.result && *call.result == answer{7}) call.result = answer{8};
    });
    wrapped.on_end(std::function<void(ext::call<answer(key)>&)>(&see));
    wrapped.on_start(ext::tap([](key) {}));
    wrapped.on_end(ext::filter_result([](answer given) { return given; }));
    ext::scoped_hook replaced = wrapped.on_start(ext::instead(&ask), {.id = "one", .replace = true});
    registry.on_end("*", [](ext::any_call& call) {
        const answer* given = call.result<answer>();
        if (given) call.set_result(answer{given->number + 1});
        if (call.arg<key>(0)) call.set_arg(0, key{3});
        call.kwargs().set("key", key{1});
    });
    static_cast<void>(wrapped(key{1}));
    one.disable();
    one.enable();
    static_cast<void>(one.active());
    replaced.reset();
    one.remove();
    one.remove_and_wait();
}

int run() {
    ext::registry registry;
    registry.on_hook_error([](const ext::hook_error&) {});
    registry.on_hook_run([](const ext::hook_run&) {});

    ext::extensible plain{registry, "plain", [](key asked) { return answer{asked.number}; }};
    use_all(registry, plain);
    const ext::extensible pointer{registry, "pointer", &ask};
    use_all(registry, pointer);
    const ext::extensible constant{registry, "constant", ext::fn<&ask>};
    use_all(registry, constant);
    const ext::extensible<answer(key)> erased{registry, "erased", std::function<answer(key)>(&ask)};
    use_all(registry, erased);

    const ext::extensible member{registry, "member", &service::ask};
    member.on_start([](auto&) {});
    member(service(), key{1});
    const ext::extensible references{registry, "references",
                                     [](key& changed, const answer&, handle&& moved, view) -> key& {
                                         const handle kept = std::move(moved);
                                         return changed;
                                     }};
    references.on_start([](auto& call) { call.template arg<0>() = key{4}; });
    references.on_start([](auto& call) { call.template arg<3>() = std::vector<key>(2); });
    references.around([](auto&, auto& proceed) { proceed(); });
    references.on_end([](auto& call) { call.result.emplace(*call.result); });
    key changed;
    references(changed, answer(), handle(), std::vector<key>(1));
    const ext::extensible moves{registry, "moves", [](handle owned) { return owned; }};
    moves.on_end([](auto&) {});
    moves.on_end(ext::filter_result([](handle owned) { return owned; }));
    moves(handle());
    const ext::extensible silent{registry, "silent", [](key) {}};
    silent.on_start([](auto& call) { call.result.emplace(); });
    silent(key());
    const ext::extensible fails{registry, "fails", &refuse};
    fails.around([](auto& call, auto& proceed) {
        proceed();
        call.exception = nullptr;
        proceed();
    });
    fails.on_end([](auto& call) { call.result = answer{1}, call.exception = nullptr; });
    fails(key());

    const ext::extensible named{registry, "named", ext::params("key"_kw, "count"_kw = 3),
                                [](key asked, int, const ext::kwargs&) { return answer{asked.number}; }};
    named.on_start([](auto& call) { call.template arg<"key">() = key{5}; });
    named("key"_kw = key{1}, "more"_kw = answer{2});

    const ext::extensible later{registry, "later", &ask_later};
    later.on_start([](auto&) -> tasks::task<void, true> { co_return; });
    later.on_start([](auto&) {});
    later.around([](auto&, auto& proceed) -> tasks::task<void, true> { co_await proceed(); });
    later.on_end([](ext::any_call&) -> tasks::task<void, true> { co_return; });
    later(key()).run();
    const ext::extensible told{registry, "told", &tell_later};
    told.around([](auto&, auto& proceed) -> tasks::task<void, true> { co_await proceed(); });
    told(changed).run();

    const ext::extensible ready{registry, "ready", [](key asked) { return answer{asked.number}; }};
    const ext::hooks::cache known{ready, {.capacity = 3}, [](const key& asked) { return std::optional(asked.number); }};
    ready.around(known);
    ready.around(ext::hooks::retry({.attempts = 2, .first_pause = {}}));
    ready.around(ext::hooks::breaker());
    ready.around(ext::hooks::limit_calls({.calls = 2}));
    ready.on_start(ext::hooks::limit_rate({.rate = 1000}));
    const ext::hooks::faults faults{"nothing=throw"};
    std::ostringstream traced;
    const ext::hooks::trace trace{traced, {.pattern = "ready", .values = true}};
    const ext::hooks::metrics metrics{registry, "ready"};
    const ext::hooks::spy spied{ready};
    ready(key{1});
    static_cast<void>(spied.count(key{1}));
    metrics.write(traced);

    ext::plugin plugin{registry, "plugin"};
    plugin.on_start(plain, [](auto&) {}, {.before = "one"});
    plugin.on_end("plain", [](ext::call<answer(key)>&) {});
    plugin.disable();
    plugin.enable();
    plugin.unload();
    const std::string table = ext::describe(registry);
    ext::check_pending(registry);
    return plain(key{1}).number != 0 && !table.empty() && !ext::failed(answer()) ? 0 : 1;
}

}  // namespace application

int main() {
    const int result = application::run();
    std::puts(result == 0 ? "holds" : "fails");
    return result;
}
