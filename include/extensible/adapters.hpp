#pragma once

// Adapters that make hooks from plain functions: ext::instead, ext::filter_result and ext::tap. The
// function receives the arguments or the result, and does not have to know the library.

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <extensible/call.hpp>
#include <extensible/detail/call/failures.hpp>
#include <extensible/detail/signature/arguments.hpp>
#include <extensible/detail/signature/awaitable.hpp>
#include <extensible/detail/signature/erased_function.hpp>
#include <extensible/detail/signature/signature.hpp>
#include <extensible/detail/types/invoke.hpp>
#include <extensible/result.hpp>

#include <type_traits>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI {

namespace detail {

// A hook receives an ext::call, or a named_call if the parameters have names. Both overloads return
// the ext::call.
template <class Signature>
ext::call<Signature>& plain_call(ext::call<Signature>& call) noexcept {
    return call;
}
template <class Signature, class Parameters>
ext::call<Signature>& plain_call(named_call<Signature, Parameters>& call) noexcept {
    return call.call;
}

template <class Function, class R, class... A>
void answer_with(Function& function, ext::call<R(A...)>& call) {
    pass_on<true>(call, [&]<class... Passed>(Passed&&... passed) {
        constexpr bool fits = gives<outcome_of<R>, Function&, Passed...>;
        static_assert(fits, "ext::instead: the function must take the arguments of the wrapped function, and return "
                            "what that returns");
        if constexpr (fits) detail::set_from(call.result, function, std::forward<Passed>(passed)...);
    });
}

// The result remains as it is until the function has returned, so that nothing is lost if it
// throws. Only a result that cannot be copied has to be moved into the function. If the function
// then throws, the call fails with that exception, even if the hook is isolated.
template <class Function, class R, class... A>
void filter_with(Function& function, ext::call<R(A...)>& call) {
    using result = outcome_of<R>;
    static_assert(!std::is_void_v<result>, "ext::filter_result: the wrapped function returns nothing");
    if constexpr (!std::is_void_v<result>) {
        constexpr bool fits = gives<result, Function&, result>;
        static_assert(fits, "ext::filter_result: the function must take the result of the wrapped function, and "
                            "return one");
        if constexpr (fits) {
            if (!call.result || call.exception) return;
            if constexpr (std::is_reference_v<result>) {
                detail::set_from(call.result, function, detail::move_out(call.result));
            } else if constexpr (is_copyable<result>) {
                using argument =
                    std::conditional_t<std::is_invocable_v<Function&, const result&>, const result&, result>;
                result after = detail::invoke(function, static_cast<argument>(std::as_const(*call.result)));
                call.result.emplace(std::move(after));
            } else {
                EXTENSIBLE_TRY {
                    detail::set_from(call.result, function, detail::move_out(call.result));
                } EXTENSIBLE_CATCH(...) {
                    detail::keep_exception(call);
                }
            }
        }
    }
}

template <class Function, class Signature>
void show_to(Function& function, ext::call<Signature>& call) {
    pass_on<true>(call, [&]<class... Passed>(Passed&&... passed) {
        constexpr bool fits = std::is_invocable_v<Function&, const std::remove_reference_t<Passed>&...>;
        static_assert(fits, "ext::tap: the function must take the arguments of the wrapped function, by value or "
                            "const reference");
        if constexpr (fits) static_cast<void>(detail::invoke(function, std::as_const(passed)...));
    });
}

}  // namespace detail

/// Returns a start hook that calls `function` with the arguments of the call, and sets what it
/// returns as the result. The wrapped function is then not called.
///
///     search.on_start(ext::instead(search_v2));
///
/// `function` is copied or moved into the hook. Several threads may call it at the same time.
template <class Function>
auto instead(Function function) {
    return [function = std::move(function)](auto& call) mutable {
        detail::answer_with(function, detail::plain_call(call));
    };
}

/// Returns an end hook that replaces the result by `function(result)`. It does nothing if the call
/// has an exception or no result.
///
///     search.on_end(ext::filter_result([](std::string found) { return found + "!"; }));
///
/// If `function` throws, the call fails with that exception. If the hook is isolated, the call
/// keeps its result instead, unless the result cannot be copied: then it was moved into `function`,
/// and the call fails all the same.
///
/// `function` is copied or moved into the hook. Several threads may call it at the same time.
template <class Function>
auto filter_result(Function function) {
    return [function = std::move(function)](auto& call) mutable {
        detail::filter_with(function, detail::plain_call(call));
    };
}

/// Returns a start or end hook that calls `function` with the arguments, which it cannot change.
/// What `function` returns is ignored.
///
///     search.on_start(ext::tap([](std::string_view query) { log(query); }));
///
/// `function` is copied or moved into the hook. Several threads may call it at the same time.
template <class Function>
auto tap(Function function) {
    return [function = std::move(function)](auto& call) mutable {
        detail::show_to(function, detail::plain_call(call));
    };
}

}}  // namespace ext
