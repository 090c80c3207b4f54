#pragma once

// By what does a cache find the result of a call? By bytes, into which it writes the arguments.
//
// What must stay true (tests/hooks/cache.cpp):
// 1. Calls with the same bytes have equal arguments, and 0.0 and -0.0 have different bytes. So each part
//    of variable length begins with its length.
// 2. No code of the application runs when keys are compared, because that happens under a lock.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/hooks/detail/c_string.hpp>
#include <extensible/hooks/detail/core.hpp>

#include <array>
#include <chrono>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace hooks { namespace detail {

/// How a T is written into a key. Defined only for the types below: of other types, only the application
/// knows when two values are equal.
template <class T>
struct key_part;

/// True if a T can be part of a key.
template <class T>
concept can_be_key = requires { sizeof(key_part<T>); };

/// The bytes of a key.
class cache_key {
public:
    template <class T>
    void add(const T& value) {
        key_part<T>::add(*this, value);
    }
    void add_bytes(const void* bytes, std::size_t size) { bytes_.append(static_cast<const char*>(bytes), size); }
    void add_size(std::size_t size) {
        bytes_ += static_cast<char>(size < 255 ? size : 255);  // most are short, and fit into one byte
        if (size >= 255) add_bytes(&size, sizeof size);
    }
    template <class Character>
    void add_text(const Character* text, std::size_t size) {
        add_size(size);
        add_bytes(text, size * sizeof(Character));
    }

    /// Says that a value is not equal to itself, such as NaN. No result is kept for such a key.
    void add_unequal() noexcept { is_equal_to_itself_ = false; }
    bool is_equal_to_itself() const noexcept { return is_equal_to_itself_; }

    const std::string& bytes() const noexcept { return bytes_; }

private:
    std::string bytes_;
    bool is_equal_to_itself_ = true;
};

// Numbers, enumerators, and addresses.
template <class T>
    requires(std::is_arithmetic_v<T> || std::is_enum_v<T> || (std::is_pointer_v<T> && !is_character_pointer<T>))
struct key_part<T> {
    static void add(cache_key& key, T value) {
        if constexpr (std::is_floating_point_v<T>)
            if (std::isnan(value)) return key.add_unequal();
        key.add_bytes(__builtin_addressof(value), sizeof value);
    }
};

// Some of its bytes may have no meaning, so it is written as text.
template <>
struct key_part<long double> {
    static void add(cache_key& key, long double value) {
        if (std::isnan(value)) return key.add_unequal();
        std::array<char, 64> text;
        key.add_text(text.data(), static_cast<std::size_t>(std::snprintf(text.data(), text.size(), "%La", value)));
    }
};

// C strings. Null differs from an empty text.
template <class T>
    requires(is_character_pointer<T> && !std::is_volatile_v<std::remove_pointer_t<T>>)
struct key_part<T> {
    static void add(cache_key& key, T text) {
        key.add(text != nullptr);
        if (!text) return;
        std::size_t size = 0;
        while (text[size] != 0) ++size;
        key.add_text(text, size);
    }
};

template <class Character, class Traits>
    requires is_character<Character>
struct key_part<std::basic_string_view<Character, Traits>> {
    static void add(cache_key& key, std::basic_string_view<Character, Traits> text) {
        key.add_text(text.data(), text.size());
    }
};
template <class Character, class Traits, class Allocator>
    requires is_character<Character>
struct key_part<std::basic_string<Character, Traits, Allocator>> {
    static void add(cache_key& key, const std::basic_string<Character, Traits, Allocator>& text) {
        key.add_text(text.data(), text.size());
    }
};

// A std::filesystem::path, whose header takes long to compile.
template <class T>
    requires requires(const T& path) { { path.native() } -> std::same_as<const typename T::string_type&>; }
struct key_part<T> {
    static void add(cache_key& key, const T& path) { key.add(path.native()); }
};

template <can_be_key Rep, class Period>
struct key_part<std::chrono::duration<Rep, Period>> {
    static void add(cache_key& key, std::chrono::duration<Rep, Period> time) { key.add(time.count()); }
};
template <class Clock, can_be_key Duration>
struct key_part<std::chrono::time_point<Clock, Duration>> {
    static void add(cache_key& key, std::chrono::time_point<Clock, Duration> time) {
        key.add(time.time_since_epoch());
    }
};

template <can_be_key T>
struct key_part<std::optional<T>> {
    static void add(cache_key& key, const std::optional<T>& value) {
        key.add(value.has_value());
        if (value) key.add(*value);
    }
};
template <>
struct key_part<std::monostate> {
    static void add(cache_key&, std::monostate) {}
};
template <can_be_key... T>
struct key_part<std::variant<T...>> {
    static void add(cache_key& key, const std::variant<T...>& value) {
        key.add((value.index)());  // in parentheses, because <strings.h> may define a macro
        if (!value.valueless_by_exception()) std::visit([&](const auto& held) { key.add(held); }, value);
    }
};

/// True if each pointer to characters among these types, in this order, is a C string.
template <class... T>
inline constexpr bool are_c_strings = []<std::size_t... Index>(std::index_sequence<Index...>) {
    return ((!is_character_pointer<T> || is_c_string<Index, T...>()) && ...);
}(std::index_sequence_for<T...>());

/// True if values of these types, in this order, can be a key.
template <class... T>
inline constexpr bool can_be_keys = (can_be_key<T> && ...) && are_c_strings<T...>;

template <class... T>
    requires can_be_keys<T...>
struct key_part<std::tuple<T...>> {
    static void add(cache_key& key, const std::tuple<T...>& values) {
        std::apply([&](const auto&... value) { (key.add(value), ...); }, values);
    }
};
template <class First, class Second>
    requires can_be_keys<std::remove_const_t<First>, Second>
struct key_part<std::pair<First, Second>> {
    static void add(cache_key& key, const std::pair<First, Second>& values) {
        key.add(values.first);
        key.add(values.second);
    }
};

// Containers of the standard library with an order of their elements, and spans. Other classes that look
// like these may have more members, which would be missing in the key.
template <class T>
    requires(detail::type_name<T>().starts_with("std::")) && requires(const T& values) {
        values.begin();
        values.end();
        values.size();
        requires can_be_key<std::remove_cv_t<typename T::value_type>>;
        requires !requires { typename T::hasher; };
        requires !requires { typename T::traits_type; };
    }
struct key_part<T> {
    static void add(cache_key& key, const T& values) {
        key.add_size(values.size());
        for (const std::remove_cv_t<typename T::value_type>& value : values) key.add(value);
    }
};

/// The default for `make_key`: the key is made of all arguments.
struct by_arguments {};

/// Makes keys of calls with the parameters A..., whose references and const are removed.
template <class MakeKey, class... A>
struct key_maker {
    using key = cache_key;
    static constexpr bool takes_them = std::is_invocable_v<const MakeKey&, const A&...>;
    static_assert(takes_them, "ext::hooks::cache: the function that makes a key must be callable with all arguments, "
                              "as constants");
    using made = typename std::conditional_t<takes_them, std::invoke_result<const MakeKey&, const A&...>,
                                             std::type_identity<int>>::type;
    static constexpr bool is_key = can_be_key<std::decay_t<made>>;
    static_assert(is_key, "ext::hooks::cache: the function that makes a key must return a number, an enumerator, a "
                          "text, a pointer, or a std::pair, std::tuple, std::optional or container of these");

    static cache_key make(const MakeKey& make_key, const A&... args) {
        cache_key key;
        if constexpr (is_key) key.add<std::decay_t<made>>(make_key(args...));
        return key;
    }
};
template <class... A>
struct key_maker<by_arguments, A...> {
    using key = cache_key;
    static_assert(are_c_strings<A...>,
                  "ext::hooks::cache: a length follows a pointer to characters, so these need not end with a null "
                  "character; give a function that makes a key of the arguments, as in cache{send, {}, [](const char* "
                  "data, std::size_t size) { return std::string_view(data, size); }}");
    static constexpr bool are_keys = (can_be_key<A> && ...);
    static_assert(are_keys, "ext::hooks::cache: an argument is not a number, an enumerator, a text, a pointer, or a "
                            "std::pair, std::tuple, std::optional or container of these; give a function that makes "
                            "a key of the arguments, as in cache{fetch, {.ttl = 10min}, [](const request& what) { "
                            "return what.path; }}");

    static cache_key make(by_arguments, const A&... args) {
        cache_key key;
        if constexpr (can_be_keys<A...>) (key.add(args), ...);
        return key;
    }
};

}}}}  // namespace ext::hooks::detail
