# Copies the headers in SOURCE to TO and alters the copy: CHANGE is `layout`, as by somebody who forgot to change the number of
# the layout, or `version`.

function(replace file from to)
    file(READ ${TO}/extensible/detail/${file} text)
    string(FIND "${text}" "${from}" at)
    if(at EQUAL -1)
        message(FATAL_ERROR "${file} has no \"${from}\"")
    endif()
    string(REPLACE "${from}" "${to}" text "${text}")
    file(WRITE ${TO}/extensible/detail/${file} "${text}")
endfunction()

file(REMOVE_RECURSE ${TO})
file(COPY ${SOURCE}/ DESTINATION ${TO})
if(CHANGE STREQUAL "layout")
    set(member "char of_another_layout[80] = {1}")
    replace(records.hpp "struct hook_record : hook_group {" "struct hook_record : hook_group {\n    ${member};")
    replace(records.hpp "struct registry_contents {" "struct registry_contents {\n    ${member};")
    replace(records.hpp "    hazard_domain* const domain;" "    ${member};\n    hazard_domain* const domain;")
    replace(records.hpp "    atomic<const void*> quick_domain{nullptr};"
        "    ${member};\n    atomic<const void*> quick_domain{nullptr};")
else()
    replace(config.hpp "#define EXTENSIBLE_VERSION_MINOR " "#define EXTENSIBLE_VERSION_MINOR 9")
    replace(config.hpp "#define EXTENSIBLE_ABI EXTENSIBLE_ABI_OF(abi_" "#define EXTENSIBLE_ABI EXTENSIBLE_ABI_OF(abi_9")
endif()
file(TOUCH ${TO}/extensible/extensible.hpp)  # a copy has the time of its source
