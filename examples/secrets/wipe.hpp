#pragma once

#include <cstddef>

namespace secrets {

/// Overwrites memory that held a secret. The compiler cannot leave it out, as it may where nobody reads the memory again.
inline void wipe(char* memory, std::size_t size) noexcept {
    volatile char* const bytes = memory;
    for (std::size_t i = 0; i < size; ++i) bytes[i] = 0;
}

}  // namespace secrets
