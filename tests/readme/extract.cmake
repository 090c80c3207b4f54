# extract_code(<markdown> <unit>): writes what is fenced as ```cpp into the translation unit `unit`, so that what a reader copies is
# known to compile.
#
# The blocks of a page make one program, in their order: a block that uses a name finds it in a block before, or in a header that one
# includes. A block with a line that belongs outside of functions is there as it is; any other is the body of a function. All these run
# before main() does, where the unit is linked to a program.
function(extract_code markdown unit)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${markdown})
    cmake_path(RELATIVE_PATH markdown BASE_DIRECTORY ${PROJECT_SOURCE_DIR} OUTPUT_VARIABLE name)
    file(READ ${markdown} text)
    set(text "\n${text}\n")  # a fence is found by the line ends around it
    set(line 0)
    set(blocks "")
    set(calls "")

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
        math(EXPR line "${line} + ${count}")  # compilers name the line of the page
        set(code "#line ${line} \"${name}\"\n${code}\n")
        if(code MATCHES "\n(#include|using|inline|extern|int main|struct|class|template|task<)")
            string(APPEND blocks "${code}")
        else()
            string(APPEND blocks "void block_${line}() {\n${code}}\n")
            string(APPEND calls "block_${line}(), ")
        endif()

        string(REGEX MATCHALL "\n" lines "${code}")
        list(LENGTH lines count)
        math(EXPR line "${line} + ${count} - 2")  # without the #line and the end of the last line
        string(FIND "${text}" "\n```cpp\n" start)
    endwhile()

    file(WRITE ${unit}.new "${blocks}const bool blocks_ran = (${calls}true);\n")
    file(COPY_FILE ${unit}.new ${unit} ONLY_IF_DIFFERENT)  # an unchanged file is not compiled again
endfunction()
