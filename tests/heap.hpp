#pragma once

// Counts the allocations of a test program, and makes them fail. The operators in heap.cpp do this
// for the whole program.

#include <cstddef>
#include <exception>
#include <new>
#include <string_view>

namespace heap {

/// The number of allocations of this thread so far.
inline constinit thread_local std::size_t allocations = 0;

/// 1: the next allocation of this thread fails; 2: the one after it; 0: none.
inline constinit thread_local std::size_t fail_in = 0;

/// The number of allocations that the standard library makes to have a function called at the end
/// of a thread. If they fail, it continues.
#if defined(__MINGW32__)
inline constexpr std::size_t at_thread_end = 1;
#else
inline constexpr std::size_t at_thread_end = 0;
#endif

/// What all threads have allocated and not freed yet.
std::size_t blocks() noexcept;
std::size_t bytes() noexcept;

/// The maximum of bytes() since the previous call of this function.
std::size_t take_most_bytes() noexcept;

/// From now on, each block that a thread frees is searched for `text`, and new blocks are zeroed.
/// Ends the search if `text` is empty. Returns the number of freed blocks that contained the
/// previous text. `text` must outlive the search.
std::size_t search_freed(std::string_view text) noexcept;

template <class Function>
std::size_t allocations_of(Function function) {
    const std::size_t before = allocations;
    function();
    return allocations - before;
}

/// The outcome of an attempt in which one allocation should fail.
struct attempt {
    bool one_failed;            // false: there were fewer allocations
    std::exception_ptr thrown;  // null if it returned
};

template <class Function>
attempt try_failing(std::size_t number, Function& function) {
    attempt tried{};
    fail_in = number;
    try {
        function();
    } catch (...) {
        tried.thrown = std::current_exception();
    }
    tried.one_failed = fail_in == 0;
    fail_in = 0;
    return tried;
}

inline bool is_bad_alloc(const std::exception_ptr& thrown) {
    try {
        std::rethrow_exception(thrown);
    } catch (const std::bad_alloc&) {
        return true;
    } catch (...) {
        return false;
    }
}

}  // namespace heap
