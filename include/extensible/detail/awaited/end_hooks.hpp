#pragma once

// How do the end hooks of an awaited call run, even if the call is destroyed while it is suspended?
//
// What must stay true:
// 1. Each end hook that is not awaited and not skipped, and each finisher, runs exactly once, even if
//    there is no memory (tests/awaitable.cpp, tests/ends.cpp, tests/out_of_memory_calls.cpp).
// 2. In a call that is destroyed, they find ext::abandoned in call.exception. An exception that was
//    there before is reported (tests/awaitable.cpp, tests/hook_error.cpp).
// 3. All finishers are destroyed (tests/ends.cpp, tests/out_of_memory_calls.cpp).
//
// Not here: the order of the steps: path.hpp; how a single hook runs: awaited_hook.hpp.

#include <extensible/call.hpp>
#include <extensible/detail/awaited/awaited_hook.hpp>
#include <extensible/detail/awaited/counting_guard.hpp>
#include <extensible/detail/call/failures.hpp>
#include <extensible/detail/call/finishers.hpp>
#include <extensible/detail/call/hook_run.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/records/hook_list.hpp>
#include <extensible/detail/records/hook_record.hpp>
#include <extensible/detail/types/private_access.hpp>
#include <extensible/detail/types/text.hpp>
#include <extensible/error.hpp>
#include <extensible/phase.hpp>

#include <exception>
#include <new>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// The end hooks of an awaited call, and then its finishers. The object is a local variable of the
/// call's coroutine. If the coroutine is destroyed before all have run, the destructor runs the others,
/// except awaited hooks, because nothing can be awaited any more.
class awaited_end_hooks {
public:
    awaited_end_hooks(call_fields& call, const counting_guard& held) noexcept
        : next_(held.list()->begin(phase::end)), call_(call), held_(held) {}
    awaited_end_hooks(const awaited_end_hooks&) = delete;
    awaited_end_hooks& operator=(const awaited_end_hooks&) = delete;
    ~awaited_end_hooks() {
        if (!done_) abandon();
    }

    /// Returns the next end hook to run; null after the last one. The caller runs it: it awaits the hook,
    /// or calls run().
    const hook_entry* next() {
        while (next_->run)
            if (const hook_entry* const hook = detail::hook_in_turn(*next_++, call_, held_)) return hook;
        return nullptr;
    }

    /// Runs an end hook that is not awaited, even if this thread has no memory for a slot.
    EXTENSIBLE_HIDDEN void run(const hook_entry& hook);

    /// Runs the finishers. Call it after the last end hook.
    void run_finishers() {
        if (held_.list()->has_finishers) run_finishers_on_this_thread();
        done_ = true;
    }

private:
    EXTENSIBLE_COLD_FUNCTION void run_finishers_on_this_thread();
    EXTENSIBLE_COLD_FUNCTION void abandon() noexcept;
    EXTENSIBLE_COLD_FUNCTION void run_abandoned();
    EXTENSIBLE_COLD_FUNCTION const hook_record& nearest_hook() const noexcept;

    const hook_entry* next_;  // the end hook that next() looks at next, or the entry after the last one
    bool done_ = false;       // whether all end hooks and finishers have run
    call_fields& call_;
    const counting_guard& held_;
};

// -------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

EXTENSIBLE_CALLED_BY_USERS void awaited_end_hooks::run(const hook_entry& hook) {
    const counting_guard::on_this_thread here(held_, std::nothrow);
    run_supervised(hook, call_, nullptr);
}

void awaited_end_hooks::run_finishers_on_this_thread() {
    const counting_guard::on_this_thread here(held_, std::nothrow);
    detail::run_finishers(call_);
}

void awaited_end_hooks::abandon() noexcept {
    EXTENSIBLE_TRY {
        const counting_guard::on_this_thread here(held_, std::nothrow);
        run_abandoned();
    } EXTENSIBLE_CATCH(...) {
        // An exception could not be reported, because there is no memory.
    }
    private_access::finishers(call_).destroy_all();
}

// Returns the hook that a report names: the next one, or else the last one in the list.
const hook_record& awaited_end_hooks::nearest_hook() const noexcept {
    const hook_record* nearest = next_->record;
    if (!nearest) held_.list()->any_of([&](const hook_record& hook) {
        nearest = &hook;
        return false;
    });
    return *nearest;
}

void awaited_end_hooks::run_abandoned() {
    const auto run = [&](const hook_record& hook, auto run_it) {
        EXTENSIBLE_TRY {
            run_it();
        } EXTENSIBLE_CATCH(...) {
            report(hook, call_.name, std::current_exception(), true);
        }
    };
    if (call_.exception) detail::displace_exception(call_, nearest_hook());
#if EXTENSIBLE_EXCEPTIONS
    try {
        call_.exception =
            std::make_exception_ptr(abandoned(join({call_.name, ": the call was destroyed while it was suspended"})));
    } catch (const std::bad_alloc&) {
        call_.exception = std::current_exception();  // the hooks find this exception instead
    }
#endif
    for (; next_->run; ++next_) {
        // Not hook_in_turn(), because abandon() has already registered this thread as being in the call.
        const hook_entry* const candidates = next_->candidates();
        const hook_entry* const plain = next_->record->sub_task ? nullptr : next_;
        const hook_entry* const hook = candidates ? choose(candidates, call_, false) : plain;
        if (hook) run(*hook->record, [&] { run_supervised(*hook, call_, nullptr); });
    }
    while (finisher* const last = private_access::finishers(call_).take_last()) {
        const hook_record& hook = *last->hook;
        run(hook, [&] { run_finisher(last, call_); });
    }
}

#endif

}}}  // namespace ext::detail
