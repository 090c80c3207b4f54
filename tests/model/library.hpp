#pragma once

// What does the library do? The operations of a program on the real headers, in the words of machine.hpp.

#include "machine.hpp"
#include "program.hpp"

#include <extensible/extensible.hpp>

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace model {

using namespace ext::literals;

// Not in templates, where Clang 14 forgets to define the operator.
inline constexpr auto text_name = "text"_kw;
inline constexpr auto k_name = "k"_kw;

inline int number_in(std::string_view text) {
    int number = -1;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
}

// ---- Shapes -----------------------------------------------------------------------------------------------------------

template <shape Of>
struct shape_of;
template <>
struct shape_of<shape::number> {
    using signature = int(int);
    static ext::parameters<> parameters() { return {}; }
};
template <>
struct shape_of<shape::text> {
    using signature = std::string(std::string, const ext::kwargs&);
    static auto parameters() { return ext::params(text_name = "7"); }
};
template <>
struct shape_of<shape::change> : shape_of<shape::number> {
    using signature = void(int&);
};
template <>
struct shape_of<shape::later> : shape_of<shape::number> {
    using signature = lazy<int>(int);
};
template <>
struct shape_of<shape::now> : shape_of<shape::number> {
    using signature = eager<int>(int);
};

// ---- Views of a call --------------------------------------------------------------------------------------------------

inline std::string text_of(const ext::kwargs& kwargs) {
    std::string text;
    for (const auto& [name, value] : kwargs) {
        const int* const number = value.get_if<int>();
        ((text += " ") += name) += "=" + (number ? std::to_string(*number) : "text");
    }
    return text;
}

// What is the same for typed and untyped calls.
struct view_of_call : seen_call {
    ext::kwargs& given;
    explicit view_of_call(ext::kwargs& kwargs) : given(kwargs) {}
    std::string kwargs() override { return model::text_of(given); }
    void set_kwarg(std::string_view name, int value) override { given.set(name, value); }
    void set_text_kwarg(std::string_view name) override { given.set(name, "text"); }
    void erase_kwarg(std::string_view name) override { given.erase(name); }
    std::string read_kwarg(std::string_view name) override {
        const int* const number = given.get<int>(name);
        return number ? std::to_string(*number) : "none";
    }

protected:
    ~view_of_call() = default;
};

template <class Call>
inline constexpr bool is_named = false;
template <class Signature, class Parameters>
inline constexpr bool is_named<ext::named_call<Signature, Parameters>> = true;

// A view of ext::call, or of the same with names.
template <class Call>
struct typed_view final : view_of_call {
    Call& call;
    explicit typed_view(Call& of) : view_of_call(of.kwargs), call(of) {}

    auto& place() {
        if constexpr (is_named<Call>) return call.template arg<"text">();
        else return call.template arg<0>();
    }
    using argument_type = std::remove_cvref_t<decltype(*std::declval<Call&>().template arg<0>())>;
    using result_type = std::remove_reference_t<decltype(std::declval<Call&>().result)>;
    static constexpr bool is_void = std::is_same_v<result_type, ext::result<void>>;
    static constexpr bool is_text = !std::is_same_v<argument_type, int>;

    std::string_view function() override { return call.name; }
    int argument() override {
        if constexpr (is_text) return number_in(*place());
        else return *place();
    }
    void set_argument(int value) override {
        if constexpr (is_text) place() = std::to_string(value);
        else place() = value;
    }
    std::optional<int> result() override {
        if (!call.result) return std::nullopt;
        if constexpr (is_void) return 0;
        else if constexpr (is_text) return number_in(*call.result);
        else return *call.result;
    }
    void set_result(int value) override {
        if constexpr (is_void) call.result.emplace();
        else if constexpr (is_text) call.result = std::to_string(value);
        else call.result = value;
    }
    void take_result() override { call.result.reset(); }
    void set_other_result() override {}
    std::exception_ptr* exception() override { return &call.exception; }
    bool original_ran() override { return call.original_ran; }
    std::string types() override { return ""; }
};

struct any_view final : view_of_call {
    ext::any_call& call;
    explicit any_view(ext::any_call& of) : view_of_call(of.kwargs()), call(of) {}

    std::string_view function() override { return call.name(); }
    int argument() override {
        if (const std::string* text = call.arg<std::string>(0)) return number_in(*text);
        const int* const number = call.arg<int>(0);
        return number && call.size() == 1 && !call.arg<int>(1) ? *number : -1;
    }
    void set_argument(int value) override {
        if (call.arg<std::string>(0)) call.set_arg(0, std::to_string(value));
        else call.set_arg(0, value);
    }
    std::optional<int> result() override {
        if (!call.has_result()) return std::nullopt;
        if (const std::string* text = call.result<std::string>()) return number_in(*text);
        const int* const number = call.result<int>();
        return number ? *number : 0;
    }
    void set_result(int value) override {
        if (call.signature().starts_with("void")) call.set_result();
        else if (call.arg<std::string>(0)) call.set_result(std::to_string(value));
        else call.set_result(value);
    }
    void take_result() override {}
    void set_other_result() override { call.set_result(1.5); }
    std::exception_ptr* exception() override { return &call.exception(); }
    bool original_ran() override { return call.original_ran(); }
    std::string types() override {
        std::string text = " " + std::string(call.signature());
        if (!call.arg_name(0).empty()) (text += " ") += call.arg_name(0);
        return text;
    }
};

// The function's own parameters.
template <class Parameter>
struct function_view final : seen_call {
    std::string_view name;
    Parameter& passed;  // an int, or a text
    const ext::kwargs* given;
    function_view(std::string_view called, Parameter& argument, const ext::kwargs* kwargs = nullptr)
        : name(called), passed(argument), given(kwargs) {}

    std::string_view function() override { return name; }
    int argument() override {
        if constexpr (std::is_same_v<Parameter, int>) return passed;
        else return number_in(passed);
    }
    void set_argument(int value) override {
        if constexpr (std::is_same_v<Parameter, int>) passed = value;
        else passed = std::to_string(value);
    }
    std::string kwargs() override { return given ? model::text_of(*given) : std::string(); }
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

// ---- Functions and hooks ------------------------------------------------------------------------------------------------

template <shape Of>
struct function {
    script_runner* scripts;
    const operation* stated;
    std::string_view name() const { return function_names[stated->name]; }
    template <class Parameter>
    int run(Parameter& argument, const ext::kwargs* kwargs = nullptr) const {
        function_view<Parameter> view(name(), argument, kwargs);
        return scripts->run_function(*stated, view).run();
    }
    // A coroutine of its own, which outlives the function object.
    template <class Task>
    static Task run_awaited(function self, int argument) {
        function_view<int> view(self.name(), argument);
        co_return co_await self.scripts->run_function(*self.stated, view);
    }
};
struct number_function : function<shape::number> {
    int operator()(int argument) const { return run(argument); }
};
struct text_function : function<shape::text> {
    std::string operator()(std::string argument, const ext::kwargs& kwargs) const {
        return std::to_string(run(argument, &kwargs));
    }
};
struct change_function : function<shape::change> {
    void operator()(int& argument) const { run(argument); }
};
struct later_function : function<shape::later> {
    lazy<int> operator()(int argument) const { return run_awaited<lazy<int>>(*this, argument); }
};
struct now_function : function<shape::now> {
    eager<int> operator()(int argument) const { return run_awaited<eager<int>>(*this, argument); }
};
inline number_function function_of(function<shape::number> f) { return {f}; }
inline text_function function_of(function<shape::text> f) { return {f}; }
inline change_function function_of(function<shape::change> f) { return {f}; }
inline later_function function_of(function<shape::later> f) { return {f}; }
inline now_function function_of(function<shape::now> f) { return {f}; }

/// What a hook captures: tells by its label how many there are.
class capture {
public:
    capture(std::vector<int>& counts, int label) : counts_(&counts), label_(static_cast<std::size_t>(label)) {
        if (counts_->size() <= label_) counts_->resize(label_ + 1);
        ++(*counts_)[label_];
    }
    capture(const capture& other) : counts_(other.counts_), label_(other.label_) { ++(*counts_)[label_]; }
    capture& operator=(const capture&) = delete;
    ~capture() { --(*counts_)[label_]; }

private:
    std::vector<int>* counts_;
    std::size_t label_;
};

template <class Proceed>
struct plain_inside final : inside_of_hook {
    Proceed& proceed;
    explicit plain_inside(Proceed& of) : proceed(of) {}
    lazy<void> run() override {
        proceed();
        co_return;
    }
};
template <class Proceed>
struct awaited_inside final : inside_of_hook {
    Proceed& proceed;
    explicit awaited_inside(Proceed& of) : proceed(of) {}
    lazy<void> run() override { co_await proceed(); }
};

template <class Call>
inline constexpr bool is_awaited_call = false;  // also for those with names, because no function that is awaited has any
template <class Result, class... A>
inline constexpr bool is_awaited_call<ext::call<Result(A...)>> =
    std::is_same_v<Result, lazy<int>> || std::is_same_v<Result, eager<int>>;

/// The script of a hook, as the function objects below run it.
struct hook_code {
    script_runner* scripts;
    const operation* stated;
    capture captured;

    static any_view view_of(ext::any_call& call) { return any_view(call); }
    template <class Call>
    static typed_view<Call> view_of(Call& call) {
        return typed_view<Call>(call);
    }

    template <class Call>
    void run(Call& call, inside_of_hook* inside = nullptr) const {
        auto view = view_of(call);
        scripts->run_hook(*stated, shape_called(view), false, view, inside).run();
    }
    template <class Call>
    static lazy<void> run_awaited(script_runner* scripts, const operation* stated, Call& call) {
        auto view = view_of(call);
        co_await scripts->run_hook(*stated, shape::later, true, view, nullptr);
    }
    template <class Call, class Proceed>
    static lazy<void> run_awaited(script_runner* scripts, const operation* stated, Call& call, Proceed& proceed) {
        auto view = view_of(call);
        awaited_inside<Proceed> inside(proceed);
        co_await scripts->run_hook(*stated, shape::later, true, view, &inside);
    }

    // Only whether the function is awaited counts.
    static shape shape_called(any_view& view) {
        return view.call.signature().starts_with("tasks::") ? shape::later : shape::number;
    }
    template <class Call>
    static shape shape_called(typed_view<Call>&) {
        return is_awaited_call<Call> ? shape::later : shape::number;
    }
};

inline auto plain_hook_for_any(const hook_code& code) {
    return [code](ext::any_call& call) { code.run(call); };
}
inline auto plain_around_hook_for_any(const hook_code& code) {
    return [code](ext::any_call& call, ext::proceed& proceed) {
        plain_inside inside(proceed);
        code.run(call, &inside);
    };
}
inline auto awaited_hook_for_any(const hook_code& code) {
    return [code](ext::any_call& call) { return hook_code::run_awaited(code.scripts, code.stated, call); };
}
inline auto awaited_around_hook_for_any(const hook_code& code) {
    return [code](ext::any_call& call, auto& proceed) -> lazy<void> {
        return hook_code::run_awaited(code.scripts, code.stated, call, proceed);
    };
}
// On the function itself the arguments have names, if it has any.
inline auto plain_hook(const hook_code& code) {
    return [code](auto& call) { code.run(call); };
}
inline auto plain_around_hook(const hook_code& code) {
    return [code](auto& call, auto& proceed) {
        plain_inside inside(proceed);
        code.run(call, &inside);
    };
}
inline auto awaited_hook(const hook_code& code) {
    return [code](auto& call) { return hook_code::run_awaited(code.scripts, code.stated, call); };
}
inline auto awaited_around_hook(const hook_code& code) {
    return [code](auto& call, auto& proceed) -> lazy<void> {
        return hook_code::run_awaited(code.scripts, code.stated, call, proceed);
    };
}

// ---- Registering ----------------------------------------------------------------------------------------------------------

inline ext::hook_options options_for(const operation& o) {
    ext::hook_options options;
    options.id = ids[o.id];
    options.priority = o.priority;
    for (std::size_t i = 0; i < std::size(ids); ++i) {
        if (o.before >> i & 1) options.before.emplace_back(ids[i]);
        if (o.after >> i & 1) options.after.emplace_back(ids[i]);
    }
    options.replace = o.replaces;
    options.isolate = o.isolate;
    options.reentrant = o.reentrant;
    return options;
}

/// Where a hook is registered, for the three phases.
template <class Start, class Around, class End>
struct place_to_add {
    Start on_start;
    Around around;
    End on_end;
};
template <class Start, class Around, class End>
place_to_add(Start, Around, End) -> place_to_add<Start, Around, End>;

/// Registers a hook for calls of any function.
template <class Place>
ext::hook add_for_any(const Place& place, const hook_code& code, bool awaited) {
    const phase when = code.stated->when;
    if (awaited) {
        if (when == phase::around) return place.around(awaited_around_hook_for_any(code));
        return when == phase::start ? place.on_start(awaited_hook_for_any(code)) : place.on_end(awaited_hook_for_any(code));
    }
    if (when == phase::around) return place.around(plain_around_hook_for_any(code));
    return when == phase::start ? place.on_start(plain_hook_for_any(code)) : place.on_end(plain_hook_for_any(code));
}

/// Registers a hook on a function of this shape, as an ext::any_call where `any` is true.
template <shape Of, class Place>
ext::hook add_for(const Place& place, const hook_code& code, bool awaited, bool any) {
    const phase when = code.stated->when;
    if constexpr (is_awaited(Of)) {
        if (when == phase::around)
            return any ? place.around(awaited_around_hook_for_any(code)) : place.around(awaited_around_hook(code));
        if (awaited && any)
            return when == phase::start ? place.on_start(awaited_hook_for_any(code)) : place.on_end(awaited_hook_for_any(code));
        if (awaited)
            return when == phase::start ? place.on_start(awaited_hook(code)) : place.on_end(awaited_hook(code));
    } else if (when == phase::around) {
        return any ? place.around(plain_around_hook_for_any(code)) : place.around(plain_around_hook(code));
    }
    if (any) return when == phase::start ? place.on_start(plain_hook_for_any(code)) : place.on_end(plain_hook_for_any(code));
    return when == phase::start ? place.on_start(plain_hook(code)) : place.on_end(plain_hook(code));
}

struct any_wrapper {
    virtual ~any_wrapper() = default;
    virtual ext::hook add(const hook_code& code, bool awaited, ext::plugin* owner, const ext::hook_options& options) = 0;
    virtual int call(std::optional<int> value, bool with_kwarg) = 0;
    virtual lazy<int> call_later(int value) = 0;
    virtual eager<int> call_now(int value) = 0;
};

template <shape Of>
class wrapped final : public any_wrapper {
public:
    wrapped(ext::registry& home, script_runner& scripts, const operation& o)
        : function_(home, function_names[o.name], shape_of<Of>::parameters(), function_of(function<Of>{&scripts, &o})) {}

    ext::hook add(const hook_code& code, bool awaited, ext::plugin* owner, const ext::hook_options& options) override {
        const place_to_add place{
            [&](auto hook) { return owner ? owner->on_start(function_, hook, options) : function_.on_start(hook, options); },
            [&](auto hook) { return owner ? owner->around(function_, hook, options) : function_.around(hook, options); },
            [&](auto hook) { return owner ? owner->on_end(function_, hook, options) : function_.on_end(hook, options); }};
        return add_for<Of>(place, code, awaited, code.stated->takes_any);
    }
    int call(std::optional<int> value, bool with_kwarg) override {
        if constexpr (Of == shape::number) {
            return function_(*value);
        } else if constexpr (Of == shape::change) {
            int argument = *value;
            function_(argument);
            return 1000 * argument;
        } else if constexpr (Of == shape::text) {
            if (!value) return number_in(with_kwarg ? function_(k_name = 9) : function_());
            const std::string text = std::to_string(*value);
            return number_in(with_kwarg ? function_(k_name = 9, text_name = text) : function_(text, ext::kwargs()));
        } else {
            return std::abort(), 0;
        }
    }
    lazy<int> call_later(int value) override {
        if constexpr (Of == shape::later) return function_(value);
        else std::abort();
    }
    eager<int> call_now(int value) override {
        if constexpr (Of == shape::now) return function_(value);
        else std::abort();
    }

private:
    using held = decltype(function_of(std::declval<function<Of>>()));
    ext::extensible<typename shape_of<Of>::signature, held, decltype(shape_of<Of>::parameters())> function_;
};

// ---- What is written to stderr ----------------------------------------------------------------------------------------------

/// While it lives, stderr is in memory.
class captured_stderr {
public:
    captured_stderr() : before_(std::exchange(stderr, open_memstream(&text_, &size_))) {}
    captured_stderr(const captured_stderr&) = delete;
    captured_stderr& operator=(const captured_stderr&) = delete;
    ~captured_stderr() {
        std::fclose(std::exchange(stderr, before_));
        std::free(text_);
    }

    /// The lines since the last time, as text_of_error() writes them.
    std::string take() {
        std::fflush(stderr);
        std::string lines;
        for (std::string_view left(text_, size_); !left.empty();) {
            std::string_view line = left.substr(0, left.find('\n'));
            left.remove_prefix(line.size() + 1);
            line.remove_prefix(std::string_view("extensible: ").size());
            const std::size_t thrown = line.rfind(line.find(" displaced: ") != line.npos ? "displaced: " : "threw: ");
            const std::size_t at = line.find(": ", thrown) + 2;
            ((lines += line.substr(0, at)) += shown_on_stderr(line.substr(at))) += "\n";
        }
        if (!lines.empty()) std::fseek(stderr, 0, SEEK_SET);
        return lines;
    }

private:
    char* text_ = nullptr;
    std::size_t size_ = 0;
    std::FILE* before_;
};

// ---- The library as a machine ---------------------------------------------------------------------------------------------

class library final : public machine {
public:
    explicit library(script_runner& scripts) : scripts_(scripts) {}

    void renew_registry() override {
        home_.reset();  // its destructor is what this is about
        home_ = std::make_unique<ext::registry>();
    }
    void seal() override { home_->seal(); }

    void wrap(const operation& o) override {
        std::unique_ptr<any_wrapper>& place = wrappers_[index(o.slot)];
        switch (o.of) {
        case shape::number: return void(place = std::make_unique<wrapped<shape::number>>(*home_, scripts_, o));
        case shape::text: return void(place = std::make_unique<wrapped<shape::text>>(*home_, scripts_, o));
        case shape::change: return void(place = std::make_unique<wrapped<shape::change>>(*home_, scripts_, o));
        case shape::later: return void(place = std::make_unique<wrapped<shape::later>>(*home_, scripts_, o));
        case shape::now: return void(place = std::make_unique<wrapped<shape::now>>(*home_, scripts_, o));
        }
    }
    void unwrap(int wrapper) override { wrappers_[index(wrapper)].reset(); }

private:
    // A place by name or under a pattern.
    template <class Signature>
    auto by_name(std::string_view name, ext::plugin* owner, const ext::hook_options& options) {
        ext::registry& home = *home_;
        return place_to_add{
            [=, &home, &options](auto hook) {
                return owner ? owner->on_start<Signature>(name, hook, options) : home.on_start<Signature>(name, hook, options);
            },
            [=, &home, &options](auto hook) {
                return owner ? owner->around<Signature>(name, hook, options) : home.around<Signature>(name, hook, options);
            },
            [=, &home, &options](auto hook) {
                return owner ? owner->on_end<Signature>(name, hook, options) : home.on_end<Signature>(name, hook, options);
            }};
    }

public:
    void add(const operation& o, bool awaited) override {
        ext::plugin* const owner = o.plugin >= 0 ? &*plugins_[index(o.plugin)] : nullptr;
        const hook_code code{&scripts_, &o, capture(alive_, o.label)};
        const ext::hook_options options = options_for(o);
        ext::hook added;
        if (o.where == place::on_object) added = wrappers_[index(o.slot)]->add(code, awaited, owner, options);
        else if (o.where == place::by_name) added = add_by_name(o, code, awaited, owner, options);
        else added = add_for_any(by_name<void>(patterns[o.name], owner, options), code, awaited);
        handles_[index(o.other)] = added;
    }
    void add_handler(const operation& o) override {
        handles_[index(o.slot)] = home_->on_hook_error(
            [this, stated = &o, captured = capture(alive_, o.label)](const ext::hook_error& error) {
                const phase when = static_cast<phase>(error.phase);
                const std::string thrown = text_of(error.exception);
                const std::string text = text_of_error(error.function, when, error.hook, error.owner, thrown, error.displaced);
                scripts_.run_handler(*stated, text);
            });
    }
    void remove(int handle) override { handles_[index(handle)].remove(); }
    void remove_and_wait(int handle) override { handles_[index(handle)].remove_and_wait(); }
    void set_enabled(int handle, bool enabled) override {
        if (enabled) handles_[index(handle)].enable();
        else handles_[index(handle)].disable();
    }
    void copy_handle(int from, int to) override { handles_[index(to)] = handles_[index(from)]; }
    void drop_handle(int handle) override { handles_[index(handle)] = ext::hook(); }
    void own_handle(int handle, int scope) override { scopes_[index(scope)] = ext::scoped_hook(handles_[index(handle)]); }
    void end_scope(int scope) override { scopes_[index(scope)] = ext::scoped_hook(); }
    void release(int scope, int handle) override { handles_[index(handle)] = scopes_[index(scope)].release(); }

    bool has_plugin(int plugin) override { return plugins_[index(plugin)].has_value(); }
    void make_plugin(int plugin, bool isolate, bool reentrant) override {
        plugins_[index(plugin)].emplace(*home_, "p" + std::to_string(plugin), ext::plugin_options{isolate, reentrant});
    }
    void destroy_plugin(int plugin) override { plugins_[index(plugin)].reset(); }
    void set_plugin_enabled(int plugin, bool enabled) override {
        if (enabled) plugins_[index(plugin)]->enable();
        else plugins_[index(plugin)]->disable();
    }
    void unload(int plugin) override { plugins_[index(plugin)]->unload(); }
    bool unload_for_no_time(int plugin) override { return plugins_[index(plugin)]->unload_for(no_time()); }
    void move_plugin(int from, int to) override { *plugins_[index(to)] = std::move(*plugins_[index(from)]); }
    bool would_wait_for_hook(int) override { return false; }
    bool would_wait_for_plugin(int) override { return false; }

    int call(int wrapper, std::optional<int> value, bool with_kwarg) override {
        return wrappers_[index(wrapper)]->call(value, with_kwarg);
    }
    lazy<int> call_later(int wrapper, int value) override { return wrappers_[index(wrapper)]->call_later(value); }
    eager<int> call_now(int wrapper, int value) override { return wrappers_[index(wrapper)]->call_now(value); }

    std::string functions() override {
        std::string text;
        for (const ext::function_info& f : home_->functions()) {
            write_function(text, f.name, f.signature, f.wrapped);
            for (const ext::hook_info& h : f.hooks)
                write_hook(text, static_cast<phase>(h.phase), h.id, h.owner, h.pattern, h.priority, h.enabled, h.suits);
        }
        return text;
    }
    std::string active() override {
        std::string text = " active ";
        for (const ext::hook& handle : handles_) text += handle.active() ? '1' : '0';
        return text;
    }
    std::string alive() override {
        std::string text = " alive";
        for (std::size_t label = 0; label < alive_.size(); ++label)
            for (int i = 0; i < alive_[label]; ++i) (text += " ") += std::to_string(label);
        return text;
    }
    std::string take_stderr() override { return stderr_.take(); }
    std::string text_of(const std::exception_ptr& exception) override {
        try {
            std::rethrow_exception(exception);
        } catch (const scripted& thrown) {
            return thrown.text;
        } catch (const ext::signature_mismatch&) {
            return "signature_mismatch";
        } catch (const ext::duplicate_hook&) {
            return "duplicate_hook";
        } catch (const ext::order_cycle&) {
            return "order_cycle";
        } catch (const ext::sealed&) {
            return "sealed";
        } catch (const ext::no_result&) {
            return "no_result";
        } catch (const ext::abandoned&) {
            return "abandoned";
        } catch (const ext::bad_kwarg&) {
            return "bad_kwarg";
        } catch (const ext::error&) {
            return "error";
        }
    }

private:
    struct no_time {
        struct period {
            static constexpr int num = 1, den = 1;
        };
        int count() const { return 0; }
    };

    template <shape Of>
    ext::hook add_by_name(const operation& o, const hook_code& code, bool awaited, ext::plugin* owner,
                          const ext::hook_options& options) {
        using signature = typename shape_of<Of>::signature;
        return add_for<Of>(by_name<signature>(function_names[o.name], owner, options), code, awaited, o.takes_any);
    }
    ext::hook add_by_name(const operation& o, const hook_code& code, bool awaited, ext::plugin* owner,
                          const ext::hook_options& options) {
        switch (o.of) {
        case shape::number: return add_by_name<shape::number>(o, code, awaited, owner, options);
        case shape::text: return add_by_name<shape::text>(o, code, awaited, owner, options);
        case shape::change: return add_by_name<shape::change>(o, code, awaited, owner, options);
        case shape::later: return add_by_name<shape::later>(o, code, awaited, owner, options);
        case shape::now: return add_by_name<shape::now>(o, code, awaited, owner, options);
        }
        std::abort();
    }

    static std::size_t index(int slot) { return static_cast<std::size_t>(slot); }

    captured_stderr stderr_;
    script_runner& scripts_;
    std::vector<int> alive_;  // by label; destroyed last
    std::unique_ptr<ext::registry> home_ = std::make_unique<ext::registry>();
    std::array<std::unique_ptr<any_wrapper>, model::wrappers> wrappers_;
    std::array<ext::hook, model::handles> handles_;
    std::array<ext::scoped_hook, model::scopes> scopes_;
    std::array<std::optional<ext::plugin>, model::plugins> plugins_;
};

}  // namespace model
