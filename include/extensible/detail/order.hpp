#pragma once

// In which order do hooks run? The rules, in one place:
//
// 1. A hook counts with its priority, smaller first. One that must run after another counts with at least what that one
//    counts with; one that must run before another, with at most that.
// 2. Hooks that count the same run in order of registration.
// 3. Where that does not satisfy a `before` or `after`, the hook that states it moves: later, directly behind the last one
//    that it must run after; or earlier, directly before the one that it must run before. When both leave it no room, what
//    it must run after moves with it.
// 4. Ids that nobody has registered are passed over. A cycle is an error.

#include <extensible/detail/records.hpp>
#include <extensible/error.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ext::detail {

/// Linear where only a few are out of place, as after a registration; and quick to compile, unlike std::sort.
template <class T, class Less>
void insertion_sort(std::vector<T>& items, Less less) {
    for (std::size_t i = 1; i < items.size(); ++i)
        for (std::size_t at = i; at > 0 && less(items[at], items[at - 1]); --at) std::swap(items[at], items[at - 1]);
}

/// Orders hooks that run in one phase of one function. `hooks` are in any order.
class hook_order {
public:
    hook_order(std::string_view function, std::vector<ref<hook_record>> hooks)
        : function_(function), hooks_(std::move(hooks)), nodes_(hooks_.size()) {
        for (std::size_t i = 0; i < hooks_.size(); ++i) {
            nodes_[i].priority = hooks_[i]->priority;
            for (const std::string& id : hooks_[i]->after)
                if (const std::size_t earlier = index_of(id); earlier != hooks_.size()) {
                    nodes_[i].runs_after.push_back(earlier);
                    nodes_[earlier].followers.push_back(i);
                }
            for (const std::string& id : hooks_[i]->before)
                if (const std::size_t later = index_of(id); later != hooks_.size()) nodes_[later].forerunners.push_back(i);
        }
    }

    /// The hooks in running order. Throws order_cycle.
    std::vector<ref<hook_record>> run() {
        std::vector<std::size_t> sorted;  // everything behind what it must run after
        for (std::size_t i = 0; i < nodes_.size(); ++i) sort_from(i, sorted);
        for (std::size_t i : sorted)
            for (std::size_t earlier : nodes_[i].runs_after)
                if (nodes_[i].priority < nodes_[earlier].priority) nodes_[i].priority = nodes_[earlier].priority;
        for (std::size_t at = sorted.size(); at-- > 0;) {
            const int later = nodes_[sorted[at]].priority;
            for (std::size_t earlier : nodes_[sorted[at]].forerunners)
                if (later < nodes_[earlier].priority) nodes_[earlier].priority = later;
        }

        const auto comes_first = [this](std::size_t a, std::size_t b) {
            return nodes_[a].priority != nodes_[b].priority ? nodes_[a].priority < nodes_[b].priority
                                                            : hooks_[a]->number < hooks_[b]->number;
        };
        insertion_sort(sorted, comes_first);
        for (node& n : nodes_) {
            insertion_sort(n.forerunners, comes_first);
            insertion_sort(n.followers, comes_first);
        }
        for (std::size_t i : sorted) place_when_due(i);
        return std::move(placed_);
    }

private:
    struct node {
        std::vector<std::size_t> runs_after;   // stated by this hook
        std::vector<std::size_t> followers;    // hooks that state that they run after this one
        std::vector<std::size_t> forerunners;  // hooks that state that they run before this one
        int priority = 0;                      // what it counts with
        enum { unseen, open, sorted } mark = unseen;
        bool due = false, placed = false;
    };

    std::size_t index_of(std::string_view id) const noexcept {
        std::size_t i = 0;
        while (i < hooks_.size() && hooks_[i]->id != id) ++i;
        return i;
    }

    void sort_from(std::size_t i, std::vector<std::size_t>& sorted) {
        node& n = nodes_[i];
        if (n.mark == node::sorted) return;
        path_.push_back(i);
        if (n.mark == node::open) throw_cycle();
        n.mark = node::open;
        for (std::size_t earlier : n.runs_after) sort_from(earlier, sorted);
        for (std::size_t earlier : n.forerunners) sort_from(earlier, sorted);
        n.mark = node::sorted;
        path_.pop_back();
        sorted.push_back(i);
    }

    // The hook's turn has come by rules 1 and 2. It still waits for those that it must run after.
    void place_when_due(std::size_t i) {
        node& n = nodes_[i];
        n.due = true;
        for (std::size_t earlier : n.runs_after)
            if (!nodes_[earlier].placed) return;
        place(i);
    }

    void place(std::size_t i) {
        node& n = nodes_[i];
        if (n.placed) return;
        for (std::size_t earlier : n.runs_after) place(earlier);
        for (std::size_t earlier : n.forerunners) place(earlier);
        if (n.placed) return;  // a follower of one of those
        n.placed = true;
        placed_.push_back(hooks_[i]);
        for (std::size_t follower : n.followers)
            if (nodes_[follower].due) place_when_due(follower);
    }

    [[noreturn]] void throw_cycle() const {
        std::string text = std::string(function_) + ": the " + std::string(to_string(hooks_.front()->when)) +
                           " hooks cannot be put in order: ";
        std::size_t first = 0;
        while (path_[first] != path_.back()) ++first;
        for (std::size_t at = path_.size(); at-- > first;) {
            const std::string& id = hooks_[path_[at]]->id;
            text += (id.empty() ? "(a hook without id)" : "'" + id + "'") + (at != first ? " before " : "");
        }
        throw order_cycle(text);
    }

    std::string_view function_;  // for the text of an error
    std::vector<ref<hook_record>> hooks_;
    std::vector<node> nodes_;
    std::vector<std::size_t> path_;
    std::vector<ref<hook_record>> placed_;
};

/// The hooks of one function, of all phases, in running order. `hooks` is in that order but for the last one, which is new,
/// or for what `before` and `after` make of those that are gone. Throws order_cycle.
inline std::vector<ref<hook_record>> in_running_order(std::string_view function, std::vector<ref<hook_record>> hooks) {
    bool constrained = false;
    for (const auto& hook : hooks) constrained |= !hook->before.empty() || !hook->after.empty();
    if (!constrained) {
        insertion_sort(hooks, [](const ref<hook_record>& a, const ref<hook_record>& b) {
            if (a->when != b->when) return a->when < b->when;
            return a->priority != b->priority ? a->priority < b->priority : a->number < b->number;
        });
        return hooks;
    }
    std::vector<ref<hook_record>> ordered;
    for (std::size_t p = 0; p < phase_count; ++p) {
        std::vector<ref<hook_record>> part;
        for (const auto& hook : hooks)
            if (hook->when == static_cast<phase>(p)) part.push_back(hook);
        for (auto& hook : hook_order(function, std::move(part)).run()) ordered.push_back(std::move(hook));
    }
    return ordered;
}

}  // namespace ext::detail
