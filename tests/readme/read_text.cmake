# read_text(<variable> <file>): the text of a file, with other characters for those that have a meaning in CMake's lists: ( and ) for
# brackets, @ for a semicolon, ^ for a backslash.
function(read_text variable file)
    file(READ ${file} text)
    string(REPLACE "[" "(" text "${text}")
    string(REPLACE "]" ")" text "${text}")
    string(REPLACE ";" "@" text "${text}")
    string(REPLACE "\\" "^" text "${text}")
    set(${variable} "${text}" PARENT_SCOPE)
endfunction()
