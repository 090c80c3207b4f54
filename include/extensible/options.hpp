#pragma once

// ext::hook_options: the options with which a hook is registered.

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <extensible/detail/platform/never_destroyed.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ext { inline namespace EXTENSIBLE_ABI {

/// A list of ids of hooks. It is created from one id or from several: `"one"` or
/// `{"one", "another"}`.
class hook_ids : public std::vector<std::string> {
public:
    /// Creates a list of ids as a std::vector is created: `{}` or `{"one", "another"}`.
    using std::vector<std::string>::vector;

    /// Creates a list of one id.
    hook_ids(const char* id) : hook_ids(std::string(id)) {}

    /// Creates a list of one id.
    hook_ids(std::string_view id) : hook_ids(std::string(id)) {}

    /// Creates a list of one id.
    EXTENSIBLE_HIDDEN hook_ids(std::string id);
};

/// Options for registering a hook: its id, its order, and how it behaves. All fields are optional.
/// Designated initializers must appear in the order of declaration.
///
///     get_api_key.on_start(read_vault, {.id = "vault", .priority = 10, .before = "dotenv"});
///     get_api_key.on_start(read_file, {.id = "dotenv", .fallback = true});
///     get_api_key.on_end(write_log, {.isolate = true, .reentrant = false});
struct hook_options {
    /// A name for the hook, or empty. Two hooks of one phase and one function (or pattern) can
    /// share an id only if one of them has `.replace`. Other hooks name it in `before` and `after`,
    /// or replace it with `.replace`.
    std::string id{};

    /// Hooks with a smaller priority run first; hooks of equal priority run in the order of
    /// registration. The default is 0.
    std::optional<int> priority{};

    /// Ids of hooks of the same function and phase that this hook runs before. They need not be
    /// registered yet. This hook moves forward to the earliest of them. To run before all hooks,
    /// use `priority`.
    hook_ids before{};

    /// Ids of hooks of the same function and phase that this hook runs after. They need not be
    /// registered yet. This hook moves back until it runs after all of them. To run after all
    /// hooks, use `priority`.
    hook_ids after{};

    /// If true, this hook runs instead of the hook that has the same id, whichever of the two was
    /// registered first, as long as this hook is registered and enabled.
    ///
    /// If several hooks replace one id, the one registered last runs. Without an `id`, `.replace`
    /// throws ext::error. A hook that states neither `priority`, `before` nor `after` takes the
    /// place of the hook with the same id that has no `.replace`. In a call that skips this hook
    /// (`this_thread`, `times`, `reentrant`), the hook that it replaces runs.
    bool replace = false;

    /// If true, the hook is skipped in calls that already have a result. So among several hooks
    /// that look for a result, the first to find it wins. A call that skips the hook does not use
    /// up `times`. Only for start hooks: for others, registering throws ext::error.
    bool fallback = false;

    /// If true, what the hook throws is reported to the error handlers of the registry, and the
    /// call proceeds as if the hook had returned. If an around hook throws before it has produced
    /// an outcome, the rest of the call runs as if that hook were not registered. An ext::refusal
    /// is not isolated: the call fails with it. The default is false, or that of the hook's plugin.
    std::optional<bool> isolate{};

    /// If false, the hook is skipped in calls that it makes itself, directly or indirectly, on the
    /// same thread. Use it for a hook that calls its own function. The default is true, or that of
    /// the hook's plugin. For a hook that returns an awaitable, which may resume on any thread,
    /// false throws ext::error.
    std::optional<bool> reentrant{};

    /// If true, the hook runs only in calls that the registering thread makes; other calls skip it.
    /// Use it for a test double while other threads run other tests. After that thread has ended,
    /// the hook runs in no call. For a hook that returns an awaitable, which may resume on any
    /// thread, true throws ext::error.
    bool this_thread = false;

    /// The hook removes itself after this number of runs. The number is exact, even if several
    /// threads call at the same time. A run counts when it begins. The default, 0, means no limit.
    std::size_t times = 0;
};

namespace detail {

/// Returns the options of a hook that is registered without any. They are never destroyed.
EXTENSIBLE_HIDDEN const hook_options& no_options();

}  // namespace detail

// -------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

EXTENSIBLE_CALLED_BY_USERS const hook_options& detail::no_options() {
    static const never_destroyed<hook_options> none{};
    return none.value;
}

EXTENSIBLE_CALLED_BY_USERS hook_ids::hook_ids(std::string id) { push_back(std::move(id)); }

#endif

}}  // namespace ext
