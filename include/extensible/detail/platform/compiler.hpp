#pragma once

// What differs between compilers, between systems, and between the two ways of building the library?
//
// The two ways are:
// - Header-only: each translation unit compiles what it uses.
// - Compiled: code that is not a template is compiled once for each module (the program, a shared
//   library). All sources of the module are compiled with EXTENSIBLE_COMPILED, and
//   <extensible/extensible.cpp> is one of them.
//
// All sources of a plugin may be compiled with EXTENSIBLE_DYNAMIC_TLS. The plugin can then be
// reloaded any number of times (tests/library/library.cpp).
//
// What must stay true: attributes of a single compiler are only here, except `__declspec(dllimport)`
// where functions of Windows are declared. The code for MSVC and for
// Apple's compiler is untested.

// If the compiler cannot compile the library, this is the only error. GCC and Clang continue after
// an #error, but stop at a header that does not exist.
#if defined(_MSVC_LANG)
#if _MSVC_LANG < 202002L
#error "extensible needs C++20: compile with /std:c++20"
#endif
#elif defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 11
#include <extensible needs GCC 11 or newer>
#elif __cplusplus < 202002L
#include <extensible needs C++20, compile with -std=c++20>
#endif

#include <version>  // defines the macros that identify the standard library

// EXTENSIBLE_QUIET: 1 if the library's code is marked as that of a system header, for which compilers
// report no warnings. Otherwise a program might get warnings of local variables that have the names of
// its global variables, and of casts that are useless only on its platform. Each public header marks
// itself before its includes, which marks the included headers, too. The tests of the library define
// EXTENSIBLE_ALL_WARNINGS, except tests/warnings.
#if defined(__GNUC__) && !defined(EXTENSIBLE_ALL_WARNINGS)
#define EXTENSIBLE_QUIET 1
#else
#define EXTENSIBLE_QUIET 0
#endif

// EXTENSIBLE_EXCEPTIONS: 1 if this translation unit is compiled with exceptions, otherwise 0.
//
// EXTENSIBLE_TRY { } EXTENSIBLE_CATCH(...) { } is try and catch. Without exceptions, only the first
// block is run. Use only one EXTENSIBLE_CATCH for each EXTENSIBLE_TRY. EXTENSIBLE_RETHROW in the
// second block is `throw`. The library's own errors are thrown by detail::raise().
#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
#define EXTENSIBLE_EXCEPTIONS 1
#define EXTENSIBLE_TRY try
#define EXTENSIBLE_CATCH(...) catch (__VA_ARGS__)
#define EXTENSIBLE_RETHROW throw
#define EXTENSIBLE_ABI_OF(name) name
#else
#define EXTENSIBLE_EXCEPTIONS 0
#define EXTENSIBLE_TRY if constexpr (true)
#define EXTENSIBLE_CATCH(...) else
#define EXTENSIBLE_RETHROW static_cast<void>(0)
#define EXTENSIBLE_ABI_OF(name) name##_no_exceptions
#endif

#if defined(EXTENSIBLE_COMPILED) && !defined(EXTENSIBLE_IMPLEMENTATION)
#define EXTENSIBLE_BODIES 0
#else
#define EXTENSIBLE_BODIES 1  // the bodies of non-template functions are compiled in this translation unit
#endif

// EXTENSIBLE_HIDDEN: each module has its own copy of this function, variable or class, whatever the
// module's default visibility. Otherwise the dynamic linker would combine one module's code with
// another's storage, or prevent a library from ever being unloaded.
//
// EXTENSIBLE_VISIBLE: modules can share this symbol.
#if defined(__GNUC__) && !defined(_WIN32)
#define EXTENSIBLE_HIDDEN [[gnu::__visibility__("hidden")]]
#define EXTENSIBLE_VISIBLE [[gnu::__visibility__("default")]]
#else
#define EXTENSIBLE_HIDDEN
#define EXTENSIBLE_VISIBLE
#endif

// EXTENSIBLE_EXPORT: a program that opens this module as a shared library can find this by its name.
#if defined(_WIN32)
#define EXTENSIBLE_EXPORT __declspec(dllexport)
#else
#define EXTENSIBLE_EXPORT EXTENSIBLE_VISIBLE
#endif

// EXTENSIBLE_SHARED_VARIABLE: modules that can see each other's symbols share one copy of this
// variable. It is weak, so that every translation unit may define it. It is not `inline`, because
// GCC would then make it a unique symbol, and a library that uses its own copy could never be
// unloaded.
#if defined(__ELF__) || defined(__APPLE__)
#define EXTENSIBLE_SHARED_VARIABLE [[gnu::__weak__, gnu::__visibility__("default")]]
#else
#define EXTENSIBLE_SHARED_VARIABLE inline
#endif

// EXTENSIBLE_NOINLINE: calls of this function are not inlined. GCC must not analyse the function
// either (noipa). Otherwise GCC treats a function that always calls a cold function as cold, and so
// on up to the application's functions. A main() that registers a hook would be compiled for size, with all
// its loops.
//
// EXTENSIBLE_COLD: the function is rarely called, and is compiled for size.
#if defined(__GNUC__) || defined(__clang__)
#if defined(__clang__)
#define EXTENSIBLE_NOINLINE [[gnu::__noinline__]]
#else
#define EXTENSIBLE_NOINLINE [[gnu::__noipa__]]
#endif
#define EXTENSIBLE_COLD [[gnu::__cold__]]
#define EXTENSIBLE_ALWAYS_INLINE [[gnu::__always_inline__]]
#elif defined(_MSC_VER)
#define EXTENSIBLE_NOINLINE [[msvc::noinline]]
#define EXTENSIBLE_COLD
#define EXTENSIBLE_ALWAYS_INLINE [[msvc::forceinline]]
#else
#define EXTENSIBLE_NOINLINE
#define EXTENSIBLE_COLD
#define EXTENSIBLE_ALWAYS_INLINE
#endif

// EXTENSIBLE_NO_UNIQUE_ADDRESS: the member takes no space if it is empty. The standard attribute has
// no effect in MSVC's layout of classes, and Clang supports MSVC's own attribute since version 18.
#if !defined(_MSC_VER)
#define EXTENSIBLE_NO_UNIQUE_ADDRESS [[no_unique_address]]
#elif __has_cpp_attribute(msvc::no_unique_address)
#define EXTENSIBLE_NO_UNIQUE_ADDRESS [[msvc::no_unique_address]]
#else
#define EXTENSIBLE_NO_UNIQUE_ADDRESS
#endif

// EXTENSIBLE_PADDED_BEGIN and EXTENSIBLE_PADDED_END surround a class that is larger than its members
// because of its alignment. Otherwise MSVC warns about it.
#if defined(_MSC_VER)
#define EXTENSIBLE_PADDED_BEGIN __pragma(warning(push)) __pragma(warning(disable : 4324))
#define EXTENSIBLE_PADDED_END __pragma(warning(pop))
#else
#define EXTENSIBLE_PADDED_BEGIN
#define EXTENSIBLE_PADDED_END
#endif

// EXTENSIBLE_THREAD_POINTER: a thread-local pointer of this module. A shared library normally calls
// the dynamic linker to find its thread-local storage. That is too slow for each call of a function.
// Therefore the pointer is in static thread-local storage, which has a fixed offset. glibc reserves
// some of it for libraries that are opened later, enough for about fifty of them. It does not reuse
// the room of a library that is closed after its successor is opened, as in a reload. So plugins
// that are often reloaded need EXTENSIBLE_DYNAMIC_TLS.
#if defined(__PIC__) && !defined(__PIE__) && defined(__GLIBC__) && !defined(EXTENSIBLE_DYNAMIC_TLS)
#define EXTENSIBLE_THREAD_POINTER [[gnu::__visibility__("hidden"), gnu::__tls_model__("initial-exec")]]
#else
#define EXTENSIBLE_THREAD_POINTER EXTENSIBLE_HIDDEN
#endif

// EXTENSIBLE_EMULATED_THREAD_LOCAL: thread_local is emulated. It is slow, and the storage of a thread
// is freed before its thread_local objects are destroyed.
#if defined(__MINGW32__) && !defined(__clang__)
#define EXTENSIBLE_EMULATED_THREAD_LOCAL
#endif

// Attributes of functions that are not templates. Their bodies are compiled if EXTENSIBLE_BODIES is 1.
//
// EXTENSIBLE_COLD_FUNCTION: the function is rarely called, and compiled for size. Write it at the
// declaration.
//
// EXTENSIBLE_CALLED_BY_USERS: calls run the function, or the application calls it to register or to
// wrap something. See EXTENSIBLE_NOINLINE. Write it at the definition, because GCC warns about it at
// a declaration.
#if defined(EXTENSIBLE_COMPILED)
#define EXTENSIBLE_COLD_FUNCTION EXTENSIBLE_COLD EXTENSIBLE_HIDDEN
#define EXTENSIBLE_CALLED_BY_USERS EXTENSIBLE_NOINLINE EXTENSIBLE_HIDDEN
#else
#define EXTENSIBLE_COLD_FUNCTION EXTENSIBLE_COLD EXTENSIBLE_HIDDEN inline
#define EXTENSIBLE_CALLED_BY_USERS EXTENSIBLE_NOINLINE EXTENSIBLE_HIDDEN inline
#endif

// EXTENSIBLE_LAZY_FUNCTION and EXTENSIBLE_LAZY_BODY: the declaration and the definition of a function
// that few files call. In header-only mode it is a template, so that only those files compile it.
#if defined(EXTENSIBLE_COMPILED)
#define EXTENSIBLE_LAZY_FUNCTION EXTENSIBLE_HIDDEN
#define EXTENSIBLE_LAZY_BODY
#else
#define EXTENSIBLE_LAZY_FUNCTION template <class = void> EXTENSIBLE_HIDDEN
#define EXTENSIBLE_LAZY_BODY template <class>
#endif

// EXTENSIBLE_COROUTINES: 1 if the standard library has <coroutine>, otherwise 0. Without it, calls
// cannot be awaited.
#if __has_include(<coroutine>)
#define EXTENSIBLE_COROUTINES 1
#else
#define EXTENSIBLE_COROUTINES 0
#endif

// EXTENSIBLE_ABI: the inline namespace of the whole library. If two modules use different layouts,
// their functions have different names, so the dynamic linker cannot confuse them. Change the number
// whenever the layout changes. The layout also depends on the standard library and its debug mode.
// The name also depends on exceptions, because code that is compiled without them must not replace
// code that catches exceptions.
#if defined(_GLIBCXX_DEBUG) || (defined(_ITERATOR_DEBUG_LEVEL) && _ITERATOR_DEBUG_LEVEL > 0)
#define EXTENSIBLE_ABI EXTENSIBLE_ABI_OF(abi_3_debug)
#elif defined(_LIBCPP_VERSION)
#define EXTENSIBLE_ABI EXTENSIBLE_ABI_OF(abi_3_libcpp)
#else
#define EXTENSIBLE_ABI EXTENSIBLE_ABI_OF(abi_3)
#endif

#define EXTENSIBLE_TEXT_OF(...) #__VA_ARGS__
#define EXTENSIBLE_TEXT(...) EXTENSIBLE_TEXT_OF(__VA_ARGS__)

// EXTENSIBLE_STANDARD_LIBRARY: the name of the standard library, for the stamp of a module.
//
// EXTENSIBLE_CHRONO_SECONDS, EXTENSIBLE_CHRONO_MINUTES: the types in which std::chrono::seconds and
// std::chrono::minutes count.
#if defined(_LIBCPP_ABI_VERSION)
#define EXTENSIBLE_STANDARD_LIBRARY "libc++ with ABI " EXTENSIBLE_TEXT(_LIBCPP_ABI_VERSION)
#define EXTENSIBLE_CHRONO_SECONDS long long
#define EXTENSIBLE_CHRONO_MINUTES long
#elif defined(__GLIBCXX__)
#if defined(_GLIBCXX_DEBUG)
#define EXTENSIBLE_STANDARD_LIBRARY "libstdc++ in debug mode, new ABI " EXTENSIBLE_TEXT(_GLIBCXX_USE_CXX11_ABI)
#else
#define EXTENSIBLE_STANDARD_LIBRARY "libstdc++, new ABI " EXTENSIBLE_TEXT(_GLIBCXX_USE_CXX11_ABI)
#endif
#define EXTENSIBLE_CHRONO_SECONDS std::int64_t
#define EXTENSIBLE_CHRONO_MINUTES std::int64_t
#else
#if defined(_ITERATOR_DEBUG_LEVEL)
#define EXTENSIBLE_STANDARD_LIBRARY "MSVC's library, iterator debug level " EXTENSIBLE_TEXT(_ITERATOR_DEBUG_LEVEL)
#else
#define EXTENSIBLE_STANDARD_LIBRARY "another library"
#endif
#define EXTENSIBLE_CHRONO_SECONDS long long
#define EXTENSIBLE_CHRONO_MINUTES int
#endif

// EXTENSIBLE_FUNCTION_TEXT: the name of the function that contains it, with its template arguments.
#if defined(_MSC_VER) && !defined(__clang__)
#define EXTENSIBLE_FUNCTION_TEXT __FUNCSIG__
#else
#define EXTENSIBLE_FUNCTION_TEXT __PRETTY_FUNCTION__
#endif

// EXTENSIBLE_TEXT_IS_NUMBERS: 1 if the compiler prints the characters in a template argument of class
// type as numbers, otherwise 0.
#if defined(__clang__) && __clang_major__ < 15
#define EXTENSIBLE_TEXT_IS_NUMBERS 1
#else
#define EXTENSIBLE_TEXT_IS_NUMBERS 0
#endif

// EXTENSIBLE_EXCEPTIONS_ARE_COPIED: 1 if each call of std::current_exception() copies the exception,
// otherwise 0.
#if defined(_MSC_VER)
#define EXTENSIBLE_EXCEPTIONS_ARE_COPIED 1
#else
#define EXTENSIBLE_EXCEPTIONS_ARE_COPIED 0
#endif

// EXTENSIBLE_POSIX, EXTENSIBLE_WINDOWS: 1 if the functions for this system are compiled, otherwise 0.
// Both are 0 if the program replaces these functions: see system.hpp.
#if defined(EXTENSIBLE_SYSTEM_HEADER)
#define EXTENSIBLE_POSIX 0
#define EXTENSIBLE_WINDOWS 0
#elif defined(_WIN32)
#define EXTENSIBLE_POSIX 0
#define EXTENSIBLE_WINDOWS 1
#else
#define EXTENSIBLE_POSIX 1
#define EXTENSIBLE_WINDOWS 0
#endif

// This line has a purpose only in the single file that .ci/amalgamate writes: it marks the rest of it.
#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif
