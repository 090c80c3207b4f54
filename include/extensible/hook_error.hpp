#pragma once

// What does the error handler of a registry get?

#include <extensible/phase.hpp>

#include <exception>
#include <string>
#include <string_view>

namespace ext {

/// An exception that no caller will see. The views are valid while the handler runs.
struct hook_error {
    std::string_view function;     ///< the name of the function that was called
    ext::phase phase;              ///< of the hook concerned
    std::string_view hook;         ///< its id, empty without one
    std::string_view owner;        ///< the ext::plugin that it belongs to, empty without one
    std::exception_ptr exception;  ///< what was thrown

    /// False: the hook threw it, and is registered with `.isolate`. True: something else had thrown it, and then this hook
    /// threw another, or went on without it.
    bool displaced;

    /// All of it in one line: "net.fetch: the isolated start hook 'vault' of openbao threw: connection refused".
    std::string text() const;
};

// ---------------------------------------------------------------------------------------------------------------------

inline std::string hook_error::text() const {
    std::string text = std::string(function) + ": the ";
    if (!displaced) text += "isolated ";
    text += std::string(to_string(phase)) + " hook";
    if (!hook.empty()) text += " '" + std::string(hook) + "'";
    if (!owner.empty()) text += " of " + std::string(owner);
    text += displaced ? " displaced: " : " threw: ";
    try {
        std::rethrow_exception(exception);
    } catch (const std::exception& thrown) {
        return text + thrown.what();
    } catch (...) {
        return text + "something that is no std::exception";
    }
}

}  // namespace ext
