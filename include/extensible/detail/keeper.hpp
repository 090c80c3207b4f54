#pragma once

// Who owns what a hook puts in an argument's place? A keeper: it keeps every replacement, at one address, until it goes.

#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace ext::detail {

struct nothing {};

// A view is replaced by characters that the call owns, whatever it was assigned from: that may be gone tomorrow.
template <class Character, class Traits>
struct owned_view {
    std::basic_string<Character, Traits> text;
    std::basic_string_view<Character, Traits> value;

    template <class U>
    explicit owned_view(U&& from)
        : text(static_cast<std::basic_string_view<Character, Traits>>(from)), value(text) {}
    explicit owned_view(std::basic_string<Character, Traits>&& from) : text(std::move(from)), value(text) {}
};

template <class T>
struct owned_value {
    T value;

    template <class U>
    explicit owned_value(U&& from) : value(std::forward<U>(from)) {}
};

// Makes a T from another object, and keeps that as well: the T may be a view of it.
template <class T, class Source>
struct owned_source {
    Source source;
    T value;

    template <class U>
    explicit owned_source(U&& from) : source(std::forward<U>(from)), value(source) {}
};

template <class T>
struct owner_of {
    using type = owned_value<T>;
};
template <class Character, class Traits>
struct owner_of<std::basic_string_view<Character, Traits>> {
    using type = owned_view<Character, Traits>;
};

/// Owns the replacements of one argument whose type is T.
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

    /// Keeps a T made from `value`. The reference is good as long as the keeper.
    template <class U>
    T& keep(U&& value) {
        using source = std::decay_t<U>;
        constexpr bool is_view = !std::same_as<owner, owned_value<T>>;
        if constexpr (!std::same_as<source, T> && std::derived_from<source, T>) {
            return keep_as<owned_value<source>>(std::forward<U>(value));  // not sliced to a T
        } else if constexpr (!is_view && std::is_trivially_copyable_v<T> && !std::is_trivially_copyable_v<source> &&
                             std::is_constructible_v<T, source&>) {
            return keep_as<owned_source<T, source>>(std::forward<U>(value));  // a T like this cannot own anything
        } else if constexpr (fits) {
            if (!first_) return first_.emplace(std::forward<U>(value)).value;
            return keep_as<owner>(std::forward<U>(value));
        } else {
            return keep_as<owner>(std::forward<U>(value));
        }
    }

private:
    using owner = typename owner_of<T>::type;

    // The first replacement of a small type stands in the call itself: no allocation.
    static constexpr bool fits = [] {
        if constexpr (std::is_abstract_v<T>) return false;
        else return sizeof(owner) <= 64;
    }();

    struct node {
        node* next;
        void (*destroy)(node*) noexcept;
    };
    template <class Owner>
    struct node_of : node {
        Owner owned;
        template <class U>
        explicit node_of(node* kept, U&& value)
            : node{kept, [](node* self) noexcept { delete static_cast<node_of*>(self); }}, owned(std::forward<U>(value)) {}
    };

    template <class Owner, class U>
    auto& keep_as(U&& value) {
        auto* const added = new node_of<Owner>(kept_, std::forward<U>(value));
        kept_ = added;
        return added->owned.value;
    }

    [[no_unique_address]] std::conditional_t<fits, std::optional<owner>, nothing> first_;
    node* kept_ = nullptr;
};

}  // namespace ext::detail
