#pragma once

// Reads a profile from AWS's files, ~/.aws/credentials and ~/.aws/config.

#include "abi.hpp"
#include "environment.hpp"
#include "store.hpp"
#include "wipe.hpp"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace secrets { inline namespace v1 SECRETS_HIDDEN {

/// The paths of the files. An empty path is not read.
struct SECRETS_VISIBLE aws_files {
    std::filesystem::path credentials{}, config{};
};

/// The values of a profile in both files. Names are in lower case.
struct aws_profile {
    using lines = std::map<std::string, secret_text, std::less<>>;
    bool is_there = false;
    lines credentials{}, config{};

    /// The value in `credentials`, or else in `config`, or else an empty text.
    std::string_view value(std::string_view name) const {
        for (const lines* const file : {&credentials, &config})
            if (const auto found = file->find(name); found != file->end()) return found->second;
        return "";
    }
};

namespace aws_detail {

// The value of the first of these variables that is set and not empty.
template <class... Names>
std::string_view variable(const char* name, Names... more) {
    const std::string_view value = environment_variable(name);
    if constexpr (sizeof...(more) > 0) return value.empty() ? variable(more...) : value;
    else return value;
}

inline bool is_missing(const std::filesystem::path& file) {
    std::error_code ignored;
    return std::filesystem::status(file, ignored).type() == std::filesystem::file_type::not_found;
}

// A home directory that this process may not look into has no files for it, so it is not an error.
inline std::filesystem::path file_of(const char* name, const char* usual) {
    const std::string file(variable(name)), home(variable("HOME"));
    std::error_code ignored;
    if (!file.empty()) return file.starts_with("~/") ? home + file.substr(1) : file;
    return home.empty() || !std::filesystem::exists(home + "/.aws", ignored) ? "" : home + "/.aws/" + usual;
}

// The profile of a section. `name` is the text in the brackets of its header: "default" or "dev", and in the
// config file "profile dev". Returns std::nullopt for other sections.
inline std::optional<std::string_view> profile_of_header(std::string_view name, bool is_config) {
    if (!is_config || name == "default") return name;
    constexpr std::string_view before = "profile";
    const std::string_view profile = trimmed(name.substr(std::min(before.size(), name.size())));
    const bool has_space = profile.size() < name.size() - before.size();
    if (!name.starts_with(before) || !has_space) return std::nullopt;
    const bool has_quote = profile.size() > 1 && (profile[0] == '"' || profile[0] == '\'');
    return has_quote && profile.back() == profile[0] ? profile.substr(1, profile.size() - 2) : profile;
}

// Adds the values that the file has for the profile. `is_there` becomes true if the file has the profile.
// Returns what is wrong with the file, without any text of it; otherwise nothing. A line that is indented
// further than the name before it continues that name's value, with nested values. Nothing here needs these,
// so they are skipped.
inline std::string read_profile(std::string_view file, std::string_view profile, bool is_config,
                                aws_profile::lines& to, bool& is_there) {
    const std::string no_file = " is not a file of profiles in UTF-8 without a byte order mark";
    const std::string twice = " the profile '" + std::string(profile) + "' twice";
    bool is_inside = false, was_inside = false, has_name = false, has_header = false;
    std::size_t indent = 0;
    if (file.find('\0') != std::string_view::npos) return no_file;
    for (std::size_t from = 0, end = 0; from < file.size(); from = end + 1) {
        end = std::min(file.find('\n', from), file.size());
        const std::string_view line = file.substr(from, end - from), text = trimmed(line);
        const std::size_t further = line.find_first_not_of(" \t");
        if (text.empty() || text[0] == '#' || text[0] == ';' || (has_name && further > indent)) continue;
        indent = further;
        has_name = text[0] != '[';
        const std::size_t between = text.find_first_of(has_name ? "=:" : "]");
        if (between == std::string_view::npos) return no_file;
        if (!has_name) {
            has_header = true;
            is_inside = profile_of_header(trimmed(text.substr(1, between - 1)), is_config) == profile;
            if (is_inside && was_inside) return " has" + twice;  // they may be two identities
            was_inside |= is_inside;
        }
        if (!has_header) return no_file;
        if (!has_name || !is_inside) continue;
        const std::string name = in_lower_case(trimmed(text.substr(0, between)));
        if (!to.emplace(name, secret_text(trimmed(text.substr(between + 1)))).second)
            return " has a line of" + twice;
    }
    is_there |= was_inside;
    return "";
}

}  // namespace aws_detail

/// The paths in AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE; by default the files in ~/.aws, if there
/// is such a folder.
inline aws_files aws_files_of_environment() {
    using aws_detail::file_of;
    return {file_of("AWS_SHARED_CREDENTIALS_FILE", "credentials"), file_of("AWS_CONFIG_FILE", "config")};
}

/// Throws store_error if a file cannot be read or understood: the key of another source would be used.
inline aws_profile read_aws_profile(const aws_files& files, std::string_view name) {
    aws_profile profile;
    for (const bool is_config : {false, true}) {
        const std::filesystem::path& file = is_config ? files.config : files.credentials;
        if (file.empty() || aws_detail::is_missing(file)) continue;
        aws_profile::lines& to = is_config ? profile.config : profile.credentials;
        std::string fault = " cannot be read";
        if (const std::optional<secret_text> text = text_of_file(file))
            fault = aws_detail::read_profile(*text, name, is_config, to, profile.is_there);
        if (!fault.empty()) throw store_error("aws", reason::no_credential, file.string() + fault);
    }
    return profile;
}

}}  // namespace secrets
