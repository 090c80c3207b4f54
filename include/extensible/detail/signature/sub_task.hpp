#pragma once

// What type of coroutine are the parts of a call that are awaited?

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/signature/awaitable.hpp>

#include <exception>
#include <type_traits>
#include <utility>
#if EXTENSIBLE_COROUTINES
#include <coroutine>
#endif

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

template <class R>
struct sub_task_for {
    using type = void;
};

#if EXTENSIBLE_COROUTINES

/// A coroutine that gives nothing, begins when it is awaited, and can be awaited once by a coroutine of almost any type.
class sub_task {
public:
    struct promise_type {
        std::coroutine_handle<> next;
        std::exception_ptr thrown;

        sub_task get_return_object() noexcept { return sub_task(std::coroutine_handle<promise_type>::from_promise(*this)); }
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

    sub_task(sub_task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    sub_task& operator=(sub_task&&) = delete;
    ~sub_task() {
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
    explicit sub_task(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle) {}

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

// Whether coroutines of type R await a sub_task, and can be awaited in one.
template <class R>
concept takes_sub_tasks = can_await<R, sub_task> && requires(R&& r) {
    detail::awaiter_of(std::move(r)).await_suspend(std::coroutine_handle<sub_task::promise_type>());
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
struct sub_task_for<R> {
    // A family that awaits only its own, as Boost.Asio's does, has sub-tasks of that family.
    using type = typename std::conditional_t<takes_sub_tasks<R>, std::type_identity<sub_task>, without_value<R>>::type;
};

#else  // nothing is awaited

template <class R, class T>
concept can_await = false;

class sub_task;

#endif

/// The type of coroutine that the parts of a call are, for functions that return R; void where R is not awaited.
template <class R>
using sub_task_of = typename sub_task_for<R>::type;

}}}  // namespace ext::detail
