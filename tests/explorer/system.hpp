#pragma once

// The machine of mc.hpp in place of the operating system. The library includes this file through
// EXTENSIBLE_SYSTEM_HEADER: see <extensible/detail/platform/system.hpp>.

#include "mc.hpp"

#include <extensible/detail/platform/compiler.hpp>

#include <cstdint>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

template <class T>
using atomic = mc::atomic<T>;

inline void signal_fence(mc::place where = mc::place::here()) noexcept { mc::signal_fence(where); }

inline time_point now() noexcept { return mc::m.time; }

using mutex = mc::mutex;
using condition = mc::condition;

using thread_id = std::uintptr_t;
inline thread_id this_thread_id() noexcept { return mc::m.fibers[mc::m.current].id; }

template <class T, T& Initial>
using thread_pointer = mc::thread_pointer<T, Initial>;

template <void (*Function)() noexcept>
void call_at_thread_end() {
    mc::call_at_thread_end(Function);
}

inline bool enable_process_barrier() noexcept { return mc::m.has_barrier; }
inline void process_barrier(mc::place where = mc::place::here()) noexcept { mc::process_barrier(where); }

}}}  // namespace ext::detail
