#pragma once

// What does each thread have of its own, and what runs when a thread ends?
//
// What must stay true: a thread can use a thread_pointer until it has ended, even after its
// thread-local objects are destroyed (tests/threads.cpp, tests/windows/ended_threads.cpp).

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/windows_api.hpp>

#if EXTENSIBLE_POSIX || EXTENSIBLE_WINDOWS

#include <atomic>
#include <exception>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// A pointer that has a separate value for each thread in each module. The value is `&Initial` until
/// the thread sets it.
template <class T, T& Initial>
class thread_pointer {
#if !defined(EXTENSIBLE_EMULATED_THREAD_LOCAL)

public:
    EXTENSIBLE_HIDDEN static T* get() noexcept { return value_; }
    EXTENSIBLE_HIDDEN static void set(T* value) noexcept { value_ = value; }

private:
    EXTENSIBLE_THREAD_POINTER static inline constinit thread_local T* value_ = &Initial;

#else  // Windows' own storage is faster than emulated storage, and lasts as long as the thread.

public:
    static T* get() noexcept {
        // Acquire: the index was allocated before it was stored. Pairs with allocate().
        const unsigned long index = index_.load(std::memory_order_acquire);
        void* const value = index == none ? nullptr : windows::TlsGetValue(index);
        return value ? static_cast<T*>(value) : &Initial;
    }
    static void set(T* value) noexcept {
        static const module_end at_module_end;
        // Acquire: as in get().
        unsigned long index = index_.load(std::memory_order_acquire);
        if (index == none) index = allocate();
        windows::TlsSetValue(index, value);
    }

private:
    static constexpr unsigned long none = 0xFFFFFFFF;

    static unsigned long allocate() noexcept {
        unsigned long before = none;
        const unsigned long made = windows::TlsAlloc();
        if (made == none) std::terminate();  // a process has more than a thousand indices
        // If another thread has stored its index first, this thread uses that one. Release, for the
        // loads in get() and set(); acquire if it fails. (The default order is stronger.)
        if (index_.compare_exchange_strong(before, made)) return made;
        windows::TlsFree(made);
        return before;
    }

    // Frees the index when a library is unloaded: no other thread then runs the library's code, so
    // any memory order would do. When the program ends, other threads may still use the index.
    struct module_end {
        ~module_end() {
            constexpr unsigned long from_address = 4, without_reference = 2;
            ::HINSTANCE__* module = nullptr;
            windows::GetModuleHandleExW(from_address | without_reference, reinterpret_cast<const wchar_t*>(&index_),
                                        &module);
            if (module != windows::GetModuleHandleW(nullptr)) windows::TlsFree(index_.exchange(none));
        }
    };

    static inline constinit std::atomic<unsigned long> index_{none};  // `none` until a thread calls set()

#endif
};

/// Arranges that `Function` is called when the calling thread destroys its thread-local objects. If
/// a thread calls this several times, `Function` is still called once.
template <void (*Function)() noexcept>
EXTENSIBLE_HIDDEN void call_at_thread_end() {
    struct thread_end {
        ~thread_end() { Function(); }
        void touch() noexcept {}
    };
    // A local variable, because MinGW cannot link two such variables outside of functions. It has no
    // data members, because MinGW frees its memory before its destructor runs.
    static thread_local thread_end end;
    end.touch();
}

}}}  // namespace ext::detail

#endif
