#pragma once

// Which hooks does a call run?
//
// What must stay true:
// 1. A published list does not change, except for the fields that say so: calls read it without a lock
//    (tests/explorer, which finds data races).
// 2. The entries of a phase are in running order, and an entry without `run` follows them
//    (tests/order.cpp, tests/options.cpp; tests/model).
// 3. From before a list is published until no call uses it, it holds its hooks: see
//    hook_record::holders (tests/explorer, scenarios "handon" and "handon2").
//
// Not here: how a call protects its list: reclaim/hazard_guard.hpp. How a list is replaced:
// registry/change.hpp. When it is freed: reclaim/hazard_domain.hpp.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/system.hpp>
#include <extensible/detail/records/function_record.hpp>
#include <extensible/detail/records/hook_record.hpp>
#include <extensible/detail/records/ref.hpp>
#include <extensible/detail/records/registry_record.hpp>
#include <extensible/phase.hpp>

#include <cstddef>
#include <new>
#include <string_view>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// One hook as a call sees it.
struct hook_entry {
    run_hook* run;  // null in the entry after the last one
    void* object;   // the first argument of `run`
    hook_record* record;

    /// Returns null if every call runs the entry's hook: the hook has no option that a call must check,
    /// and there is no monitor. Otherwise returns the candidates of the entry: its hook, and then the
    /// hooks that it replaces, the newest first. An entry without `run` follows the last one. A call
    /// runs at most one of them: see choose() in call/hook_run.hpp.
    const hook_entry* candidates() const noexcept {
        return run == record->erased.run_with_options ? static_cast<const hook_entry*>(object) : nullptr;
    }
};

/// A change of several wrappers that takes effect in all of them at once, when `happened` becomes true.
/// The lists that it replaces own it.
struct change_step : reference_counted {
    atomic<bool> happened{false};  // set once, by change::happen_at_once()
};

/// The enabled hooks that calls of a function can run, in running order, phase by phase. Replaced hooks
/// are only candidates of entries. The list is empty only while a step is announced for a function that
/// had no hooks. A list that is replaced is retired to the hazard domain, which frees it when no call
/// uses it.
struct hook_list {
    // Constant once the list is published.
    const ref<function_record> function;
    const std::string_view name;             // of the function
    const hook_entry* first[phase_count]{};  // the first entry of each phase
    bool has_finishers = false;              // some hook returns a finisher
    const bool watched;                      // there are monitors while the list is published
    bool nothing_after_function = true;            // all are start hooks, and none returns a finisher

    // The number of calls that use the list without a hazard slot, each counted as `one_call` (see
    // counting_guard). The domain adds `left_to_calls` when it has found the retired list in no slot:
    // the last counted call then reclaims the list.
    static constexpr std::size_t left_to_calls = 1, one_call = 2;
    mutable atomic<std::size_t> calls{0};

    // The step that replaces this list by `successor`; null until change::happen_at_once() sets it,
    // once, under the registration lock. A call that finds `happened` true does not begin with this list.
    // The list owns a reference to the step.
    atomic<change_step*> step{nullptr};

    // May be null. Set before `step`, then constant. Valid while this list is published: afterwards the
    // successor may have been freed.
    hook_list* successor = nullptr;

    // Guarded by the hazard domain's mutex once the list is retired.
    hook_list* next = nullptr;            // in one of the domain's chains
    bool in_slot = false;                 // a slot held the list when mark_lists_in_slots() last looked
    hook_list* next_of_bucket = nullptr;  // in the hash table of that function

    /// Builds a list. Add the hooks in running order, then call finish(): the writer does not free the
    /// list. There is room for this many entries, and for this many candidates, including one after the
    /// last candidate of each entry.
    class EXTENSIBLE_HIDDEN writer {
    public:
        EXTENSIBLE_COLD_FUNCTION writer(function_record& of, std::size_t entries, std::size_t candidates,
                                        bool is_watched);

        /// Adds the next hook as an entry. If this returns true, the entry has candidates: add them, the
        /// hook itself first, and call end_candidates().
        EXTENSIBLE_COLD_FUNCTION bool add(hook_record& hook) noexcept;
        EXTENSIBLE_COLD_FUNCTION void add_candidate(hook_record& hook) noexcept;
        void end_candidates() noexcept { new (candidate_++) hook_entry{}; }
        EXTENSIBLE_COLD_FUNCTION hook_list* finish() noexcept;

    private:
        EXTENSIBLE_COLD_FUNCTION void begin_phases(std::size_t end) noexcept;

        hook_list* list_;
        hook_entry *entry_, *candidate_;  // the next free ones
        std::size_t phases_ = 0;          // the number of phases that have begun
    };

    /// Frees a list that no call can find. Its hooks have been released, or were never retained.
    EXTENSIBLE_COLD_FUNCTION static void free(hook_list* list) noexcept;

    const hook_entry* begin(phase when) const noexcept { return first[static_cast<std::size_t>(when)]; }
    const hook_entry* begin() const noexcept { return std::launder(reinterpret_cast<const hook_entry*>(this + 1)); }

    /// Calls `visit` for each hook, candidates included, until it returns true. Returns whether it did.
    template <class Visitor>
    bool any_of(Visitor visit) const {
        for (const hook_entry* entry : first) {
            for (; entry->run; ++entry) {
                const hook_entry* candidate = entry->candidates();
                if (!candidate && visit(*entry->record)) return true;
                for (; candidate && candidate->run; ++candidate)
                    if (visit(*candidate->record)) return true;
            }
        }
        return false;
    }

    /// Returns whether a hook of the list belongs to the group.
    bool contains(const hook_group& hooks) const noexcept {
        return any_of([&](const hook_record& hook) { return hooks.has(hook); });
    }

private:
    hook_list(function_record& of, bool is_watched) noexcept : function(&of), name(of.name), watched(is_watched) {}
    ~hook_list() = default;
};

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

// The entries and the candidates follow the list in the same allocation.
hook_list::writer::writer(function_record& of, std::size_t entries, std::size_t candidates, bool is_watched) {
    static_assert(sizeof(hook_list) % alignof(hook_entry) == 0);
    void* const memory = ::operator new(sizeof(hook_list) + (entries + phase_count + candidates) * sizeof(hook_entry));
    list_ = new (memory) hook_list(of, is_watched);
    entry_ = reinterpret_cast<hook_entry*>(list_ + 1);
    candidate_ = entry_ + entries + phase_count;
}

void hook_list::writer::begin_phases(std::size_t end) noexcept {
    for (; phases_ < end; ++phases_) {
        if (phases_ != 0) new (entry_++) hook_entry{};  // ends the previous phase
        list_->first[phases_] = entry_;
    }
}

bool hook_list::writer::add(hook_record& hook) noexcept {
    begin_phases(static_cast<std::size_t>(hook.when) + 1);
    const bool has_candidates = hook.erased.run_with_options && (list_->watched || hook.needs_check_in_call);
    if (has_candidates) new (entry_++) hook_entry{hook.erased.run_with_options, candidate_, &hook};
    else new (entry_++) hook_entry{hook.erased.run, hook.object_to_run(), &hook};
    list_->has_finishers |= hook.erased.returns_finisher;
    list_->nothing_after_function &= hook.when == phase::start && !hook.erased.returns_finisher;
    return has_candidates;
}

void hook_list::writer::add_candidate(hook_record& hook) noexcept {
    new (candidate_++) hook_entry{hook.erased.run, hook.object_to_run(), &hook};
    list_->has_finishers |= hook.erased.returns_finisher;
    list_->nothing_after_function &= !hook.erased.returns_finisher;
}

hook_list* hook_list::writer::finish() noexcept {
    begin_phases(phase_count);
    new (entry_) hook_entry{};
    return list_;
}

void hook_list::free(hook_list* list) noexcept {
    // Relaxed: no other thread can find the list.
    const ref<change_step> step(ref<change_step>::adopted{list->step.load(std::memory_order_relaxed)});
    list->~hook_list();
    ::operator delete(list);
}

#endif

}}}  // namespace ext::detail
