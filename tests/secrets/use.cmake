# Uses examples/secrets in an empty folder, with the program and the CMakeLists.txt of its README:
#
#     cmake -DWAY=<fetch or subdirectory> -DSOURCE=<project> -DWORK=<scratch directory>
#         -DGENERATOR= -DCOMPILER= -P use.cmake

cmake_minimum_required(VERSION 3.21)

file(READ ${SOURCE}/examples/secrets/README.md page)

# first_block(<language> <variable>): the first block of the page in this language.
function(first_block language variable)
    string(FIND "${page}" "\n```${language}\n" begin)
    string(SUBSTRING "${page}" ${begin} -1 block)
    string(REGEX REPLACE "^\n```[a-z]*\n" "" block "${block}")
    string(FIND "${block}" "\n```\n" end)
    string(SUBSTRING "${block}" 0 ${end} block)
    set(${variable} "${block}\n" PARENT_SCOPE)
endfunction()

function(run)
    execute_process(COMMAND ${ARGV} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

first_block(cpp program)
first_block(cmake lines)
if(WAY STREQUAL "subdirectory")
    string(REGEX MATCH "add_subdirectory[(][^)]*[)]" add "${page}")
    string(REGEX REPLACE "include[(]FetchContent[)].*MakeAvailable[(]extensible_secrets[)]" "${add}" lines "${lines}")
endif()

file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})
file(CREATE_LINK ${SOURCE} ${WORK}/extensible SYMBOLIC)
file(WRITE ${WORK}/main.cpp "${program}")
file(WRITE ${WORK}/CMakeLists.txt "${lines}
enable_testing()
add_test(NAME main COMMAND main)
set_tests_properties(main PROPERTIES PASS_REGULAR_EXPRESSION \"^a key\" ENVIRONMENT OPENAI_API_KEY=sk-demo)
")
run(${CMAKE_COMMAND} -S ${WORK} -B ${WORK}/build -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${COMPILER}
    -DFETCHCONTENT_SOURCE_DIR_EXTENSIBLE_SECRETS=${SOURCE})  # FetchContent uses these sources, and asks no server
run(${CMAKE_COMMAND} --build ${WORK}/build)
run(${CMAKE_COMMAND} -E env --unset=BAO_ADDR --unset=VAULT_ADDR
    ${CMAKE_CTEST_COMMAND} --test-dir ${WORK}/build --no-tests=error --output-on-failure)
if(WAY STREQUAL "fetch")
    run(${CMAKE_COMMAND} --build ${WORK}/build --target get_key)
endif()
