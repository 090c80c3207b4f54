#pragma once

// The key of a cached result, which is made from the arguments of the call.

#include <extensible/arg.hpp>
#include <extensible/detail/platform/compiler.hpp>

#include <concepts>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace hooks { namespace detail {

// The type in which an argument, or the result of `make_key`, is stored: its own type, or a string
// for a string view or a C string.
template <class T>
struct kept_in_key {
    using type = T;
};
template <class Character, class Traits>
struct kept_in_key<std::basic_string_view<Character, Traits>> {
    using type = std::basic_string<Character, Traits>;
};
struct c_string {
    std::string text;
    bool is_null;

    c_string(const char* given) : text(given ? given : ""), is_null(!given) {}
    friend bool operator<(const c_string& a, const c_string& b) {
        return a.is_null != b.is_null ? a.is_null : a.text < b.text;
    }
};
template <>
struct kept_in_key<const char*> {
    using type = c_string;
};
template <>
struct kept_in_key<char*> {
    using type = c_string;
};

/// The default for `make_key`: a tuple of all arguments.
struct by_arguments {
    template <class... A>
    std::tuple<typename kept_in_key<A>::type...> operator()(const A&... args) const {
        return std::tuple<typename kept_in_key<A>::type...>(typename kept_in_key<A>::type(args)...);
    }
};

template <class T>
inline constexpr bool can_be_key =
    std::copy_constructible<T> && requires(const T& a) { { a < a } -> std::convertible_to<bool>; };
template <class... T>
inline constexpr bool can_be_key<std::tuple<T...>> = (can_be_key<T> && ...);

template <class MakeKey, class... A>
struct key_type {
    static constexpr bool takes_them = std::is_invocable_v<const MakeKey&, const A&...>;
    static_assert(takes_them, "ext::hooks::cache: the function that makes a key must be callable with all arguments, "
                              "as constants");
    using made =
        std::conditional_t<takes_them, std::invoke_result<const MakeKey&, const A&...>, std::type_identity<int>>;
    using type = typename kept_in_key<std::decay_t<typename made::type>>::type;
    static constexpr bool is_ordered = can_be_key<type>;
    static_assert(is_ordered, "ext::hooks::cache: the key has no operator<, or cannot be copied, so no result can be "
                              "found by it");
};
template <class... A>
struct key_type<by_arguments, A...> {
    using type = std::tuple<typename kept_in_key<A>::type...>;
    static constexpr bool is_ordered = (can_be_key<typename kept_in_key<A>::type> && ... && true);
    static_assert(is_ordered, "ext::hooks::cache: an argument has no operator<, or cannot be copied, so no result can "
                              "be found by it; give a function that makes a key of the arguments, as in "
                              "cache{fetch, {.ttl = 10min}, [](const request& what) { return what.path; }}");
};

template <class MakeKey, class... A>
using key_of = typename key_type<MakeKey, A...>::type;

/// A strict weak order of keys. NaN comes after all numbers: with a < b it would be equivalent to
/// each of them.
struct key_order {
    template <class T>
    bool operator()(const T& a, const T& b) const {
        if constexpr (std::is_floating_point_v<T>) return a < b || (a == a && b != b);
        else return std::less<T>()(a, b);
    }
    template <class... T>
    bool operator()(const std::tuple<T...>& a, const std::tuple<T...>& b) const {
        return [&]<std::size_t... Index>(std::index_sequence<Index...>) {
            bool less = false;
            static_cast<void>((differ(std::get<Index>(a), std::get<Index>(b), less) || ...));
            return less;
        }(std::index_sequence_for<T...>());
    }

private:
    template <class T>
    bool differ(const T& a, const T& b, bool& less) const {
        return (less = (*this)(a, b)) || (*this)(b, a);
    }
};

}}}}  // namespace ext::hooks::detail
