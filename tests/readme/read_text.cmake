# read_text(<variable> <file>): reads a file, and replaces the characters that are special in
# CMake's lists: square brackets by ( and ), a semicolon by @, and a backslash by ^.
function(read_text variable file)
    file(READ ${file} text)
    string(REPLACE "[" "(" text "${text}")
    string(REPLACE "]" ")" text "${text}")
    string(REPLACE ";" "@" text "${text}")
    string(REPLACE "\\" "^" text "${text}")
    set(${variable} "${text}" PARENT_SCOPE)
endfunction()
