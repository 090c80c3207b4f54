// Which warnings of a program's compiler do not apply to the code of the library? Each header
// includes this file before its code, and epilogue.hpp after it.
//
// - A local variable may have the name of a global variable of the program.
// - A cast that changes nothing here changes the type on other platforms.
//
// The tests of the library define EXTENSIBLE_ALL_WARNINGS, and get these warnings too.

// No #pragma once: each header includes it.

#if defined(_MSC_VER)
#pragma warning(push)
#pragma warning(disable : 4459)
#elif defined(__GNUC__)
#pragma GCC diagnostic push
#if !defined(EXTENSIBLE_ALL_WARNINGS)
#pragma GCC diagnostic ignored "-Wshadow"
#endif
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuseless-cast"
#endif
#endif
