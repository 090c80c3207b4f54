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
    EXTENSIBLE_FUNCTION hook_ids(std::string id);
};

/// How a hook is registered: `{.id = "vault", .priority = 10, .before = "dotenv"}`. Each field may be left out; C++ wants
/// those that are given in this order.
struct hook_options {
    /// A name for the hook, unique in its phase on its function, or under its pattern. Empty: none.
    std::string id{};

    /// Smaller runs first; hooks of one priority run in the order of their registration. Not given: 0. A hook that `before` or
    /// `after` moves counts with the priority of the others; among hooks that count alike the smaller own priority goes first.
    std::optional<int> priority{};

    /// Hooks of the same function and phase that this one runs before or after, whether or not they are registered yet.
    /// They move this hook, only as far as needed, and not the others.
    hook_ids before{};
    hook_ids after{};

    /// Runs in place of the hook that has this id, registered before or after it: that one does not run while this one is
    /// registered and enabled, and runs again afterwards. If this one states neither priority, `before` nor `after`, it has the
    /// other's place in the order. Of several the last registered runs.
    bool replace = false;

    /// What the hook throws goes to the registry's error handler, and the call goes on as if the hook had returned; an
    /// around hook that fails before it produces an outcome is skipped. Not given: false, or its plugin's default.
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
EXTENSIBLE_FUNCTION const hook_options& no_options();

}  // namespace detail

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

EXTENSIBLE_FUNCTION const hook_options& detail::no_options() {
    static const immortal<hook_options> none{};
    return none.value;
}

EXTENSIBLE_FUNCTION std::string detail::text_of(int number) {
    std::string text;
    for (int left = number; text.empty() || left != 0; left /= 10) {
        const int digit = left % 10;
        text.insert(text.begin(), static_cast<char>('0' + (digit < 0 ? -digit : digit)));
    }
    return number < 0 ? "-" + text : text;
}

EXTENSIBLE_FUNCTION hook_ids::hook_ids(std::string id) { push_back(std::move(id)); }

#endif

}  // namespace ext
