#pragma once

// ext::hooks::failure_predicate: the type of the option `.failed` of the ready-made hooks, which
// decides whether a result means a failure.
//
//     fetch.around(ext::hooks::retry({.failed = [](const reply& received) { return received.code >= 500; }}));

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <extensible/any_call.hpp>
#include <extensible/hooks/detail/core.hpp>

#include <concepts>
#include <functional>
#include <type_traits>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace hooks {

namespace detail {

// The type T of the results that a predicate tests, which has one signature: bool(const T&) or
// bool(T). For everything else it is void.
template <class Signature>
struct tested_by {
    using type = void;
};
template <class R, class T>
    requires(std::is_convertible_v<R, bool> && std::is_convertible_v<const std::remove_cvref_t<T>&, T> &&
             !std::same_as<std::remove_cvref_t<T>, any_call>)
struct tested_by<R(T)> {
    using type = std::remove_cvref_t<T>;
};
template <class Predicate>
constexpr auto tested_result() {
    if constexpr (std::is_function_v<std::remove_pointer_t<Predicate>> ||
                  std::is_member_function_pointer_v<Predicate> || requires { &Predicate::operator(); })
        return std::type_identity<typename tested_by<detail::signature_of<Predicate>>::type>();
    else
        return std::type_identity<void>();
}

}  // namespace detail

/// Decides whether a call has failed: by its exception, by a predicate on its result, or by
/// ext::failed. It is the type of the option `.failed` of the ready-made hooks.
class failure_predicate {
public:
    /// Without a predicate: a call has failed if it threw, or if ext::failed is true for its
    /// result.
    failure_predicate() = default;

    /// Makes `predicate` decide for results of type T. It is a callable with one parameter, a
    /// `const T&` or a T, and returns true if the result means a failure. It is copied or moved.
    /// An empty std::function is no predicate. Several threads may call it at the same time.
    ///
    /// T must be exactly the type of the function's result, without `const` and references; for an
    /// awaited function, of what awaiting it yields. For results of other types, ext::failed
    /// decides.
    template <class Predicate>
        requires(!std::same_as<Predicate, failure_predicate>)
    failure_predicate(Predicate predicate) {
        using result = typename decltype(detail::tested_result<Predicate>())::type;
        static_assert(!std::is_void_v<result>,
                      "ext::hooks: the predicate .failed has one parameter, the function's result, whose type must be "
                      "written, as in [](const reply& received) { return received.code >= 500; }");
        if constexpr (!std::is_void_v<result>) {
            std::function<bool(const result&)> test(std::move(predicate));
            if (!test) return;
            failed_ = [test = std::move(test)](const any_call& call) {
                const result* const returned = call.result<result>();
                return returned ? test(*returned) : call.failed();
            };
        }
    }

    /// Returns true if the call has failed. Throws what the predicate throws.
    bool operator()(const any_call& call) const {
        if (call.exception() || !failed_) return call.failed();
        return failed_(call);
    }

    /// The same for a hook that receives the call of one signature.
    template <class Signature>
    bool operator()(ext::call<Signature>& call) const {
        return (*this)(detail::private_access::make<any_call>(call));
    }

private:
    std::function<bool(const any_call&)> failed_;  // empty without a predicate
};

}}}  // namespace ext::hooks
