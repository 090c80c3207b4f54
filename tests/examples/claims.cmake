# What the scripts that test examples have in common. They are run with -DPROGRAM=<built example>, and claim something
# about what it does.

# run([ENV <variable=value>...] [ARGS <argument>...] [IN <directory>])
#
# Runs the program, in EMULATOR where one is needed. `status`, `out` and `err` are then what came of it, and `run` is the command, for claim().
macro(run)
    cmake_parse_arguments(run "" "IN" "ENV;ARGS" ${ARGN})
    if(NOT DEFINED run_IN)
        set(run_IN .)
    endif()
    execute_process(COMMAND "${CMAKE_COMMAND}" -E env ${run_ENV} ${EMULATOR} "${PROGRAM}" ${run_ARGS} WORKING_DIRECTORY "${run_IN}"
        RESULT_VARIABLE status OUTPUT_VARIABLE out ERROR_VARIABLE err TIMEOUT 50)
    string(REPLACE "\r\n" "\n" out "${out}")
    string(REPLACE "\r\n" "\n" err "${err}")
    set(run "${run_ENV} ${PROGRAM} ${run_ARGS}")
endmacro()

# claim(<sentence> <condition>...)
#
# Fails with the sentence unless the condition holds, which is as for if(), and tells `about`, if that is set. A text in
# the condition that is empty or has a semicolon in it has to be given by the name of a variable.
function(claim sentence)
    if(NOT (${ARGN}))
        string(REPLACE ";" " " condition "${ARGN}")
        message(FATAL_ERROR "${sentence}: this does not hold.\n  condition: ${condition}\n  about: ${about}\n"
            "  run: ${run}\n  status: ${status}\n  stdout: ${out}\n  stderr: ${err}")
    endif()
    # Once, though it may be claimed of many things.
    get_property(claimed GLOBAL PROPERTY claimed)
    if(NOT sentence IN_LIST claimed)
        message(STATUS "${sentence}")
        set_property(GLOBAL APPEND PROPERTY claimed "${sentence}")
    endif()
endfunction()

set(nothing "")
