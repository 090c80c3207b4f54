#pragma once

// How does a key come out of a .env file? By a start hook on get_api_key, and by the parser here, which anyone may use.
//
// Dotenv files have no standard. These rules are what python-dotenv, motdotla/dotenv with dotenv-expand, and godotenv
// agree on, or two of the three:
//
//  1. A line holds NAME=value, with blanks around each of the three, and `export ` before the name if one likes. Empty
//     lines, and those that begin with `#`, hold nothing. Of two values for one name the later counts.
//  2. A name begins with a letter or `_`, and goes on with letters, digits, `_`, `.` and `-`.
//  3. An unquoted value ends with its line, or before a `#` that has a blank in front. Blanks at its ends are not part
//     of it. A backslash is just that, but for `\$`, which is a `$`.
//  4. A value in single quotes is what stands between them, and may span lines. A quote with a backslash in front does
//     not end it, and both stay in the value.
//  5. A value in double quotes may span lines, too. In it \n, \r, \t, \", \\ and \$ are replaced, and other backslashes
//     are left alone. Behind a closing quote, of either kind, there may be blanks and a comment.
//  6. In values without quotes and in double quotes ${NAME} is replaced with the value that the file has given that
//     name above, otherwise with that from the environment, otherwise with nothing; ${NAME:-text} with the text where
//     the value would be nothing. The text may hold further ${...}; the values that are put in are not looked through
//     again. A $ without such braces is a $, because keys may contain one.
//  7. Lines end with \n, \r\n or \r; within quotes each of these is \n. A byte order mark at the beginning is passed
//     over.
//  8. Where a line is none of this, that line alone is passed over. So a quote that nobody closed costs one variable,
//     and not the rest of the file.

#include "get_api_key.hpp"

#include <extensible/extensible.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
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
    std::string value;
};

struct dotenv_problem {
    std::size_t line;          ///< where the malformed variable begins, counted from 1
    std::string_view message;  ///< a literal, so that nothing of the file, which is secret, can be in it
};

/// What a .env file holds.
struct dotenv_file {
    std::vector<dotenv_variable> variables;  ///< in the file's order, each name once
    std::vector<dotenv_problem> problems;    ///< in the file's order

    /// The value of `name`, null without one.
    const std::string* find(std::string_view name) const {
        const auto is_it = [name](const dotenv_variable& variable) { return variable.name == name; };
        const auto found = std::find_if(variables.begin(), variables.end(), is_it);
        return found == variables.end() ? nullptr : &found->value;
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
    static constexpr std::string_view blanks = " \t\v\f";
    static constexpr std::string_view line_ends = "\r\n";

    static constexpr bool is_blank(char c) { return blanks.find(c) != std::string_view::npos; }

    // The name at the beginning of `text`, empty without one.
    static std::string_view name_at(std::string_view text) {
        const auto begins = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
        const auto goes_on = [&](char c) { return begins(c) || (c >= '0' && c <= '9') || c == '.' || c == '-'; };
        if (text.empty() || !begins(text.front())) return {};
        std::size_t size = 1;
        while (size < text.size() && goes_on(text[size])) ++size;
        return text.substr(0, size);
    }

    std::string_view rest() const { return text_.substr(at_); }
    bool at_line_end() const { return at_ == text_.size() || line_ends.find(text_[at_]) != std::string_view::npos; }
    bool is_at(char c) const { return at_ < text_.size() && text_[at_] == c; }

    void skip_blanks() { at_ = std::min(text_.find_first_not_of(blanks, at_), text_.size()); }

    void skip_line() {
        at_ = std::min(text_.find_first_of(line_ends, at_), text_.size());
        if (at_ == text_.size()) return;
        at_ += rest().starts_with("\r\n") ? 2 : 1;
        ++line_;
    }

    void skip_export() {
        constexpr std::string_view word = "export";
        if (!rest().starts_with(word)) return;
        const std::size_t behind = std::min(text_.find_first_not_of(blanks, at_ + word.size()), text_.size());
        if (behind == at_ + word.size() || behind == text_.size() || text_[behind] == '=') return;  // a variable's name
        at_ = behind;
    }

    // Reads the variable of this line, if it has one, up to the value's last line. Tells what is wrong with it.
    std::string_view read_variable() {
        skip_blanks();
        if (at_line_end() || is_at('#')) return {};
        skip_export();
        const std::string_view name = name_at(rest());
        if (name.empty()) return "expected the name of a variable";
        at_ += name.size();
        skip_blanks();
        if (!is_at('=')) return "expected '=' behind the name";
        ++at_;
        skip_blanks();

        std::string value;
        const bool quoted = is_at('"') || is_at('\'');
        const std::string_view problem = quoted ? read_quoted(value) : read_unquoted(value);
        if (!problem.empty()) return problem;

        if (const auto [known, is_new] = places_.try_emplace(name, file_.variables.size()); is_new)
            file_.variables.push_back({std::string(name), std::move(value)});
        else
            file_.variables[known->second].value = std::move(value);
        return {};
    }

    std::string_view read_unquoted(std::string& value) {
        std::size_t end = at_;
        while (end < text_.size() && line_ends.find(text_[end]) == std::string_view::npos &&
               !(text_[end] == '#' && is_blank(text_[end - 1])))  // there is one before: the '=', if nothing else
            ++end;
        while (end > at_ && is_blank(text_[end - 1])) --end;
        const std::string_view text = text_.substr(at_, end - at_);
        at_ = end;
        return expand(text, false, value);
    }

    std::string_view read_quoted(std::string& value) {
        const char quote = text_[at_];
        const std::size_t begin = ++at_;
        while (at_ < text_.size() && text_[at_] != quote) at_ += text_[at_] == '\\' && is_escape(quote) ? 2 : 1;
        if (at_ >= text_.size()) return "the quote is not closed";
        const std::string_view text = text_.substr(begin, at_ - begin);
        ++at_;
        skip_blanks();
        if (!at_line_end() && !is_at('#')) return "expected nothing but a comment behind the closing quote";

        for (std::size_t i = 0; i < text.size(); ++i) line_ += is_line_end(text, i);
        if (quote == '"') return expand(text, true, value);
        for (std::size_t i = 0; i < text.size(); ++i) append_quoted(value, text, i);
        return {};
    }

    // Whether the backslash here keeps the next character from being looked at: in double quotes any, else a quote.
    bool is_escape(char quote) const { return quote == '"' || text_.substr(at_ + 1, 1) == "'"; }

    // Whether a line ends with this character; of \r\n the second does it.
    static bool is_line_end(std::string_view text, std::size_t i) {
        return text[i] == '\n' || (text[i] == '\r' && text.substr(i + 1, 1) != "\n");
    }

    static void append_quoted(std::string& value, std::string_view text, std::size_t i) {
        if (is_line_end(text, i)) value += '\n';
        else if (text[i] != '\r') value += text[i];
    }

    // Appends `text` to `value`, with escapes and variables replaced.
    std::string_view expand(std::string_view text, bool quoted, std::string& value) {
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
        if (two.size() < 2 || two[0] != '\\') return '\0';
        switch (two[1]) {
            case '$': return '$';
            case 'n': return quoted ? '\n' : '\0';
            case 'r': return quoted ? '\r' : '\0';
            case 't': return quoted ? '\t' : '\0';
            case '"': return quoted ? '"' : '\0';
            case '\\': return quoted ? '\\' : '\0';
            default: return '\0';
        }
    }

    // False when the limit is reached, and from then on: were failures free, a file could have any number of them.
    // `found` is set when there was something to append.
    bool append_variable(std::string_view name, std::string& value, bool& found) {
        if (exhausted_) return false;
        const auto known = places_.find(name);
        const std::optional<std::string> from_outside = known == places_.end() ? lookup_(name) : std::nullopt;
        const std::string_view put_in = known != places_.end() ? std::string_view(file_.variables[known->second].value)
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

    // Any thread may ask.
    std::optional<std::string> value_of(std::string_view variable) {
        std::vector<dotenv_problem> problems;
        std::optional<std::string> value;
        {
            const std::lock_guard lock(mutex_);
            if (refresh()) problems = file_.problems;
            if (const std::string* const found = file_.find(variable)) value = *found;
        }
        // Not under the lock: who is told may ask for a key.
        for (const dotenv_problem& problem : problems)
            options_.report(name() + ":" + std::to_string(problem.line) + ": " + std::string(problem.message));
        return value;
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
        std::string text;
        if (now) {
            std::ifstream stream(path_, std::ios::binary);
            if (!stream) throw std::runtime_error("cannot read " + name());
            text.assign(std::istreambuf_iterator<char>(stream), {});
        }
        file_ = parse_dotenv(text, options_.lookup);
        read_ = now;
        return now.has_value();
    }

    const std::filesystem::path path_;
    const dotenv_options options_;
    std::mutex mutex_;
    std::optional<state> read_;  // guarded by the mutex, as the file's contents are
    dotenv_file file_;
};

/// A start hook for get_api_key: the key is the value that the file gives to variable_name(service). Without the file,
/// or without a value, the call goes on as if the hook were not there.
inline auto dotenv_hook(std::filesystem::path path = ".env", dotenv_options options = {}) {
    return [source = std::make_shared<dotenv_source>(std::move(path), std::move(options))](
               ext::call<std::string(std::string_view)>& call) {
        if (call.result) return;  // a hook before this one had the key
        auto& [service] = call.args;
        std::optional<std::string> key = source->value_of(variable_name(*service));
        if (!key || key->empty()) return;
        call.result = std::move(*key);
        call.kwargs.set("source", source->name());
    };
}

}  // namespace secrets
