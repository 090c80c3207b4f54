#pragma once

// What does a call run?

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
    run_hook* run;  // null in the entry after the last of a phase
    void* object;   // what `run` receives
    hook_record* record;

    /// For a hook with options, and for every hook while monitors watch: the hooks of which one runs in this turn. The first is the
    /// entry's own; if a call skips it, the next one runs, which the first replaces. The entry after the last has no `run`. Null for
    /// any other hook, which always runs.
    const hook_entry* candidates() const noexcept {
        return run == record->erased.run_guarded ? static_cast<const hook_entry*>(object) : nullptr;
    }
};

/// A change of several functions' hooks, which takes place in one step for all calls that begin afterwards.
struct change_step : reference_counted {
    atomic<bool> happened{false};
};

/// The enabled hooks of a function in running order, phase by phase: what one call runs. Never changed once it is published.
/// Who replaces it retires it to the hazard domain, which destroys it when no call holds it.
struct hook_list {
    const ref<function_record> function;
    const std::string_view name;             // the function's
    const hook_entry* first[phase_count]{};  // of each phase; the entry after the last of a phase has no `run`
    bool has_finishers = false;                   // one of them returns the end of its call
    const bool watched;                      // by monitors
    bool only_start_hooks = true;            // and none of them returns an end

    // Calls that hold the list without a hazard slot, each counted as `one_call`. And whether the last of them looks after it.
    static constexpr std::size_t left_to_calls = 1, one_call = 2;
    mutable atomic<std::size_t> calls{0};

    // Once this step has happened, no call begins with this list, but with `successor`. Null while no step is under way.
    atomic<change_step*> step{nullptr};
    hook_list* successor = nullptr;  // set before `step`; used only while this list is still published

    // Guarded by the hazard domain's mutex, from when it is retired on.
    hook_list* next = nullptr;  // in the domain's chain
    bool in_slot = false;       // at the last look
    hook_list* next_of_bucket = nullptr;  // in the table of that look

    /// Makes a list. Its hooks are added in running order. There is room for this many entries and candidates of entries.
    class EXTENSIBLE_HIDDEN writer {
    public:
        writer(function_record& of, std::size_t entries, std::size_t candidates, bool is_watched);

        /// Adds the next hook. If it returns true, add its candidates, the hook itself first, and call
        /// end_candidates().
        bool add(hook_record& hook) noexcept;
        void add_candidate(hook_record& hook) noexcept;
        void end_candidates() noexcept { new (candidate_++) hook_entry{}; }
        hook_list* finish() noexcept;

    private:
        void begin_phases(std::size_t end) noexcept;

        hook_list* list_;
        hook_entry *entry_, *candidate_;  // where the next one comes
        std::size_t phases_ = 0;          // that have begun
    };

    EXTENSIBLE_COLD_FUNCTION static void free(hook_list* list) noexcept;

    const hook_entry* begin(phase when) const noexcept { return first[static_cast<std::size_t>(when)]; }
    const hook_entry* begin() const noexcept { return std::launder(reinterpret_cast<const hook_entry*>(this + 1)); }

    /// Calls `visit` for each hook until it returns true. Returns whether it has.
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

    /// Whether it has a hook of the group.
    bool contains(const hook_group& hooks) const noexcept {
        return any_of([&](const hook_record& hook) { return hooks.has(hook); });
    }

private:
    hook_list(function_record& of, bool is_watched) noexcept : function(&of), name(of.name), watched(is_watched) {}
    ~hook_list() = default;
};

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

EXTENSIBLE_COLD_FUNCTION hook_list::writer::writer(function_record& of, std::size_t entries, std::size_t candidates,
                                              bool is_watched) {
    static_assert(sizeof(hook_list) % alignof(hook_entry) == 0);
    void* const memory = ::operator new(sizeof(hook_list) + (entries + phase_count + candidates) * sizeof(hook_entry));
    list_ = new (memory) hook_list(of, is_watched);
    entry_ = reinterpret_cast<hook_entry*>(list_ + 1);
    candidate_ = entry_ + entries + phase_count;
}

EXTENSIBLE_COLD_FUNCTION void hook_list::writer::begin_phases(std::size_t end) noexcept {
    for (; phases_ < end; ++phases_) {
        if (phases_ != 0) new (entry_++) hook_entry{};  // after the last one of the phase before
        list_->first[phases_] = entry_;
    }
}

EXTENSIBLE_COLD_FUNCTION bool hook_list::writer::add(hook_record& hook) noexcept {
    begin_phases(static_cast<std::size_t>(hook.when) + 1);
    const bool guarded = hook.erased.run_guarded && (list_->watched || hook.has_options);
    if (guarded) new (entry_++) hook_entry{hook.erased.run_guarded, candidate_, &hook};
    else new (entry_++) hook_entry{hook.erased.run, hook.object_to_run(), &hook};
    list_->has_finishers |= hook.erased.returns_finisher;
    list_->only_start_hooks &= hook.when == phase::start && !hook.erased.returns_finisher;
    return guarded;
}

EXTENSIBLE_COLD_FUNCTION void hook_list::writer::add_candidate(hook_record& hook) noexcept {
    new (candidate_++) hook_entry{hook.erased.run, hook.object_to_run(), &hook};
    list_->has_finishers |= hook.erased.returns_finisher;
    list_->only_start_hooks &= !hook.erased.returns_finisher;
}

EXTENSIBLE_COLD_FUNCTION hook_list* hook_list::writer::finish() noexcept {
    begin_phases(phase_count);
    new (entry_) hook_entry{};
    return list_;
}

void hook_list::free(hook_list* list) noexcept {
    // Relaxed: nobody else has the list any more.
    const ref<change_step> step(ref<change_step>::adopted{list->step.load(std::memory_order_relaxed)});
    list->~hook_list();
    ::operator delete(list);
}

#endif

}}}  // namespace ext::detail
