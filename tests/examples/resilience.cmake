# Claims about examples/resilience.cpp:
#
#     cmake -DPROGRAM=<built example> -P tests/examples/resilience.cmake

cmake_minimum_required(VERSION 3.20)

if(NOT DEFINED PROGRAM)
    message(FATAL_ERROR "usage: cmake -DPROGRAM=<built example> -P resilience.cmake")
endif()
include("${CMAKE_CURRENT_LIST_DIR}/claims.cmake")

# Each line that begins with a city is one call: its outcome, the number of its requests, and the
# time it took.
run()
claim("the program succeeds" status EQUAL 0)
claim("nothing goes to stderr, so no exception was lost" err STREQUAL nothing)

string(FIND "${out}" "With these:" with)
string(FIND "${out}" "Ten minutes later:" later)
string(FIND "${out}" "Four threads" threads)
string(SUBSTRING "${out}" 0 ${with} without_hooks)
math(EXPR length "${later} - ${with}")
string(SUBSTRING "${out}" ${with} ${length} first)
math(EXPR length "${threads} - ${later}")
string(SUBSTRING "${out}" ${later} ${length} second)
string(SUBSTRING "${out}" ${threads} -1 third)

claim("without hooks the call fails" without_hooks MATCHES "\nOslo: Oslo is busy [(]requests: 1, 20 ms[)]\n")
claim("the priorities make the cache the outermost hook, and the retry the innermost"
    first MATCHES "cache .* 10 .*breaker .* 20 .*retry .* 30 ")
claim("a failed call is retried after a pause"
    first MATCHES "\n\nOslo: 7 degrees [(]requests: 2, 90 ms[)]\n")
claim("the second call gets its result from the cache, at once and without a request"
    first MATCHES "90 ms[)]\nOslo: 7 degrees [(]requests: 0, 0 ms[)]\n")
claim("the pauses double, and the caller gets the failure of the last attempt"
    first MATCHES "\nAtlantis: Atlantis has no station [(]requests: 4, 430 ms[)]\n")
claim("no attempt begins after the budget" first MATCHES "\nNuuk: Nuuk does not answer [(]requests: 3, 600 ms[)]\n")
claim("a function that fails too often is not called for a while"
    first MATCHES "600 ms[)]\nNuuk: [^\n]*weather.fetch[^\n]*[(]requests: 0, 0 ms[)]\n")
claim("cached results are returned meanwhile" first MATCHES "\nOslo: 7 degrees [(]requests: 0, 0 ms[)]\n\n$")
claim("a result that is too old is requested again" second MATCHES "\nOslo: 6 degrees [(]requests: 3, 210 ms[)]\n")
claim("threads that ask for one city share a request"
    third MATCHES "\nBergen: 6 degrees, 400 times [(]requests: 1[)]\n")
claim("the cache counts its hits" third MATCHES "\n401 calls were answered by the cache\n$")

set(whole "${out}")
run()
claim("the program prints the same each time" out STREQUAL whole)
