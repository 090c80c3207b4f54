#pragma once

// ext::phase: when in a call a hook runs.

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ext { inline namespace EXTENSIBLE_ABI {

/// The phases of a call in which hooks run, in this order:
/// - `start`: before the function;
/// - `around`: around the function, after the start hooks and before the end hooks;
/// - `end`: after the function, whether it returned or threw.
enum class phase : std::uint8_t { start, around, end };

/// Returns the name of a phase: "start", "around" or "end".
constexpr std::string_view to_string(phase when) noexcept {
    return when == phase::start ? "start" : when == phase::around ? "around" : "end";
}

namespace detail {

inline constexpr std::size_t phase_count = 3;

/// Returns the article for "start hook", "around hook" or "end hook", with a space.
constexpr const char* article(phase when) noexcept { return when == phase::start ? "a " : "an "; }

}  // namespace detail

}}  // namespace ext
