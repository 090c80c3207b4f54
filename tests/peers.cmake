# What do the benchmarks compare with? Boost.Signals2 and libsigc++ where they are installed; sigslot, eventpp and EnTT where
# the folder of their headers is given (-DEXTENSIBLE_SIGSLOT_INCLUDE=... and so on), or where they may be fetched.

option(EXTENSIBLE_BENCHMARK_PEERS "Fetch sigslot, eventpp and EnTT for the target `benchmark_peers`" OFF)

set(versions "")  # for the head of what is measured

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

# add_peer(<name> <repository on GitHub> <version, of which the tag is named> <where its headers are>)
function(add_peer name repository version headers)
    string(TOUPPER ${name} upper)
    set(EXTENSIBLE_${upper}_INCLUDE "" CACHE PATH "Where the headers of ${name} are, if it is not to be fetched")
    set(include ${EXTENSIBLE_${upper}_INCLUDE})
    if(NOT include AND EXTENSIBLE_BENCHMARK_PEERS)
        include(FetchContent)
        # There is no such folder, so that its own build files are not read.
        FetchContent_Declare(peer_${name} GIT_REPOSITORY https://github.com/${repository} GIT_TAG v${version} GIT_SHALLOW ON
            SOURCE_SUBDIR no_build_files)
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
