// A parameter taken by value must be movable, because the wrapper passes the argument on.
// expect-first: a parameter's type cannot be moved, so it could not be passed on; take it by reference
#include <extensible/extensible.hpp>

#include <mutex>

struct guarded {
    std::mutex mutex;
};

#ifdef FIXED
inline ext::extensible use{"use", [](guarded&) {}};
#else
inline ext::extensible use{"use", [](guarded) {}};
#endif
