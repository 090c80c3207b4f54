# Copies the headers in SOURCE to TO and alters the copy. CHANGE says how:
# - version: the copy has other numbers of the version and the layout
# - layout: some classes get one more member, but the number of the layout is not changed
# - the name of a class: this class gets one more member
# - empty: the copy is not altered

set(member "char of_another_layout[80] = {1}")

function(replace file from to)
    file(READ ${TO}/extensible/${file} text)
    string(FIND "${text}" "${from}" at)
    if(at EQUAL -1)
        message(FATAL_ERROR "${file} has no \"${from}\"")
    endif()
    string(REPLACE "${from}" "${to}" text "${text}")
    file(WRITE ${TO}/extensible/${file} "${text}")
endfunction()

# The member is added at the end, so that the class can be initialized as before. If the class is a
# template, each specialization gets the member.
function(add_member class)
    file(GLOB_RECURSE headers ${TO}/extensible/*.hpp)
    set(found FALSE)
    string(CONCAT definition "\n( *)(struct|class) ([A-Z_]+ |alignas[^ ]+ |[[][[][^\n]+ )*${class}"
        "(<[^\n]*>)?( :[^\n]*)? [{]\n")
    foreach(header IN LISTS headers)
        file(READ ${header} rest)
        set(text "")
        while(rest MATCHES "${definition}")
            string(FIND "${rest}" "${CMAKE_MATCH_0}" begin)
            string(SUBSTRING "${rest}" ${begin} -1 tail)
            string(FIND "${tail}" "\n${CMAKE_MATCH_1}};" length)
            math(EXPR end "${begin} + ${length}")
            string(SUBSTRING "${rest}" 0 ${end} head)
            string(SUBSTRING "${rest}" ${end} -1 rest)
            string(APPEND text "${head}\n${member};")
            set(found TRUE)
        endwhile()
        file(WRITE ${header} "${text}${rest}")
    endforeach()
    if(NOT found)
        message(FATAL_ERROR "No header has a class ${class}.")
    endif()
endfunction()

file(REMOVE_RECURSE ${TO})
file(COPY ${SOURCE}/ DESTINATION ${TO})
if(CHANGE STREQUAL "version")
    replace(version.hpp "#define EXTENSIBLE_VERSION_MINOR " "#define EXTENSIBLE_VERSION_MINOR 9")
    replace(detail/platform/compiler.hpp "#define EXTENSIBLE_ABI EXTENSIBLE_ABI_OF(abi_"
        "#define EXTENSIBLE_ABI EXTENSIBLE_ABI_OF(abi_9")
elseif(CHANGE STREQUAL "layout")
    replace(detail/records/hook_record.hpp "struct hook_record : hook_group {"
        "struct hook_record : hook_group {\n    ${member};")
    replace(detail/records/registry_record.hpp "struct registry_contents {"
        "struct registry_contents {\n    ${member};")
    replace(detail/records/registry_record.hpp "    hazard_domain* const domain;"
        "    ${member};\n    hazard_domain* const domain;")
    replace(detail/records/function_record.hpp "    atomic<const void*> quick_domain{nullptr};"
        "    ${member};\n    atomic<const void*> quick_domain{nullptr};")
elseif(CHANGE)
    add_member(${CHANGE})
endif()
file(TOUCH ${TO}/extensible/extensible.hpp)  # a copy has the time of its source
