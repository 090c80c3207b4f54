#pragma once

// The names of variables that may hold a service's keys, lists of keys, and the use of keys in
// turn.

#include "environment.hpp"

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

namespace secrets {

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

/// The keys in a list, as views into it: "a, b,,c" has a, b and c.
inline std::vector<std::string_view> keys_in(std::string_view list) {
    constexpr std::string_view blanks = " \t\r\n";
    std::vector<std::string_view> keys;
    while (!list.empty()) {
        const std::string_view entry = list.substr(0, list.find(','));
        list.remove_prefix(entry.size() < list.size() ? entry.size() + 1 : entry.size());
        const std::size_t first = entry.find_first_not_of(blanks);
        if (first != std::string_view::npos) keys.push_back(entry.substr(first, entry.find_last_not_of(blanks) - first + 1));
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
    for (std::string& name : variable_names(service))
        if (const std::string_view list = value_of(name); !keys_in(list).empty()) return key_variable{std::move(name), list};
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
    static std::mutex mutex;
    static std::unordered_map<std::size_t, std::size_t> turns;  // by a hash: no copies of keys are kept here

    const std::vector<std::string_view> keys = keys_in(list);
    if (keys.size() < 2) return std::string(keys.empty() ? "" : keys.front());
    constexpr std::hash<std::string_view> hash;
    const std::size_t which = hash(service) * 31 + hash(list);
    const std::lock_guard lock(mutex);
    if (turns.size() == most_turns && !turns.contains(which)) turns.clear();
    return std::string(keys[turns[which]++ % keys.size()]);
}

}  // namespace secrets
