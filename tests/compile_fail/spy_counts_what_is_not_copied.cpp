// A spy does not record an argument that cannot be copied, so it cannot count calls by it.
// expect-first: an argument cannot be copied, so the spy does not record it
#include <extensible/extensible.hpp>
#include <extensible/hooks/spy.hpp>

#include <memory>

inline ext::extensible start{"start", [](std::unique_ptr<int>) {}};

inline std::size_t counted(const ext::hooks::spy<void(std::unique_ptr<int>)>& seen) {
#ifdef FIXED
    return seen.count();
#else
    return seen.count(std::make_unique<int>(1));
#endif
}
