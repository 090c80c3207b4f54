# Checks that a library exports no function of the hooks, but for what a compiler adds to a visible class: its
# constructors, its destructor, its assignment and its lambdas.
#
#     cmake -DNM=<nm> -DLIBRARY=<library> -P hidden_functions.cmake

cmake_minimum_required(VERSION 3.21)

execute_process(COMMAND ${NM} --dynamic --defined-only ${LIBRARY}
    OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^ \n]+" symbols "${symbols}")
if(NOT symbols MATCHES "_ZTVN7secrets2v[0-9]+11store_errorE")  # the table of its virtual functions
    message(FATAL_ERROR "the library does not contain the hooks, or hides an exception that a host catches")
endif()

list(FILTER symbols INCLUDE REGEX "^_ZNK?7secrets2v")
list(FILTER symbols EXCLUDE REGEX "(C[12]|D[012]|aS|eq)E|Ul")
if(symbols)
    list(JOIN symbols "\n" symbols)
    message(FATAL_ERROR "these functions are exported:\n${symbols}")
endif()
