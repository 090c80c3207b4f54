#pragma once

// What do the model and the library have in common? What programs do with either, what scripts see
// of a call, and the texts in which both are compared.

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

/// What scripts throw.
struct scripted : std::exception {
    int number;
    std::string text;
    explicit scripted(int n) : number(n), text("t" + std::to_string(n)) {}
    const char* what() const noexcept override { return text.c_str(); }
};

/// The result of a shape::maybe that is an empty std::optional.
inline constexpr int no_number = -1;

/// Which results of a shape::now say themselves that the call failed.
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
    virtual std::string read_kwarg(std::string_view name) = 0;  // throws where it is no number

    virtual std::optional<int> result() = 0;
    virtual void set_result(int value) = 0;
    virtual void take_result() = 0;  // does nothing for an ext::any_call
    virtual void set_no_number() = 0;  // with another type of result: throws for an ext::any_call, or takes the result away
    virtual void set_other_result() = 0;  // throws for an ext::any_call, and does nothing else
    virtual std::exception_ptr* exception() = 0;
    virtual bool original_ran() = 0;

    // What else an ext::any_call tells; empty otherwise.
    virtual std::string types() = 0;

protected:
    ~seen_call() = default;
};

/// What a function sees: its arguments, and nothing of the call.
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

/// What an around hook goes on to.
struct inside_of_hook {
    virtual lazy<void> run() = 0;

protected:
    ~inside_of_hook() = default;
};

/// Runs the scripts of hooks, functions and error handlers.
struct script_runner {
    /// `awaited` tells whether the hook may be suspended; `of` is the function's. `inside` is null
    /// but for an around hook.
    virtual lazy<void> run_hook(const operation& hook, shape of, bool awaited, seen_call& call, inside_of_hook* inside) = 0;
    /// The end that a start hook returned.
    virtual void run_end(const operation& hook, shape of, seen_call& call) = 0;
    virtual lazy<int> run_function(const operation& wraps, seen_call& call) = 0;
    /// An error handler, or a monitor.
    virtual void run_handler(const operation& handler, const std::string& event) = 0;

protected:
    ~script_runner() = default;
};

/// The model, or the library. What it refuses it throws, and text_of() gives the name of the type.
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

    /// Whether a suspended call can still run the hook, or one of the plugin: whoever waits for
    /// that waits for ever. The model decides that for both.
    virtual bool would_wait_for_hook(int handle) = 0;
    virtual bool would_wait_for_plugin(int plugin) = 0;

    /// Calls a wrapper whose shape is known. No value: the default.
    virtual int call(int wrapper, std::optional<int> value, bool with_kwarg) = 0;
    virtual lazy<int> call_later(int wrapper, int value) = 0;  // of the shapes later and silent
    virtual eager<int> call_now(int wrapper, int value) = 0;

    /// What registry.functions() lists; which handles are active; which hooks' captures are alive;
    /// what was written to stderr.
    virtual std::string functions() = 0;
    virtual std::string active() = 0;
    virtual std::string alive() = 0;
    virtual std::string take_stderr() = 0;

    virtual std::string text_of(const std::exception_ptr& exception) = 0;
};

// ---- Texts --------------------------------------------------------------------------------------------------------------

/// One line of what registry.functions() tells.
inline void write_function(std::string& to, std::string_view name, std::string_view signature, bool wrapped) {
    ((to += "; ") += name) += wrapped ? " is " : " waits ";
    to += signature;
}
/// What registry.functions() tells of a hook, and the first handle of it.
struct hook_line {
    phase when;
    std::string_view id, owner, pattern, replaced_by;
    int priority;
    bool enabled, suits;
    std::size_t handle;  // model::handles where there is none
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

/// What a monitor is told of one run of a hook. The effects are numbers of ext::effect.
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

/// What the library's own exceptions say in a line on stderr is not compared.
inline std::string_view shown_on_stderr(std::string_view thrown) {
    const bool is_scripted = thrown.size() > 1 && thrown[0] == 't' && thrown.find_first_not_of("0123456789", 1) == thrown.npos;
    return is_scripted ? thrown : "?";
}

}  // namespace model
