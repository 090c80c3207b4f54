// The result type must be movable, because hooks can supply the result.
// expect-first: the function's result type cannot be moved.*return a std::unique_ptr or a reference
#include <extensible/extensible.hpp>

#include <memory>
#include <mutex>

struct guarded {
    std::mutex mutex;
};

#ifdef FIXED
inline ext::extensible make{"make", []() -> std::unique_ptr<guarded> { return std::make_unique<guarded>(); }};
#else
inline ext::extensible make{"make", []() -> guarded { return guarded(); }};
#endif
