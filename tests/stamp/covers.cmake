# Checks that the stamp covers a class: cmake -DCLASS= -DTYPES= -DCOMPILER= -DFLAGS= -DSOURCE= -DTO= -P covers.cmake
# The class gets one more member in a copy of the headers. Then the hash in the stamp must differ
# from that of a module compiled with the original headers. The program TYPES prints the original
# hash. Without CLASS the hashes must be equal.

set(CHANGE ${CLASS})
include(${CMAKE_CURRENT_LIST_DIR}/alter.cmake)
set(compared !=)
if(NOT CLASS)
    set(compared ==)
endif()

execute_process(COMMAND ${TYPES} OUTPUT_VARIABLE types COMMAND_ERROR_IS_FATAL ANY)
file(WRITE ${TO}/altered.cpp "#include <extensible/detail/stamp.hpp>
static_assert(ext::detail::hash_layouts(ext::detail::shared_types()) ${compared} ${types}, \"not covered\");\n")
separate_arguments(flags UNIX_COMMAND "${FLAGS}")
execute_process(COMMAND ${COMPILER} ${flags} -std=c++20 -I${TO} -fsyntax-only ${TO}/altered.cpp RESULT_VARIABLE failed)
file(REMOVE_RECURSE ${TO})
if(failed)
    message(FATAL_ERROR "The hash of the layouts must be ${compared} ${types} "
        "(class with one more member: '${CLASS}'), and must compile.")
endif()
