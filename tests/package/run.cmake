# One step of testing the package:
#
#     cmake -DSTEP= -DSOURCE= -DBUILD= -DWORK= -DGENERATOR= -DCOMPILER= -DFLAGS= -DPKG_CONFIG= -P run.cmake
#
# The step `install` comes first. Each of the other steps builds and runs the projects in this
# folder in its own way.

set(ENV{DESTDIR} "")
set(prefix ${WORK}/moved)

function(run)
    execute_process(COMMAND ${ARGV} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

function(build source build)
    file(REMOVE_RECURSE ${build})
    run(${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/${source} -B ${build} -G ${GENERATOR}
        -DCMAKE_CXX_COMPILER=${COMPILER} "-DCMAKE_CXX_FLAGS=${FLAGS}" ${ARGN})
    run(${CMAKE_COMMAND} --build ${build})
endfunction()

function(build_and_run source build)
    build(${ARGV})
    run(${CMAKE_CTEST_COMMAND} --test-dir ${build} --no-tests=error --output-on-failure)
endfunction()

# Builds and installs a library that uses extensible, and then builds a program that uses the library.
function(export_and_run)
    build(library ${WORK}/${STEP} ${ARGV})
    run(${CMAKE_COMMAND} --install ${WORK}/${STEP} --prefix ${WORK}/${STEP}_installed)
    build_and_run(library_user ${WORK}/${STEP}_user -DCMAKE_PREFIX_PATH=${WORK}/${STEP}_installed)
endfunction()

if(STEP STREQUAL "install")
    file(REMOVE_RECURSE ${WORK})
    run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/installed)
    file(RENAME ${WORK}/installed ${prefix})  # programs must not depend on the original location

    file(GLOB_RECURSE expected RELATIVE ${SOURCE}/include ${SOURCE}/include/*)
    file(GLOB_RECURSE installed RELATIVE ${prefix}/include ${prefix}/include/*)
    if(NOT expected STREQUAL installed)
        message(FATAL_ERROR "the source tree has the headers\n${expected}\nbut these are installed:\n${installed}")
    endif()
    if(NOT EXISTS ${prefix}/share/doc/extensible/LICENSE)
        message(FATAL_ERROR "the license is not installed")
    endif()

elseif(STEP STREQUAL "find_package")
    build_and_run(. ${WORK}/${STEP} -DCMAKE_PREFIX_PATH=${prefix})

elseif(STEP STREQUAL "add_subdirectory")
    build_and_run(. ${WORK}/${STEP} -DEXTENSIBLE_SOURCE=${SOURCE})

elseif(STEP STREQUAL "export_after_find_package")
    set(ENV{CMAKE_PREFIX_PATH} ${prefix})
    export_and_run()

elseif(STEP STREQUAL "export_after_fetch_content")
    export_and_run(-DEXTENSIBLE_SOURCE=${SOURCE})  # extensible is then installed with the library

elseif(STEP STREQUAL "pkg_config")
    if(NOT PKG_CONFIG)
        message("skipped: there is no pkg-config here")
        return()
    endif()
    file(GLOB_RECURSE description ${prefix}/*/extensible.pc)
    cmake_path(GET description PARENT_PATH directory)
    set(ENV{PKG_CONFIG_PATH} ${directory})
    execute_process(COMMAND ${PKG_CONFIG} --cflags --libs extensible OUTPUT_VARIABLE from_pkg_config
        COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
    separate_arguments(arguments UNIX_COMMAND "${FLAGS} -std=c++20 ${from_pkg_config}")
    run(${COMPILER} ${CMAKE_CURRENT_LIST_DIR}/main.cpp ${arguments} -o ${WORK}/pkg_config)
    run(${WORK}/pkg_config)
    run(${COMPILER} -DEXTENSIBLE_COMPILED ${CMAKE_CURRENT_LIST_DIR}/main.cpp ${prefix}/include/extensible/extensible.cpp
        ${arguments} -o ${WORK}/pkg_config_compiled)
    run(${WORK}/pkg_config_compiled)
endif()
