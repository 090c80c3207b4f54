#pragma once

// What do ready-made hooks use of the library, apart from its public names? Besides this header, they
// need only platform/compiler.hpp of extensible/detail. These names may change in any version.
//
// What is public, and often enough: ext::any_call with failed(), arg() and result(), for hooks of
// functions of any signature; ext::failed, for results that mean a failure.

#include <extensible/call.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/system.hpp>
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

#include <memory>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace hooks { namespace detail {

// ---- Errors and texts ----------------------------------------------------------------------------

/// raise<Error>(text) throws an error of the library. Without exceptions, the handler of
/// ext::on_error() receives it, and the program ends.
using ext::detail::raise;

/// join({text, ...}) returns the texts as one std::string. It compiles to less code than operator+.
using ext::detail::join;

/// text_of(exception) returns what() of a std::exception_ptr, or a text that says why there is none.
using ext::detail::text_of;

/// type_name<T>() returns the name of a type as the errors of the library write it.
using ext::detail::type_name;

/// always_false<T> is false, for a static_assert that fails only if its template is instantiated.
using ext::detail::always_false;

// ---- Objects that hooks share ---------------------------------------------------------------------

/// Does what std::make_shared() does. With that, GCC creates a unique symbol, and a library that has one
/// can never be unloaded.
template <class T, class... A>
std::shared_ptr<T> make_shared(A&&... args) {
    return std::shared_ptr<T>(new T(std::forward<A>(args)...));
}

/// atomic<T> is std::atomic<T>. Hooks that publish data through an atomic use this name, because tests/explorer
/// replaces it.
using ext::detail::atomic;

// ---- Functions and their arguments ---------------------------------------------------------------

/// signature_of<Function> is the signature R(A...) of a function pointer, a member function pointer,
/// or a function object that has one operator().
using ext::detail::signature_of;

/// shape<Signature>::args is the std::tuple of the ext::arg that the call has as `args`.
using ext::detail::shape;

/// kept_type<T> is the type in which a hook keeps a T beyond the call: std::string for a std::string_view
/// or a C string, and otherwise T without const and reference.
using ext::detail::kept_type;

/// is_copyable<T> is true if a T can be copied. Unlike std::is_copy_constructible, it also looks at
/// the elements of a container.
using ext::detail::is_copyable;

/// pass_on<true>(call, function) calls `function` with the arguments of the call. Those that are taken by
/// value are copied if they can be. The others, and those of a `T&&`, are moved.
using ext::detail::pass_on;

/// private_access::make<any_call>(call) returns a view of the ext::call of one signature.
using ext::detail::private_access;

// ---- Awaited calls -------------------------------------------------------------------------------

/// coroutine_type<R> is true if calls of a function that returns R are awaited.
using ext::detail::coroutine_type;

/// outcome_of<R> is the type of the result that hooks see: R itself, or what awaiting an R returns.
using ext::detail::outcome_of;

/// sub_task_of<R> is the coroutine type of a hook that is awaited in calls of a function that returns
/// R. It is void if calls are not awaited, and sub_task unless R can only await coroutines of its own
/// family.
using ext::detail::sub_task_of;

/// A coroutine without a result, which coroutines of almost any type can await.
using ext::detail::sub_task;

}}}}  // namespace ext::hooks::detail
