#pragma once

// When does a hook run, and what can be said when it is registered?

#include <extensible/detail/config.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ext::inline EXTENSIBLE_ABI {

/// The three places in a call where hooks run, in the order in which a call comes to them.
enum class phase : std::uint8_t { start, around, end };

/// "start", "around" or "end".
constexpr std::string_view to_string(phase when) noexcept {
    return when == phase::start ? "start" : when == phase::around ? "around" : "end";
}

namespace detail {

inline constexpr std::size_t phase_count = 3;

/// The article for "start hook" and the others.
constexpr const char* article(phase when) noexcept { return when == phase::start ? "a " : "an "; }

/// As std::to_string(), with which GCC makes a unique symbol, and a library that has one can never be unloaded.
EXTENSIBLE_FUNCTION std::string text_of(int number);

}  // namespace detail

/// Ids of hooks: `"one"`, or `{"one", "another"}`.
class hook_ids : public std::vector<std::string> {
public:
    using std::vector<std::string>::vector;
    hook_ids(const char* id) : hook_ids(std::string(id)) {}
    hook_ids(std::string_view id) : hook_ids(std::string(id)) {}
    EXTENSIBLE_HIDDEN hook_ids(std::string id);
};

/// How a hook is registered: `{.id = "vault", .priority = 10, .before = "dotenv"}`. Each field may be left out; C++ wants
/// those that are given in this order.
struct hook_options {
    /// A name for the hook, unique in its phase on its function, or under its pattern. Empty: none.
    std::string id{};

    /// Hooks with a smaller priority run first; hooks of equal priority run in the order of registration. Not given: 0.
    std::optional<int> priority{};

    /// Ids of hooks of the same function and phase that this hook runs before. They need not be registered yet. This hook moves
    /// forward to the earliest of them.
    hook_ids before{};
    /// Ids of hooks of the same function and phase that this hook runs after: it waits for them.
    hook_ids after{};

    /// The hook stands in for the hook that has the same id, registered earlier or later: while this hook is registered and enabled,
    /// the other one does not run. If several hooks replace one id, the one registered last stands in. A hook that states neither
    /// `priority`, `before` nor `after` has the place of the hook with its id and no `.replace`. In a call that skips
    /// this hook (`this_thread`, `times`, `reentrant`) the hook that it replaces runs.
    bool replace = false;

    /// For start hooks only: the hook is skipped in calls that have a result already. So of several hooks that look for a result, the
    /// first one that finds it wins. Such a call uses up no `times`.
    bool fallback = false;

    /// What the hook throws goes to the registry's error handler, and the call proceeds as if the hook had returned; an around hook
    /// that fails before it produces an outcome is skipped. A call that an ext::refusal is thrown in still fails with it. Not given:
    /// false, or its plugin's default.
    std::optional<bool> isolate{};

    /// False: while the hook is running on a thread, calls made beneath it on that thread skip it. Not given: true, or its
    /// plugin's default.
    std::optional<bool> reentrant{};

    /// Runs only in calls that the registering thread makes, and is skipped in others: for a test double beside tests on other
    /// threads. Not for hooks that are awaited, which may go on on any thread.
    bool this_thread = false;

    /// Removes itself when it has begun so many times; not more often, also where threads call at once. 0: no limit.
    std::size_t times = 0;
};

namespace detail {

/// The options of a hook that is registered without any. Never destroyed.
EXTENSIBLE_HIDDEN const hook_options& no_options();

}  // namespace detail

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

EXTENSIBLE_CALL_FUNCTION const hook_options& detail::no_options() {
    static const immortal<hook_options> none{};
    return none.value;
}

std::string detail::text_of(int number) {
    std::string text;
    for (int left = number; text.empty() || left != 0; left /= 10) {
        const int digit = left % 10;
        text.insert(text.begin(), static_cast<char>('0' + (digit < 0 ? -digit : digit)));
    }
    return number < 0 ? "-" + text : text;
}

EXTENSIBLE_CALL_FUNCTION hook_ids::hook_ids(std::string id) { push_back(std::move(id)); }

#endif

}  // namespace ext
