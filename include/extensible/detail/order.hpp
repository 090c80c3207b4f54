#pragma once

// In which order do the hooks of one function run? The rules, in one place:
//
// 1. Each hook counts with a priority, at first its own. A hook that must run after others then counts with at least what each
//    of those counts with; after that, a hook that must run before others counts with at most what each of those counts with.
// 2. Hooks take their turns by the priority that they count with, smaller first; of equals the one registered first.
// 3. Where its turn does not satisfy a `before` or `after`, the hook that states it moves: later, directly behind the last
//    hook that it must run after; or earlier, directly before the first hook that it must run before. If both together leave
//    it no room, the hooks that it must run after move with it.
// 4. Ids that no registered hook has are ignored. A cycle is an error.
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
hook_sequence::edit hook_sequence::plan_without(std::string_view function, Predicate leaves) const {
    std::vector<hook_record*> staying;
    for (hook_record& hook : *this)
        if (!leaves(std::as_const(hook))) staying.push_back(&hook);
    return plan_all(function, staying);
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

/// Finds hooks in a sequence, and tells whether one may come or go while the others stay as they are.
class hook_sequence::planning {
public:
    /// A heap sort: no item before `end` is larger than its parent, and the items from there on are in their places.
    EXTENSIBLE_FUNCTION static void sort(entries& items, key entry::* by) noexcept {
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
    /// The place of the first of the sorted items that does not come before `wanted`.
    EXTENSIBLE_FUNCTION static std::size_t first(const entries& items, key entry::* by, const key& wanted) noexcept {
        std::size_t from = 0;
        for (std::size_t to = items.size(); from != to;) {
            const std::size_t middle = (from + to) / 2;
            if (items[middle]->*by < wanted) from = middle + 1;
            else to = middle;
        }
        return from;
    }
    EXTENSIBLE_FUNCTION static entry* find(const hook_sequence& in, phase when, std::string_view id) noexcept {
        const std::size_t at = first(in.by_id_, &entry::name, {when, id});
        return at != in.by_id_.size() && in.by_id_[at]->name == key{when, id} ? in.by_id_[at] : nullptr;
    }
    EXTENSIBLE_FUNCTION static std::size_t index(const hook_sequence& in, const hook_record* hook) noexcept {
        std::size_t at = 0;
        while (&in[at] != hook) ++at;
        return at;
    }
    EXTENSIBLE_FUNCTION static entry* append(hook_sequence& to, hook_record& hook) {
        to.order_.push_back(none);
        return to.order_.back() = new entry{ref(&hook), {hook.when, hook.id}, {hook.when, {}, 0, hook.number}, hook.priority};
    }
    EXTENSIBLE_FUNCTION static void resolve(entry* stating, const hook_sequence& in) {
        const hook_record& hook = *stating->hook;
        for (const std::string& id : hook.after)
            if (entry* const earlier = find(in, hook.when, id)) stating->runs_after.push_back(earlier);
        for (const std::string& id : hook.before)
            if (entry* const later = find(in, hook.when, id)) stating->runs_before.push_back(later);
        stating->unresolved = hook.after.size() + hook.before.size() - stating->runs_after.size() - stating->runs_before.size();
    }
    EXTENSIBLE_FUNCTION static bool states(const hook_record& hook, const std::string& id) noexcept {
        for (const auto* ids : {&hook.before, &hook.after})
            for (const std::string& stated : *ids)
                if (stated == id) return true;
        return false;
    }

    /// Whether the hook that comes states its own id, or that of the one that leaves, or another hook states its id.
    EXTENSIBLE_FUNCTION static bool concerns_ids(const hook_sequence& in, const edit& planned) noexcept {
        const hook_record& added = *planned.added;
        if (states(added, added.id) || (planned.leaving && states(added, planned.leaving->id))) return true;
        if (in.unresolved_ != 0 && !added.id.empty())  // otherwise no other hook can
            for (const hook_record& hook : in)
                if (states(hook, added.id)) return true;
        return false;
    }
    /// Whether the others surely stay as they are when `added` comes. If so, sets its place; `leaving` still counts in that.
    EXTENSIBLE_FUNCTION static bool joins_alone(const hook_sequence& in, edit& planned) {
        if (concerns_ids(in, planned)) return false;
        const hook_record& added = *planned.added;
        entry* const joining = append(planned.anew, *planned.added);
        resolve(joining, in);
        for (const entry* earlier : joining->runs_after)
            if (joining->raised < earlier->raised) joining->raised = earlier->raised;
        joining->counts = joining->raised;
        for (const entry* later : joining->runs_before)
            if (later->counts < joining->counts) joining->counts = later->counts;

        const key own = joining->turn = {added.when, {}, joining->counts, added.number};
        planned.added_at = first(in.order_, &entry::turn, own);
        for (const entry* later : joining->runs_before) {
            if (own < later->turn) continue;
            // All others that must run before that one come first: they count with no more, and are not as new.
            if (later->counts != own.counts || added.number <= in.newest_) return false;
            const std::size_t at = index(in, later->hook.get());
            if (at >= planned.added_at) continue;
            planned.added_at = at;
            joining->turn = later->turn;
        }
        for (const entry* earlier : joining->runs_after)
            if (index(in, earlier->hook.get()) >= planned.added_at) return false;
        return true;
    }
    /// The same for `leaving`. If it states both, hooks that it runs after may have moved with it.
    EXTENSIBLE_FUNCTION static bool leaves_alone(const hook_sequence& in, edit& planned) noexcept {
        const entry& gone = *in.order_[planned.leaves_at = index(in, planned.leaving)];
        return gone.referred == 0 && (gone.runs_after.empty() || gone.runs_before.empty());
    }
};

/// Puts all hooks of a sequence in order.
class hook_sequence::arrangement {
public:
    EXTENSIBLE_FUNCTION arrangement(std::string_view function, hook_sequence& sequence) : function_(function) {
        for (entry* e : sequence.order_) {
            planning::resolve(e, sequence);
            sequence.unresolved_ += e->unresolved;
            for (entry* earlier : e->runs_after) earlier->followers.push_back(e);
            for (entry* later : e->runs_before) later->forerunners.push_back(e);
        }
        for (entry* e : sequence.order_) sort_from(e);
        for (std::size_t at = sorted_.size(); at-- > 0;) {  // rule 1 for `before`, from the last one on
            entry* const e = sorted_[at];
            e->turn.counts = e->counts;
            e->referred = e->forerunners.size() + e->followers.size();
            for (entry* earlier : e->forerunners)
                if (e->counts < earlier->counts) earlier->counts = e->counts;
        }
        planning::sort(sorted_, &entry::turn);
        for (entry* e : sorted_) {
            planning::sort(e->forerunners, &entry::turn);
            planning::sort(e->followers, &entry::turn);
        }
        for (entry* e : sorted_) {
            turn_ = e->turn;  // its own, unless it is placed already
            place_when_due(e);
        }
        sequence.order_.swap(placed_);
    }

private:
    // Sorts a hook in, behind all that must run before it. What its `after` make it count with is known then.
    EXTENSIBLE_FUNCTION void sort_from(entry* e) {
        if (e->state == entry::sorted) return;
        path_.push_back(e);
        if (e->state == entry::open) throw_cycle();
        e->state = entry::open;
        for (entry* earlier : e->runs_after) {
            sort_from(earlier);
            if (e->raised < earlier->raised) e->raised = earlier->raised;
        }
        for (entry* earlier : e->forerunners) sort_from(earlier);
        e->state = entry::sorted;
        e->counts = e->raised;
        path_.pop_back();
        sorted_.push_back(e);
    }
    // Places a hook whose turn has come, unless it has to wait for one that it must run after. That one will come back to it.
    EXTENSIBLE_FUNCTION void place_when_due(entry* e) {
        if (e->state == entry::placed) return;
        e->state = entry::due;
        for (const entry* earlier : e->runs_after)
            if (earlier->state != entry::placed) return;
        place(e);
    }
    // Places a hook now, behind all that must run before it.
    EXTENSIBLE_FUNCTION void place(entry* e) {
        if (e->state == entry::placed) return;
        for (entry* earlier : e->runs_after) place(earlier);
        for (entry* earlier : e->forerunners) place(earlier);
        if (e->state == entry::placed) return;  // a follower of one of those
        e->state = entry::placed;
        e->turn = turn_;
        placed_.push_back(e);
        for (entry* follower : e->followers)
            if (follower->state == entry::due) place_when_due(follower);
    }
    [[noreturn]] EXTENSIBLE_FUNCTION void throw_cycle() const {
        std::string text = join({function_, ": the ", to_string(path_.back()->name.when), " hooks cannot be put in order: "});
        for (std::size_t at = path_.size(); at-- > 0;) {
            const std::string_view id = path_[at]->name.id;
            const bool is_last = at + 1 < path_.size() && path_[at] == path_.back();
            text = join({text, id.empty() ? "(a hook without id)" : "'", id, id.empty() ? "" : "'", is_last ? "" : " before "});
            if (is_last) break;
        }
        throw order_cycle(text);
    }

    std::string_view function_;  // for the text of an error
    entries path_;    // of sort_from()
    entries sorted_;  // each behind all that must run before it; later by their own turns
    key turn_;        // the present one
    entries placed_;
};

EXTENSIBLE_FUNCTION hook_sequence& hook_sequence::operator=(hook_sequence other) noexcept {
    order_.swap(other.order_);
    by_id_.swap(other.by_id_);
    unresolved_ = other.unresolved_;
    newest_ = other.newest_;
    return *this;
}

EXTENSIBLE_FUNCTION hook_record* hook_sequence::find(phase when, std::string_view id) const noexcept {
    const entry* const found = planning::find(*this, when, id);
    return found ? found->hook.get() : nullptr;
}

EXTENSIBLE_FUNCTION hook_sequence::edit hook_sequence::plan(std::string_view function, hook_record* leaving,
                                                            hook_record* added) {
    edit planned{leaving, 0, added};
    if ((!leaving || planning::leaves_alone(*this, planned)) && (!added || planning::joins_alone(*this, planned))) {
        if (leaving && planned.leaves_at < planned.added_at) --planned.added_at;
        for (entries* items : {&order_, &by_id_}) {
            items->push_back(none);  // so that apply() has room
            items->pop_back();
        }
        return planned;
    }
    std::vector<hook_record*> hooks;
    for (hook_record& hook : *this)
        if (&hook != leaving) hooks.push_back(&hook);
    if (added) hooks.push_back(added);
    return plan_all(function, hooks);
}

EXTENSIBLE_FUNCTION hook_sequence::edit hook_sequence::plan_all(std::string_view function,
                                                                const std::vector<hook_record*>& hooks) {
    edit planned;
    planned.moves_others = true;
    hook_sequence& anew = planned.anew;
    for (hook_record* hook : hooks) {
        entry* const e = planning::append(anew, *hook);
        if (!hook->id.empty()) anew.by_id_.push_back(e);
        if (anew.newest_ < hook->number) anew.newest_ = hook->number;
    }
    planning::sort(anew.by_id_, &entry::name);
    const arrangement arranged(function, anew);
    return planned;
}

EXTENSIBLE_FUNCTION void hook_sequence::apply(edit& planned) noexcept {
    if (planned.moves_others) return void(*this = std::move(planned.anew));
    const auto place = [](entries& items, std::size_t at) { return items.begin() + static_cast<std::ptrdiff_t>(at); };
    if (planned.leaving) {
        const entry* const gone = order_[planned.leaves_at];
        for (entry* named : gone->runs_after) --named->referred;
        for (entry* named : gone->runs_before) --named->referred;
        unresolved_ -= gone->unresolved;
        if (!gone->name.id.empty()) by_id_.erase(place(by_id_, planning::first(by_id_, &entry::name, gone->name)));
        order_.erase(place(order_, planned.leaves_at));
        delete gone;
    }
    if (planned.added) {
        entry* const joining = planned.anew.order_.back();
        planned.anew.order_.clear();
        for (entry* named : joining->runs_after) ++named->referred;
        for (entry* named : joining->runs_before) ++named->referred;
        unresolved_ += joining->unresolved;
        if (newest_ < planned.added->number) newest_ = planned.added->number;
        const key& name = joining->name;
        if (!name.id.empty()) by_id_.insert(place(by_id_, planning::first(by_id_, &entry::name, name)), joining);
        order_.insert(place(order_, planned.added_at), joining);
    }
}

#endif

}  // namespace ext::inline EXTENSIBLE_ABI::detail
