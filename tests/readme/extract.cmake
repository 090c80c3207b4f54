# extract_code(<markdown> <folder> <variable>): writes what is fenced as ```cpp into translation units in `folder`, so that
# what a reader copies is known to compile, and sets the variable to their list.
#
# A block that starts with an #include is a unit as it is. The others come in one unit, behind prelude.hpp, each in a namespace
# of its own, and in the body of a function unless one of its lines starts with what belongs outside of one.
function(extract_code markdown folder variable)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${markdown})
    cmake_path(GET markdown FILENAME name)
    file(READ ${markdown} text)
    set(text "\n${text}\n")  # a fence is found by the line ends around it
    set(line 0)
    set(units ${folder}/blocks.cpp)
    set(blocks "#include \"prelude.hpp\"\n")

    string(FIND "${text}" "\n```cpp\n" start)
    while(NOT start EQUAL -1)
        math(EXPR start "${start} + 8")
        string(SUBSTRING "${text}" 0 ${start} before)
        string(SUBSTRING "${text}" ${start} -1 text)
        string(FIND "${text}" "\n```\n" end)
        string(SUBSTRING "${text}" 0 ${end} code)
        string(SUBSTRING "${text}" ${end} -1 text)

        string(REGEX MATCHALL "\n" lines "${before}")
        list(LENGTH lines count)
        math(EXPR line "${line} + ${count}")  # compilers name the line of the README
        set(code "#line ${line} \"${name}\"\n${code}\n")
        if(code MATCHES "^[^\n]*\n(#include[^\n]*)\n")
            write_unit(${folder}/line_${line}.cpp "${code}")
            list(APPEND units ${folder}/line_${line}.cpp)
        elseif(code MATCHES "\n(inline |extern |int main|struct |template)")
            string(APPEND blocks "namespace line_${line} {\n${code}}\n")
        else()
            string(APPEND blocks "namespace line_${line} {\nvoid block() {\n${code}}\n}\n")
        endif()

        string(REGEX MATCHALL "\n" lines "${code}")
        list(LENGTH lines count)
        math(EXPR line "${line} + ${count} - 2")  # without the #line and the end of the last line
        string(FIND "${text}" "\n```cpp\n" start)
    endwhile()
    write_unit(${folder}/blocks.cpp "${blocks}")
    set(${variable} ${units} PARENT_SCOPE)
endfunction()

# An unchanged file is not compiled again.
function(write_unit path text)
    file(WRITE ${path}.new "${text}")
    file(COPY_FILE ${path}.new ${path} ONLY_IF_DIFFERENT)
endfunction()
