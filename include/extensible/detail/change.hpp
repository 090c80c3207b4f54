#pragma once

// How does a registry change? All functions that a change concerns get their new hooks in one step, or nothing happens.

#include <extensible/detail/call_operations.hpp>
#include <extensible/detail/hazard.hpp>
#include <extensible/detail/order.hpp>
#include <extensible/detail/reclaim.hpp>
#include <extensible/detail/records.hpp>

#include <utility>
#include <vector>

namespace ext::detail {

using hooks_in_order = std::vector<ref<hook_record>>;

/// Whether the hook can run in the function's calls: one that is awaited only in calls that are awaited in the same way, and
/// a plain one not around them. Hooks for any function may be under a pattern that matches others too.
inline bool suits(const hook_record& hook, const call_operations* function) noexcept {
    const type_identity* const stage = function ? function->stage : nullptr;
    if (hook.stage) return stage && *hook.stage == *stage;
    return hook.when != phase::around || !stage;
}

/// A change that is being prepared. The registry's mutex is held all the while. Whatever throws, before or in make(),
/// leaves everything as it was.
class change {
public:
    explicit change(registry_record& registry) noexcept : registry_(registry) {}
    change(const change&) = delete;
    change& operator=(const change&) = delete;
    ~change() {
        // Not made: these have never been published.
        for (const part& p : parts_) {
            retire(p.next);
            retire(p.placeholder);
        }
        retire(leaving_);
    }

    /// The function has these hooks from then on, in running order. Those that do not run stay in their places.
    void set_hooks(function_record& function, hooks_in_order hooks) {
        parts_.push_back({ref(&function), std::move(hooks)});
    }

    /// The hook is registered no more. The functions that had it are set hooks without it.
    void remove(const ref<hook_record>& hook) { removed_.push_back(hook); }

    /// Makes the change, for all calls that begin afterwards. May throw std::bad_alloc.
    void make() {
        std::size_t seen_by_calls = 0;
        for (part& p : parts_) {
            if (!p.function->sites) continue;
            std::vector<hook_record*> running;
            for (const auto& hook : p.hooks)
                if (hook->runs() && suits(*hook, p.function->sites->operations)) running.push_back(hook.get());
            if (!running.empty()) p.next = hook_list::make(p.function, running);
            if (p.is_seen_by_calls()) ++seen_by_calls;
        }
        // What a removed hook captured goes with the list that holds it. One that is in no list, because it is disabled or
        // waiting, gets one for that.
        std::vector<hook_record*> unlisted;
        for (const auto& hook : removed_) {
            bool listed = false;
            for (const part& p : parts_) listed |= p.function->published && p.function->published->contains(*hook);
            if (!listed) unlisted.push_back(hook.get());
        }
        if (!unlisted.empty()) leaving_ = hook_list::make({}, unlisted);

        if (seen_by_calls > 1) make_in_one_step();
        for (const auto& hook : removed_) {
            hook->registered = false;
            hook->release();  // the registration's hold; a list that is not retired yet has another one
        }
        // Retired under the same lock: who removes a hook next has to find every list that it ever was in.
        for (part& p : parts_) publish(p);
        retire(std::exchange(leaving_, nullptr));
        parts_.clear();
    }

private:
    struct part {
        ref<function_record> function;
        hooks_in_order hooks;
        hook_list* next = nullptr;         // of those that run; null where none does
        hook_list* placeholder = nullptr;  // published until the step has happened, where nothing was published before

        bool is_seen_by_calls() const noexcept { return function->published || next; }
    };

    void retire(hook_list* list) noexcept {
        if (list) registry_.domain->retire(list);
    }

    // Announces the change in every list that is in use, then lets it happen for all of them at once.
    void make_in_one_step() {
        const ref<change_step> step(new change_step);
        for (part& p : parts_)
            if (p.next && !p.function->published) p.placeholder = hook_list::make(p.function, {});
        for (part& p : parts_) {
            if (!p.is_seen_by_calls()) continue;
            if (p.placeholder) {
                announce(*p.placeholder, p.next, step);
                publish(*p.function, std::exchange(p.placeholder, nullptr));
            } else {
                announce(*p.function->published, p.next, step);
            }
        }
        step->happened.store(true, std::memory_order_seq_cst);
    }

    static void announce(hook_list& list, hook_list* successor, const ref<change_step>& step) noexcept {
        list.successor = successor;
        ref<change_step> shared = step;
        list.step.store(shared.release(), std::memory_order_seq_cst);
    }

    void publish(part& p) noexcept {
        p.function->hooks = std::move(p.hooks);
        publish(*p.function, std::exchange(p.next, nullptr));
    }

    void publish(function_record& function, hook_list* next) noexcept {
        hook_list* const replaced = std::exchange(function.published, next);
        // In the order of a sequentially consistent store: a call either finds the new list, or is found holding the old one.
        for (site* s = function.sites; s; s = s->next) s->hooks.store(next, std::memory_order_seq_cst);
        retire(replaced);
    }

    registry_record& registry_;
    std::vector<part> parts_;
    hooks_in_order removed_;
    hook_list* leaving_ = nullptr;  // the removed hooks that are in no list
};

}  // namespace ext::detail
