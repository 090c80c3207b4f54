#pragma once

// What does a hook take: the ext::call, the ext::named_call or an ext::any_call? And if it cannot be
// called, is the error in its parameters or in its body?
//
// What must stay true: if the body of a generic hook does not compile, the compiler reports only the
// error in the body. So no code here instantiates the body, and no static_assert may fail because of
// it (tests/compile_fail/*body_fails*.cpp).
//
// Not here: the messages about wrong parameters, and what is registered: register_hook.hpp.

#include <extensible/any_call.hpp>
#include <extensible/call.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/signature/signature.hpp>
#include <extensible/detail/types/private_access.hpp>
#include <extensible/params.hpp>
#include <extensible/phase.hpp>

#include <type_traits>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// How a hook sees the call. `Signature` is that of the function, or any_call. `of()` returns what the
/// hook receives as its first parameter. The hook's type must match the call: it is not checked here.
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

// Whether a hook can be called with references to these arguments, and what it returns; void if it
// cannot.
template <class Hook, class... Argument>
struct hook_invocation {
    static constexpr bool is_callable = std::is_invocable_v<Hook&, Argument&...>;
    using result = std::conditional_t<is_callable, std::invoke_result<Hook&, Argument&...>, std::type_identity<void>>;
    using type = typename result::type;
};

// The hook_invocation of a hook in this phase. `Call` is a call_view. `Proceed` is the type of the
// second parameter of an around hook; it is not used in other phases.
template <phase When, class Hook, class Call, class Proceed, class View = decltype(Call::of(nullptr))>
using hook_result =
    std::conditional_t<When == phase::around, hook_invocation<Hook, View, Proceed>, hook_invocation<Hook, View>>;

// is_generic is true for a generic lambda and for an overloaded function object: the address of their
// operator() cannot be taken. The same is true of a class without an operator(). To exclude that,
// two_call_operators inherits a second operator(): the name is ambiguous only if Hook has one, too.
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

// takes_reference is true if a generic hook takes its arguments by reference. If such a hook cannot be
// called all the same, the error is in its body. Evaluate takes_reference before is_callable: Clang
// ignores the hook in overload resolution once it has found an error in the body.
//
// The body is not instantiated, because a call is only tried together with the functions below: if the
// hook has a parameter `auto&`, overload resolution is ambiguous between the hook and one of them.
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

// A parameter `auto&` is ambiguous for an lvalue and not for an rvalue. A parameter `auto&&` is
// ambiguous for an rvalue and not for an lvalue. `auto` is ambiguous for both, and any other parameter
// for neither. So the parameter is a reference if the two results differ.
template <class>
constexpr bool takes_reference = false;
template <class Hook, class Call>
    requires is_generic<Hook>
constexpr bool takes_reference<hook_invocation<Hook, Call>> =
    is_not_ambiguous<Hook, Call&> != is_not_ambiguous<Hook, rvalue>;
template <class Hook, class Call, class Proceed>
    requires is_generic<Hook>
constexpr bool takes_reference<hook_invocation<Hook, Call, Proceed>> =
    is_not_ambiguous<Hook, Call&, Proceed&> != is_not_ambiguous<Hook, rvalue, Proceed&> &&
    (is_not_ambiguous<Hook, lvalue, lvalue> != is_not_ambiguous<Hook, lvalue, rvalue> ||
     is_not_ambiguous<Hook, rvalue, lvalue> != is_not_ambiguous<Hook, rvalue, rvalue>);

// True for an around hook such as [](auto& call, auto proceed), which is wrong for every type of call,
// because ext::proceed cannot be copied. Without this test Clang would instantiate its body, once for
// each type of call, and report the errors that it finds there.
template <class Hook>
constexpr bool takes_proceed_by_value = false;
template <class Hook>
    requires is_generic<Hook>
constexpr bool takes_proceed_by_value<Hook> =
    !is_not_ambiguous<Hook, lvalue, lvalue> && !is_not_ambiguous<Hook, lvalue, rvalue>;

}}}  // namespace ext::detail
