# Claims about the example in examples/plugin/:
#
#     cmake -DPROGRAM=<built host> -DPLUGIN=<built plugin> -P tests/examples/plugin.cmake

cmake_minimum_required(VERSION 3.20)

foreach(needed PROGRAM PLUGIN)
    if(NOT DEFINED ${needed} OR "${${needed}}" STREQUAL "")
        message(FATAL_ERROR "usage: cmake -DPROGRAM=<built host> -DPLUGIN=<built plugin> -P plugin.cmake")
    endif()
endforeach()
include("${CMAKE_CURRENT_LIST_DIR}/claims.cmake")

run(ENV OPENAI_API_KEY=sk-from-elsewhere ARGS "${PLUGIN}")
claim("the program succeeds" status EQUAL 0)
claim("nothing goes to stderr, so no exception was lost" err STREQUAL nothing)

set(hook "models.get_api_key +start +vault +vault +0 +runs +std::string[(]std::string_view[)]")
claim("without the plugin the key comes from the environment" out MATCHES "^At first: sk-from-elsewhere\n")
claim("the plugin's hook is registered as soon as the plugin is loaded, and supplies the key"
    out MATCHES "\nFUNCTION[^\n]*\n${hook}\nLoaded: sk-from-the-vault\n")
claim("the hook of the reloaded plugin supplies the key" out MATCHES "\nReloaded: sk-from-the-vault\n")
claim("after the plugin is unloaded, the key comes from the environment again"
    out MATCHES "\nUnloaded, and the library closed: sk-from-elsewhere\n")
claim("no thread got a wrong key at any time" out MATCHES "\nThe threads called all the while. Wrong keys: 0\n$")

run(ENV OPENAI_API_KEY=sk-from-elsewhere ARGS "${PLUGIN}.missing")
claim("a missing library is an error" status EQUAL 1 AND err MATCHES "^host: .*missing")
run(ENV --unset=OPENAI_API_KEY ARGS "${PLUGIN}")
claim("without a key in the environment the program prints its usage" status EQUAL 2 AND err MATCHES "^usage: ")
run(ENV OPENAI_API_KEY=sk-from-elsewhere)
claim("without a plugin the program prints its usage" status EQUAL 2 AND err MATCHES "^usage: ")
