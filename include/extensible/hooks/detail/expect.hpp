#pragma once

// The validation of the options of ready-made hooks.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/error.hpp>
#include <extensible/hooks/detail/core.hpp>

#include <chrono>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace hooks { namespace detail {

/// Returns the value of an option as text. A duration is in the largest unit that fits: "1.5 ms".
template <class T>
std::string option_text(const T& given) {
    std::ostringstream text;
    if constexpr (std::is_arithmetic_v<T> || std::is_convertible_v<T, std::string_view>) {
        text << given;
    } else {
        const double count = static_cast<double>(std::chrono::nanoseconds(given).count());
        const double length = count < 0 ? -count : count;
        if (length >= 1e9) text << count / 1e9 << " s";
        else if (length >= 1e6) text << count / 1e6 << " ms";
        else if (length >= 1e3) text << count / 1e3 << " us";
        else text << count << " ns";
    }
    return text.str();
}

/// Throws ext::error if `holds` is false. The text is, for instance, "ext::hooks::retry: .attempts
/// must be at least 1, but is 0". Write `holds` as a comparison that a valid value fulfils, so that it is
/// false for a NaN.
template <class T>
void expect(bool holds, std::string_view hook, std::string_view option, std::string_view expected, const T& given) {
    if (holds) return;
    detail::raise<error>(std::string("ext::hooks::").append(hook).append(": ").append(option)
                             .append(" must be ").append(expected).append(", but is ").append(option_text(given)));
}

}}}}  // namespace ext::hooks::detail
