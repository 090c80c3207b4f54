#pragma once

// What came out of the function, or what does a hook say came out?

#include <extensible/detail/config.hpp>
#include <extensible/error.hpp>

#include <concepts>
#include <initializer_list>
#include <optional>
#include <type_traits>
#include <utility>

namespace ext::inline EXTENSIBLE_ABI {

namespace detail {

/// Calls a function or a function object; or a member function, on the object or pointer that comes first. It is std::invoke
/// without data members and std::reference_wrapper: <functional> would cost every user compile time.
template <class Function, class... A>
constexpr decltype(auto) invoke(Function&& function, A&&... args) {
    return std::forward<Function>(function)(std::forward<A>(args)...);
}
template <class Function, class C, class Object, class... A>
constexpr decltype(auto) invoke(Function C::*member, Object&& object, A&&... args) {
    if constexpr (std::is_base_of_v<C, std::remove_cvref_t<Object>>)
        return (std::forward<Object>(object).*member)(std::forward<A>(args)...);
    else
        return ((*std::forward<Object>(object)).*member)(std::forward<A>(args)...);
}

/// Tells that a result was written, since it was last asked. Assigning a result writes it.
struct write_mark {
    bool written = false;

    constexpr write_mark() noexcept = default;
    constexpr write_mark(const write_mark&) noexcept {}
    constexpr write_mark& operator=(const write_mark&) noexcept {  // NOLINT(cert-oop54-cpp): to itself as well
        written = true;
        return *this;
    }
};

/// For a hook that reads a result that is not there.
[[noreturn]] EXTENSIBLE_FUNCTION void throw_no_result();

template <class R>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;

/// Whether a reference of type `To` that is made of a `From` refers to what that is or refers to, and not to a temporary. Only asked
/// where a From converts to a To. It is C++23's reference_converts_from_temporary, the other way round.
template <class From, class To>
concept binds_directly =
    !std::is_reference_v<To> ||
    (std::is_reference_v<From> && std::is_convertible_v<std::remove_reference_t<From>*, std::remove_reference_t<To>*> &&
     (std::is_lvalue_reference_v<From> || std::is_rvalue_reference_v<To>)) ||
    requires(From from) { static_cast<From&&>(from).operator std::remove_reference_t<To>&(); };  // as a std::reference_wrapper has

}  // namespace detail

/// The result of one call, or nothing yet. Reads and writes as std::optional<R> does, for values, references and void, except that
/// `*result` and `result->` throw no_result if there is none. Setting it before the function runs means that the function is not
/// called. Belongs to one call, and to its thread.
template <class R>
class result : public std::optional<std::remove_const_t<R>> {
    using object = std::remove_const_t<R>;
    using base = std::optional<object>;

public:
    using base::base;

    /// The result. Throws no_result if there is none.
    constexpr object& operator*() & { return *checked(); }
    constexpr const object& operator*() const& { return *checked(); }
    constexpr object&& operator*() && { return std::move(*checked()); }
    constexpr object* operator->() { return checked(); }
    constexpr const object* operator->() const { return checked(); }

    /// Sets or replaces the result.
    template <class U>
        requires(std::is_assignable_v<base&, U &&> && !std::is_same_v<std::remove_cvref_t<U>, result>)
    result& operator=(U&& value) {
        base::operator=(std::forward<U>(value));
        mark_.written = true;
        return *this;
    }
    template <class... U>
    auto& emplace(U&&... from) {
        auto& made = base::emplace(std::forward<U>(from)...);
        mark_.written = true;
        return made;
    }
    template <class Element, class... U>
        requires std::is_constructible_v<std::remove_const_t<R>, std::initializer_list<Element>&, U&&...>
    auto& emplace(std::initializer_list<Element> elements, U&&... from) {
        auto& made = base::emplace(elements, std::forward<U>(from)...);
        mark_.written = true;
        return made;
    }

    /// Where the function returns a std::optional, an empty one is the result from now on. Otherwise as reset().
    result& operator=(std::nullopt_t) noexcept {
        if constexpr (detail::is_optional<R>) emplace(std::nullopt);
        else base::reset();
        return *this;
    }

private:
    constexpr object* checked() {
        if (!this->has_value()) [[unlikely]] detail::throw_no_result();
        return base::operator->();
    }
    constexpr const object* checked() const { return const_cast<result*>(this)->checked(); }

    friend detail::access;
    detail::write_mark mark_;
};

/// For a function that returns nothing: the result is that it returned.
template <>
class result<void> {
public:
    /// The function counts as having returned.
    void emplace() noexcept { set_ = mark_.written = true; }
    void reset() noexcept { set_ = false; }
    bool has_value() const noexcept { return set_; }
    explicit operator bool() const noexcept { return set_; }
    /// Throws no_result unless the function has returned.
    void operator*() const {
        if (!set_) [[unlikely]] detail::throw_no_result();
    }

    /// There is nothing to assign.
    template <class T>
        requires(!std::is_same_v<std::remove_cvref_t<T>, result>)
    result& operator=(T&&) {
        static_assert(!std::is_same_v<T, T>, "ext::result: the function returns nothing, so no value can be its result; "
                                             "call.result.emplace() says that it has returned");
        return *this;
    }

private:
    friend detail::access;
    bool set_ = false;
    detail::write_mark mark_;
};

namespace detail {

// A reference as a result: assigning makes it refer to another object, as std::optional<T&> of C++26 does.
template <class R>
class reference_result {
    using object = std::remove_reference_t<R>;

public:
    reference_result() = default;

    /// Refers to `to` from now on. `to` is not copied and has to outlive the use that the caller makes of it.
    template <class To = R>
    void emplace(To&& to) noexcept(std::is_nothrow_convertible_v<To&&, R>) {
        static_assert(binds_directly<To&&, R>, "ext::result: the result is a reference, and would refer to a temporary");
        if constexpr (binds_directly<To&&, R>) {
            R referred = static_cast<To&&>(to);
            object_ = __builtin_addressof(referred);
            mark_.written = true;
        }
    }
    void reset() noexcept { object_ = nullptr; }
    bool has_value() const noexcept { return object_ != nullptr; }
    explicit operator bool() const noexcept { return has_value(); }

    /// The object referred to. Throws no_result if there is none.
    object& operator*() const {
        if (!object_) [[unlikely]] throw_no_result();
        return *object_;
    }
    object* operator->() const { return __builtin_addressof(**this); }

private:
    friend access;
    object* object_ = nullptr;
    write_mark mark_;
};

}  // namespace detail

template <class T>
class result<T&> : public detail::reference_result<T&> {
public:
    /// As emplace(): the result refers to `to`.
    result& operator=(T& to) noexcept {
        this->emplace(to);
        return *this;
    }
    result& operator=(T&&) = delete;  // a temporary would be gone before the caller sees it
};

template <class T>
class result<T&&> : public detail::reference_result<T&&> {
public:
    /// As emplace(): the result refers to `to`, which the caller may then move from.
    result& operator=(T&& to) noexcept {
        this->emplace(std::move(to));
        return *this;
    }
};

namespace detail {

/// The result becomes what the function returns.
template <class R, class Function, class... A>
void set_from(result<R>& result, Function&& function, A&&... args) {
    if constexpr (std::is_void_v<R>) detail::invoke(std::forward<Function>(function), std::forward<A>(args)...), result.emplace();
    else result.emplace(detail::invoke(std::forward<Function>(function), std::forward<A>(args)...));
}

/// Whether the call cannot end without an exception. A function that returns nothing has returned then.
template <class R>
bool is_missing(const result<R>& result) noexcept {
    return !std::is_void_v<R> && !result.has_value();
}

/// Gives the result away. There must be one.
template <class R>
R take(result<R>& result) {
    if constexpr (std::is_reference_v<R>) return static_cast<R>(*result);
    else if constexpr (!std::is_void_v<R>) return std::move(static_cast<std::optional<std::remove_const_t<R>>&>(result).operator*());
}

// So that failed(result) below is looked up in the namespace of the result's type alone. GCC 11 finds nothing there beside a
// function that is no template.
template <class R>
void failed() = delete;

struct failed_function {
    template <class R>
    static constexpr bool is_asked = requires(const R& result) { { failed(result) } -> std::convertible_to<bool>; };
    template <class R>
    static constexpr bool is_expected = requires(const R& result) {
        { result.has_value() } -> std::convertible_to<bool>;
        result.error();
    };

    template <class R>
    constexpr bool operator()(const R& result) const {
        if constexpr (is_asked<R>) return failed(result);
        else if constexpr (is_expected<R>) return !result.has_value();
        else return false;
    }
};

}  // namespace detail

/// Whether a result that is a value says that the call failed: `ext::failed(parse(text))`. True for a std::expected, or a type like
/// it (with has_value() and error()), that holds an error. An application's own type says so by a function beside it, in its
/// namespace: `bool failed(const outcome& result)`. False for all others.
inline constexpr detail::failed_function failed{};

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

void detail::throw_no_result() {
    raise<no_result>("ext::result: a hook reads the result of a call that has none; look at `if (call.result)` or call.exception first");
}

#endif

}  // namespace ext::inline EXTENSIBLE_ABI
