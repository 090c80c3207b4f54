#pragma once

// What can be said when a hook is registered?

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ext {

/// Ids of hooks: `"one"`, or `{"one", "another"}`.
class hook_ids : public std::vector<std::string> {
public:
    using std::vector<std::string>::vector;
    hook_ids(const char* id) : vector{std::string(id)} {}     
    hook_ids(std::string id) : vector{std::move(id)} {}       
    hook_ids(std::string_view id) : vector{std::string(id)} {}
};

/// How a hook is registered: `{.id = "vault", .priority = 10, .before = "dotenv"}`. All of it may be left out; what is
/// given stands in this order, as C++ has it.
struct hook_options {
    /// A name for the hook, one of a kind in its function and phase. Empty: none.
    std::string id{};

    /// Smaller runs first; hooks of one priority run in the order of their registration. Not given: 0.
    std::optional<int> priority{};

    /// Hooks of the same function and phase that this one runs before or after, whether or not they are registered yet.
    /// They move this hook, only as far as needed, and not the others.
    hook_ids before{};
    hook_ids after{};

    /// Takes the place of the hook that has this id, in one step: its rank, and its priority, `before` and `after` where
    /// they are not given here. Without such a hook it is an ordinary registration.
    bool replace = false;

    /// What the hook throws goes to the registry's error handler, and the call goes on as if the hook had returned; an
    /// around hook that had not come to anything yet is passed by. Not given: false, or as its plugin has it.
    std::optional<bool> isolate{};

    /// False: while the hook is running on a thread, calls made beneath it on that thread pass it by. Not given: true, or
    /// as its plugin has it.
    std::optional<bool> reentrant{};
};

}  // namespace ext
