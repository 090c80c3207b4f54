#pragma once

// How does an awaited call protect its list, although it may be suspended and resumed on another
// thread?
//
// The list counts the call. What must stay true:
// 1. The call has the list in a slot until the list counts the call. (tests/explorer: pins,
//    pinsort)
// 2. While a thread runs hooks of the call that are not awaited, or handlers or monitors, a slot of
//    that thread shows this, unless there is no memory for a slot. (tests/explorer: pinself,
//    pincross; tests/awaitable.cpp)
// 3. A call may end on another thread than it began on. (tests/explorer: moved, movedwait,
//    movedend)
//
// Not here: plain calls: reclaim/hazard_guard.hpp. The end of the last call that a list counts:
// hazard_domain::leave_counted(). The steps of an awaited call: path.hpp.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/system.hpp>
#include <extensible/detail/reclaim/hazard_domain.hpp>
#include <extensible/detail/reclaim/hazard_guard.hpp>
#include <extensible/detail/reclaim/hazard_slots.hpp>
#include <extensible/detail/records/function_record.hpp>
#include <extensible/detail/records/hook_list.hpp>
#include <extensible/detail/records/registry_record.hpp>

#include <cstdint>
#include <new>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// Protects the list that is published when an awaited call begins, until the call ends. Any thread
/// may destroy it.
class counting_guard {
public:
    /// Protects the list of `site`. Throws what the constructor of hazard_guard throws.
    EXTENSIBLE_HIDDEN explicit counting_guard(const wrapper_site& site) {
        const hazard_guard held(site);
        list_ = held.list();
        // Relaxed would be enough: the destructor of `held` releases it, and
        // hazard_domain::classify_retired() reads the count only after it has found the slot clear.
        if (list_) list_->calls.fetch_add(hook_list::one_call, std::memory_order_seq_cst);
    }
    counting_guard(const counting_guard&) = delete;
    counting_guard& operator=(const counting_guard&) = delete;
    EXTENSIBLE_HIDDEN ~counting_guard() {
        if (list_) domain().leave_counted(*list_);
    }

    /// Null if no hook was enabled at that moment. The caller may have found a list in the site
    /// before.
    const hook_list* list() const noexcept { return list_; }

    /// While it lives, a slot of the calling thread shows that the thread is inside the call. So
    /// remove_and_wait() on this thread does not wait for the call, and other threads that wait for
    /// the call can tell whether they wait in a cycle.
    class on_this_thread {
    public:
        /// Throws std::bad_alloc if the thread has no slots yet, or needs more than ever before,
        /// and there is no memory.
        EXTENSIBLE_HIDDEN explicit on_this_thread(const counting_guard& held)
            : slot_(&held.domain().this_thread().take_slot()) {
            // Release: a scan that finds this value also sees what earlier calls did with the lists
            // that they had in this slot. Pairs with held.load in hazard_domain::any_slot(). A scan
            // may miss this value, because the list's count protects the list.
            const auto list = reinterpret_cast<std::uintptr_t>(held.list_);
            slot_->held.store(list | hazard_slot::counted, std::memory_order_release);
        }

        /// Takes no slot if there is no memory for one. Then the thread is not known to be inside
        /// the call, and remove_and_wait() on this thread would wait for the call itself.
        EXTENSIBLE_COLD_FUNCTION on_this_thread(const counting_guard& held, std::nothrow_t) noexcept;

        on_this_thread(const on_this_thread&) = delete;
        on_this_thread& operator=(const on_this_thread&) = delete;

        // The slot may still have a flag that was set for an earlier list. The flag remains for the
        // next hazard_guard that uses the slot. No list depends on it: the scan that set the flag was
        // followed by another one, which found that the list was gone from the slot.
        EXTENSIBLE_HIDDEN ~on_this_thread() {
            if (!slot_) return;
            // Release: a scan that finds the slot free also sees what this thread did before. Pairs
            // with held.load in hazard_domain::any_slot().
            slot_->held.store(0, std::memory_order_release);
            thread_hazards::give_back(*slot_);
        }

    private:
        EXTENSIBLE_HIDDEN on_this_thread() noexcept = default;

        hazard_slot* slot_ = nullptr;  // null if there was no memory
    };

private:
    EXTENSIBLE_HIDDEN hazard_domain& domain() const noexcept { return *list_->function->registry->domain; }

    const hook_list* list_;  // null if the call has no hooks
};

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

counting_guard::on_this_thread::on_this_thread(const counting_guard& held, std::nothrow_t) noexcept
    : on_this_thread() {
    EXTENSIBLE_TRY {
        on_this_thread here(held);
        std::swap(slot_, here.slot_);
    } EXTENSIBLE_CATCH(const std::bad_alloc&) {
        // Other threads that wait for the call do not know that it is on this thread.
    }
}

#endif

}}}  // namespace ext::detail
