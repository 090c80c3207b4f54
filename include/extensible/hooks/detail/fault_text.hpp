#pragma once

// The parser of the text of ext::hooks::faults:
//
//     net.*=throw(0.01); store.get=delay(50ms, 0.1); seed=7

#include <extensible/detail/platform/compiler.hpp>
#include <extensible/error.hpp>
#include <extensible/hooks/clock.hpp>
#include <extensible/hooks/detail/core.hpp>
#include <extensible/hooks/detail/json.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace hooks { namespace detail {

/// One rule, such as `store.get=delay(50ms, 0.1)`.
struct fault_rule {
    std::string text, pattern;
    std::optional<duration> delay{};  // empty: the rule throws
    double probability = 1;
    std::uint64_t times = UINT64_MAX;  // the number of faults after which the rule does nothing
};

/// The rules and the seed of a parsed text.
class fault_text {
public:
    std::vector<fault_rule> rules;
    std::optional<std::uint64_t> seed;

    /// Parses the text. Throws ext::error, which gives the column, if it cannot be parsed.
    explicit fault_text(std::string_view text) : text_(text) {
        while (skip_spaces(), !is_at_end()) {
            read_rule();
            skip_spaces();
            if (!is_at_end()) expect(';', "';' or the end");
        }
    }

private:
    void read_rule() {
        const std::size_t begin = at_;
        while (!is_at_end() && text_[at_] != '=' && text_[at_] != ';') ++at_;
        const std::string_view pattern = trimmed(text_.substr(begin, at_ - begin));
        if (pattern.empty()) fail(begin, "the name of a function, or a pattern,");
        expect('=', "'='");
        skip_spaces();
        if (pattern == "seed" && is_digit()) return void(seed = read_integer());
        fault_rule rule{.text = {}, .pattern = std::string(pattern)};
        if (const std::string_view kind = read_word(); kind == "delay") read_delay(rule);
        else if (kind == "throw" && EXTENSIBLE_EXCEPTIONS) read_throw(rule);
        else fail(at_ - kind.size(),
                  EXTENSIBLE_EXCEPTIONS ? "throw or delay" : "delay, as this is compiled without exceptions,");
        rule.text = text_.substr(begin, at_ - begin);
        rules.push_back(std::move(rule));
    }

    // Reads what follows `throw`: nothing, or limits in parentheses.
    void read_throw(fault_rule& rule) {
        if (!take('(')) return;
        read_limits(rule);
        expect(')', "')'");
    }

    // Reads what follows `delay`: `(50ms)`, or `(50ms, ` and limits.
    void read_delay(fault_rule& rule) {
        expect('(', "'('");
        rule.delay = read_duration();
        const bool is_limited = take(',');
        if (is_limited) read_limits(rule);
        expect(')', is_limited ? "')'" : "',' or ')'");
    }

    // Reads a probability, `times=3`, or both in this order.
    void read_limits(fault_rule& rule) {
        skip_spaces();
        if (!next_is("times")) {
            rule.probability = read_probability();
            if (!take(',')) return;
            skip_spaces();
        }
        if (const std::string_view word = read_word(); word != "times")
            fail(at_ - word.size(), "times, as in times=3,");
        expect('=', "'='");
        skip_spaces();
        const std::size_t begin = at_;
        if (!is_digit() || (rule.times = read_integer()) == 0) fail(begin, "a number of at least 1");
    }

    double read_probability() {
        skip_spaces();
        const std::size_t begin = at_;
        const double probability = read_number();
        if (!(probability <= 1)) fail(begin, "a probability between 0 and 1");
        return probability;
    }

    duration read_duration() {
        skip_spaces();
        const std::size_t begin = at_;
        const double number = read_number();
        const std::string_view unit = read_word();
        const double nanoseconds = unit == "ns" ? 1 : unit == "us" ? 1e3 : unit == "ms" ? 1e6 : unit == "s" ? 1e9 : 0;
        if (!(nanoseconds > 0)) fail(at_ - unit.size(), "ns, us, ms or s");
        if (!(number * nanoseconds <= 1e18)) fail(begin, "a time of no more than 1000000000s");
        return duration(static_cast<duration::rep>(number * nanoseconds));
    }

    // Does not use the standard library: its functions expect the decimal point of the locale, or
    // cannot read floating-point numbers in some implementations.
    double read_number() {
        if (!is_digit()) fail(at_, "a number");
        double digits = 0;
        for (; is_digit(); ++at_) digits = 10 * digits + (text_[at_] - '0');
        if (is_at_end() || text_[at_] != '.') return digits;
        ++at_;
        if (!is_digit()) fail(at_, "a digit");
        double divisor = 1;
        for (; is_digit(); ++at_) {
            digits = 10 * digits + (text_[at_] - '0');
            divisor *= 10;
        }
        return digits / divisor;
    }

    std::uint64_t read_integer() {
        const std::size_t begin = at_;
        std::uint64_t number = 0;
        for (; is_digit(); ++at_) {
            const auto digit = static_cast<std::uint64_t>(text_[at_] - '0');
            if (number > (UINT64_MAX - digit) / 10) fail(begin, "a number of 64 bits");
            number = 10 * number + digit;
        }
        return number;
    }

    std::string_view read_word() {
        const std::size_t begin = at_;
        while (!is_at_end() && text_[at_] >= 'a' && text_[at_] <= 'z') ++at_;
        return text_.substr(begin, at_ - begin);
    }

    bool next_is(std::string_view word) const { return text_.substr(at_, word.size()) == word; }

    bool take(char c) {
        const std::size_t before = at_;
        skip_spaces();
        if (is_at_end() || text_[at_] != c) {
            at_ = before;
            return false;
        }
        ++at_;
        return true;
    }
    void expect(char c, std::string_view expected) {
        if (!take(c)) skip_spaces(), fail(at_, expected);
    }
    void skip_spaces() {
        while (!is_at_end() && is_space(text_[at_])) ++at_;
    }
    bool is_at_end() const { return at_ == text_.size(); }
    bool is_digit() const { return !is_at_end() && text_[at_] >= '0' && text_[at_] <= '9'; }
    static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
    static std::string_view trimmed(std::string_view text) {
        while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
        return text;
    }

    [[noreturn]] void fail(std::size_t place, std::string_view expected) const {
        const std::string found(text_.substr(place, 20));
        std::string what = "ext::hooks::faults: column " + json(place + 1) + " of \"";
        what.append(text_).append("\": ").append(expected).append(" was expected, ");
        detail::raise<error>(what + (found.empty() ? "the end" : "\"" + found + "\"") + " was found");
    }

    const std::string_view text_;
    std::size_t at_ = 0;
};

}}}}  // namespace ext::hooks::detail
