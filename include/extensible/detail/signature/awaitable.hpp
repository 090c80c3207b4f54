#pragma once

// Does a function return an awaitable, and what is the result of awaiting it? Traits for the coroutine
// types of any library. Checked by tests/awaitable.cpp and tests/awaitable_references.cpp.
//
// Not here: which coroutines can await each other: sub_task.hpp.

#include <extensible/detail/platform/compiler.hpp>

#include <concepts>
#include <type_traits>
#include <utility>
#if EXTENSIBLE_COROUTINES
#include <coroutine>
#endif

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

#if EXTENSIBLE_COROUTINES

// Returns the awaiter that `co_await` uses: the result of the operand's operator co_await, or else the
// operand itself.
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

/// An awaitable type with which a function can be a coroutine. Calls of a function that returns it are
/// awaited calls: their result is that of awaiting it.
template <class T>
concept coroutine_type = awaitable<T> && requires { typename std::coroutine_traits<T>::promise_type; };

template <class R>
struct outcome {
    using type = R;
};
template <coroutine_type R>
struct outcome<R> {
    // An rvalue reference, as from cppcoro's task, refers into the task. So the call stores a value.
    using awaited = decltype(detail::awaiter_of(std::declval<R>()).await_resume());
    using type = typename std::conditional_t<std::is_rvalue_reference_v<awaited>, std::remove_cvref<awaited>,
                                             std::type_identity<awaited>>::type;
};

/// The type of the result that hooks see in a call of a function that returns R: R itself, or the
/// result of awaiting it.
template <class R>
using outcome_of = typename outcome<R>::type;

#else  // no type is awaitable

template <class T>
concept awaitable = false;

template <class T>
concept coroutine_type = false;

template <class R>
using outcome_of = R;

#endif

}}}  // namespace ext::detail
