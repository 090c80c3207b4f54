#pragma once

// ext::any_call: what a hook for functions of any signature receives. It checks types at run time.

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <extensible/call.hpp>
#include <extensible/detail/records/function_record.hpp>
#include <extensible/detail/signature/arguments.hpp>
#include <extensible/detail/signature/awaitable.hpp>
#include <extensible/detail/signature/signature.hpp>
#include <extensible/detail/signature/sub_task.hpp>
#include <extensible/detail/types/private_access.hpp>
#include <extensible/detail/types/text.hpp>
#include <extensible/detail/types/type_identity.hpp>
#include <extensible/detail/types/type_name.hpp>
#include <extensible/error.hpp>
#include <extensible/kwargs.hpp>
#include <extensible/params.hpp>
#include <extensible/result.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI {

namespace detail {

/// How an argument or the result is read and written.
struct value_operations {
    const type_identity* type;      // without const and reference
    const type_identity* set_type;  // the type of the value from which `set` moves
    const void* (*get)(call_fields* call) noexcept;  // for the result, call it only if there is one
    void (*set)(call_fields* call, void* value);     // null if the argument cannot be replaced
};

/// The operations on calls of one signature, and the names of the parameters.
struct call_operations : function_type {
    std::size_t size;               // the number of arguments
    const value_operations* args;   // `size` of them
    const std::string_view* names;  // null if the parameters have no names
    value_operations result;
    bool result_is_void;
    bool leaves_arguments;          // the function consumes no argument, see leaves_argument()
    // Call it only if there is a result. Null if a result of this type never denotes a failure.
    bool (*failed)(call_fields* call);
    bool (*has_result)(call_fields* call) noexcept;
    void (*reset_result)(call_fields* call) noexcept;
    // Returns true if the result was written since the last call of this function.
    bool (*take_mark)(call_fields* call) noexcept;
};

// The type from which a result that is a reference is set.
template <class T>
struct referred {
    T* object;
};

// The type by which any_call knows a parameter or result. It keeps `volatile`, because a volatile
// object may only be read as one.
template <class T>
using value_type = std::remove_const_t<std::remove_reference_t<T>>;

// Convert an object or a function to its address as a void*, and back. An operator& that T may have
// is not used.
template <class T>
const void* address_of(T& value) noexcept {
    if constexpr (std::is_function_v<T>) return reinterpret_cast<const void*>(&value);
    else return const_cast<const void*>(static_cast<const volatile void*>(__builtin_addressof(value)));
}
template <class T>
const value_type<T>* value_at(const void* address) noexcept {
    if constexpr (std::is_function_v<value_type<T>>)
        return reinterpret_cast<value_type<T>*>(const_cast<void*>(address));
    else
        return static_cast<const value_type<T>*>(address);
}

}  // namespace detail

/// What a hook for functions of any signature receives. It is a view of the ext::call: nothing is
/// copied. Use it only on the thread of the hook, and only while the hook runs.
///
///     ext::on_end("models.*", [](ext::any_call& call) {
///         const std::string* key = call.result<std::string>();
///         if (key && key->empty()) call.set_result("none");
///     });
///
/// Types are compared exactly, without `const` and references: an argument for a parameter
/// `const std::string&` is a std::string, and not a std::string_view.
class any_call {
public:
    /// Returns the name of the function. Valid during the call.
    std::string_view name() const noexcept { return call_->name; }

    /// Returns the signature of the function as it is written in source code, such as
    /// "std::string(std::string_view)".
    std::string_view signature() const noexcept { return operations().signature->name; }

    /// Returns the number of arguments, without a trailing ext::kwargs.
    std::size_t size() const noexcept { return operations().size; }

    /// Returns a pointer to the current value of an argument; `index` is counted from 0. Returns
    /// null if the argument is not a T or the index is out of range.
    template <class T>
    const detail::value_type<T>* arg(std::size_t index) const noexcept {
        if (index >= size() || !(*operations().args[index].type == type_of<T>())) return nullptr;
        return detail::value_at<T>(operations().args[index].get(call_));
    }

    /// Returns the name that ext::params gave to a parameter; `index` is counted from 0. Returns an
    /// empty text if the parameter has no name or the index is out of range.
    std::string_view arg_name(std::size_t index) const noexcept {
        return operations().names && index < size() ? operations().names[index] : std::string_view();
    }

    /// Returns the type of an argument as it is written in source code, without `const` and
    /// references, such as "std::string"; `index` is counted from 0. Returns an empty text if the
    /// index is out of range.
    std::string_view arg_type(std::size_t index) const noexcept {
        return index < size() ? operations().args[index].type->name : std::string_view();
    }

    /// Replaces an argument, as an assignment to an ext::arg does; `index` is counted from 0. The
    /// type of `value` must be that of the parameter; a string literal, a C string or a
    /// std::string_view is also accepted for a std::string. Throws signature_mismatch if the types
    /// differ, the argument cannot be replaced or the index is out of range.
    template <class T>
    void set_arg(std::size_t index, T&& value) const {
        if (index >= size()) throw_mismatch(index, "");
        set(operations().args[index], index, std::forward<T>(value));
    }

    /// Returns the named arguments beyond the parameters. See ext::call::kwargs.
    ext::kwargs& kwargs() const noexcept { return call_->kwargs; }

    /// Returns a pointer to the result, or null if the call has none or it is not a T. If the
    /// result is a reference, the pointer is to the object that it refers to.
    template <class T>
    const detail::value_type<T>* result() const noexcept {
        if (!has_result() || !(*operations().result.type == type_of<T>())) return nullptr;
        return detail::value_at<T>(operations().result.get(call_));
    }

    /// Returns true if the function returns a T or a reference to a T. For an awaitable, returns
    /// true if awaiting it yields one.
    template <class T>
    bool returns() const noexcept {
        return *operations().result.type == type_of<T>();
    }

    /// Returns true if the function returns an awaitable. The call may then be suspended, and
    /// continue on another thread.
    bool is_awaited() const noexcept { return operations().sub_task != nullptr; }

    /// Returns true if the call has failed so far: there is an exception, or a result for which
    /// ext::failed is true.
    bool failed() const { return exception() || (has_result() && operations().failed && operations().failed(call_)); }

    /// Returns true if there is a result of any type. For a `void` function, returns true if the
    /// function has returned, or set_result() was called.
    bool has_result() const noexcept { return operations().has_result(call_); }

    /// Sets or replaces the result. The type of `value` must be that of the result; a string
    /// literal, a C string or a std::string_view is also accepted for a std::string. For a result
    /// `T&`, pass a std::reference_wrapper<T>. Throws signature_mismatch if the types differ.
    template <class T>
    void set_result(T&& value) const {
        set(operations().result, the_result, std::forward<T>(value));
    }

    /// Marks a `void` function as having returned. Throws signature_mismatch for other functions.
    void set_result() const {
        if (!operations().result_is_void) throw_mismatch(the_result, "void");
        operations().result.set(call_, nullptr);
    }

    /// Returns what was thrown, or null. Assign to it to set, replace or clear the exception. See
    /// ext::call::exception.
    std::exception_ptr& exception() const noexcept { return call_->exception; }

    /// Returns true if the wrapped function was called, even if it threw.
    bool original_ran() const noexcept { return call_->original_ran; }

    /// Returns true if an around hook that proceeds again passes no argument that was moved from.
    /// Returns false if the function has run and may have consumed one: it takes a `T&&`,
    /// or takes by value a type that cannot be copied.
    bool is_repeatable() const noexcept { return !original_ran() || operations().leaves_arguments; }

private:
    friend detail::private_access;
    explicit any_call(detail::call_fields& call) noexcept : call_(&call) {}
    const detail::call_operations& operations() const noexcept { return detail::private_access::operations(*call_); }

    template <class T>
    static constexpr const detail::type_identity& type_of() noexcept {
        return detail::identity_of<detail::value_type<T>>();
    }

    // Takes the place of an argument's index.
    static constexpr std::size_t the_result = static_cast<std::size_t>(-1);

    template <class T>
    void set(const detail::value_operations& target, std::size_t index, T&& value) const {
        using exact = std::decay_t<T>;
        using kept = detail::kept_type<T>;
        // A std::reference_wrapper sets a result that is a reference.
        if constexpr (requires { { value.get() } -> std::same_as<typename exact::type&>; }) {
            using referred = detail::referred<typename exact::type>;
            referred made{__builtin_addressof(value.get())};
            if (fits<referred>(target)) return target.set(call_, &made);
        }
        if (fits<exact>(target)) {
            exact made(std::forward<T>(value));
            target.set(call_, __builtin_addressof(made));
        } else if (!std::same_as<exact, kept> && fits<kept>(target)) {
            kept made(std::forward<T>(value));
            target.set(call_, __builtin_addressof(made));
        } else {
            throw_mismatch(index, detail::type_name<exact>());
        }
    }
    template <class T>
    static bool fits(const detail::value_operations& target) noexcept {
        return target.set && *target.set_type == detail::identity_of<T>();
    }

    // Throws signature_mismatch for an argument, or for the_result. `type` is the type that the
    // hook tried to set; it is empty if the index is out of range.
    [[noreturn]] EXTENSIBLE_COLD_FUNCTION void throw_mismatch(std::size_t index, std::string_view type) const;

    detail::call_fields* call_;
};

// ---- The operations on calls of each signature --------------------------------------------------

namespace detail {

template <class Signature>
ext::call<Signature>& call_from(call_fields* call) noexcept {
    return static_cast<ext::call<Signature>&>(*call);
}

template <class Signature, std::size_t Index>
struct argument_operations {
    using parameter = typename shape<Signature>::template parameter_type<Index>;
    using object = std::remove_cvref_t<parameter>;
    static constexpr bool replaceable = [] {
        constexpr bool assigns_to_callers_object =
            std::is_lvalue_reference_v<parameter> && !std::is_const_v<std::remove_reference_t<parameter>>;
        // A reference to a function or to an object of an incomplete type cannot be replaced.
        if constexpr (std::is_function_v<object> || !requires { sizeof(object); }) return false;
        else if constexpr (assigns_to_callers_object) return std::is_move_assignable_v<object>;
        else return std::is_move_constructible_v<object>;
    }();

    static auto& argument_of(call_fields* call) noexcept { return std::get<Index>(call_from<Signature>(call).args); }
    static const void* get(call_fields* call) noexcept { return detail::address_of(*argument_of(call)); }
    static void set(call_fields* call, void* value) {
        if constexpr (replaceable) argument_of(call) = std::move(*static_cast<object*>(value));
    }

    static constexpr value_operations table{&identity_of<value_type<parameter>>(), &identity_of<object>(), &get,
                                            replaceable ? &set : nullptr};
};

template <class R, class Signature>
struct result_operations {
    using object = std::remove_cvref_t<R>;
    using set_as = std::conditional_t<std::is_reference_v<R>, referred<std::remove_reference_t<R>>, object>;

    static const void* get(call_fields* call) noexcept {
        // NOLINTNEXTLINE(bugprone-unchecked-optional-access)
        return detail::address_of(*call_from<Signature>(call).result);
    }
    static void set(call_fields* call, void* value) {
        auto& result = call_from<Signature>(call).result;
        auto& given = *static_cast<set_as*>(value);
        if constexpr (std::is_lvalue_reference_v<R>) result = *given.object;
        else if constexpr (std::is_rvalue_reference_v<R>) result = std::move(*given.object);
        else result.emplace(std::move(given));
    }
    static bool has_failed(call_fields* call) { return ext::failed(*call_from<Signature>(call).result); }
    static constexpr auto failed() noexcept -> bool (*)(call_fields*) {
        if constexpr (failed_function::is_asked<object> || failed_function::is_expected<object>) return &has_failed;
        else return nullptr;
    }

    static constexpr value_operations table{&identity_of<value_type<R>>(), &identity_of<set_as>(), &get, &set};
};
template <class Signature>
struct result_operations<void, Signature> {
    static const void* get(call_fields*) noexcept { return nullptr; }
    static void set(call_fields* call, void*) { call_from<Signature>(call).result.emplace(); }
    static constexpr auto failed() noexcept -> bool (*)(call_fields*) { return nullptr; }

    static constexpr value_operations table{&identity_of<void>(), &identity_of<void>(), &get, &set};
};

// The call_operations for one signature and the names of one wrapper. Another wrapper of the same
// function may have other names.
template <class Signature, class Parameters, class Indices = decltype(shape<Signature>::parameters)>
struct operations_of;
template <class R, class... A, class Parameters, std::size_t... Index>
struct EXTENSIBLE_HIDDEN operations_of<R(A...), Parameters, const std::index_sequence<Index...>> {
    using signature = R(A...);
    template <std::size_t I>
    using argument_parameter = typename argument_operations<signature, I>::parameter;

    static bool has_result(call_fields* call) noexcept { return call_from<signature>(call).result.has_value(); }
    static void reset_result(call_fields* call) noexcept { call_from<signature>(call).result.reset(); }
    static bool take_mark(call_fields* call) noexcept {
        return private_access::take_mark(call_from<signature>(call).result);
    }

    static constexpr value_operations args[sizeof...(Index) + 1]{  // an array cannot be empty
        argument_operations<signature, Index>::table..., value_operations{}};
    static constexpr const std::string_view* names() noexcept {
        return Parameters::count != 0 ? static_cast<const std::string_view*>(Parameters::names) : nullptr;
    }
    static constexpr const type_identity* sub_task() noexcept {
        if constexpr (coroutine_type<R>) return &identity_of<sub_task_of<R>>();
        else return nullptr;
    }

    static constexpr call_operations table{{&identity_of<signature>(), sub_task()},
                                           sizeof...(Index),
                                           args,
                                           names(),
                                           result_operations<outcome_of<R>, signature>::table,
                                           std::is_void_v<outcome_of<R>>,
                                           (detail::leaves_argument<argument_parameter<Index>>() && ...),
                                           result_operations<outcome_of<R>, signature>::failed(),
                                           &has_result,
                                           &reset_result,
                                           &take_mark};
};

}  // namespace detail

#if EXTENSIBLE_BODIES

void any_call::throw_mismatch(std::size_t index, std::string_view type) const {
    const bool is_result = index == the_result;
    detail::raise<signature_mismatch>(
        detail::join({name(), ": a hook sets ", is_result ? "the result" : "argument ",
                      is_result ? std::string() : detail::text_of(static_cast<int>(index)),
                      type.empty() ? "" : " as ", type, ", but the function is ", signature()}));
}

#endif

}}  // namespace ext
