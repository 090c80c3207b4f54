#pragma once

// What is a hook handed that is for any function? One call, whose types are asked for while the program runs.

#include <extensible/detail/call_operations.hpp>
#include <extensible/detail/type_name.hpp>
#include <extensible/error.hpp>
#include <extensible/kwargs.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace ext {

/// One call of a function of any signature: a view of its ext::call, which copies nothing to be looked at. What
/// ext::call says of lifetime and threads holds here too.
///
/// Types are compared exactly, without `const` and references: an argument for a parameter `const std::string&` is a
/// std::string, and no std::string_view.
class any_call {
public:
    /// The function's name. Valid during the call.
    std::string_view name() const noexcept { return operations_->fields(call_).name; }

    /// The function's signature as one writes it: "std::string(std::string_view)".
    std::string_view signature() const noexcept { return operations_->signature->name; }

    /// The number of arguments, without a last ext::kwargs.
    std::size_t size() const noexcept { return operations_->size; }

    /// The argument number `index`, counted from 0, where it now stands. Null when it is no T, or there are fewer.
    template <class T>
    const std::remove_cvref_t<T>* arg(std::size_t index) const noexcept {
        if (index >= size() || !(*operations_->args[index].type == type_of<T>())) return nullptr;
        return static_cast<const std::remove_cvref_t<T>*>(operations_->args[index].get(call_));
    }

    /// The name given to the parameter by ext::params, else empty.
    std::string_view arg_name(std::size_t index) const noexcept {
        return operations_->names && index < size() ? operations_->names[index] : std::string_view();
    }

    /// Replaces an argument, as assigning to an ext::arg does. A string literal is taken as a std::string where that fits.
    /// Throws signature_mismatch when the parameter has another type, or there is none of this number.
    template <class T>
    void set_arg(std::size_t index, T&& value) const {
        if (index >= size()) throw_mismatch(index, "");
        set(operations_->args[index], index, std::forward<T>(value));
    }

    /// Named arguments beyond the parameters, as in ext::call.
    ext::kwargs& kwargs() const noexcept { return operations_->fields(call_).kwargs; }

    /// The result if there is one, and it is a T; else null. For a result `T&` the object that it refers to.
    template <class T>
    const std::remove_cvref_t<T>* result() const noexcept {
        if (!has_result() || !(*operations_->result.type == type_of<T>())) return nullptr;
        return static_cast<const std::remove_cvref_t<T>*>(operations_->result.get(call_));
    }

    /// Whether there is a result, of whatever type; for a function that returns nothing, whether it counts as returned.
    bool has_result() const noexcept { return operations_->has_result(call_); }

    /// Sets or replaces the result. A string literal is taken as a std::string where that fits; for a result `T&` the value
    /// is a std::reference_wrapper<T>. Throws signature_mismatch when the function's result has another type.
    template <class T>
    void set_result(T&& value) const {
        set(operations_->result, the_result, std::forward<T>(value));
    }

    /// For a function that returns nothing: it counts as having returned. Throws signature_mismatch for any other.
    void set_result() const {
        if (!operations_->result_is_void) throw_mismatch(the_result, "void");
        operations_->result.set(call_, nullptr);
    }

    /// What was thrown, null if nothing was; may be changed as in ext::call.
    std::exception_ptr& exception() const noexcept { return operations_->fields(call_).exception; }

    /// Whether the function underneath was called, also when it threw.
    bool original_ran() const noexcept { return operations_->fields(call_).original_ran; }

    /// Library use: a view of `call`, an ext::call that these operations are for.
    any_call(void* call, const detail::call_operations& operations) noexcept : call_(call), operations_(&operations) {}
    void* erased() const noexcept { return call_; }
    const detail::call_operations& operations() const noexcept { return *operations_; }

private:
    template <class T>
    static constexpr const detail::type_identity& type_of() noexcept {
        return detail::identity_of<std::remove_cvref_t<T>>();
    }

    static constexpr std::size_t the_result = static_cast<std::size_t>(-1);  // in place of an argument's number

    template <class T>
    void set(const detail::value_operations& place, std::size_t index, T&& value) const {
        using exact = std::decay_t<T>;
        using kept = detail::kept_type<T>;
        if (place.set && *place.set_type == detail::identity_of<exact>()) {
            exact made(std::forward<T>(value));
            place.set(call_, &made);
        } else if (!std::same_as<exact, kept> && place.set && *place.set_type == detail::identity_of<kept>()) {
            kept made(std::forward<T>(value));
            place.set(call_, &made);
        } else {
            throw_mismatch(index, detail::type_name<exact>());
        }
    }

    // The type is of no account, and empty, where there is no such argument.
    [[noreturn]] void throw_mismatch(std::size_t index, std::string_view type) const {
        throw signature_mismatch(std::string(name()) + ": a hook sets " +
                                 (index == the_result ? "the result" : "argument " + std::to_string(index)) +
                                 (type.empty() ? "" : " as " + std::string(type)) + ", the function is " +
                                 std::string(signature()));
    }

    void* call_;
    const detail::call_operations* operations_;
};

}  // namespace ext
