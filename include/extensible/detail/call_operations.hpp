#pragma once

// How is a call used by code that does not know its signature? By a table of functions that do.

#include <extensible/call.hpp>
#include <extensible/detail/awaitable.hpp>
#include <extensible/detail/signature.hpp>
#include <extensible/detail/type_name.hpp>
#include <extensible/kwargs.hpp>
#include <extensible/params.hpp>

#include <array>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace ext::detail {

/// What stands in each call, whatever its signature.
struct call_fields {
    std::string_view& name;
    ext::kwargs& kwargs;
    std::exception_ptr& exception;
    bool& original_ran;
};

/// How an argument or the result is read and written.
struct value_operations {
    const type_identity* type;           // without const and reference
    const type_identity* set_type;       // what `set` takes
    const void* (*get)(void* call) noexcept;
    void (*set)(void* call, void* value);  // moves from a `set_type`; null where it cannot be replaced
};

/// All that can be done with calls of one signature, and what their parameters are called. `call` is the ext::call.
struct call_operations {
    const type_identity* signature;
    const type_identity* stage;     // stage_of the result type; null where the function is not awaited
    std::size_t size;               // how many arguments
    const value_operations* args;
    const std::string_view* names;  // null where the parameters have none
    value_operations result;
    bool result_is_void;
    bool (*has_result)(void* call) noexcept;
    void (*reset_result)(void* call) noexcept;
    call_fields (*fields)(void* call) noexcept;
};

template <class Signature>
ext::call<Signature>& call_from(void* call) noexcept {
    return *static_cast<ext::call<Signature>*>(call);
}

template <class Signature, std::size_t Index>
struct argument_operations {
    using parameter = typename shape<Signature>::template parameter_type<Index>;
    using object = std::remove_cvref_t<parameter>;
    static constexpr bool replaceable = [] {
        if constexpr (!requires { sizeof(object); }) return false;  // incomplete, or a function
        else if constexpr (std::is_lvalue_reference_v<parameter> && !std::is_const_v<std::remove_reference_t<parameter>>)
            return std::is_move_assignable_v<object>;
        else return std::is_move_constructible_v<object>;
    }();

    static const void* get(void* call) noexcept { return std::addressof(*std::get<Index>(call_from<Signature>(call).args)); }
    static void set(void* call, void* value) {
        if constexpr (replaceable) std::get<Index>(call_from<Signature>(call).args) = std::move(*static_cast<object*>(value));
    }

    static constexpr value_operations table{&identity_of<object>(), &identity_of<object>(), &get,
                                            replaceable ? &set : nullptr};
};

template <class R, class Signature>
struct result_operations {
    using object = std::remove_cvref_t<R>;
    using set_as = std::conditional_t<std::is_reference_v<R>, std::reference_wrapper<std::remove_reference_t<R>>, object>;

    static const void* get(void* call) noexcept { return std::addressof(*call_from<Signature>(call).result); }
    static void set(void* call, void* value) {
        if constexpr (std::is_lvalue_reference_v<R>) call_from<Signature>(call).result = static_cast<set_as*>(value)->get();
        else if constexpr (std::is_rvalue_reference_v<R>)
            call_from<Signature>(call).result = std::move(static_cast<set_as*>(value)->get());
        else call_from<Signature>(call).result.emplace(std::move(*static_cast<set_as*>(value)));
    }

    static constexpr value_operations table{&identity_of<object>(), &identity_of<set_as>(), &get, &set};
};
template <class Signature>
struct result_operations<void, Signature> {
    static const void* get(void*) noexcept { return nullptr; }
    static void set(void* call, void*) { call_from<Signature>(call).result.emplace(); }

    static constexpr value_operations table{&identity_of<void>(), &identity_of<void>(), &get, &set};
};

// The names are those of one wrapper: another one of the same function may have others.
template <class Signature, class Parameters, class Indices = decltype(shape<Signature>::parameters)>
struct operations_of;
template <class R, class... A, class Parameters, std::size_t... Index>
struct [[gnu::visibility("hidden")]] operations_of<R(A...), Parameters, const std::index_sequence<Index...>> {
    using signature = R(A...);

    static bool has_result(void* call) noexcept { return call_from<signature>(call).result.has_value(); }
    static void reset_result(void* call) noexcept { call_from<signature>(call).result.reset(); }
    static call_fields fields(void* call) noexcept {
        auto& typed = call_from<signature>(call);
        return {typed.name, typed.kwargs, typed.exception, typed.original_ran};
    }

    static constexpr std::array<value_operations, sizeof...(Index) + 1> args{  // an array cannot be empty
        argument_operations<signature, Index>::table..., value_operations{}};
    static constexpr const type_identity* stage() noexcept {
        if constexpr (coroutine_type<R>) return &identity_of<stage_of<R>>();
        else return nullptr;
    }

    static constexpr call_operations table{&identity_of<signature>(),
                                           stage(),
                                           sizeof...(Index),
                                           args.data(),
                                           Parameters::count != 0 ? Parameters::names.data() : nullptr,
                                           result_operations<outcome_of<R>, signature>::table,
                                           std::is_void_v<outcome_of<R>>,
                                           &has_result,
                                           &reset_result,
                                           &fields};
};

}  // namespace ext::detail
