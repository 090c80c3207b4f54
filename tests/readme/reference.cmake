# Checks that the reference has all public names, and lists the missing ones.
#
#     cmake -DROOT=<folder of the project> -P tests/readme/reference.cmake
#
# These names must appear as code, between backticks, in reference.md:
# - each name that the module exports, as `ext::name`, and not only in the table of headers;
# - each public member of an exported class, at the beginning of a piece of code in the first column of a table that has
#   `ext::class` in its header;
# - macros that a program may define, macros after a `///` comment, and the targets and options of
#   CMake. The ready-made hooks and their members may appear anywhere in reference.md or hooks.md.
#
# The headers are read line by line, in the format of this project: a class begins and ends in the
# first column, and its members are indented by four spaces. The script does not see constructors,
# operators, members of nested classes, and members of base classes in `detail`. It does not check
# what the page says about a name.

cmake_minimum_required(VERSION 3.21)
include(${CMAKE_CURRENT_LIST_DIR}/read_text.cmake)

# need(<name> <code> <how to report the name if it is not a word of the code>)
function(need name code report)
    if(NOT code MATCHES "(^|[^A-Za-z0-9_])${name}($|[^A-Za-z0-9_])")
        set_property(GLOBAL APPEND PROPERTY missing "${report}")
    endif()
endfunction()

# Everything between backticks, except fenced blocks.
function(code_of result text)
    string(REGEX MATCHALL "`[^`\n]+`" code "${text}")
    set(${result} "${code}" PARENT_SCOPE)
endfunction()

read_text(page ${ROOT}/.github/docs/reference.md)
string(REGEX REPLACE "\n[|] `[a-z_]+[.]hpp`[^\n]*" "" page "${page}")  # the table of headers
code_of(page_code "${page}")
set(hooks_code "${page_code}")
if(EXISTS ${ROOT}/.github/docs/hooks.md)
    read_text(hooks_page ${ROOT}/.github/docs/hooks.md)
    code_of(code "${hooks_page}")
    string(APPEND hooks_code "${code}")
endif()

# ---- Names that the module exports -----------------------------------------------------------------------------------

read_text(module ${ROOT}/include/extensible/extensible.cppm)
string(REGEX MATCHALL "ext::[a-z_:]+@" exports "${module}")
list(TRANSFORM exports REPLACE "@" "")
foreach(name IN LISTS exports)
    if(name MATCHES "^ext::hooks::(.+)")
        need(${CMAKE_MATCH_1} "${hooks_code}" ${name})
    else()
        need(${name} "${page_code}" ${name})
    endif()
endforeach()

# ---- Public members of these names -----------------------------------------------------------------------------------

# need_member(<exported class> <member>)
function(need_member class member)
    if(class MATCHES "^ext::hooks::")
        set(code "${hooks_code}")
    else()
        string(REGEX MATCHALL "\n\n[|][^\n]*`${class}[`<][^\n]*(\n[|][^\n]*)+" tables "${page}")
        string(REGEX MATCHALL "\n[|][^|\n]*" first_column "${tables}")
        code_of(code "${first_column}")
    endif()
    need("`[.]?${member}" "${code}" "${class}: ${member}")
    set_property(GLOBAL APPEND PROPERTY members ${class}::${member})
endfunction()

file(GLOB_RECURSE headers ${ROOT}/include/extensible/*.hpp)
set(all_headers "")
foreach(header IN LISTS headers)
    read_text(text ${header})
    string(APPEND all_headers "${text}")
    set(namespace ext::)
    if(header MATCHES "/hooks/")
        set(namespace ext::hooks::)
    endif()

    # The name of a member precedes the first = ( { or ; of its line. Other text that may contain
    # these characters is removed before.
    string(REGEX REPLACE " *//[^\n]*|EXTENSIBLE_[A-Z_]+ +" "" text "${text}")
    string(REGEX REPLACE "[(][(][^()\n]*([(][^()\n]*[)])?[^()\n]*[)][)] ?" "" text "${text}")  # attributes
    string(REGEX REPLACE "decltype\\([^()\n]*\\)" "auto" text "${text}")
    foreach(depth RANGE 3)
        string(REGEX REPLACE "<[^<>\n]*>" "" text "${text}")  # template arguments, innermost first
    endforeach()
    string(REPLACE "\n" ";" lines "${text}")
    set(class "")
    foreach(line IN LISTS lines)
        if(line MATCHES "^(class|struct) ([a-z_]+)( : .*)? {$")
            set(class ${namespace}${CMAKE_MATCH_2})
            string(COMPARE EQUAL ${CMAKE_MATCH_1} struct is_public)
            if(NOT class IN_LIST exports)
                set(class "")
            endif()
        elseif(line MATCHES "^enum class ([a-z_]+).*{ (.*) }@$")
            set(enum ${namespace}${CMAKE_MATCH_1})
            string(REGEX MATCHALL "[a-z_]+" members "${CMAKE_MATCH_2}")
            foreach(member IN LISTS members)
                need_member(${enum} ${member})
            endforeach()
        elseif(line MATCHES "^}")
            set(class "")
        elseif(line MATCHES "^(public|protected|private):")
            string(COMPARE EQUAL ${CMAKE_MATCH_1} public is_public)
        elseif(class AND is_public AND NOT line MATCHES "operator|static_assert" AND
               line MATCHES "^    [A-Za-z][^=({@]*[ *&]([a-z_]+) *[=({@]")
            set(member ${CMAKE_MATCH_1})
            if(NOT class MATCHES "::${member}$")  # a constructor has the name of its class
                need_member(${class} ${member})
            endif()
        endif()
    endforeach()
endforeach()

# ---- Macros, and CMake's targets and options -------------------------------------------------------------------------

read_text(source ${ROOT}/include/extensible/extensible.cpp)
read_text(cmake ${ROOT}/CMakeLists.txt)
# The library defines these itself.
string(REGEX MATCHALL "#define EXTENSIBLE_[A-Z_]+\n" flags "${all_headers}${source}\n")
string(REGEX MATCHALL "[^A-Z_]defined\\(EXTENSIBLE_[A-Z_]+" asked "${all_headers}")
string(REGEX MATCHALL "\n///[^\n]*(\n#define EXTENSIBLE_[A-Z_]+[^\n]*)+" documented "${all_headers}")
string(REGEX MATCHALL "(option|set)\\(EXTENSIBLE_[A-Z_]+|add_library\\(extensible::[a-z]+" in_cmake "${cmake}")
string(REGEX MATCHALL "EXTENSIBLE_[A-Z_]+|extensible::[a-z]+" names "${asked} ${documented} ${in_cmake}")
list(REMOVE_DUPLICATES names)
foreach(name IN LISTS names)
    if(NOT flags MATCHES "${name}\n")
        need(${name} "${page_code}" ${name})
    endif()
endforeach()

get_property(members GLOBAL PROPERTY members)
list(LENGTH members number)
if(number LESS 200)
    message(FATAL_ERROR "only ${number} members were found: has the format of the headers changed?")
endif()
get_property(missing GLOBAL PROPERTY missing)
if(missing)
    list(REMOVE_DUPLICATES missing)
    list(JOIN missing "\n  " missing)
    message(FATAL_ERROR "reference.md does not have these public names:\n  ${missing}")
endif()
