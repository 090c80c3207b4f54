#pragma once

// In which order do the hooks of one function run? tests/order.cpp checks these rules against an
// independent model:
//
// 1. A hook's turn is its priority, then the number of its registration. Earlier turns run first. A
//    hook with `.replace` that states no `priority`, `before` or `after` has the turn, the `before` and
//    the `after` of the hook that has its id and no `.replace`.
// 2. A hook with `before` takes the earliest turn among its own and those of the hooks that it names.
//    If a named hook has itself moved forward, the turn that it has taken applies.
// 3. A hook waits for every hook that it names in `after`, and for every hook that names it in
//    `before`.
// 4. Among the hooks that wait for no other hook, the one with the earliest turn runs next. If turns
//    are equal, the hook whose own turn is earlier runs next; if those are equal too, the hook that was
//    registered first.
//
// An id means every other hook of the phase that has it. Ids that no hook has are ignored. Disabled and
// replaced hooks keep their positions. When a plugin is reloaded, the new version's hooks are registered
// before the old version's hooks are removed. Until then, the `before`, `after` and ids of the new
// hooks do not affect the order (tests/library).
//
// Not here: which hook runs in place of another: replacements.hpp.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/records/array.hpp>
#include <extensible/detail/records/function_record.hpp>
#include <extensible/detail/records/hook_record.hpp>
#include <extensible/detail/registry/pattern.hpp>
#include <extensible/detail/types/text.hpp>
#include <extensible/error.hpp>
#include <extensible/phase.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// Returns the hooks of a function and one more. May throw order_cycle.
EXTENSIBLE_COLD_FUNCTION hook_order with_hook(std::string_view function, const hook_order& hooks, hook_record& added);

/// Returns the hooks that are not `leaving`. Pass true for `coming` if some of them have just stopped
/// being hook_record::is_coming(): their `before` and `after` take effect now, so this may throw
/// order_cycle.
EXTENSIBLE_COLD_FUNCTION hook_order without_hooks(std::string_view function, const hook_order& hooks,
                                                  const hook_selection& leaving, bool coming);

/// Returns the hooks under patterns that apply to a new function. Never throws order_cycle: there is an
/// order of all hooks under patterns, so there is one of each subset.
EXTENSIBLE_COLD_FUNCTION hook_order matching_hooks(std::string_view function, const hook_order& patterns);

/// Returns the hook that this one would duplicate, which has the same id and no `.replace`, or null.
EXTENSIBLE_COLD_FUNCTION hook_record* find_duplicate(const hook_record& like, const hook_order& hooks) noexcept;

/// Returns whether no hook of the phase, other than the `stating` hook, has this id. An empty id is
/// always unknown.
EXTENSIBLE_COLD_FUNCTION bool is_unknown(std::string_view id, const hook_record& stating,
                                         const hook_order& hooks) noexcept;

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

EXTENSIBLE_COLD_FUNCTION bool contains(const std::vector<std::string>& ids, std::string_view id) noexcept {
    for (const std::string& each : ids)
        if (each == id) return true;
    return false;
}

hook_record* find_duplicate(const hook_record& like, const hook_order& hooks) noexcept {
    for (const ordered_hook& each : hooks)
        if (!each.hook->replaces && each.hook->is_namesake(like) && !like.excludes(*each.hook)) return each.hook;
    return nullptr;
}

// Returns whether adding or removing this hook leaves the order of the other hooks as it is: it states
// nothing, and none of them names it.
EXTENSIBLE_COLD_FUNCTION bool stands_alone(const hook_record& hook, const hook_order& hooks) noexcept {
    if (hook.inherits_turn || !hook.before.empty() || !hook.after.empty()) return false;
    if (hook.id.empty()) return true;
    for (const ordered_hook& each : hooks) {
        const hook_record& other = *each.hook;
        if (&other == &hook || other.when != hook.when) continue;
        if (other.is_namesake(hook) || contains(other.before, hook.id) || contains(other.after, hook.id)) return false;
    }
    return true;
}

bool is_unknown(std::string_view id, const hook_record& stating, const hook_order& hooks) noexcept {
    for (const ordered_hook& each : hooks)
        if (each.hook != &stating && each.hook->when == stating.when && each.hook->id == id && !id.empty())
            return false;
    return true;
}

EXTENSIBLE_COLD_FUNCTION turn turn_of(const hook_record& hook) noexcept {
    return {hook.when, hook.priority, hook.number};
}

/// Computes the order of hooks from a graph. It has a node for each hook, and an edge from a hook to
/// each hook that waits for it.
class EXTENSIBLE_HIDDEN ordering {
public:
    EXTENSIBLE_COLD ordering(std::string_view function, const hook_order& hooks)
        : function_(function), hooks_(hooks), all_(hooks.size()), by_id_(hooks.size()), by_turn_(hooks.size()) {
        for (std::size_t at = 0; at != hooks.size(); ++at) {
            all_[at].hook = hooks[at].hook;
            by_id_[at] = by_turn_[at] = &all_[at];
        }
    }

    hook_order run() {
        detail::sort(by_id_, has_earlier_id);
        for (std::size_t at = 1; at < by_id_.size(); ++at)
            by_id_[at - 1]->is_last = by_id_[at - 1]->hook->id != by_id_[at]->hook->id;
        for (node& n : all_) find_turn(n);
        make_edges();
        take_turns();
        detail::sort(by_turn_, runs_first);
        for (std::size_t at = 0; at != by_turn_.size(); ++at) by_turn_[at]->position = at;

        hook_order order(all_.size());
        std::size_t count = 0;
        for (std::size_t at = 0; at != by_turn_.size();) {  // rule 4
            node& n = *by_turn_[at++];
            if (n.waits_for != 0 || n.done) continue;
            n.done = true;
            order[count++] = {n.hook, n.taken};
            for (const edge* e = n.edges; e != n.edges_end; ++e)
                if (--e->later->waits_for == 0 && e->later->position < at) at = e->later->position;
        }
        if (count != order.size()) throw_cycle();
        return order;
    }

private:
    struct node;
    struct edge {
        node* later = nullptr;  // waits for the node that owns the edge
        bool before = false;    // the owner names `later` in `before`; otherwise `later` names it in `after`
    };
    struct node {
        hook_record* hook = nullptr;
        const hook_record* options_of = nullptr;  // the hook, or the hook whose turn it inherits
        turn taken{};                             // the turn of `options_of`, unless take_turns() moved it
        edge *edges = nullptr, *edges_end = nullptr;  // within edges_; null until the edges are counted
        std::size_t edge_count = 0;
        std::size_t waits_for = 0;  // the number of edges to it from nodes that are not in the order yet
        std::size_t position = 0;   // in by_turn_
        bool is_last = true;        // in by_id_, among the nodes with its id
        bool done = false;          // run(): it is in the order; find_cycle(): the search has visited it
        const node* next_in_cycle = nullptr;
    };

    // Sorts by id. Among nodes with the same id, those without `.replace` are first.
    EXTENSIBLE_COLD static bool has_earlier_id(const node* a, const node* b) noexcept {
        const int ids = a->hook->id.compare(b->hook->id);
        return ids != 0 ? ids < 0 : a->hook->replaces < b->hook->replaces;
    }

    // first_called() returns the index in by_id_ of the first node that has the id, and next_called() that
    // of the next node that has it. The size of by_id_ means that there is none: an empty id names none.
    std::size_t first_called(const std::string& id) const noexcept {
        const std::size_t at = count_first(by_id_, [&](const node* n) { return n->hook->id.compare(id) < 0; });
        return at != by_id_.size() && !id.empty() && by_id_[at]->hook->id == id ? at : by_id_.size();
    }
    std::size_t next_called(std::size_t at) const noexcept { return by_id_[at]->is_last ? by_id_.size() : at + 1; }

    // The comparison of rule 4.
    static bool runs_first(const node* a, const node* b) noexcept {
        if (a->taken != b->taken) return a->taken < b->taken;
        const turn own = turn_of(*a->options_of), other = turn_of(*b->options_of);
        return own != other ? own < other : a->hook->number < b->hook->number;
    }

    // Rule 1.
    EXTENSIBLE_COLD void find_turn(node& n) noexcept {
        n.options_of = n.hook;
        std::size_t at = n.hook->inherits_turn && !n.hook->is_coming() ? first_called(n.hook->id) : by_id_.size();
        for (; at != by_id_.size() && !by_id_[at]->hook->replaces; at = next_called(at)) {
            const hook_record& original = *by_id_[at]->hook;
            if (original.is_namesake(*n.hook) && !original.is_coming()) n.options_of = &original;
        }
        n.taken = turn_of(*n.options_of);
    }

    // Rule 3. Counts the edges before it stores them in one array. There may be very many of them if
    // hooks share an id.
    EXTENSIBLE_COLD void make_edges() {
        state_edges();
        std::size_t count = 0;
        for (const node& n : all_) count += n.edge_count;
        edges_ = array<edge>(count);
        for (node& n : all_) n.edges = n.edges_end = edges_.end() - std::exchange(count, count - n.edge_count);
        state_edges();
    }
    EXTENSIBLE_COLD void state_edges() noexcept {
        for (node& n : all_) {
            if (n.hook->is_coming()) continue;
            add_edges(n, n.options_of->after, false);
            add_edges(n, n.options_of->before, true);
        }
    }
    // Adds edges between `stating` and each hook that has one of the ids, or counts them if there is no
    // room for edges yet.
    EXTENSIBLE_COLD void add_edges(node& stating, const std::vector<std::string>& ids, bool before) noexcept {
        for (const std::string& id : ids) {
            for (std::size_t at = first_called(id); at != by_id_.size(); at = next_called(at)) {
                node& named = *by_id_[at];
                if (&named == &stating || named.hook->when != stating.hook->when || named.hook->is_coming()) continue;
                node& earlier = before ? stating : named;
                node& later = before ? named : stating;
                if (!earlier.edges) {
                    ++earlier.edge_count;
                    continue;
                }
                *earlier.edges_end++ = {&later, before};
                ++later.waits_for;
            }
        }
    }

    // Rule 2, repeated until no turn changes. Each pass goes backward: a named hook is usually later than
    // the hook that names it, so its turn has changed before it is looked at.
    void take_turns() noexcept {
        for (bool again = true; again;) {
            again = false;
            for (std::size_t at = all_.size(); at-- > 0;) {
                for (const edge* e = all_[at].edges; e != all_[at].edges_end; ++e) {
                    if (!e->before || !(e->later->taken < all_[at].taken)) continue;
                    all_[at].taken = e->later->taken;
                    again = true;
                }
            }
        }
    }

    // Returns a waiting node that `later` waits for. Each waiting node has one if run() finds a cycle.
    node* earlier_of(const node* later) noexcept {
        for (node& n : all_)
            for (const edge* e = n.edges; n.waits_for != 0 && e != n.edges_end; ++e)
                if (e->later == later) return &n;
        return &all_[0];  // not reached
    }

    // Returns a node of a cycle, whose nodes are linked by `next_in_cycle`. Goes backward from a waiting
    // node until it meets a node again.
    EXTENSIBLE_COLD const node& find_cycle() noexcept {
        std::size_t first = 0;
        while (by_turn_[first]->waits_for == 0) ++first;
        node* at = by_turn_[first];
        while (!at->done) {
            at->done = true;
            node* const earlier = earlier_of(at);
            earlier->next_in_cycle = at;
            at = earlier;
        }
        return *at;
    }

    [[noreturn]] void throw_cycle() {
        const node& first = find_cycle();
        const phase when = first.hook->when;
        std::string text = join({function_, ": the ", to_string(when), " hooks cannot be put in order:"});
        append(text, " ", first);
        const node* n = &first;
        do {
            n = n->next_in_cycle;
            append(text, " before ", *n);
        } while (n != &first);
        for (const node& stating : all_)
            for (const auto* ids : {&stating.hook->before, &stating.hook->after})
                for (const std::string& id : *ids)
                    if (stating.hook->when == when && is_unknown(id, *stating.hook, hooks_))
                        append(text, join({"; no other ", to_string(when), " hook has the id '", id, "', which "}),
                               stating, " names");
        raise<order_cycle>(text);
    }
    static void append(std::string& text, std::string_view before, const node& n, std::string_view after = "") {
        const bool has_id = !n.hook->id.empty();
        text = join({text, before, has_id ? "'" : "(a hook without id)", n.hook->id, has_id ? "'" : "", after});
    }

    std::string_view function_;  // for the text of an error
    const hook_order& hooks_;
    array<node> all_;
    array<node*> by_id_, by_turn_;  // all nodes, sorted by has_earlier_id() and by runs_first()
    array<edge> edges_{};           // grouped by the node that owns them
};

// Returns the hooks for which `stays(hook)` is true.
template <class Predicate>
EXTENSIBLE_COLD hook_order filtered(const hook_order& hooks, Predicate stays) {
    std::size_t count = 0;
    for (const ordered_hook& each : hooks) count += stays(*each.hook);
    hook_order rest(count);
    std::size_t at = 0;
    for (const ordered_hook& each : hooks)
        if (stays(*each.hook)) rest[at++] = each;
    return rest;
}

hook_order without_hooks(std::string_view function, const hook_order& hooks, const hook_selection& leaving,
                         bool coming) {
    hook_order others = filtered(hooks, [&](const hook_record& hook) { return !leaving.has(hook); });
    bool others_move = coming;
    for (const ordered_hook& each : hooks) others_move |= leaving.has(*each.hook) && !stands_alone(*each.hook, hooks);
    if (!others_move) return others;
    return ordering(function, others).run();
}

hook_order matching_hooks(std::string_view function, const hook_order& patterns) {
    const auto applies = [&](const hook_record& hook) { return matches(hook.pattern, function); };
    const hook_order matching = filtered(patterns, applies);
    return ordering(function, matching).run();
}

hook_order with_hook(std::string_view function, const hook_order& hooks, hook_record& added) {
    hook_order all(hooks.size() + 1);
    const turn own = turn_of(added);
    std::size_t at = 0;
    // A hook that stands alone runs before the first hook that has a later turn.
    for (; at != hooks.size() && !(own < hooks[at].taken); ++at) all[at] = hooks[at];
    all[at] = {&added, own};
    for (; at != hooks.size(); ++at) all[at + 1] = hooks[at];
    if (stands_alone(added, hooks)) return all;
    return ordering(function, all).run();
}

#endif

}}}  // namespace ext::detail
