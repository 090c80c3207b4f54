#pragma once

// How are the arguments of a call passed on to the function?

#include <extensible/arg.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/signature/signature.hpp>

#include <concepts>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

// Whether a T can be copied. A container is if its elements are, which std::is_copy_constructible does not check.
template <class T>
inline constexpr bool is_copyable = std::is_copy_constructible_v<T>;
template <class T>
    requires requires(const T& container) {
        container.begin();
        container.end();
        requires !std::same_as<typename T::value_type, T>;
    }
inline constexpr bool is_copyable<T> = std::is_copy_constructible_v<T> && is_copyable<typename T::value_type>;

/// How an argument is handed to the call with hooks: scalars by value, because a reference would make the call without
/// hooks write them to memory.
template <class T>
using forwarded = std::conditional_t<std::is_scalar_v<T>, T, T&&>;

// The argument as the function's parameter T takes it.
template <bool Kept, class T>
decltype(auto) pass_on(arg<T>& argument) noexcept {
    if constexpr (std::is_lvalue_reference_v<T>) return static_cast<T>(*argument);
    else if constexpr (Kept && !std::is_reference_v<T> && is_copyable<T>) return std::as_const(*argument);
    else return std::move(*argument);
}

/// Calls `function` with the arguments of the call, and its kwargs where the signature has them. `Kept`: the arguments are
/// looked at afterwards, so those taken by value are copied where they can be, and moved otherwise.
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
