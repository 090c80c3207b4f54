# Claims about examples/faults.cpp:
#
#     cmake -DPROGRAM=<built example> -P tests/examples/faults.cmake

cmake_minimum_required(VERSION 3.20)

if(NOT DEFINED PROGRAM)
    message(FATAL_ERROR "usage: cmake -DPROGRAM=<built example> -P faults.cmake")
endif()
include("${CMAKE_CURRENT_LIST_DIR}/claims.cmake")

set(no_faults "\n  20 fresh pages, 0 old ones\n")
run(ENV --unset=EXTENSIBLE_FAULTS)
claim("the program succeeds" status EQUAL 0)
claim("nothing goes to stderr" err STREQUAL nothing)
claim("without the variable there are no faults" out MATCHES "^With the faults of EXTENSIBLE_FAULTS:${no_faults}")
claim("the error of a fault names the function, the rule and the seed"
    out MATCHES "\n  net.fetch: injected by net.[*]=throw[(]0.5[)], seed [0-9]+\n")
claim("retries and the store make up for faults" out MATCHES "\n  1[0-9] fresh pages, [0-9] old ones\n")
claim("the faults are removed at the end of their scope" out MATCHES "Without faults:${no_faults}$")

set(whole "${out}")
run(ENV --unset=EXTENSIBLE_FAULTS)
claim("the same seed gives the same faults" out STREQUAL whole)

# ENV is a list: a semicolon in the value would split it.
run(ENV "EXTENSIBLE_FAULTS=net.*=throw")
claim("faults can come from the environment" status EQUAL 0 AND out MATCHES
    "^[^\n]*\n(  net.fetch: injected by net.[*]=throw, seed [0-9]+\n)+  0 fresh pages, 20 old ones\n")
run(ENV "EXTENSIBLE_FAULTS=net.*=thorw")
claim("a rule that cannot be parsed is an error that names the column" status EQUAL 1 AND err STREQUAL
    "faults: ext::hooks::faults: column 7 of \"net.*=thorw\": throw or delay was expected, \"thorw\" was found\n")
