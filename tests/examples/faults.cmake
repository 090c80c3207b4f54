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
claim("a fault is the failure of the function, which it names with its rule and its seed"
    out MATCHES "\n  net.fetch: injected by net.[*]=throw[(]0.5[)], seed [0-9]+\n")
claim("attempts and a store help against them" out MATCHES "\n  1[0-9] fresh pages, [0-9] old ones\n")
claim("the faults are gone at the end of their scope" out MATCHES "Without faults:${no_faults}$")

set(whole "${out}")
run(ENV --unset=EXTENSIBLE_FAULTS)
claim("the same seed gives the same faults" out STREQUAL whole)

# A semicolon would take the list apart that ENV is.
run(ENV "EXTENSIBLE_FAULTS=net.*=throw")
claim("faults may come from the environment" status EQUAL 0 AND out MATCHES "^[^\n]*\n(  net.fetch: injected by net.[*]=throw, seed [0-9]+\n)+  0 fresh pages, 20 old ones\n")
run(ENV "EXTENSIBLE_FAULTS=net.*=thorw")
claim("what cannot be read there is an error with the place" status EQUAL 1 AND err STREQUAL
    "faults: ext::hooks::faults: column 7 of \"net.*=thorw\": throw or delay was expected, \"thorw\" was found\n")
