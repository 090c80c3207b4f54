#pragma once

// The random numbers of the ready-made hooks: one fixed sequence for each seed.

#include <extensible/detail/platform/compiler.hpp>

#include <atomic>
#include <cstdint>
#include <random>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace hooks { namespace detail {

/// Returns a random seed, which is not 0.
inline std::uint64_t any_seed() {
    std::random_device device;
    const std::uint64_t seed = (std::uint64_t{device()} << 32) + device();
    return seed ? seed : 1;
}

/// A sequence of random numbers in [0, 1). Any thread may draw, and no two draws return the same
/// element of the sequence.
///
/// SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA
/// 2014. Its state is a counter, so one atomic addition draws a number.
class chance {
public:
    /// Begins the sequence of this seed. 0 means a random seed.
    explicit chance(std::uint64_t seed) : drawn_(seed ? seed : any_seed()) {}
    chance(const chance& other) noexcept : drawn_(other.drawn_.load(std::memory_order_relaxed)) {}
    chance& operator=(const chance&) = delete;

    double draw() noexcept {
        std::uint64_t x = drawn_.fetch_add(step, std::memory_order_relaxed) + step;  // relaxed: publishes nothing else
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
        x ^= x >> 31;
        return static_cast<double>(x >> 11) * 0x1p-53;
    }

private:
    static constexpr std::uint64_t step = 0x9E3779B97F4A7C15u;
    std::atomic<std::uint64_t> drawn_;
};

}}}}  // namespace ext::hooks::detail
