# Finds Catch2: version 3 if it is installed, or else an installed version 2. If none is installed,
# version 2 is downloaded. If that fails, Debian's package is unpacked into the build folder. None
# of this needs git or root.
#
# Defines the target Catch2::Catch2 and Catch2_VERSION, and makes include(Catch) work.
#
# Version 3 is a compiled library. Linux distributions compile it with libstdc++, so the tests use
# version 2 with libc++.

set(EXTENSIBLE_CATCH2 "" CACHE PATH "The source folder of Catch2 2.13, used in place of an installed Catch2")

set(catch2_folder ${CMAKE_CURRENT_BINARY_DIR}/catch2)
set(catch2_fetched ${catch2_folder}/Catch2-2.13.10)
set(catch2_package ${catch2_folder}/usr)

# The timeout is short, because a machine may have no internet access.
function(fetch_catch2)
    set(archive ${catch2_folder}/catch2.tar.gz)
    message(STATUS "Catch2 is not installed: fetching it")
    file(DOWNLOAD https://github.com/catchorg/Catch2/archive/refs/tags/v2.13.10.tar.gz ${archive}
        TIMEOUT 20 STATUS status)
    file(SHA256 ${archive} hash)
    if(hash STREQUAL "d54a712b7b1d7708bc7a819a8e6e47b2fde9536f487b89ccbca295072a7d9943")
        file(ARCHIVE_EXTRACT INPUT ${archive} DESTINATION ${catch2_folder})
    else()
        list(POP_BACK status why)
        message(STATUS "Catch2 cannot be fetched: ${why}")
    endif()
endfunction()

# Any user may run `apt-get download`. In a small container the lists of packages may be missing.
# Then apt-get downloads lists into the build folder.
function(unpack_catch2)
    find_program(EXTENSIBLE_APT_GET apt-get)
    if(NOT EXTENSIBLE_APT_GET)
        return()
    endif()
    message(STATUS "Unpacking the package catch2 of this system")
    set(apt_get ${EXTENSIBLE_APT_GET} -q -o Acquire::Retries=0
        -o Acquire::http::Timeout=10 -o Acquire::https::Timeout=10)
    set(quietly WORKING_DIRECTORY ${catch2_folder} TIMEOUT 90 OUTPUT_QUIET ERROR_QUIET)
    set(package "")
    foreach(lists of_the_system own)
        if(lists STREQUAL "own")
            file(MAKE_DIRECTORY ${catch2_folder}/apt/lists/partial ${catch2_folder}/apt/archives/partial)
            list(APPEND apt_get -o Dir::State=${catch2_folder}/apt -o Dir::Cache=${catch2_folder}/apt)
            execute_process(COMMAND ${apt_get} update ${quietly})
        endif()
        foreach(name libcatch2-dev catch2)  # catch2 is empty since Debian 13, libcatch2-dev did not exist before
            if(NOT package)
                execute_process(COMMAND ${apt_get} download ${name} ${quietly})
                file(GLOB package ${catch2_folder}/*.deb)
            endif()
        endforeach()
        if(package)
            break()
        endif()
    endforeach()
    if(package)  # an archive that contains archives
        file(ARCHIVE_EXTRACT INPUT ${package} DESTINATION ${catch2_folder})
        file(GLOB data ${catch2_folder}/data.tar.*)
        file(ARCHIVE_EXTRACT INPUT ${data} DESTINATION ${catch2_folder})
    endif()
endfunction()

include(CheckCXXSourceCompiles)
check_cxx_source_compiles("
#include <cstddef>
#ifndef _LIBCPP_VERSION
#error another standard library
#endif
int main() {}" EXTENSIBLE_WITH_LIBCPP)
set(with_libcpp_on_linux OFF)
if(EXTENSIBLE_WITH_LIBCPP AND CMAKE_SYSTEM_NAME STREQUAL "Linux")
    set(with_libcpp_on_linux ON)
endif()

# Cross-compiling: a library installed for this system cannot be linked. A header is copied, because
# its folder also has headers of this system.
if(CMAKE_CROSSCOMPILING)
    find_package(Catch2 2 QUIET)
    if(Catch2_FOUND)
        get_target_property(installed Catch2::Catch2 INTERFACE_INCLUDE_DIRECTORIES)
        file(COPY ${installed}/catch2 DESTINATION ${catch2_folder}/headers)
        set_target_properties(Catch2::Catch2 PROPERTIES INTERFACE_INCLUDE_DIRECTORIES ${catch2_folder}/headers)
    endif()
elseif(NOT EXTENSIBLE_CATCH2)
    if(NOT with_libcpp_on_linux)
        find_package(Catch2 3 QUIET)
    endif()
    if(NOT Catch2_FOUND)
        find_package(Catch2 2 QUIET)
    endif()
endif()
if(EXTENSIBLE_CATCH2)
    set(catch2_fetched ${EXTENSIBLE_CATCH2})
endif()
if(NOT Catch2_FOUND AND NOT EXISTS ${catch2_fetched} AND NOT EXISTS ${catch2_package})
    fetch_catch2()
    if(NOT EXISTS ${catch2_fetched})
        unpack_catch2()
    endif()
endif()

if(NOT Catch2_FOUND AND EXISTS ${catch2_fetched})
    add_library(Catch2::Catch2 INTERFACE IMPORTED)
    target_include_directories(Catch2::Catch2 INTERFACE ${catch2_fetched}/single_include)
    list(APPEND CMAKE_MODULE_PATH ${catch2_fetched}/contrib)
    set(Catch2_VERSION 2.13.10)
elseif(NOT Catch2_FOUND)
    set(version "")
    if(with_libcpp_on_linux)
        set(version 2)
    endif()
    find_package(Catch2 ${version} QUIET PATHS ${catch2_package} NO_DEFAULT_PATH)
    if(NOT Catch2_FOUND)
        message(FATAL_ERROR "The tests need Catch2 ${version}: install it (Debian: `apt-get install catch2`, as root), "
            "or configure with -DEXTENSIBLE_TESTS=OFF -DEXTENSIBLE_BENCHMARK=OFF.")
    endif()
endif()
