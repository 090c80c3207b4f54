# Checks one file that must not compile: cmake -DCASE= -DCOMPILER= -DFLAGS= -DINCLUDE= -DPRECOMPILED= -P run.cmake
# Without CASE it creates the precompiled header that all cases include first.
#
# The file states its expectations:
#     // expect-first: <regex>    matches the first error, which users read first
#     // expect-only: <regex>     matches the only error
#     // expect: <regex>          matches somewhere in the diagnostics
# With FIXED defined the file must compile. This shows that it fails for no other reason.

set(ENV{LC_ALL} C)
separate_arguments(flags UNIX_COMMAND "${FLAGS}")
set(compile ${COMPILER} ${flags} -std=c++20 -I${INCLUDE})

if(NOT CASE)
    file(WRITE ${PRECOMPILED} "#include <extensible/extensible.hpp>\n")
    execute_process(COMMAND ${compile} -x c++-header ${PRECOMPILED} -o ${PRECOMPILED}.gch COMMAND_ERROR_IS_FATAL ANY)
    return()
endif()
list(APPEND compile -fsyntax-only -include ${PRECOMPILED} ${CASE})

execute_process(COMMAND ${compile} -DFIXED RESULT_VARIABLE failed ERROR_VARIABLE errors)
if(failed)
    message("${errors}")
    message(FATAL_ERROR "The file does not compile with FIXED defined.")
endif()

execute_process(COMMAND ${compile} RESULT_VARIABLE failed ERROR_VARIABLE errors)
if(NOT failed)
    message(FATAL_ERROR "The file compiles, but it should not.")
endif()
message("${errors}")

file(STRINGS ${CASE} expectations REGEX "^// expect(-first|-only)?: ")
if(NOT expectations)
    message(FATAL_ERROR "The file states no expectation.")
endif()
string(REGEX MATCH "[^\n]* error: [^\n]*" first "${errors}")
string(REGEX MATCHALL " error: " all_errors "${errors}")
list(LENGTH all_errors number)
foreach(expectation IN LISTS expectations)
    string(REGEX REPLACE "^// [^ ]+ " "" regex "${expectation}")
    if(expectation MATCHES "^// expect-only" AND NOT number EQUAL 1)
        message(FATAL_ERROR "There is more than one error.")
    elseif(expectation MATCHES "^// expect-(first|only)" AND NOT first MATCHES "${regex}")
        message(FATAL_ERROR "The first error does not match: ${regex}")
    elseif(NOT errors MATCHES "${regex}")
        message(FATAL_ERROR "The diagnostics do not match: ${regex}")
    endif()
endforeach()
