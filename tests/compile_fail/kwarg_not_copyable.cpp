// Copying ext::kwargs copies their values, so the values must be copyable.
// expect-first: the value of a named argument must be copyable
#include <extensible/extensible.hpp>

#include <memory>

void fill(ext::kwargs& named) {
#ifdef FIXED
    named.set("x", std::make_shared<int>(1));
#else
    named.set("x", std::make_unique<int>(1));
#endif
}
