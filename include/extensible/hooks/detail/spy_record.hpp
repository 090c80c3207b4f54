#pragma once

// ext::hooks::spied_call: what a spy records of one call.

#include <extensible/call.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/error.hpp>
#include <extensible/hooks/detail/c_string.hpp>
#include <extensible/hooks/detail/core.hpp>
#include <extensible/hooks/detail/value_text.hpp>
#include <extensible/kwargs.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace hooks {

/// The recorded result of a `void` function.
struct nothing {};

namespace detail {

template <class T, bool IsCString>
constexpr auto recorded_type() {
    using value = detail::kept_type<T>;
    if constexpr (std::is_void_v<T>) return std::type_identity<nothing>();
    else if constexpr (is_character_pointer<std::remove_cvref_t<T>>) {
        using pointer = std::remove_cvref_t<T>;
        using text = std::basic_string<std::remove_cv_t<std::remove_pointer_t<pointer>>>;
        return std::type_identity<std::conditional_t<IsCString, text, pointer>>();
    } else if constexpr (!requires { sizeof(value); }) return std::type_identity<not_copied<value>>();
    else if constexpr (!detail::is_copyable<value>) return std::type_identity<not_copied<value>>();
    else return std::type_identity<value>();
}

/// The type in which a T is recorded: a copy of the value, even if T is a reference. A
/// std::string_view or a C string is recorded as a string, which is empty for a null pointer. Other
/// views and pointers are recorded as they are, without the objects that they refer to.
template <class T, bool IsCString = true>
using recorded = typename decltype(recorded_type<T, IsCString>())::type;

template <class Arguments>
struct recorded_arguments;
template <class... A>
struct recorded_arguments<std::tuple<arg<A>...>> {
    template <std::size_t... Index>
    static std::tuple<recorded<A, is_c_string<Index, A...>()>...> find(std::index_sequence<Index...>);
    using type = decltype(find(std::index_sequence_for<A...>()));
};

}  // namespace detail

/// What a spy records of one call of a function of this signature.
template <class Signature>
struct spied_call;

/// What a spy records of one call of a function of the signature R(A...). It is a value without
/// synchronization, and can be printed with `<<`.
template <class R, class... A>
struct spied_call<R(A...)> {
    /// A std::tuple with copies of the arguments, except a trailing ext::kwargs.
    typename detail::recorded_arguments<typename detail::shape<R(A...)>::args>::type args;

    /// What the function returned, or what `co_await` yielded. If there is neither a result nor an
    /// exception, the call is still running, or was destroyed while it was suspended.
    std::optional<detail::recorded<detail::outcome_of<R>>> result{};

    /// What was thrown, or null.
    std::exception_ptr exception{};
};

// -------------------------------------------------------------------------------------------------

namespace detail {

// Returns the record of a value. A null C string is recorded as an empty text.
template <class Recorded, class T>
Recorded record_of(const T& value) {
    if constexpr (std::same_as<Recorded, not_copied<T>>) return {};
    else if constexpr (std::is_array_v<T> && std::same_as<Recorded, std::string>)
        return Recorded(std::begin(value), std::find(std::begin(value), std::end(value), '\0'));
    else if constexpr ((std::is_pointer_v<T> || std::is_null_pointer_v<T>) && !std::is_scalar_v<Recorded>)
        return value ? Recorded(value) : Recorded();
    else return Recorded(value);
}

/// What a spy and its hook share. Any thread may use it. Values are copied, compared and destroyed
/// without the lock, because these are functions of the application.
template <class Signature>
class spy_record {
public:
    using seen_call = spied_call<Signature>;
    using arguments = decltype(seen_call::args);
    struct outcome {
        decltype(seen_call::result) result;
        std::exception_ptr exception;
    };
    using answer = std::function<void(ext::call<Signature>&)>;  // empty: calls the function

    using shared_answer = std::shared_ptr<const answer>;

    // One call. What the pointers own is never changed.
    struct entry {
        std::shared_ptr<const arguments> args;
        std::shared_ptr<const outcome> ended;  // null while the call runs
    };
    struct running_call {
        std::shared_ptr<entry> seen;
        shared_answer answer;  // null: calls the function
    };

    spy_record(std::string_view function, bool on_this_thread)
        : function_(function), thread_(on_this_thread ? std::this_thread::get_id() : std::thread::id()) {}

    std::string_view function() const { return function_; }
    bool spies_here() const { return thread_ == std::thread::id() || thread_ == std::this_thread::get_id(); }

    void add(answer added, bool then) {
        const auto made = added ? detail::make_shared<const answer>(std::move(added)) : nullptr;
        std::vector<shared_answer> answers{made};
        const std::lock_guard lock(mutex_);
        if (then) answers_.push_back(made);
        else answers.swap(answers_), given_ = 0;
    }

    running_call begin(ext::call<Signature>& call) {
        auto seen = detail::make_shared<entry>();
        seen->args = detail::make_shared<const arguments>(arguments_of(call));
        const std::lock_guard lock(mutex_);
        calls_.push_back(seen);
        if (answers_.empty()) return {std::move(seen), nullptr};
        const std::size_t next = (std::min)(given_, answers_.size() - 1);
        given_ = next + 1;
        return {std::move(seen), answers_[next]};
    }

    void end(const running_call& running, ext::call<Signature>& call) {
        outcome came{{}, call.exception};
        if (call.result && !call.exception) {
            if constexpr (std::is_void_v<decltype(*call.result)>) came.result.emplace();
            else came.result.emplace(detail::record_of<typename decltype(came.result)::value_type>(*call.result));
        }
        auto made = detail::make_shared<const outcome>(std::move(came));
        const std::lock_guard lock(mutex_);
        running.seen->ended = std::move(made);
    }

    std::vector<seen_call> calls() const {
        std::vector<entry> all;
        {
            const std::lock_guard lock(mutex_);
            for (const std::shared_ptr<entry>& call : calls_) all.push_back(*call);
        }
        std::vector<seen_call> copies;
        for (const entry& call : all) {
            if (call.ended) copies.push_back({*call.args, call.ended->result, call.ended->exception});
            else copies.push_back({*call.args});
        }
        return copies;
    }
    std::size_t count() const {
        const std::lock_guard lock(mutex_);
        return calls_.size();
    }

    void clear() {
        std::vector<std::shared_ptr<entry>> removed;
        const std::lock_guard lock(mutex_);
        removed.swap(calls_);
    }

private:
    static arguments arguments_of(ext::call<Signature>& call) {
        return [&]<std::size_t... Index>(std::index_sequence<Index...>) {
            return arguments(detail::record_of<std::tuple_element_t<Index, arguments>>(*std::get<Index>(call.args))...);
        }(std::make_index_sequence<std::tuple_size_v<arguments>>());
    }

    const std::string function_;
    const std::thread::id thread_;  // whose calls are recorded; a default-constructed id means all threads
    mutable std::mutex mutex_;
    std::vector<shared_answer> answers_;         // guarded by the mutex, like all that follows
    std::size_t given_ = 0;                      // index of the next answer, or their number if the last was given
    std::vector<std::shared_ptr<entry>> calls_;  // shared with running calls, which clear() does not affect
};

}  // namespace detail

/// Writes the call as text, such as `("ann", 250) returned true`. Texts of char are escaped as in JSON. A value
/// without a `<<` of its own is written as its type.
template <class Signature>
std::ostream& operator<<(std::ostream& out, const spied_call<Signature>& call) {
    std::string text = "(";
    std::apply([&](const auto&... value) {
        [[maybe_unused]] const char* separator = "";
        ((text += std::exchange(separator, ", "), detail::append_value(text, value)), ...);
    }, call.args);
    text += ')';
    using result = typename decltype(call.result)::value_type;
    if (call.exception) text += " threw " + detail::text_of(call.exception);
    else if (!call.result) text += " has not ended";
    else text += " returned";
    if constexpr (!std::same_as<result, nothing>)
        if (!call.exception && call.result) detail::append_value(text += ' ', *call.result);
    return out << text;
}

}}}  // namespace ext::hooks
