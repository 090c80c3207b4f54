#pragma once

// ext::arg: one argument of a call, which hooks read and replace.

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI {

template <class T>
class arg;

namespace detail {

struct nothing {};

template <class T>
class keeper;

template <class T, class U>
concept equality_comparable = requires(const T& a, const U& b) { { a == b } -> std::convertible_to<bool>; };

template <class T>
inline constexpr bool is_arg = false;
template <class T>
inline constexpr bool is_arg<arg<T>> = true;

}  // namespace detail

/// One argument of a call, for a parameter of type T.
///
/// `*arg` reads the argument in place, without a copy. `arg = value` replaces it: if T is an
/// lvalue reference to non-const, such as `std::string&`, this assigns to the caller's object;
/// otherwise the call owns the new value until its last end hook and finisher (see extensible::on_start())
/// have run. An arg cannot be copied: bind it by reference. It belongs to one call; the lifetime
/// and the thread rules of ext::call hold.
///
///     auto& [service] = call.args;  // in a hook
///     if (*service == "claude") service = "anthropic";
template <class T>
class arg {
    using object = std::remove_reference_t<T>;

    // A by-value number or pointer belongs to the call already, so it is overwritten.
    static constexpr bool in_place = (std::is_lvalue_reference_v<T> && !std::is_const_v<object>) || std::is_scalar_v<T>;

    // An argument of an incomplete type or a function type cannot be replaced: the call could not
    // store a replacement.
    static constexpr bool is_replaceable = requires { sizeof(object); } && !std::is_function_v<object>;

    static constexpr bool keeps = !in_place && is_replaceable;

public:
    /// Creates an argument that refers to `caller`, which must outlive the call. Only the library
    /// creates arguments.
    explicit arg(object& caller) noexcept : object_(__builtin_addressof(caller)) {}
    arg(const arg&) = delete;
    arg& operator=(const arg&) = delete;

    /// Returns a reference to the argument, or to the value that has replaced it.
    object& operator*() const noexcept { return *object_; }

    /// Accesses a member of the argument, or of the value that has replaced it.
    object* operator->() const noexcept { return object_; }

    /// Returns true if the argument equals `value`: `service == "claude"` is short for
    /// `*service == "claude"`.
    template <class U>
        requires(!detail::is_arg<U> && detail::equality_comparable<object, U>)
    friend constexpr bool operator==(const arg& a, const U& value) {
        return *a == value;
    }

    /// Replaces the argument by `value`, for later hooks and for the function.
    ///
    /// If T is an lvalue reference to non-const, assigns `value` to the caller's object. Otherwise
    /// copies or moves it into the call; an object of a derived class is not sliced. If T is a
    /// std::string_view, the call copies the characters, so `value` may be a temporary. If T is
    /// another view, such as a std::span, the call keeps a copy of the object from which the T is
    /// made (moved, if it is a temporary), unless that object is trivially copyable, such as a
    /// std::array. The call does not own what a pointer points to.
    template <class U = std::remove_cv_t<object>>
        requires(is_replaceable &&
                 (std::convertible_to<U &&, std::remove_cv_t<object>> ||
                  std::derived_from<std::remove_cvref_t<U>, object>))
    arg& operator=(U&& value) {
        if constexpr (in_place) *object_ = std::forward<U>(value);
        else object_ = __builtin_addressof(replacement_.keep(std::forward<U>(value)));
        return *this;
    }

private:
    object* object_;
    using replacement = std::conditional_t<keeps, detail::keeper<std::remove_cv_t<object>>, detail::nothing>;
    EXTENSIBLE_NO_UNIQUE_ADDRESS replacement replacement_;
};

// ---- What owns the replacements -----------------------------------------------------------------

namespace detail {

template <class T>
inline constexpr bool is_string_view = false;
template <class Character, class Traits>
inline constexpr bool is_string_view<std::basic_string_view<Character, Traits>> = true;

// A T made from another object.
template <class T>
struct owned {
    T value;

    template <class U>
    explicit owned(U&& from) : value(std::forward<U>(from)) {}
    owned(const owned&) = delete;
    owned(owned&&) = delete;
};

// A view with a copy of its characters, because the original characters may be gone before the call
// ends.
template <class Character, class Traits>
struct owned<std::basic_string_view<Character, Traits>> {
    std::basic_string<Character, Traits> text;
    std::basic_string_view<Character, Traits> value;

    template <class U>
    explicit owned(U&& from) : text(static_cast<std::basic_string_view<Character, Traits>>(from)), value(text) {}
    explicit owned(std::basic_string<Character, Traits>&& from) : text(std::move(from)), value(text) {}
    owned(const owned&) = delete;
    owned(owned&&) = delete;
};

// A T made from another object, together with that object, because the T may be a view of it.
template <class T, class Source>
struct owned_with_source {
    Source source;
    T value;

    template <class U>
    explicit owned_with_source(U&& from) : source(std::forward<U>(from)), value(source) {}
    owned_with_source(const owned_with_source&) = delete;
    owned_with_source(owned_with_source&&) = delete;
};

/// Owns every replacement of one argument of type T, because hooks may hold references to any of
/// them until the call ends.
template <class T>
class keeper {
public:
    keeper() noexcept = default;
    keeper(const keeper&) = delete;
    keeper& operator=(const keeper&) = delete;
    ~keeper() {
        while (kept_) {
            node* const next = kept_->next;
            kept_->destroy(kept_);
            kept_ = next;
        }
    }

    /// Stores a T made from `value`. The returned reference is valid while the keeper lives.
    template <class U>
    T& keep(U&& value) {
        using source = std::decay_t<U>;
        if constexpr (!std::same_as<source, T> && std::derived_from<source, T>) {
            return keep_as<owned<source>>(std::forward<U>(value));  // not sliced to a T
        } else if constexpr (!is_string_view<T> && std::is_trivially_copyable_v<T> &&
                             !std::is_trivially_copyable_v<source> && std::is_constructible_v<T, source&>) {
            // A trivially copyable T owns nothing, so it may be a view of `value`.
            return keep_as<owned_with_source<T, source>>(std::forward<U>(value));
        } else {
            if constexpr (fits)
                if (!first_) return first_.emplace(std::forward<U>(value)).value;
            return keep_as<owned<T>>(std::forward<U>(value));
        }
    }

private:
    // The first replacement of a small type is stored in the call itself, without an allocation. If
    // T is abstract or its destructor is not public, only objects of derived classes can replace
    // the argument.
    static constexpr bool fits = [] {
        if constexpr (std::is_abstract_v<T> || !std::is_destructible_v<T>) return false;
        else return sizeof(owned<T>) <= 64;
    }();

    struct node {
        node* next;
        void (*destroy)(node*) noexcept;
    };
    template <class Owned>
    struct node_of : node {
        Owned kept;
        template <class U>
        explicit node_of(node* before, U&& value)
            : node{before, [](node* self) noexcept { delete static_cast<node_of*>(self); }},
              kept(std::forward<U>(value)) {}
    };

    template <class Owned, class U>
    auto& keep_as(U&& value) {
        auto* const added = new node_of<Owned>(kept_, std::forward<U>(value));
        kept_ = added;
        return added->kept.value;
    }

    EXTENSIBLE_NO_UNIQUE_ADDRESS std::conditional_t<fits, std::optional<owned<T>>, nothing> first_;
    node* kept_ = nullptr;
};

}  // namespace detail

}}  // namespace ext
