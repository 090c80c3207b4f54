#pragma once

// Where does a thread write down which lists its calls hold?
//
// What must stay true:
// 1. Only the owner of a slot writes `held`. Any thread may read it.
// 2. Slots are never freed while a thread may look at them: they stay in the domain, and a later thread takes them over.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/system.hpp>
#include <extensible/detail/records/function_record.hpp>
#include <extensible/detail/records/hook_list.hpp>
#include <extensible/detail/types/text.hpp>
#include <extensible/error.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

/// How deeply calls with hooks may be nested on one thread. A program may define another number, the same for all of its sources.
#if !defined(EXTENSIBLE_MAX_NESTING)
#define EXTENSIBLE_MAX_NESTING 4000
#endif

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

class hazard_domain;
struct thread_hazards;

EXTENSIBLE_PADDED_BEGIN

/// What one call on a thread holds.
struct alignas(32) hazard_slot {
    // The list; `no_list` for a call without one; 0 where the slot is free. Written by the owner, read by whoever reclaims. Plus
    // `counted` where the list's count holds it, and the slot only tells which thread is inside of the call.
    static constexpr std::uintptr_t counted = 1, no_list = 2;
    atomic<std::uintptr_t> held{0};

    atomic<hazard_slot*> next{nullptr};  // set once, by the owner

    thread_hazards* thread = nullptr;  // whose it is; constant

    // Not 0 if a call that leaves has more to do than to clear its slot.
    static constexpr std::uint32_t reclaim_requested = 1;  // a retired list was found here: reclaim() is to be called
    static constexpr std::uint32_t needs_fence = 2;  // there is no process_barrier(); set for good
    static constexpr std::uint32_t nested = 4;  // not the thread's first slot: it goes back to the free ones; set for good
    atomic<std::uint32_t> flags{0};

    hazard_slot* next_free = nullptr;  // the owner's alone
    std::uint32_t block_size = 0;      // in the first slot of an array: how many it has

    /// The list that a call of this thread holds here; null without one.
    const hook_list* list() const noexcept {
        const std::uintptr_t value = held.load(std::memory_order_relaxed);  // relaxed: this thread wrote it
        return value == no_list ? nullptr : reinterpret_cast<const hook_list*>(value);  // NOLINT(performance-no-int-to-ptr)
    }
};

/// The slots of one thread, one for each call that it is inside of: the first slot, or else a free one of the others. Calls may end in
/// any order. The slots stay in the domain for good; when the thread has ended, another one takes them over. So nothing that a
/// thread's end leaves can dangle.
struct EXTENSIBLE_HIDDEN alignas(64) thread_hazards {
    static constexpr std::size_t first_slots = 7, further_slots = 8;

    // The domain, where its lists need no fence to be held; else nothing that a site has. The owner's alone, and constant.
    const void* quick_domain = this;

    hazard_domain* domain = nullptr;  // constant

    // The owner's alone.
    hazard_slot* free = nullptr;   // the first free slot, but for own_slots[0]
    hazard_slot* last = nullptr;   // the last slot of all
    std::size_t slots_made = 0;
    std::uint64_t number = 0;      // of the owner: unlike a thread_id, no other thread of the domain ever has it

    // Guarded by the domain's mutex.
    thread_id owner = 0;  // 0 when it is free
    thread_hazards* next = nullptr;

    hazard_slot own_slots[first_slots];

    constexpr thread_hazards() noexcept = default;
    thread_hazards(hazard_domain& home, bool asymmetric) noexcept;
    thread_hazards(const thread_hazards&) = delete;
    thread_hazards& operator=(const thread_hazards&) = delete;
    static void destroy(thread_hazards* thread) noexcept;  // no destructor: one of them is never destroyed

    /// A free slot for a call that begins. May throw std::bad_alloc.
    hazard_slot& take_slot() {
        // Relaxed: this thread has written it.
        if (own_slots[0].held.load(std::memory_order_relaxed) == 0) return own_slots[0];
        if (!free) [[unlikely]] grow();
        return *std::exchange(free, free->next_free);
    }

    /// Throws error if a call of `called` would need more than EXTENSIBLE_MAX_NESTING slots of this thread. Handlers of
    /// a registry are exempt. Call it before take_slot().
    void check_nesting(const wrapper_site& called) const {
        if (slots_made < EXTENSIBLE_MAX_NESTING || free) [[likely]] return;
        // Relaxed: this thread has written it.
        if (own_slots[0].held.load(std::memory_order_relaxed) != 0) throw_if_nested_too_deeply(called);
    }

    /// After a call has cleared the slot. Relaxed: the flag is set for good.
    static void give_back(hazard_slot& slot) noexcept {
        if (slot.flags.load(std::memory_order_relaxed) & hazard_slot::nested)
            slot.next_free = std::exchange(slot.thread->free, &slot);
    }

    bool is_in_call() const noexcept;

private:
    static void throw_if_nested_too_deeply(const wrapper_site& called);
    void grow();
    void adopt(hazard_slot* added, std::size_t count) noexcept;
};

EXTENSIBLE_PADDED_END

/// The slots of a thread that has none yet: they match no site.
EXTENSIBLE_HIDDEN inline constinit thread_hazards no_hazards;
using this_thread_hazards = thread_pointer<thread_hazards, no_hazards>;

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

EXTENSIBLE_COLD_FUNCTION thread_hazards::thread_hazards(hazard_domain& home, bool asymmetric) noexcept : domain(&home) {
    if (asymmetric) quick_domain = &home;
    adopt(own_slots, first_slots);
}

EXTENSIBLE_COLD_FUNCTION void thread_hazards::destroy(thread_hazards* thread) noexcept {
    hazard_slot* block = thread->own_slots[first_slots - 1].next.load(std::memory_order_relaxed);  // relaxed: no other thread is left
    while (block) delete[] std::exchange(block, block[block->block_size - 1].next.load(std::memory_order_relaxed));
    delete thread;
}

// Relaxed: this thread has written it.
EXTENSIBLE_COLD_FUNCTION bool thread_hazards::is_in_call() const noexcept {
    for (const hazard_slot* slot = own_slots; slot; slot = slot->next.load(std::memory_order_relaxed))
        if (slot->held.load(std::memory_order_relaxed) != 0) return true;
    return false;
}

EXTENSIBLE_COLD_FUNCTION void thread_hazards::throw_if_nested_too_deeply(const wrapper_site& called) {
    if (!called.type) return;  // the handlers of a registry
    raise<error>(join({called.function->name,
                       ": calls with hooks are nested " EXTENSIBLE_TEXT(EXTENSIBLE_MAX_NESTING) " deep on this thread. Does "
                       "a hook call its own function? Then register it with .reentrant = false. For a function that calls "
                       "itself this often, define EXTENSIBLE_MAX_NESTING"}));
}

// More slots, after the last one.
EXTENSIBLE_COLD_FUNCTION void thread_hazards::grow() {
    static_assert(EXTENSIBLE_MAX_NESTING >= first_slots, "EXTENSIBLE_MAX_NESTING must be at least 7");
    std::size_t count = further_slots;
    if (slots_made < EXTENSIBLE_MAX_NESTING && EXTENSIBLE_MAX_NESTING - slots_made < count)
        count = EXTENSIBLE_MAX_NESTING - slots_made;
    adopt(new hazard_slot[count], count);
}

EXTENSIBLE_COLD_FUNCTION void thread_hazards::adopt(hazard_slot* added, std::size_t count) noexcept {
    added->block_size = static_cast<std::uint32_t>(count);
    for (std::size_t i = count; i-- > 0;) {
        hazard_slot& slot = added[i];
        slot.thread = this;
        // Relaxed, here and below: no other thread sees them yet.
        std::uint32_t flags = quick_domain == this ? hazard_slot::needs_fence : 0;
        if (&slot != own_slots) {
            flags |= hazard_slot::nested;
            slot.next_free = std::exchange(free, &slot);
        }
        slot.flags.store(flags, std::memory_order_relaxed);
        if (i + 1 < count) slot.next.store(&added[i + 1], std::memory_order_relaxed);
    }
    slots_made += count;
    // Sequentially consistent, as the load in any_slot(): a look that comes after a list was replaced, in the one order of such
    // accesses, then finds the slot that holds the list.
    hazard_slot* const before = std::exchange(last, &added[count - 1]);
    if (before) before->next.store(added, std::memory_order_seq_cst);
}

#endif

}}}  // namespace ext::detail
