# A compiler that cannot compile the library says so in one error: cmake -DCOMPILER= -DINCLUDE= -P language_mode.cmake

set(ENV{LC_ALL} C)
set(source ${CMAKE_CURRENT_BINARY_DIR}/language_mode.cpp)

# expect_error(<what the error says> <flags>...)
function(expect_error says)
    foreach(header extensible hooks library hooks/retry detail/types/type_name)
        file(WRITE ${source}
            "#include <extensible/${header}.hpp>\next::extensible f{\"f\", [](int x) { return x; }};\n")
        execute_process(COMMAND ${COMPILER} ${ARGN} -I${INCLUDE} -fsyntax-only ${source}
            RESULT_VARIABLE failed ERROR_VARIABLE errors)
        string(REGEX MATCHALL "error: " all "${errors}")
        list(LENGTH all number)
        if(NOT failed OR NOT number EQUAL 1 OR NOT errors MATCHES "error: [^\n]*${says}")
            message(FATAL_ERROR "${header}.hpp with ${ARGN}: one error was expected, '${says}':\n${errors}")
        endif()
    endforeach()
endfunction()

expect_error("extensible needs C[+][+]20, compile with -std=c[+][+]20" -std=c++17)
execute_process(COMMAND ${COMPILER} --version OUTPUT_VARIABLE version)
if(NOT version MATCHES "clang")
    expect_error("extensible needs GCC 11 or newer" -std=c++2a -U__GNUC__ -D__GNUC__=10)
endif()
