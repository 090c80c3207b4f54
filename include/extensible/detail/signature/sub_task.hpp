#pragma once

// Which coroutine type do the sub-tasks of an awaited call have? A sub-task is a part of the call
// that is itself a coroutine, such as the run of an awaited hook. Checked by tests/awaitable.cpp and
// tests/asio/awaitable.cpp.
//
// Not here: whether a function is awaited: awaitable.hpp.

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

/// A coroutine without a result. It begins when it is awaited. Coroutines of almost any type can await
/// it, once.
class sub_task {
public:
    struct promise_type {
        std::coroutine_handle<> next;  // the coroutine that awaits this one; set before this one begins
        std::exception_ptr thrown;     // what this one threw, or null; await_resume() rethrows it

        sub_task get_return_object() noexcept {
            return sub_task(std::coroutine_handle<promise_type>::from_promise(*this));
        }
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

    std::coroutine_handle<promise_type> handle_;  // owned; null if this was moved from
};

// True if the promise has an await_transform(), which decides what its coroutine may await. This only
// looks up the name, because the member may be private or a template.
template <class Promise>
struct has_await_transform {
    struct other {
        int await_transform;
    };
    struct both : Promise, other {};
    static constexpr bool value = !requires { &both::await_transform; };  // ambiguous if Promise has one, too
};
// A final class cannot be a base class, so this assumes that it has one.
template <class Promise>
    requires std::is_final_v<Promise>
struct has_await_transform<Promise> : std::true_type {};

/// True if a coroutine of type R may await a T.
template <class R, class T>
concept can_await = awaitable<T> && (!has_await_transform<typename std::coroutine_traits<R>::promise_type>::value ||
                                     requires(typename std::coroutine_traits<R>::promise_type& promise, T&& awaited) {
                                         { promise.await_transform(std::move(awaited)) } -> awaitable;
                                     });

// True if coroutines of type R can await a sub_task, and a sub_task can await them.
template <class R>
concept takes_sub_tasks = can_await<R, sub_task> && requires(R&& r) {
    detail::awaiter_of(std::move(r)).await_suspend(std::coroutine_handle<sub_task::promise_type>());
};

// The coroutine type of the same family without a value: Task<T, More...> becomes Task<void, More...>.
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
    // Some coroutines, such as Boost.Asio's, can await only those of their own family. Their sub-tasks
    // belong to that family.
    using type = typename std::conditional_t<takes_sub_tasks<R>, std::type_identity<sub_task>, without_value<R>>::type;
};

#else  // no type is awaitable

template <class R, class T>
concept can_await = false;

class sub_task;

#endif

/// The coroutine type of the sub-tasks in calls of a function that returns R. It is void if R is not
/// awaited.
template <class R>
using sub_task_of = typename sub_task_for<R>::type;

}}}  // namespace ext::detail
