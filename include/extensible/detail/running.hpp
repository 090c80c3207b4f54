#pragma once

// Is a hook running on this thread, further out? Asked for those that must not be run beneath themselves.

#include <extensible/detail/records.hpp>

#include <utility>

namespace ext::detail {

/// Stands on the stack while a hook runs.
class [[gnu::visibility("hidden")]] running_hook {
public:
    explicit running_hook(const hook_record& hook) noexcept : hook_(&hook), outer_(std::exchange(innermost_, this)) {}
    running_hook(const running_hook&) = delete;
    running_hook& operator=(const running_hook&) = delete;
    ~running_hook() { innermost_ = outer_; }

    static bool is_running(const hook_record& hook) noexcept {
        const running_hook* running = innermost_;
        while (running && running->hook_ != &hook) running = running->outer_;
        return running != nullptr;
    }

private:
    const hook_record* hook_;
    running_hook* outer_;

    // Each module has its own. That does, because the same code of the same module always runs the same hook.
    static inline constinit thread_local running_hook* innermost_ = nullptr;
};

}  // namespace ext::detail
