#pragma once

// How are pointers sorted? In a few lines: <algorithm> costs each user 12 MB of compiler memory.

#include <extensible/detail/config.hpp>

#include <cstddef>
#include <utility>
#include <vector>

namespace ext::inline EXTENSIBLE_ABI::detail {

/// Sorts by what `key` returns for an item, in place, in N log N steps (a heap sort).
template <class Item, class Key>
EXTENSIBLE_COLD void sort(std::vector<Item>& items, Key key) noexcept {
    // No item before `end` is larger than its parent, and the items from there on are in their places.
    for (std::size_t top = items.size() / 2, end = items.size(); end > 1;) {
        if (top > 0) --top;
        else std::swap(items[0], items[--end]);
        for (std::size_t at = top, child = 0; (child = 2 * at + 1) < end; at = child) {
            if (child + 1 < end && key(items[child]) < key(items[child + 1])) ++child;
            if (key(items[child]) < key(items[at])) break;
            std::swap(items[at], items[child]);
        }
    }
}

}  // namespace ext::inline EXTENSIBLE_ABI::detail
