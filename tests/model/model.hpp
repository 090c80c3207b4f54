#pragma once

// A model of a call: step by step, and as simple as possible. world.hpp says which hooks run. The
// parts are: one call, one hook, then how handlers and monitors are notified.

#include "machine.hpp"
#include "program.hpp"
#include "world.hpp"

#include <algorithm>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace model {

inline constexpr std::string_view result_names[]{"int", "std::string",  "void", "std::optional<int>",
                                                 "int", "model::reply", "void"};

class plain_model final : public world {
public:
    explicit plain_model(script_runner& scripts) : scripts_(scripts) {}

    int call(int slot, std::optional<int> value, bool with_kwarg) override {
        const wrapper called = *wrappers_[index(slot)];  // a copy, because a hook may destroy it
        int argument = value.value_or(7);
        named_values kwargs;
        if (with_kwarg && called.of == shape::text) kwargs.emplace_back("k", 9);
        const int result = walk(called, argument, std::move(kwargs)).run();
        return called.of == shape::change ? 1000 * argument + result : result;  // includes the caller's object
    }
    // Without hooks, the function's own task is returned.
    lazy<int> call_later(int slot, int value) override {
        return call_awaited<lazy<int>>(*wrappers_[index(slot)], value);
    }
    eager<int> call_now(int slot, int value) override {
        return call_awaited<eager<int>>(*wrappers_[index(slot)], value);
    }

    std::string take_stderr() override { return std::exchange(stderr_, {}); }

    std::string text_of(const std::exception_ptr& exception) override {
        try {
            std::rethrow_exception(exception);
        } catch (const scripted& thrown) {
            return thrown.text;
        } catch (const refusal& thrown) {
            return thrown.type;
        }
    }

private:
    // ---- One call ---------------------------------------------------------------------------------------------------

    using named_values = std::vector<std::pair<std::string, std::optional<int>>>;  // empty: a text

    /// The data of one call: what hooks receive, and more.
    struct call_data {
        const std::shared_ptr<registry> home;
        const std::string_view name;
        const shape of;
        int& argument;
        holder& held;
        const bool is_watched;  // there were monitors when the call began
        named_values kwargs{};
        std::optional<int> result{};
        bool is_written = false;  // the result was set since the last look()
        std::exception_ptr exception{};
        bool original_ran = false;
    };

    template <class Task>
    Task call_awaited(const wrapper& called, int value) {
        if (running_turns(called).empty()) return function_alone<Task>(called, value);
        return walk_owning<Task>(called, value);
    }
    template <class Task>
    Task function_alone(wrapper called, int value) {
        co_return co_await run_function(called, value, {});
    }
    template <class Task>
    Task walk_owning(wrapper called, int value) {
        co_return co_await walk(called, value, {});
    }

    /// One call, with the hooks that are registered and enabled when it begins.
    lazy<int> walk(wrapper called, int& argument, named_values kwargs) {
        holder held(*this, running_turns(called), is_awaited(called.of));
        if (held.held.empty()) co_return co_await run_function(called, argument, std::move(kwargs));
        const bool is_watched = !called.home->monitors.empty();
        call_data call{called.home, called.name, called.of, argument, held, is_watched, std::move(kwargs)};
        end_hooks ends(*this, call);

        co_await run_start_hooks(call);
        // Start hooks may have set a result or an exception.
        const std::vector<hooks> arounds = of_phase(held, phase::around);
        around inside{*this, called, call, arounds, 0};
        if (!call.result && !call.exception) co_await inside.run();
        co_await ends.run();

        if (call.exception) std::rethrow_exception(call.exception);
        if (!call.result && !is_void(call.of)) throw refusal("no_result");
        co_return call.result.value_or(0);
    }
    static std::vector<hooks> of_phase(const holder& held, phase when) {
        std::vector<hooks> some;
        for (const hooks& turn : held.turns)
            if (turn.front()->when == when) some.push_back(turn);
        return some;
    }

    // Each start hook sees the changes of earlier ones. If one throws, later ones do not run.
    lazy<void> run_start_hooks(call_data& call) {
        for (const hooks& turn : of_phase(call.held, phase::start))
            if (!co_await run_and_keep(turn, call)) co_return;
    }
    // If the hook throws, its exception becomes the call's exception, and this returns false.
    lazy<bool> run_and_keep(const hooks& turn, call_data& call) {
        const hook_ref h = choose(turn, call);
        const std::exception_ptr thrown = co_await run_and_catch(h, call, nullptr);
        if (thrown) keep(thrown, call, *h);
        co_return !thrown;
    }

    /// Runs all end hooks, and then the finishers, the last returned first. If a suspended call is
    /// destroyed, they run too, except for hooks that would have to be awaited.
    struct end_hooks {
        plain_model& in;
        call_data& call;
        const std::vector<hooks> all = of_phase(call.held, phase::end);
        std::size_t next = 0;
        bool done = false;
        end_hooks(plain_model& model, call_data& of) : in(model), call(of) {}
        end_hooks(const end_hooks&) = delete;
        ~end_hooks() {
            if (!done) run_abandoned();
        }

        lazy<void> run() {
            while (next < all.size()) co_await in.run_and_keep(all[next++], call);
            while (!call.held.ends.empty()) {
                const hook_ref h = call.held.ends.back();
                if (const std::exception_ptr thrown = in.run_end(*h, call)) in.keep(thrown, call, *h);
            }
            done = true;
        }
        void run_abandoned() {
            const on_this_thread here(call.held, true);
            const hook& nearest = next < all.size() ? *all[next].front() : *call.held.held.back();
            if (call.exception) in.report(nearest, call, call.exception, true);
            call.exception = std::make_exception_ptr(refusal("abandoned"));
            for (; next < all.size(); ++next) {
                const hook_ref h = in.choose(all[next], call, false);
                if (!h) continue;
                const std::exception_ptr thrown = in.run_and_catch(h, call, nullptr).run();
                if (thrown) in.report(*h, call, thrown, true);
            }
            while (!call.held.ends.empty()) {
                const hook_ref h = call.held.ends.back();
                if (const std::exception_ptr thrown = in.run_end(*h, call)) in.report(*h, call, thrown, true);
            }
        }
    };

    struct watch;

    /// What an around hook proceeds to: the next around hook, or the function after the last one.
    struct around final : inside_of_hook {
        plain_model& in;
        const wrapper& called;
        call_data& call;
        const std::vector<hooks>& all;
        const std::size_t at;
        hook_ref hook_outside{};
        watch* outside = nullptr;  // watches the hook outside
        bool went_on = false;      // the hook outside has proceeded
        around(plain_model& model, const wrapper& w, call_data& c, const std::vector<hooks>& arounds, std::size_t first)
            : in(model), called(w), call(c), all(arounds), at(first) {}

        // An exception that the hook outside has set is displaced. Changes in here are not
        // attributed to that hook.
        lazy<void> run() override {
            went_on = true;
            if (call.exception) in.report(*hook_outside, call, std::exchange(call.exception, nullptr), true);
            const looks_anew at_end{outside};
            call.result.reset();
            if (at == all.size()) co_await in.run_function(called, call);
            else co_await run_hook();
        }
        // To the hooks outside, an exception of this hook looks like an exception of the function.
        lazy<void> run_hook() {
            around inside(in, called, call, all, at + 1);
            const hook_ref h = inside.hook_outside = in.choose(all[at], call);
            const std::exception_ptr thrown = co_await in.run_and_catch(h, call, &inside);
            if (!thrown) co_return;
            in.keep(thrown, call, *h);
            call.result.reset();
        }
    };

    // Runs the function, and stores its outcome in the call. End hooks see the arguments that the
    // function was called with.
    lazy<void> run_function(const wrapper& called, call_data& call) {
        call.original_ran = true;
        int copy = call.argument;
        int& argument = call.of == shape::change ? call.argument : copy;
        try {
            call.result = co_await run_function(called, argument, call.kwargs);
        } catch (...) {
            call.exception = std::current_exception();
        }
    }
    lazy<int> run_function(const wrapper& called, int& argument, named_values kwargs) {
        function_view view(called.name, called.of, argument, std::move(kwargs));
        co_return co_await scripts_.run_function(*called.stated, view);
    }

    // ---- One hook ---------------------------------------------------------------------------------------------------

    // The hook that runs in a turn. Null if the call skips all hooks of the turn.
    hook_ref choose(const hooks& turn, call_data& call, bool can_await = true) {
        for (const hook_ref& h : turn) {
            if (h->awaited && !can_await) continue;
            if (begins(h, call)) return h;
            if (h->fallback && call.result) return nullptr;  // the hooks that it replaces do not run either
        }
        return nullptr;
    }
    // Runs a hook, and returns its exception. If an around hook is skipped, the call proceeds without
    // it. The same holds for an isolated around hook that fails before it produces an outcome.
    lazy<std::exception_ptr> run_and_catch(hook_ref h, call_data& call, around* inside) {
        std::exception_ptr thrown;
        bool lets_run = true;
        if (h) {
            const on_this_thread here(call.held, call.held.is_awaited && !h->awaited);
            const running mark(*this, h->reentrant ? nullptr : h.get());
            thrown = co_await run_watched(h, call, inside);
            lets_run = thrown && h->isolate && inside && !inside->went_on && !call.result && !call.exception;
            if (thrown && h->isolate) report(*h, call, std::exchange(thrown, nullptr), false);
        }
        if (lets_run && inside) co_await inside->run();
        co_return thrown;
    }
    // A hook is skipped if it is a fallback and there is a result, if it is not reentrant and
    // already runs, or if it has had all its runs.
    bool begins(const hook_ref& h, call_data& call) {
        const bool is_needed = !h->fallback || !call.result;
        if (is_needed && (h->reentrant || !is_running(*h)) && counts_and_begins(h)) return true;
        watch skipped(*this, *h, h->when, call);
        skipped.skipped = true;
        return false;
    }
    lazy<std::exception_ptr> run_watched(hook_ref h, call_data& call, around* inside) {
        watch watched(*this, *h, h->when, call);
        if (inside) inside->outside = &watched;
        hook_view view(call, *h);
        std::exception_ptr thrown;
        try {
            co_await scripts_.run_hook(*h->stated, call.of, h->awaited, view, inside);
            // A hook for any function returns an empty finisher if the argument is odd.
            if (returns_end(*h) && (h->of || call.argument % 2 == 0)) call.held.ends.push_back(h);
        } catch (...) {
            thrown = std::current_exception();
            watched.threw = true;
        }
        if (inside) inside->outside = nullptr;
        co_return thrown;
    }
    static bool returns_end(const hook& h) { return h.when == phase::start && !h.awaited && h.stated->returns_end; }

    // Runs the finisher that was returned last, and destroys it. Returns its exception.
    std::exception_ptr run_end(const hook& h, call_data& call) {
        const on_this_thread here(call.held, call.held.is_awaited);
        const running mark(*this, h.reentrant ? nullptr : &h);
        std::exception_ptr thrown = run_end_watched(h, call);
        if (thrown && h.isolate) report(h, call, std::exchange(thrown, nullptr), false);
        call.held.ends.pop_back();
        return thrown;
    }
    std::exception_ptr run_end_watched(const hook& h, call_data& call) {
        watch watched(*this, h, phase::end, call);
        hook_view view(call, h);
        try {
            scripts_.run_end(*h.stated, call.of, view);
        } catch (...) {
            watched.threw = true;
            return std::current_exception();
        }
        return nullptr;
    }

    // Marks a hook as running, if it must not run in calls that it makes itself.
    struct running {
        plain_model& in;
        bool marks;
        running(plain_model& model, const hook* h) : in(model), marks(h != nullptr) {
            if (marks) in.running_.push_back(h);
        }
        running(const running&) = delete;
        ~running() {
            if (marks) in.running_.pop_back();
        }
    };
    bool is_running(const hook& h) const { return std::count(running_.begin(), running_.end(), &h) != 0; }

    // ---- Exceptions that no caller sees -----------------------------------------------------------------------------

    // The hook has thrown. If its exception displaces another one, the other one is reported.
    void keep(const std::exception_ptr& thrown, call_data& call, const hook& h) {
        const std::exception_ptr displaced = std::exchange(call.exception, thrown);
        if (displaced && displaced != thrown) report(h, call, displaced, true);
    }

    // During the report, the call is treated as running on this thread.
    void report(const hook& h, call_data& call, const std::exception_ptr& exception, bool displaced) {
        const on_this_thread here(call.held, true);
        const std::string owner = h.owner ? h.owner->name : "", thrown = text_of(exception);
        const std::string text = text_of_error(call.name, h.when, h.id, owner, thrown, displaced);
        const std::string line =
            text_of_error(call.name, h.when, h.id, owner, shown_on_stderr(thrown), displaced) + "\n";
        const holder handlers(*this, enabled(h.home->handlers));
        if (handlers.held.empty()) stderr_ += line;
        for (const hook_ref& handler : handlers.held)
            if (!tell(*handler, text)) stderr_ += line;
    }
    static std::vector<hooks> enabled(const hooks& all) {
        std::vector<hooks> some;
        for (const hook_ref& h : all)
            if (h->enabled) some.push_back({h});
        return some;
    }
    // Notifies a handler or monitor. Returns false if it caused the event itself, and so is not
    // called, and if it throws. Its exception is dropped.
    bool tell(const hook& handler, const std::string& event) {
        if (is_running(handler)) return false;
        const running mark(*this, &handler);
        try {
            scripts_.run_handler(*handler.stated, event);
            return true;
        } catch (...) {
            return false;
        }
    }

    // ---- Monitors ---------------------------------------------------------------------------------------------------

    /// Watches one run of a hook, if there are monitors when the run begins. Notifies the monitors
    /// that there are when it ends.
    struct watch {
        plain_model& in;
        const hook& h;
        const phase when;
        call_data& call;
        const bool is_watching;
        bool had_result = false, skipped = false, threw = false;
        std::exception_ptr before{};
        watch(plain_model& model, const hook& of, phase in_phase, call_data& c)
            : in(model), h(of), when(in_phase), call(c), is_watching(watches(of, in_phase, c)) {
            look();
        }
        watch(const watch&) = delete;
        ~watch() {
            if (is_watching) in.tell_monitors(*this);
        }

        // Changes after this are attributed to the hook.
        void look() {
            had_result = call.result.has_value();
            call.is_written = false;
            before = call.exception;
        }
    };
    struct looks_anew {
        watch* outside;
        ~looks_anew() {
            if (outside) outside->look();
        }
    };
    // If a plain call began without monitors, later monitors are notified only of hooks with
    // options, of the hooks that these replace, and of finishers.
    static bool watches(const hook& h, phase when, const call_data& call) {
        const bool may_watch = call.is_watched || is_candidate(h, call) || call.held.is_awaited || when != h.when;
        return may_watch && !enabled(h.home->monitors).empty();
    }

    static bool is_candidate(const hook& h, const call_data& call) {
        for (const hooks& turn : call.held.turns)
            for (const hook_ref& each : turn)
                if (each.get() == &h) return turn.front()->has_options();
        return false;
    }

    void tell_monitors(const watch& run) {
        const auto effect = [](bool before, bool after, bool changed) {
            return before && !after ? 3 : !before && after ? 1 : changed ? 2 : 0;
        };
        const call_data& call = run.call;
        const int result = effect(run.had_result, call.result.has_value(), call.is_written && call.result);
        const int exception = effect(run.before != nullptr, call.exception != nullptr, run.before != call.exception);
        const on_this_thread here(run.call.held, true);
        const std::string owner = run.h.owner ? run.h.owner->name : "";
        const run_line line{call.name, run.when, run.h.id, owner, run.skipped, run.threw, result, exception};
        const std::string text = text_of_run(line);
        const holder monitors(*this, enabled(run.h.home->monitors));
        for (const hook_ref& monitor : monitors.held) tell(*monitor, text);
    }

    // ---- Views of a call --------------------------------------------------------------------------------------------

    static std::string kwargs_text(const named_values& kwargs) {
        std::string text;
        for (const auto& [name, value] : kwargs)
            ((text += " ") += name) += "=" + (value ? std::to_string(*value) : "text");
        return text;
    }

    struct hook_view final : seen_call {
        call_data& call;
        const hook& h;
        hook_view(call_data& c, const hook& of) : call(c), h(of) {}

        std::string_view function() override { return call.name; }
        int argument() override { return call.argument; }
        void set_argument(int value) override { call.argument = value; }
        std::string kwargs() override { return kwargs_text(call.kwargs); }
        void set_kwarg(std::string_view name, int value) override { put(name, value); }
        void set_text_kwarg(std::string_view name) override { put(name, std::nullopt); }
        void erase_kwarg(std::string_view name) override {
            std::erase_if(call.kwargs, [&](const auto& entry) { return entry.first == name; });
        }
        std::string read_kwarg(std::string_view name) override {
            for (const auto& [known, value] : call.kwargs) {
                if (known != name) continue;
                if (!value) throw refusal("bad_kwarg");
                return std::to_string(*value);
            }
            return "none";
        }
        std::optional<int> result() override { return call.result; }
        void set_result(int value) override {
            call.result = is_void(call.of) ? 0 : value;
            call.is_written = true;
        }
        void take_result() override {
            if (h.of) call.result.reset();
        }
        void set_no_number() override {
            if (call.of == shape::maybe) return set_result(no_number);
            if (!h.of) throw refusal("signature_mismatch");
            call.result.reset();
        }
        void set_other_result() override {
            if (!h.of) throw refusal("signature_mismatch");
        }
        std::exception_ptr* exception() override { return &call.exception; }
        bool original_ran() override { return call.original_ran; }
        std::string types() override {
            if (h.of) return "";
            const bool has_failed =
                call.exception || (call.of == shape::now && call.result && says_failed(*call.result));
            const bool is_text = call.of == shape::text;
            std::string text = " " + std::string(signature_of(call.of)) + " takes " + (is_text ? "std::string" : "int");
            (text += " returns ") += result_names[static_cast<int>(call.of)];
            if (is_text) text += " text";
            return text += has_failed ? " failed" : "";
        }

        void put(std::string_view name, std::optional<int> value) {
            for (auto& [known, held] : call.kwargs)
                if (known == name) return void(held = value);
            call.kwargs.emplace_back(name, value);
        }
    };

    // The function's own parameters. The call sees changes only if the parameter is a reference.
    struct function_view final : seen_arguments {
        std::string_view name;
        shape of;
        int& passed;
        named_values given;
        function_view(std::string_view called, shape as, int& argument, named_values kwargs)
            : name(called), of(as), passed(argument), given(std::move(kwargs)) {}

        std::string_view function() override { return name; }
        int argument() override { return passed; }
        void set_argument(int value) override { passed = value; }
        std::string kwargs() override { return of == shape::text ? kwargs_text(given) : ""; }
    };

    script_runner& scripts_;
    std::vector<const hook*> running_;
    std::string stderr_;
};

}  // namespace model
