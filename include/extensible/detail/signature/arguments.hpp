#pragma once

// How are the arguments of a call passed on to the function?
//
// What must stay true: an argument that is read again afterwards, by an end hook or in another
// attempt, is copied into the function if it can be copied (tests/signature.cpp). Otherwise it is
// moved, and no more often than necessary (tests/wrapper.cpp).
//
// Not here: which argument is for which parameter: binding.hpp.

#include <extensible/arg.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/signature/signature.hpp>

#include <concepts>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

// True if a T can be copied. A container can be if its elements can, which
// std::is_copy_constructible does not check.
template <class T>
inline constexpr bool is_copyable = std::is_copy_constructible_v<T>;
template <class T>
    requires requires(const T& container) {
        container.begin();
        container.end();
        requires !std::same_as<typename T::value_type, T>;
    }
inline constexpr bool is_copyable<T> = std::is_copy_constructible_v<T> && is_copyable<typename T::value_type>;

/// The type with which extensible::operator() passes an argument to call_with_hooks(). Scalars are
/// passed by value, because for a reference even calls without hooks would write them to memory.
template <class T>
using forwarded = std::conditional_t<std::is_scalar_v<T>, T, T&&>;

// Returns true if a function with the parameter T does not consume the argument. Otherwise the
// function may consume the argument: the parameter is a T&&, or takes by value what cannot be
// copied.
template <class T>
constexpr bool leaves_argument() noexcept {
    if constexpr (std::is_reference_v<T>) return std::is_lvalue_reference_v<T>;
    else return is_copyable<T>;
}

// Returns the argument as the function's parameter T takes it.
template <bool Kept, class T>
decltype(auto) pass_on(arg<T>& argument) noexcept {
    if constexpr (std::is_lvalue_reference_v<T>) return static_cast<T>(*argument);
    else if constexpr (Kept && detail::leaves_argument<T>()) return std::as_const(*argument);
    else return std::move(*argument);
}

/// Calls `function` with the arguments of the call, and with its kwargs if the signature has them.
/// If `Kept`, the arguments are read again afterwards. Then arguments that are taken by value are
/// copied if they can be, and moved otherwise.
template <bool Kept, class Signature, class Function>
decltype(auto) pass_on(call<Signature>& call, Function&& function) {
    return [&]<std::size_t... Index>(std::index_sequence<Index...>) -> decltype(auto) {
        if constexpr (shape<Signature>::takes_kwargs)
            return function(pass_on<Kept>(std::get<Index>(call.args))..., call.kwargs);
        else
            return function(pass_on<Kept>(std::get<Index>(call.args))...);
    }(shape<Signature>::parameters);
}

}}}  // namespace ext::detail
