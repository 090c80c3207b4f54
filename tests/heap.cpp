// The heap of a test program: counts allocations, and makes those that a test chooses fail. This is
// a separate file because GCC would warn if it saw free() with memory from operator new.
#include "heap.hpp"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>
#if defined(__linux__) || defined(_WIN32)
#include <malloc.h>
#endif
#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define LOOKS_AT(memory, size) __msan_unpoison(memory, size)
#endif
#endif
#if !defined(LOOKS_AT)
#define LOOKS_AT(memory, size)
#endif

namespace {

std::atomic<std::size_t> used_blocks{0}, used_bytes{0}, most_bytes{0};

constinit std::string_view searched{};
std::atomic<std::size_t> freed_with_text{0};

// The size of the block, which may be a little more than was requested. 0 if it is unknown.
std::size_t size_of([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t alignment) noexcept {
#if defined(__linux__)
    return malloc_usable_size(memory);
#elif defined(_WIN32)
    return alignment > alignof(std::max_align_t) ? 0 : ::_msize(memory);
#else
    return 0;
#endif
}

void* allocate(std::size_t size, std::size_t alignment) noexcept {
    if (alignment <= alignof(std::max_align_t)) return std::malloc(size ? size : 1);
#if defined(_WIN32)
    return ::_aligned_malloc(size ? size : 1, alignment);
#else
    const std::size_t rounded = (size + alignment - 1) / alignment * alignment;
    return std::aligned_alloc(alignment, rounded ? rounded : alignment);
#endif
}

void free_allocated(void* memory, [[maybe_unused]] std::size_t alignment) noexcept {
#if defined(_WIN32)
    if (alignment > alignof(std::max_align_t)) return ::_aligned_free(memory);
#endif
    std::free(memory);
}

// Null if it fails.
void* obtain(std::size_t size, std::size_t alignment) noexcept {
    ++heap::allocations;
    if (heap::fail_in != 0 && --heap::fail_in == 0) return nullptr;
    void* const memory = allocate(size, alignment);
    if (!memory) return nullptr;
    used_blocks.fetch_add(1, std::memory_order_relaxed);
    const std::size_t more = size_of(memory, alignment);
    if (!searched.empty()) std::memset(memory, 0, more);
    const std::size_t now = used_bytes.fetch_add(more, std::memory_order_relaxed) + more;
    for (std::size_t most = most_bytes.load(std::memory_order_relaxed);
         most < now && !most_bytes.compare_exchange_weak(most, now, std::memory_order_relaxed);) {}
    return memory;
}

void* obtain_or_throw(std::size_t size, std::size_t alignment) {
    if (void* const memory = obtain(size, alignment)) return memory;
    throw std::bad_alloc();
}

void give_back(void* memory, std::size_t alignment = 1) noexcept {
    if (!memory) return;
    used_blocks.fetch_sub(1, std::memory_order_relaxed);
    used_bytes.fetch_sub(size_of(memory, alignment), std::memory_order_relaxed);
    if (!searched.empty()) {
        const std::string_view block(static_cast<const char*>(memory), size_of(memory, alignment));
        LOOKS_AT(memory, block.size());  // including bytes that were never written
        if (block.find(searched) != std::string_view::npos) ++freed_with_text;
    }
    free_allocated(memory, alignment);
}

}  // namespace

std::size_t heap::search_freed(std::string_view text) noexcept {
    searched = text;
    return freed_with_text.exchange(0);
}

std::size_t heap::blocks() noexcept { return used_blocks.load(std::memory_order_relaxed); }
std::size_t heap::bytes() noexcept { return used_bytes.load(std::memory_order_relaxed); }
std::size_t heap::take_most_bytes() noexcept { return most_bytes.exchange(bytes(), std::memory_order_relaxed); }

// All operators are replaced, because those of a sanitizer do not call each other, unlike the
// standard library's.
void* operator new(std::size_t size) { return obtain_or_throw(size, 1); }
void* operator new[](std::size_t size) { return obtain_or_throw(size, 1); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return obtain(size, 1); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return obtain(size, 1); }
void* operator new(std::size_t size, std::align_val_t to) {
    return obtain_or_throw(size, static_cast<std::size_t>(to));
}
void* operator new[](std::size_t size, std::align_val_t to) {
    return obtain_or_throw(size, static_cast<std::size_t>(to));
}
void operator delete(void* memory) noexcept { give_back(memory); }
void operator delete[](void* memory) noexcept { give_back(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { give_back(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { give_back(memory); }
void operator delete(void* memory, std::size_t) noexcept { give_back(memory); }
void operator delete[](void* memory, std::size_t) noexcept { give_back(memory); }
void operator delete(void* memory, std::align_val_t to) noexcept { give_back(memory, static_cast<std::size_t>(to)); }
void operator delete[](void* memory, std::align_val_t to) noexcept { give_back(memory, static_cast<std::size_t>(to)); }
void operator delete(void* memory, std::size_t, std::align_val_t to) noexcept {
    give_back(memory, static_cast<std::size_t>(to));
}
void operator delete[](void* memory, std::size_t, std::align_val_t to) noexcept {
    give_back(memory, static_cast<std::size_t>(to));
}
