# Checks one file that must not compile: cmake -DCASE= -DCOMPILER= -DFLAGS= -DINCLUDE= -DPRECOMPILED= -P run.cmake
# Without a case, makes the precompiled header that the cases are compiled behind.
#
# The file says in its lines
#     // expect-first: <regex>    what the first error says, which is the one that a user reads
#     // expect-only: <regex>     the same, of the only error
#     // expect: <regex>          what the diagnostics contain
# and compiles where FIXED is defined, so that it never fails for another reason than the one it is about.

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
    message(FATAL_ERROR "It does not compile where FIXED is defined.")
endif()

execute_process(COMMAND ${compile} RESULT_VARIABLE failed ERROR_VARIABLE errors)
if(NOT failed)
    message(FATAL_ERROR "It compiles, and should not.")
endif()
message("${errors}")

file(STRINGS ${CASE} expectations REGEX "^// expect(-first|-only)?: ")
if(NOT expectations)
    message(FATAL_ERROR "It states no expectation.")
endif()
string(REGEX MATCH "[^\n]* error: [^\n]*" first "${errors}")
string(REGEX MATCHALL " error: " all_errors "${errors}")
list(LENGTH all_errors number)
foreach(expectation IN LISTS expectations)
    string(REGEX REPLACE "^// [^ ]+ " "" regex "${expectation}")
    if(expectation MATCHES "^// expect-only" AND NOT number EQUAL 1)
        message(FATAL_ERROR "There is more than one error.")
    elseif(expectation MATCHES "^// expect-(first|only)" AND NOT first MATCHES "${regex}")
        message(FATAL_ERROR "The first error is another than: ${regex}")
    elseif(NOT errors MATCHES "${regex}")
        message(FATAL_ERROR "The compiler does not say: ${regex}")
    endif()
endforeach()
