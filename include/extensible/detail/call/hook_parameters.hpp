#pragma once

// What does a hook take? Its call as it is, or with the names of a function's parameters, or as an ext::any_call.

#include <extensible/any_call.hpp>
#include <extensible/call.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/signature/signature.hpp>
#include <extensible/detail/types/private_access.hpp>
#include <extensible/params.hpp>
#include <extensible/phase.hpp>

#include <type_traits>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

template <class Signature, class Parameters>
struct call_view {
    static named_call<Signature, Parameters> of(call_fields* call) noexcept { return {call_from<Signature>(call)}; }
};
template <class Signature>
struct call_view<Signature, parameters<>> {
    static ext::call<Signature>& of(call_fields* call) noexcept { return call_from<Signature>(call); }
};
template <>
struct call_view<any_call, parameters<>> {
    static any_call of(call_fields* call) noexcept { return private_access::make<any_call>(*call); }
};

// Whether a hook can be called with references to these, and what it returns then.
template <class Hook, class... Argument>
struct hook_invocation {
    static constexpr bool is_callable = std::is_invocable_v<Hook&, Argument&...>;
    using type = typename std::conditional_t<is_callable, std::invoke_result<Hook&, Argument&...>, std::type_identity<void>>::type;
};

// `Proceed` is what an around hook is handed to go on, and is not used for others.
template <phase When, class Hook, class Call, class Proceed, class Handed = decltype(Call::of(nullptr))>
using hook_result = std::conditional_t<When == phase::around, hook_invocation<Hook, Handed, Proceed>, hook_invocation<Hook, Handed>>;

// A generic lambda, or an overloaded function object: it has an operator(), which is ambiguous with another one, and no address.
struct call_operator_alone {
    void operator()() const;
};
template <class Hook>
struct two_call_operators : Hook, call_operator_alone {};
template <class Hook>
constexpr bool is_generic = false;
template <class Hook>
    requires(std::is_class_v<Hook> && !std::is_final_v<Hook> && !for_any_call<Hook> && !requires { &Hook::operator(); })
constexpr bool is_generic<Hook> = !requires { &two_call_operators<Hook>::operator(); };

// Whether a generic hook takes what it is called with by reference. If it does and still cannot be called, there is an error in its
// body, which the compiler reports: nothing may then add that its parameters are wrong. So this is to be asked first; afterwards
// Clang leaves the faulty hook out. The body is not looked at: for `auto&`, overload resolution is ambiguous between the hook and one
// of the functions below.
struct any_parameters {
    void operator()(auto&) const;
    void operator()(auto&&) const;
    void operator()(auto&, auto&) const;
    void operator()(auto&&, auto&) const;
    void operator()(auto&, auto&&) const;
    void operator()(auto&&, auto&&) const;
};
template <class Hook>
struct overloaded_hook : Hook, any_parameters {
    using Hook::operator();
    using any_parameters::operator();
};
template <class Hook, class... Argument>
constexpr bool is_not_ambiguous = std::is_invocable_v<overloaded_hook<Hook>&, Argument...>;
struct rvalue {
    rvalue(const rvalue&) = delete;
};
using lvalue = rvalue&;

// A parameter `auto&` is ambiguous for an lvalue and not for an rvalue, and `auto&&` the other way round. `auto` is ambiguous for both,
// and any other parameter for neither.
template <class>
constexpr bool takes_reference = false;
template <class Hook, class Call>
    requires is_generic<Hook>
constexpr bool takes_reference<hook_invocation<Hook, Call>> = is_not_ambiguous<Hook, Call&> != is_not_ambiguous<Hook, rvalue>;
template <class Hook, class Call, class Proceed>
    requires is_generic<Hook>
constexpr bool takes_reference<hook_invocation<Hook, Call, Proceed>> =
    is_not_ambiguous<Hook, Call&, Proceed&> != is_not_ambiguous<Hook, rvalue, Proceed&> &&
    (is_not_ambiguous<Hook, lvalue, lvalue> != is_not_ambiguous<Hook, lvalue, rvalue> ||
     is_not_ambiguous<Hook, rvalue, lvalue> != is_not_ambiguous<Hook, rvalue, rvalue>);

// A hook [](auto&, auto proceed) could be called neither with the function's call nor with an ext::any_call. Clang would look at its body
// with both, and report what it finds there.
template <class Hook>
constexpr bool takes_proceed_by_value = false;
template <class Hook>
    requires is_generic<Hook>
constexpr bool takes_proceed_by_value<Hook> = !is_not_ambiguous<Hook, lvalue, lvalue> && !is_not_ambiguous<Hook, lvalue, rvalue>;

}}}  // namespace ext::detail
