#pragma once

// How does a test see the calls of a function, and answer them? By a spy, which is in the function's place until its scope
// ends.
//
//     #include <extensible/hooks/spy.hpp>
//
//     ext::hooks::spy seen{charge, {.this_thread = true}};
//     seen.returns(true).then_throws(std::runtime_error("declined"));
//     buy("tea");
//     INFO(seen);  // is shown where a check fails: billing.charge was called once:\n  1. ("ann", 250) returned true
//     CHECK(seen.count("ann", 250) == 1);

#include <extensible/awaiting_proceed.hpp>
#include <extensible/call.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/signature/awaitable.hpp>
#include <extensible/error.hpp>
#include <extensible/hook.hpp>
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

namespace ext::inline EXTENSIBLE_ABI::hooks {

namespace detail {

template <class Signature>
struct spy_hook;

}  // namespace detail

/// Sees what a function, plain or awaited, is called with and what comes of it, and answers in its place where it is told to.
/// It is an around hook, the innermost unless the options give a priority: it sees each attempt of a retry, and no call that
/// another hook has answered. With `.this_thread` it leaves calls on other threads alone than the one that made the spy.
///
/// Each answer is for one call, and the last one for all that come after: once there are answers the function itself is not
/// called unless that is asked for. Any thread may use a spy. Calls that are running when it is destroyed finish as they began.
template <class Signature>
class spy;

template <class Signature, class Function, class Parameters>
spy(const extensible<Signature, Function, Parameters>&, hook_options = {}) -> spy<Signature>;

template <class R, class... A>
class [[nodiscard("the spy is gone where it is destroyed: give it a name")]] spy<R(A...)> {
    using outcome = ext::detail::outcome_of<R>;
    using value = std::conditional_t<std::is_void_v<outcome>, nothing, outcome>;
    using record = detail::spy_record<R(A...)>;
    using answer = typename record::answer;

public:
    using call_type = spied_call<R(A...)>;

    /// Spies on `function`. Throws as extensible::around() does.
    template <class Function, class Parameters>
    [[nodiscard("the spy is gone where it is destroyed: give it a name")]]
    EXTENSIBLE_HIDDEN explicit spy(const extensible<R(A...), Function, Parameters>& function, hook_options options = {})
        : record_(std::make_shared<record>(function.name(), std::exchange(options.this_thread, false))),
          hook_(function.around(detail::spy_hook<R(A...)>{record_}, innermost(options))) {}

    /// As above, by name: `ext::hooks::spy<bool(std::string_view, int)> seen{ext::default_registry(), "billing.charge"};`
    [[nodiscard("the spy is gone where it is destroyed: give it a name")]]
    EXTENSIBLE_HIDDEN spy(registry& home, std::string_view function, hook_options options = {})
        : record_(std::make_shared<record>(function, std::exchange(options.this_thread, false))),
          hook_(home.around<R(A...)>(function, detail::spy_hook<R(A...)>{record_}, innermost(options))) {}

    spy(const spy&) = delete;
    spy& operator=(const spy&) = delete;

    /// These forget the answers given before. What a result refers to that is a view or a reference has to outlive its use.
    spy& returns(value result)
        requires(!std::is_void_v<outcome>)
    {
        return answers(returning(std::forward<value>(result)), false);
    }
    spy& returns()
        requires std::is_void_v<outcome>
    {
        return answers([](auto& call) { call.result.emplace(); }, false);
    }
    template <class Exception>
    spy& throws(Exception exception) {
        return answers(throwing(std::move(exception)), false);
    }
    spy& calls_original() { return answers(nullptr, false); }

    /// These add an answer: the one before it is for one more call only.
    spy& then_returns(value result)
        requires(!std::is_void_v<outcome>)
    {
        return answers(returning(std::forward<value>(result)), true);
    }
    spy& then_returns()
        requires std::is_void_v<outcome>
    {
        return answers([](auto& call) { call.result.emplace(); }, true);
    }
    template <class Exception>
    spy& then_throws(Exception exception) {
        return answers(throwing(std::move(exception)), true);
    }
    spy& then_calls_original() { return answers(nullptr, true); }

    /// The calls so far, in the order in which they began.
    std::vector<call_type> calls() const { return record_->calls(); }

    /// How many calls there were; or those with these arguments, which are compared with `==`.
    std::size_t count() const { return record_->calls().size(); }
    template <class... Expected>
    std::size_t count(const Expected&... expected) const;

    /// The call of this number, counted from 0. Throws ext::error, with the text of the spy, where there were fewer.
    call_type at(std::size_t index) const;

    /// Forgets the calls so far, and no answers.
    void clear() { record_->clear(); }

    /// The calls so far, for people: `billing.charge was called once:\n  1. ("ann", 250) returned true`.
    std::string text() const;
    friend std::ostream& operator<<(std::ostream& out, const spy& spy) { return out << spy.text(); }

private:
    static const hook_options& innermost(hook_options& options) {
        if (!options.priority) options.priority = (std::numeric_limits<int>::max)();
        return options;
    }

    static answer returning(value result) {
        if constexpr (std::is_reference_v<value>) {
            return [&result](auto& call) { call.result.emplace(static_cast<value>(result)); };
        } else {
            static_assert(std::copy_constructible<value>,
                          "ext::hooks::spy: the function's result cannot be copied, and so not be given to several calls; use "
                          "ext::instead");
            return [result = std::move(result)](auto& call) { call.result.emplace(result); };
        }
    }

    template <class Exception>
    static answer throwing(Exception exception) {
        static_assert(EXTENSIBLE_EXCEPTIONS || ext::detail::always_false<Exception>,
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

    const std::shared_ptr<record> record_;  // which the hook has too
    scoped_hook hook_;
};

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

template <class Tuple>
inline constexpr bool all_comparable = false;
template <class... T>
inline constexpr bool all_comparable<std::tuple<T...>> = (std::equality_comparable<T> && ...);

}  // namespace detail

template <class R, class... A>
template <class... Expected>
std::size_t spy<R(A...)>::count(const Expected&... expected) const {
    using arguments = decltype(call_type::args);
    constexpr bool fits = std::is_constructible_v<arguments, const Expected&...>;
    static_assert(fits, "ext::hooks::spy::count: a value for each of the function's arguments was expected, and of its type");
    constexpr bool comparable = detail::all_comparable<arguments>;
    static_assert(comparable, "ext::hooks::spy::count: the type of an argument has no ==; look at what calls() gives");
    std::size_t found = 0;
    if constexpr (fits && comparable) {
        const arguments wanted(expected...);
        for (const call_type& call : calls()) found += call.args == wanted;
    }
    return found;
}

template <class R, class... A>
auto spy<R(A...)>::at(std::size_t index) const -> call_type {
    const std::vector<call_type> all = calls();
    if (index < all.size()) return all[index];
    ext::detail::raise<error>(text() + "\next::hooks::spy::at: the number of a call was expected, " + std::to_string(index) +
                              " was given");
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

// Where a call is suspended for good, and destroyed, its record has no outcome.
template <class Signature>
struct detail::spy_hook {
    std::shared_ptr<spy_record<Signature>> record;

    void operator()(ext::call<Signature>& call, ext::proceed& proceed) const {
        if (!record->spies_here()) return proceed();
        const auto running = record->begin(call);
        if (running.answer) running.answer(call);
        else proceed();
        record->end(running, call);
    }

    template <class Stage>
    Stage operator()(ext::call<Signature>& call, awaiting_proceed<Stage>& proceed) const {
        if (!record->spies_here()) {
            co_await proceed();
            co_return;
        }
        const auto running = record->begin(call);
        if (running.answer) running.answer(call);
        else co_await proceed();
        record->end(running, call);
    }
};

}  // namespace ext::inline EXTENSIBLE_ABI::hooks
