#pragma once

// What differs between compilers, between systems and between the two ways of building the library? Nowhere else is there an
// attribute of one compiler. What is here for MSVC and Apple's compiler is untested.
//
// Two ways of building: header-only, where each translation unit compiles what it uses; and compiled, where everything that is
// no template is compiled once for each module (the program, a shared library): all of its sources are compiled with
// EXTENSIBLE_COMPILED defined, and <extensible/extensible.cpp> is one of them.
//
// All sources of a plugin may be compiled with EXTENSIBLE_DYNAMIC_TLS: it can then be loaded anew any number of times.

// If the compiler cannot compile the library, this is the only error: GCC and Clang go on after #error, and stop at a header that
// they do not find.
#if defined(_MSVC_LANG)
#if _MSVC_LANG < 202002L
#error "extensible needs C++20: compile with /std:c++20"
#endif
#elif defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 11
#include <extensible needs GCC 11 or newer>
#elif __cplusplus < 202002L
#include <extensible needs C++20, compile with -std=c++20>
#endif

#include <version>  // tells which standard library it is

// EXTENSIBLE_EXCEPTIONS: 1 where this is compiled with exceptions, else 0.
//
// EXTENSIBLE_TRY { } EXTENSIBLE_CATCH(...) { } is try and catch; without exceptions the first block alone, and one such block
// may follow. EXTENSIBLE_RETHROW in the second block is `throw`. The library's own errors are thrown by detail::raise().
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
#define EXTENSIBLE_BODIES 1  // function bodies are compiled in this translation unit
#endif

// EXTENSIBLE_HIDDEN: each module has its own of this, however it is compiled. The dynamic linker would otherwise mix one
// module's code with another's storage, or keep a library from ever being unloaded.
#if defined(__GNUC__) && !defined(_WIN32)
#define EXTENSIBLE_HIDDEN [[gnu::__visibility__("hidden")]]
#define EXTENSIBLE_VISIBLE [[gnu::__visibility__("default")]]
#else
#define EXTENSIBLE_HIDDEN
#define EXTENSIBLE_VISIBLE
#endif

// EXTENSIBLE_EXPORT: whoever opens this module as a shared library finds this by its name.
#if defined(_WIN32)
#define EXTENSIBLE_EXPORT __declspec(dllexport)
#else
#define EXTENSIBLE_EXPORT EXTENSIBLE_VISIBLE
#endif

// EXTENSIBLE_SHARED_VARIABLE: all modules that can see each other's have this variable in common. It is not `inline`, because GCC
// would then mark it as unique, and a library that had to use its own could never be unloaded; but weak, so that every
// translation unit may have it all the same.
#if defined(__ELF__) || defined(__APPLE__)
#define EXTENSIBLE_SHARED_VARIABLE [[gnu::__weak__, gnu::__visibility__("default")]]
#else
#define EXTENSIBLE_SHARED_VARIABLE inline
#endif

// EXTENSIBLE_NOINLINE: GCC must not look inside either. It takes a function that always calls a cold one for cold itself, and so on
// up to the application's: a main that registers a hook would be compiled for size, with all its loops.
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

// The standard attribute has no effect where MSVC's layout is used, and Clang knows the other one since version 18.
#if !defined(_MSC_VER)
#define EXTENSIBLE_NO_UNIQUE_ADDRESS [[no_unique_address]]
#elif __has_cpp_attribute(msvc::no_unique_address)
#define EXTENSIBLE_NO_UNIQUE_ADDRESS [[msvc::no_unique_address]]
#else
#define EXTENSIBLE_NO_UNIQUE_ADDRESS
#endif

// Around classes that are larger than their members because they are aligned, of which MSVC warns.
#if defined(_MSC_VER)
#define EXTENSIBLE_PADDED_BEGIN __pragma(warning(push)) __pragma(warning(disable : 4324))
#define EXTENSIBLE_PADDED_END __pragma(warning(pop))
#else
#define EXTENSIBLE_PADDED_BEGIN
#define EXTENSIBLE_PADDED_END
#endif

// EXTENSIBLE_THREAD_POINTER: a thread-local pointer of this module. In a shared library the way to thread-local storage is a call
// of the dynamic linker. A pointer is small enough for the room that glibc keeps for such storage at a fixed distance, also in
// libraries that are opened later. It has room for some fifty of them, and does not use it again where one is opened before
// another is closed: EXTENSIBLE_DYNAMIC_TLS is for those that are loaded anew.
#if defined(__PIC__) && !defined(__PIE__) && defined(__GLIBC__) && !defined(EXTENSIBLE_DYNAMIC_TLS)
#define EXTENSIBLE_THREAD_POINTER [[gnu::__visibility__("hidden"), gnu::__tls_model__("initial-exec")]]
#else
#define EXTENSIBLE_THREAD_POINTER EXTENSIBLE_HIDDEN
#endif

// EXTENSIBLE_EMULATED_THREAD_LOCAL: thread_local variables are slow, and are freed before objects among them are destroyed.
#if defined(__MINGW32__) && !defined(__clang__)
#define EXTENSIBLE_EMULATED_THREAD_LOCAL
#endif

// What is said of a function that is not a template. Its body is compiled where EXTENSIBLE_BODIES is 1.
//
// EXTENSIBLE_COLD_FUNCTION: it is rarely called, and small rather than fast. Said where it is declared; of a member of a hidden class, where
// it is defined.
// EXTENSIBLE_CALLED_BY_USERS: calls run it, or an application calls it, to register or to wrap; see EXTENSIBLE_NOINLINE. Said where it
// is defined, since GCC warns of it at a declaration.
#if defined(EXTENSIBLE_COMPILED)
#define EXTENSIBLE_COLD_FUNCTION EXTENSIBLE_COLD EXTENSIBLE_HIDDEN
#define EXTENSIBLE_CALLED_BY_USERS EXTENSIBLE_NOINLINE EXTENSIBLE_HIDDEN
#else
#define EXTENSIBLE_COLD_FUNCTION EXTENSIBLE_COLD EXTENSIBLE_HIDDEN inline
#define EXTENSIBLE_CALLED_BY_USERS EXTENSIBLE_NOINLINE EXTENSIBLE_HIDDEN inline
#endif

// The same for a function that few files use: its declaration, and its body. Where each file compiles what it uses it is a template,
// so that the other files do not pay for it.
#if defined(EXTENSIBLE_COMPILED)
#define EXTENSIBLE_LAZY_FUNCTION EXTENSIBLE_HIDDEN
#define EXTENSIBLE_LAZY_BODY
#else
#define EXTENSIBLE_LAZY_FUNCTION template <class = void> EXTENSIBLE_HIDDEN
#define EXTENSIBLE_LAZY_BODY template <class>
#endif

// EXTENSIBLE_COROUTINES: 1 where calls can be awaited, which standard libraries before 2021 know nothing of.
#if __has_include(<coroutine>)
#define EXTENSIBLE_COROUTINES 1
#else
#define EXTENSIBLE_COROUTINES 0
#endif

// The inline namespace that everything is in: modules whose library differs in layout have differently named functions, which
// the dynamic linker cannot mix up. The number changes whenever the layout does. The standard library and its debug mode have
// a part in the layout too; and code that is compiled without exceptions must not stand in for code that catches some.
#if defined(_GLIBCXX_DEBUG) || (defined(_ITERATOR_DEBUG_LEVEL) && _ITERATOR_DEBUG_LEVEL > 0)
#define EXTENSIBLE_ABI EXTENSIBLE_ABI_OF(abi_3_debug)
#elif defined(_LIBCPP_VERSION)
#define EXTENSIBLE_ABI EXTENSIBLE_ABI_OF(abi_3_libcpp)
#else
#define EXTENSIBLE_ABI EXTENSIBLE_ABI_OF(abi_3)
#endif

#define EXTENSIBLE_TEXT_OF(...) #__VA_ARGS__
#define EXTENSIBLE_TEXT(...) EXTENSIBLE_TEXT_OF(__VA_ARGS__)

// What a module's standard library is, for its stamp; and the types that its std::chrono counts seconds and minutes in.
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

// EXTENSIBLE_FUNCTION_TEXT: the function that it is in, with its template arguments.
#if defined(_MSC_VER) && !defined(__clang__)
#define EXTENSIBLE_FUNCTION_TEXT __FUNCSIG__
#else
#define EXTENSIBLE_FUNCTION_TEXT __PRETTY_FUNCTION__
#endif

// EXTENSIBLE_TEXT_IS_NUMBERS: the compiler prints the characters of a template argument that is a class as numbers.
#if defined(__clang__) && __clang_major__ < 15
#define EXTENSIBLE_TEXT_IS_NUMBERS 1
#else
#define EXTENSIBLE_TEXT_IS_NUMBERS 0
#endif

// EXTENSIBLE_EXCEPTIONS_ARE_COPIED: std::current_exception() gives a copy of what was thrown, each time another.
#if defined(_MSC_VER)
#define EXTENSIBLE_EXCEPTIONS_ARE_COPIED 1
#else
#define EXTENSIBLE_EXCEPTIONS_ARE_COPIED 0
#endif

// Which of the two sets of threads_posix.hpp, threads_windows.hpp and others is compiled; neither if a program puts its own in
// their place: see system.hpp.
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
