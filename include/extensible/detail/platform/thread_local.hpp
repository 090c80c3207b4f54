#pragma once

// What does each thread have of its own, and what runs when a thread ends?

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/windows_api.hpp>

#if EXTENSIBLE_POSIX || EXTENSIBLE_WINDOWS

#include <atomic>
#include <exception>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// A pointer to a T that each thread has one of, in each module. It is `&Initial` at first.
template <class T, T& Initial>
class thread_pointer {
#if !defined(EXTENSIBLE_EMULATED_THREAD_LOCAL)

public:
    EXTENSIBLE_HIDDEN static T* get() noexcept { return value_; }
    EXTENSIBLE_HIDDEN static void set(T* value) noexcept { value_ = value; }

private:
    EXTENSIBLE_THREAD_POINTER static inline constinit thread_local T* value_ = &Initial;

#else  // The storage of Windows itself, which is faster, and is there as long as the thread.

public:
    static T* get() noexcept {
        const unsigned long index = index_.load(std::memory_order_acquire);
        void* const value = index == none ? nullptr : windows::TlsGetValue(index);
        return value ? static_cast<T*>(value) : &Initial;
    }
    static void set(T* value) noexcept {
        static const module_end at_module_end;
        unsigned long index = index_.load(std::memory_order_acquire);
        if (index == none) index = allocate();
        windows::TlsSetValue(index, value);
    }

private:
    static constexpr unsigned long none = 0xFFFFFFFF;

    static unsigned long allocate() noexcept {
        unsigned long before = none;
        const unsigned long made = windows::TlsAlloc();
        if (made == none) std::terminate();  // there are more than a thousand
        if (index_.compare_exchange_strong(before, made)) return made;
        windows::TlsFree(made);
        return before;
    }

    // A library that is unloaded gives its index back; a program's other threads may still use theirs.
    struct module_end {
        ~module_end() {
            constexpr unsigned long from_address = 4, without_reference = 2;
            ::HINSTANCE__* module = nullptr;
            windows::GetModuleHandleExW(from_address | without_reference, reinterpret_cast<const wchar_t*>(&index_), &module);
            if (module != windows::GetModuleHandleW(nullptr)) windows::TlsFree(index_.exchange(none));
        }
    };

    static inline constinit std::atomic<unsigned long> index_{none};

#endif
};

/// Has `Function` called when the calling thread destroys its thread-local objects; once, however often this is called.
template <void (*Function)() noexcept>
EXTENSIBLE_HIDDEN void call_at_thread_end() {
    struct thread_end {
        ~thread_end() { Function(); }
        void touch() noexcept {}
    };
    // In a function, because MinGW cannot link two such variables outside of one; and empty, because MinGW frees it before that.
    static thread_local thread_end end;
    end.touch();
}

}}}  // namespace ext::detail

#endif
