#pragma once

// Does a function return something that is awaited, and what does that give? Traits of any library's coroutine types.

#include <extensible/detail/platform/compiler.hpp>

#include <concepts>
#include <type_traits>
#include <utility>
#if EXTENSIBLE_COROUTINES
#include <coroutine>
#endif

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

#if EXTENSIBLE_COROUTINES

// What `co_await` uses of an operand: its operator co_await, or itself.
template <class T>
decltype(auto) awaiter_of(T&& awaited) {
    if constexpr (requires { std::forward<T>(awaited).operator co_await(); })
        return std::forward<T>(awaited).operator co_await();
    else if constexpr (requires { operator co_await(std::forward<T>(awaited)); })
        return operator co_await(std::forward<T>(awaited));
    else
        return std::forward<T>(awaited);
}

template <class T>
concept awaitable = std::move_constructible<T> && requires(T&& awaited) {
    { detail::awaiter_of(std::move(awaited)).await_ready() } -> std::convertible_to<bool>;
    detail::awaiter_of(std::move(awaited)).await_resume();
};

/// A function that returns such a type is a coroutine, or calls one: its result is what awaiting it gives.
template <class T>
concept coroutine_type = awaitable<T> && requires { typename std::coroutine_traits<T>::promise_type; };

template <class R>
struct outcome {
    using type = R;
};
template <coroutine_type R>
struct outcome<R> {
    // An rvalue reference, as cppcoro's task gives, is one into the task, so the call has a value of its own.
    using awaited = decltype(detail::awaiter_of(std::declval<R>()).await_resume());
    using type = typename std::conditional_t<std::is_rvalue_reference_v<awaited>, std::remove_cvref<awaited>, std::type_identity<awaited>>::type;
};

/// What a call of a function that returns R gives: R, or what awaiting it gives.
template <class R>
using outcome_of = typename outcome<R>::type;

#else  // nothing is awaited

template <class T>
concept awaitable = false;

template <class T>
concept coroutine_type = false;

template <class R>
using outcome_of = R;

#endif

}}}  // namespace ext::detail
