#pragma once

// What the README's code blocks may take for granted, where they do not start with an #include of their own.

#include <extensible/extensible.hpp>

#include "../tasks.hpp"

#include <cassert>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

using namespace ext::literals;
using namespace std::chrono_literals;

inline std::ostream& audit = std::clog;

struct vault_client {
    std::optional<std::string> read(std::string_view) const { return std::nullopt; }
};
inline vault_client vault;

struct account {
    bool pay(int cents) const { return cents > 0; }
};
struct client {
    bool send(const std::string& body) { return !body.empty(); }
};
struct dictionary {
    std::string operator()(std::string_view text) const { return std::string(text); }
};

inline std::string lower_case(std::string_view text) { return std::string(text); }
inline std::string get(std::string_view url, std::chrono::seconds, std::string) { return std::string(url); }

inline void from_vault(ext::call<std::string(std::string_view)>&) {}
inline void from_vault_cached(ext::call<std::string(std::string_view)>&) {}
inline void redact(ext::call<std::string(std::string_view)>&) {}
inline void write_metrics(ext::call<std::string(std::string_view)>&) {}
inline void from_dotenv(ext::call<std::string(std::string_view)>&) {}

template <class T>
using task = tasks::lazy<T>;
inline task<std::string> http_get(std::string path) { co_return path; }
inline task<std::optional<std::string>> cache_lookup(std::string) { co_return std::nullopt; }

// The functions that the README wraps, for the blocks that register on them.
inline ext::extensible get_api_key{"readme.get_api_key", [](std::string_view) { return std::string(); }};
namespace readme {
inline ext::extensible charge{"readme.charge", [](const account& who, int cents) { return who.pay(cents); }};
inline ext::extensible fetch{"readme.fetch", ext::params("url"_kw, "timeout"_kw = 30s),
                             [](std::string_view url, std::chrono::seconds, const ext::kwargs&) { return std::string(url); }};
}  // namespace readme
using namespace readme;
