// A cache finds results by their arguments, so the arguments must have an order.
// expect-first: an argument has no operator<, or cannot be copied, so no result can be found by it
// expect-first: so no result can be found by it; give a function that makes a key
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
