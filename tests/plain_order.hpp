#pragma once

// In which order do hooks run? The rules of detail/order.hpp as plainly as they can be written: everything anew, and slow.

#include <algorithm>
#include <cstddef>
#include <string>
#include <tuple>
#include <vector>

/// The `before` and `after` of hooks go round in a circle.
struct plain_order_cycle {};

/// Puts hooks of one phase in order. A Hook has `id`, `pattern`, `priority`, `before`, `after`, `number`, `replaces` and `takes_place`:
/// as a hook_record has them.
template <class Hook>
class plain_order {
public:
    explicit plain_order(const std::vector<Hook*>& hooks) {
        for (Hook* hook : hooks) {
            const Hook* const place = place_of(*hook, hooks);
            nodes_.push_back({hook, place, place->priority});
        }
        for (node& n : nodes_) {
            for (const std::string& id : n.place->after)
                for (node& earlier : nodes_)
                    if (!id.empty() && earlier.hook->id == id) {
                        n.runs_after.push_back(&earlier);
                        earlier.followers.push_back(&n);
                    }
            for (const std::string& id : n.place->before)
                for (node& later : nodes_)
                    if (!id.empty() && later.hook->id == id) later.forerunners.push_back(&n);
        }
    }

    /// Throws plain_order_cycle.
    std::vector<Hook*> run() {
        std::vector<node*> sorted;  // everything behind what it must run after
        for (node& n : nodes_) sort_from(n, sorted);
        for (node* n : sorted)
            for (node* earlier : n->runs_after) n->priority = std::max(n->priority, earlier->priority);
        for (std::size_t at = sorted.size(); at-- > 0;)
            for (node* earlier : sorted[at]->forerunners) earlier->priority = std::min(earlier->priority, sorted[at]->priority);
        sort(sorted);
        for (node& n : nodes_) sort(n.runs_after), sort(n.forerunners), sort(n.followers);
        for (node* n : sorted) place_when_due(*n);
        return placed_;
    }

private:
    struct node {
        Hook* hook;
        const Hook* place;  // states its place: itself, or the one that it replaces
        int priority;       // what it counts with
        std::vector<node*> runs_after{}, followers{}, forerunners{};
        enum { unseen, open, sorted } mark = unseen;
        bool due = false, placed = false;
    };

    static const Hook* place_of(const Hook& hook, const std::vector<Hook*>& hooks) {
        if (hook.takes_place && !hook.id.empty())
            for (const Hook* other : hooks)
                if (!other->replaces && other->id == hook.id && other->pattern == hook.pattern) return other;
        return &hook;
    }
    static void sort(std::vector<node*>& nodes) {
        const auto rank = [](const node* n) {
            return std::tuple(n->priority, n->place->priority, n->place->number, n->hook->number);
        };
        std::sort(nodes.begin(), nodes.end(), [&](const node* a, const node* b) { return rank(a) < rank(b); });
    }
    static void sort_from(node& n, std::vector<node*>& sorted) {
        if (n.mark == node::sorted) return;
        if (n.mark == node::open) throw plain_order_cycle();
        n.mark = node::open;
        for (node* earlier : n.runs_after) sort_from(*earlier, sorted);
        for (node* earlier : n.forerunners) sort_from(*earlier, sorted);
        n.mark = node::sorted;
        sorted.push_back(&n);
    }
    void place_when_due(node& n) {
        n.due = true;
        for (node* earlier : n.runs_after)
            if (!earlier->placed) return;
        place(n);
    }
    void place(node& n) {
        if (n.placed) return;
        for (node* earlier : n.runs_after) place(*earlier);
        for (node* earlier : n.forerunners) place(*earlier);
        if (n.placed) return;  // a follower of one of those
        n.placed = true;
        placed_.push_back(n.hook);
        for (node* follower : n.followers)
            if (follower->due) place_when_due(*follower);
    }

    std::vector<node> nodes_;
    std::vector<Hook*> placed_;
};
