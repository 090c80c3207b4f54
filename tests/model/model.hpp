#pragma once

// What should the library do? The whole behaviour as plainly as it can be written: everything is a vector, everything is worked
// out anew from what is registered, and nothing of the library is used. Records come first, then registrations, then one call.

#include "../plain_order.hpp"
#include "machine.hpp"
#include "program.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace model {

/// What the model throws where the library throws an exception of its own.
struct refusal : std::exception {
    const char* type;
    explicit refusal(const char* name) : type(name) {}
    const char* what() const noexcept override { return type; }
};

/// Whether a name is what a pattern says, where each '*' stands for any run of characters.
inline bool matches(std::string_view pattern, std::string_view name) {
    if (pattern.empty()) return name.empty();
    if (pattern[0] != '*') return !name.empty() && pattern[0] == name[0] && matches(pattern.substr(1), name.substr(1));
    return matches(pattern.substr(1), name) || (!name.empty() && matches(pattern, name.substr(1)));
}

inline bool is_pattern(std::string_view name) { return name.find('*') != std::string_view::npos; }

inline constexpr std::string_view signatures[]{"int(int)", "std::string(std::string, const ext::kwargs&)", "void(int&)",
                                               "tasks::task<int, true>(int)", "tasks::task<int, false>(int)"};
constexpr std::string_view signature_of(shape of) { return signatures[static_cast<int>(of)]; }

class plain_model final : public machine {
public:
    explicit plain_model(script_runner& scripts) : scripts_(scripts) {}

    // ---- Records --------------------------------------------------------------------------------------------------------

    struct registry;

    struct plugin {
        std::string name;
        bool isolate, reentrant;  // defaults for its hooks
        std::shared_ptr<registry> home;
        bool enabled = true, unloaded = false;
    };

    struct hook {
        // plain_order uses these.
        std::string id;
        int priority;
        std::vector<std::string> before, after;
        std::uint64_t number;  // the order of registration

        const operation* stated;
        phase when;
        std::string name, pattern;  // the function's, or what it is registered under; one is empty
        std::optional<shape> of;    // null for functions of any signature
        bool on_object, awaited, isolate, reentrant;
        std::shared_ptr<plugin> owner;
        std::shared_ptr<registry> home;
        bool enabled = true, registered = false;

        bool runs() const { return enabled && (!owner || owner->enabled); }
        bool concerns(std::string_view function) const {
            return pattern.empty() ? name == function : matches(pattern, function);
        }
        // One that is awaited runs in awaited calls only, and a plain one not around them.
        bool suits(shape function) const {
            return awaited ? is_awaited(function) : when != phase::around || !is_awaited(function);
        }
    };
    using hook_ref = std::shared_ptr<hook>;
    using hooks = std::vector<hook_ref>;

    struct wrapper {
        const operation* stated;
        std::string_view name;
        shape of;
        std::shared_ptr<registry> home;
    };

    struct registry {
        std::uint64_t registrations = 0;
        bool sealed = false, closed = false;
        model::plain_model::hooks registered;  // on functions and under patterns, the oldest first
        model::plain_model::hooks handlers;
        std::vector<const wrapper*> wrapped;
    };

    /// Hooks that may not be destroyed, because a call that is going on may still run them; or a report, its handlers.
    struct holder {
        plain_model& in;
        const hooks held;
        const bool is_awaited;
        bool on_this_thread = false;  // an awaited call: one of its hooks that are not awaited runs, or is reported of
        holder(plain_model& model, hooks these, bool awaited = false) : in(model), held(std::move(these)), is_awaited(awaited) {
            in.holders_.push_back(this);
        }
        holder(const holder&) = delete;
        ~holder() { std::erase(in.holders_, this); }
    };

    struct on_this_thread {
        holder& call;
        const bool before;
        on_this_thread(holder& of, bool is_here) : call(of), before(std::exchange(of.on_this_thread, is_here)) {}
        on_this_thread(const on_this_thread&) = delete;
        ~on_this_thread() { call.on_this_thread = before; }
    };

    // ---- Registries and wrappers ----------------------------------------------------------------------------------------

    void renew_registry() override {
        for (const hook_ref& h : hooks(home_->registered)) take_away(h);
        for (const hook_ref& h : hooks(home_->handlers)) take_away(h);
        home_->closed = true;
        home_ = std::make_shared<registry>();
    }
    void seal() override { home_->sealed = true; }

    void wrap(const operation& o) override {
        const std::string_view name = function_names[o.name];
        check_name(name);
        for (const wrapper* w : home_->wrapped)
            if (w->name == name && w->of != o.of) throw refusal("signature_mismatch");
        for (const hook_ref& h : home_->registered)
            if (h->concerns(name) && h->of && *h->of != o.of) throw refusal("signature_mismatch");
        wrappers_[index(o.slot)].emplace(wrapper{&o, name, o.of, home_});
        home_->wrapped.push_back(&*wrappers_[index(o.slot)]);
    }
    // Hooks that were registered on the object go with the last wrapper of the name.
    void unwrap(int slot) override {
        const wrapper& leaving = *wrappers_[index(slot)];
        const std::shared_ptr<registry> home = leaving.home;
        std::erase(home->wrapped, &leaving);
        if (!is_wrapped(*home, leaving.name))
            for (const hook_ref& h : hooks(home->registered))
                if (h->on_object && h->name == leaving.name) take_away(h);
        wrappers_[index(slot)].reset();
    }

    // ---- Registering ----------------------------------------------------------------------------------------------------

    void add(const operation& o, bool awaited) override {
        const std::shared_ptr<plugin> owner = o.plugin >= 0 ? plugins_[index(o.plugin)] : nullptr;
        if (o.plugin >= 0 && !owner) throw refusal("error");  // it was moved from
        const wrapper* const on = o.where == place::on_object ? &*wrappers_[index(o.slot)] : nullptr;
        const hook_ref added = std::make_shared<hook>();
        added->stated = &o;
        added->when = o.when;
        added->id = ids[o.id];
        added->awaited = awaited;
        added->owner = owner;
        added->home = on ? on->home : owner ? owner->home : home_;
        added->on_object = on != nullptr;
        if (o.where == place::for_any) added->pattern = patterns[o.name];
        else added->name = on ? on->name : function_names[o.name];
        if (o.where == place::by_name && !o.takes_any) added->of = o.of;
        if (on && !o.takes_any) added->of = on->of;
        add(added, o);
        handles_[index(o.other)] = added;
    }

    // What can be wrong is looked at in this order. What throws has changed nothing.
    void add(const hook_ref& added, const operation& o) {
        registry& home = *added->home;
        const std::shared_ptr<plugin> owner = added->owner;
        if (o.where == place::by_name) check_name(added->name);
        if (o.where == place::for_any && added->pattern.empty()) throw refusal("error");
        if (home.closed) throw refusal("error");
        if (home.sealed) throw refusal("sealed");
        if (owner && owner->home != added->home) throw refusal("error");
        if (owner && owner->unloaded) throw refusal("error");
        added->isolate = o.isolate.value_or(owner && owner->isolate);
        added->reentrant = o.reentrant.value_or(!owner || owner->reentrant);
        if (added->awaited && !added->reentrant) throw refusal("error");
        const hook_ref replaced = namesake(home, *added);
        if (replaced && (!o.replaces || replaced->pattern.empty() != added->pattern.empty())) throw refusal("duplicate_hook");
        for (const wrapper* w : home.wrapped)
            if (w->name == added->name && added->of && *added->of != w->of) throw refusal("signature_mismatch");
        state_order(*added, o, replaced.get(), home.registrations + 1);

        hooks after = home.registered;
        std::erase(after, replaced);
        after.push_back(added);
        if (added->pattern.empty()) in_order(of_function(after, added->name));
        else check_pattern(home, after, *added, replaced.get());
        home.registered = after;
        ++home.registrations;
        if (replaced) replaced->registered = false;
        take_in(added);
    }

    void add_handler(const operation& o) override {
        if (home_->sealed) throw refusal("sealed");
        const hook_ref added = std::make_shared<hook>();
        added->stated = &o;
        added->home = home_;
        home_->handlers.push_back(added);
        take_in(added);
        handles_[index(o.slot)] = added;
    }

    // ---- Handles --------------------------------------------------------------------------------------------------------

    void remove(int handle) override { take_away(handles_[index(handle)]); }
    void remove_and_wait(int handle) override { remove(handle); }
    void set_enabled(int handle, bool enabled) override {
        const hook_ref h = handles_[index(handle)];
        if (h && h->registered) h->enabled = enabled;
    }
    void copy_handle(int from, int to) override { handles_[index(to)] = handles_[index(from)]; }
    void drop_handle(int handle) override { handles_[index(handle)] = nullptr; }
    void own_handle(int handle, int scope) override {
        take_away(scopes_[index(scope)]);
        scopes_[index(scope)] = handles_[index(handle)];
    }
    void end_scope(int scope) override {
        take_away(scopes_[index(scope)]);
        scopes_[index(scope)] = nullptr;
    }
    void release(int scope, int handle) override { handles_[index(handle)] = std::exchange(scopes_[index(scope)], nullptr); }

    // ---- Plugins --------------------------------------------------------------------------------------------------------

    bool has_plugin(int slot) override { return has_plugin_[index(slot)]; }
    void make_plugin(int slot, bool isolate, bool reentrant) override {
        plugins_[index(slot)] = std::make_shared<plugin>(plugin{"p" + std::to_string(slot), isolate, reentrant, home_});
        has_plugin_[index(slot)] = true;
    }
    void destroy_plugin(int slot) override {
        unload(slot);
        plugins_[index(slot)] = nullptr;
        has_plugin_[index(slot)] = false;
    }
    void set_plugin_enabled(int slot, bool enabled) override {
        if (!plugins_[index(slot)]) throw refusal("error");  // it was moved from
        if (!plugins_[index(slot)]->unloaded) plugins_[index(slot)]->enabled = enabled;
    }
    void unload(int slot) override {
        const std::shared_ptr<plugin> unloaded = plugins_[index(slot)];
        if (!unloaded) return;
        for (const hook_ref& h : hooks(unloaded->home->registered))
            if (h->owner == unloaded) take_away(h);
        unloaded->unloaded = true;
    }
    bool unload_for_no_time(int slot) override {
        unload(slot);
        return !would_wait_for_plugin(slot);
    }
    void move_plugin(int from, int to) override {
        if (from == to) return;
        unload(to);
        plugins_[index(to)] = std::exchange(plugins_[index(from)], nullptr);
    }

    bool would_wait_for_hook(int handle) override {
        const hook_ref h = handles_[index(handle)];
        return h && any_suspended([&](const hook_ref& held) { return held == h; });
    }
    bool would_wait_for_plugin(int slot) override {
        const std::shared_ptr<plugin> waited = plugins_[index(slot)];
        return waited && any_suspended([&](const hook_ref& held) { return held->owner == waited; });
    }

    // ---- Calls ----------------------------------------------------------------------------------------------------------

    using named_values = std::vector<std::pair<std::string, std::optional<int>>>;  // null: a text

    /// What hooks are handed.
    struct call_data {
        const std::shared_ptr<registry> home;
        const std::string_view name;
        const shape of;
        int& argument;
        named_values kwargs{};
        std::optional<int> result{};
        std::exception_ptr exception{};
        bool original_ran = false;
    };

    int call(int slot, std::optional<int> value, bool with_kwarg) override {
        const wrapper called = *wrappers_[index(slot)];  // as it is now: a hook may destroy it
        int argument = value.value_or(7);
        named_values kwargs;
        if (with_kwarg && called.of == shape::text) kwargs.emplace_back("k", 9);
        const int result = walk(called, argument, std::move(kwargs)).run();
        return called.of == shape::change ? 1000 * argument + result : result;  // the caller's object, too
    }
    // Without hooks, the function's own object is returned.
    lazy<int> call_later(int slot, int value) override { return call_awaited<lazy<int>>(*wrappers_[index(slot)], value); }
    eager<int> call_now(int slot, int value) override { return call_awaited<eager<int>>(*wrappers_[index(slot)], value); }

    template <class Task>
    Task call_awaited(const wrapper& called, int value) {
        if (running_hooks(called).empty()) return function_alone<Task>(called, value);
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

    /// The way of one call, with the hooks that are registered and enabled when it begins.
    lazy<int> walk(wrapper called, int& argument, named_values kwargs) {
        holder held(*this, running_hooks(called), is_awaited(called.of));
        if (held.held.empty()) co_return co_await run_function(called, argument, std::move(kwargs));
        call_data call{called.home, called.name, called.of, argument, std::move(kwargs)};
        hooks starts, arounds, ends;
        for (const hook_ref& h : held.held)
            (h->when == phase::start ? starts : h->when == phase::end ? ends : arounds).push_back(h);
        abandonment abandoned{*this, call, held, ends};

        // 1. Start hooks, each seeing what the ones before it did. One that throws ends this.
        for (const hook_ref& h : starts) {
            std::exception_ptr thrown;
            try {
                co_await run_hook(h, call, held, nullptr);
            } catch (...) {
                thrown = std::current_exception();
            }
            if (!thrown) continue;
            keep(thrown, call, *h);
            break;
        }

        // 2. The function inside the around hooks, unless they have settled the outcome.
        if (!call.result && !call.exception) {
            around inside{*this, called, call, held, arounds, 0};
            co_await inside.run();
        }

        // 3. End hooks, always all of them.
        while (abandoned.next < ends.size()) {
            const hook_ref h = ends[abandoned.next++];
            std::exception_ptr thrown;
            try {
                co_await run_hook(h, call, held, nullptr);
            } catch (...) {
                thrown = std::current_exception();
            }
            if (thrown) keep(thrown, call, *h);
        }

        // 4. The outcome.
        if (call.exception) std::rethrow_exception(call.exception);
        if (!call.result) throw refusal("no_result");
        co_return *call.result;
    }

    /// The inside of an around hook: the next one of them, and last the function.
    struct around final : inside_of_hook {
        plain_model& in;
        const wrapper& called;
        call_data& call;
        holder& held;
        const hooks& all;
        const std::size_t at;
        bool went_on = false;  // the hook outside has come here
        around(plain_model& model, const wrapper& w, call_data& c, holder& h, const hooks& hooks, std::size_t first)
            : in(model), called(w), call(c), held(h), all(hooks), at(first) {}

        lazy<void> run() override {
            went_on = true;
            // What the hook outside has left is displaced.
            if (call.exception) in.report(*all[at - 1], call.name, std::exchange(call.exception, nullptr), true);
            call.result.reset();
            if (at == all.size()) return in.run_function(called, call);
            return run_hook();
        }
        // What it throws counts for the hooks outside as the function having thrown.
        lazy<void> run_hook() {
            around inside(in, called, call, held, all, at + 1);
            std::exception_ptr thrown;
            try {
                co_await in.run_hook(all[at], call, held, &inside);
            } catch (...) {
                thrown = std::current_exception();
            }
            if (!thrown) co_return;
            in.keep(thrown, call, *all[at]);
            call.result.reset();
        }
    };

    // In a call: its outcome is left there. End hooks see the arguments that the function was called with.
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

    /// Runs a hook, unless it must not run beneath itself and does run further out. An isolated one throws nothing.
    lazy<void> run_hook(hook_ref h, call_data& call, holder& held, around* inside) {
        if (!h->reentrant && is_running(*h)) {
            if (inside) co_await inside->run();
            co_return;
        }
        const running mark(*this, h->reentrant ? nullptr : h.get());
        const on_this_thread here(held, held.is_awaited && !h->awaited);
        std::exception_ptr thrown;
        hook_view view(call, *h);
        try {
            co_await scripts_.run_hook(*h->stated, call.of, h->awaited, view, inside);
        } catch (...) {
            thrown = std::current_exception();
        }
        if (!thrown) co_return;
        if (!h->isolate) std::rethrow_exception(thrown);
        report(*h, call.name, thrown, false);
        // An around hook that fails before it produces an outcome is skipped.
        if (inside && !inside->went_on && !call.result && !call.exception) co_await inside->run();
    }

    /// What runs the end hooks of a call that is destroyed while it is suspended; not those that would have to be awaited.
    struct abandonment {
        plain_model& in;
        call_data& call;
        holder& held;
        const hooks& ends;
        std::size_t next = 0;
        abandonment(plain_model& model, call_data& c, holder& h, const hooks& all) : in(model), call(c), held(h), ends(all) {}
        abandonment(const abandonment&) = delete;
        ~abandonment() {
            if (next == ends.size()) return;
            if (call.exception) in.report(*ends[next], call.name, call.exception, true);
            call.exception = std::make_exception_ptr(refusal("abandoned"));
            for (; next < ends.size(); ++next) {
                if (ends[next]->awaited) continue;
                try {
                    in.run_hook(ends[next], call, held, nullptr).run();
                } catch (...) {
                    in.report(*ends[next], call.name, std::current_exception(), true);
                }
            }
        }
    };

    // ---- Exceptions that no caller sees -----------------------------------------------------------------------------------

    // The hook has thrown. If that displaces another exception, it is reported.
    void keep(const std::exception_ptr& thrown, call_data& call, const hook& h) {
        const std::exception_ptr displaced = std::exchange(call.exception, thrown);
        if (displaced && displaced != thrown) report(h, call.name, displaced, true);
    }

    void report(const hook& h, std::string_view function, const std::exception_ptr& exception, bool displaced) {
        const std::string owner = h.owner ? h.owner->name : "", thrown = text_of(exception);
        const std::string text = text_of_error(function, h.when, h.id, owner, thrown, displaced);
        const std::string line = text_of_error(function, h.when, h.id, owner, shown_on_stderr(thrown), displaced) + "\n";
        hooks enabled;
        for (const hook_ref& handler : h.home->handlers)
            if (handler->enabled) enabled.push_back(handler);
        const holder held(*this, enabled);
        if (enabled.empty()) stderr_ += line;
        for (const hook_ref& handler : enabled) {
            // One that causes an error itself is not handed that. What it throws is dropped, and the report is not lost.
            if (is_running(*handler)) {
                stderr_ += line;
                continue;
            }
            const running mark(*this, handler.get());
            try {
                scripts_.run_handler(*handler->stated, text);
            } catch (...) {
                stderr_ += line;
            }
        }
    }

    // ---- What can be seen from outside --------------------------------------------------------------------------------------

    /// The functions that are wrapped, or that a hook of their own waits for, by name; then patterns that match none of them.
    std::string functions() override {
        std::vector<std::string> names;
        for (const wrapper* w : home_->wrapped) names.emplace_back(w->name);
        for (const hook_ref& h : home_->registered)
            if (h->pattern.empty()) names.push_back(h->name);
        std::sort(names.begin(), names.end());
        names.erase(std::unique(names.begin(), names.end()), names.end());
        std::string text;
        for (const std::string& name : names) write_function(text, name);
        for (const hook_ref& h : in_order(under_patterns(home_->registered))) {
            if (std::any_of(names.begin(), names.end(), [&](const std::string& name) { return h->concerns(name); })) continue;
            model::write_function(text, h->pattern, "", false);
            write_hook(text, *h, true);
        }
        return text;
    }
    void write_function(std::string& text, const std::string& name) {
        const wrapper* wrapped = nullptr;
        for (const wrapper* w : home_->wrapped)
            if (w->name == name) wrapped = w;
        const hooks all = in_order(of_function(home_->registered, name));
        std::string_view signature = wrapped ? signature_of(wrapped->of) : "";
        for (const hook_ref& h : all)
            if (signature.empty() && h->of) signature = signature_of(*h->of);
        model::write_function(text, name, signature, wrapped != nullptr);
        for (const hook_ref& h : all) write_hook(text, *h, !wrapped || h->suits(wrapped->of));
    }
    static void write_hook(std::string& text, const hook& h, bool suits) {
        model::write_hook(text, h.when, h.id, h.owner ? h.owner->name : "", h.pattern, h.priority, h.runs(), suits);
    }

    std::string active() override {
        std::string text = " active ";
        for (const hook_ref& h : handles_) text += h && h->registered && h->runs() ? '1' : '0';
        return text;
    }

    /// What a hook captured lives while it is registered, and while a call is going on that began with it.
    std::string alive() override {
        std::string text = " alive";
        std::vector<int> labels;
        for (const hook_ref& h : all_) {
            bool is_held = h->registered;
            for (const holder* each : holders_) is_held |= std::count(each->held.begin(), each->held.end(), h) != 0;
            if (is_held) labels.push_back(h->stated->label);
        }
        std::sort(labels.begin(), labels.end());
        for (const int label : labels) (text += " ") += std::to_string(label);
        return text;
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
    // ---- Which hooks, in which order --------------------------------------------------------------------------------------

    static hooks of_function(const hooks& all, std::string_view name) {
        hooks some;
        for (const hook_ref& h : all)
            if (h->concerns(name)) some.push_back(h);
        return some;
    }
    static hooks under_patterns(const hooks& all) {
        hooks some;
        for (const hook_ref& h : all)
            if (!h->pattern.empty()) some.push_back(h);
        return some;
    }
    /// Phase by phase.
    static hooks in_order(const hooks& all) {
        hooks ordered;
        for (const phase when : {phase::start, phase::around, phase::end}) {
            std::vector<hook*> part;
            for (const hook_ref& h : all)
                if (h->when == when) part.push_back(h.get());
            try {
                part = plain_order<hook>(part).run();
            } catch (const plain_order_cycle&) {
                throw refusal("order_cycle");
            }
            for (const hook* h : part)
                for (const hook_ref& other : all)
                    if (other.get() == h) ordered.push_back(other);
        }
        return ordered;
    }
    /// What a call of the wrapper runs if it begins now.
    static hooks running_hooks(const wrapper& called) {
        hooks running;
        for (const hook_ref& h : in_order(of_function(called.home->registered, called.name)))
            if (h->runs() && h->suits(called.of)) running.push_back(h);
        return running;
    }

    static void check_name(std::string_view name) {
        if (name.empty() || is_pattern(name)) throw refusal("error");
    }
    static bool is_wrapped(const registry& home, std::string_view name) {
        return std::any_of(home.wrapped.begin(), home.wrapped.end(), [&](const wrapper* w) { return w->name == name; });
    }
    static bool is_known(const registry& home, std::string_view name) {
        if (is_wrapped(home, name)) return true;
        return std::any_of(home.registered.begin(), home.registered.end(),
                           [&](const hook_ref& h) { return h->pattern.empty() && h->name == name; });
    }

    // The hook that has the id of `added` in its phase: on its function, or under any pattern where it is under one.
    static hook_ref namesake(const registry& home, const hook& added) {
        if (added.id.empty()) return nullptr;
        for (const hook_ref& h : home.registered) {
            const bool same_place = added.pattern.empty() ? h->concerns(added.name) : !h->pattern.empty();
            if (same_place && h->when == added.when && h->id == added.id) return h;
        }
        return nullptr;
    }

    // What is not said comes from the hook that is replaced.
    static void state_order(hook& added, const operation& o, const hook* replaced, std::uint64_t number) {
        for (std::size_t i = 0; i < std::size(ids); ++i) {
            if (o.before >> i & 1) added.before.emplace_back(ids[i]);
            if (o.after >> i & 1) added.after.emplace_back(ids[i]);
        }
        if (replaced && added.before.empty()) added.before = replaced->before;
        if (replaced && added.after.empty()) added.after = replaced->after;
        added.priority = o.priority.value_or(replaced ? replaced->priority : 0);
        added.number = replaced ? replaced->number : number;
    }

    // A hook under a pattern must find an order among all that are under patterns, and then in each function that it is for,
    // where its id must be free as well.
    static void check_pattern(const registry& home, const hooks& after, const hook& added, const hook* replaced) {
        in_order(under_patterns(after));
        std::vector<std::string_view> names(std::begin(function_names), std::end(function_names));
        std::sort(names.begin(), names.end());
        for (const std::string_view name : names) {
            if (!is_known(home, name)) continue;
            for (const hook_ref& h : of_function(home.registered, name)) {
                const bool is_namesake = !added.id.empty() && h->when == added.when && h->id == added.id;
                if (added.concerns(name) && is_namesake && h.get() != replaced) throw refusal("duplicate_hook");
            }
            in_order(of_function(after, name));
        }
    }

    void take_in(const hook_ref& added) {
        added->registered = true;
        all_.push_back(added);
    }
    static void take_away(const hook_ref& leaving) {
        if (!leaving || !leaving->registered) return;
        const hook_ref kept = leaving;
        kept->registered = false;
        std::erase(kept->home->registered, kept);
        std::erase(kept->home->handlers, kept);
    }

    // Whether a call is suspended that may still run such a hook.
    template <class Predicate>
    bool any_suspended(Predicate concerned) const {
        for (const holder* each : holders_) {
            if (!each->is_awaited || each->on_this_thread) continue;
            if (std::any_of(each->held.begin(), each->held.end(), concerned)) return true;
        }
        return false;
    }

    // Hooks that must not run beneath themselves, while they run.
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

    // ---- Views of a call --------------------------------------------------------------------------------------------------

    static std::string text_of(const named_values& kwargs) {
        std::string text;
        for (const auto& [name, value] : kwargs) ((text += " ") += name) += "=" + (value ? std::to_string(*value) : "text");
        return text;
    }

    struct hook_view final : seen_call {
        call_data& call;
        const hook& h;
        hook_view(call_data& c, const hook& of) : call(c), h(of) {}

        std::string_view function() override { return call.name; }
        int argument() override { return call.argument; }
        void set_argument(int value) override { call.argument = value; }
        std::string kwargs() override { return plain_model::text_of(call.kwargs); }
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
        void set_result(int value) override { call.result = call.of == shape::change ? 0 : value; }
        void take_result() override {
            if (h.of) call.result.reset();
        }
        void set_other_result() override {
            if (!h.of) throw refusal("signature_mismatch");
        }
        std::exception_ptr* exception() override { return &call.exception; }
        bool original_ran() override { return call.original_ran; }
        std::string types() override {
            if (h.of) return "";
            return " " + std::string(signature_of(call.of)) + (call.of == shape::text ? " text" : "");
        }

        void put(std::string_view name, std::optional<int> value) {
            for (auto& [known, held] : call.kwargs)
                if (known == name) return void(held = value);
            call.kwargs.emplace_back(name, value);
        }
    };

    // The function's own parameters: where they are no references, changes stay inside.
    struct function_view final : seen_call {
        std::string_view name;
        shape of;
        int& passed;
        named_values given;
        function_view(std::string_view called, shape as, int& argument, named_values kwargs)
            : name(called), of(as), passed(argument), given(std::move(kwargs)) {}

        std::string_view function() override { return name; }
        int argument() override { return passed; }
        void set_argument(int value) override { passed = value; }
        std::string kwargs() override { return of == shape::text ? plain_model::text_of(given) : ""; }
        void set_kwarg(std::string_view, int) override {}
        void set_text_kwarg(std::string_view) override {}
        void erase_kwarg(std::string_view) override {}
        std::string read_kwarg(std::string_view) override { return "none"; }
        std::optional<int> result() override { return std::nullopt; }
        void set_result(int) override {}
        void take_result() override {}
        void set_other_result() override {}
        std::exception_ptr* exception() override { return nullptr; }
        bool original_ran() override { return false; }
        std::string types() override { return ""; }
    };

    static std::size_t index(int slot) { return static_cast<std::size_t>(slot); }

    script_runner& scripts_;
    std::shared_ptr<registry> home_ = std::make_shared<registry>();
    std::array<std::optional<wrapper>, model::wrappers> wrappers_;
    std::array<hook_ref, model::handles> handles_;
    std::array<hook_ref, model::scopes> scopes_;
    std::array<std::shared_ptr<plugin>, model::plugins> plugins_;  // null where it was moved from
    std::array<bool, model::plugins> has_plugin_{};
    hooks all_;                        // that ever were registered
    std::vector<holder*> holders_;
    std::vector<const hook*> running_;
    std::string stderr_;
};

}  // namespace model
