# What is compiled without exceptions: a whole program, one file of a program, a plugin, or a host.

# In compiled mode the program compiles the library's source file itself, with its own options.
function(without_exceptions target)
    target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
    target_link_libraries(${target} PRIVATE extensible_checked ${CMAKE_DL_LIBS})
    target_compile_options(${target} PRIVATE -fno-exceptions)
    if(EXTENSIBLE_TEST_COMPILED)
        target_sources(${target} PRIVATE ${PROJECT_SOURCE_DIR}/include/extensible/extensible.cpp)
    endif()
endfunction()

set(sources no_exceptions/main.cpp no_exceptions/calls.cpp no_exceptions/hooks.cpp no_exceptions/awaited_calls.cpp
    no_exceptions/ready_made_hooks.cpp)
add_executable(no_exceptions ${sources})
without_exceptions(no_exceptions)
add_test(NAME no_exceptions COMMAND no_exceptions)
set_tests_properties(no_exceptions PROPERTIES TIMEOUT 60)

# Only one file of this program is compiled without exceptions.
add_library(no_exceptions_in_one_file OBJECT no_exceptions/mixed_without.cpp)
without_exceptions(no_exceptions_in_one_file)
add_executable(no_exceptions_mixed no_exceptions/mixed_with.cpp)
target_link_libraries(no_exceptions_mixed PRIVATE extensible_checked no_exceptions_in_one_file)
add_test(NAME no_exceptions.mixed COMMAND no_exceptions_mixed)
set_tests_properties(no_exceptions.mixed PROPERTIES TIMEOUT 30)

# ---- The library's own errors: their texts are the same as with exceptions -------------------------------------------

add_executable(no_exceptions_errors no_exceptions/errors.cpp)
without_exceptions(no_exceptions_errors)
function(test_error case says)
    add_test(NAME no_exceptions.error.${case} COMMAND ${CMAKE_COMMAND} -DPROGRAM=$<TARGET_FILE:no_exceptions_errors> -DCASE=${case}
        "-DSAYS=${says}" -P ${CMAKE_CURRENT_SOURCE_DIR}/no_exceptions/errors.cmake)
    set_tests_properties(no_exceptions.error.${case} PROPERTIES TIMEOUT 30)
endfunction()

test_error(bad_kwarg "tenant: the named argument holds int, but it was read as std::string")
test_error(duplicate_hook "twice: there is already a start hook 'a'; [^\n]*")
test_error(order_cycle "twice: the start hooks cannot be put in order: [^\n]*'a'[^\n]*'b'[^\n]*")
test_error(sealed "twice: the registry is sealed, [^\n]*")
test_error(signature_mismatch "twice: the function is int[(]int[)], but the start hook is for void[(]int[)]")
test_error(wrapper_mismatch "twice: the function is int[(]int[)], but the second wrapper is for long[(]long[)]")
test_error(any_call "twice: a hook sets the result as std::string, but the function is int[(]int[)]")
test_error(no_result "twice: the call ended with neither a result nor an exception")
test_error(empty_hook "twice: the start hook is empty: [^\n]*")
test_error(empty_name "ext: a function's name must not be empty")
test_error(unloaded "twice: the plugin tens is unloaded, so no hook can be registered")
test_error(library "/is/not/there.so: it cannot be opened as a shared library: [^\n]*")
test_error(option "ext::hooks::retry: .attempts must be at least 1, but is 0")
test_error(fault "ext::hooks::faults: column 7 of \"twice=throw\": delay, as [^\n]* exceptions, was expected, \"throw\" was found")

# With libc++, std::make_exception_ptr() ends the program if exceptions are off.
include(CheckCXXSourceCompiles)
check_cxx_source_compiles("
#include <string>
#ifndef __GLIBCXX__
#error
#endif
int main() {}" EXTENSIBLE_LIBSTDCXX)
if(EXTENSIBLE_LIBSTDCXX AND NOT CMAKE_CXX_FLAGS MATCHES "-fno-rtti")
    test_error(exception "twice: a hook set call.exception, which cannot be thrown without exceptions")
endif()

# ---- A host and a plugin, each with exceptions and without -----------------------------------------------------------

foreach(exceptions with without)
    add_executable(no_exceptions_host_${exceptions} no_exceptions/host.cpp)
    add_library(no_exceptions_plugin_${exceptions} MODULE ${PROJECT_SOURCE_DIR}/examples/plugin/vault_plugin.cpp)
    set_target_properties(no_exceptions_plugin_${exceptions} PROPERTIES CXX_VISIBILITY_PRESET hidden)
    foreach(target no_exceptions_host_${exceptions} no_exceptions_plugin_${exceptions})
        if(exceptions STREQUAL "with")
            target_link_libraries(${target} PRIVATE extensible_checked ${CMAKE_DL_LIBS})
        else()
            without_exceptions(${target})
        endif()
    endforeach()
endforeach()
foreach(host with without)
    foreach(plugin with without)
        set(name no_exceptions.host_${host}_plugin_${plugin})
        add_test(NAME ${name} COMMAND no_exceptions_host_${host} $<TARGET_FILE:no_exceptions_plugin_${plugin}>)
        set_tests_properties(${name} PROPERTIES TIMEOUT 30)
    endforeach()
endforeach()
set(module "extensible with layout abi_[0-9]+[a-z_]*")
set_tests_properties(no_exceptions.host_with_plugin_without PROPERTIES PASS_REGULAR_EXPRESSION
    "refused: [^\n]*: the library was compiled with ${module}_no_exceptions, [^\n]*; the module that loads it with ${module}, ")
set_tests_properties(no_exceptions.host_without_plugin_with PROPERTIES PASS_REGULAR_EXPRESSION
    "refused: [^\n]*: the library was compiled with ${module}, [^\n]*; the module that loads it with ${module}_no_exceptions, ")
