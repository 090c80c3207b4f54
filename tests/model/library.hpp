#pragma once

// Performs the operations of machine.hpp on the real library.

#include "machine.hpp"
#include "program.hpp"

#include <extensible/extensible.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
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

// These are not in templates, because Clang 14 would not define the operator there.
inline constexpr auto text_name = "text"_kw;
inline constexpr auto k_name = "k"_kw;

inline int number_in(std::string_view text) {
    int number = -1;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
}

/// The result of a shape::now.
struct reply {
    int number;
    friend bool failed(const reply& of) { return says_failed(of.number); }
};

// Conversions between results and numbers.
inline int number_of(int result) { return result; }
inline int number_of(const std::string& result) { return number_in(result); }
inline int number_of(const std::optional<int>& result) { return result.value_or(no_number); }
inline int number_of(const reply& result) { return result.number; }

template <class Result>
Result result_of(int number) {
    if constexpr (std::is_same_v<Result, std::string>) return std::to_string(number);
    else if constexpr (std::is_same_v<Result, std::optional<int>>)
        return number == no_number ? std::nullopt : std::optional(number);
    else return Result{number};
}

// ---- Shapes ---------------------------------------------------------------------------------------------------------

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
struct shape_of<shape::maybe> : shape_of<shape::number> {
    using signature = std::optional<int>(int);
};
template <>
struct shape_of<shape::later> : shape_of<shape::number> {
    using signature = lazy<int>(int);
};
template <>
struct shape_of<shape::now> : shape_of<shape::number> {
    using signature = eager<reply>(int);
};
template <>
struct shape_of<shape::silent> : shape_of<shape::number> {
    using signature = lazy<void>(int);
};

// ---- Views of a call ------------------------------------------------------------------------------------------------

inline std::string text_of(const ext::kwargs& kwargs) {
    std::string text;
    for (const auto& [name, value] : kwargs) {
        const int* const number = value.get_if<int>();
        ((text += " ") += name) += "=" + (number ? std::to_string(*number) : "text");
    }
    return text;
}

// The common part of the views of typed and untyped calls.
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

// A view of an ext::call or an ext::named_call.
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
        else return number_of(*call.result);
    }
    void set_result(int value) override {
        if constexpr (is_void) call.result.emplace();
        else call.result = result_of<typename result_type::value_type>(value);
    }
    void take_result() override { call.result.reset(); }
    void set_no_number() override {
        if constexpr (is_void) call.result.reset();
        else call.result = std::nullopt;
    }
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
        if (const int* number = call.result<int>()) return *number;
        if (const std::string* text = call.result<std::string>()) return number_of(*text);
        if (const std::optional<int>* number = call.result<std::optional<int>>()) return number_of(*number);
        if (const reply* number = call.result<reply>()) return number_of(*number);
        return call.has_result() ? std::optional(0) : std::nullopt;
    }
    void set_result(int value) override {
        if (call.returns<void>()) call.set_result();
        else if (call.returns<std::string>()) call.set_result(result_of<std::string>(value));
        else if (call.returns<std::optional<int>>()) call.set_result(result_of<std::optional<int>>(value));
        else if (call.returns<reply>()) call.set_result(reply{value});
        else call.set_result(value);
    }
    void take_result() override {}
    void set_no_number() override { call.set_result(std::optional<int>()); }
    void set_other_result() override { call.set_result(1.5); }
    std::exception_ptr* exception() override { return &call.exception(); }
    bool original_ran() override { return call.original_ran(); }
    std::string types() override {
        std::string text = " " + std::string(call.signature()) + " takes " + std::string(call.arg_type(0)) + " returns";
        if (call.returns<int>()) text += " int";
        if (call.returns<std::string>()) text += " std::string";
        if (call.returns<std::optional<int>>()) text += " std::optional<int>";
        if (call.returns<reply>()) text += " model::reply";
        if (call.returns<void>()) text += " void";
        if (!call.arg_name(0).empty()) (text += " ") += call.arg_name(0);
        return text += call.failed() ? " failed" : "";
    }
};

// The function's own parameters.
template <class Parameter>
struct function_view final : seen_arguments {
    std::string_view name;
    Parameter& passed;  // an int or a std::string
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
};

// ---- Functions and hooks --------------------------------------------------------------------------------------------

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
    // A separate coroutine, because it outlives the function object.
    template <class Task>
    static Task run_awaited(function self, int argument) {
        function_view<int> view(self.name(), argument);
        const int number = co_await self.scripts->run_function(*self.stated, view);
        if constexpr (std::is_same_v<Task, eager<reply>>) co_return reply{number};
        else co_return number;
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
struct maybe_function : function<shape::maybe> {
    std::optional<int> operator()(int argument) const { return run(argument); }
};
struct later_function : function<shape::later> {
    lazy<int> operator()(int argument) const { return run_awaited<lazy<int>>(*this, argument); }
};
struct now_function : function<shape::now> {
    eager<reply> operator()(int argument) const { return run_awaited<eager<reply>>(*this, argument); }
};
struct silent_function : function<shape::silent> {
    lazy<void> operator()(int argument) const { return run_silently(run_awaited<lazy<int>>(*this, argument)); }
    static lazy<void> run_silently(lazy<int> number) { co_await std::move(number); }
};
inline number_function function_of(function<shape::number> f) { return {f}; }
inline text_function function_of(function<shape::text> f) { return {f}; }
inline change_function function_of(function<shape::change> f) { return {f}; }
inline maybe_function function_of(function<shape::maybe> f) { return {f}; }
inline later_function function_of(function<shape::later> f) { return {f}; }
inline now_function function_of(function<shape::now> f) { return {f}; }
inline silent_function function_of(function<shape::silent> f) { return {f}; }

/// Hooks and finishers capture this. It counts its copies, by the label of the hook.
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
inline constexpr bool is_awaited_call = false;  // also for calls with names: no awaited function has named parameters
template <class Result, class... A>
inline constexpr bool is_awaited_call<ext::call<Result(A...)>> =
    std::is_same_v<Result, lazy<int>> || std::is_same_v<Result, eager<reply>> || std::is_same_v<Result, lazy<void>>;

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
    void run_end(Call& call) const {
        auto view = view_of(call);
        scripts->run_end(*stated, shape_called(view), view);
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

    // Any shape that is awaited if the function is: no other difference matters.
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
inline auto hook_with_end_for_any(const hook_code& code) {
    return [code](ext::any_call& call) -> std::function<void(ext::any_call&)> {
        code.run(call);
        if (any_view(call).argument() % 2 != 0) return nullptr;
        return [code](ext::any_call& ended) { code.run_end(ended); };
    };
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
// If a hook is registered on a wrapper with named parameters, its call has the names.
inline auto plain_hook(const hook_code& code) {
    return [code](auto& call) { code.run(call); };
}
inline auto hook_with_end(const hook_code& code) {
    return [code](auto& call) {
        code.run(call);
        return [own = std::make_unique<hook_code>(code)](auto& ended) { own->run_end(ended); };
    };
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

// ---- Registering ----------------------------------------------------------------------------------------------------

inline ext::hook_options options_for(const operation& o) {
    ext::hook_options options;
    options.id = ids[o.id];
    options.priority = o.priority;
    for (std::size_t i = 0; i < std::size(ids); ++i) {
        if (o.before >> i & 1) options.before.emplace_back(ids[i]);
        if (o.after >> i & 1) options.after.emplace_back(ids[i]);
    }
    options.replace = o.replaces && !options.id.empty();
    options.isolate = o.isolate;
    options.reentrant = o.reentrant;
    options.fallback = o.fallback;
    options.this_thread = o.this_thread;
    options.times = static_cast<std::size_t>(o.times);
    return options;
}

/// Three functions that register a hook, one for each phase.
template <class Start, class Around, class End>
struct place_to_add {
    Start on_start;
    Around around;
    End on_end;
};
template <class Start, class Around, class End>
place_to_add(Start, Around, End) -> place_to_add<Start, Around, End>;

/// Registers a plain start or end hook that takes an ext::any_call.
template <class Place>
ext::hook add_plain_for_any(const Place& place, const hook_code& code) {
    if (code.stated->when == phase::end) return place.on_end(plain_hook_for_any(code));
    return code.stated->returns_end ? place.on_start(hook_with_end_for_any(code))
                                    : place.on_start(plain_hook_for_any(code));
}
/// Registers an awaited hook that takes an ext::any_call.
template <class Place>
ext::hook add_awaited_for_any(const Place& place, const hook_code& code) {
    if (code.stated->when == phase::around) return place.around(awaited_around_hook_for_any(code));
    if (code.stated->when == phase::end) return place.on_end(awaited_hook_for_any(code));
    return place.on_start(awaited_hook_for_any(code));
}
/// Registers any hook that takes an ext::any_call.
template <class Place>
ext::hook add_for_any(const Place& place, const hook_code& code, bool awaited) {
    if (awaited) return add_awaited_for_any(place, code);
    return code.stated->when == phase::around ? place.around(plain_around_hook_for_any(code))
                                              : add_plain_for_any(place, code);
}

/// Registers a hook on a function of this shape.
template <shape Of, class Place>
ext::hook add_for(const Place& place, const hook_code& code, bool awaited) {
    const phase when = code.stated->when;
    if constexpr (is_awaited(Of)) {
        if (awaited) {
            if (code.stated->takes_any) return add_awaited_for_any(place, code);
            if (when == phase::around) return place.around(awaited_around_hook(code));
            return when == phase::start ? place.on_start(awaited_hook(code)) : place.on_end(awaited_hook(code));
        }
    } else {
        if (when == phase::around && code.stated->takes_any) return place.around(plain_around_hook_for_any(code));
        if (when == phase::around) return place.around(plain_around_hook(code));
    }
    if (code.stated->takes_any) return add_plain_for_any(place, code);
    if (when == phase::end) return place.on_end(plain_hook(code));
    return code.stated->returns_end ? place.on_start(hook_with_end(code)) : place.on_start(plain_hook(code));
}

struct any_wrapper {
    virtual ~any_wrapper() = default;
    virtual ext::hook add(const hook_code& code, bool awaited, ext::plugin* owner,
                          const ext::hook_options& options) = 0;
    virtual int call(std::optional<int> value, bool with_kwarg) = 0;
    virtual lazy<int> call_later(int value) = 0;
    virtual eager<int> call_now(int value) = 0;
};

template <shape Of>
class wrapped final : public any_wrapper {
public:
    wrapped(ext::registry& home, script_runner& scripts, const operation& o)
        : function_(home, function_names[o.name], shape_of<Of>::parameters(),
                    function_of(function<Of>{&scripts, &o})) {}

    ext::hook add(const hook_code& code, bool awaited, ext::plugin* owner, const ext::hook_options& options) override {
        const place_to_add place{
            [&](auto hook) {
                return owner ? owner->on_start(function_, hook, options) : function_.on_start(hook, options);
            },
            [&](auto hook) {
                return owner ? owner->around(function_, hook, options) : function_.around(hook, options);
            },
            [&](auto hook) {
                return owner ? owner->on_end(function_, hook, options) : function_.on_end(hook, options);
            }};
        return add_for<Of>(place, code, awaited);
    }
    int call(std::optional<int> value, bool with_kwarg) override {
        if constexpr (Of == shape::number || Of == shape::maybe) {
            return number_of(function_(*value));
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
        else if constexpr (Of == shape::silent) return number_later(function_(value));
        else std::abort();
    }
    eager<int> call_now(int value) override {
        if constexpr (Of == shape::now) return number_now(function_(value));
        else std::abort();
    }

private:
    static lazy<int> number_later(lazy<void> silent) {
        co_await std::move(silent);
        co_return 0;
    }
    static eager<int> number_now(eager<reply> replies) {
        const reply given = co_await std::move(replies);
        co_return given.number;
    }

    using held = decltype(function_of(std::declval<function<Of>>()));
    ext::extensible<typename shape_of<Of>::signature, held, decltype(shape_of<Of>::parameters())> function_;
};

// ---- What is written to stderr --------------------------------------------------------------------------------------

/// Redirects stderr to memory while it lives.
class captured_stderr {
public:
    captured_stderr() : before_(std::exchange(stderr, open_memstream(&text_, &size_))) {}
    captured_stderr(const captured_stderr&) = delete;
    captured_stderr& operator=(const captured_stderr&) = delete;
    ~captured_stderr() {
        std::fclose(std::exchange(stderr, before_));
        std::free(text_);
    }

    /// Returns the lines since the last call, in the format of text_of_error().
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

// ---- The library as a machine ---------------------------------------------------------------------------------------

class library final : public machine {
public:
    explicit library(script_runner& scripts) : scripts_(scripts) {}

    void renew_registry() override {
        home_.reset();  // destroys it first: this tests the destructor
        home_ = std::make_unique<ext::registry>();
    }
    void seal() override { home_->seal(); }

    void wrap(const operation& o) override {
        std::unique_ptr<any_wrapper>& place = wrappers_[index(o.slot)];
        switch (o.of) {
        case shape::number: return void(place = std::make_unique<wrapped<shape::number>>(*home_, scripts_, o));
        case shape::text: return void(place = std::make_unique<wrapped<shape::text>>(*home_, scripts_, o));
        case shape::change: return void(place = std::make_unique<wrapped<shape::change>>(*home_, scripts_, o));
        case shape::maybe: return void(place = std::make_unique<wrapped<shape::maybe>>(*home_, scripts_, o));
        case shape::later: return void(place = std::make_unique<wrapped<shape::later>>(*home_, scripts_, o));
        case shape::now: return void(place = std::make_unique<wrapped<shape::now>>(*home_, scripts_, o));
        case shape::silent: return void(place = std::make_unique<wrapped<shape::silent>>(*home_, scripts_, o));
        }
    }
    void unwrap(int wrapper) override { wrappers_[index(wrapper)].reset(); }

private:
    // Registers hooks by name or pattern.
    template <class Signature>
    auto by_name(std::string_view name, ext::plugin* owner, const ext::hook_options& options) {
        ext::registry& home = *home_;
        return place_to_add{
            [=, &home, &options](auto hook) {
                return owner ? owner->on_start<Signature>(name, hook, options)
                             : home.on_start<Signature>(name, hook, options);
            },
            [=, &home, &options](auto hook) {
                return owner ? owner->around<Signature>(name, hook, options)
                             : home.around<Signature>(name, hook, options);
            },
            [=, &home, &options](auto hook) {
                return owner ? owner->on_end<Signature>(name, hook, options)
                             : home.on_end<Signature>(name, hook, options);
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
                const std::string text =
                    text_of_error(error.function, when, error.hook, error.owner, thrown, error.displaced);
                scripts_.run_handler(*stated, text);
            });
    }
    void add_monitor(const operation& o) override {
        const auto tell = [this, stated = &o, captured = capture(alive_, o.label)](const ext::hook_run& run) {
            const int result = static_cast<int>(run.result), exception = static_cast<int>(run.exception);
            const phase when = static_cast<phase>(run.phase);
            const run_line line{run.function, when, run.id, run.owner, run.skipped, run.threw, result, exception};
            scripts_.run_handler(*stated, text_of_run(line));
        };
        handles_[index(o.slot)] = home_->on_hook_run(tell);
    }
    void remove(int handle) override { handles_[index(handle)].remove(); }
    void remove_and_wait(int handle) override { handles_[index(handle)].remove_and_wait(); }
    void set_enabled(int handle, bool enabled) override {
        if (enabled) handles_[index(handle)].enable();
        else handles_[index(handle)].disable();
    }
    void find_handle(int number, int to) override {
        std::vector<ext::hook> all;
        for (const ext::function_info& f : home_->functions())
            for (const ext::hook_info& h : f.hooks) all.push_back(h.handle);
        handles_[index(to)] = all.empty() ? ext::hook() : all[index(number) % all.size()];
    }
    void copy_handle(int from, int to) override { handles_[index(to)] = handles_[index(from)]; }
    void drop_handle(int handle) override { handles_[index(handle)] = ext::hook(); }
    void own_handle(int handle, int scope) override {
        scopes_[index(scope)] = ext::scoped_hook(handles_[index(handle)]);
    }
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
            for (const ext::hook_info& h : f.hooks) {
                const auto handle = std::find(handles_.begin(), handles_.end(), h.handle) - handles_.begin();
                write_hook(text, {static_cast<phase>(h.phase), h.id, h.owner, h.pattern, h.replaced_by, h.priority,
                                  h.enabled, h.suits, static_cast<std::size_t>(handle)});
            }
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
        return add_for<Of>(by_name<signature>(function_names[o.name], owner, options), code, awaited);
    }
    ext::hook add_by_name(const operation& o, const hook_code& code, bool awaited, ext::plugin* owner,
                          const ext::hook_options& options) {
        switch (o.of) {
        case shape::number: return add_by_name<shape::number>(o, code, awaited, owner, options);
        case shape::text: return add_by_name<shape::text>(o, code, awaited, owner, options);
        case shape::change: return add_by_name<shape::change>(o, code, awaited, owner, options);
        case shape::maybe: return add_by_name<shape::maybe>(o, code, awaited, owner, options);
        case shape::later: return add_by_name<shape::later>(o, code, awaited, owner, options);
        case shape::now: return add_by_name<shape::now>(o, code, awaited, owner, options);
        case shape::silent: return add_by_name<shape::silent>(o, code, awaited, owner, options);
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
