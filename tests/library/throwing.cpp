// A plugin whose entry throws half-way. The type of the exception is known only to this library.

#include "half_way.hpp"

#include <extensible/extensible.hpp>

#include <exception>

namespace {

struct own_exception : std::exception {
    const char* what() const noexcept override { return "the vault is locked"; }
};

}  // namespace

EXTENSIBLE_PLUGIN(self) {
    self.on_start("host.first", [](ext::call<int(int)>& call) { call.result = -1; }, {.id = "first"});
    self.on_end("host.*", [](ext::any_call&) {});
    half_way();
#if defined(THROWS_INT)
    throw 42;
#else
    throw own_exception();
#endif
}
