# extract_code(<markdown> <folder> <variable>): writes the ```cpp blocks of a page to translation
# units in the folder, and sets the variable to the names of these files. They are compiled, so that
# the code that readers copy is known to compile.
#
# The first block of a page is its program, and must have an #include. Any other block with an #include is a file: it is
# compiled alone, as it is. A block without one is a snippet: it is compiled after the program, in a namespace of its
# own, so that it cannot use another snippet. A snippet with a line that belongs outside of functions stays as it is;
# any other is the body of a function. If the unit is linked to a program, these functions run before main() does.
function(extract_code markdown folder variable)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${markdown})
    cmake_path(RELATIVE_PATH markdown BASE_DIRECTORY ${PROJECT_SOURCE_DIR} OUTPUT_VARIABLE name)
    string(MAKE_C_IDENTIFIER ${name} unit)
    set(program ${folder}/${unit}.cpp)
    set(program_code "")
    set(units "")
    file(READ ${markdown} text)
    set(text "\n${text}\n")  # a fence is found by the line ends around it
    set(line 0)
    set(calls "")

    string(FIND "${text}" "\n```cpp\n" start)
    while(NOT start EQUAL -1)
        math(EXPR start "${start} + 8")
        string(SUBSTRING "${text}" 0 ${start} before)
        string(SUBSTRING "${text}" ${start} -1 text)
        string(FIND "${text}" "\n```\n" end)
        string(SUBSTRING "${text}" 0 ${end} block)
        string(SUBSTRING "${text}" ${end} -1 text)

        string(REGEX MATCHALL "\n" lines "${before}")
        list(LENGTH lines count)
        math(EXPR line "${line} + ${count}")
        set(code "#line ${line} \"${name}\"\n${block}\n")  # compilers report the line of the page
        if("\n${block}" MATCHES "\n#include")
            if(units STREQUAL "")
                set(units ${program})
                set(program_code "${code}")
            else()
                set(unit_of_block ${folder}/${unit}_${line}.cpp)
                write_if_different(${unit_of_block} "${code}")
                list(APPEND units ${unit_of_block})
            endif()
        elseif(units STREQUAL "")
            message(FATAL_ERROR
                "${name}:${line}: the first block of a page must contain the #include lines that its snippets need")
        elseif("\n${block}" MATCHES
                "\n(inline|extern|constexpr|struct|class|enum|template|namespace|void|int main)[ (]")
            string(APPEND program_code "namespace snippet_${line} {\n${code}}\n")
        else()
            string(APPEND program_code "namespace snippet_${line} {\ninline void run() {\n${code}}\n}\n")
            string(APPEND calls "snippet_${line}::run(), ")
        endif()

        string(REGEX MATCHALL "\n" lines "${block}")
        list(LENGTH lines count)
        math(EXPR line "${line} + ${count}")
        string(FIND "${text}" "\n```cpp\n" start)
    endwhile()

    if(NOT units STREQUAL "")
        write_if_different(${program} "${program_code}const bool snippets_ran = (${calls}true);\n")
    endif()
    set(${variable} ${units} PARENT_SCOPE)
endfunction()

# Leaves an unchanged file alone, so that it is not compiled again.
function(write_if_different file text)
    file(WRITE ${file}.new "${text}")
    file(COPY_FILE ${file}.new ${file} ONLY_IF_DIFFERENT)
endfunction()
