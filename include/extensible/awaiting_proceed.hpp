#pragma once

// How does an around hook go on to what it stands around, where it is awaited?

#include <extensible/any_call.hpp>
#include <extensible/detail/await_hook.hpp>
#include <extensible/detail/outcome.hpp>
#include <extensible/detail/records.hpp>

#include <span>

namespace ext {

/// What ext::proceed is for functions that return awaitables: `co_await proceed()`. The hook that it is handed to is awaited.
template <class Stage>
class awaiting_proceed {
public:
    /// As ext::proceed::operator(), once it is awaited. Not to be called again before it is done.
    [[nodiscard("nothing runs unless it is awaited: co_await proceed()")]] Stage operator()();

    awaiting_proceed(const awaiting_proceed&) = delete;
    awaiting_proceed& operator=(const awaiting_proceed&) = delete;

    /// Library use: `function`, which begins the function as a stage, inside these around hooks.
    template <class Function>
    awaiting_proceed(any_call call, const detail::hook_entry* caller, std::span<const detail::hook_entry> inside,
                     Function& function)
        : awaiting_proceed(call, caller, inside, &function, [](void* erased) { return (*static_cast<Function*>(erased))(); }) {}

private:
    awaiting_proceed(any_call call, const detail::hook_entry* caller, std::span<const detail::hook_entry> inside, void* function,
                     Stage (*begin_function)(void* function)) noexcept
        : call_(call), caller_(caller), inside_(inside), function_(function), begin_function_(begin_function) {}

    any_call call_;
    const detail::hook_entry* caller_;            // the hook that this is handed to; null for the call itself
    std::span<const detail::hook_entry> inside_;  // the around hooks inside of it
    void* function_;
    Stage (*begin_function_)(void* function);
    bool called_ = false;
};

// ---------------------------------------------------------------------------------------------------------------------

template <class Stage>
Stage awaiting_proceed<Stage>::operator()() {
    called_ = true;
    detail::forget_outcome(call_, caller_);

    if (inside_.empty()) {
        co_await begin_function_(function_);
        co_return;
    }
    const detail::hook_entry& hook = inside_.front();
    awaiting_proceed next(call_, &hook, inside_.subspan(1), function_, begin_function_);
    bool passed_by = false;
    try {
        co_await detail::begin_hook<Stage>(hook, call_, &next);
    } catch (...) {
        if (detail::is_isolated(call_.exception(), hook, call_.name()))
            passed_by = !next.called_ && !call_.has_result() && !call_.exception();
        else
            call_.operations().reset_result(call_.erased());
    }
    if (passed_by) co_await next();
}

}  // namespace ext
