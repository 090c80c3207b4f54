#pragma once

// Performs a program, in the same way on the model and on the library: operation by operation, with
// a trace of everything that can be observed. Operations that the library does not allow are left
// out, such as waiting for a suspended call.

#include "machine.hpp"
#include "program.hpp"

#include <algorithm>
#include <array>
#include <coroutine>
#include <cstddef>
#include <deque>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace model {

/// What a program has shown, line by line. The model's trace is recorded. Each line of the
/// library's trace is at once compared with it.
class trace {
public:
    trace() = default;
    explicit trace(const std::vector<std::string>& expected) : expected_(&expected) {}
    trace(const trace&) = delete;
    trace& operator=(const trace&) = delete;

    void write(std::string line) {
        if (differs_) return;
        lines_.push_back(std::move(line));
        const std::size_t at = lines_.size() - 1;
        differs_ = expected_ && (at >= expected_->size() || (*expected_)[at] != lines_[at]);
    }
    /// Only the model can make this decision: the library's trace repeats the model's decision.
    bool decide(bool models) {
        if (expected_ && lines_.size() < expected_->size()) models = (*expected_)[lines_.size()] == "yes";
        write(models ? "yes" : "no");
        return models;
    }
    void end() { differs_ |= expected_ && lines_.size() != expected_->size(); }

    bool differs() const { return differs_; }
    const std::vector<std::string>& lines() const { return lines_; }

private:
    const std::vector<std::string>* expected_ = nullptr;
    std::vector<std::string> lines_;
    bool differs_ = false;
};

class performer final : public script_runner {
public:
    /// `make(script_runner&)` returns the machine.
    template <class Make>
    performer(trace& shown, Make make) : trace_(shown), machine_(make(*this)) {}

    void perform(const script& program) {
        for (const operation& o : program) {
            if (trace_.differs()) return;
            try {
                perform(o, {});
            } catch (...) {
                // The exception of a call that lets it through. It is already in the trace.
            }
            if (const std::string errors = machine_->take_stderr(); !errors.empty()) trace_.write("stderr: " + errors);
        }
        end();
    }

    lazy<void> run_hook(const operation& hook, shape of, bool awaited, seen_call& call,
                        inside_of_hook* inside) override {
        frame* const own = is_awaited(of) ? nullptr : frames_.back();
        if (own && hook.when == phase::end) own->past = true;
        trace_.write("hook " + std::to_string(hook.label) + ": " + seen(call));
        return run(hook.does, {&call, inside, awaited, own});
    }
    void run_end(const operation& hook, shape of, seen_call& call) override {
        frame* const own = is_awaited(of) ? nullptr : frames_.back();
        if (own) own->past = true;
        trace_.write("end of hook " + std::to_string(hook.label) + ": " + seen(call));
        run(hook.at_end, {&call, nullptr, false, own}).run();
    }
    lazy<int> run_function(const operation& wraps, seen_call& call) override {
        if (!is_awaited(wraps.of)) frames_.back()->past = true;
        trace_.write("function " + std::to_string(wraps.label) + ": " + std::to_string(call.argument()) +
                     call.kwargs());
        co_await run(wraps.does, {&call, nullptr, is_awaited(wraps.of), nullptr});
        const int result = call.argument() + wraps.value;
        if (wraps.of == shape::change) call.set_argument(result);
        co_return is_void(wraps.of) ? 0 : result;
    }
    void run_handler(const operation& handler, const std::string& event) override {
        trace_.write("handler " + std::to_string(handler.label) + ": " + event);
        run(handler.does, {}).run();
    }

private:
    static constexpr const char* not_done = "not done";  // its object does not exist, or it is not allowed
    static constexpr int most_scripts = 120, most_nested = 4;

    // A wrapper, which may have been destroyed.
    struct instance {
        shape of;
        bool is_gone = false;
        int kept = 0;  // awaited calls that may still use it
    };
    // A plain call that is running.
    struct frame {
        std::shared_ptr<instance> called;
        // It has reached the function or an end hook, and does not use the wrapper until a hook proceeds.
        bool past = false;
    };
    // The context of a running script.
    struct context {
        seen_call* call = nullptr;
        inside_of_hook* inside = nullptr;
        bool awaited = false;
        frame* own = nullptr;  // the plain call that the hook runs in
    };
    // Keeps the wrapper of an awaited call from being destroyed.
    struct keeping {
        std::shared_ptr<instance> called;
        explicit keeping(const std::shared_ptr<instance>& wrapper) : called(wrapper) { ++called->kept; }
        keeping(const keeping&) = delete;
        ~keeping() { --called->kept; }
    };
    struct kept_call {
        std::optional<keeping> called;  // until the call ends
        std::optional<lazy<void>> task;
        bool begun = false;
        int number = 0;
    };
    // A coroutine awaits this to suspend itself.
    struct suspension {
        performer& all;
        std::coroutine_handle<> waiting{};
        int call = 0;  // the number of its kept call
        explicit suspension(performer& in) : all(in) {}
        suspension(const suspension&) = delete;
        ~suspension() { std::erase(all.suspended_, this); }
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<> handle) {
            waiting = handle;
            call = all.on_stack_.back();
            all.suspended_.push_back(this);
        }
        void await_resume() const noexcept {}
    };
    // Marks the kept call of this number as running.
    struct on_stack {
        performer& all;
        on_stack(performer& in, int number) : all(in) { all.on_stack_.push_back(number), ++all.nested_; }
        on_stack(const on_stack&) = delete;
        ~on_stack() { all.on_stack_.pop_back(), --all.nested_; }
    };

    // The texts are cached, because making one is slow.
    const std::string& text_of(const std::exception_ptr& exception) {
        for (const auto& known : exceptions_)
            if (known.first == exception) return known.second;
        return exceptions_.emplace_back(exception, machine_->text_of(exception)).second;
    }

    // ---- Scripts ----------------------------------------------------------------------------------------------------

    lazy<void> run(const script& does, context here) {
        if (++scripts_ > most_scripts) co_return;
        for (const operation& o : does) {
            if (trace_.differs()) co_return;
            const bool is_gone = here.own && here.own->called->is_gone;
            if (o.what == action::suspend) {
                if (!here.awaited) continue;
                suspension here_and_now(*this);
                co_await here_and_now;
            } else if (o.what == action::await_call) {
                if (here.awaited) co_await await(o);
            } else if (o.what == action::proceed) {
                if (!here.inside || is_gone) continue;
                if (here.own) here.own->past = false;  // the call uses the wrapper again
                co_await here.inside->run();
                trace_.write("back: " + seen(*here.call));
            } else if (o.what < action::set_argument) {
                perform(o, here);
            } else if (here.call && !(is_gone && takes_result_away(o.what))) {
                change(o, *here.call);
            } else if (o.what == action::throw_new) {
                throw scripted(o.value);
            }
        }
    }

    static bool takes_result_away(action what) { return what == action::take_result || what == action::set_no_number; }

    void change(const operation& o, seen_call& call) {
        const std::string_view name = kwarg_names[o.slot % 2];
        switch (o.what) {
        case action::set_argument: return call.set_argument(o.value);
        case action::set_result: return call.set_result(o.value);
        case action::take_result: return call.take_result();
        case action::set_no_number: return call.set_no_number();
        case action::set_other_result: return call.set_other_result();
        case action::set_exception:
            if (call.exception()) *call.exception() = std::make_exception_ptr(scripted(o.value));
            return;
        case action::clear_exception:
            if (call.exception()) *call.exception() = nullptr;
            return;
        case action::throw_new: throw scripted(o.value);
        case action::throw_again:
            if (call.exception() && *call.exception()) std::rethrow_exception(*call.exception());
            return;
        case action::set_kwarg: return call.set_kwarg(name, o.value);
        case action::set_text_kwarg: return call.set_text_kwarg(name);
        case action::erase_kwarg: return call.erase_kwarg(name);
        case action::read_kwarg: return trace_.write("kwarg " + call.read_kwarg(name));
        default: return trace_.write("look: " + seen(call));
        }
    }

    std::string seen(seen_call& call) {
        std::string text(call.function());
        (text += "(") += std::to_string(call.argument());
        const std::optional<int> result = call.result();
        (text += ") = ") += result ? std::to_string(*result) : "-";
        if (call.exception() && *call.exception()) (text += " threw ") += text_of(*call.exception());
        if (call.original_ran()) text += " ran";
        return (text += call.kwargs()) += call.types();
    }

    lazy<void> await(const operation& o) {
        const std::shared_ptr<instance> called = wrappers_[index(o.slot)];
        if (!called || !is_awaited(called->of) || scripts_ > most_scripts) co_return;
        const keeping kept(called);
        std::string text;
        std::exception_ptr thrown;
        try {
            text = std::to_string(co_await begin(*called, o));
        } catch (...) {
            thrown = std::current_exception();
        }
        trace_.write("awaited: " + (thrown ? text_of(thrown) : text));
        if (thrown && !o.flag) std::rethrow_exception(thrown);
    }
    lazy<int> begin(const instance& called, const operation& o) {
        if (called.of != shape::now) {
            lazy<int> task = machine_->call_later(o.slot, o.value);
            co_return co_await std::move(task);
        }
        eager<int> task = machine_->call_now(o.slot, o.value);
        co_return co_await std::move(task);
    }

    // ---- Operations -------------------------------------------------------------------------------------------------

    void perform(const operation& o, context here) {
        if (o.what == action::call) return call(o);
        if (o.what == action::begin_kept) return begin_kept(o.slot % kept_calls);
        if (o.what == action::go_on_suspended) return go_on_suspended(o.slot);
        if (o.what == action::drop_kept) return drop_kept(o.slot % kept_calls);
        std::string text;
        try {
            text = change_world(o, here);
        } catch (...) {
            text = text_of(std::current_exception());
        }
        if (text == not_done) return;
        std::string line(action_names[static_cast<std::size_t>(o.what)]);
        line += ": " + text + machine_->functions() + machine_->active() + machine_->alive();
        trace_.write(std::move(line));
    }

    std::string change_world(const operation& o, context here) {
        switch (o.what) {
        case action::renew_registry: return machine_->renew_registry(), "done";
        case action::seal: return machine_->seal(), "done";
        case action::wrap: return wrap(o);
        case action::unwrap: return unwrap(o.slot, here);
        case action::add: return add(o);
        case action::add_handler: return machine_->add_handler(o), "done";
        case action::add_monitor: return machine_->add_monitor(o), "done";
        case action::remove: return machine_->remove(o.slot), "done";
        case action::remove_and_wait:
            if (trace_.decide(machine_->would_wait_for_hook(o.slot))) return not_done;
            return machine_->remove_and_wait(o.slot), "done";
        case action::enable: return machine_->set_enabled(o.slot, true), "done";
        case action::disable: return machine_->set_enabled(o.slot, false), "done";
        case action::find_handle: return machine_->find_handle(o.value, o.slot), "done";
        case action::copy_handle: return machine_->copy_handle(o.other, o.slot), "done";
        case action::drop_handle: return machine_->drop_handle(o.slot), "done";
        case action::own_handle: return machine_->own_handle(o.other, o.slot), "done";
        case action::end_scope: return machine_->end_scope(o.slot), "done";
        case action::release: return machine_->release(o.slot, o.other), "done";
        default: return change_plugin(o);
        }
    }

    std::string change_plugin(const operation& o) {
        if (o.what == action::make_plugin) {
            if (machine_->has_plugin(o.slot)) return not_done;
            return machine_->make_plugin(o.slot, o.flag, !o.flag_too), "done";
        }
        if (!machine_->has_plugin(o.slot)) return not_done;
        switch (o.what) {
        case action::enable_plugin: return machine_->set_plugin_enabled(o.slot, true), "done";
        case action::disable_plugin: return machine_->set_plugin_enabled(o.slot, false), "done";
        case action::unload_for: return machine_->unload_for_no_time(o.slot) ? "unloaded" : "gave up";
        case action::move_plugin:
            if (!machine_->has_plugin(o.other) || trace_.decide(machine_->would_wait_for_plugin(o.other)))
                return not_done;
            return machine_->move_plugin(o.slot, o.other), "done";
        default:
            if (trace_.decide(machine_->would_wait_for_plugin(o.slot))) return not_done;
            if (o.what == action::unload) return machine_->unload(o.slot), "done";
            return machine_->destroy_plugin(o.slot), "done";
        }
    }

    std::string wrap(const operation& o) {
        if (wrappers_[index(o.slot)]) return not_done;
        machine_->wrap(o);
        wrappers_[index(o.slot)] = std::make_shared<instance>(instance{o.of});
        return "done";
    }

    // The contract of ext::extensible: no running call may still use a wrapper that is destroyed.
    // There is one exception: a start or around hook may destroy the wrapper of its own call, if it
    // supplies the result and does not proceed.
    std::string unwrap(int slot, context here) {
        const std::shared_ptr<instance> called = wrappers_[index(slot)];
        if (!called || called->kept != 0) return not_done;
        bool supplies = false;
        for (frame* f : frames_) {
            if (f->called != called || f->past) continue;
            if (f != frames_.back() || f != here.own) return not_done;
            supplies = true;
        }
        called->is_gone = true;
        wrappers_[index(slot)] = nullptr;
        machine_->unwrap(slot);
        if (supplies) here.call->set_result(77);
        return "done";
    }

    // Only awaited functions can have awaited hooks, and all their around hooks are awaited.
    std::string add(const operation& o) {
        const std::shared_ptr<instance> on = wrappers_[index(o.slot)];
        if (o.where == place::on_object && !on) return not_done;
        if (o.plugin >= 0 && !machine_->has_plugin(o.plugin)) return not_done;
        bool awaited = o.awaited;
        if (o.where != place::for_any) {
            const shape of = on && o.where == place::on_object ? on->of : o.of;
            awaited = is_awaited(of) && (o.awaited || o.when == phase::around);
        }
        return machine_->add(o, awaited), "done";
    }

    // ---- Calls ------------------------------------------------------------------------------------------------------

    void call(const operation& o) {
        const std::shared_ptr<instance> called = wrappers_[index(o.slot)];
        if (!called || nested_ >= most_nested || scripts_ > most_scripts) return;
        if (is_awaited(called->of)) return keep_call(o, called);
        frame own{called};
        frames_.push_back(&own), ++nested_;
        std::string text;
        std::exception_ptr thrown;
        try {
            const std::optional<int> value =
                called->of == shape::text && o.value == 0 ? std::nullopt : std::optional(o.value);
            text = std::to_string(machine_->call(o.slot, value, o.flag_too));
        } catch (...) {
            thrown = std::current_exception();
            text = text_of(thrown);
        }
        frames_.pop_back(), --nested_;
        trace_.write("called: " + text + machine_->alive());
        if (thrown && !o.flag) std::rethrow_exception(thrown);
    }

    void keep_call(const operation& o, const std::shared_ptr<instance>& called) {
        kept_call& kept = kept_[index(o.other)];
        if (kept.called) return;
        kept.task.reset();
        kept.called.emplace(called);
        kept.begun = false;
        const int number = kept.number = ++calls_;
        {
            const on_stack here(*this, number);
            if (called->of != shape::now) kept.task.emplace(watch(kept, machine_->call_later(o.slot, o.value)));
            else kept.task.emplace(watch(kept, machine_->call_now(o.slot, o.value)));
        }
        if (o.flag) begin_kept(o.other);
    }
    template <class Task>
    lazy<void> watch(kept_call& kept, Task call) {
        std::string text;
        try {
            text = std::to_string(co_await std::move(call));
        } catch (...) {
            text = text_of(std::current_exception());
        }
        kept.called.reset();
        trace_.write("kept call " + std::to_string(kept.number) + ": " + text + machine_->alive());
    }
    void begin_kept(int slot) {
        kept_call& kept = kept_[index(slot)];
        if (!kept.task || kept.begun || nested_ >= most_nested || is_on_stack(kept.number)) return;
        kept.begun = true;
        const on_stack here(*this, kept.number);
        kept.task->start();
    }
    void go_on_suspended(int which) {
        if (suspended_.empty() || nested_ >= most_nested + 2) return;
        const auto at = suspended_.begin() + which % static_cast<int>(suspended_.size());
        suspension* const next = *at;
        suspended_.erase(at);
        const on_stack here(*this, next->call);
        next->waiting.resume();
    }
    void drop_kept(int slot) {
        kept_call& kept = kept_[index(slot)];
        if (!kept.task || is_on_stack(kept.number)) return;
        trace_.write("dropping");
        {
            const on_stack here(*this, kept.number);
            kept.task.reset();
        }
        kept.called.reset();
        trace_.write("dropped" + machine_->alive());
    }
    bool is_on_stack(int number) const { return std::count(on_stack_.begin(), on_stack_.end(), number) != 0; }

    // Destroys all that a program has left. Suspended calls come first: plugins would wait for them.
    void end() {
        const auto is_kept = [](const kept_call& kept) { return kept.task.has_value(); };
        while (std::any_of(kept_.begin(), kept_.end(), is_kept))
            for (int slot = 0; slot < kept_calls; ++slot) drop_kept(slot);
        for (int slot = 0; slot < plugins; ++slot)
            if (machine_->has_plugin(slot)) machine_->destroy_plugin(slot);
        for (int slot = 0; slot < scopes; ++slot) machine_->end_scope(slot);
        trace_.write("at last" + machine_->functions() + machine_->active() + machine_->alive());
        for (int slot = 0; slot < wrappers; ++slot)
            if (std::exchange(wrappers_[index(slot)], nullptr)) machine_->unwrap(slot);
        machine_->renew_registry();
        trace_.write("end" + machine_->functions() + machine_->active() + machine_->alive());
        trace_.end();
    }

    static std::size_t index(int slot) { return static_cast<std::size_t>(slot); }

    trace& trace_;
    std::unique_ptr<machine> machine_;
    std::array<std::shared_ptr<instance>, model::wrappers> wrappers_;
    std::vector<frame*> frames_;       // running plain calls, the innermost last
    std::vector<suspension*> suspended_;
    std::vector<int> on_stack_;        // the numbers of the kept calls that run, or are being destroyed
    int calls_ = 0, nested_ = 0, scripts_ = 0;
    std::deque<std::pair<std::exception_ptr, std::string>> exceptions_;
    std::array<kept_call, kept_calls> kept_;  // destroyed first, because their coroutines use the other members
};

}  // namespace model
