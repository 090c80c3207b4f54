# What differs between compilers is in detail/platform/compiler.hpp, and what differs between operating systems
# in detail/platform and detail/loading. No other header uses an attribute, a keyword or a
# predefined macro of a compiler or of a system. The name of every macro begins with EXTENSIBLE_.
#
#     cmake -DINCLUDE=<folder of headers> -P tests/one_compiler.cmake

cmake_minimum_required(VERSION 3.20)

set(compiler "(gnu|clang|msvc)::|__attribute__|_MSC_VER|_MSVC_|__GNUC__|__clang|__MINGW|__GLIBC|_GLIBCXX|_LIBCPP")
string(APPEND compiler "|_ITERATOR_DEBUG|__pragma|__PRETTY_FUNCTION__|__FUNCSIG__|__PIC__|__PIE__|# *pragma +[^o]")
set(system "_WIN32|__APPLE__|__linux__|__unix__|__ELF__|__declspec|__stdcall|__has_include")
set(macro "^[^\"]*# *(define|undef) +[^E]")

file(GLOB_RECURSE headers RELATIVE ${INCLUDE} ${INCLUDE}/*.hpp)
if(NOT headers)
    message(FATAL_ERROR "${INCLUDE} has no headers")
endif()
list(REMOVE_ITEM headers extensible/detail/platform/compiler.hpp)
foreach(header IN LISTS headers)
    set(unwanted "${compiler}|${macro}")
    if(NOT header MATCHES "detail/(platform|loading)/")
        string(APPEND unwanted "|${system}")
    endif()
    file(STRINGS ${INCLUDE}/${header} found REGEX "${unwanted}")
    list(FILTER found EXCLUDE REGEX "^ *//|^#pragma GCC system_header$")
    if(found)
        message(SEND_ERROR "${header}: this belongs in detail/platform/compiler.hpp:\n${found}")
    endif()
endforeach()
