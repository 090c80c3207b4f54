#pragma once

// The common interface of the model and the library: the operations of programs, what scripts see
// of a call, and the texts by which both are compared.

#include "../tasks.hpp"
#include "program.hpp"

#include <cstddef>
#include <exception>
#include <optional>
#include <string>
#include <string_view>

namespace model {

using tasks::eager;
using tasks::lazy;

/// The exceptions that scripts throw.
struct scripted : std::exception {
    int number;
    std::string text;
    explicit scripted(int n) : number(n), text("t" + std::to_string(n)) {}
    const char* what() const noexcept override { return text.c_str(); }
};

/// Stands for an empty std::optional, as the result of a shape::maybe.
inline constexpr int no_number = -1;

/// True if this result of a shape::now denotes a failed call.
constexpr bool says_failed(int result) { return result % 2 != 0; }

/// One call, as a hook or the function sees it.
struct seen_call {
    virtual std::string_view function() = 0;
    virtual int argument() = 0;
    virtual void set_argument(int value) = 0;
    virtual std::string kwargs() = 0;
    virtual void set_kwarg(std::string_view name, int value) = 0;
    virtual void set_text_kwarg(std::string_view name) = 0;
    virtual void erase_kwarg(std::string_view name) = 0;
    virtual std::string read_kwarg(std::string_view name) = 0;  // throws if it is not a number

    virtual std::optional<int> result() = 0;
    virtual void set_result(int value) = 0;
    virtual void take_result() = 0;  // does nothing for an ext::any_call
    virtual void set_no_number() = 0;  // if not a shape::maybe: an ext::any_call throws, others remove the result
    virtual void set_other_result() = 0;  // an ext::any_call throws, others do nothing
    virtual std::exception_ptr* exception() = 0;
    virtual bool original_ran() = 0;

    // Further information from an ext::any_call; otherwise empty.
    virtual std::string types() = 0;

protected:
    ~seen_call() = default;
};

/// What a function sees: its arguments, but not the call.
struct seen_arguments : seen_call {
    void set_kwarg(std::string_view, int) override {}
    void set_text_kwarg(std::string_view) override {}
    void erase_kwarg(std::string_view) override {}
    std::string read_kwarg(std::string_view) override { return "none"; }
    std::optional<int> result() override { return std::nullopt; }
    void set_result(int) override {}
    void take_result() override {}
    void set_no_number() override {}
    void set_other_result() override {}
    std::exception_ptr* exception() override { return nullptr; }
    bool original_ran() override { return false; }
    std::string types() override { return ""; }

protected:
    ~seen_arguments() = default;
};

/// What an around hook proceeds to.
struct inside_of_hook {
    virtual lazy<void> run() = 0;

protected:
    ~inside_of_hook() = default;
};

/// Runs the scripts of hooks, functions and error handlers.
struct script_runner {
    /// `of` is the shape of the function. `awaited` is true if the hook can be suspended. `inside`
    /// is null except for an around hook.
    virtual lazy<void> run_hook(const operation& hook, shape of, bool awaited, seen_call& call,
                                inside_of_hook* inside) = 0;
    /// Runs the finisher that a start hook returned.
    virtual void run_end(const operation& hook, shape of, seen_call& call) = 0;
    virtual lazy<int> run_function(const operation& wraps, seen_call& call) = 0;
    /// Runs an error handler or a monitor.
    virtual void run_handler(const operation& handler, const std::string& event) = 0;

protected:
    ~script_runner() = default;
};

/// The model or the library. A rejected operation throws. text_of() names the exception's type.
struct machine {
    virtual ~machine() = default;

    virtual void renew_registry() = 0;
    virtual void seal() = 0;
    virtual void wrap(const operation& o) = 0;
    virtual void unwrap(int wrapper) = 0;

    virtual void add(const operation& o, bool awaited) = 0;
    virtual void add_handler(const operation& o) = 0;
    virtual void add_monitor(const operation& o) = 0;
    virtual void remove(int handle) = 0;
    virtual void remove_and_wait(int handle) = 0;
    virtual void set_enabled(int handle, bool enabled) = 0;
    virtual void find_handle(int number, int to) = 0;  // of the hook of this number in functions()
    virtual void copy_handle(int from, int to) = 0;
    virtual void drop_handle(int handle) = 0;
    virtual void own_handle(int handle, int scope) = 0;
    virtual void end_scope(int scope) = 0;
    virtual void release(int scope, int handle) = 0;

    virtual bool has_plugin(int plugin) = 0;
    virtual void make_plugin(int plugin, bool isolate, bool reentrant) = 0;
    virtual void destroy_plugin(int plugin) = 0;
    virtual void set_plugin_enabled(int plugin, bool enabled) = 0;
    virtual void unload(int plugin) = 0;
    virtual bool unload_for_no_time(int plugin) = 0;
    virtual void move_plugin(int from, int to) = 0;

    /// True if a suspended call can still run the hook, or a hook of the plugin. Waiting for it
    /// would then never end. The model decides this for both machines.
    virtual bool would_wait_for_hook(int handle) = 0;
    virtual bool would_wait_for_plugin(int plugin) = 0;

    /// Calls a wrapper of a matching shape. Without a value, the default argument is used.
    virtual int call(int wrapper, std::optional<int> value, bool with_kwarg) = 0;
    virtual lazy<int> call_later(int wrapper, int value) = 0;  // of the shapes later and silent
    virtual eager<int> call_now(int wrapper, int value) = 0;

    /// What registry.functions() lists, which handles are active, which hooks' captures are alive,
    /// and what was written to stderr.
    virtual std::string functions() = 0;
    virtual std::string active() = 0;
    virtual std::string alive() = 0;
    virtual std::string take_stderr() = 0;

    virtual std::string text_of(const std::exception_ptr& exception) = 0;
};

// ---- Texts ----------------------------------------------------------------------------------------------------------

/// Writes one function of registry.functions().
inline void write_function(std::string& to, std::string_view name, std::string_view signature, bool wrapped) {
    ((to += "; ") += name) += wrapped ? " is " : " waits ";
    to += signature;
}
/// One hook of registry.functions(), and its first handle.
struct hook_line {
    phase when;
    std::string_view id, owner, pattern, replaced_by;
    int priority;
    bool enabled, suits;
    std::size_t handle;  // model::handles if there is none
};
inline void write_hook(std::string& to, const hook_line& h) {
    ((to += ", ") += name_of(h.when)) += " '";
    ((to += h.id) += "' ") += std::to_string(h.priority);
    if (!h.pattern.empty()) (to += " for ") += h.pattern;
    if (!h.owner.empty()) (to += " of ") += h.owner;
    if (!h.enabled) to += " disabled";
    if (!h.suits) to += " skipped";
    if (!h.replaced_by.empty()) (to += " replaced by ") += h.replaced_by;
    if (h.handle != model::handles) (to += " handle ") += std::to_string(h.handle);
}

inline std::string text_of_error(std::string_view function, phase when, std::string_view id, std::string_view owner,
                                 std::string_view thrown, bool displaced) {
    std::string text(function);
    ((text += displaced ? ": the " : ": the isolated ") += name_of(when)) += " hook";
    if (!id.empty()) ((text += " '") += id) += "'";
    if (!owner.empty()) (text += " of ") += owner;
    return (text += displaced ? " displaced: " : " threw: ") += thrown;
}

/// What a monitor receives for one run of a hook. The effects are values of ext::effect.
struct run_line {
    std::string_view function;
    phase when;
    std::string_view id, owner;
    bool skipped, threw;
    int result, exception;
};
inline std::string text_of_run(const run_line& run) {
    static constexpr std::string_view effects[]{"", " set", " replaced", " taken away"};
    std::string text(run.function);
    ((text += ": ") += name_of(run.when)) += " hook";
    if (!run.id.empty()) ((text += " '") += run.id) += "'";
    if (!run.owner.empty()) (text += " of ") += run.owner;
    if (run.skipped) text += ", skipped";
    if (run.threw) text += ", threw";
    if (run.result != 0) (text += ", result") += effects[run.result];
    if (run.exception != 0) (text += ", exception") += effects[run.exception];
    return text;
}

/// In lines on stderr, the texts of the library's own exceptions are not compared.
inline std::string_view shown_on_stderr(std::string_view thrown) {
    const bool is_scripted =
        thrown.size() > 1 && thrown[0] == 't' && thrown.find_first_not_of("0123456789", 1) == thrown.npos;
    return is_scripted ? thrown : "?";
}

}  // namespace model
