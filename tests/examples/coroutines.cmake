# Claims about examples/coroutines.cpp:
#
#     cmake -DPROGRAM=<built example> -P tests/examples/coroutines.cmake

cmake_minimum_required(VERSION 3.20)

if(NOT DEFINED PROGRAM)
    message(FATAL_ERROR "usage: cmake -DPROGRAM=<built example> -P coroutines.cmake")
endif()
include("${CMAKE_CURRENT_LIST_DIR}/claims.cmake")

run()
claim("the program succeeds" status EQUAL 0)
claim("nothing goes to stderr, so no exception was lost" err STREQUAL nothing)
claim("the calls run at the same time, on one thread"
    out MATCHES "^a.example: begins\nb.example: begins\nknown.example: begins\n")
foreach(host a b)
    string(CONCAT retried "\n${host}.example: failed, again in 10 ms\n.*\n${host}.example: failed, again in 20 ms\n"
        ".*${host}.example: page of ${host}.example\n")
    claim("a failed call is retried after a pause, and then after a pause that is twice as long"
        out MATCHES "${retried}")
endforeach()
claim("a start hook supplies the result, and the function is not called"
    out MATCHES "\nknown.example: page that was known\n" AND NOT out MATCHES "known.example: failed")
