# Writes a header with a function template for each function of the library that is not a member. It
# takes the names from the library's headers. If a call in the library finds one of these templates
# by argument-dependent lookup, the static_assert in it says so.
#
#     cmake -DINCLUDE=<folder of headers> -DTO=<the header> -P tests/lookup/names.cmake

cmake_minimum_required(VERSION 3.20)

# An application provides these functions: see ext::failed.
set(customization_points failed)

file(GLOB_RECURSE headers ${INCLUDE}/extensible/*.hpp)
set(names "")
foreach(header IN LISTS headers)
    # A function that is not a member is declared in the first column.
    file(STRINGS ${header} declarations REGEX "^[a-zA-Z[][^#]*[ &*][a-z_]+[(]")
    foreach(declaration IN LISTS declarations)
        string(REPLACE "decltype(auto)" "auto" declaration "${declaration}")
        if(declaration MATCHES "^[^(=]*[ &*]([a-z_]+)[(]")
            list(APPEND names ${CMAKE_MATCH_1})
        endif()
    endforeach()
endforeach()
list(REMOVE_DUPLICATES names)
list(REMOVE_ITEM names requires alignas decltype noexcept if for while switch return operator main
    ${customization_points})
list(SORT names)
list(LENGTH names count)
if(count LESS 100)
    message(FATAL_ERROR "There are only ${count} names, so the headers are not formatted as expected.")
endif()

set(text "#pragma once\n\nnamespace application {\n
template <class... A>
struct found_by_lookup {
    static_assert(sizeof...(A) == 1000, \"the library calls one of its own functions without a qualifier\");
    using type = void;
};\n\n")
foreach(name IN LISTS names)
    string(APPEND text "template <class... A>\nauto ${name}(A&&...) -> typename found_by_lookup<A...>::type;\n")
endforeach()
string(APPEND text "\n}  // namespace application\n")
file(WRITE ${TO} "${text}")
