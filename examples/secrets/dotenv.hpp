#pragma once

// How does a key come out of a .env file? By a start hook on get_api_key, and by the parser here, which anyone may use.
//
// Dotenv files have no standard. These rules are what python-dotenv, motdotla/dotenv with dotenv-expand, and godotenv
// agree on, or two of the three:
//
//  1. A line holds NAME=value, with blanks around each of the three, and `export ` before the name if one likes. Empty
//     lines, and those that begin with `#`, hold nothing. Of two values for one name the later counts. Blanks are white
//     space of any kind, also what a web page puts around a key that is copied from it, such as the no-break space.
//  2. A name has letters, digits, `_`, `.` and `-`, and may be in single quotes.
//  3. An unquoted value ends with its line, or before a `#` that has a blank in front. Blanks at its ends are not part
//     of it. A backslash is just that, but for `\$`, which is a `$`.
//  4. A value in single quotes may span lines. In it \' and \\ are replaced, and other backslashes are left alone.
//  5. A value in double quotes may span lines, too. In it \n, \r, \t, \a, \b, \f, \v, \", \', \\ and \$ are replaced, and
//     other backslashes are left alone. Behind a closing quote, of either kind, there may be blanks and a comment. Where
//     no quote closes the value so, one with a backslash in front does: "C:\dir\" is C:\dir\.
//  6. In values without quotes and in double quotes ${NAME} is replaced with the value that the file has given that
//     name above, otherwise with that from the environment, otherwise with nothing; ${NAME:-text} with the text where
//     the value would be nothing. The text may hold further ${...}; the values that are put in are not looked through
//     again. A $ without such braces is a $, because keys may contain one.
//  7. Lines end with \n, \r\n or \r; within quotes each of these is \n. A byte order mark at the beginning is passed
//     over.
//  8. Where a line is none of this, that line alone is skipped. So a quote that nobody closed costs one variable, and not
//     the rest of the file.
//
// What differs from python-dotenv (P), or from motdotla/dotenv with dotenv-expand (M), on purpose:
//
//     in the file         here         there                   because
//     ------------------  -----------  ----------------------  --------------------------------------------------
//     ${E:-d}, E empty    d            P: nothing              it is so in a shell, and M
//     ${N:-<${E}>}        as a shell   P: the text to the }    it is so in M
//     \$x                 $x           P: \$x                  it is so in a shell, and M
//     A= # note           A is empty   P: `# note`, formerly   no key begins so
//     '${B}'              ${B}         P, M: B's value         single quotes keep what they hold, as in a shell
//     ${B C}              ${B C}       P, M: nothing           that is no name, and may be part of a key
//     $B                  $B           M: B's value            keys may contain a $
//     B=1, A=${B}         A is 1       M: the environment's B  what is set last, and by whom, is seen in the file
//     sk#7                sk#7         M: sk                   keys may contain a #
//     `a`, A: b           neither      M: as quotes, as =      nobody else has them
//     NAME without =      reported     P: a name, M: nothing   it is likely to be a key that lost its name
//     (x=1                reported     P: a name               it cannot be a variable of the environment
//     A='a\' then B='b'   both are     P: neither              see rule 5
//     "\t", "\"", '\''    replaced     M: the backslash stays  it is so in P, and P's own tool writes quotes so
//     A="x, A="x" y       reported     M: with the quotes      a key with a quote in it is worth nothing

#include "names.hpp"
#include "wipe.hpp"

#include <extensible/extensible.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <ios>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

namespace secrets {

// ---- The parser -----------------------------------------------------------------------------------------------------

struct dotenv_variable {
    std::string name;
    secret_text text;
    std::string_view value() const { return text; }
};

struct dotenv_problem {
    std::size_t line;          ///< where the malformed variable begins, counted from 1
    std::string_view message;  ///< a literal, so that nothing of the file, which is secret, can be in it
};

/// What a .env file holds.
struct dotenv_file {
    std::vector<dotenv_variable> variables;  ///< in the file's order, each name once
    std::vector<dotenv_problem> problems;    ///< in the file's order

    /// The value of `name`, a view of what is in here; nothing without one.
    std::optional<std::string_view> find(std::string_view name) const {
        const auto is_it = [name](const dotenv_variable& variable) { return variable.name == name; };
        const auto found = std::find_if(variables.begin(), variables.end(), is_it);
        return found == variables.end() ? std::nullopt : std::optional(found->value());
    }
};

/// Where ${NAME} finds what the file does not define.
using dotenv_lookup = std::function<std::optional<std::string>(std::string_view name)>;

inline std::optional<std::string> environment(std::string_view name) {
    const char* const value = std::getenv(std::string(name).c_str());
    return value ? std::optional<std::string>(value) : std::nullopt;
}

/// How many bytes all ${NAME} of a file together may put in. Twenty lines, each of which doubles the one above, would
/// otherwise make a million times their size.
inline constexpr std::size_t dotenv_expansion_limit = std::size_t{1} << 20;

class dotenv_parser {
public:
    dotenv_parser(std::string_view text, const dotenv_lookup& lookup) : text_(text), lookup_(lookup) {}

    dotenv_file parse() && {
        if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;
        while (at_ < text_.size()) {
            const std::size_t begin = at_, line = line_;
            if (const std::string_view problem = read_variable(); !problem.empty()) {
                file_.problems.push_back({line, problem});
                at_ = begin;  // behind this line, not behind a quoted value: it might be a quote that nobody closed
                line_ = line;
            }
            skip_line();
        }
        return std::move(file_);
    }

private:
    static constexpr std::string_view line_ends = "\r\n";

    // Of how many bytes the white space at the beginning of `text` is that does not end a line; 0 without any. As Python and
    // JavaScript both have it: Unicode's spaces too, which are in UTF-8.
    static std::size_t blank_size(std::string_view text) {
        constexpr std::string_view short_ones = " \t\v\f";
        constexpr std::string_view behind_e2_80 = "\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8A\xA8\xA9\xAF";
        const auto has = [](std::string_view all, char c) { return all.find(c) != std::string_view::npos; };
        if (!text.empty() && has(short_ones, text[0])) return 1;
        if (text.starts_with("\xC2\xA0")) return 2;  // no-break
        if (text.size() > 2 && text.starts_with("\xE2\x80") && has(behind_e2_80, text[2])) return 3;
        for (const std::string_view other : {"\xE1\x9A\x80", "\xE2\x81\x9F", "\xE3\x80\x80"})
            if (text.starts_with(other)) return 3;
        return 0;
    }

    // The same, at the end.
    static std::size_t last_blank_size(std::string_view text) {
        for (std::size_t size = 1; size <= std::min<std::size_t>(text.size(), 3); ++size)
            if (blank_size(text.substr(text.size() - size)) == size) return size;
        return 0;
    }

    // The name at the beginning of `text`, empty without one.
    static std::string_view name_at(std::string_view text) {
        constexpr std::string_view in_names = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
        return text.substr(0, text.find_first_not_of(in_names));
    }

    std::string_view rest() const { return text_.substr(at_); }
    bool at_line_end() const { return at_ == text_.size() || line_ends.find(text_[at_]) != std::string_view::npos; }
    bool is_at(char c) const { return at_ < text_.size() && text_[at_] == c; }

    void skip_blanks() {
        while (const std::size_t size = blank_size(rest())) at_ += size;
    }

    void skip_line() {
        at_ = std::min(text_.find_first_of(line_ends, at_), text_.size());
        if (at_ == text_.size()) return;
        at_ += rest().starts_with("\r\n") ? 2 : 1;
        ++line_;
    }

    void skip_export() {
        constexpr std::string_view word = "export";
        if (!rest().starts_with(word)) return;
        const std::size_t begin = at_, behind = at_ + word.size();
        at_ = behind;
        skip_blanks();
        if (at_ == behind || at_ == text_.size() || is_at('=')) at_ = begin;  // it is a variable's name
    }

    // Reads the variable of this line, if it has one, up to the value's last line. Tells what is wrong with it.
    std::string_view read_variable() {
        skip_blanks();
        if (at_line_end() || is_at('#')) return {};
        skip_export();
        const bool name_is_quoted = is_at('\'');
        if (name_is_quoted) ++at_;
        const std::string_view name = name_at(rest());
        at_ += name.size();
        if (name.empty() || (name_is_quoted && !is_at('\''))) return "expected the name of a variable";
        if (name_is_quoted) ++at_;
        skip_blanks();
        if (!is_at('=')) return "expected '=' behind the name";
        ++at_;
        skip_blanks();

        secret_text value;
        const bool quoted = is_at('"') || is_at('\'');
        const std::string_view problem = quoted ? read_quoted(value) : read_unquoted(value);
        if (!problem.empty()) return problem;

        if (const auto [known, is_new] = places_.try_emplace(name, file_.variables.size()); is_new)
            file_.variables.push_back({std::string(name), std::move(value)});
        else
            file_.variables[known->second].text = std::move(value);
        return {};
    }

    std::string_view read_unquoted(secret_text& value) {
        std::size_t end = at_;
        while (end < text_.size() && line_ends.find(text_[end]) == std::string_view::npos &&
               !(text_[end] == '#' && last_blank_size(text_.substr(0, end)) > 0))
            ++end;
        while (const std::size_t size = last_blank_size(text_.substr(at_, end - at_))) end -= size;
        const std::string_view text = text_.substr(at_, end - at_);
        at_ = end;
        return expand(text, false, value);
    }

    std::string_view read_quoted(secret_text& value) {
        const char quote = text_[at_++];
        const std::size_t begin = at_;
        if (const std::string_view problem = find_closing_quote(quote); !problem.empty()) return problem;
        const std::string_view text = text_.substr(begin, at_ - begin);
        ++at_;

        for (std::size_t i = 0; i < text.size(); ++i) line_ += is_line_end(text, i);
        if (quote == '"') return expand(text, true, value);
        for (std::size_t i = 0; i < text.size(); ++i) {
            if (const std::string_view two = text.substr(i, 2); two == "\\\\" || two == "\\'") ++i;  // without the backslash
            append_quoted(value, text, i);
        }
        return {};
    }

    // Moves to the quote that ends the value: the first without a backslash in front. If that is followed by more than a value
    // may be, or is not there, it is one with a backslash: the last such quote that could be it, in the first line with any.
    std::string_view find_closing_quote(char quote) {
        std::size_t other = std::string_view::npos, other_line_end = text_.size();
        for (; at_ < text_.size() && text_[at_] != quote; ++at_) {
            if (text_[at_] != '\\') continue;
            ++at_;
            if (!is_at(quote) || at_ > other_line_end || !may_end_value(at_)) continue;
            if (other == std::string_view::npos) other_line_end = std::min(text_.find_first_of(line_ends, at_), text_.size());
            other = at_;
        }
        const bool is_closed = at_ < text_.size();
        if (is_closed && may_end_value(at_)) return {};
        at_ = other;
        if (other != std::string_view::npos) return {};
        return is_closed ? "expected nothing but a comment behind the closing quote" : "the quote is not closed";
    }

    // Whether behind the quote there is nothing but blanks and a comment.
    bool may_end_value(std::size_t quote) const {
        std::string_view behind = text_.substr(quote + 1);
        while (const std::size_t size = blank_size(behind)) behind.remove_prefix(size);
        return behind.empty() || behind[0] == '#' || line_ends.find(behind[0]) != std::string_view::npos;
    }

    // Whether a line ends with this character; of \r\n the second does it.
    static bool is_line_end(std::string_view text, std::size_t i) {
        return text[i] == '\n' || (text[i] == '\r' && text.substr(i + 1, 1) != "\n");
    }

    static void append_quoted(secret_text& value, std::string_view text, std::size_t i) {
        if (is_line_end(text, i)) value += '\n';
        else if (text[i] != '\r') value += text[i];
    }

    // Appends `text` to `value`, with escapes and variables replaced.
    std::string_view expand(std::string_view text, bool quoted, secret_text& value) {
        // Two counters do for nested defaults, because within one that is not needed nothing is.
        std::size_t taken = 0;   // of how many ${NAME:- that are open the text is needed
        std::size_t unused = 0;  // inside those: of how many it is not
        for (std::size_t i = 0; i < text.size(); ++i) {
            if (const char c = escaped(text.substr(i, 2), quoted)) {
                if (unused == 0) value += c;
                ++i;
                continue;
            }
            if (text[i] == '}' && taken + unused > 0) {
                --(unused > 0 ? unused : taken);
                continue;
            }
            const std::string_view name = text.substr(i).starts_with("${") ? name_at(text.substr(i + 2)) : "";
            const std::size_t behind = i + 2 + name.size();
            const bool has_default = !name.empty() && text.substr(behind).starts_with(":-");
            if (has_default || (!name.empty() && text.substr(behind).starts_with('}'))) {
                bool found = false;
                if (unused == 0 && !append_variable(name, value, found)) return "the variables in it make it too long";
                if (has_default) ++(unused > 0 || found ? unused : taken);
                i = behind + (has_default ? 1 : 0);
                continue;
            }
            if (unused > 0) continue;
            if (quoted) append_quoted(value, text, i);
            else value += text[i];
        }
        return taken + unused > 0 ? "expected '}' behind a '${NAME:-'" : "";
    }

    // What the two characters stand for, null when they are no escape.
    static char escaped(std::string_view two, bool quoted) {
        constexpr std::string_view letters = "$nrtabfv\"'\\", meanings = "$\n\r\t\a\b\f\v\"'\\";
        if (two.size() < 2 || two[0] != '\\') return '\0';
        const std::size_t which = letters.substr(0, quoted ? letters.size() : 1).find(two[1]);
        return which == std::string_view::npos ? '\0' : meanings[which];
    }

    // False when the limit is reached, and from then on: were failures free, a file could have any number of them.
    // `found` is set when there was something to append.
    bool append_variable(std::string_view name, secret_text& value, bool& found) {
        if (exhausted_) return false;
        const auto known = places_.find(name);
        const std::optional<std::string> from_outside = known == places_.end() ? lookup_(name) : std::nullopt;
        const std::string_view put_in = known != places_.end() ? file_.variables[known->second].value()
                                        : from_outside         ? std::string_view(*from_outside)
                                                               : std::string_view();
        exhausted_ = put_in.size() > dotenv_expansion_limit - expanded_;
        if (exhausted_) return false;
        expanded_ += put_in.size();
        value += put_in;
        found = !put_in.empty();
        return true;
    }

    std::string_view text_;
    const dotenv_lookup& lookup_;
    std::size_t at_ = 0;
    std::size_t line_ = 1;
    std::size_t expanded_ = 0;  // bytes, also those of values that came to nothing
    bool exhausted_ = false;
    std::unordered_map<std::string_view, std::size_t> places_;  // of names, in the file's variables
    dotenv_file file_;
};

/// Reads the text of a .env file, which may hold any bytes. The time it takes grows with their number and no faster.
inline dotenv_file parse_dotenv(std::string_view text, const dotenv_lookup& lookup = environment) {
    return dotenv_parser(text, lookup).parse();
}

// ---- The hook -------------------------------------------------------------------------------------------------------

struct dotenv_options {
    /// Is told of each malformed line, once for each time that the file changes, by the thread that asks for a key.
    std::function<void(std::string_view message)> report = [](std::string_view message) {
        std::clog << std::string(message) + '\n';
    };

    dotenv_lookup lookup = environment;  ///< called by one thread at a time
};

// A file that is read again when it has changed.
class dotenv_source {
public:
    dotenv_source(std::filesystem::path path, dotenv_options options)
        : path_(std::move(path)), options_(std::move(options)) {}

    std::string name() const { return path_.string(); }

    // What the file has for the service, one key or several; nothing without any. Any thread may ask.
    std::optional<std::string> keys_of(std::string_view service) {
        std::vector<dotenv_problem> problems;
        std::optional<std::string> keys;
        {
            const std::lock_guard lock(mutex_);
            if (refresh()) problems = file_.problems;
            const auto value_of = [this](std::string_view name) { return file_.find(name).value_or(""); };
            if (const auto found = find_keys(service, value_of)) keys = std::string(found->list);
        }
        // Not under the lock: who is told may ask for a key.
        for (const dotenv_problem& problem : problems)
            options_.report(name() + ":" + std::to_string(problem.line) + ": " + std::string(problem.message));
        return keys;
    }

private:
    // What shows that a file has changed.
    struct state {
        std::filesystem::file_time_type time;
        std::uintmax_t size;
        bool operator==(const state&) const = default;
    };

    // Nothing where there is no file, also when it goes away between the questions.
    std::optional<state> look() const {
        // It seems unchanged for ever, and is read once: its writer may be gone then, and a second reader would wait in vain.
        if (std::filesystem::is_fifo(path_)) return state{std::filesystem::file_time_type::min(), 0};
        if (!std::filesystem::is_regular_file(path_)) return std::nullopt;
        std::error_code error;
        const state now{std::filesystem::last_write_time(path_, error), std::filesystem::file_size(path_, error)};
        return error ? std::nullopt : std::optional<state>(now);
    }

    // Tells whether the file was read. Throws when it is there and cannot be read: another key must not take its place
    // unnoticed.
    bool refresh() {
        // Before it is read, so that a change meanwhile is seen the next time.
        const std::optional<state> now = look();
        if (now == read_) return false;
        const secret_text text = now ? read() : secret_text();
        file_ = parse_dotenv(text, options_.lookup);
        read_ = now;
        return now.has_value();
    }

    secret_text read() const {
        if (std::optional<secret_text> text = text_of_file(path_)) return std::move(*text);
        throw std::runtime_error("cannot read " + name());
    }

    const std::filesystem::path path_;
    const dotenv_options options_;
    std::mutex mutex_;
    std::optional<state> read_;  // guarded by the mutex, as the file's contents are
    dotenv_file file_;
};

/// A start hook for get_api_key: the key is what the file gives to the first of variable_names(service) that has one there,
/// several with commas between them as they are (see in_turn.hpp). Without the file, or without a key, the call goes on as if
/// the hook were not there. The file may be a FIFO, from which a password manager hands keys over: it is read once, and whoever
/// asks for a key waits for that.
inline auto dotenv_hook(std::filesystem::path path = ".env", dotenv_options options = {}) {
    return [source = std::make_shared<dotenv_source>(std::move(path), std::move(options))](
               ext::call<std::string(std::string_view)>& call) {
        if (call.result) return;  // a hook before this one had the key
        auto& [service] = call.args;
        std::optional<std::string> keys = source->keys_of(*service);
        if (!keys) return;
        call.result = std::move(*keys);
        call.kwargs.set("source", source->name());
    };
}

}  // namespace secrets
