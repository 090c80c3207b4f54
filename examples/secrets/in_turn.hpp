#pragma once

// Uses several keys of one service in turn, from any store, and with a cache, too:
//
//     secrets::use_keys_in_turn(plugin);

#include "abi.hpp"
#include "names.hpp"
#include "store.hpp"
#include "wipe.hpp"

#include <extensible/extensible.hpp>

#include <limits>
#include <string>
#include <string_view>
#include <utility>

namespace secrets { inline namespace v1 SECRETS_HIDDEN {

/// Registers two hooks:
///
/// - "in-turn", an end hook. If the result is a list (see is_list()), the caller gets the next key of
///   the list. Other results are not changed.
/// - "environment", a start hook that runs last. It supplies the whole list that the function would
///   read. Otherwise a cache would remember only one of its keys.
inline void use_keys_in_turn(ext::plugin& plugin, std::string_view function = "models.get_api_key") {
    using call_type = ext::call<std::string(std::string_view)>;
    constexpr int last = std::numeric_limits<int>::max();

    // After the cache's end hook, which has the same priority, so that the cache remembers the
    // list. Not isolated: if this hook fails, the caller must not take a list for a key.
    const auto choose = [](call_type& call) {
        if (!call.result || !is_list(*call.result)) return;
        auto& [service] = call.args;
        std::string key = next_key(*service, *call.result);
        wipe(call.result->data(), call.result->size());
        call.result = std::move(key);
    };
    ext::scoped_hook in_turn = plugin.on_end(
        function, choose, {.id = "in-turn", .priority = last, .after = "cache", .isolate = false});

    const auto supply = [](call_type& call) {
        auto& [service] = call.args;
        const auto found = find_keys_in_environment(*service);
        if (!found) return;
        call.result = std::string(without_line_break(found->list));
        call.kwargs.set(note::source, found->name);
    };
    plugin.on_start(function, supply, {.id = "environment", .priority = last, .fallback = true});
    in_turn.release();
}

}}  // namespace secrets
