#pragma once

// Which named arguments came with a call, beyond the function's parameters?

#include <extensible/detail/type_name.hpp>
#include <extensible/error.hpp>

#include <concepts>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace ext {

namespace detail {

// String literals, C strings and views do not own their characters: they are kept, and asked for, as std::string.
template <class T>
using kept_type = std::conditional_t<std::convertible_to<T, std::string_view>, std::string, std::decay_t<T>>;

}  // namespace detail

/// The value of one named argument: of any copyable type, and copied with its owner.
class kwarg {
public:
    template <class T>
        requires(!std::same_as<std::remove_cvref_t<T>, kwarg>)
    explicit kwarg(T&& value) : held_(make<detail::kept_type<T>>(std::forward<T>(value))) {}

    kwarg(const kwarg& other) : held_(other.held_->copy(*other.held_)) {}
    kwarg(kwarg&&) noexcept = default;
    kwarg& operator=(kwarg other) noexcept {
        held_ = std::move(other.held_);
        return *this;
    }

    /// The type of the value, as one writes it.
    std::string_view type() const noexcept { return held_->type->name; }

    /// The value if it is a T, else null.
    template <class T>
    const T* get_if() const noexcept {
        using value = std::remove_const_t<T>;
        return *held_->type == detail::identity_of<value>() ? &static_cast<const holder<value>&>(*held_).value : nullptr;
    }
    template <class T>
    T* get_if() noexcept {
        return const_cast<T*>(std::as_const(*this).template get_if<T>());
    }

private:
    struct anything;
    struct destroyer {
        void operator()(anything* held) const noexcept { held->destroy(held); }
    };
    using owner = std::unique_ptr<anything, destroyer>;

    // Plain function pointers instead of virtual functions: they need no run-time type information.
    struct anything {
        const detail::type_identity* type;
        owner (*copy)(const anything&);
        void (*destroy)(anything*) noexcept;
    };
    template <class T>
    struct holder : anything {
        T value;
        template <class U>
        explicit holder(U&& from)
            : anything{&detail::identity_of<T>(),
                       [](const anything& self) { return make<T>(static_cast<const holder&>(self).value); },
                       [](anything* self) noexcept { delete static_cast<holder*>(self); }},
              value(std::forward<U>(from)) {}
    };
    template <class T, class U>
    static owner make(U&& from) {
        static_assert(std::copy_constructible<T>, "ext::kwargs: the value of a named argument must be copyable");
        return owner(new holder<T>(std::forward<U>(from)));
    }

    owner held_;
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

    kwargs() noexcept = default;
    kwargs(const kwargs& other) : entries_(other.empty() ? nullptr : new list(*other.entries_)) {}
    kwargs(kwargs&&) noexcept = default;
    kwargs& operator=(kwargs other) noexcept {
        entries_ = std::move(other.entries_);
        return *this;
    }

    /// Sets or replaces the value of `name`.
    template <class T>
    void set(std::string_view name, T&& value) {
        kwarg next(std::forward<T>(value));
        if (entry* const known = find(name)) {
            known->value = std::move(next);
        } else {
            if (!entries_) entries_.reset(new list);
            entries_->push_back({std::string(name), std::move(next)});
        }
    }

    /// The value of `name`, null when absent. Valid until the value is replaced or taken away, or another is added.
    /// Throws bad_kwarg when the value is not a T.
    template <class T>
    T* get(std::string_view name) {
        entry* const known = find(name);
        return known ? &checked<T>(*known) : nullptr;
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
    bool erase(std::string_view name) noexcept {
        entry* const known = find(name);
        if (known) entries_->erase(entries_->begin() + (known - entries_->data()));
        return known != nullptr;
    }

    bool contains(std::string_view name) const noexcept { return const_cast<kwargs*>(this)->find(name) != nullptr; }
    std::size_t size() const noexcept { return entries_ ? entries_->size() : 0; }
    bool empty() const noexcept { return size() == 0; }
    const_iterator begin() const noexcept { return entries_ ? entries_->data() : nullptr; }
    const_iterator end() const noexcept { return begin() + size(); }

private:
    using list = std::vector<entry>;

    struct destroyer {  // out of line, because every call with hooks destroys a kwargs
        [[gnu::noinline]] void operator()(list* entries) const noexcept { delete entries; }
    };

    entry* find(std::string_view name) noexcept {
        for (std::size_t i = 0; i < size(); ++i)
            if ((*entries_)[i].name == name) return &(*entries_)[i];
        return nullptr;
    }

    template <class T>
    static T& checked(entry& known) {
        if (T* value = known.value.get_if<T>()) return *value;
        throw bad_kwarg(known.name + ": the named argument holds " + std::string(known.value.type()) +
                        ", it was asked for as " + std::string(detail::type_name<T>()));
    }

    std::unique_ptr<list, destroyer> entries_;  // null until the first is set
};

}  // namespace ext
