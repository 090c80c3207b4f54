// A library with hooks. The host opens, unloads and closes it many times, while its threads call.

#include "api.hpp"

#include <chrono>
#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace {

// The host counts the living objects of this class.
class captured {
public:
    explicit captured(host_api& host) : host_(&host), text_(1000, 'x') { ++host_->captured; }
    captured(const captured& other) : host_(other.host_), text_(other.text_) { ++host_->captured; }
    ~captured() {
        text_[0] = '\0';
        --host_->captured;
    }
    bool alive() const { return text_[0] == 'x'; }

private:
    host_api* host_;
    std::string text_;
};

// What an awaited hook returns. It is not a task of tasks.hpp: these use std::noop_coroutine, for
// which GCC makes a unique symbol. A library with a unique symbol is never really closed.
class awaited {
public:
    struct promise_type {
        std::coroutine_handle<> next;
        awaited get_return_object() { return awaited(std::coroutine_handle<promise_type>::from_promise(*this)); }
        std::suspend_always initial_suspend() noexcept { return {}; }
        struct goes_on {
            bool await_ready() noexcept { return false; }
            std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> ended) noexcept {
                return ended.promise().next;
            }
            void await_resume() noexcept {}
        };
        goes_on final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::terminate(); }
    };

    awaited(awaited&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    ~awaited() {
        if (handle_) handle_.destroy();
    }
    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) const noexcept {
        handle_.promise().next = awaiting;
        return handle_;
    }
    void await_resume() const noexcept {}

private:
    explicit awaited(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
    std::coroutine_handle<promise_type> handle_;
};

struct loaded {
    explicit loaded(host_api& api) : host(api), plugin(api.registry, "library") {
        const captured state(host);
        own.emplace(host.registry, "library.own", [](int x) { return 2 * x; });
        plugin.on_start(*own, [state](auto& call) {
            auto& [x] = call.args;
            x = *x + 1;
        });
        plugin.on_start<std::string(std::string_view)>("host.get_key", [state, this](auto& call) {
            if (!state.alive()) throw std::logic_error("the hook's state is gone");
            ++host.calls_in_library;
            auto& [service] = call.args;
            if (*service == "nested") host.inner(1);              // a call of the host's function by this module's code
            if (*service == "ours") call.result = "from the library";
            if (*service == "rewritten") service = std::string(100, 'r');
            call.kwargs.set("began", 1);
        });
        plugin.on_end<std::string(std::string_view)>("host.get_key", [state](auto& call) {
            if (!state.alive()) throw std::logic_error("the hook's state is gone");
            // A start hook without its end hook, or the reverse, would be half of a plugin.
            if (!call.kwargs.contains("began")) call.exception = std::make_exception_ptr(std::logic_error("torn"));
        });
        plugin.around("host.*", [state](ext::any_call&, auto& proceed) {
            if (!state.alive()) throw std::logic_error("the hook's state is gone");
            proceed();
        });
        plugin.on_start<int(int)>("host.inner", [state](auto& call) {
            if (!state.alive()) throw std::logic_error("the hook's state is gone");
            auto& [x] = call.args;
            x = *x + 1;
        }, {.reentrant = false});
        plugin.on_start<tasks::lazy<int>(int)>("host.later", [state, this](auto& call) -> awaited {
            co_await *host.later;
            if (!state.alive()) std::terminate();
            auto& [x] = call.args;
            x = *x + 1;
        });
        plugin.around<tasks::lazy<int>(int)>("host.later", [state](auto& call, auto& proceed) -> awaited {
            co_await proceed();
            if (!state.alive()) std::terminate();
            *call.result = *call.result * 10;
        });
    }

    host_api& host;
    std::optional<ext::extensible<int(int)>> own;
    ext::plugin plugin;
};

std::optional<loaded> instance;

}  // namespace

extern "C" {
EXTENSIBLE_EXPORT void load(host_api& host) { instance.emplace(host); }
EXTENSIBLE_EXPORT void unload() {
    instance->plugin.unload();
    instance.reset();
}
EXTENSIBLE_EXPORT bool unload_at_once() { return instance->plugin.unload_for(std::chrono::seconds(0)); }
EXTENSIBLE_EXPORT int call_own(int x) { return (*instance->own)(x); }
EXTENSIBLE_EXPORT int call_inner(int x) { return instance->host.inner(x); }
EXTENSIBLE_EXPORT ext::registry* default_registry() { return &ext::default_registry(); }
}
