# extract_code(<markdown> <folder> <variable>): writes a translation unit into `folder` for each block fenced as ```cpp,
# so that what a reader copies is known to compile, and sets the variable to their list.
#
# A block that starts with an #include is compiled as it stands. Any other comes behind prelude.hpp, and becomes the body
# of a function unless one of its lines starts with what belongs outside of one.
function(extract_code markdown folder variable)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${markdown})
    cmake_path(GET markdown FILENAME name)
    file(READ ${markdown} text)
    set(text "\n${text}\n")  # a fence is found by the line ends around it
    set(line 0)
    set(units "")

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
            set(unit "${code}")
        elseif(code MATCHES "\n(inline |extern |int main|struct |template)")
            set(unit "#include \"prelude.hpp\"\n${code}")
        else()
            set(unit "#include \"prelude.hpp\"\nvoid block() {\n${code}}\n")
        endif()

        set(path ${folder}/line_${line}.cpp)
        file(WRITE ${path}.new "${unit}")
        file(COPY_FILE ${path}.new ${path} ONLY_IF_DIFFERENT)  # an unchanged block is not compiled again
        list(APPEND units ${path})

        string(REGEX MATCHALL "\n" lines "${code}")
        list(LENGTH lines count)
        math(EXPR line "${line} + ${count} - 2")  # without the #line and the end of the last line
        string(FIND "${text}" "\n```cpp\n" start)
    endwhile()
    set(${variable} ${units} PARENT_SCOPE)
endfunction()
