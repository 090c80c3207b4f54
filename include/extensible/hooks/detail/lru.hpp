#pragma once

// A map of limited size, whose entries expire. If it is full, it evicts the least recently used
// entry.
//
// What must stay true: no value is destroyed here, because the caller holds a lock. Entries that are
// removed go to a list of the caller.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/hooks/clock.hpp>

#include <cstddef>
#include <iterator>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace hooks { namespace detail {

/// A least-recently-used map. Not thread-safe.
template <class Value>
class lru {
public:
    struct entry {
        std::string key;
        Value value;
        time_point fresh_until;
        time_point kept_until;  // until then it can be used if nothing better is known
    };
    using entries = std::list<entry>;

    explicit lru(std::size_t capacity) : capacity_(capacity) {}

    /// Returns the entry of this key, or null if there is none, or if it is not kept any more. It is
    /// valid until the map is changed.
    const entry* find(std::string_view key, time_point now, entries& removed) {
        const auto known = by_key_.find(key);
        if (known == by_key_.end()) return nullptr;
        if (now >= known->second->kept_until) return erase(known->second, removed), nullptr;
        if (known->second != recent_.begin()) recent_.splice(recent_.begin(), recent_, known->second);
        return &*known->second;
    }

    /// Sets or replaces the entry of a key: takes the only element of `made`. Returns true if another
    /// entry was evicted. If it throws, the key has no entry.
    bool keep(entries& made, entries& removed) {
        forget(made.front().key, removed);
        by_key_.emplace(made.front().key, made.begin());
        recent_.splice(recent_.begin(), made);
        if (by_key_.size() <= capacity_) return false;
        erase(std::prev(recent_.end()), removed);
        return true;
    }

    void forget(std::string_view key, entries& removed) {
        if (const auto known = by_key_.find(key); known != by_key_.end()) erase(known->second, removed);
    }
    void clear(entries& removed) noexcept {
        by_key_.clear();
        removed.splice(removed.end(), recent_);
    }
    std::size_t size() const noexcept { return by_key_.size(); }

private:
    void erase(typename entries::iterator place, entries& removed) {
        by_key_.erase(place->key);  // a view of the entry's key, which `removed` keeps alive
        removed.splice(removed.end(), recent_, place);
    }

    const std::size_t capacity_;
    entries recent_;  // the most recently used entry first
    std::unordered_map<std::string_view, typename entries::iterator> by_key_;  // the same entries
};

}}}}  // namespace ext::hooks::detail
