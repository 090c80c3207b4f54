# Hosts and libraries that test the stamp. Every host opens every library.

# Without optimisation few functions are inlined. So the dynamic linker can replace as many
# functions as possible by those of another module.
function(stamp_target name visibility)
    target_link_libraries(${name} PRIVATE extensible_checked ${CMAKE_DL_LIBS})
    target_compile_options(${name} PRIVATE ${no_optimisation})
    set_target_properties(${name} PROPERTIES CXX_VISIBILITY_PRESET ${visibility} ENABLE_EXPORTS ON)
endfunction()

# `says` is a word of the library's stamp if the host must reject the library, and otherwise `done`.
function(test_stamp name file says)
    foreach(visibility hidden default)
        add_test(NAME stamp.${name}_in_${visibility}_host COMMAND stamp_host_${visibility} ${file} ${says})
        set_tests_properties(stamp.${name}_in_${visibility}_host PROPERTIES TIMEOUT 30)
    endforeach()
endfunction()

function(stamp_library name visibility says)
    add_library(stamp_${name} MODULE stamp/library.cpp)
    stamp_target(stamp_${name} ${visibility})
    if(NOT says STREQUAL "done")
        # In compiled mode too: the compiled code has the original layout.
        target_compile_options(stamp_${name} PRIVATE ${not_compiled})
    endif()
    test_stamp(${name} $<TARGET_FILE:stamp_${name}> ${says})
endfunction()

foreach(visibility hidden default)
    add_executable(stamp_host_${visibility} stamp/host.cpp)
    stamp_target(stamp_host_${visibility} ${visibility})
    stamp_library(alike_${visibility} ${visibility} done)
endforeach()

# Libraries with another layout, with default and with hidden symbols; with other call_fields; of another version.
set(altered ${CMAKE_CURRENT_BINARY_DIR}/stamp)
file(GLOB_RECURSE headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/*.hpp)
stamp_library(layout_hidden hidden types)
stamp_library(layout default types)
stamp_library(call_fields default types)
stamp_library(version default abi_9)
foreach(change layout call_fields version)
    add_custom_command(OUTPUT ${altered}/${change}/extensible/extensible.hpp
        COMMAND ${CMAKE_COMMAND} -DSOURCE=${PROJECT_SOURCE_DIR}/include -DTO=${altered}/${change} -DCHANGE=${change}
            -P ${CMAKE_CURRENT_SOURCE_DIR}/stamp/alter.cmake
        DEPENDS ${headers} stamp/alter.cmake)
    add_custom_target(stamp_headers_${change} DEPENDS ${altered}/${change}/extensible/extensible.hpp)
endforeach()
foreach(library layout_hidden layout call_fields version)
    string(REGEX REPLACE "_hidden" "" change ${library})
    add_dependencies(stamp_${library} stamp_headers_${change})
    target_include_directories(stamp_${library} BEFORE PRIVATE ${altered}/${change})
endforeach()

# A test for each class whose objects modules share. The test without a class shows that the
# compiler computes the same hash as the program.
if(NOT MSVC AND NOT CMAKE_CROSSCOMPILING AND NOT EXTENSIBLE_TEST_ONLY_RUNTIME)
    add_executable(stamp_types stamp/types.cpp)
    target_link_libraries(stamp_types PRIVATE extensible_checked)
    foreach(class "" arg awaited_slot awaited_slot_base awaiting_proceed call call_fields call_operations change_step counting_guard entry
            erased_hook error finisher finishers function_record function_table function_type hazard_domain hazard_slot hook hook_entry
            hook_error hook_group hook_list hook_record hook_run hook_watch kwarg kwarg_value kwargs mutex nanoseconds ordered_hook
            plugin_record proceed reference_counted referred registry_contents registry_record rest_of_call result run_input scoped_hook
            stamp thread_hazards timed_rest turn type_identity value_operations wrapper_site)
        add_test(NAME stamp.covers_${class}
            COMMAND ${CMAKE_COMMAND} -DCLASS=${class} -DTYPES=$<TARGET_FILE:stamp_types> -DCOMPILER=${CMAKE_CXX_COMPILER}
                -DFLAGS=${CMAKE_CXX_FLAGS} -DSOURCE=${PROJECT_SOURCE_DIR}/include -DTO=${altered}/covers_${class}
                -P ${CMAKE_CURRENT_SOURCE_DIR}/stamp/covers.cmake)
        set_tests_properties(stamp.covers_${class} PROPERTIES TIMEOUT 120)
    endforeach()
endif()

# The debug mode of libstdc++.
include(CheckCXXSourceCompiles)
check_cxx_source_compiles("
#include <string>
#ifndef __GLIBCXX__
#error
#endif
int main() {}" EXTENSIBLE_LIBSTDCXX)
if(EXTENSIBLE_LIBSTDCXX AND NOT CMAKE_CXX_FLAGS MATCHES _GLIBCXX_DEBUG)
    stamp_library(debug_mode default debug)
    target_compile_definitions(stamp_debug_mode PRIVATE _GLIBCXX_DEBUG)
endif()

# libc++, if an installed Clang has it.
if(UNIX AND NOT CMAKE_CROSSCOMPILING AND EXTENSIBLE_LIBSTDCXX AND NOT DEFINED EXTENSIBLE_CLANG_WITH_LIBCXX)
    set(found "")
    file(WRITE ${altered}/libcxx.cpp "#include <string>\nstd::string text;\n")
    foreach(version "" -19 -18 -17 -16 -15 -14)
        execute_process(COMMAND clang++${version} -stdlib=libc++ -shared -fPIC ${altered}/libcxx.cpp -o ${altered}/libcxx.so
            RESULT_VARIABLE failed OUTPUT_QUIET ERROR_QUIET)
        if(NOT found AND failed STREQUAL "0")
            set(found clang++${version})
        endif()
    endforeach()
    set(EXTENSIBLE_CLANG_WITH_LIBCXX "${found}" CACHE STRING "A Clang that has libc++, for the stamp's tests")
endif()
if(EXTENSIBLE_CLANG_WITH_LIBCXX)
    set(library ${altered}/libcxx_library.so)
    add_custom_command(OUTPUT ${library}
        COMMAND ${EXTENSIBLE_CLANG_WITH_LIBCXX} -std=c++20 -stdlib=libc++ -pthread -shared -fPIC -I${PROJECT_SOURCE_DIR}/include
            ${CMAKE_CURRENT_SOURCE_DIR}/stamp/library.cpp -o ${library}
        DEPENDS ${headers} stamp/library.cpp stamp/attempts.hpp)
    add_custom_target(stamp_libcxx ALL DEPENDS ${library})
    test_stamp(libcxx ${library} libc++)
endif()
