#pragma once

// How are arrays stored, sorted and searched without std::vector and <algorithm>?
//
// Each element type of a std::vector costs every program that includes the library 2 MB of compiler
// memory, and <algorithm> costs 12 MB.

#include <extensible/detail/platform/compiler.hpp>

#include <cstddef>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// An array of a fixed size, whose items are value-initialized. As with a pointer, the items of a
/// const array can be changed.
template <class T>
class array {
public:
    constexpr array() noexcept = default;
    explicit array(std::size_t size) : items_(size != 0 ? new T[size]() : nullptr), size_(size) {}
    array(const array& other) : array(other.size_) {
        for (std::size_t at = 0; at != size_; ++at) items_[at] = other.items_[at];
    }
    array(array&& other) noexcept { swap(other); }
    array& operator=(array other) noexcept {
        swap(other);
        return *this;
    }
    ~array() { delete[] items_; }

    T* begin() const noexcept { return items_; }
    T* end() const noexcept { return items_ + size_; }
    std::size_t size() const noexcept { return size_; }
    T& operator[](std::size_t at) const noexcept { return items_[at]; }

    void swap(array& other) noexcept {
        std::swap(items_, other.items_);
        std::swap(size_, other.size_);
    }

private:
    T* items_ = nullptr;
    std::size_t size_ = 0;
};

/// Sorts in place, in N log N steps. It is a heap sort, so the order of equal items is undefined.
template <class T, class Less>
EXTENSIBLE_COLD void sort(const array<T>& items, Less is_less) noexcept {
    // The items in [top, end) form a heap. The items from `end` on have their final positions.
    for (std::size_t top = items.size() / 2, end = items.size(); end > 1;) {
        if (top > 0) --top;
        else std::swap(items[0], items[--end]);
        for (std::size_t at = top, child = 0; (child = 2 * at + 1) < end; at = child) {
            if (child + 1 < end && is_less(items[child], items[child + 1])) ++child;
            if (is_less(items[child], items[at])) break;
            std::swap(items[at], items[child]);
        }
    }
}

/// Returns the number of items for which `is_first` is true. They must precede all other items,
/// because this is a binary search.
template <class T, class Predicate>
EXTENSIBLE_COLD std::size_t count_first(const array<T>& items, Predicate is_first) noexcept {
    std::size_t from = 0;
    for (std::size_t to = items.size(); from != to;) {
        const std::size_t middle = (from + to) / 2;
        if (is_first(items[middle])) from = middle + 1;
        else to = middle;
    }
    return from;
}

}}}  // namespace ext::detail
