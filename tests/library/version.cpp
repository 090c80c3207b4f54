// A plugin that is compiled in several versions: its hooks add VERSION to the argument, and 100 times VERSION to the result.

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
    self.on_start("other.failing", [](ext::call<int(int)>&) { throw std::runtime_error("version " EXTENSIBLE_TEXT(VERSION)); });
}
