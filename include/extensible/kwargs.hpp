#pragma once

// ext::kwargs: the named arguments of a call beyond the function's parameters.

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <extensible/detail/types/text.hpp>
#include <extensible/detail/types/type_identity.hpp>
#include <extensible/detail/types/type_name.hpp>
#include <extensible/error.hpp>

#include <concepts>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace ext { inline namespace EXTENSIBLE_ABI {

namespace detail {

template <class T>
concept text = std::same_as<T, std::string_view> || std::same_as<T, const char*> || std::same_as<T, char*>;

// String literals, C strings and views do not own their characters, so they are stored, and read,
// as a std::string. Everything else is stored as it is, even a type that converts to a view.
template <class T>
using kept_type = std::conditional_t<text<std::decay_t<T>>, std::string, std::decay_t<T>>;

/// The base class of the value in a kwarg. It has plain function pointers instead of virtual
/// functions, which would need run-time type information.
struct kwarg_value {
    const type_identity* type;
    kwarg_value* (*copy)(const kwarg_value&);
    void (*destroy)(kwarg_value*) noexcept;
};

}  // namespace detail

/// The value of one named argument, of any copyable type. Copying the kwarg copies the value. A
/// moved-from kwarg holds no value.
class kwarg {
public:
    /// Stores a copy of `value`, or moves it in. A string literal, a C string or a std::string_view
    /// is stored as a std::string.
    template <class T>
        requires(!std::same_as<std::remove_cvref_t<T>, kwarg>)
    explicit kwarg(T&& value) : held_(new holder<detail::kept_type<T>>(std::forward<T>(value))) {
        static_assert(std::copy_constructible<detail::kept_type<T>>,
                      "ext::kwargs: the value of a named argument must be copyable");
    }

    /// Copies the value.
    EXTENSIBLE_HIDDEN kwarg(const kwarg& other);

    /// Takes over the value of `other`, which then holds none.
    kwarg(kwarg&& other) noexcept : held_(std::exchange(other.held_, nullptr)) {}

    /// Replaces the value by that of `other`.
    kwarg& operator=(kwarg other) noexcept {
        std::swap(held_, other.held_);
        return *this;
    }

    /// Destroys the value.
    ~kwarg() {
        if (held_) held_->destroy(held_);
    }

    /// Returns the type of the value as it is written in source code, such as "std::string".
    /// Returns an empty text if the kwarg holds none.
    std::string_view type() const noexcept { return held_ ? held_->type->name : std::string_view(); }

    /// Returns a pointer to the value, or null if the value is not a T.
    template <class T>
    const T* get_if() const noexcept {
        using value = std::remove_const_t<T>;
        if (!held_ || *held_->type != detail::identity_of<value>()) return nullptr;
        return __builtin_addressof(static_cast<const holder<value>*>(held_)->value);
    }

    /// Returns a pointer to the value, or null if the value is not a T.
    template <class T>
    T* get_if() noexcept {
        return const_cast<T*>(std::as_const(*this).template get_if<T>());
    }

private:
    template <class T>
    struct holder : detail::kwarg_value {
        T value;

        template <class U>
        explicit holder(U&& from)
            : kwarg_value{&detail::identity_of<T>(),
                          [](const kwarg_value& self) -> kwarg_value* {
                              return new holder(static_cast<const holder&>(self).value);
                          },
                          [](kwarg_value* self) noexcept { delete static_cast<holder*>(self); }},
              value(std::forward<U>(from)) {}
        holder(const holder&) = delete;
        holder(holder&&) = delete;
    };

    detail::kwarg_value* held_;  // owned; null if this was moved from
};

/// A small map from names to values of any copyable type, in the order in which the names were set.
///
/// String literals, C strings and std::string_view are stored as std::string: read that type. An
/// empty map allocates nothing. It is a value type without synchronization.
///
///     call.kwargs.set("tenant", "acme");
///     if (const auto* tenant = call.kwargs.get<std::string>("tenant")) log(*tenant);
class kwargs {
public:
    /// One named argument. Iterate with `for (const auto& [name, value] : kwargs)`.
    struct entry {
        /// The name of the argument.
        std::string name;

        /// The value of the argument. Read it with `value.get_if<T>()`.
        kwarg value;
    };

    /// The type of begin() and end(). Iterators are valid until the map is changed.
    using const_iterator = const entry*;

    /// Creates an empty map, without an allocation.
    constexpr kwargs() noexcept = default;

    /// Copies all names and values.
    EXTENSIBLE_HIDDEN kwargs(const kwargs& other);

    /// Takes over the content of `other`, which is then empty.
    kwargs(kwargs&& other) noexcept : entries_(std::exchange(other.entries_, nullptr)) {}

    /// Replaces the content by that of `other`.
    kwargs& operator=(kwargs other) noexcept {
        std::swap(entries_, other.entries_);
        return *this;
    }

    /// Destroys all names and values.
    ~kwargs() {
        if (entries_) [[unlikely]] destroy(entries_);
    }

    /// Sets or replaces the value of `name`. `value` is copied or moved in. A name that is replaced
    /// keeps its position.
    template <class T>
    void set(std::string_view name, T&& value) {
        put(name, kwarg(std::forward<T>(value)));
    }

    /// Returns a pointer to the value of `name`, or null if the name is absent. The pointer is
    /// valid until the value is replaced or removed, or another name is added. Throws bad_kwarg if
    /// the value is not a T.
    template <class T>
    T* get(std::string_view name) {
        entry* const known = find(name);
        if (!known) return nullptr;
        T* const value = known->value.get_if<T>();
        if (!value) throw_bad_kwarg(*known, detail::type_name<T>());
        return value;
    }

    /// Returns a pointer to the value of `name`, or null if the name is absent. The pointer is
    /// valid until the value is replaced or removed, or another name is added. Throws bad_kwarg if
    /// the value is not a T.
    template <class T>
    const T* get(std::string_view name) const {
        return const_cast<kwargs*>(this)->get<T>(name);
    }

    /// Returns a copy of the value of `name`, or `otherwise` if the name is absent. The type of
    /// `otherwise` is the expected type, std::string for a string literal. Throws bad_kwarg if the
    /// value has another type.
    template <class T>
    detail::kept_type<T> value_or(std::string_view name, T&& otherwise) const {
        if (const auto* value = get<detail::kept_type<T>>(name)) return *value;
        return detail::kept_type<T>(std::forward<T>(otherwise));
    }

    /// Removes `name` and returns its value, or std::nullopt if the name is absent. If the value is
    /// not a T, throws bad_kwarg and removes nothing.
    template <class T>
    std::optional<T> take(std::string_view name) {
        std::optional<T> value;
        if (T* const held = get<T>(name)) {
            value.emplace(std::move(*held));
            erase(name);
        }
        return value;
    }

    /// Removes `name`. Returns true if it was there.
    EXTENSIBLE_LAZY_FUNCTION bool erase(std::string_view name) noexcept;

    /// Returns true if there is a value of this name.
    bool contains(std::string_view name) const noexcept { return const_cast<kwargs*>(this)->find(name) != nullptr; }

    /// Returns the number of names.
    std::size_t size() const noexcept { return entries_ ? entries_->size() : 0; }

    /// Returns true if there are no names.
    bool empty() const noexcept { return !entries_; }

    /// Returns an iterator to the first entry, in the order in which the names were set.
    const_iterator begin() const noexcept { return entries_ ? entries_->data() : nullptr; }

    /// Returns an iterator past the last entry.
    const_iterator end() const noexcept { return begin() + size(); }

private:
    using list = std::vector<entry>;

    entry* find(std::string_view name) noexcept { return entries_ ? find_in_list(name) : nullptr; }
    EXTENSIBLE_HIDDEN entry* find_in_list(std::string_view name) noexcept;
    EXTENSIBLE_LAZY_FUNCTION void put(std::string_view name, kwarg value);
    EXTENSIBLE_COLD_FUNCTION static void destroy(list* entries) noexcept;
    [[noreturn]] EXTENSIBLE_COLD_FUNCTION static void throw_bad_kwarg(const entry& known, std::string_view wanted);

    // Owned. Null if there are no entries, so that the destructor has to check only this pointer.
    list* entries_ = nullptr;
};

// -------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

EXTENSIBLE_CALLED_BY_USERS kwarg::kwarg(const kwarg& other)
    : held_(other.held_ ? other.held_->copy(*other.held_) : nullptr) {}

EXTENSIBLE_CALLED_BY_USERS kwargs::kwargs(const kwargs& other)
    : entries_(other.entries_ ? new list(*other.entries_) : nullptr) {}

void kwargs::destroy(list* entries) noexcept { delete entries; }

EXTENSIBLE_CALLED_BY_USERS kwargs::entry* kwargs::find_in_list(std::string_view name) noexcept {
    for (std::size_t i = 0; i < size(); ++i)
        if ((*entries_)[i].name == name) return &(*entries_)[i];
    return nullptr;
}

EXTENSIBLE_LAZY_BODY void kwargs::put(std::string_view name, kwarg value) {
    if (entry* const known = find(name)) {
        known->value = std::move(value);
        return;
    }
    list first;
    list& entries = entries_ ? *entries_ : first;
    entries.push_back({std::string(name), std::move(value)});
    if (!entries_) entries_ = new list(std::move(first));
}

EXTENSIBLE_LAZY_BODY bool kwargs::erase(std::string_view name) noexcept {
    entry* const known = find(name);
    if (!known) return false;
    if (size() == 1) destroy(std::exchange(entries_, nullptr));
    else entries_->erase(entries_->begin() + (known - entries_->data()));
    return true;
}

void kwargs::throw_bad_kwarg(const entry& known, std::string_view wanted) {
    detail::raise<bad_kwarg>(detail::join(
        {known.name, ": the named argument holds ", known.value.type(), ", but it was read as ", wanted}));
}

#endif

}}  // namespace ext
