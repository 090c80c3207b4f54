// A class that looks like a container may have more members, so a cache does not compare it as one.
// expect-first: an argument is not a number, an enumerator, a text, a pointer
#include <extensible/extensible.hpp>
#include <extensible/hooks/cache.hpp>

#include <vector>

struct request : std::vector<int> {
    int user = 0;
};
inline ext::extensible send{"send", [](const request& what) { return what.user; }};

#ifdef FIXED
inline ext::hooks::cache sent{send, {}, [](const request& what) {
    return std::pair(std::vector<int>(what), what.user);
}};
#else
inline ext::hooks::cache sent{send};
#endif
auto hook = send.around(sent);
