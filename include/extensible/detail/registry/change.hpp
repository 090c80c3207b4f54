#pragma once

// How is a change applied as a whole?
//
// What must stay true:
// 1. A change happens completely or not at all: everything that may throw runs before a call can see
//    any of it (tests/out_of_memory.cpp).
// 2. Calls see it in one step: if a thread has seen the change in one wrapper, its later calls see it in
//    all wrappers (tests/explorer, scenarios "step", "stepone", "stepshared" and
//    "twosites"; tests/plugin.cpp).
// 3. A list holds its hooks before a call can see it (tests/explorer, scenario "handon").
// 4. No call waits until a step is complete: see hazard_guard::complete_step().
//
// Not here: which changes there are: locked_registry.hpp. How calls read a list: reclaim/hazard_guard.hpp.

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

// Ends the registration of the `leaving` hooks in `former` that belong to `function` itself; of the hooks
// under patterns, if `function` is null.
EXTENSIBLE_COLD_FUNCTION void end_registrations(const hook_selection& leaving, const hook_order& former,
                                                const function_record* function) noexcept {
    for (const ordered_hook& each : former) {
        if (!leaving.has(*each.hook) || each.hook->function.get() != function) continue;
        each.hook->registered = false;
        each.hook->registry->domain->release(*each.hook);
    }
}

/// A change of the hooks of functions. First state what changes, then call make() once. If one of these
/// throws, or make() is not called, nothing changes. The registry must be locked meanwhile.
class EXTENSIBLE_HIDDEN change {
public:
    explicit change(registry_record& registry) noexcept : registry_(registry), watched_(registry.watched) {}
    change(const change&) = delete;
    change& operator=(const change&) = delete;
    ~change() {
        while (changes_) delete std::exchange(changes_, changes_->next_change);
    }

    /// Gives the function these hooks, and builds the list of those that its calls run. Call it at most
    /// once for each function.
    EXTENSIBLE_COLD void set_hooks(function_record& function, hook_order hooks) {
        changes_ = new function_change{ref(&function), std::move(hooks), changes_};
        if (!function.sites) return;  // the hooks wait
        bool any_runs = false, any_candidates = watched_, any_replaces = false;
        for (const ordered_hook& each : changes_->hooks) {
            any_runs = any_runs || is_active_in(*each.hook, function);
            any_candidates |= each.hook->needs_check_in_call;
            any_replaces |= each.hook->replaces;
        }
        if (!any_runs) return;
        const replacements replaced = any_replaces ? replacements(changes_->hooks, &function) : replacements();
        // Each hook is at most one entry and one candidate, and one more candidate ends those of an entry.
        const std::size_t most = changes_->hooks.size();
        hook_list::writer list(function, most, any_candidates ? 2 * most : 0, watched_);
        for (const ordered_hook& each : changes_->hooks) {
            hook_record* hook = each.hook;
            if (!is_active_in(*hook, function) || replaced.replacement_of(*hook) || !list.add(*hook)) continue;
            for (; hook; hook = replaced.next_replaced(*hook)) list.add_candidate(*hook);
            list.end_candidates();
        }
        changes_->rebuilt = list.finish();
    }

    /// Rebuilds the list of a function that keeps its hooks, because some were enabled or disabled, or
    /// because it was wrapped.
    void refresh(function_record& function) { set_hooks(function, function.hooks); }

    /// States whether there will be monitors. If that changes, rebuilds the lists of all functions.
    void watch(bool watched) {
        if (watched == watched_) return;
        watched_ = watched;
        registry_.contents->functions.for_each([this](function_record& function) { refresh(function); });
    }

    /// Makes the change, for all calls that begin afterwards. May throw std::bad_alloc.
    EXTENSIBLE_COLD void make() {
        std::size_t site_count = 0;
        for (const function_change* p = changes_; p; p = p->next_change)
            for (const wrapper_site* s = p->publishes() ? p->function->sites : nullptr; s; s = s->next) ++site_count;
        const ref<change_step> step = site_count > 1 ? prepare_step() : ref<change_step>();

        // Nothing throws from here on. The lists hold their hooks before a call can see them.
        registry_.watched = watched_;
        for (const function_change* p = changes_; p; p = p->next_change)
            if (p->rebuilt) registry_.domain->retain(*p->rebuilt);
        if (step) happen_at_once(*step);
        for (function_change* p = changes_; p; p = p->next_change) install(*p);
    }

    /// After make(): ends the registration of the `leaving` hooks of one function, or of all functions
    /// of the change if `from` is null.
    void end_registrations(const hook_selection& leaving, const function_record* from) noexcept {
        for (const function_change* p = changes_; p; p = p->next_change)
            if (!from || p->function.get() == from) detail::end_registrations(leaving, p->hooks, p->function.get());
    }

private:
    struct function_change {
        ref<function_record> function;
        hook_order hooks;  // the function's new hooks; after install(), its former hooks
        function_change* next_change;
        hook_list* rebuilt = nullptr;      // the list to publish; null if no hook runs, and after install()
        hook_list* placeholder = nullptr;  // an empty list that announces the step if no list is published

        bool publishes() const noexcept { return rebuilt || function->published; }
        // Lists that are still here have never been published: the change was not made.
        ~function_change() {
            if (rebuilt) hook_list::free(rebuilt);
            if (placeholder) hook_list::free(placeholder);
        }
    };

    // Allocates what happen_at_once() needs.
    ref<change_step> prepare_step() {
        ref step(new change_step);
        for (function_change* p = changes_; p; p = p->next_change)
            if (p->rebuilt && !p->function->published)
                p->placeholder = hook_list::writer(*p->function, 0, 0, watched_).finish();
        return step;
    }

    // Makes the change happen in all sites at once:
    // 1. Each published list announces the step and its successor. The store of `step` pairs with the load
    //    in hazard_guard::complete_step().
    // 2. A call that loads `quick_domain` from now on does not take the fast path, on which it would not
    //    look for a step. The store pairs with the loads in hazard_guard's constructor and in
    //    protect_nested().
    // 3. One store makes the step happen. It pairs with the load of `happened` in complete_step(). From
    //    then on, a call that finds an old list publishes the successor itself, and need not wait.
    // A call that saw the step in another function must find it announced here, and must look for it. So
    // 3 follows 1 and 2 of all functions. The stores are sequentially consistent, as in publish(), but
    // release would be enough: that call has acquired them (tests/explorer/weakenings.txt).
    void happen_at_once(change_step& step) noexcept {
        for (function_change* p = changes_; p; p = p->next_change) {
            if (!p->publishes()) continue;
            function_record& function = *p->function;
            hook_list& list = p->placeholder ? *p->placeholder : *function.published;
            list.successor = p->rebuilt;
            list.step.store(ref(&step).release(), std::memory_order_seq_cst);
            for (wrapper_site* s = function.sites; s; s = s->next)
                s->quick_domain.store(nullptr, std::memory_order_seq_cst);
            if (p->placeholder) {
                function.published = std::exchange(p->placeholder, nullptr);
                publish(function, function.published);
            }
        }
        step.happened.store(true, std::memory_order_seq_cst);
    }

    // Sequentially consistent: a call that protects a list loads `hooks` a second time, and either finds
    // the new list, or has the old one in its slot, where hazard_domain::any_slot() finds it. Pairs with
    // the loads of `hooks` in hazard_guard::protect_fast() and protect_slow(), in
    // extensible::operator(), and in hook_watch's constructor.
    static void publish(const function_record& function, hook_list* list) noexcept {
        for (wrapper_site* s = function.sites; s; s = s->next) s->hooks.store(list, std::memory_order_seq_cst);
    }

    void install(function_change& p) noexcept {
        function_record& function = *p.function;
        if (p.publishes()) {
            hook_list* const replaced = std::exchange(function.published, std::exchange(p.rebuilt, nullptr));
            publish(function, function.published);
            // After publish(): a call that finds the domain here takes the fast path, on which it must
            // find the new list. Pairs with the acquire loads of `quick_domain` in hazard_guard.
            for (wrapper_site* s = function.sites; s; s = s->next)
                s->quick_domain.store(registry_.domain, std::memory_order_seq_cst);
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
