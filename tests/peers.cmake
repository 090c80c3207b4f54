# The libraries that the benchmarks compare with: Boost.Signals2 and libsigc++ if they are
# installed; sigslot, eventpp and EnTT if the folders of their headers are given
# (-DEXTENSIBLE_SIGSLOT_INCLUDE=... and so on), or if they may be fetched.

option(EXTENSIBLE_BENCHMARK_PEERS "Fetch sigslot, eventpp and EnTT for the target `benchmark_peers`" OFF)

set(versions "")  # for the head of the output

find_path(EXTENSIBLE_BOOST_INCLUDE boost/signals2.hpp)
if(EXTENSIBLE_BOOST_INCLUDE)
    foreach(target benchmark benchmark_peers)
        target_include_directories(${target} SYSTEM PRIVATE ${EXTENSIBLE_BOOST_INCLUDE})
        target_compile_definitions(${target} PRIVATE EXTENSIBLE_HAS_BOOST_SIGNALS2)
    endforeach()
endif()

find_package(PkgConfig QUIET)
if(PkgConfig_FOUND)
    pkg_search_module(SIGCXX QUIET IMPORTED_TARGET sigc++-3.0 sigc++-2.0)
endif()
if(TARGET PkgConfig::SIGCXX)
    foreach(target benchmark benchmark_peers)
        target_link_libraries(${target} PRIVATE PkgConfig::SIGCXX)
        target_compile_definitions(${target} PRIVATE EXTENSIBLE_HAS_SIGCXX)
    endforeach()
    list(APPEND versions "libsigc++ ${SIGCXX_VERSION}")
endif()

# add_peer(<name> <repository on GitHub> <version, as in its tag> <folder of its headers>)
function(add_peer name repository version headers)
    string(TOUPPER ${name} upper)
    set(EXTENSIBLE_${upper}_INCLUDE "" CACHE PATH "The folder of the headers of ${name}, used instead of fetching it")
    set(include ${EXTENSIBLE_${upper}_INCLUDE})
    if(NOT include AND EXTENSIBLE_BENCHMARK_PEERS)
        include(FetchContent)
        # The folder does not exist, so the build files of the library are not used.
        FetchContent_Declare(peer_${name} GIT_REPOSITORY https://github.com/${repository} GIT_TAG v${version}
            GIT_SHALLOW ON SOURCE_SUBDIR no_build_files)
        FetchContent_MakeAvailable(peer_${name})
        FetchContent_GetProperties(peer_${name} SOURCE_DIR source)
        set(include ${source}/${headers})
        set(versions ${versions} "${name} ${version}" PARENT_SCOPE)
    endif()
    if(include)
        target_include_directories(benchmark_peers SYSTEM PRIVATE ${include})
        target_compile_definitions(benchmark_peers PRIVATE EXTENSIBLE_HAS_${upper})
    endif()
endfunction()

add_peer(sigslot palacaze/sigslot 1.2.3 include)
add_peer(eventpp wqking/eventpp 0.1.3 include)
add_peer(EnTT skypjack/entt 3.16.0 src)

list(JOIN versions ", " versions)
string(REPLACE GNU GCC compiler ${CMAKE_CXX_COMPILER_ID})
string(STRIP "${compiler} ${CMAKE_CXX_COMPILER_VERSION} ${CMAKE_CXX_FLAGS}" build)
target_compile_definitions(benchmark_peers PRIVATE "EXTENSIBLE_PEERS=\"${versions}\""
    "EXTENSIBLE_BUILD=\"${build} $<IF:$<CONFIG:Release>,-O3,-O2>\"")
