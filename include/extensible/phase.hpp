#pragma once

// When does a hook run?

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ext {

/// The three places in a call where hooks run, in the order in which a call comes to them.
enum class phase : std::uint8_t { start, around, end };

/// "start", "around" or "end".
constexpr std::string_view to_string(phase when) noexcept {
    return when == phase::start ? "start" : when == phase::around ? "around" : "end";
}

namespace detail {

inline constexpr std::size_t phase_count = 3;

}  // namespace detail

}  // namespace ext
