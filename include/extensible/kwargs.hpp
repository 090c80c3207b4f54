#pragma once

// Which named arguments came with a call, beyond the function's parameters?

#include <extensible/detail/type_name.hpp>
#include <extensible/error.hpp>

#include <concepts>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace ext::inline EXTENSIBLE_ABI {

namespace detail {

template <class T>
concept text = std::same_as<T, std::string_view> || std::same_as<T, const char*> || std::same_as<T, char*>;

// String literals, C strings and views do not own their characters: they are kept, and asked for, as std::string. Everything else is
// kept as what it is, also what converts to a view.
template <class T>
using kept_type = std::conditional_t<text<std::decay_t<T>>, std::string, std::decay_t<T>>;

/// The beginning of what a kwarg holds. It has plain function pointers instead of virtual functions, which would need
/// run-time type information.
struct kwarg_value {
    const type_identity* type;
    kwarg_value* (*copy)(const kwarg_value&);
    void (*destroy)(kwarg_value*) noexcept;
};

}  // namespace detail

/// The value of one named argument: of any copyable type, and copied with its owner. One that was moved from holds nothing.
class kwarg {
public:
    template <class T>
        requires(!std::same_as<std::remove_cvref_t<T>, kwarg>)
    explicit kwarg(T&& value) : held_(new holder<detail::kept_type<T>>(std::forward<T>(value))) {
        static_assert(std::copy_constructible<detail::kept_type<T>>,
                      "ext::kwargs: the value of a named argument must be copyable");
    }

    EXTENSIBLE_HIDDEN kwarg(const kwarg& other);
    kwarg(kwarg&& other) noexcept : held_(std::exchange(other.held_, nullptr)) {}
    kwarg& operator=(kwarg other) noexcept {
        std::swap(held_, other.held_);
        return *this;
    }
    ~kwarg() {
        if (held_) held_->destroy(held_);
    }

    /// The type of the value, as one writes it; empty where there is none.
    std::string_view type() const noexcept { return held_ ? held_->type->name : std::string_view(); }

    /// The value if it is a T, else null.
    template <class T>
    const T* get_if() const noexcept {
        using value = std::remove_const_t<T>;
        if (!held_ || *held_->type != detail::identity_of<value>()) return nullptr;
        return __builtin_addressof(static_cast<const holder<value>*>(held_)->value);
    }
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
                          [](const kwarg_value& self) -> kwarg_value* { return new holder(static_cast<const holder&>(self).value); },
                          [](kwarg_value* self) noexcept { delete static_cast<holder*>(self); }},
              value(std::forward<U>(from)) {}
        holder(const holder&) = delete;
        holder(holder&&) = delete;
    };

    detail::kwarg_value* held_;  // owned; null once it was moved from
};

/// A small map from name to value that keeps the order in which names were set. An empty one allocates nothing.
/// String literals, C strings and std::string_view are stored as std::string: ask for that. A value type; not to be
/// written by one thread while another uses it.
class kwargs {
public:
    /// What iteration gives: `for (const auto& [name, value] : kwargs)`.
    struct entry {
        std::string name;
        kwarg value;
    };
    using const_iterator = const entry*;  ///< valid until the kwargs are changed

    constexpr kwargs() noexcept = default;
    EXTENSIBLE_HIDDEN kwargs(const kwargs& other);
    kwargs(kwargs&& other) noexcept : entries_(std::exchange(other.entries_, nullptr)) {}
    kwargs& operator=(kwargs other) noexcept {
        std::swap(entries_, other.entries_);
        return *this;
    }
    ~kwargs() {
        if (entries_) [[unlikely]] destroy(entries_);
    }

    /// Sets or replaces the value of `name`.
    template <class T>
    void set(std::string_view name, T&& value) {
        put(name, kwarg(std::forward<T>(value)));
    }

    /// The value of `name`, null when absent. Valid until the value is replaced or taken away, or another is added.
    /// Throws bad_kwarg when the value is not a T.
    template <class T>
    T* get(std::string_view name) {
        entry* const known = find(name);
        if (!known) return nullptr;
        T* const value = known->value.get_if<T>();
        if (!value) throw_bad_kwarg(*known, detail::type_name<T>());
        return value;
    }
    template <class T>
    const T* get(std::string_view name) const {
        return const_cast<kwargs*>(this)->get<T>(name);
    }

    /// A copy of the value of `name`, or `otherwise` when absent. Throws bad_kwarg when the value is of another type.
    template <class T>
    detail::kept_type<T> value_or(std::string_view name, T&& otherwise) const {
        if (const auto* value = get<detail::kept_type<T>>(name)) return *value;
        return detail::kept_type<T>(std::forward<T>(otherwise));
    }

    /// Removes `name` and gives its value, nothing when absent. Throws bad_kwarg, and keeps it, when it is not a T.
    template <class T>
    std::optional<T> take(std::string_view name) {
        std::optional<T> value;
        if (T* const held = get<T>(name)) {
            value.emplace(std::move(*held));
            erase(name);
        }
        return value;
    }

    /// Removes `name`; tells whether it was there.
    EXTENSIBLE_LAZY_FUNCTION bool erase(std::string_view name) noexcept;

    bool contains(std::string_view name) const noexcept { return const_cast<kwargs*>(this)->find(name) != nullptr; }
    std::size_t size() const noexcept { return entries_ ? entries_->size() : 0; }
    bool empty() const noexcept { return !entries_; }
    const_iterator begin() const noexcept { return entries_ ? entries_->data() : nullptr; }
    const_iterator end() const noexcept { return begin() + size(); }

private:
    using list = std::vector<entry>;

    entry* find(std::string_view name) noexcept { return entries_ ? find_in_list(name) : nullptr; }
    EXTENSIBLE_HIDDEN entry* find_in_list(std::string_view name) noexcept;
    EXTENSIBLE_LAZY_FUNCTION void put(std::string_view name, kwarg value);
    EXTENSIBLE_FUNCTION static void destroy(list* entries) noexcept;
    [[noreturn]] EXTENSIBLE_FUNCTION static void throw_bad_kwarg(const entry& known, std::string_view wanted);

    list* entries_ = nullptr;  // owned; null when there are none, so that one load tells whether there is anything to destroy
};

// ---------------------------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

EXTENSIBLE_CALL_FUNCTION kwarg::kwarg(const kwarg& other) : held_(other.held_ ? other.held_->copy(*other.held_) : nullptr) {}

EXTENSIBLE_CALL_FUNCTION kwargs::kwargs(const kwargs& other) : entries_(other.entries_ ? new list(*other.entries_) : nullptr) {}

void kwargs::destroy(list* entries) noexcept { delete entries; }

EXTENSIBLE_CALL_FUNCTION kwargs::entry* kwargs::find_in_list(std::string_view name) noexcept {
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
    detail::raise<bad_kwarg>(
        detail::join({known.name, ": the named argument holds ", known.value.type(), ", it was asked for as ", wanted}));
}

#endif

}  // namespace ext::inline EXTENSIBLE_ABI
