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

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace ext::detail {

/// Orders hooks that run in one phase of one function. `hooks` are in any order.
class hook_order {
public:
    explicit hook_order(std::vector<ref<hook_record>> hooks) : hooks_(std::move(hooks)), nodes_(hooks_.size()) {
        std::map<std::string_view, std::size_t> by_id;
        for (std::size_t i = 0; i < hooks_.size(); ++i)
            if (!hooks_[i]->id.empty()) by_id[hooks_[i]->id] = i;
        for (std::size_t i = 0; i < hooks_.size(); ++i) {
            nodes_[i].priority = hooks_[i]->priority;
            for (const std::string& id : hooks_[i]->after)
                if (const auto at = by_id.find(id); at != by_id.end()) {
                    nodes_[i].runs_after.push_back(at->second);
                    nodes_[at->second].followers.push_back(i);
                }
            for (const std::string& id : hooks_[i]->before)
                if (const auto at = by_id.find(id); at != by_id.end()) nodes_[at->second].forerunners.push_back(i);
        }
    }

    /// The hooks in running order. Throws order_cycle.
    std::vector<ref<hook_record>> run() {
        std::vector<std::size_t> sorted;  // everything behind what it must run after
        for (std::size_t i = 0; i < nodes_.size(); ++i) sort_from(i, sorted);
        for (std::size_t i : sorted)
            for (std::size_t earlier : nodes_[i].runs_after)
                nodes_[i].priority = std::max(nodes_[i].priority, nodes_[earlier].priority);
        for (auto i = sorted.rbegin(); i != sorted.rend(); ++i)
            for (std::size_t earlier : nodes_[*i].forerunners)
                nodes_[earlier].priority = std::min(nodes_[earlier].priority, nodes_[*i].priority);

        const auto comes_first = [this](std::size_t a, std::size_t b) {
            return std::tie(nodes_[a].priority, hooks_[a]->number) < std::tie(nodes_[b].priority, hooks_[b]->number);
        };
        std::sort(sorted.begin(), sorted.end(), comes_first);
        for (node& n : nodes_) {
            std::sort(n.forerunners.begin(), n.forerunners.end(), comes_first);
            std::sort(n.followers.begin(), n.followers.end(), comes_first);
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
        if (std::all_of(n.runs_after.begin(), n.runs_after.end(), [this](std::size_t e) { return nodes_[e].placed; }))
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
        std::string text = hooks_.front()->function->name + ": the " + std::string(name_of(hooks_.front()->when)) +
                           " hooks cannot be put in order: ";
        const auto first = std::find(path_.begin(), path_.end(), path_.back());
        for (auto i = path_.end(); i != first;) {
            const std::string& id = hooks_[*--i]->id;
            text += (id.empty() ? "(a hook without id)" : "'" + id + "'") + (i != first ? " before " : "");
        }
        throw order_cycle(text);
    }

    std::vector<ref<hook_record>> hooks_;
    std::vector<node> nodes_;
    std::vector<std::size_t> path_;
    std::vector<ref<hook_record>> placed_;
};

/// The hooks of one function, of all phases, in running order. `hooks` is in that order but for the last one, which is new,
/// or for what `before` and `after` make of those that are gone. Throws order_cycle.
inline std::vector<ref<hook_record>> in_running_order(std::vector<ref<hook_record>> hooks) {
    const auto key = [](const ref<hook_record>& hook) { return std::tie(hook->when, hook->priority, hook->number); };
    const auto earlier = [&](const auto& a, const auto& b) { return key(a) < key(b); };
    const bool constrained = std::any_of(hooks.begin(), hooks.end(), [](const ref<hook_record>& hook) {
        return !hook->before.empty() || !hook->after.empty();
    });
    if (!constrained) {
        std::sort(hooks.begin(), hooks.end(), earlier);
        return hooks;
    }
    std::vector<ref<hook_record>> ordered;
    for (std::size_t p = 0; p < phase_count; ++p) {
        std::vector<ref<hook_record>> part;
        std::copy_if(hooks.begin(), hooks.end(), std::back_inserter(part),
                     [&](const ref<hook_record>& hook) { return hook->when == static_cast<phase>(p); });
        part = hook_order(std::move(part)).run();
        ordered.insert(ordered.end(), part.begin(), part.end());
    }
    return ordered;
}

}  // namespace ext::detail
