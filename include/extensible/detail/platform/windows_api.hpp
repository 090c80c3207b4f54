#pragma once

// Which functions of Windows does the core use?
//
// They are declared here because Windows' own headers are large, and define macros for names that
// other code uses.
//
// What must stay true: the declarations agree with Windows' own. <windows.h> may be included before
// or after this header (tests/windows/header_before.cpp, tests/windows/header_after.cpp).
//
// Not here: functions that open shared libraries: shared_library.hpp.

#include <extensible/detail/platform/compiler.hpp>

#if defined(_WIN32)

#include <cstdint>

struct _RTL_SRWLOCK;
struct _RTL_CONDITION_VARIABLE;
union _LARGE_INTEGER;
struct HINSTANCE__;

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail { namespace windows {

extern "C" {
__declspec(dllimport) void __stdcall AcquireSRWLockExclusive(::_RTL_SRWLOCK*);
__declspec(dllimport) void __stdcall ReleaseSRWLockExclusive(::_RTL_SRWLOCK*);
__declspec(dllimport) int __stdcall SleepConditionVariableSRW(::_RTL_CONDITION_VARIABLE*, ::_RTL_SRWLOCK*,
                                                              unsigned long, unsigned long);
__declspec(dllimport) void __stdcall WakeAllConditionVariable(::_RTL_CONDITION_VARIABLE*);
__declspec(dllimport) int __stdcall QueryPerformanceCounter(::_LARGE_INTEGER*);
__declspec(dllimport) int __stdcall QueryPerformanceFrequency(::_LARGE_INTEGER*);
__declspec(dllimport) unsigned long __stdcall GetCurrentThreadId();
__declspec(dllimport) void __stdcall FlushProcessWriteBuffers();
__declspec(dllimport) ::HINSTANCE__* __stdcall GetModuleHandleW(const wchar_t*);
__declspec(dllimport) std::intptr_t(__stdcall* __stdcall GetProcAddress(::HINSTANCE__*, const char*))();
#if defined(EXTENSIBLE_EMULATED_THREAD_LOCAL)
__declspec(dllimport) unsigned long __stdcall TlsAlloc();
__declspec(dllimport) void* __stdcall TlsGetValue(unsigned long);
__declspec(dllimport) int __stdcall TlsSetValue(unsigned long, void*);
__declspec(dllimport) int __stdcall TlsFree(unsigned long);
__declspec(dllimport) int __stdcall GetModuleHandleExW(unsigned long, const wchar_t*, ::HINSTANCE__**);
#endif
}

}}}}  // namespace ext::detail::windows

#endif
