// A cache does not read characters that a length follows as a C string.
// expect-first: a length follows a pointer to characters, so these need not end with a null character
#include <extensible/extensible.hpp>
#include <extensible/hooks/cache.hpp>

#include <cstddef>
#include <string_view>

inline ext::extensible send{"send", [](const char*, std::size_t size) { return size; }};

#ifdef FIXED
inline ext::hooks::cache sent{send, {}, [](const char* data, std::size_t size) {
    return std::string_view(data, size);
}};
#else
inline ext::hooks::cache sent{send};
#endif
auto hook = send.around(sent);
