// A parameter taken by value has to be movable, or it could not be passed on.
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
