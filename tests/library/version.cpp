// A plugin that is compiled in several versions. Its hooks add VERSION to the argument, and
// multiples of VERSION to the result. The hooks of all versions have the same ids, but two of them
// are ordered differently.

#include "half_way.hpp"

#include <extensible/extensible.hpp>

#include <stdexcept>

EXTENSIBLE_PLUGIN(self) {
    self.on_start("host.first", [](ext::call<int(int)>& call) {
        auto& [x] = call.args;
        x = *x + VERSION;
    }, {.id = "first"});
    half_way();
    self.around<int(int)>("host.first", [](auto& call, auto& proceed) {
        proceed();
        if (call.result) *call.result += 100 * VERSION;
    }, {.id = "second", .priority = 5});
    self.on_end("host.*", [](ext::any_call& call) {
        if (const int* const result = call.result<int>()) call.set_result(*result + 10'000 * VERSION);
    }, {.id = "third"});
    const auto append = [](int digit) {
        return [digit](ext::call<int(int)>& call) {
            auto& [x] = call.args;
            x = *x * 10 + digit;
        };
    };
    self.on_start("other.order", append(1), {.id = "a", .before = VERSION == 1 ? ext::hook_ids{"b"} : ext::hook_ids{}});
    self.on_start("other.order", append(2), {.id = "b", .before = VERSION == 1 ? ext::hook_ids{} : ext::hook_ids{"a"}});
    self.on_start("other.failing", [](ext::call<int(int)>&) {
        throw std::runtime_error("version " EXTENSIBLE_TEXT(VERSION));
    });
}
