#pragma once

// How do the end hooks of a call that is awaited run, also if the call is destroyed while it is suspended?

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

/// The end hooks of a call that is awaited, one by one, and then the ends that start hooks returned. Where the call is destroyed before
/// they have all run, the others run then, but for those that would have to be awaited: they find ext::abandoned in
/// `call.exception`.
class awaited_end_hooks {
public:
    awaited_end_hooks(call_fields& call, const counting_guard& held) noexcept
        : next_(held.list()->begin(phase::end)), call_(call), held_(held) {}
    awaited_end_hooks(const awaited_end_hooks&) = delete;
    awaited_end_hooks& operator=(const awaited_end_hooks&) = delete;
    ~awaited_end_hooks() {
        if (!done_) abandon();
    }

    /// The next one to run; null after the last.
    const hook_entry* next() {
        while (next_->run)
            if (const hook_entry* const hook = hook_in_turn(*next_++, call_, held_)) return hook;
        return nullptr;
    }

    /// Runs one that is not awaited, also on a thread that has no memory for its slots.
    EXTENSIBLE_HIDDEN void run(const hook_entry& hook);

    /// Behind the last one.
    void run_finishers() {
        if (held_.list()->has_finishers) run_finishers_on_this_thread();
        done_ = true;
    }

private:
    EXTENSIBLE_COLD_FUNCTION void run_finishers_on_this_thread();
    EXTENSIBLE_COLD_FUNCTION void abandon() noexcept;
    EXTENSIBLE_COLD_FUNCTION void run_abandoned();

    const hook_entry* next_;
    bool done_ = false;
    call_fields& call_;
    const counting_guard& held_;
};

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

EXTENSIBLE_CALLED_BY_USERS void awaited_end_hooks::run(const hook_entry& hook) {
    const counting_guard::on_this_thread here(held_, std::nothrow);
    guarded_run(*hook.record, hook.record->when, call_).run(hook.run, hook.object, nullptr);
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
        // No memory for an exception: there is nobody left to tell.
    }
    while (finisher* const last = private_access::finishers(call_).take_last()) last->destroy(last);
}

void awaited_end_hooks::run_abandoned() {
    const auto run = [&](const hook_record& hook, auto run_it) {
        EXTENSIBLE_TRY {
            run_it();
        } EXTENSIBLE_CATCH(...) {
            report(hook, call_.name, std::current_exception(), true);
        }
    };
    if (call_.exception) {
        const hook_record* nearest = next_->record;  // without a next one, the last one
        if (!nearest) held_.list()->any_of([&](const hook_record& hook) {
            nearest = &hook;
            return false;
        });
        displace_exception(call_, *nearest);
    }
#if EXTENSIBLE_EXCEPTIONS
    try {
        call_.exception = std::make_exception_ptr(abandoned(join({call_.name, ": the call was destroyed while it was suspended"})));
    } catch (const std::bad_alloc&) {
        call_.exception = std::current_exception();  // the hooks run all the same
    }
#endif
    for (; next_->run; ++next_) {
        // Not hook_in_turn(): this thread counts as inside of the call already.
        const hook_entry* const candidates = next_->candidates();
        const hook_entry* const hook = candidates ? choose(candidates, call_, false) : next_->record->sub_task ? nullptr : next_;
        if (!hook) continue;
        run(*hook->record, [&] { guarded_run(*hook->record, phase::end, call_).run(hook->run, hook->object, nullptr); });
    }
    while (finisher* const last = private_access::finishers(call_).take_last()) {
        const hook_record& hook = *last->hook;
        run(hook, [&] { run_finisher(last, call_); });
    }
}

#endif

}}}  // namespace ext::detail
