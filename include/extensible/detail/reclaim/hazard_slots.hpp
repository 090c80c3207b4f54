#pragma once

// Where does a thread announce which lists its calls use?
//
// What must stay true:
// 1. Only the thread that owns a slot writes `held`. Any thread may read it. (tests/explorer:
//    threads)
// 2. When a thread ends, its slots remain, and a later thread takes them over. They are freed only
//    when their module ends and no thread owns any. (tests/allocation.cpp; tests/explorer: slots,
//    visitclose)
// 3. The calls of one thread may end in any order. (tests/programs/fibers.cpp)
// 4. No call of a function begins on a thread whose EXTENSIBLE_MAX_NESTING slots are all taken: it
//    throws error. Only handlers, and awaited calls that run a hook, take more.
//    (tests/programs/max_nesting.cpp)
//
// Not here: how a call uses its slot: hazard_guard.hpp. How the slots are scanned:
// hazard_domain.hpp. How a thread gets and releases its slots: module_domain.hpp.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/system.hpp>
#include <extensible/detail/records/function_record.hpp>
#include <extensible/detail/records/hook_list.hpp>
#include <extensible/detail/types/text.hpp>
#include <extensible/error.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

/// How deeply calls with hooks may be nested on one thread. A program may define another number,
/// which must be the same in all of its sources.
#if !defined(EXTENSIBLE_MAX_NESTING)
#define EXTENSIBLE_MAX_NESTING 4000
#endif

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

class hazard_domain;
struct thread_hazards;

EXTENSIBLE_PADDED_BEGIN

/// Announces the list of one call: a hazard pointer.
struct alignas(32) hazard_slot {
    // 0: the slot is free. `no_list`: a call without a list has taken it. Otherwise the address of
    // a list. With the bit `counted`, the list's count protects the list, and the slot only shows
    // which thread is inside the call. Without this bit, the slot protects the list, if it was
    // stored here while it was published. Written by the owner, read by all threads.
    static constexpr std::uintptr_t counted = 1, no_list = 2;
    atomic<std::uintptr_t> held{0};

    // The thread's next slot; null in its last slot. Written once, by the owner; read by all
    // threads.
    atomic<hazard_slot*> next{nullptr};

    // The thread that the slot belongs to. Constant.
    thread_hazards* thread = nullptr;

    // What a call has to do when it ends, besides clearing its slot. 0: nothing.
    // - reclaim_requested: call reclaim(), because a scan found a retired list here. Set by any
    //   thread under the domain's mutex, cleared by the owner.
    // - needs_fence: clear the slot with a fence, because the system has no process_barrier().
    //   Constant.
    // - nested: return the slot to the free ones, because it is not own_slots[0]. Constant.
    static constexpr std::uint32_t reclaim_requested = 1, needs_fence = 2, nested = 4;
    atomic<std::uint32_t> flags{0};

    // The next free slot of the thread; meaningless while the slot is in use. Only the owner uses
    // it.
    hazard_slot* next_free = nullptr;

    // In the first slot of an array: the size of the array. Constant.
    std::uint32_t block_size = 0;

    /// Returns the list that a call of this thread has protected here; null if it has no list.
    const hook_list* list() const noexcept {
        const std::uintptr_t value = held.load(std::memory_order_relaxed);  // relaxed: written by this thread
        if (value == no_list) return nullptr;
        return reinterpret_cast<const hook_list*>(value);  // NOLINT(performance-no-int-to-ptr)
    }
};

/// The slots of one thread, one for each call that it is inside. A call takes own_slots[0] if that
/// is free, otherwise any other free slot.
struct EXTENSIBLE_HIDDEN alignas(64) thread_hazards {
    static constexpr std::size_t first_slots = 7, further_slots = 8;

    // Compared with wrapper_site::quick_domain. The domain if the system has process_barrier(), so
    // that calls may take the fast path. Otherwise `this`, which no wrapper_site has. Constant.
    const void* quick_domain = this;

    hazard_domain* domain = nullptr;  // constant; null in no_hazards

    // Only the owner uses these.
    hazard_slot* free = nullptr;  // the first free slot, apart from own_slots[0]; null if none is free
    hazard_slot* last = nullptr;  // the last slot, in the order of hazard_slot::next
    std::size_t slots_made = 0;
    std::uint64_t number = 0;  // of the owner. Unlike a thread_id, it is never reused in the domain

    // Guarded by the domain's mutex.
    thread_id owner = 0;             // 0: no thread owns the slots
    thread_hazards* next = nullptr;  // in the domain's chain

    hazard_slot own_slots[first_slots];

    constexpr thread_hazards() noexcept = default;
    EXTENSIBLE_COLD_FUNCTION thread_hazards(hazard_domain& home, bool has_process_barrier) noexcept;
    thread_hazards(const thread_hazards&) = delete;
    thread_hazards& operator=(const thread_hazards&) = delete;
    // Not a destructor, because no_hazards must not have one.
    EXTENSIBLE_COLD_FUNCTION static void destroy(thread_hazards* thread) noexcept;

    /// Returns a free slot. Store a value other than 0 in its `held` before the next take_slot().
    /// May throw std::bad_alloc.
    hazard_slot& take_slot() {
        // Relaxed: written by this thread.
        if (own_slots[0].held.load(std::memory_order_relaxed) == 0) return own_slots[0];
        if (!free) [[unlikely]] grow();
        return *std::exchange(free, free->next_free);
    }

    /// Throws error if a call of `called` would need more than EXTENSIBLE_MAX_NESTING slots of this
    /// thread. Handlers of a registry are exempt. Call it before take_slot().
    void check_nesting(const wrapper_site& called) const {
        if (slots_made < EXTENSIBLE_MAX_NESTING || free) [[likely]] return;
        // Relaxed: written by this thread.
        if (own_slots[0].held.load(std::memory_order_relaxed) != 0) throw_if_nested_too_deeply(called);
    }

    /// Makes a slot free again. Call it after `held` has been cleared.
    static void give_back(hazard_slot& slot) noexcept {
        // Relaxed: `nested` is constant.
        if (slot.flags.load(std::memory_order_relaxed) & hazard_slot::nested)
            slot.next_free = std::exchange(slot.thread->free, &slot);
    }

    /// Whether the thread is inside a call. Only the owner may ask.
    EXTENSIBLE_COLD_FUNCTION bool is_in_call() const noexcept;

private:
    EXTENSIBLE_COLD_FUNCTION static void throw_if_nested_too_deeply(const wrapper_site& called);
    EXTENSIBLE_COLD_FUNCTION void grow();
    EXTENSIBLE_COLD_FUNCTION void adopt(hazard_slot* added, std::size_t count) noexcept;
};

EXTENSIBLE_PADDED_END

/// Stands in for the slots of a thread that has none yet. Its quick_domain matches no wrapper_site,
/// so the thread's first call reaches hazard_guard::protect_nested(), which acquires slots.
EXTENSIBLE_HIDDEN inline constinit thread_hazards no_hazards;
using this_thread_hazards = thread_pointer<thread_hazards, no_hazards>;

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

thread_hazards::thread_hazards(hazard_domain& home, bool has_process_barrier) noexcept
    : domain(&home) {
    if (has_process_barrier) quick_domain = &home;
    adopt(own_slots, first_slots);
}

void thread_hazards::destroy(thread_hazards* thread) noexcept {
    // Relaxed, here and below: no thread owns the slots any more.
    hazard_slot* block = thread->own_slots[first_slots - 1].next.load(std::memory_order_relaxed);
    while (block) delete[] std::exchange(block, block[block->block_size - 1].next.load(std::memory_order_relaxed));
    delete thread;
}

bool thread_hazards::is_in_call() const noexcept {
    // Both relaxed: written by this thread.
    for (const hazard_slot* slot = own_slots; slot; slot = slot->next.load(std::memory_order_relaxed))
        if (slot->held.load(std::memory_order_relaxed) != 0) return true;
    return false;
}

void thread_hazards::throw_if_nested_too_deeply(const wrapper_site& called) {
    if (!called.type) return;  // it calls the handlers of a registry
    raise<error>(join({called.function->name,
                       ": calls with hooks are nested " EXTENSIBLE_TEXT(EXTENSIBLE_MAX_NESTING)
                       " deep on this thread. Does a hook call its own function? Then register it with "
                       ".reentrant = false. For a function that calls itself this often, define "
                       "EXTENSIBLE_MAX_NESTING"}));
}

// Adds slots after the last one. The last block up to the limit is shortened, so that there are
// exactly EXTENSIBLE_MAX_NESTING slots: for check_nesting(), "all slots are taken" is "too deep".
// Only handlers, and awaited calls that run a hook, get slots beyond the limit.
void thread_hazards::grow() {
    static_assert(EXTENSIBLE_MAX_NESTING >= first_slots, "EXTENSIBLE_MAX_NESTING must be at least 7");
    std::size_t count = further_slots;
    if (slots_made < EXTENSIBLE_MAX_NESTING && EXTENSIBLE_MAX_NESTING - slots_made < count)
        count = EXTENSIBLE_MAX_NESTING - slots_made;
    adopt(new hazard_slot[count], count);
}

void thread_hazards::adopt(hazard_slot* added, std::size_t count) noexcept {
    added->block_size = static_cast<std::uint32_t>(count);
    for (std::size_t i = count; i-- > 0;) {
        hazard_slot& slot = added[i];
        slot.thread = this;
        // Relaxed, here and below: no other thread sees these slots yet.
        std::uint32_t flags = quick_domain == this ? hazard_slot::needs_fence : 0;
        if (&slot != own_slots) {
            flags |= hazard_slot::nested;
            slot.next_free = std::exchange(free, &slot);
        }
        slot.flags.store(flags, std::memory_order_relaxed);
        if (i + 1 < count) slot.next.store(&added[i + 1], std::memory_order_relaxed);
    }
    slots_made += count;
    // Pairs with next.load in any_slot(). Sequentially consistent, as are the accesses to the slot
    // and to the wrapper_site in protect_slow(): if the call that needs the new slot finds there
    // that its list is still published, then a scan that follows the replacement of the list finds
    // the slot.
    hazard_slot* const before = std::exchange(last, &added[count - 1]);
    if (before) before->next.store(added, std::memory_order_seq_cst);
}

#endif

}}}  // namespace ext::detail
