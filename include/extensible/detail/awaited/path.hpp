#pragma once

// What happens in an awaited call, step by step? The steps are those of extensible::call_with_hooks(),
// in a coroutine of the function's own type.
//
// What must stay true:
// 1. The call runs the hooks of the list that it protects, on whichever threads it continues
//    (tests/awaitable.cpp, scenarios pin* of tests/explorer).
// 2. All end hooks and finishers run, except awaited ones in a call that is destroyed
//    (tests/awaitable.cpp, tests/out_of_memory_calls.cpp).
//
// Not here: how a single hook runs: awaited_hook.hpp; around hooks: awaiting_proceed.hpp; how the list
// is protected: counting_guard.hpp; calls of functions that are not awaited: wrapper.hpp.

#include <extensible/any_call.hpp>
#include <extensible/awaiting_proceed.hpp>
#include <extensible/call.hpp>
#include <extensible/detail/awaited/awaited_hook.hpp>
#include <extensible/detail/awaited/counting_guard.hpp>
#include <extensible/detail/awaited/end_hooks.hpp>
#include <extensible/detail/call/failures.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/records/function_record.hpp>
#include <extensible/detail/records/hook_list.hpp>
#include <extensible/detail/signature/arguments.hpp>
#include <extensible/detail/signature/awaitable.hpp>
#include <extensible/detail/signature/sub_task.hpp>
#include <extensible/detail/types/invoke.hpp>
#include <extensible/detail/types/private_access.hpp>
#include <extensible/phase.hpp>
#include <extensible/proceed.hpp>
#include <extensible/result.hpp>

#include <optional>
#include <type_traits>
#include <utility>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

#if EXTENSIBLE_COROUTINES

/// Keeps the task that the function returned until the call has ended, if awaiting it yields an lvalue
/// reference: that may refer into the task, as with cppcoro's shared_task. Otherwise keeps nothing.
template <class R>
class function_task {
public:
    /// Returns the task that `begin()` returns. The caller awaits it at once.
    template <class Begin>
    decltype(auto) begin(Begin begin) {
        if constexpr (keeps_task) return std::move(task_.emplace(begin()));
        else return begin();
    }

private:
    static constexpr bool keeps_task = std::is_lvalue_reference_v<outcome_of<R>>;
    struct none {};
    EXTENSIBLE_NO_UNIQUE_ADDRESS std::conditional_t<keeps_task, std::optional<R>, none> task_;
};

#else

template <class R>
class function_task;

#endif

template <class Signature, class Function>
struct awaited_path;

/// The path of a call of a function that returns an awaitable: a coroutine, which begins when the body
/// of the function's own coroutine would. It may be suspended in each step, and continue on another
/// thread. The site and the function must outlive it.
template <class R, class... A, class Function>
struct awaited_path<R(A...), Function> {
    static R run(const wrapper_site& called, Function& function, const call_operations& operations, A... args) {
        // The call runs these hooks, even if others are registered or these are removed meanwhile.
        const counting_guard held(called);
        const hook_list* const hooks = held.list();
        if (!hooks) co_return co_await detail::invoke(function, std::forward<A>(args)...);
        auto call = private_access::make<ext::call<R(A...)>>(hooks->name, operations, args...);
        using own_sub_task = sub_task_of<R>;
        function_task<R> task;
        // The end hooks run even if the call is destroyed while it is suspended.
        awaited_end_hooks end_hooks(call, held);

        // 1. Start hooks. Each sees what the earlier ones did. If one throws, the later ones are
        //    skipped.
        for (const hook_entry* entry = hooks->begin(); entry->run; ++entry) {
            const hook_entry* const hook = detail::hook_in_turn(*entry, call, held);
            if (!hook) continue;
            EXTENSIBLE_TRY {
                if (hook->record->sub_task) co_await detail::begin_hook<own_sub_task>(*hook, call, held);
                else detail::run_on_this_thread(*hook, call, held);
            } EXTENSIBLE_CATCH(...) {
                if (!detail::keep_or_isolate(call, *hook->record, held)) break;
            }
        }

        // 2. The function inside the around hooks, unless the start hooks have set a result or an
        //    exception.
        if (!call.result && !call.exception) {
            EXTENSIBLE_TRY {
                if (const hook_entry& around = *hooks->begin(phase::around); around.run) [[unlikely]] {
                    const rest of_call{{call, &await_function, &held}, function, task};
                    co_await private_access::run<awaiting_proceed<own_sub_task>>(of_call, around);
                } else if constexpr (std::is_void_v<outcome_of<R>>) {
                    // Awaited here, because a sub-task of its own would be another coroutine.
                    co_await task.begin([&] { return begin_function(call, function); }), call.result.emplace();
                } else {
                    call.result.emplace(co_await task.begin([&] { return begin_function(call, function); }));
                }
            } EXTENSIBLE_CATCH(...) {  // the function threw, or a sub-task could not be allocated
                detail::keep_exception(call);
            }
        }

        // 3. All end hooks, even after an exception. Then the finishers that start hooks returned, in
        //    reverse order.
        while (const hook_entry* const hook = end_hooks.next()) {
            EXTENSIBLE_TRY {
                if (hook->record->sub_task) co_await detail::begin_hook<own_sub_task>(*hook, call, held);
                else end_hooks.run(*hook);
            } EXTENSIBLE_CATCH(...) {
                detail::keep_or_isolate(call, *hook->record, held);
            }
        }
        end_hooks.run_finishers();

        // 4. The outcome.
        if (call.exception || detail::has_no_value(call.result)) [[unlikely]] detail::throw_outcome(call);
        if constexpr (std::is_void_v<outcome_of<R>>) co_return;
        else co_return detail::move_out(call.result);
    }

private:
    // What the innermost around hook proceeds to: the function.
    struct rest : rest_of_call<sub_task_of<R>> {
        Function& function;
        function_task<R>& task;
    };

    // Awaits the function for the innermost around hook: rest_of_call::run_function.
    static auto await_function(const rest_of_call<sub_task_of<R>>& erased) -> sub_task_of<R>
        requires coroutine_type<R>
    {
        auto& call = static_cast<ext::call<R(A...)>&>(erased.call);
        const auto& of_call = static_cast<const rest&>(erased);
        call.result.reset();
        EXTENSIBLE_TRY {
            const auto begin = [&] { return begin_function(call, of_call.function); };
            if constexpr (std::is_void_v<outcome_of<R>>) co_await of_call.task.begin(begin), call.result.emplace();
            else call.result.emplace(co_await of_call.task.begin(begin));
        } EXTENSIBLE_CATCH(...) {
            detail::keep_exception(call);
        }
    }

    static R begin_function(ext::call<R(A...)>& call, Function& function) {
        call.original_ran = true;
        return pass_on<true>(call, [&](auto&&... passed) -> R {
            return detail::invoke(function, std::forward<decltype(passed)>(passed)...);
        });
    }
};

}}}  // namespace ext::detail
