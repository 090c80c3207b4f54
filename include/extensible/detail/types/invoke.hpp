#pragma once

// How is any callable called? Is it empty, and would its result, as a reference, refer to a temporary?
//
// Checked by tests/wrapper.cpp, tests/result.cpp and tests/compile_fail.

#include <extensible/detail/platform/compiler.hpp>

#include <type_traits>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// Calls a function, a function object, or a member function on the object or pointer that is the
/// first argument. It is std::invoke without data members and std::reference_wrapper, because
/// <functional> would cost every user compile time.
template <class Function, class... A>
constexpr decltype(auto) invoke(Function&& function, A&&... args) {
    return std::forward<Function>(function)(std::forward<A>(args)...);
}
template <class Function, class C, class Object, class... A>
constexpr decltype(auto) invoke(Function C::*member, Object&& object, A&&... args) {
    if constexpr (std::is_base_of_v<C, std::remove_cvref_t<Object>>)
        return (std::forward<Object>(object).*member)(std::forward<A>(args)...);
    else
        return ((*std::forward<Object>(object)).*member)(std::forward<A>(args)...);
}

/// Whether `function` is a null pointer or an empty std::function, and so cannot be called.
template <class Function>
bool is_null(const Function& function) noexcept {
    if constexpr (std::is_pointer_v<Function> || std::is_member_pointer_v<Function>) return function == nullptr;
    else if constexpr (std::is_constructible_v<bool, const Function&> && !std::is_convertible_v<const Function&, bool>)
        return !function;  // only an explicit operator bool: a lambda converts implicitly to a pointer, which is true
    else return false;
}

/// True if initializing a `To` from a `From` binds no reference to a temporary: `To` is not a
/// reference, or it refers to the `From` object or to what a std::reference_wrapper refers to. Only
/// used if a From converts to a To. It stands in for the negation of C++23's
/// reference_converts_from_temporary.
template <class From, class To>
concept binds_directly =
    !std::is_reference_v<To> ||
    (std::is_reference_v<From> && std::is_convertible_v<std::remove_reference_t<From>*, std::remove_reference_t<To>*> &&
     (std::is_lvalue_reference_v<From> || std::is_rvalue_reference_v<To>)) ||
    // Such a conversion operator is that of a std::reference_wrapper.
    requires(From from) { static_cast<From&&>(from).operator std::remove_reference_t<To>&(); };

}}}  // namespace ext::detail
