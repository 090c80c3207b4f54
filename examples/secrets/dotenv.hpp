#pragma once

// Keys from a .env file: a store like the others, and a parser that also works without it:
//
//     secrets::add_dotenv(plugin, "models.get_api_key", ".env");
//
// .env files have no standard. At least two of python-dotenv, motdotla/dotenv with dotenv-expand,
// and godotenv agree on each of these rules:
//
//  1. A line contains NAME=value. There may be blanks around the name and the value, and `export `
//     before the name. Empty lines, and lines that begin with `#`, are ignored. If a name occurs
//     twice, the later value is used. Blanks are white space of any kind, also the no-break space,
//     which may surround a key that is copied from a web page.
//  2. A name consists of letters, digits, `_`, `.` and `-`, and may be in single quotes.
//  3. An unquoted value ends with its line, or before a `#` that follows a blank. Blanks at its
//     ends are not part of it. A backslash is an ordinary character, but `\$` is a `$`.
//  4. A value in single quotes may span lines. \' and \\ in it are replaced. Other backslashes
//     remain.
//  5. A value in double quotes may span lines, too. \n, \r, \t, \a, \b, \f, \v, \", \', \\ and \$
//     in it are replaced. Other backslashes remain. After the closing quote, of either kind, only
//     blanks and a comment are allowed. If no quote closes the value in this way, a quote after a
//     backslash does: "C:\dir\" is C:\dir\.
//  6. In values without quotes and in double quotes, ${NAME} is replaced: by the value that the
//     file gave this name above, or else by the value in the environment, or else by nothing.
//     ${NAME:-text} is replaced by the text if the value would be empty. The text may contain
//     further ${...}. Inserted values are not searched for ${...} again. A $ without such braces is
//     a $, because keys may contain one.
//  7. Lines end with \n, \r\n or \r; within quotes each of these is \n. A byte order mark at the
//     beginning is ignored.
//  8. A line that breaks these rules is skipped, and no other line. So an unclosed quote costs one
//     variable, not the rest of the file.
//
// Intended differences from python-dotenv (P), and from motdotla/dotenv with dotenv-expand (M):
//
//     in the file         here         there                   because
//     ------------------  -----------  ----------------------  ----------------------------------------------
//     ${E:-d}, E empty    d            P: nothing              as in a shell, and in M
//     ${N:-<${E}>}        as a shell   P: the text to the }    as in M
//     \$x                 $x           P: \$x                  as in a shell, and in M
//     A= # note           A is empty   P: `# note`, formerly   keys do not begin like this
//     '${B}'              ${B}         P, M: B's value         as in a shell: single quotes prevent it
//     ${B C}              ${B C}       P, M: nothing           not a name, and may be part of a key
//     $B                  $B           M: B's value            keys may contain a $
//     B=1, A=${B}         A is 1       M: the environment's B  the file alone shows the value
//     sk#7                sk#7         M: sk                   keys may contain a #
//     `a`, A: b           neither      M: as quotes, as =      only M has them
//     NAME without =      reported     P: a name, M: nothing   probably a key without its name
//     (x=1                reported     P: a name               not a possible variable of the environment
//     A='a\' then B='b'   both are     P: neither              see rule 5
//     "\t", "\"", '\''    replaced     M: the backslash stays  as in P, whose own tool writes these
//     A="x, A="x" y       reported     M: with the quotes      a key with a quote in it is useless

#include "abi.hpp"
#include "names.hpp"
#include "store.hpp"
#include "wipe.hpp"

#include <extensible/extensible.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

namespace secrets { inline namespace v1 SECRETS_HIDDEN {

// ---- The parser ---------------------------------------------------------------------------------

struct dotenv_variable {
    std::string name;
    secret_text text;
    std::string_view value() const { return text; }
};

struct dotenv_problem {
    std::size_t line;          ///< where the malformed variable begins, counted from 1
    std::string_view message;  ///< a literal, so that it contains nothing of the file, which is secret
};

/// The contents of a .env file.
struct dotenv_file {
    std::vector<dotenv_variable> variables;  ///< in the file's order, each name once
    std::vector<dotenv_problem> problems;    ///< in the file's order

    /// The value of `name`, a view into this object; std::nullopt if there is none.
    std::optional<std::string_view> find(std::string_view name) const {
        for (const dotenv_variable& variable : variables)
            if (variable.name == name) return variable.value();
        return std::nullopt;
    }
};

/// Looks up ${NAME} if the file does not define NAME.
using dotenv_lookup = std::function<std::optional<std::string>(std::string_view name)>;

inline std::optional<std::string> environment(std::string_view name) {
    const char* const value = std::getenv(std::string(name).c_str());
    return value ? std::optional<std::string>(value) : std::nullopt;
}

/// The limit for the bytes that all ${NAME} of a file together insert. Without a limit, twenty
/// lines that each double the line above would become a million times as long.
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
                at_ = begin;  // continue after this line, not after a quoted value: the quote may be unclosed
                line_ = line;
            }
            skip_line();
        }
        return std::move(file_);
    }

private:
    static constexpr std::string_view line_ends = "\r\n";

    // The size in bytes of a blank at the beginning of `text`; 0 if there is none. Blanks are the
    // white space of both Python and JavaScript, including Unicode's in UTF-8, except line ends.
    static std::size_t blank_size(std::string_view text) {
        constexpr std::string_view short_ones = " \t\v\f";
        constexpr std::string_view after_e2_80 = "\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8A\xA8\xA9\xAF";
        const auto has = [](std::string_view all, char c) { return all.find(c) != std::string_view::npos; };
        if (!text.empty() && has(short_ones, text[0])) return 1;
        if (text.starts_with("\xC2\xA0")) return 2;  // no-break
        if (text.size() > 2 && text.starts_with("\xE2\x80") && has(after_e2_80, text[2])) return 3;
        for (const std::string_view other : {"\xE1\x9A\x80", "\xE2\x81\x9F", "\xE3\x80\x80"})
            if (text.starts_with(other)) return 3;
        return 0;
    }

    // The size in bytes of a blank at the end of `text`; 0 if there is none.
    static std::size_t last_blank_size(std::string_view text) {
        for (std::size_t size = 1; size <= std::min<std::size_t>(text.size(), 3); ++size)
            if (blank_size(text.substr(text.size() - size)) == size) return size;
        return 0;
    }

    // The name at the beginning of `text`; empty if there is none.
    static std::string_view name_at(std::string_view text) {
        return text.substr(0, text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                                     "0123456789_.-"));
    }

    std::string_view rest() const { return text_.substr(at_); }
    bool at_line_end() const {
        return at_ == text_.size() || line_ends.find(text_[at_]) != std::string_view::npos;
    }
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
        const std::size_t begin = at_, following = at_ + word.size();
        at_ = following;
        skip_blanks();
        if (at_ == following || at_ == text_.size() || is_at('=')) at_ = begin;  // "export" is the name
    }

    // Reads the variable of this line, if there is one, up to the last line of its value. Returns
    // what is wrong with it, or an empty text.
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
        if (!is_at('=')) return "expected '=' after the name";
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
            const std::string_view two = text.substr(i, 2);
            if (two == "\\\\" || two == "\\'") ++i;  // without the backslash
            append_quoted(value, text, i);
        }
        return {};
    }

    // Moves to the quote that closes the value: the first without a backslash in front. If there is none, or
    // if it is followed by anything but blanks and a comment, a quote after a backslash closes the value. In
    // the first line that has such a quote in a possible position, it is the last one.
    std::string_view find_closing_quote(char quote) {
        std::size_t other = std::string_view::npos, other_line_end = text_.size();
        for (; at_ < text_.size() && text_[at_] != quote; ++at_) {
            if (text_[at_] != '\\') continue;
            ++at_;
            if (!is_at(quote) || at_ > other_line_end || !may_end_value(at_)) continue;
            if (other == std::string_view::npos)
                other_line_end = std::min(text_.find_first_of(line_ends, at_), text_.size());
            other = at_;
        }
        const bool is_closed = at_ < text_.size();
        if (is_closed && may_end_value(at_)) return {};
        at_ = other;
        if (other != std::string_view::npos) return {};
        return is_closed ? "expected nothing but a comment after the closing quote"
                         : "the quote is not closed";
    }

    // Whether only blanks and a comment follow the quote in its line.
    bool may_end_value(std::size_t quote) const {
        std::string_view following = text_.substr(quote + 1);
        while (const std::size_t size = blank_size(following)) following.remove_prefix(size);
        return following.empty() || following[0] == '#' ||
               line_ends.find(following[0]) != std::string_view::npos;
    }

    // Whether this character ends a line. Of \r\n, only the second does.
    static bool is_line_end(std::string_view text, std::size_t i) {
        return text[i] == '\n' || (text[i] == '\r' && text.substr(i + 1, 1) != "\n");
    }

    static void append_quoted(secret_text& value, std::string_view text, std::size_t i) {
        if (is_line_end(text, i)) value += '\n';
        else if (text[i] != '\r') value += text[i];
    }

    // Appends `text` to `value`, with escapes and variables replaced.
    std::string_view expand(std::string_view text, bool quoted, secret_text& value) {
        // Two counters are enough for nested defaults: inside a default that is not used, nothing is.
        std::size_t taken = 0;   // the number of open ${NAME:- whose text is used
        std::size_t unused = 0;  // inside them: the number of those whose text is not used
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
            const std::size_t following = i + 2 + name.size();
            const bool has_default = !name.empty() && text.substr(following).starts_with(":-");
            if (has_default || (!name.empty() && text.substr(following).starts_with('}'))) {
                bool found = false;
                if (unused == 0 && !append_variable(name, value, found))
                    return "the variables in it make it too long";
                if (has_default) ++(unused > 0 || found ? unused : taken);
                i = following + (has_default ? 1 : 0);
                continue;
            }
            if (unused > 0) continue;
            if (quoted) append_quoted(value, text, i);
            else value += text[i];
        }
        return taken + unused > 0 ? "expected '}' after a '${NAME:-'" : "";
    }

    // The character for which the two stand; null if they are not an escape.
    static char escaped(std::string_view two, bool quoted) {
        constexpr std::string_view letters = "$nrtabfv\"'\\", meanings = "$\n\r\t\a\b\f\v\"'\\";
        if (two.size() < 2 || two[0] != '\\') return '\0';
        const std::size_t which = letters.substr(0, quoted ? letters.size() : 1).find(two[1]);
        return which == std::string_view::npos ? '\0' : meanings[which];
    }

    // Returns false if the limit is reached, and from then on. (An insertion that fails adds
    // nothing to the sum, so a file could otherwise have any number of them.) Sets `found` to
    // whether there was something to append.
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
    std::size_t expanded_ = 0;  // bytes inserted so far, also into malformed values
    bool exhausted_ = false;
    std::unordered_map<std::string_view, std::size_t> places_;  // of each name in file_.variables
    dotenv_file file_;
};

/// Parses the text of a .env file, which may contain any bytes. The time is linear in its length.
inline dotenv_file parse_dotenv(std::string_view text, const dotenv_lookup& lookup = environment) {
    return dotenv_parser(text, lookup).parse();
}

// ---- The store ----------------------------------------------------------------------------------

struct SECRETS_VISIBLE dotenv_options {
    /// Gets a line for each malformed line, each time that a changed file is read. It is called on
    /// the thread that asks for a key.
    std::function<void(std::string_view message)> report = [](std::string_view message) {
        std::clog << std::string(message) + '\n';
    };

    dotenv_lookup lookup = environment;  ///< has to be thread-safe
};

/// The keys in a .env file, as a store. A key is the value of the first of variable_names(service) that
/// has one. If the value holds several keys, it is the whole list (see in_turn.hpp). If the file does not
/// exist, there are no keys; if it cannot be read, that is an error.
///
/// A regular file is read in each call; a cache avoids that. A FIFO, through which a password manager
/// passes keys, is read once, and callers wait for it. Thread-safe.
class dotenv_store {
public:
    static constexpr std::string_view name = "dotenv";

    /// A relative path is resolved here, against the current directory.
    explicit dotenv_store(std::filesystem::path path = ".env", dotenv_options options = {})
        : path_(std::move(path)), absolute_(std::filesystem::absolute(path_)), options_(std::move(options)) {}

    std::string place_of(std::string_view) const { return path_.string(); }

    std::optional<std::string> read(std::string_view service) const {
        const std::shared_ptr<const contents> now = current();
        const auto value_of = [&](std::string_view known) { return now->file.find(known).value_or(""); };
        const auto found = find_keys(service, value_of);
        return found ? std::optional(std::string(found->list)) : std::nullopt;
    }

private:
    struct contents {
        secret_text text;
        dotenv_file file;  // the variables in the text
    };

    // The contents of the file, which are parsed again if the text has changed. The time and the size of the
    // file do not show each change. The functions of the options are called without the lock: they may ask
    // for a key.
    std::shared_ptr<const contents> current() const {
        secret_text text;
        {
            const std::lock_guard lock(mutex_);
            read_file();
            if (parsed_ && text_ == parsed_->text) return parsed_;
            text = text_;
        }
        dotenv_file file = parse_dotenv(text, options_.lookup);
        const std::shared_ptr<const contents> made(new contents{std::move(text), std::move(file)});
        {
            const std::lock_guard lock(mutex_);
            parsed_ = made;
        }
        if (options_.report)
            for (const auto& [line, message] : made->file.problems)
                options_.report(path_.string() + ":" + std::to_string(line) + ": " + std::string(message));
        return made;
    }

    // Sets the text, which is empty if the file does not exist.
    void read_file() const {
        using type = std::filesystem::file_type;
        std::error_code error;
        const type found = std::filesystem::status(absolute_, error).type();
        if (found == type::fifo && is_fifo_) return;  // its writer may be gone, and a reader would wait
        std::optional<secret_text> text;
        if (found == type::not_found) text.emplace();
        if (found == type::regular || found == type::fifo) text = text_of_file(absolute_);
        if (!text || text->view().find('\0') != std::string_view::npos)  // it may be UTF-16
            throw store_error(name, reason::misconfigured, "cannot read " + path_.string());
        is_fifo_ = found == type::fifo;
        text_ = std::move(*text);
    }

    const std::filesystem::path path_, absolute_;  // as it was given, and absolute
    const dotenv_options options_;
    mutable std::mutex mutex_;  // guards the rest
    mutable secret_text text_;  // of the file when it was last read
    mutable bool is_fifo_ = false;
    mutable std::shared_ptr<const contents> parsed_;
};

/// The start hook of the store, for code that registers it without `.fallback`: it does nothing in
/// calls that have a key already.
inline auto dotenv_hook(std::filesystem::path path = ".env", dotenv_options options = {}) {
    auto store = std::make_shared<const dotenv_store>(std::move(path), std::move(options));
    return [hook = store_hook(std::move(store))](store_hook<dotenv_store>::call_type& call) {
        if (!call.result) hook(call);
    };
}

/// Registers the store's hook, which is skipped in calls that have a key already.
inline ext::hook add_dotenv(ext::plugin& plugin, std::string_view function,
                            std::filesystem::path path, dotenv_options options = {},
                            ext::hook_options how = {.id = "dotenv"}) {
    auto store = std::make_shared<const dotenv_store>(std::move(path), std::move(options));
    return add_store(plugin, function, std::move(store), on_failure::fail, std::move(how));
}

}}  // namespace secrets
