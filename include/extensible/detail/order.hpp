#pragma once

// In which order do the hooks of one function run? The rules, which tests/order.cpp checks against an independent model:
//
// 1. A hook's turn is its priority, then the number of its registration. Earlier turns run first. A hook with `.replace` that states
//    no `priority`, `before` or `after` has the turn, and the `before` and `after`, of the hook that it replaces.
// 2. A hook with `before` takes the earliest turn among its own and those of the hooks that it names. A named hook that has itself
//    taken an earlier turn counts with that one.
// 3. A hook waits for every hook that it names in `after`, and for every hook that names it in `before`.
// 4. Of the hooks that wait for no other, the one with the earliest turn runs next. If turns are equal, the hook whose own turn is
//    earlier does; if those are equal too, the one registered first.
//
// An id means every other hook of the phase that has it. Ids that no hook has are ignored. Disabled and replaced hooks keep their
// places. The hooks of a plugin and of the plugin that is about to take its place do not order each other.
//
// And which names does a pattern match?

#include <extensible/detail/config.hpp>
#include <extensible/detail/records.hpp>
#include <extensible/detail/sort.hpp>
#include <extensible/error.hpp>
#include <extensible/options.hpp>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ext::inline EXTENSIBLE_ABI::detail {

/// The hooks of a function with one more, and without those for which `leaves(hook)` is true. May throw order_cycle.
EXTENSIBLE_FUNCTION hook_order with_hook(std::string_view function, const hook_order& hooks, hook_record& added);
template <class Predicate>
EXTENSIBLE_FUNCTION hook_order without_hooks(std::string_view function, const hook_order& hooks, Predicate leaves);

/// Puts hooks in running order, from scratch. May throw order_cycle, and then their order is as it was.
EXTENSIBLE_FUNCTION void put_in_order(std::string_view function, hook_order& hooks);

/// The hook that this one replaces or duplicates: the one that has its id and no `.replace`. Null without one.
EXTENSIBLE_FUNCTION hook_record* find_original(const hook_record& like, const hook_order& hooks) noexcept;

/// The ids that a hook states, and that no other hook of its phase has.
EXTENSIBLE_FUNCTION std::vector<std::string> unknown_ids(const hook_record& stating, const hook_order& hooks);

// ---------------------------------------------------------------------------------------------------------------------

// Whether the other hooks stay where they are if this one comes or goes: it states nothing, and none of them names it.
EXTENSIBLE_FUNCTION bool stands_alone(const hook_record& hook, const hook_order& hooks) noexcept;

template <class Predicate>
EXTENSIBLE_FUNCTION hook_order without_hooks(std::string_view function, const hook_order& hooks, Predicate leaves) {
    hook_order others;
    others.reserve(hooks.size());
    bool others_move = false;
    for (const ordered_hook& each : hooks) {
        if (!leaves(*each.hook)) others.push_back(each);
        else others_move |= !stands_alone(*each.hook, hooks);
    }
    if (others_move) put_in_order(function, others);
    return others;
}

// ---- Which names does a pattern match? ------------------------------------------------------------------------------

constexpr bool is_pattern(std::string_view name) noexcept { return name.find('*') != std::string_view::npos; }

/// Whether `name` is what `pattern` says, where each `*` matches any run of characters, an empty one too.
constexpr bool matches(std::string_view pattern, std::string_view name) noexcept {
    std::size_t p = 0, n = 0;
    std::size_t star = pattern.size(), after_star = 0;  // the last star, and where in the name it ends for now
    while (n < name.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            after_star = n;
        } else if (p < pattern.size() && pattern[p] == name[n]) {
            ++p;
            ++n;
        } else if (star != pattern.size()) {
            p = star + 1;
            n = ++after_star;  // the star takes one more
        } else {
            return false;
        }
    }
    while (p < pattern.size() && pattern[p] == '*') ++p;
    return p == pattern.size();
}

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

EXTENSIBLE_FUNCTION bool contains(const std::vector<std::string>& ids, std::string_view id) noexcept {
    for (const std::string& each : ids)
        if (each == id) return true;
    return false;
}

hook_record* find_original(const hook_record& like, const hook_order& hooks) noexcept {
    for (const ordered_hook& each : hooks)
        if (!each.hook->replaces && each.hook->is_namesake(like) && !like.excludes(*each.hook)) return each.hook;
    return nullptr;
}

bool stands_alone(const hook_record& hook, const hook_order& hooks) noexcept {
    if (hook.takes_place || !hook.before.empty() || !hook.after.empty()) return false;
    if (hook.id.empty()) return true;
    for (const ordered_hook& each : hooks) {
        const hook_record& other = *each.hook;
        if (&other == &hook || other.when != hook.when) continue;
        if (other.is_namesake(hook) || contains(other.before, hook.id) || contains(other.after, hook.id)) return false;
    }
    return true;
}

std::vector<std::string> unknown_ids(const hook_record& stating, const hook_order& hooks) {
    std::vector<std::string> unknown;
    for (const auto* ids : {&stating.before, &stating.after}) {
        for (const std::string& id : *ids) {
            bool known = contains(unknown, id);
            for (const ordered_hook& each : hooks)
                known |= each.hook != &stating && each.hook->when == stating.when && each.hook->id == id;
            if (!known) unknown.push_back(id);
        }
    }
    return unknown;
}

// What hooks that wait for no other are chosen by: rule 4, phase by phase.
struct turn_key {
    phase when;
    turn taken, own;
    std::uint64_t number;
    friend auto operator<=>(const turn_key&, const turn_key&) = default;
};

/// Works the order out. A hook is one node of a graph, and each `before` or `after` an edge.
class EXTENSIBLE_HIDDEN ordering {
public:
    EXTENSIBLE_COLD ordering(std::string_view function, const hook_order& hooks) : function_(function), hooks_(hooks), all_(hooks.size()) {
        for (std::size_t at = 0; at != hooks.size(); ++at) {
            node* const added = &all_[at];
            added->hook = hooks[at].hook;
            by_turn_.push_back(added);
            if (!added->hook->id.empty()) by_id_.push_back(added);
        }
        detail::sort(by_id_, [](const node* n) -> const std::string& { return n->hook->id; });
        for (node& n : all_) {
            n.place = n.hook;
            if (n.hook->takes_place)  // rule 1
                for_each_called(n.hook->id, n, [&](const node& other) {
                    if (!other.hook->replaces && other.hook->pattern == n.hook->pattern) n.place = other.hook;
                });
            n.taken = {n.place->priority, n.place->number};
        }
        for (node& n : all_) {  // rule 3
            for (const std::string& id : n.place->after) for_each_called(id, n, [&](node& earlier) { wait_for(n, earlier); });
            for (const std::string& id : n.place->before)
                for_each_called(id, n, [&](node& later) {
                    wait_for(later, n);
                    node* const stating = &n;
                    later.named_by.push_back(stating);
                });
        }
    }

    EXTENSIBLE_COLD hook_order run() {
        take_turns();
        detail::sort(by_turn_, key);
        for (std::size_t at = 0; at != by_turn_.size(); ++at) by_turn_[at]->place_in_line = at;
        hook_order order;
        order.reserve(all_.size());
        for (std::size_t at = 0; at != by_turn_.size();) {  // rule 4
            node& n = *by_turn_[at++];
            if (n.waits_for != 0 || n.runs) continue;
            n.runs = true;
            order.push_back({n.hook, n.taken});
            for (node* follower : n.followers)
                if (--follower->waits_for == 0 && follower->place_in_line < at) at = follower->place_in_line;
        }
        if (order.size() != all_.size()) throw_cycle();
        return order;
    }

private:
    struct node;
    using nodes = std::vector<node*>;
    struct node {
        hook_record* hook = nullptr;
        const hook_record* place = nullptr;  // states its place in the order: itself, or the hook that it replaces
        turn taken{};
        nodes followers{};           // the hooks that wait for it
        nodes named_by{};            // the hooks that name it in `before`
        std::size_t waits_for = 0;   // the number of hooks
        std::size_t place_in_line = 0;
        bool runs = false;
    };
    static turn_key key(const node* n) noexcept {
        return {n->hook->when, n->taken, {n->place->priority, n->place->number}, n->hook->number};
    }

    EXTENSIBLE_COLD static void wait_for(node& later, node& earlier) {
        node* const follower = &later;  // an lvalue, here and elsewhere: push_back() of others is compiled apart
        earlier.followers.push_back(follower);
        ++later.waits_for;
    }

    // Calls `visit` for each other hook that the id means.
    template <class Visitor>
    EXTENSIBLE_COLD void for_each_called(const std::string& id, const node& stating, Visitor visit) {
        std::size_t at = 0;
        for (std::size_t end = by_id_.size(); at != end;) {
            const std::size_t middle = (at + end) / 2;
            if (by_id_[middle]->hook->id < id) at = middle + 1;
            else end = middle;
        }
        for (; at != by_id_.size() && by_id_[at]->hook->id == id; ++at) {
            node& other = *by_id_[at];
            if (&other != &stating && other.hook->when == stating.hook->when && !stating.hook->excludes(*other.hook)) visit(other);
        }
    }

    // Rule 2. In the order of their own turns, so that the first turn that a hook is given is the earliest.
    EXTENSIBLE_COLD void take_turns() {
        detail::sort(by_turn_, key);
        nodes moved;
        for (node* first : by_turn_) {
            moved.push_back(first);
            while (!moved.empty()) {
                const node* const named = moved.back();
                moved.pop_back();
                for (node* earlier : named->named_by) {
                    if (earlier->taken <= first->taken) continue;
                    earlier->taken = first->taken;
                    moved.push_back(earlier);
                }
            }
        }
    }

    // Of the hooks that still wait, follows one back until one comes again.
    EXTENSIBLE_COLD [[noreturn]] void throw_cycle() {
        const auto waits = [](const node& n) { return n.waits_for != 0; };
        const node* at = nullptr;
        for (const node* n : by_turn_)
            if (!at && waits(*n)) at = n;
        std::vector<const node*> path;
        std::size_t again = 0;
        while (again == path.size()) {
            path.push_back(at);
            at = earlier_of(*at);
            again = 0;
            while (again != path.size() && path[again] != at) ++again;
        }
        std::string text = join({function_, ": the ", to_string(at->hook->when), " hooks cannot be put in order: ", name_of(*at)});
        for (std::size_t back = path.size(); back-- > again;) text += join({" before ", name_of(*path[back])});
        for (const node& n : all_)
            if (n.hook->when == at->hook->when)
                for (const std::string& id : unknown_ids(*n.hook, hooks_)) text += join({"; no hook has the id '", id, "', which ", name_of(n), " states"});
        raise<order_cycle>(text);
    }
    // A hook that still waits itself, and that this one waits for.
    EXTENSIBLE_COLD const node* earlier_of(const node& later) const noexcept {
        for (const node& n : all_)
            if (n.waits_for != 0)
                for (const node* follower : n.followers)
                    if (follower == &later) return &n;
        return nullptr;
    }
    EXTENSIBLE_COLD static std::string name_of(const node& n) {
        return n.hook->id.empty() ? "(a hook without id)" : join({"'", n.hook->id, "'"});
    }

    std::string_view function_;  // for the text of an error
    const hook_order& hooks_;
    std::vector<node> all_;
    nodes by_id_;
    nodes by_turn_;
};

void put_in_order(std::string_view function, hook_order& hooks) { hooks = ordering(function, hooks).run(); }

hook_order with_hook(std::string_view function, const hook_order& hooks, hook_record& added) {
    hook_order all;
    all.reserve(hooks.size() + 1);
    const ordered_hook joining{&added, {added.priority, added.number}};
    const bool others_stay = stands_alone(added, hooks);
    bool placed = false;
    for (const ordered_hook& each : hooks) {
        // It waits for no other, so it runs before the first hook that has a later turn.
        const bool is_later = each.hook->when != added.when ? each.hook->when > added.when : each.taken > joining.taken;
        if (others_stay && !placed && is_later) {
            all.push_back(joining);
            placed = true;
        }
        all.push_back(each);
    }
    if (!placed) all.push_back(joining);
    if (!others_stay) put_in_order(function, all);
    return all;
}

#endif

}  // namespace ext::inline EXTENSIBLE_ABI::detail
