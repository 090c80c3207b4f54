#pragma once

// Are two modules compatible? They are if their stamps are equal up to the version.
//
// What must stay true:
// 1. The stamp changes if the size or the alignment of a type that modules share changes
//    (tests/registry.cpp; tests/stamp enlarges each of our classes). For any other change of the
//    layout, change the number in EXTENSIBLE_ABI.
// 2. A module reads nothing of another module's registry before it has compared the stamps
//    (tests/stamp).
//
// Not here: the class stamp, with which every registry begins: records/registry_record.hpp.

#include <extensible/any_call.hpp>
#include <extensible/arg.hpp>
#include <extensible/awaiting_proceed.hpp>
#include <extensible/call.hpp>
#include <extensible/detail/awaited/awaited_hook.hpp>
#include <extensible/detail/awaited/counting_guard.hpp>
#include <extensible/detail/call/finishers.hpp>
#include <extensible/detail/call/monitoring.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/system.hpp>
#include <extensible/detail/reclaim/hazard_domain.hpp>
#include <extensible/detail/reclaim/hazard_slots.hpp>
#include <extensible/detail/records/function_record.hpp>
#include <extensible/detail/records/hook_list.hpp>
#include <extensible/detail/records/hook_record.hpp>
#include <extensible/detail/records/ref.hpp>
#include <extensible/detail/records/registry_record.hpp>
#include <extensible/detail/types/text.hpp>
#include <extensible/detail/types/type_identity.hpp>
#include <extensible/detail/types/type_name.hpp>
#include <extensible/error.hpp>
#include <extensible/hook.hpp>
#include <extensible/kwargs.hpp>
#include <extensible/monitor.hpp>
#include <extensible/proceed.hpp>
#include <extensible/result.hpp>
#include <extensible/version.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// The types of the objects that modules share. A template is represented by samples.
using shared_types = type_list<
    // The standard library, and the system.
    std::string, std::string_view, std::vector<int>, std::optional<int>, std::tuple<int, int>, std::exception_ptr,
    mutex,
    // Calls.
    arg<int>, arg<int&>, call<int(int)>, call<void(int&)>, finisher, finishers, call_fields, call_operations,
    function_type, kwarg, kwargs, kwargs::entry, kwarg_value, nanoseconds, referred<int>, result<int>, result<int&>,
    result<void>, type_identity, value_operations,
    // Hooks that run.
    awaited_slot_base, awaiting_proceed<int>, counting_guard, error, hook_error, hook_run, hook_watch,
    hook_watch::timed_rest, rest_of_call<void>, awaited_slot<int>, proceed, run_input,
    // Records.
    change_step, erased_hook, function_record, function_table, hook, hook_entry, hook_group, hook_list, hook_order,
    hook_record, ordered_hook, plugin_record, reference_counted, registry_contents, registry_record, scoped_hook, stamp,
    turn, wrapper_site,
    // Hazard pointers.
    hazard_domain, hazard_slot, thread_hazards>;

// The FNV-1a hash of the sizes and alignments of these types. A stamp has no room for the numbers
// themselves.
template <class... T>
constexpr std::uint32_t hash_layouts(type_list<T...>) noexcept {
    std::uint32_t hash = 2166136261u;
    for (const std::size_t layout : {sizeof(T)..., alignof(T)...})
        hash = static_cast<std::uint32_t>((hash ^ layout) * std::uint64_t{16777619u});
    return hash;
}

EXTENSIBLE_HIDDEN constexpr stamp make_stamp() noexcept {
    stamp made{};
    char* at = made.text;
    const auto write = [&at](std::string_view part) {
        for (const char c : part) *at++ = c;
    };
    write("extensible with layout " EXTENSIBLE_TEXT(EXTENSIBLE_ABI) ", " EXTENSIBLE_STANDARD_LIBRARY ", types ");
    write_number(at, hash_layouts(shared_types()));
    write("; version ");  // check_stamp() ignores the rest
    write(version);
    return made;
}

/// Throws incompatible_module unless `other` is the stamp of a module that is compatible with this
/// one. The error's text begins with `where`; it calls the other module `whose` and this one `mine`.
EXTENSIBLE_COLD_FUNCTION void check_stamp(const stamp& other, std::string_view where, std::string_view whose,
                                          std::string_view mine);

EXTENSIBLE_HIDDEN constexpr registry_record::registry_record(hazard_domain& shared,
                                                             std::size_t initial_references) noexcept
    : stamp(make_stamp()), reference_counted(initial_references), domain(&shared) {
    errors.registry = monitors.registry = this;
}

// -------------------------------------------------------------------------------------------------

#if EXTENSIBLE_BODIES

void check_stamp(const stamp& other, std::string_view where, std::string_view whose, std::string_view mine) {
    static constexpr stamp made = make_stamp();
    const std::string_view own = made.text;
    std::string_view its(other.text, sizeof other.text);
    its = its.substr(0, its.find('\0'));
    if (own.substr(0, own.find(';')) == its.substr(0, its.find(';'))) return;
    raise<incompatible_module>(
        join({where, ": ", whose, " was compiled with ", its, "; ", mine, " with ", own, "; compile both alike"}));
}

EXTENSIBLE_CALLED_BY_USERS registry_record& registry_record::checked() {
    check_stamp(*this, "ext", "the module of the registry", "this module");
    return *this;
}

#endif

}}}  // namespace ext::detail
