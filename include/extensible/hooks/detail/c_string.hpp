#pragma once

// Which pointers to characters do the ready-made hooks read as C strings?

#include <extensible/detail/platform/compiler.hpp>

#include <cstddef>
#include <tuple>
#include <type_traits>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace hooks { namespace detail {

/// True for the types whose arrays are text: char, wchar_t, char8_t, char16_t, char32_t.
template <class T>
inline constexpr bool is_character =
    std::is_same_v<T, char> || std::is_same_v<T, wchar_t> || std::is_same_v<T, char8_t> ||
    std::is_same_v<T, char16_t> || std::is_same_v<T, char32_t>;

/// True for `const char*` and the like.
template <class T>
inline constexpr bool is_character_pointer =
    std::is_pointer_v<T> && is_character<std::remove_cv_t<std::remove_pointer_t<T>>>;

/// True for an integral type except bool: if such a parameter follows a pointer to characters, it is
/// taken for their number.
template <class T>
inline constexpr bool can_be_length = std::is_integral_v<T> && !std::is_same_v<T, bool>;

/// True if the parameter at `Index` of a function with the parameters A... is a C string: a pointer to
/// characters that no length follows. The characters of another pointer need not end with a null
/// character, so a hook must not read them. References and const are ignored.
template <std::size_t Index, class... A>
constexpr bool is_c_string() {
    using parameters = std::tuple<std::remove_cvref_t<A>..., void*>;  // the last one is followed by no length
    if constexpr (is_character_pointer<std::tuple_element_t<Index, parameters>>)
        return !can_be_length<std::tuple_element_t<Index + 1, parameters>>;
    else return false;
}

}}}}  // namespace ext::hooks::detail
