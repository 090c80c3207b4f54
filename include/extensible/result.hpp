#pragma once

// ext::result: the result of a call, which hooks read, set and replace. ext::failed: true for
// results that denote a failed call.

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <extensible/detail/types/invoke.hpp>
#include <extensible/detail/types/private_access.hpp>
#include <extensible/error.hpp>

#include <concepts>
#include <initializer_list>
#include <optional>
#include <type_traits>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI {

namespace detail {

/// Records for monitors that a result was set: by an assignment to it, or by emplace(). A change in
/// place, as by `call.result->clear()`, is not recorded. Copy assignment counts as setting it.
/// private_access::take_mark() reads and clears the mark.
struct write_mark {
    bool written = false;

    constexpr write_mark() noexcept = default;
    constexpr write_mark(const write_mark&) noexcept {}
    // NOLINTNEXTLINE(cert-oop54-cpp): to itself as well
    constexpr write_mark& operator=(const write_mark&) noexcept {
        written = true;
        return *this;
    }
};

/// Throws ext::no_result, because a hook reads an empty result.
[[noreturn]] EXTENSIBLE_COLD_FUNCTION void throw_no_result();

template <class R>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;

}  // namespace detail

/// The result of a call of a function that returns R, or empty.
///
/// It has the members of std::optional<R>: `has_value()`, `value_or()`, `emplace()`, `reset()`,
/// comparison. `*result` and `result->` throw ext::no_result if it is empty. There are
/// specializations for references and for void. A result belongs to one call; the lifetime and the
/// thread rules of ext::call hold.
///
///     if (call.result && call.result->empty()) call.result = "none";  // in an end hook
template <class R>
class result : public std::optional<std::remove_const_t<R>> {
    using object = std::remove_const_t<R>;
    using base = std::optional<object>;

public:
    /// Constructs the result as a std::optional<R> is constructed.
    using base::base;

    /// Returns a reference to the result. Throws ext::no_result if it is empty.
    constexpr object& operator*() & { return *checked(); }

    /// Returns a reference to the result. Throws ext::no_result if it is empty.
    constexpr const object& operator*() const& { return *checked(); }

    /// Returns a reference to the result, to move from. Throws ext::no_result if it is empty.
    constexpr object&& operator*() && { return std::move(*checked()); }

    /// Accesses a member of the result. Throws ext::no_result if it is empty.
    constexpr object* operator->() { return checked(); }

    /// Accesses a member of the result. Throws ext::no_result if it is empty.
    constexpr const object* operator->() const { return checked(); }

    /// Sets or replaces the result, by a copy of `value` or by moving it. The call does not own
    /// what a view or a pointer refers to.
    template <class U>
        requires(std::is_assignable_v<base&, U &&> && !std::is_same_v<std::remove_cvref_t<U>, result>)
    result& operator=(U&& value) {
        base::operator=(std::forward<U>(value));
        mark_.written = true;
        return *this;
    }

    /// Sets or replaces the result by an R that is constructed from these arguments. Returns a
    /// reference to it.
    template <class... U>
    auto& emplace(U&&... from) {
        auto& made = base::emplace(std::forward<U>(from)...);
        mark_.written = true;
        return made;
    }

    /// Sets or replaces the result by an R that is constructed from a list and these arguments.
    /// Returns a reference to it.
    template <class Element, class... U>
        requires std::is_constructible_v<std::remove_const_t<R>, std::initializer_list<Element>&, U&&...>
    auto& emplace(std::initializer_list<Element> elements, U&&... from) {
        auto& made = base::emplace(elements, std::forward<U>(from)...);
        mark_.written = true;
        return made;
    }

    /// If R is a std::optional, makes the empty optional the result. Otherwise removes the result,
    /// as reset() does.
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

    friend detail::private_access;
    detail::write_mark mark_;
};

/// The result of a call of a `void` function: whether the function has returned.
template <>
class result<void> {
public:
    /// Marks the function as having returned. In a start hook, this means that it is not called.
    void emplace() noexcept { set_ = mark_.written = true; }

    /// Marks the function as not having returned.
    void reset() noexcept { set_ = false; }

    /// Returns true if the function has returned, or emplace() was called.
    bool has_value() const noexcept { return set_; }

    /// Returns true if the function has returned, or emplace() was called.
    explicit operator bool() const noexcept { return set_; }

    /// Throws ext::no_result if the function has not returned. Otherwise does nothing.
    void operator*() const {
        if (!set_) [[unlikely]] detail::throw_no_result();
    }

    /// Does not compile, because a `void` function has no result to assign. Use emplace().
    template <class T>
        requires(!std::is_same_v<std::remove_cvref_t<T>, result>)
    result& operator=(T&&) {
        static_assert(!std::is_same_v<T, T>, "ext::result: the function returns nothing, so no value can be its "
                                             "result; call.result.emplace() says that it has returned");
        return *this;
    }

private:
    friend detail::private_access;
    bool set_ = false;
    detail::write_mark mark_;
};

namespace detail {

// A reference as a result. Assigning makes it refer to another object, as std::optional<T&> of
// C++26 does.
template <class R>
class reference_result {
    using object = std::remove_reference_t<R>;

public:
    /// Creates an empty result.
    reference_result() = default;

    /// Makes the result refer to `to`, which is not copied and must outlive the caller's use of it.
    /// Does not compile if the result would refer to a temporary.
    template <class To = R>
    void emplace(To&& to) noexcept(std::is_nothrow_convertible_v<To&&, R>) {
        static_assert(binds_directly<To&&, R>,
                      "ext::result: the result is a reference, and would refer to a temporary");
        if constexpr (binds_directly<To&&, R>) {
            R referred = static_cast<To&&>(to);
            object_ = __builtin_addressof(referred);
            mark_.written = true;
        }
    }

    /// Removes the result. The object that it refers to does not change.
    void reset() noexcept { object_ = nullptr; }

    /// Returns true if there is a result.
    bool has_value() const noexcept { return object_ != nullptr; }

    /// Returns true if there is a result.
    explicit operator bool() const noexcept { return has_value(); }

    /// Returns the object that the result refers to. Throws ext::no_result if the result is empty.
    object& operator*() const {
        if (!object_) [[unlikely]] throw_no_result();
        return *object_;
    }

    /// Accesses a member of the object that the result refers to. Throws ext::no_result if the
    /// result is empty.
    object* operator->() const { return __builtin_addressof(**this); }

private:
    friend private_access;
    object* object_ = nullptr;
    write_mark mark_;
};

}  // namespace detail

/// The result of a call of a function that returns a reference. `call.result = object` makes it
/// refer to `object`; `*call.result = value` assigns to the object that it refers to.
template <class T>
class result<T&> : public detail::reference_result<T&> {
public:
    /// Makes the result refer to `to`, which is not copied and must outlive the caller's use of it.
    result& operator=(T& to) noexcept {
        this->emplace(to);
        return *this;
    }

    /// Deleted, because a temporary would be destroyed before the caller sees it.
    result& operator=(T&&) = delete;
};

/// The result of a call of a function that returns an rvalue reference.
template <class T>
class result<T&&> : public detail::reference_result<T&&> {
public:
    /// Makes the result refer to `to`, which must outlive the caller's use of it. The caller may
    /// move from `to`.
    result& operator=(T&& to) noexcept {
        this->emplace(std::move(to));
        return *this;
    }
};

namespace detail {

/// Sets the result to what the function returns.
template <class R, class Function, class... A>
void set_from(result<R>& result, Function&& function, A&&... args) {
    if constexpr (std::is_void_v<R>) {
        detail::invoke(std::forward<Function>(function), std::forward<A>(args)...);
        result.emplace();
    } else {
        result.emplace(detail::invoke(std::forward<Function>(function), std::forward<A>(args)...));
    }
}

/// Returns true if the result is empty, so that the call can only end with an exception.
/// Always false for a `void` function: there an empty result is not an error.
template <class R>
bool has_no_value(const result<R>& result) noexcept {
    return !std::is_void_v<R> && !result.has_value();
}

/// Moves the result out. Requires has_value(), except for a `void` function.
template <class R>
R move_out(result<R>& result) {
    if constexpr (std::is_reference_v<R>) return static_cast<R>(*result);
    else if constexpr (!std::is_void_v<R>)
        return std::move(static_cast<std::optional<std::remove_const_t<R>>&>(result).operator*());
}

// Declared so that failed(result) below is looked up only in the namespace of the result's type. It
// is a template because GCC 11 finds nothing in that namespace if it is a non-template function.
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

/// Returns true if the given result denotes a failed call: `ext::failed(parse(text))`.
///
/// By itself it knows only std::expected and similar types, with has_value() and error(): it is
/// true if such a result holds an error. For every other type it is false, also for an empty
/// std::optional, `false`, a null pointer, and a type with ok(). To support a type of your own,
/// define this function in the namespace of the type, where argument-dependent lookup finds it:
///
///     bool failed(const reply& received) { return received.status >= 500; }
///
/// For one hook, and for types that are not your own, use the option `.failed` of ext::hooks::retry
/// and of other ready-made hooks. An exception is a failure in any case, see any_call::failed().
inline constexpr detail::failed_function failed{};

// -------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

void detail::throw_no_result() {
    raise<no_result>("ext::result: a hook reads the result of a call that has none; check `if (call.result)` or "
                     "call.exception first");
}

#endif

}}  // namespace ext
