# Functions that the tests of the examples share. Each test is a script that runs with
# -DPROGRAM=<built example>, and makes claims about what that program does.

# run([ENV <variable=value>...] [ARGS <argument>...] [IN <directory>])
#
# Runs the program, under EMULATOR if that is set. Sets `status`, `out` and `err` to its exit status
# and output, and `run` to the command, which claim() prints.
macro(run)
    cmake_parse_arguments(run "" "IN" "ENV;ARGS" ${ARGN})
    if(NOT DEFINED run_IN)
        set(run_IN .)
    endif()
    execute_process(COMMAND "${CMAKE_COMMAND}" -E env ${run_ENV} ${EMULATOR} "${PROGRAM}" ${run_ARGS}
        WORKING_DIRECTORY "${run_IN}" RESULT_VARIABLE status OUTPUT_VARIABLE out ERROR_VARIABLE err TIMEOUT 50)
    string(REPLACE "\r\n" "\n" out "${out}")
    string(REPLACE "\r\n" "\n" err "${err}")
    set(run "${run_ENV} ${PROGRAM} ${run_ARGS}")
endmacro()

# claim(<sentence> <condition>...)
#
# Fails with the sentence unless the condition holds. The condition is written as for if(). The
# message includes `about`, which a caller may set. If a text in the condition is empty or contains
# a semicolon, pass the name of a variable that holds the text.
function(claim sentence)
    if(NOT (${ARGN}))
        string(REPLACE ";" " " condition "${ARGN}")
        message(FATAL_ERROR "${sentence}: this does not hold.\n  condition: ${condition}\n  about: ${about}\n"
            "  run: ${run}\n  status: ${status}\n  stdout: ${out}\n  stderr: ${err}")
    endif()
    # Printed once, even if it is claimed several times.
    get_property(claimed GLOBAL PROPERTY claimed)
    if(NOT sentence IN_LIST claimed)
        message(STATUS "${sentence}")
        set_property(GLOBAL APPEND PROPERTY claimed "${sentence}")
    endif()
endfunction()

set(nothing "")
