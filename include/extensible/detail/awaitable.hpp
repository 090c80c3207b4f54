#pragma once

// Does a function return something that is awaited, and what does that give? Traits of any library's coroutine types.

#include <extensible/detail/config.hpp>

#include <concepts>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>
#if EXTENSIBLE_COROUTINES
#include <coroutine>
#endif

namespace ext::inline EXTENSIBLE_ABI::detail {

template <class R>
struct stage_for {
    using type = void;
};

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

/// What a function returned that is awaited in a call. If awaiting it gives a reference, which may be one into the task, as with
/// cppcoro's shared_task, then it stays until the call has ended.
template <class R>
class function_task {
public:
    /// Returns what `begin()` does, to be awaited.
    template <class Begin>
    decltype(auto) begin(Begin begin) {
        if constexpr (std::is_lvalue_reference_v<outcome_of<R>>) return std::move(task_.emplace(begin()));
        else return begin();
    }

private:
    struct none {};
    EXTENSIBLE_NO_UNIQUE_ADDRESS std::conditional_t<std::is_lvalue_reference_v<outcome_of<R>>, std::optional<R>, none> task_;
};

// ---- Stages: parts of a call that are awaited ---------------------------------------------------------------------------

/// A coroutine that gives nothing, begins when it is awaited, and can be awaited once by a coroutine of almost any type.
class stage {
public:
    struct promise_type {
        std::coroutine_handle<> next;
        std::exception_ptr thrown;

        stage get_return_object() noexcept { return stage(std::coroutine_handle<promise_type>::from_promise(*this)); }
        std::suspend_always initial_suspend() const noexcept { return {}; }
        struct goes_on {
            bool await_ready() const noexcept { return false; }
            std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> ended) const noexcept {
                return ended.promise().next;
            }
            void await_resume() const noexcept {}
        };
        goes_on final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        void unhandled_exception() noexcept { thrown = std::current_exception(); }
    };

    stage(stage&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    stage& operator=(stage&&) = delete;
    ~stage() {
        if (handle_) handle_.destroy();
    }

    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) const noexcept {
        handle_.promise().next = awaiting;
        return handle_;
    }
    void await_resume() const {
        if (handle_.promise().thrown) std::rethrow_exception(std::move(handle_.promise().thrown));
    }

private:
    explicit stage(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle) {}

    std::coroutine_handle<promise_type> handle_;
};

// Whether the promise has an await_transform, and so decides what its coroutine may await.
template <class Promise>
struct has_await_transform {
    struct other {
        int await_transform;
    };
    struct both : Promise, other {};
    static constexpr bool value = !requires { &both::await_transform; };  // ambiguous where both have one
};
template <class Promise>
    requires std::is_final_v<Promise>
struct has_await_transform<Promise> : std::true_type {};

/// Whether a coroutine of type R may await a T.
template <class R, class T>
concept can_await = awaitable<T> && (!has_await_transform<typename std::coroutine_traits<R>::promise_type>::value ||
                                     requires(typename std::coroutine_traits<R>::promise_type& promise, T&& awaited) {
                                         { promise.await_transform(std::move(awaited)) } -> awaitable;
                                     });

// Whether coroutines of type R await a stage, and can be awaited in one.
template <class R>
concept takes_stages = can_await<R, stage> && requires(R&& r) {
    detail::awaiter_of(std::move(r)).await_suspend(std::coroutine_handle<stage::promise_type>());
};

// The same family of coroutines, for no value: Task<T, More...> becomes Task<void, More...>.
template <class R>
struct without_value {
    using type = R;
};
template <template <class...> class Task, class T, class... More>
struct without_value<Task<T, More...>> {
    using type = Task<void, More...>;
};

template <coroutine_type R>
struct stage_for<R> {
    // A family that awaits only its own, as Boost.Asio's does, has stages of that family.
    using type = typename std::conditional_t<takes_stages<R>, std::type_identity<stage>, without_value<R>>::type;
};

#else  // nothing is awaited

template <class T>
concept awaitable = false;

template <class T>
concept coroutine_type = false;

template <class R, class T>
concept can_await = false;

template <class R>
using outcome_of = R;

template <class R>
class function_task;

class stage;

#endif

/// The type of coroutine that the parts of a call are, for functions that return R; void where R is not awaited.
template <class R>
using stage_of = typename stage_for<R>::type;

}  // namespace ext::detail
