#pragma once

// Two task types like those of applications, and a gate with which tests resume them.

#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

namespace tasks {

// What a coroutine has returned or thrown, until take() returns or throws it.
template <class T>
struct outcome {
    std::optional<T> value;
    std::exception_ptr error;
    template <class U>
    void return_value(U&& v) {
        value.emplace(std::forward<U>(v));
    }
    T take() {
        if (error) std::rethrow_exception(error);
        return std::move(*value);
    }
};
template <class T>
struct outcome<T&> {
    T* value = nullptr;
    std::exception_ptr error;
    void return_value(T& v) { value = &v; }
    T& take() {
        if (error) std::rethrow_exception(error);
        return *value;
    }
};
template <>
struct outcome<void> {
    std::exception_ptr error;
    void return_void() {}
    void take() {
        if (error) std::rethrow_exception(error);
    }
};

/// Begins at once if `Lazy` is false, otherwise when it is awaited or run. Move-only.
template <class T, bool Lazy>
class task {
public:
    struct promise_type : outcome<T> {
        std::coroutine_handle<> next;
        task get_return_object() { return task(std::coroutine_handle<promise_type>::from_promise(*this)); }
        auto initial_suspend() noexcept { return std::conditional_t<Lazy, std::suspend_always, std::suspend_never>(); }
        struct resume_next {
            bool await_ready() noexcept { return false; }
            std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> ended) noexcept {
                return ended.promise().next ? ended.promise().next : std::noop_coroutine();
            }
            void await_resume() noexcept {}
        };
        resume_next final_suspend() noexcept { return {}; }
        void unhandled_exception() { this->error = std::current_exception(); }
    };

    task(task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    ~task() {
        if (handle_) handle_.destroy();
    }

    struct awaiter {
        std::coroutine_handle<promise_type> handle;
        bool await_ready() const noexcept { return handle.done(); }
        std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) const noexcept {
            handle.promise().next = awaiting;
            if constexpr (Lazy) return handle;
            else return std::noop_coroutine();
        }
        T await_resume() const { return handle.promise().take(); }
    };
    awaiter operator co_await() && noexcept { return {handle_}; }

    /// Begins a lazy task. Returns when the task is suspended or done.
    void start() {
        if constexpr (Lazy) handle_.resume();
    }
    bool done() const { return handle_.done(); }
    /// Returns or throws the outcome. The task must be done.
    T get() { return handle_.promise().take(); }
    /// Begins the task and returns its result. The task must not suspend.
    T run() {
        start();
        return get();
    }

private:
    explicit task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
    std::coroutine_handle<promise_type> handle_;
};

template <class T>
using lazy = task<T, true>;
template <class T>
using eager = task<T, false>;

/// Suspends the coroutines that await it, until it is opened.
class gate {
public:
    struct awaiter {
        gate* awaited;
        bool await_ready() const noexcept { return awaited->open_; }
        void await_suspend(std::coroutine_handle<> waiting) { awaited->waiting_.push_back(waiting); }
        void await_resume() const noexcept {}
    };
    awaiter operator co_await() noexcept { return {this}; }

    void open() {
        open_ = true;
        for (auto handle : std::exchange(waiting_, {})) handle.resume();
    }

private:
    bool open_ = false;
    std::vector<std::coroutine_handle<>> waiting_;
};

}  // namespace tasks
