#pragma once

#include <cstddef>
#include <memory>

namespace secrets {

/// Overwrites memory that held a secret. The compiler cannot leave it out, as it may where nobody reads the memory again.
inline void wipe(char* memory, std::size_t size) noexcept {
    volatile char* const bytes = memory;
    for (std::size_t i = 0; i < size; ++i) bytes[i] = 0;
}

/// Wipes memory before it is given back. Not for std::string, which keeps short texts within itself.
template <class T>
struct wiping_allocator : std::allocator<T> {
    template <class U>
    struct rebind {
        using other = wiping_allocator<U>;
    };
    wiping_allocator() = default;
    template <class U>
    wiping_allocator(const wiping_allocator<U>&) noexcept {}
    void deallocate(T* memory, std::size_t count) noexcept {
        wipe(reinterpret_cast<char*>(memory), count * sizeof(T));
        std::allocator<T>::deallocate(memory, count);
    }
};

}  // namespace secrets
