// A plugin that notifies the host when its library is closed. Its hook adds 1 to the argument.

#include "half_way.hpp"

#include <extensible/extensible.hpp>

#include <string>

namespace {

struct notifying {
    std::string plugin;
    ~notifying() { closes(plugin.c_str()); }
} at_end;

}  // namespace

EXTENSIBLE_PLUGIN(self) {
    at_end.plugin = self.name();
    self.on_start("host.first", [](ext::call<int(int)>& call) {
        auto& [x] = call.args;
        x = *x + 1;
    });
}
