#pragma once

// The text format of Prometheus, version 0.0.4, for ext::hooks::metrics.

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/hooks/clock.hpp>
#include <extensible/hooks/detail/core.hpp>
#include <extensible/hooks/detail/json.hpp>

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace hooks { namespace detail {

/// Returns the value of a label, without the quotes around it. A byte that is not UTF-8 is written as
/// its number, `\\xe9`, because one such byte would make the whole text invalid.
inline std::string label_value(std::string_view text) {
    std::string written;
    while (!text.empty()) {
        const char c = text.front();
        const std::size_t length = detail::utf8_length(text);
        if (length == 0) append_number(written += "\\\\x", static_cast<unsigned char>(c), 16);  // it has two digits
        else if (c == '\n') written += "\\n";
        else if (c == '"' || c == '\\') written += {'\\', c};
        else written += text.substr(0, length);
        text.remove_prefix(length == 0 ? 1 : length);
    }
    return written;
}

/// Returns a time of 0 or more in seconds, such as "1.5". Exact, unlike a double.
inline std::string seconds_text(duration time) {
    constexpr auto second = duration(std::chrono::seconds(1)).count();
    std::string fraction = detail::json(second + time.count() % second);  // 10 digits, of which the first is 1
    fraction.front() = '.';
    fraction.erase(fraction.find_last_not_of(".0") + 1);
    return detail::json(time.count() / second) + fraction;
}

/// The text of several families of metrics.
class prometheus_text {
public:
    /// Begins a family, to which the following samples belong. Escapes nothing in the texts.
    void begin_family(std::string_view name, std::string_view type, std::string_view help) {
        family_ = name;
        text_ += detail::join({"# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n"});
    }

    /// Adds a sample of a function. `suffix` follows the name of the family, and `more_labels`
    /// follow the function's name.
    void add(std::string_view function, std::string_view value, std::string_view suffix = {},
             std::string_view more_labels = {}) {
        text_ += detail::join({family_, suffix, "{function=\"", label_value(function), "\"", more_labels, "} ", value,
                               "\n"});
    }

    const std::string& text() const noexcept { return text_; }

private:
    std::string family_;
    std::string text_;
};

}}}}  // namespace ext::hooks::detail
