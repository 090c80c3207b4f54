#pragma once

// How does an around hook go on to what it stands around?

#include <extensible/any_call.hpp>
#include <extensible/detail/outcome.hpp>
#include <extensible/detail/records.hpp>

#include <span>

namespace ext {

/// The inside of one around hook: the next around hook, and last the function. To be called while the hook runs, on its
/// thread; never, once, or several times.
class proceed {
public:
    /// Runs the inside, with the arguments as they now stand, and leaves its outcome in the call: either the result is set
    /// or the exception, whatever was there before. An exception that was still there is displaced: it goes to the
    /// registry's error handler; a hook that wants no word of it sets `call.exception = nullptr` first. Throws nothing
    /// that the function or a hook throws.
    void operator()();

    proceed(const proceed&) = delete;
    proceed& operator=(const proceed&) = delete;

    /// Library use: runs `function` inside these around hooks. Not inline, so that calls without any need no registers for it.
    template <class Function>
    [[gnu::noinline]] static void through(std::span<const detail::hook_entry> hooks, any_call call, Function& function) {
        proceed(call, nullptr, hooks, &function, [](void* erased) { (*static_cast<Function*>(erased))(); }).run_inside();
    }

    /// Library use: whether the hook has gone on.
    bool called() const noexcept { return called_; }

private:
    proceed(any_call call, const detail::hook_entry* caller, std::span<const detail::hook_entry> inside, void* function,
            void (*run_function)(void* function)) noexcept
        : call_(call), caller_(caller), inside_(inside), function_(function), run_function_(run_function) {}

    void run_inside();

    any_call call_;
    const detail::hook_entry* caller_;            // the hook that this is handed to; null for the call itself
    std::span<const detail::hook_entry> inside_;  // the around hooks inside of it
    void* function_;
    void (*run_function_)(void* function);
    bool called_ = false;
};

// ---------------------------------------------------------------------------------------------------------------------

inline void proceed::operator()() {
    called_ = true;
    detail::forget_outcome(call_, caller_);
    run_inside();
}

inline void proceed::run_inside() {
    if (inside_.empty()) return run_function_(function_);
    const detail::hook_entry& hook = inside_.front();
    proceed next(call_, &hook, inside_.subspan(1), function_, run_function_);
    try {
        hook.run(hook, call_.erased(), call_.operations(), &next);
    } catch (...) {
        // For those outside it counts as the inside having thrown.
        detail::keep_exception(call_.exception(), hook, call_.name());
        call_.operations().reset_result(call_.erased());
    }
}

}  // namespace ext
