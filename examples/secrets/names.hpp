#pragma once

// The names of variables that may hold a service's keys, lists of keys, and the use of keys in turn.

#include "abi.hpp"
#include "environment.hpp"
#include "text.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace secrets { inline namespace v1 SECRETS_HIDDEN {

/// The variables that may hold the service's keys, in order of preference: API_KEY_MY_CLOUD,
/// MY_CLOUD_API_KEY and MY_CLOUD_API_TOKEN for "my-cloud".
inline std::array<std::string, 3> variable_names(std::string_view service) {
    std::string name(service);
    for (char& c : name) {  // not <cctype>: some locales have letters that a variable cannot have
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
        else if (!(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9')) c = '_';
    }
    return {"API_KEY_" + name, name + "_API_KEY", name + "_API_TOKEN"};
}

/// Whether the text may be several keys with commas between them. A text that begins like JSON is one key:
/// a part of it is not a key.
inline bool is_list(std::string_view text) noexcept {
    constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
    if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
    const std::string_view all = trimmed(text);
    const bool is_json = !all.empty() && std::string_view("{[\"").find(all[0]) != std::string_view::npos;
    return !is_json && all.find(',') != std::string_view::npos;
}

/// The keys in a text, as views into it: "a, b,,c" has a, b and c. Blanks around the entries of a list are
/// removed. If the text is not a list, only one line break at its end is removed. Blanks alone are not a key.
inline std::vector<std::string_view> keys_in(std::string_view text) {
    const bool is_one = !is_list(text);
    std::vector<std::string_view> keys;
    while (!text.empty()) {
        const std::string_view entry = is_one ? text : text.substr(0, text.find(','));
        text.remove_prefix(std::min(entry.size() + 1, text.size()));
        const std::string_view key = trimmed(entry);
        if (!key.empty()) keys.push_back(is_one ? without_line_break(entry) : key);
    }
    return keys;
}

/// A variable that has a key.
struct key_variable {
    std::string name;
    std::string_view list;  ///< its value: one key, or several with commas between them
};

/// The first of the service's variables that has a key; std::nullopt if none has. `value_of(name)`
/// returns a view of the variable's value, which is empty if the variable is not set.
template <class Lookup>
std::optional<key_variable> find_keys(std::string_view service, const Lookup& value_of) {
    for (std::string& name : variable_names(service)) {
        const std::string_view list = value_of(name);
        if (!keys_in(list).empty()) return key_variable{std::move(name), list};
    }
    return std::nullopt;
}

/// The same, in the environment, which must not change while the views are used.
inline std::optional<key_variable> find_keys_in_environment(std::string_view service) {
    return find_keys(service, [](const std::string& name) { return environment_variable(name.c_str()); });
}

/// The next key of the list, in turn; empty if the list has no keys. Each list of each service has
/// turns of its own. Thread-safe.
inline std::string next_key(std::string_view service, std::string_view list) {
    constexpr std::size_t most_turns = 1000;  // keys are renewed, so lists change
    struct state {
        std::mutex mutex;
        std::unordered_map<std::size_t, std::size_t> turns;  // by a hash: no copies of keys are kept here
    };
    // Never destroyed: the destructor of a static object may ask for a key, after main has ended.
    static state& all = *new state;

    const std::vector<std::string_view> keys = keys_in(list);
    if (keys.size() < 2) return std::string(keys.empty() ? "" : keys.front());
    constexpr std::hash<std::string_view> hash;
    const std::size_t which = hash(service) * 31 + hash(list);
    const std::lock_guard lock(all.mutex);
    if (all.turns.size() == most_turns && !all.turns.contains(which)) all.turns.clear();
    return std::string(keys[all.turns[which]++ % keys.size()]);
}

}}  // namespace secrets
