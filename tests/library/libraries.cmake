# Builds plugins as shared libraries in one folder, and the tests, which load copies of them.

set(plugins ${CMAKE_CURRENT_BINARY_DIR}/library)

function(plugin_library name source)
    add_library(library_${name} MODULE library/${source}.cpp)
    target_compile_definitions(library_${name} PRIVATE ${ARGN})
    target_link_libraries(library_${name} PRIVATE extensible_checked)
    set_target_properties(library_${name} PROPERTIES PREFIX "" OUTPUT_NAME ${name} LIBRARY_OUTPUT_DIRECTORY ${plugins}
        LIBRARY_OUTPUT_DIRECTORY_DEBUG ${plugins} LIBRARY_OUTPUT_DIRECTORY_RELEASE ${plugins})
    if(WIN32)
        target_link_libraries(library_${name} PRIVATE library_tests)  # for half_way()
    else()
        add_dependencies(library_tests library_${name})
    endif()
    add_dependencies(plugin_libraries library_${name})
endfunction()

# In CTest each test case is called library.<name of the test case>.
function(library_tests)
    set(discovery ${discovery} TEST_PREFIX library.)
    add_claims(library_tests library/library.cpp)
    target_link_libraries(library_tests PRIVATE ${CMAKE_DL_LIBS})
    target_compile_definitions(library_tests PRIVATE LIBRARIES="${plugins}" LIBRARY_SUFFIX="${CMAKE_SHARED_MODULE_SUFFIX}")
    set_target_properties(library_tests PROPERTIES ENABLE_EXPORTS ON)  # for half_way()
endfunction()

library_tests()
add_custom_target(plugin_libraries)
plugin_library(version_1 version VERSION=1)
plugin_library(version_2 version VERSION=2)
plugin_library(dynamic_tls version VERSION=1 EXTENSIBLE_DYNAMIC_TLS)
target_compile_options(library_dynamic_tls PRIVATE ${not_compiled})  # the compiled code has static TLS
plugin_library(throwing throwing)
plugin_library(throwing_int throwing THROWS_INT)
plugin_library(no_plugin no_plugin)
plugin_library(without_stamp no_plugin WITHOUT_STAMP)
foreach(change layout version)
    plugin_library(other_${change} other_stamp)
    add_dependencies(library_other_${change} stamp_headers_${change})
    target_compile_options(library_other_${change} PRIVATE ${not_compiled})  # the compiled code has the host's layout
    target_include_directories(library_other_${change} BEFORE PRIVATE ${altered}/${change})
endforeach()
