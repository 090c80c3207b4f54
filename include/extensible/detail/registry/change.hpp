#pragma once

// How is a change applied as a whole? Each change happens whole or not at all, and in one step for the calls that begin afterwards.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/system.hpp>
#include <extensible/detail/reclaim/hazard_domain.hpp>
#include <extensible/detail/records/array.hpp>
#include <extensible/detail/records/function_record.hpp>
#include <extensible/detail/records/hook_list.hpp>
#include <extensible/detail/records/hook_record.hpp>
#include <extensible/detail/records/ref.hpp>
#include <extensible/detail/records/registry_record.hpp>
#include <extensible/detail/registry/replacements.hpp>

#include <cstddef>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

#if EXTENSIBLE_BODIES

// Ends the registration of the hooks that leave. `former` is what the function had; the function is null for hooks
// under patterns.
EXTENSIBLE_COLD_FUNCTION void release_hooks(const hook_selection& leaving, const hook_order& former,
                                   const function_record* function) noexcept {
    for (const ordered_hook& each : former) {
        if (!leaving.has(*each.hook) || each.hook->function.get() != function) continue;
        each.hook->registered = false;
        each.hook->registry->domain->release(*each.hook);
    }
}

/// A change that is being prepared: what the functions concerned have and run from then on. The registry is locked all the while.
/// Everything that may throw does so before or in make(), and leaves everything as it was.
class EXTENSIBLE_HIDDEN change {
public:
    explicit change(registry_record& registry) noexcept : registry_(registry), watched_(registry.watched) {}
    change(const change&) = delete;
    change& operator=(const change&) = delete;
    EXTENSIBLE_COLD ~change() {
        while (changes_) delete std::exchange(changes_, changes_->next_change);
    }

    /// The function has these hooks from then on, and calls run those that are enabled.
    EXTENSIBLE_COLD void set_hooks(function_record& function, hook_order hooks) {
        changes_ = new function_change{ref(&function), std::move(hooks), changes_};
        if (!function.sites) return;  // the hooks wait
        bool any_runs = false, any_candidates = watched_, any_replaces = false;
        for (const ordered_hook& each : changes_->hooks) {
            any_runs = any_runs || is_active_in(*each.hook, function);
            any_candidates |= each.hook->has_options;
            any_replaces |= each.hook->replaces;
        }
        if (!any_runs) return;
        const replacements replaced = any_replaces ? replacements(changes_->hooks, &function) : replacements();
        // Each hook is an entry or a candidate, and the candidates of each entry need one more after the last.
        const std::size_t most = changes_->hooks.size();
        hook_list::writer list(function, most, any_candidates ? 2 * most : 0, watched_);
        for (const ordered_hook& each : changes_->hooks) {
            hook_record* hook = each.hook;
            if (!is_active_in(*hook, function) || replaced.replacement_of(*hook) || !list.add(*hook)) continue;
            for (; hook; hook = replaced.next_replaced(*hook)) list.add_candidate(*hook);
            list.end_candidates();
        }
        changes_->next = list.finish();
    }

    /// The function's hooks stay, but other ones are enabled, or its wrappers have changed.
    EXTENSIBLE_COLD void refresh(function_record& function) { set_hooks(function, function.hooks); }

    /// From then on all functions are watched by monitors; or no more.
    EXTENSIBLE_COLD void watch(bool watched) {
        if (watched == watched_) return;
        watched_ = watched;
        registry_.contents->functions.for_each([this](function_record& function) { refresh(function); });
    }

    /// Makes the change, for all calls that begin afterwards.
    EXTENSIBLE_COLD void make() {
        std::size_t sites = 0;
        for (const function_change* p = changes_; p; p = p->next_change)
            for (const wrapper_site* s = p->publishes() ? p->function->sites : nullptr; s; s = s->next) ++sites;
        const ref<change_step> step = sites > 1 ? prepare_step() : ref<change_step>();

        // Nothing fails from here on. A hook has its holders before a call can see it.
        registry_.watched = watched_;
        for (const function_change* p = changes_; p; p = p->next_change)
            if (p->next) registry_.domain->retain(*p->next);
        if (step) happen_at_once(*step);
        for (function_change* p = changes_; p; p = p->next_change) commit(*p);
    }

    /// After make(): ends the registration of hooks that left one function, or all functions if that is null.
    EXTENSIBLE_COLD void release_hooks(const hook_selection& leaving, const function_record* from) noexcept {
        for (const function_change* p = changes_; p; p = p->next_change)
            if (!from || p->function.get() == from) detail::release_hooks(leaving, p->hooks, p->function.get());
    }

private:
    struct function_change {
        ref<function_record> function;
        hook_order hooks;  // its hooks from then on; once the change is made, those that it had
        function_change* next_change;
        hook_list* next = nullptr;         // what is published then; null where no hook runs
        hook_list* placeholder = nullptr;  // what is published until the step has happened, where nothing was before

        bool publishes() const noexcept { return next || function->published; }
        EXTENSIBLE_COLD ~function_change() {  // where the change was not made, these have never been published
            if (next) hook_list::free(next);
            if (placeholder) hook_list::free(placeholder);
        }
    };

    // Makes what is needed to change several sites in one step.
    EXTENSIBLE_COLD ref<change_step> prepare_step() {
        ref step(new change_step);
        for (function_change* p = changes_; p; p = p->next_change)
            if (p->next && !p->function->published) p->placeholder = hook_list::writer(*p->function, 0, 0, watched_).finish();
        return step;
    }

    // Announces the change in every list that is in use, then lets it happen for all of them at once. From the announcement on no
    // call takes the quick way, in which it would not look for a step.
    EXTENSIBLE_COLD void happen_at_once(change_step& step) noexcept {
        for (function_change* p = changes_; p; p = p->next_change) {
            if (!p->publishes()) continue;
            function_record& function = *p->function;
            hook_list& list = p->placeholder ? *p->placeholder : *function.published;
            list.successor = p->next;
            list.step.store(ref(&step).release(), std::memory_order_seq_cst);
            for (wrapper_site* s = function.sites; s; s = s->next) s->quick_domain.store(nullptr, std::memory_order_seq_cst);
            if (p->placeholder) {
                function.published = std::exchange(p->placeholder, nullptr);
                publish(function, function.published);
            }
        }
        step.happened.store(true, std::memory_order_seq_cst);
    }

    // In the order of a sequentially consistent store: a call either finds the new list, or is found holding the old one.
    EXTENSIBLE_COLD static void publish(const function_record& function, hook_list* list) noexcept {
        for (wrapper_site* s = function.sites; s; s = s->next) s->hooks.store(list, std::memory_order_seq_cst);
    }

    EXTENSIBLE_COLD void commit(function_change& p) noexcept {
        function_record& function = *p.function;
        if (p.publishes()) {
            hook_list* const replaced = std::exchange(function.published, std::exchange(p.next, nullptr));
            publish(function, function.published);
            // Behind the hooks: see hazard_guard.
            for (wrapper_site* s = function.sites; s; s = s->next) s->quick_domain.store(registry_.domain, std::memory_order_seq_cst);
            if (replaced) registry_.domain->retire(*replaced);
        }
        function.hooks.swap(p.hooks);
    }

    registry_record& registry_;
    bool watched_;
    function_change* changes_ = nullptr;
};

#endif

}}}  // namespace ext::detail
