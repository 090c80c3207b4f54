// A cache finds results by their arguments, so it must know when two arguments are equal.
// expect-first: an argument is not a number, an enumerator, a text, a pointer, or a std::pair, std::tuple
// expect: give a function that makes a key of the arguments
#include <extensible/extensible.hpp>
#include <extensible/hooks/cache.hpp>

struct request {
    int id;
};
inline ext::extensible send{"send", [](const request& what) { return what.id; }};

#ifdef FIXED
inline ext::hooks::cache sent{send, {}, [](const request& what) { return what.id; }};
#else
inline ext::hooks::cache sent{send};
#endif
auto hook = send.around(sent);
