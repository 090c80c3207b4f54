#pragma once

// A map with a limited size, whose entries expire. If it is full, it evicts the least recently used
// entry.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/hooks/clock.hpp>

#include <cstddef>
#include <list>
#include <map>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace hooks { namespace detail {

/// A least-recently-used map. Not thread-safe.
template <class Key, class Value, class Order>
class lru {
public:
    explicit lru(std::size_t capacity) : capacity_(capacity) {}

    /// Returns a pointer to the value of this key, or null if there is none or it has expired. The
    /// pointer is valid until the map is changed.
    const Value* find(const Key& key, time_point now) {
        const auto known = entries_.find(key);
        if (known == entries_.end()) return nullptr;
        if (now >= known->second.until) return erase(known), nullptr;
        recent_.splice(recent_.begin(), recent_, known->second.place);
        return &known->second.value;
    }

    /// Sets or replaces the value of this key. Returns true if another entry was evicted. If it
    /// throws, the key has no value.
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
    recent recent_;  // each entry once, the most recently used one first
};

}}}}  // namespace ext::hooks::detail
