#pragma once

// What is a hook handed that is for any function? One call, whose types are asked for while the program runs.

#include <extensible/call.hpp>
#include <extensible/detail/awaitable.hpp>
#include <extensible/detail/config.hpp>
#include <extensible/detail/signature.hpp>
#include <extensible/detail/type_name.hpp>
#include <extensible/error.hpp>
#include <extensible/kwargs.hpp>
#include <extensible/params.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace ext::inline EXTENSIBLE_ABI {

namespace detail {

/// How an argument or the result is read and written.
struct value_operations {
    const type_identity* type;           // without const and reference
    const type_identity* set_type;       // what `set` takes
    const void* (*get)(call_fields* call) noexcept;
    void (*set)(call_fields* call, void* value);  // moves from a `set_type`; null where it cannot be replaced
};

/// All that can be done with calls of one signature, and what their parameters are called.
struct call_operations : function_type {
    std::size_t size;               // how many arguments
    const value_operations* args;
    const std::string_view* names;  // null where the parameters have none
    value_operations result;
    bool result_is_void;
    bool (*failed)(call_fields* call);  // null where a result cannot say so
    bool (*has_result)(call_fields* call) noexcept;
    void (*reset_result)(call_fields* call) noexcept;
    bool (*take_mark)(call_fields* call) noexcept;  // whether the result was written since this was called
};

// A reference as a result is set from this.
template <class T>
struct referred {
    T* object;
};

// What any_call calls the type of a parameter or result: a volatile object may only be read as one.
template <class T>
using value_type = std::remove_const_t<std::remove_reference_t<T>>;

// The address of an object or a function as void*, and back. It is taken in spite of an operator& that T may have.
template <class T>
const void* address_of(T& value) noexcept {
    if constexpr (std::is_function_v<T>) return reinterpret_cast<const void*>(&value);
    else return const_cast<const void*>(static_cast<const volatile void*>(__builtin_addressof(value)));
}
template <class T>
const value_type<T>* value_at(const void* address) noexcept {
    if constexpr (std::is_function_v<value_type<T>>) return reinterpret_cast<value_type<T>*>(const_cast<void*>(address));
    else return static_cast<const value_type<T>*>(address);
}

}  // namespace detail

/// One call of a function of any signature: a view of its ext::call, which copies nothing to be looked at. What
/// ext::call says of lifetime and threads holds here too.
///
/// Types are compared exactly, without `const` and references: an argument for a parameter `const std::string&` is a
/// std::string, and not a std::string_view.
class any_call {
public:
    /// The function's name. Valid during the call.
    std::string_view name() const noexcept { return call_->name; }

    /// The function's signature as one writes it: "std::string(std::string_view)".
    std::string_view signature() const noexcept { return operations().signature->name; }

    /// The number of arguments, without a last ext::kwargs.
    std::size_t size() const noexcept { return operations().size; }

    /// The argument number `index`, counted from 0, as it is now. Null when it is no T, or there are fewer.
    template <class T>
    const detail::value_type<T>* arg(std::size_t index) const noexcept {
        if (index >= size() || !(*operations().args[index].type == type_of<T>())) return nullptr;
        return detail::value_at<T>(operations().args[index].get(call_));
    }

    /// The name given to the parameter by ext::params, else empty.
    std::string_view arg_name(std::size_t index) const noexcept {
        return operations().names && index < size() ? operations().names[index] : std::string_view();
    }

    /// The type of the argument as one writes it, without `const` and reference: "std::string". Empty when there are fewer.
    std::string_view arg_type(std::size_t index) const noexcept {
        return index < size() ? operations().args[index].type->name : std::string_view();
    }

    /// Replaces an argument, as assigning to an ext::arg does. A string literal is taken as a std::string where that fits.
    /// Throws signature_mismatch when the parameter has another type, or there is none of this number.
    template <class T>
    void set_arg(std::size_t index, T&& value) const {
        if (index >= size()) throw_mismatch(index, "");
        set(operations().args[index], index, std::forward<T>(value));
    }

    /// Named arguments beyond the parameters, as in ext::call.
    ext::kwargs& kwargs() const noexcept { return call_->kwargs; }

    /// The result if there is one, and it is a T; else null. For a result `T&` the object that it refers to.
    template <class T>
    const detail::value_type<T>* result() const noexcept {
        if (!has_result() || !(*operations().result.type == type_of<T>())) return nullptr;
        return detail::value_at<T>(operations().result.get(call_));
    }

    /// Whether the function returns a T, or a reference to one; where it returns an awaitable, whether awaiting that gives one.
    template <class T>
    bool returns() const noexcept {
        return *operations().result.type == type_of<T>();
    }

    /// Whether the function returns an awaitable, so that the call may be suspended, and go on on another thread.
    bool is_awaited() const noexcept { return operations().stage != nullptr; }

    /// Whether the call has failed so far: something was thrown, or the result says so, see ext::failed.
    bool failed() const { return exception() || (has_result() && operations().failed && operations().failed(call_)); }

    /// Whether there is a result, of whatever type; for a function that returns nothing, whether it counts as returned.
    bool has_result() const noexcept { return operations().has_result(call_); }

    /// Sets or replaces the result. A string literal is taken as a std::string where that fits; for a result `T&` the value
    /// is a std::reference_wrapper<T>. Throws signature_mismatch when the function's result has another type.
    template <class T>
    void set_result(T&& value) const {
        set(operations().result, the_result, std::forward<T>(value));
    }

    /// For a function that returns nothing: it counts as having returned. Throws signature_mismatch for any other.
    void set_result() const {
        if (!operations().result_is_void) throw_mismatch(the_result, "void");
        operations().result.set(call_, nullptr);
    }

    /// What was thrown, null if nothing was; may be changed as in ext::call.
    std::exception_ptr& exception() const noexcept { return call_->exception; }

    /// Whether the function underneath was called, also when it threw.
    bool original_ran() const noexcept { return call_->original_ran; }

private:
    friend detail::access;
    explicit any_call(detail::call_fields& call) noexcept : call_(&call) {}
    const detail::call_operations& operations() const noexcept { return detail::access::operations(*call_); }

    template <class T>
    static constexpr const detail::type_identity& type_of() noexcept {
        return detail::identity_of<detail::value_type<T>>();
    }

    static constexpr std::size_t the_result = static_cast<std::size_t>(-1);  // in place of an argument's number

    template <class T>
    void set(const detail::value_operations& place, std::size_t index, T&& value) const {
        using exact = std::decay_t<T>;
        using kept = detail::kept_type<T>;
        if constexpr (requires { { value.get() } -> std::same_as<typename exact::type&>; }) {  // a std::reference_wrapper
            using referred = detail::referred<typename exact::type>;
            referred made{__builtin_addressof(value.get())};
            if (fits<referred>(place)) return place.set(call_, &made);
        }
        if (fits<exact>(place)) {
            exact made(std::forward<T>(value));
            place.set(call_, __builtin_addressof(made));
        } else if (!std::same_as<exact, kept> && fits<kept>(place)) {
            kept made(std::forward<T>(value));
            place.set(call_, __builtin_addressof(made));
        } else {
            throw_mismatch(index, detail::type_name<exact>());
        }
    }
    template <class T>
    static bool fits(const detail::value_operations& place) noexcept {
        return place.set && *place.set_type == detail::identity_of<T>();
    }

    // A hook sets an argument, or the result, as this type, which is empty where there is no such argument.
    [[noreturn]] EXTENSIBLE_FUNCTION void throw_mismatch(std::size_t index, std::string_view type) const;

    detail::call_fields* call_;
};

// ---- How calls of each signature are used -----------------------------------------------------------------------------

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
        if constexpr (std::is_function_v<object> || !requires { sizeof(object); }) return false;  // or incomplete
        else if constexpr (std::is_lvalue_reference_v<parameter> && !std::is_const_v<std::remove_reference_t<parameter>>)
            return std::is_move_assignable_v<object>;
        else return std::is_move_constructible_v<object>;
    }();

    static const void* get(call_fields* call) noexcept { return address_of(*std::get<Index>(call_from<Signature>(call).args)); }
    static void set(call_fields* call, void* value) {
        if constexpr (replaceable) std::get<Index>(call_from<Signature>(call).args) = std::move(*static_cast<object*>(value));
    }

    static constexpr value_operations table{&identity_of<value_type<parameter>>(), &identity_of<object>(), &get,
                                            replaceable ? &set : nullptr};
};

template <class R, class Signature>
struct result_operations {
    using object = std::remove_cvref_t<R>;
    using set_as = std::conditional_t<std::is_reference_v<R>, referred<std::remove_reference_t<R>>, object>;

    static const void* get(call_fields* call) noexcept {
        return address_of(*call_from<Signature>(call).result);  // NOLINT(bugprone-unchecked-optional-access)
    }
    static void set(call_fields* call, void* value) {
        if constexpr (std::is_lvalue_reference_v<R>) call_from<Signature>(call).result = *static_cast<set_as*>(value)->object;
        else if constexpr (std::is_rvalue_reference_v<R>)
            call_from<Signature>(call).result = std::move(*static_cast<set_as*>(value)->object);
        else call_from<Signature>(call).result.emplace(std::move(*static_cast<set_as*>(value)));
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

// The names are those of one wrapper: another one of the same function may have others.
template <class Signature, class Parameters, class Indices = decltype(shape<Signature>::parameters)>
struct operations_of;
template <class R, class... A, class Parameters, std::size_t... Index>
struct EXTENSIBLE_HIDDEN operations_of<R(A...), Parameters, const std::index_sequence<Index...>> {
    using signature = R(A...);

    static bool has_result(call_fields* call) noexcept { return call_from<signature>(call).result.has_value(); }
    static void reset_result(call_fields* call) noexcept { call_from<signature>(call).result.reset(); }
    static bool take_mark(call_fields* call) noexcept { return access::take_mark(call_from<signature>(call).result); }

    static constexpr value_operations args[sizeof...(Index) + 1]{  // an array cannot be empty
        argument_operations<signature, Index>::table..., value_operations{}};
    static constexpr const type_identity* stage() noexcept {
        if constexpr (coroutine_type<R>) return &identity_of<stage_of<R>>();
        else return nullptr;
    }

    static constexpr call_operations table{{&identity_of<signature>(), stage()},
                                           sizeof...(Index),
                                           args,
                                           Parameters::count != 0 ? static_cast<const std::string_view*>(Parameters::names) : nullptr,
                                           result_operations<outcome_of<R>, signature>::table,
                                           std::is_void_v<outcome_of<R>>,
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
                      is_result ? std::string() : detail::text_of(static_cast<int>(index)), type.empty() ? "" : " as ", type,
                      ", the function is ", signature()}));
}

#endif

}  // namespace ext::inline EXTENSIBLE_ABI
