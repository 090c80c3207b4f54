#pragma once

// What does a test program allocate, and how does its heap fail? Told by the operators in heap.cpp, which count for the whole
// program.

#include <cstddef>
#include <exception>
#include <new>
#include <string_view>

namespace heap {

/// How often this thread has allocated so far.
inline constinit thread_local std::size_t allocations = 0;

/// 1: the next allocation of this thread fails; 2: the one after it; 0: none.
inline constinit thread_local std::size_t fail_in = 0;

/// How often the standard library allocates, and goes on where it cannot, to have something called when a thread ends.
#if defined(__MINGW32__)
inline constexpr std::size_t at_thread_end = 1;
#else
inline constexpr std::size_t at_thread_end = 0;
#endif

/// Allocated and not freed yet, by all threads.
std::size_t blocks() noexcept;
std::size_t bytes() noexcept;

/// The most bytes that there were since this was called.
std::size_t take_most_bytes() noexcept;

/// From now on freed blocks are searched for the text, and new ones are zeroed for that, until the text is empty. Returns how
/// many had the one before. By all threads; the text has to stay.
std::size_t search_freed(std::string_view text) noexcept;

template <class Function>
std::size_t allocations_of(Function function) {
    const std::size_t before = allocations;
    function();
    return allocations - before;
}

/// How an attempt ended in which one allocation was to fail.
struct attempt {
    bool one_failed;            // false: there were not so many
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
