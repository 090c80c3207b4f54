// The function that makes a cache's key must return something that the cache can compare.
// expect-first: the function that makes a key must return a number, an enumerator, a text, a pointer
#include <extensible/extensible.hpp>
#include <extensible/hooks/cache.hpp>

struct request {
    int id;
};
inline ext::extensible send{"send", [](const request& what) { return what.id; }};

#ifdef FIXED
inline ext::hooks::cache sent{send, {}, [](const request& what) { return what.id; }};
#else
inline ext::hooks::cache sent{send, {}, [](const request& what) { return what; }};
#endif
auto hook = send.around(sent);
