#pragma once

// ext::hooks::spied_call: what a spy records of one call.

#include <extensible/call.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/error.hpp>
#include <extensible/hooks/detail/core.hpp>
#include <extensible/kwargs.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
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

/// Stands for an argument or a result of type T that cannot be copied.
template <class T>
struct not_copied {};

/// The recorded result of a `void` function.
struct nothing {};

namespace detail {

template <class T>
constexpr auto recorded_type() {
    using value = detail::kept_type<T>;
    if constexpr (std::is_void_v<T>) return std::type_identity<nothing>();
    else if constexpr (!requires { sizeof(value); }) return std::type_identity<not_copied<value>>();
    else if constexpr (!detail::is_copyable<value>) return std::type_identity<not_copied<value>>();
    else return std::type_identity<value>();
}

/// The type in which a T is recorded: a copy of the value, even if T is a reference. A
/// std::string_view or a `const char*` is recorded as a std::string, which is empty for a null
/// pointer. Other views and pointers are recorded as they are, without the objects that they refer
/// to.
template <class T>
using recorded = typename decltype(recorded_type<T>())::type;

template <class Arguments>
struct recorded_arguments;
template <class... A>
struct recorded_arguments<std::tuple<arg<A>...>> {
    using type = std::tuple<recorded<A>...>;
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

template <class T>
recorded<T> record_of(const T& value) {
    if constexpr (std::same_as<recorded<T>, not_copied<T>>) return {};
    else if constexpr (std::is_pointer_v<T> && std::same_as<recorded<T>, std::string>) return value ? value : "";
    else return recorded<T>(value);
}

template <class T>
void write(std::ostream& out, const T& value) {
    if constexpr (std::same_as<T, bool>) out << (value ? "true" : "false");
    else if constexpr (std::is_convertible_v<const T&, std::string_view>) out << '"' << std::string_view(value) << '"';
    else if constexpr (std::same_as<T, signed char> || std::same_as<T, unsigned char>) out << +value;  // as a number
    else if constexpr (requires { out << value; }) out << value;
    else out << '<' << detail::type_name<T>() << '>';
}
template <class T>
void write(std::ostream& out, const not_copied<T>&) {
    out << '<' << detail::type_name<T>() << ", which cannot be copied>";
}

/// What a spy and its hook share. Any thread may use it.
template <class Signature>
class spy_record {
public:
    using seen_call = spied_call<Signature>;
    using answer = std::function<void(ext::call<Signature>&)>;  // empty: calls the function

    struct running_call {
        std::shared_ptr<seen_call> seen;
        spy_record::answer answer;
    };

    spy_record(std::string_view function, bool on_this_thread)
        : function_(function), thread_(on_this_thread ? std::this_thread::get_id() : std::thread::id()) {}

    std::string_view function() const { return function_; }
    bool spies_here() const { return thread_ == std::thread::id() || thread_ == std::this_thread::get_id(); }

    void add(answer added, bool then) {
        const std::lock_guard lock(mutex_);
        if (!then) answers_.clear(), given_ = 0;
        answers_.push_back(std::move(added));
    }

    running_call begin(ext::call<Signature>& call) {
        const auto arguments = [](const auto&... argument) {
            return decltype(seen_call::args)(detail::record_of(*argument)...);
        };
        auto seen = std::make_shared<seen_call>(seen_call{std::apply(arguments, call.args)});
        const std::lock_guard lock(mutex_);
        calls_.push_back(seen);
        if (answers_.empty()) return {std::move(seen), nullptr};
        const std::size_t next = (std::min)(given_, answers_.size() - 1);
        given_ = next + 1;
        return {std::move(seen), answers_[next]};
    }

    void end(const running_call& running, ext::call<Signature>& call) {
        decltype(seen_call::result) returned;
        if (call.result && !call.exception) {
            if constexpr (std::is_void_v<decltype(*call.result)>) returned.emplace();
            else returned.emplace(detail::record_of(*call.result));
        }
        const std::lock_guard lock(mutex_);
        running.seen->result = std::move(returned);
        running.seen->exception = call.exception;
    }

    std::vector<seen_call> calls() const {
        const std::lock_guard lock(mutex_);
        std::vector<seen_call> copies;
        for (const std::shared_ptr<seen_call>& call : calls_) copies.push_back(*call);
        return copies;
    }

    void clear() {
        const std::lock_guard lock(mutex_);
        calls_.clear();
    }

private:
    const std::string function_;
    const std::thread::id thread_;  // whose calls are recorded; a default-constructed id means all threads
    mutable std::mutex mutex_;
    std::vector<answer> answers_;                    // guarded by the mutex, like all that follows
    std::size_t given_ = 0;                          // index of the next answer, or their number if the last was given
    std::vector<std::shared_ptr<seen_call>> calls_;  // shared with running calls, which clear() does not affect
};

}  // namespace detail

/// Writes the call as text, such as `("ann", 250) returned true`. A value without a `<<` of its own
/// is written as its type.
template <class Signature>
std::ostream& operator<<(std::ostream& out, const spied_call<Signature>& call) {
    out << '(';
    std::apply([&](const auto&... value) {
        [[maybe_unused]] const char* separator = "";
        ((out << std::exchange(separator, ", "), detail::write(out, value)), ...);
    }, call.args);
    out << ')';
    if (call.exception) return out << " threw " << detail::text_of(call.exception);
    if (!call.result) return out << " has not ended";
    using result = typename decltype(call.result)::value_type;
    out << " returned";
    if constexpr (!std::same_as<result, nothing>) out << ' ', detail::write(out, *call.result);
    return out;
}

}}}  // namespace ext::hooks
