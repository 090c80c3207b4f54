#pragma once

// How is a hook awaited? It is begun as a stage of the call, which the call awaits in its turn.

#include <extensible/any_call.hpp>
#include <extensible/detail/awaitable.hpp>
#include <extensible/detail/hazard.hpp>
#include <extensible/detail/outcome.hpp>
#include <extensible/detail/records.hpp>
#include <extensible/detail/report.hpp>
#include <extensible/error.hpp>
#include <extensible/phase.hpp>

#include <exception>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace ext {

template <class Stage>
class awaiting_proceed;

namespace detail {

/// Where a hook that is begun leaves its stage, and what it finds there.
template <class Stage>
struct place_for_stage {
    awaiting_proceed<Stage>* inside;  // null but for an around hook
    std::optional<Stage> begun{};
};

/// Begins a hook whose stages are of this type. What it throws is thrown when the stage is awaited.
template <class Stage>
Stage begin_hook(const hook_entry& hook, const any_call& call, awaiting_proceed<Stage>* inside) {
    place_for_stage<Stage> place{inside};
    hook.run(hook, call.erased(), call.operations(), &place);
    return std::move(*place.begun);
}

/// Runs a hook that is not awaited, in a call that is.
inline void run_hook_on_this_thread(const hook_entry& hook, const any_call& call, const pinned_hooks& held) {
    const pinned_hooks::on_this_thread here(held);
    hook.run(hook, call.erased(), call.operations(), nullptr);
}

/// The end hooks of a call that is awaited, one by one. Where the call is destroyed before they have all had their turn, the
/// others run then, but for those that would have to be awaited: they find ext::abandoned in `call.exception`.
class end_hooks {
public:
    end_hooks(const hook_list& hooks, any_call call, const pinned_hooks& held) noexcept
        : rest_(hooks.of(phase::end)), call_(call), held_(held) {}
    end_hooks(const end_hooks&) = delete;
    end_hooks& operator=(const end_hooks&) = delete;
    ~end_hooks() {
        if (!rest_.empty()) abandon();
    }

    /// The next one to run; null behind the last.
    const hook_entry* next() noexcept {
        if (rest_.empty()) return nullptr;
        const hook_entry* const hook = &rest_.front();
        rest_ = rest_.subspan(1);
        return hook;
    }

private:
    void abandon() noexcept {
        try {
            call_.exception() = std::make_exception_ptr(
                abandoned(std::string(call_.name()) + ": the call was destroyed while it was suspended"));
            while (const hook_entry* const hook = next()) {
                if (hook->record->stage) continue;
                try {
                    run_hook_on_this_thread(*hook, call_, held_);
                } catch (...) {
                    report(*hook->record, call_.name(), std::current_exception(), true);
                }
            }
        } catch (...) {
            // No memory for an exception: there is nobody left to tell.
        }
    }

    std::span<const hook_entry> rest_;
    any_call call_;
    const pinned_hooks& held_;
};

/// In a catch-all block: what a hook has thrown, in a call that is awaited. Whether the call goes on as if it had returned.
inline bool is_isolated(std::exception_ptr& exception, const hook_entry& hook, std::string_view function) {
    if (!hook.record->isolate) {
        keep_exception(exception, hook, function);
        return false;
    }
    report_isolated(*hook.record, function);
    return true;
}

}  // namespace detail

}  // namespace ext
