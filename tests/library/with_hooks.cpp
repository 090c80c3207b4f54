// A plugin that uses all ready-made hooks. The system can close it only if it has no unique symbol.

#include "half_way.hpp"

#include <extensible/extensible.hpp>
#include <extensible/hooks.hpp>

#include <chrono>
#include <memory>
#include <sstream>

namespace {

struct observers {
    std::ostringstream out;
    ext::hooks::metrics metrics{"plugin.*"};
    ext::hooks::trace trace{out, {.pattern = "plugin.*", .values = true}};
    ext::hooks::faults faults{"plugin.*=throw(0, times=2)", {.seed = 7}};
    ext::hooks::spy<int(int)> spy{ext::default_registry(), "plugin.own"};
};

}  // namespace

EXTENSIBLE_PLUGIN(self) {
    namespace hooks = ext::hooks;
    self.around<int(int)>("host.first",
                          hooks::cache<int(int)>{{.capacity = 3, .stale_if_error = std::chrono::hours(1)}});
    self.around("host.*", hooks::retry({.jitter = 0.1}));
    self.around("host.*", hooks::breaker{{.failed = [](const int& result) { return result < 0; }}});
    self.around("host.*", hooks::limit_calls({}, hooks::wait));
    self.on_start("host.*", hooks::limit_rate({.rate = 1e9, .burst = 1000000}));
    const auto seen = std::make_unique<observers>();
    std::ostringstream text;
    seen->metrics.write(text);
    text << seen->spy << seen->faults.seed();
}
