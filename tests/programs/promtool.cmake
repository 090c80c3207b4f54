# Pipes what a program writes to promtool, which must find nothing wrong:
#
#     cmake -DPROGRAM=<program> -DPROMTOOL=<promtool> -P promtool.cmake

cmake_minimum_required(VERSION 3.20)

execute_process(COMMAND ${PROGRAM} COMMAND ${PROMTOOL} check metrics
    RESULTS_VARIABLE statuses OUTPUT_VARIABLE out ERROR_VARIABLE err)
if(NOT statuses STREQUAL "0;0" OR NOT "${out}${err}" STREQUAL "")
    message(FATAL_ERROR "promtool check metrics: ${statuses}\n${out}${err}")
endif()
