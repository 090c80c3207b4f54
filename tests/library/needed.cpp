// A plugin that exports a function, which another library calls. Its hook adds 1 to the argument.

#include <extensible/extensible.hpp>

extern "C" EXTENSIBLE_EXPORT int one() { return 1; }

EXTENSIBLE_PLUGIN(self) {
    self.on_start("host.first", [](ext::call<int(int)>& call) {
        auto& [x] = call.args;
        x = *x + one();
    });
}
