// A spy can return its answer several times, so the answer must be copyable.
// expect: ext::hooks::spy: the function's result cannot be copied, and so not be given to several calls
// expect: cannot be copied, and so not be given to several calls; use ext::instead
#include <extensible/hooks/spy.hpp>

#include <memory>

#ifdef FIXED
using pointer = std::shared_ptr<int>;
#else
using pointer = std::unique_ptr<int>;
#endif
ext::extensible open{"file.open", []() -> pointer { return nullptr; }};
ext::hooks::spy seen{open};
auto& answered = seen.returns(nullptr);
