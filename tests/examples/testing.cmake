# Claims about examples/testing.cpp:
#
#     cmake -DPROGRAM=<built example> -P tests/examples/testing.cmake

cmake_minimum_required(VERSION 3.20)

if(NOT DEFINED PROGRAM)
    message(FATAL_ERROR "usage: cmake -DPROGRAM=<built example> -P testing.cmake")
endif()
include("${CMAKE_CURRENT_LIST_DIR}/claims.cmake")

run()
claim("the program succeeds" status EQUAL 0)
claim("nothing goes to stderr, so no exception was lost" err STREQUAL nothing)
claim("the functions themselves are not called" NOT out MATCHES "would ")
string(REGEX MATCHALL "(^|\n)ok  " passed "${out}")
list(LENGTH passed count)
claim("seven checks pass" count EQUAL 7)
string(CONCAT recorded "\nFAILED  the bank is asked three times\nbilling.charge was called 2 times:\n"
    "  1. [(]\"eve\", 999[)] threw no answer\n  2. [(]\"eve\", 999[)] returned true\n$")
claim("if a check fails, the spy prints the calls that it recorded" out MATCHES "${recorded}")
