#pragma once

// How does a call protect its list if it may be suspended, and continue and end on other threads? By the list's count.

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

/// Holds the hooks of a call that may be suspended, and go on and end on other threads: by the list's count.
class counting_guard {
public:
    /// As hazard_guard.
    EXTENSIBLE_HIDDEN explicit counting_guard(const wrapper_site& from) {
        const hazard_guard held(from);
        list_ = held.list();
        if (list_) list_->calls.fetch_add(hook_list::one_call, std::memory_order_seq_cst);  // before the slot is cleared
    }
    counting_guard(const counting_guard&) = delete;
    counting_guard& operator=(const counting_guard&) = delete;
    EXTENSIBLE_HIDDEN ~counting_guard() {
        if (list_) domain().leave_counted(*list_);
    }

    /// Null when the last hook was removed just before it could be held.
    const hook_list* list() const noexcept { return list_; }

    /// While it lives the calling thread counts as being inside of the call: it does not wait for itself, and threads that wait
    /// for the call know whom they wait for.
    class on_this_thread {
    public:
        /// May throw std::bad_alloc, as hazard_guard; or does without where there is no memory.
        EXTENSIBLE_HIDDEN explicit on_this_thread(const counting_guard& held)
            : slot_(&held.domain().this_thread().take_slot()) {
            // Release: as in hazard_guard. That it is seen late does no harm: the count holds the list.
            slot_->held.store(reinterpret_cast<std::uintptr_t>(held.list_) | hazard_slot::counted, std::memory_order_release);
        }
        EXTENSIBLE_COLD_FUNCTION on_this_thread(const counting_guard& held, std::nothrow_t) noexcept;
        on_this_thread(const on_this_thread&) = delete;
        on_this_thread& operator=(const on_this_thread&) = delete;
        // A flag may have been set here for a list that was in the slot before. It stays for the next call in the slot.
        EXTENSIBLE_HIDDEN ~on_this_thread() {
            if (!slot_) return;
            slot_->held.store(0, std::memory_order_release);
            thread_hazards::give_back(*slot_);
        }

    private:
        EXTENSIBLE_HIDDEN on_this_thread() noexcept = default;

        hazard_slot* slot_ = nullptr;
    };

private:
    EXTENSIBLE_HIDDEN hazard_domain& domain() const noexcept { return *list_->function->registry->domain; }

    const hook_list* list_;
};

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

counting_guard::on_this_thread::on_this_thread(const counting_guard& held, std::nothrow_t) noexcept
    : on_this_thread() {
    EXTENSIBLE_TRY {
        on_this_thread here(held);
        std::swap(slot_, here.slot_);
    } EXTENSIBLE_CATCH(const std::bad_alloc&) {
        // Threads that wait for the call do not know then that it is on this one.
    }
}

#endif

}}}  // namespace ext::detail
