// Coroutines of the function's type can await only that type, and the hook returns another type.
// expect-first: the hook returns an awaitable that coroutines of the function's type cannot await
#include <extensible/extensible.hpp>

#include "../tasks.hpp"

template <class T = void>
struct own {
    struct promise_type {
        own get_return_object() { return {}; }
        std::suspend_never initial_suspend() { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() {}
        template <class U>
        own<U> await_transform(own<U> awaited) {
            return awaited;
        }
    };
    bool await_ready() { return true; }
    void await_suspend(std::coroutine_handle<>) {}
    void await_resume() {}
};

inline ext::extensible save{"disk.save", [](int) -> own<> { co_return; }};

#ifdef FIXED
auto hook = save.on_start([](auto&) -> own<> { co_return; });
#else
auto hook = save.on_start([](auto&) -> tasks::lazy<void> { co_return; });
#endif
