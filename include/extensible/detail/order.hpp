#pragma once

// In which order do the hooks of one function run? The rules, in one place:
//
// 1. Each hook counts with a priority, at first its own. A hook that must run after others then counts with at least what each
//    of those counts with; after that, a hook that must run before others counts with at most what each of those counts with.
// 2. Hooks take their turns by the priority that they count with, smaller first; of equals the one whose own priority is smaller,
//    then the one registered first.
// 3. Where its turn does not satisfy a `before` or `after`, the hook that states it moves: later, directly behind the last
//    hook that it must run after; or earlier, directly before the first hook that it must run before. If both together leave
//    it no room, the hooks that it must run after move with it. Those that move together do so in their turns.
// 4. Ids that no registered hook has are ignored; one that several have, under different patterns, means all of them. A cycle is
//    an error. Hooks of a plugin and of the one that is about to take its place have no part in each other's order.
// 5. A hook with `.replace` counts as if it stated what the hook of its id states, unless it states something itself.
//
// And which names does a pattern match?

#include <extensible/detail/config.hpp>
#include <extensible/detail/records.hpp>
#include <extensible/error.hpp>
#include <extensible/options.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ext::inline EXTENSIBLE_ABI::detail {

template <class Predicate>
EXTENSIBLE_FUNCTION const hook_record* hook_sequence::find_replacing(const hook_record& replaced, Predicate runs) const {
    if (replaced.id.empty()) return nullptr;
    const key behind_all{replaced.when, replaced.id, replaced.pattern, 0, 0, static_cast<std::uint64_t>(-1)};
    for (std::size_t at = first(by_name_, &entry::name, behind_all); at-- > 0;) {  // from the last registered one on
        const hook_record& hook = *by_name_[at]->hook;
        if (hook.when != replaced.when || hook.id != replaced.id || hook.pattern != replaced.pattern) break;
        if (&hook == &replaced && replaced.replaces) break;
        if (hook.replaces && runs(hook)) return &hook;
    }
    return nullptr;
}

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

#if EXTENSIBLE_BODIES

EXTENSIBLE_FUNCTION hook_sequence::entry::entry(hook_record& of)
    : hook(&of), place(&of), name{of.when, of.id, of.pattern, 0, 0, of.number}, raised(of.priority) {}

EXTENSIBLE_FUNCTION void hook_sequence::entry::set_turn() noexcept {
    turn = {hook->when, {}, {}, counts, place->priority, place->number, hook->number};
}

// Of the hooks that must run before it, the one to look at next; null behind the last.
EXTENSIBLE_FUNCTION hook_sequence::entry* hook_sequence::entry::next_before() {
    const std::size_t at = next++, after = runs_after.size();
    if (at < after) return runs_after[at];
    return at - after < forerunners.size() ? forerunners[at - after] : nullptr;
}

// By hand: libc++ 14 compares no texts by <=>.
EXTENSIBLE_FUNCTION bool hook_sequence::key::operator<(const key& other) const noexcept {
    if (when != other.when) return when < other.when;
    if (const int ids = id.compare(other.id); ids != 0) return ids < 0;
    if (const int patterns = pattern.compare(other.pattern); patterns != 0) return patterns < 0;
    if (counts != other.counts) return counts < other.counts;
    if (priority != other.priority) return priority < other.priority;
    return number != other.number ? number < other.number : own_number < other.own_number;
}

// The place of the first of the sorted items that does not come before `wanted`.
EXTENSIBLE_FUNCTION std::size_t hook_sequence::first(const entries& items, key entry::* by, const key& wanted) noexcept {
    std::size_t from = 0;
    for (std::size_t to = items.size(); from != to;) {
        const std::size_t middle = (from + to) / 2;
        if (items[middle]->*by < wanted) from = middle + 1;
        else to = middle;
    }
    return from;
}

// A heap sort: no item before `end` is larger than its parent, and the items from there on are in their places.
EXTENSIBLE_FUNCTION void hook_sequence::sort(entries& items, key entry::* by) noexcept {
    for (std::size_t top = items.size() / 2, end = items.size(); end > 1;) {
        if (top > 0) --top;
        else std::swap(items[0], items[--end]);
        for (std::size_t at = top, child = 0; (child = 2 * at + 1) < end; at = child) {
            if (child + 1 < end && items[child]->*by < items[child + 1]->*by) ++child;
            if (items[child]->*by < items[at]->*by) break;
            std::swap(items[at], items[child]);
        }
    }
}

// The hooks of a phase that have this id; none where it is empty.
EXTENSIBLE_FUNCTION hook_sequence::namesakes hook_sequence::find(phase when, std::string_view id) const noexcept {
    std::size_t from = first(by_name_, &entry::name, {when, id}), to = from;
    while (to != by_name_.size() && by_name_[to]->name.when == when && by_name_[to]->name.id == id) ++to;
    return {by_name_.data() + from, by_name_.data() + to};
}

// Finds the registered hooks whose ids an entry states.
EXTENSIBLE_FUNCTION void hook_sequence::resolve(entry& stating) const {
    const auto resolve_ids = [&](const std::vector<std::string>& ids, entries& named) {
        for (const std::string& id : ids) {
            const std::size_t before = named.size();
            for (entry* other : find(stating.hook->when, id))
                if (!stating.hook->excludes(*other->hook)) named.push_back(other);
            if (named.size() == before) ++stating.unresolved;
        }
    };
    resolve_ids(stating.place->after, stating.runs_after);
    resolve_ids(stating.place->before, stating.runs_before);
}

/// Tells whether one hook may come or go while the others stay as they are.
class hook_sequence::planning {
public:
    /// Whether the others surely stay as they are when `added` comes. If so, sets its place.
    EXTENSIBLE_FUNCTION static bool joins_alone(const hook_sequence& in, edit& planned) {
        hook_record& added = *planned.added;
        if (concerns_ids(in, added)) return false;
        entry& joining = planned.anew.append(added);
        in.resolve(joining);
        for (const entry* earlier : joining.runs_after)
            if (joining.raised < earlier->raised) joining.raised = earlier->raised;
        joining.counts = joining.raised;
        for (const entry* later : joining.runs_before)
            if (later->counts < joining.counts) joining.counts = later->counts;
        joining.set_turn();

        const key own = joining.turn;
        planned.at = first(in.order_, &entry::turn, own);
        for (const entry* later : joining.runs_before) {
            if (own < later->turn) continue;
            // All others that must run before that one come first: they count with no more, and have no larger priority or number.
            if (later->counts != own.counts || !(in.last_ < rank{added.priority, added.number})) return false;
            const std::size_t at = index_of(in, *later);
            if (at >= planned.at) continue;
            planned.at = at;
            joining.turn = later->turn;
        }
        for (const entry* earlier : joining.runs_after)
            if (index_of(in, *earlier) >= planned.at) return false;
        return true;
    }
    /// The same for `leaving`. If it states both, hooks that it runs after may have moved with it.
    EXTENSIBLE_FUNCTION static bool leaves_alone(const hook_sequence& in, edit& planned) noexcept {
        planned.at = 0;
        while (&in[planned.at] != planned.leaving) ++planned.at;
        const entry& gone = *in.order_[planned.at];
        return gone.referred == 0 && (gone.runs_after.empty() || gone.runs_before.empty()) && !has_namesake(in, *planned.leaving);
    }

private:
    // Those that have moved together have one turn.
    EXTENSIBLE_FUNCTION static std::size_t index_of(const hook_sequence& in, const entry& of) noexcept {
        std::size_t at = first(in.order_, &entry::turn, of.turn);
        while (in.order_[at] != &of) ++at;
        return at;
    }
    // Whether another hook has the id, of which one replaces the other.
    EXTENSIBLE_FUNCTION static bool has_namesake(const hook_sequence& in, const hook_record& hook) noexcept {
        for (const entry* other : in.find(hook.when, hook.id))
            if (other->hook.get() != &hook && other->hook->pattern == hook.pattern) return true;
        return false;
    }
    EXTENSIBLE_FUNCTION static bool states(const hook_record& hook, const std::string& id) noexcept {
        for (const auto* ids : {&hook.before, &hook.after})
            for (const std::string& stated : *ids)
                if (stated == id) return true;
        return false;
    }
    // Whether the hook that comes states its own id, replaces another or is replaced, or another hook states its id.
    EXTENSIBLE_FUNCTION static bool concerns_ids(const hook_sequence& in, const hook_record& added) noexcept {
        if (states(added, added.id) || has_namesake(in, added)) return true;
        for (const entry* namesake : in.find(added.when, added.id))
            if (namesake->referred != 0) return true;
        if (in.unresolved_ != 0 && !added.id.empty())  // otherwise no other hook can
            for (const hook_record& hook : in)
                if (states(hook, added.id)) return true;
        return false;
    }
};

/// Puts all hooks of a sequence in order.
class hook_sequence::arrangement {
public:
    EXTENSIBLE_FUNCTION arrangement(std::string_view function, hook_sequence& sequence) : function_(function) {
        for (entry* e : sequence.order_) {
            sequence.resolve(*e);
            sequence.unresolved_ += e->unresolved;
            for (entry* earlier : e->runs_after) earlier->followers.push_back(e);
            for (entry* later : e->runs_before) later->forerunners.push_back(e);
        }
        for (entry* e : sequence.order_) sort_from(e);
        for (std::size_t at = sorted_.size(); at-- > 0;) {  // rule 1 for `before`, from the last one on
            entry* const e = sorted_[at];
            e->set_turn();
            e->referred = e->forerunners.size() + e->followers.size();
            for (entry* earlier : e->forerunners)
                if (e->counts < earlier->counts) earlier->counts = e->counts;
        }
        sort(sorted_, &entry::turn);
        for (entry* e : sorted_)
            for (entries* others : {&e->runs_after, &e->forerunners, &e->followers}) sort(*others, &entry::turn);
        for (entry* e : sorted_) {
            turn_ = e->turn;  // its own, unless it is placed already
            place_when_due(e);
        }
        sequence.order_.swap(placed_);
    }

private:
    // Sorts a hook in, behind all that must run before it. What its `after` make it count with is known then.
    EXTENSIBLE_FUNCTION void sort_from(entry* first) {
        if (first->state == entry::sorted) return;
        go_down_to(first);
        while (!path_.empty()) {
            entry* const e = path_.back();
            if (entry* const earlier = e->next_before()) {
                if (earlier->state != entry::sorted) go_down_to(earlier);
                continue;
            }
            for (const entry* earlier : e->runs_after)
                if (e->raised < earlier->raised) e->raised = earlier->raised;
            e->state = entry::sorted;
            e->counts = e->raised;
            e->next = 0;
            path_.pop_back();
            sorted_.push_back(e);
        }
    }
    EXTENSIBLE_FUNCTION void go_down_to(entry* e) {
        path_.push_back(e);
        if (e->state == entry::open) throw_cycle();
        e->state = entry::open;
    }
    // Places a hook whose turn has come, unless it has to wait for one that it must run after. That one will come back to it.
    EXTENSIBLE_FUNCTION void place_when_due(entry* e) {
        if (e->state == entry::placed) return;
        e->state = entry::due;
        if (waits_for_none(*e)) place(e);
    }
    EXTENSIBLE_FUNCTION static bool waits_for_none(const entry& e) {
        for (const entry* earlier : e.runs_after)
            if (earlier->state != entry::placed) return false;
        return true;
    }
    // Places a hook now, behind all that must run before it, and then the followers that have waited for it.
    EXTENSIBLE_FUNCTION void place(entry* first) {
        path_.push_back(first);
        while (!path_.empty()) {
            entry* const e = path_.back();
            if (e->state != entry::placed) {
                if (entry* const earlier = e->next_before()) {
                    if (earlier->state != entry::placed) path_.push_back(earlier);
                    continue;
                }
                e->state = entry::placed;
                e->turn = turn_;
                placed_.push_back(e);
                e->next = 0;
            }
            if (e->next == e->followers.size()) {
                path_.pop_back();
            } else if (entry* const follower = e->followers[e->next++]; follower->state == entry::due && waits_for_none(*follower)) {
                path_.push_back(follower);
            }
        }
    }
    [[noreturn]] EXTENSIBLE_FUNCTION void throw_cycle() const {
        const entry& last = *path_.back();
        std::string text = join({function_, ": the ", to_string(last.name.when), " hooks cannot be put in order: "});
        for (std::size_t at = path_.size(); at-- > 0;) {
            const std::string_view id = path_[at]->name.id;
            const bool closes = path_[at] == &last && at + 1 != path_.size();
            const std::string_view quote = id.empty() ? "" : "'";
            text += join({quote, id.empty() ? "(a hook without id)" : id, quote, closes ? "" : " before "});
            if (closes) break;
        }
        raise<order_cycle>(text);
    }

    std::string_view function_;  // for the text of an error
    entries path_;  // down to the hook that is looked at, in place of recursion: it may be longer than a stack is deep
    entries sorted_;  // each behind all that must run before it; later by their own turns
    key turn_;        // the present one
    entries placed_;
};

EXTENSIBLE_FUNCTION hook_sequence& hook_sequence::operator=(hook_sequence other) noexcept {
    order_.swap(other.order_);
    by_name_.swap(other.by_name_);
    unresolved_ = other.unresolved_;
    last_ = other.last_;
    return *this;
}

EXTENSIBLE_FUNCTION hook_sequence::entry& hook_sequence::append(hook_record& hook) {
    entry* added = nullptr;
    order_.push_back(added);  // an lvalue, here and elsewhere: push_back() of others is compiled apart
    return *(order_.back() = new entry(hook));
}

EXTENSIBLE_FUNCTION const hook_record* hook_sequence::find_original(const hook_record& like) const noexcept {
    const hook_record* found = nullptr;
    for (const entry* other : find(like.when, like.id)) {
        const hook_record& hook = *other->hook;
        if (!hook.replaces && hook.pattern == like.pattern && !like.excludes(hook)) found = &hook;
    }
    return found;
}

EXTENSIBLE_FUNCTION hook_sequence::edit hook_sequence::plan_with(std::string_view function, hook_record& added) {
    edit planned{&added};
    if (planning::joins_alone(*this, planned)) {
        for (entries* items : {&order_, &by_name_}) {
            entry* none = nullptr;
            items->push_back(none);  // so that apply() has room
            items->pop_back();
        }
        return planned;
    }
    return plan_anew(function, &added, nullptr);
}

EXTENSIBLE_FUNCTION hook_sequence::edit hook_sequence::plan_without(std::string_view function, const hook_record& leaving) {
    edit planned{nullptr, &leaving};
    if (planning::leaves_alone(*this, planned)) return planned;
    return plan_anew(function, nullptr, &leaving);
}

// All hooks, with the one that comes, without the one that leaves; null: none.
EXTENSIBLE_FUNCTION hook_sequence::edit hook_sequence::plan_anew(std::string_view function, hook_record* added,
                                                                 const hook_record* leaving) const {
    edit all{.moves_others = true};
    for (hook_record& hook : *this)
        if (&hook != leaving) all.anew.add(hook);
    if (added) all.anew.add(*added);
    all.anew.arrange(function);
    return all;
}

EXTENSIBLE_FUNCTION void hook_sequence::add(hook_record& hook) {
    entry* const added = &append(hook);
    if (!hook.id.empty()) by_name_.push_back(added);
    if (const rank its{hook.priority, hook.number}; last_ < its) last_ = its;
}

EXTENSIBLE_FUNCTION void hook_sequence::arrange(std::string_view function) {
    sort(by_name_, &entry::name);
    for (entry* e : by_name_) {
        const hook_record* const original = e->hook->takes_place ? find_original(*e->hook) : nullptr;
        if (original) e->place = original;
        e->raised = e->place->priority;
    }
    const arrangement arranged(function, *this);
}

EXTENSIBLE_FUNCTION void hook_sequence::apply(edit& planned) noexcept {
    if (planned.moves_others) return void(*this = std::move(planned.anew));
    const auto place = [](entries& items, std::size_t at) { return items.begin() + static_cast<std::ptrdiff_t>(at); };
    const auto refer = [](const entry& stating, std::size_t difference) {
        for (const entries* named : {&stating.runs_after, &stating.runs_before})
            for (entry* e : *named) e->referred += difference;
    };
    if (planned.leaving) {
        const entry* const gone = order_[planned.at];
        refer(*gone, static_cast<std::size_t>(-1));
        unresolved_ -= gone->unresolved;
        if (!gone->name.id.empty()) by_name_.erase(place(by_name_, first(by_name_, &entry::name, gone->name)));
        order_.erase(place(order_, planned.at));
        delete gone;
    }
    if (planned.added) {
        entry* const joining = planned.anew.order_.back();
        planned.anew.order_.clear();
        refer(*joining, 1);
        unresolved_ += joining->unresolved;
        const key& name = joining->name;
        if (const rank its{planned.added->priority, planned.added->number}; last_ < its) last_ = its;
        if (!name.id.empty()) by_name_.insert(place(by_name_, first(by_name_, &entry::name, name)), joining);
        order_.insert(place(order_, planned.at), joining);
    }
}

#endif

}  // namespace ext::inline EXTENSIBLE_ABI::detail
