#pragma once

// ext::hooks::spy: records the calls of a function in a test, and can answer them in place of the
// function.
//
//     #include <extensible/hooks/spy.hpp>
//
//     ext::hooks::spy seen{charge, {.this_thread = true}};
//     seen.returns(true).then_throws(std::runtime_error("declined"));
//     buy("tea");
//     INFO(seen);  // printed if a check fails
//     CHECK(seen.count("ann", 250) == 1);

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <extensible/awaiting_proceed.hpp>
#include <extensible/call.hpp>
#include <extensible/error.hpp>
#include <extensible/hook.hpp>
#include <extensible/hooks/detail/core.hpp>
#include <extensible/hooks/detail/spy_record.hpp>
#include <extensible/options.hpp>
#include <extensible/proceed.hpp>
#include <extensible/registry.hpp>
#include <extensible/wrapper.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <limits>
#include <memory>
#include <ostream>
#include <sstream>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace hooks {

namespace detail {

template <class Signature>
struct spy_hook;

// True if a T can be given to a spy of a function with this Result. For a reference, T must be an lvalue to
// which it refers directly. A temporary whose class has a destructor cannot become a class without one: a
// std::string_view of a std::string would dangle.
template <class T, class Result>
concept can_be_returned =
    (std::is_reference_v<Result>
         ? std::is_lvalue_reference_v<T> &&
               std::is_convertible_v<std::remove_reference_t<T>*, std::remove_reference_t<Result>*>
         : std::is_convertible_v<T, Result> &&
               (std::is_lvalue_reference_v<T> || !std::is_class_v<Result> ||
                !std::is_trivially_destructible_v<Result> || std::is_trivially_destructible_v<T>));

}  // namespace detail

/// Records the arguments and the outcome of each call of a function, plain or awaited, and can
/// answer calls in place of the function.
///
/// A spy is an around hook, by default the innermost one: it sees each attempt of a retry, but not
/// the calls that another hook answers. With `.this_thread`, only calls from the thread that
/// created the spy are affected.
///
/// Without answers, the spy calls the function. Each answer is used once, in order, and the last
/// answer is used for all further calls: then the function itself is not called, unless the answer
/// says so.
///
/// The spy removes its hook when it is destroyed. Calls that are running then finish as they began.
/// Any thread may use the spy. It cannot be copied or moved.
template <class Signature>
class spy;

template <class Signature, class Function, class Parameters>
spy(const extensible<Signature, Function, Parameters>&, hook_options = {}) -> spy<Signature>;

template <class R, class... A>
class [[nodiscard("the spy is gone where it is destroyed: give it a name")]] spy<R(A...)> {
    using outcome = detail::outcome_of<R>;
    using value = std::conditional_t<std::is_void_v<outcome>, nothing, outcome>;
    using record = detail::spy_record<R(A...)>;
    using answer = typename record::answer;

public:
    /// The type of a recorded call.
    using call_type = spied_call<R(A...)>;

    /// Registers a spy on `function`. If the options give no priority, it is the innermost hook.
    /// Throws what extensible::around() throws.
    template <class Function, class Parameters>
    [[nodiscard("the spy is gone where it is destroyed: give it a name")]]
    EXTENSIBLE_HIDDEN explicit spy(const extensible<R(A...), Function, Parameters>& function, hook_options options = {})
        : record_(detail::make_shared<record>(function.name(), std::exchange(options.this_thread, false))),
          hook_(function.around(detail::spy_hook<R(A...)>{record_}, innermost(options))) {}

    /// Registers a spy by name, in the registry `home`. Throws what registry::around() throws.
    ///
    ///     ext::hooks::spy<bool(std::string_view, int)> seen{registry, "billing.charge"};
    [[nodiscard("the spy is gone where it is destroyed: give it a name")]]
    EXTENSIBLE_HIDDEN spy(registry& home, std::string_view function, hook_options options = {})
        : record_(detail::make_shared<record>(function, std::exchange(options.this_thread, false))),
          hook_(home.around<R(A...)>(function, detail::spy_hook<R(A...)>{record_}, innermost(options))) {}

    spy(const spy&) = delete;
    spy& operator=(const spy&) = delete;

    /// Replaces all answers by this one: returns a copy of `result`, or a reference to it if the
    /// function returns a reference. What a view or a reference refers to must outlive its use: a
    /// temporary that does not is refused. Returns the spy.
    template <class T = value>
        requires detail::can_be_returned<T, outcome>
    spy& returns(T&& result) {
        return answers(returning<T>(result), false);
    }

    /// Replaces all answers by this one: returns, for a `void` function. Returns the spy.
    spy& returns()
        requires std::is_void_v<outcome>
    {
        return answers([](auto& call) { call.result.emplace(); }, false);
    }

    /// Replaces all answers by this one: throws `exception`. A std::exception_ptr is rethrown.
    /// Returns the spy.
    template <class Exception>
    spy& throws(Exception exception) {
        return answers(throwing(std::move(exception)), false);
    }

    /// Replaces all answers by this one: calls the function. Returns the spy.
    spy& calls_original() { return answers(nullptr, false); }

    /// Adds the answer of returns(result). The answer before it is then used for one call only.
    /// Returns the spy.
    template <class T = value>
        requires detail::can_be_returned<T, outcome>
    spy& then_returns(T&& result) {
        return answers(returning<T>(result), true);
    }

    /// Adds the answer of returns(), as then_returns(result) does.
    spy& then_returns()
        requires std::is_void_v<outcome>
    {
        return answers([](auto& call) { call.result.emplace(); }, true);
    }

    /// Adds the answer of throws(exception), as then_returns(result) does.
    template <class Exception>
    spy& then_throws(Exception exception) {
        return answers(throwing(std::move(exception)), true);
    }

    /// Adds the answer of calls_original(), as then_returns(result) does.
    spy& then_calls_original() { return answers(nullptr, true); }

    /// Returns copies of the calls so far, in the order in which they began.
    std::vector<call_type> calls() const { return record_->calls(); }

    /// Returns the number of calls so far.
    std::size_t count() const { return record_->count(); }

    /// Returns the number of calls with these arguments, which are compared with `==`. Expects a
    /// value for each argument.
    template <class... Expected>
    std::size_t count(const Expected&... expected) const;

    /// Returns a copy of the call with this index, counted from 0. If there were fewer calls,
    /// throws ext::error with the text of the spy.
    call_type at(std::size_t index) const;

    /// Forgets the calls so far. The answers remain.
    void clear() { record_->clear(); }

    /// Returns the calls so far as text:
    ///
    ///     billing.charge was called once:
    ///       1. ("ann", 250) returned true
    std::string text() const;

    /// Writes text() to the stream.
    friend std::ostream& operator<<(std::ostream& out, const spy& spy) { return out << spy.text(); }

private:
    static const hook_options& innermost(hook_options& options) {
        if (!options.priority) options.priority = (std::numeric_limits<int>::max)();
        return options;
    }

    template <class T>
    static answer returning(std::remove_reference_t<T>& given) {
        if constexpr (std::is_reference_v<value>) {
            return [&given](auto& call) { call.result.emplace(static_cast<value>(given)); };
        } else {
            static_assert(detail::is_copyable<value>,
                          "ext::hooks::spy: the function's result cannot be copied, and so not be given to several "
                          "calls; use ext::instead");
            return [result = value(std::forward<T>(given))](auto& call) { call.result.emplace(result); };
        }
    }

    template <class Exception>
    static answer throwing(Exception exception) {
        static_assert(EXTENSIBLE_EXCEPTIONS || detail::always_false<Exception>,
                      "ext::hooks::spy: this is compiled without exceptions, so no answer can throw");
        std::exception_ptr thrown;
        if constexpr (std::is_same_v<Exception, std::exception_ptr>) thrown = std::move(exception);
        else thrown = std::make_exception_ptr(std::move(exception));
        return [thrown](auto& call) { call.exception = thrown; };
    }

    spy& answers(answer given, bool then) {
        record_->add(std::move(given), then);
        return *this;
    }

    const std::shared_ptr<record> record_;  // shared with the hook
    scoped_hook hook_;
};

// -------------------------------------------------------------------------------------------------

namespace detail {

template <class>
inline constexpr bool all_copied = false;
template <class... T>
inline constexpr bool all_copied<std::tuple<T...>> = (!is_not_copied<T> && ...);

template <class>
inline constexpr bool all_comparable = false;
template <class... T>
inline constexpr bool all_comparable<std::tuple<T...>> = (std::equality_comparable<T> && ...);

// The arguments that count() looks for. They are recorded as those of calls are.
template <class Arguments, class... Expected>
struct expected_arguments;
template <class... T, class... Expected>
struct expected_arguments<std::tuple<T...>, Expected...> {
    static constexpr bool fit = false;
};
template <class... T, class... Expected>
    requires(sizeof...(T) == sizeof...(Expected))
struct expected_arguments<std::tuple<T...>, Expected...> {
    // A string takes a view, although that conversion is explicit.
    template <class Argument, class Value>
    static constexpr bool fits = std::is_convertible_v<const Value&, Argument> ||
        (requires { typename Argument::traits_type; } && std::is_constructible_v<Argument, const Value&>);
    static constexpr bool fit = (fits<T, Expected> && ...);
    static std::tuple<T...> make(const Expected&... expected) { return {detail::record_of<T>(expected)...}; }
};

}  // namespace detail

template <class R, class... A>
template <class... Expected>
std::size_t spy<R(A...)>::count(const Expected&... expected) const {
    using arguments = decltype(call_type::args);
    constexpr bool copied = detail::all_copied<arguments>;
    static_assert(copied, "ext::hooks::spy::count: an argument cannot be copied, so the spy does not record it; look "
                          "at the other arguments in what calls() returns");
    using wanted = detail::expected_arguments<arguments, std::decay_t<const Expected&>...>;
    constexpr bool fits = wanted::fit;
    static_assert(fits || !copied,
                  "ext::hooks::spy::count: give a value for each of the function's arguments, of its type");
    constexpr bool comparable = detail::all_comparable<arguments>;
    static_assert(comparable || !copied,
                  "ext::hooks::spy::count: the type of an argument has no ==; look at what calls() returns");
    std::size_t found = 0;
    if constexpr (copied && fits && comparable) {
        const arguments looked_for = wanted::make(expected...);
        for (const call_type& call : calls()) found += call.args == looked_for;
    }
    return found;
}

template <class R, class... A>
auto spy<R(A...)>::at(std::size_t index) const -> call_type {
    const std::vector<call_type> all = calls();
    if (index < all.size()) return all[index];
    detail::raise<error>(text() + "\next::hooks::spy::at: there is no call with the number " + detail::json(index));
}

template <class R, class... A>
std::string spy<R(A...)>::text() const {
    const std::vector<call_type> all = calls();
    std::ostringstream out;
    out << record_->function() << " was ";
    if (all.empty()) out << "not called";
    else if (all.size() == 1) out << "called once:";
    else out << "called " << all.size() << " times:";
    for (std::size_t i = 0; i < all.size(); ++i) out << "\n  " << i + 1 << ". " << all[i];
    return out.str();
}

// If a call is destroyed while it is suspended, its record has no outcome.
template <class Signature>
struct detail::spy_hook {
    std::shared_ptr<spy_record<Signature>> record;

    void operator()(ext::call<Signature>& call, ext::proceed& proceed) const {
        if (!record->spies_here()) return proceed();
        const auto running = record->begin(call);
        if (running.answer) (*running.answer)(call);
        else proceed();
        record->end(running, call);
    }

    template <class SubTask>
    SubTask operator()(ext::call<Signature>& call, awaiting_proceed<SubTask>& proceed) const {
        if (!record->spies_here()) {
            co_await proceed();
            co_return;
        }
        const auto running = record->begin(call);
        if (running.answer) (*running.answer)(call);
        else co_await proceed();
        record->end(running, call);
    }
};

}}}  // namespace ext::hooks
