#pragma once

// Reads a profile from AWS's files, ~/.aws/credentials and ~/.aws/config.

#include "environment.hpp"
#include "wipe.hpp"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace secrets {

/// The paths of the files. An empty path is not read.
struct aws_files {
    std::filesystem::path credentials{}, config{};
};

/// The paths in AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE; by default the files in HOME.
aws_files aws_files_of_environment();

/// The values of a profile in both files. Names are in lower case.
struct aws_profile {
    using lines = std::map<std::string, secret_text, std::less<>>;
    bool is_there = false;
    lines credentials{}, config{};

    /// The value in `credentials`, or else in `config`, or else an empty text.
    std::string_view value(std::string_view name) const;
};

aws_profile read_aws_profile(const aws_files& files, std::string_view name);

// ---------------------------------------------------------------------------------------------------------------------

namespace aws_detail {

// The value of the first of these variables that is set and not empty.
template <class... Names>
std::string_view variable(const char* name, Names... more) {
    const std::string_view value = environment_variable(name);
    if constexpr (sizeof...(more) > 0) return value.empty() ? variable(more...) : value;
    else return value;
}

inline std::filesystem::path file_of(const char* name, const char* usual) {
    const std::string file(variable(name)), home(variable("HOME"));
    if (file.empty()) return home.empty() ? "" : home + "/.aws/" + usual;
    return file.starts_with("~/") ? home + file.substr(1) : file;
}

inline std::string_view trimmed(std::string_view text) {
    constexpr std::string_view space = " \t\r\f\v";
    text.remove_prefix(std::min(text.find_first_not_of(space), text.size()));
    return text.substr(0, text.find_last_not_of(space) + 1);
}

// The profile in a section's header, "[default]" or "[dev]", in the config file "[profile dev]";
// std::nullopt for other sections.
inline std::optional<std::string_view> profile_of_header(std::string_view header, bool is_config) {
    const std::size_t end = header.rfind(']');
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view name = header.substr(1, end - 1);
    if (!is_config || name == "default") return name;
    constexpr std::string_view before = "profile";
    const std::string_view profile = trimmed(name.substr(std::min(before.size(), name.size())));
    if (!name.starts_with(before) || profile.size() == name.size() - before.size()) return std::nullopt;  // no space between
    const bool is_quoted = profile.size() > 1 && (profile[0] == '"' || profile[0] == '\'') && profile.back() == profile[0];
    return is_quoted ? profile.substr(1, profile.size() - 2) : profile;
}

// Adds the values that the file has for the profile. Returns whether the file has the profile. A
// line that is indented further than the name before it continues that name's value, with nested
// values. Nothing here needs these, so they are skipped.
inline bool read_profile(std::string_view file, std::string_view profile, bool is_config, aws_profile::lines& to) {
    bool is_there = false, is_inside = false, has_name = false;
    std::size_t indent = 0;
    for (std::size_t from = 0, end = 0; from < file.size(); from = end + 1) {
        end = std::min(file.find('\n', from), file.size());
        const std::string_view line = file.substr(from, end - from), text = trimmed(line);
        const std::size_t further = line.find_first_not_of(" \t");
        if (text.empty() || text[0] == '#' || text[0] == ';' || (has_name && further > indent)) continue;
        indent = further;
        has_name = text[0] != '[';
        if (!has_name) is_there |= is_inside = profile_of_header(text, is_config) == profile;
        const std::size_t between = text.find_first_of("=:");
        if (!has_name || !is_inside || between == std::string_view::npos) continue;
        std::string name(trimmed(text.substr(0, between)));
        for (char& c : name)
            if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
        to[name] = secret_text(trimmed(text.substr(between + 1)));
    }
    return is_there;
}

}  // namespace aws_detail

inline aws_files aws_files_of_environment() {
    using aws_detail::file_of;
    return {file_of("AWS_SHARED_CREDENTIALS_FILE", "credentials"), file_of("AWS_CONFIG_FILE", "config")};
}

inline std::string_view aws_profile::value(std::string_view name) const {
    for (const lines* const file : {&credentials, &config})
        if (const auto found = file->find(name); found != file->end()) return found->second;
    return "";
}

inline aws_profile read_aws_profile(const aws_files& files, std::string_view name) {
    aws_profile read;
    for (const bool is_config : {false, true}) {
        const std::filesystem::path& file = is_config ? files.config : files.credentials;
        if (const std::optional<secret_text> text = file.empty() ? std::nullopt : text_of_file(file))
            read.is_there |= aws_detail::read_profile(*text, name, is_config, is_config ? read.config : read.credentials);
    }
    return read;
}

}  // namespace secrets
