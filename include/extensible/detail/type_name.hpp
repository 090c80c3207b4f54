#pragma once

// What is a type called? Names as one writes them, the same with every compiler and standard library, made at compile
// time. They are also how types are told apart across shared libraries: see type_identity.

#include <array>
#include <chrono>
#include <cstddef>
#include <exception>
#include <iosfwd>
#include <string>
#include <string_view>
#include <type_traits>

namespace ext::detail {

/// The name of T as one writes it: `std::string(std::string_view)`, `std::vector<int>`, `unsigned long`.
template <class T>
constexpr std::string_view type_name() noexcept;

/// Tells types apart by name, so it holds across shared libraries and without run-time type information.
/// A type in an unnamed namespace has namesakes in other translation units; there the address of `local` tells.
struct type_identity {
    std::string_view name;
    const void* local;  // null unless the type can be named in one translation unit only

    friend bool operator==(const type_identity&, const type_identity&) = default;
};

/// The one identity of T, in static storage of the module that asks.
template <class T>
constexpr const type_identity& identity_of() noexcept;

// ---------------------------------------------------------------------------------------------------------------------

// The text of this function's own name; comparing it for two types shows where the type stands in it.
template <class T>
constexpr std::string_view function_text() noexcept {
#if defined(_MSC_VER) && !defined(__clang__)
    return __FUNCSIG__;
#else
    return __PRETTY_FUNCTION__;
#endif
}

// T as this compiler spells it.
template <class T>
constexpr std::string_view spelling() noexcept {
    constexpr std::string_view known = function_text<double>();
    constexpr std::size_t before = known.find("double");
    constexpr std::size_t after = known.size() - before - std::string_view("double").size();
    constexpr std::string_view text = function_text<T>();
    return text.substr(before, text.size() - before - after);
}

inline constexpr std::string_view unnamed_namespace = "(unnamed)";

struct spelling_rule {
    std::string_view spelled;
    std::string_view written;
};

// What compilers and standard libraries put into a name that nobody writes.
inline constexpr spelling_rule spelling_rules[] = {
    {"__cxx11::", ""}, {"__1::", ""}, {"__ndk1::", ""}, {"{anonymous}", unnamed_namespace},
    {"(anonymous namespace)", unnamed_namespace}, {"`anonymous-namespace'", unnamed_namespace},
    {"class ", ""}, {"struct ", ""}, {"enum ", ""}, {"> >", ">>"},
};

template <class Out>
constexpr void write_spelling(Out& out, std::string_view text) {
    while (!text.empty()) {
        std::size_t length = 1;
        std::string_view written = text.substr(0, 1);
        for (const spelling_rule& rule : spelling_rules) {
            if (text.starts_with(rule.spelled)) {
                length = rule.spelled.size();
                written = rule.written;
                break;
            }
        }
        out.write(written);
        text.remove_prefix(length);
    }
}

template <class T>
struct known_name {
    static constexpr std::string_view text{};
};
#define EXTENSIBLE_KNOWN_NAME(...)                               \
    template <>                                                  \
    struct known_name<__VA_ARGS__> {                             \
        static constexpr std::string_view text = #__VA_ARGS__;   \
    }
EXTENSIBLE_KNOWN_NAME(short);
EXTENSIBLE_KNOWN_NAME(unsigned short);
EXTENSIBLE_KNOWN_NAME(long);
EXTENSIBLE_KNOWN_NAME(unsigned long);
EXTENSIBLE_KNOWN_NAME(long long);
EXTENSIBLE_KNOWN_NAME(unsigned long long);
EXTENSIBLE_KNOWN_NAME(std::nullptr_t);
EXTENSIBLE_KNOWN_NAME(std::exception_ptr);
EXTENSIBLE_KNOWN_NAME(std::string);
EXTENSIBLE_KNOWN_NAME(std::wstring);
EXTENSIBLE_KNOWN_NAME(std::u8string);
EXTENSIBLE_KNOWN_NAME(std::u16string);
EXTENSIBLE_KNOWN_NAME(std::u32string);
EXTENSIBLE_KNOWN_NAME(std::string_view);
EXTENSIBLE_KNOWN_NAME(std::wstring_view);
EXTENSIBLE_KNOWN_NAME(std::u8string_view);
EXTENSIBLE_KNOWN_NAME(std::u16string_view);
EXTENSIBLE_KNOWN_NAME(std::u32string_view);
EXTENSIBLE_KNOWN_NAME(std::istream);
EXTENSIBLE_KNOWN_NAME(std::ostream);
EXTENSIBLE_KNOWN_NAME(std::iostream);
EXTENSIBLE_KNOWN_NAME(std::chrono::nanoseconds);
EXTENSIBLE_KNOWN_NAME(std::chrono::microseconds);
EXTENSIBLE_KNOWN_NAME(std::chrono::milliseconds);
EXTENSIBLE_KNOWN_NAME(std::chrono::seconds);
EXTENSIBLE_KNOWN_NAME(std::chrono::minutes);
EXTENSIBLE_KNOWN_NAME(std::chrono::hours);
EXTENSIBLE_KNOWN_NAME(std::chrono::system_clock::time_point);
#undef EXTENSIBLE_KNOWN_NAME

template <class Out>
constexpr void write_number(Out& out, std::size_t number) {
    if (number >= 10) write_number(out, number / 10);
    const char digit = static_cast<char>('0' + number % 10);
    out.write(std::string_view(&digit, 1));
}

template <class Out, class T>
constexpr void write_type(Out& out);

template <class Out, class... T>
constexpr void write_types(Out& out) {
    [[maybe_unused]] bool first = true;
    ((first ? void() : out.write(", "), first = false, write_type<Out, T>(out)), ...);
}

// Class templates print without the arguments that are the default ones: the shortest list that names the same type.
template <class T>
struct name_of_class {
    template <class Out>
    static constexpr void write(Out& out) {
        write_spelling(out, spelling<T>());
    }
};

template <class T>
constexpr std::string_view template_spelling() noexcept {  // what stands before the last list of template arguments
    constexpr std::string_view text = spelling<T>();
    if (!text.ends_with('>')) return text;
    std::size_t open = 0, at = text.size();
    do {
        --at;
        open = text[at] == '>' ? open + 1 : text[at] == '<' ? open - 1 : open;
    } while (open != 0);
    return text.substr(0, at);
}

template <class T>
constexpr std::string_view last_argument() noexcept {  // of a list that ends with a value
    std::string_view text = spelling<T>();
    if (text.ends_with('>')) text.remove_suffix(1);
    return text.substr(text.rfind(", ") + 2);
}

template <class...>
struct type_list {};

template <template <class...> class Template, class Whole, class Out, class... Given, class Next, class... Rest>
constexpr void write_template_arguments(Out& out, type_list<Given...>, type_list<Next, Rest...>) {
    if constexpr (requires { requires std::is_same_v<Template<Given..., Next>, Whole>; } || sizeof...(Rest) == 0)
        write_types<Out, Given..., Next>(out);
    else
        write_template_arguments<Template, Whole>(out, type_list<Given..., Next>{}, type_list<Rest...>{});
}

template <template <class...> class Template, class First, class... Rest>
struct name_of_class<Template<First, Rest...>> {
    using whole = Template<First, Rest...>;
    template <class Out>
    static constexpr void write(Out& out) {
        constexpr std::string_view name = template_spelling<whole>();
        write_spelling(out, name);
        if constexpr (name.size() != spelling<whole>().size()) {  // else the compiler knows it by an alias
            out.write("<");
            write_template_arguments<Template, whole>(out, type_list<>{}, type_list<First, Rest...>{});
            out.write(">");
        }
    }
};

template <template <class, auto> class Template, class First, auto Value>
struct name_of_class<Template<First, Value>> {
    template <class Out>
    static constexpr void write(Out& out) {
        write_spelling(out, template_spelling<Template<First, Value>>());
        out.write("<");
        write_type<Out, First>(out);
        if constexpr (!std::is_same_v<decltype(Value), std::size_t>) {
            out.write(", ");
            out.write(last_argument<Template<First, Value>>());
        } else if constexpr (Value != static_cast<std::size_t>(-1)) {  // std::dynamic_extent, the default of std::span
            out.write(", ");
            write_number(out, Value);
        }
        out.write(">");
    }
};

// What stands between a function type's result and the end: `(*)(int) noexcept`.
template <class T>
struct name_of_function {
    static constexpr bool is_one = false;
};
template <class R, class... A>
struct name_of_function<R(A...)> {
    static constexpr bool is_one = true;
    template <class Out>
    static constexpr void write(Out& out, std::string_view between = {}) {
        write_type<Out, R>(out);
        out.write(between);
        out.write("(");
        write_types<Out, A...>(out);
        out.write(")");
    }
};
template <class R, class... A>
struct name_of_function<R(A...) noexcept> : name_of_function<R(A...)> {
    template <class Out>
    static constexpr void write(Out& out, std::string_view between = {}) {
        name_of_function<R(A...)>::write(out, between);
        out.write(" noexcept");
    }
};

template <class Out, class T>
constexpr void write_type(Out& out) {
    if constexpr (name_of_function<T>::is_one) {
        name_of_function<T>::write(out);
    } else if constexpr (std::is_reference_v<T>) {
        using object = std::remove_reference_t<T>;
        constexpr std::string_view mark = std::is_lvalue_reference_v<T> ? "&" : "&&";
        if constexpr (name_of_function<object>::is_one) {
            name_of_function<object>::write(out, mark == "&" ? "(&)" : "(&&)");
        } else {
            write_type<Out, object>(out);
            out.write(mark);
        }
    } else if constexpr (std::is_array_v<T>) {
        write_type<Out, std::remove_extent_t<T>>(out);
        out.write("[");
        if constexpr (std::extent_v<T> != 0) write_number(out, std::extent_v<T>);
        out.write("]");
    } else if constexpr (std::is_pointer_v<T>) {
        using object = std::remove_pointer_t<T>;
        if constexpr (name_of_function<object>::is_one) {
            name_of_function<object>::write(out, "(*)");
        } else {
            write_type<Out, object>(out);
            out.write("*");
        }
        if constexpr (std::is_const_v<T>) out.write(" const");
        if constexpr (std::is_volatile_v<T>) out.write(" volatile");
    } else if constexpr (std::is_const_v<T>) {
        out.write("const ");
        write_type<Out, std::remove_const_t<T>>(out);
    } else if constexpr (std::is_volatile_v<T>) {
        out.write("volatile ");
        write_type<Out, std::remove_volatile_t<T>>(out);
    } else if constexpr (!known_name<T>::text.empty()) {
        out.write(known_name<T>::text);
    } else {
        name_of_class<T>::write(out);
    }
}

struct name_length {
    std::size_t length = 0;
    constexpr void write(std::string_view text) noexcept { length += text.size(); }
};

struct name_writer {
    char* at;
    constexpr void write(std::string_view text) noexcept {
        for (char c : text) *at++ = c;
    }
};

template <class T>
constexpr std::size_t type_name_length() noexcept {
    name_length out;
    write_type<name_length, T>(out);
    return out.length;
}

template <class T>
constexpr auto make_type_name() noexcept {
    std::array<char, type_name_length<T>()> text{};
    name_writer out{text.data()};
    write_type<name_writer, T>(out);
    return text;
}

// Hidden, here and below, for the reason given in hazard.hpp: names are compared, and never where they stand.
template <class T>
[[gnu::visibility("hidden")]] inline constexpr auto stored_type_name = make_type_name<T>();

template <class T>
constexpr std::string_view type_name() noexcept {
    return {stored_type_name<T>.data(), stored_type_name<T>.size()};
}

template <class T>
constexpr bool is_in_unnamed_namespace() noexcept {  // the type, or one that it is made of
    for (const spelling_rule& rule : spelling_rules)
        if (rule.written == unnamed_namespace && spelling<T>().find(rule.spelled) != std::string_view::npos) return true;
    return false;
}

template <class T>
[[gnu::visibility("hidden")]] inline constexpr type_identity stored_identity{type_name<T>(),
                                               is_in_unnamed_namespace<T>() ? stored_type_name<T>.data() : nullptr};

template <class T>
constexpr const type_identity& identity_of() noexcept {
    return stored_identity<T>;
}

}  // namespace ext::detail
