# The umbrella header includes no standard header that takes long to compile.
#
#     cmake -DCOMPILER=<c++> -DINCLUDE=<folder of headers> -P tests/expensive_headers.cmake
#
# Headers of libstdc++ are recognised by their folder, which is named after a version. Those of
# other standard libraries are not checked.

cmake_minimum_required(VERSION 3.20)

set(expensive algorithm chrono condition_variable functional future iostream map memory mutex ranges regex sstream
    thread)

execute_process(COMMAND ${COMPILER} -std=c++20 -I${INCLUDE} -x c++ -M ${INCLUDE}/extensible/extensible.hpp
    OUTPUT_VARIABLE headers COMMAND_ERROR_IS_FATAL ANY)
if(NOT headers MATCHES "/string[ \n]")
    message(FATAL_ERROR "found no standard header among these:\n${headers}")
endif()
foreach(header IN LISTS expensive)
    if(headers MATCHES "/c[+][+]/[0-9.]+/${header}[ \n]")
        message(SEND_ERROR "extensible.hpp includes <${header}>")
    endif()
endforeach()
