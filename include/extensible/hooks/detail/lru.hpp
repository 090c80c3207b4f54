#pragma once

// What does a cache keep, until when, and what goes where there is no more room? What was not asked for for the longest time.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/hooks/clock.hpp>

#include <cstddef>
#include <list>
#include <map>
#include <utility>

namespace ext::inline EXTENSIBLE_ABI::hooks::detail {

/// Not to be used by several threads at once.
template <class Key, class Value, class Order>
class lru {
public:
    explicit lru(std::size_t capacity) : capacity_(capacity) {}

    /// What is kept for this key; null where there is none, or its time is over.
    const Value* find(const Key& key, time_point now) {
        const auto known = entries_.find(key);
        if (known == entries_.end()) return nullptr;
        if (now >= known->second.until) return erase(known), nullptr;
        recent_.splice(recent_.begin(), recent_, known->second.place);
        return &known->second.value;
    }

    /// Keeps it, in place of what was kept for this key. Tells whether another had to go. May throw, and then it is not kept.
    bool keep(const Key& key, Value value, time_point until) {
        forget(key);
        const auto added = entries_.emplace(key, entry{std::move(value), until, recent_.end()}).first;
        EXTENSIBLE_TRY {
            added->second.place = recent_.insert(recent_.begin(), added);
        } EXTENSIBLE_CATCH(...) {
            entries_.erase(added);
            EXTENSIBLE_RETHROW;
        }
        if (entries_.size() <= capacity_) return false;
        erase(recent_.back());
        return true;
    }

    void forget(const Key& key) {
        if (const auto known = entries_.find(key); known != entries_.end()) erase(known);
    }
    void clear() noexcept {
        recent_.clear();
        entries_.clear();
    }
    std::size_t size() const noexcept { return entries_.size(); }

private:
    struct entry;
    using entries = std::map<Key, entry, Order>;
    using recent = std::list<typename entries::iterator>;
    struct entry {
        Value value;
        time_point until;
        typename recent::iterator place;
    };

    void erase(typename entries::iterator known) {
        recent_.erase(known->second.place);
        entries_.erase(known);
    }

    const std::size_t capacity_;
    entries entries_;
    recent recent_;  // one for each entry: the one that was asked for last is the first
};

}  // namespace ext::inline EXTENSIBLE_ABI::hooks::detail
