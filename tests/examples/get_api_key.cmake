# Claims about examples/get_api_key.cpp. Each claim is a sentence and one run of the program:
#
#     cmake -DPROGRAM=<built example> -DWORK=<scratch directory> -P tests/examples/get_api_key.cmake

cmake_minimum_required(VERSION 3.20)

foreach(needed PROGRAM WORK)
    if(NOT DEFINED ${needed} OR "${${needed}}" STREQUAL "")
        message(FATAL_ERROR "usage: cmake -DPROGRAM=<built example> -DWORK=<scratch directory> -P get_api_key.cmake")
    endif()
endforeach()

# Only this folder is emptied: WORK may contain other files.
set(secrets "${WORK}/get_api_key_secrets")
file(REMOVE_RECURSE "${secrets}")
file(MAKE_DIRECTORY "${secrets}/none")

# Variables that are set on this machine must not affect the claims.
set(clean)
foreach(service OPENAI ANTHROPIC CLAUDE GPT NOBODY MY_CO X)
    list(APPEND clean --unset=API_KEY_${service} --unset=${service}_API_KEY --unset=${service}_API_TOKEN)
endforeach()

# check(CLAIM [ENV <variable=value>...] [ARGS <argument>...] [STATUS <0>] [OUT <exact text>] [ERR <exact text>]
#       [OUT_MATCHES <regex>] [ERR_MATCHES <regex>] [HIDES <key>])
#
# Runs the program, and fails with the claim unless exit status, stdout and stderr are as given.
# Without OUT and OUT_MATCHES, stdout must be empty. HIDES: no four consecutive characters of this
# key may appear on stdout or stderr.
function(check claim)
    cmake_parse_arguments(PARSE_ARGV 1 expected "" "STATUS;OUT;ERR;OUT_MATCHES;ERR_MATCHES;HIDES" "ENV;ARGS")
    if(DEFINED expected_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "${claim}: unknown arguments: ${expected_UNPARSED_ARGUMENTS}")
    endif()
    if(NOT DEFINED expected_STATUS)
        set(expected_STATUS 0)
    endif()
    if(NOT DEFINED expected_OUT)
        set(expected_OUT "")
    endif()

    execute_process(COMMAND "${CMAKE_COMMAND}" -E env ${clean} ${expected_ENV} ${EMULATOR} "${PROGRAM}" ${expected_ARGS}
        RESULT_VARIABLE status OUTPUT_VARIABLE out ERROR_VARIABLE err TIMEOUT 60)
    string(REPLACE "\r\n" "\n" out "${out}")
    string(REPLACE "\r\n" "\n" err "${err}")

    set(wrong)
    if(NOT status STREQUAL expected_STATUS)
        string(APPEND wrong "  expected exit status: ${expected_STATUS}\n")
    endif()
    if(DEFINED expected_OUT_MATCHES)
        if(NOT out MATCHES "${expected_OUT_MATCHES}")
            string(APPEND wrong "  stdout must match: ${expected_OUT_MATCHES}\n")
        endif()
    elseif(NOT out STREQUAL expected_OUT)
        string(APPEND wrong "  expected stdout: ${expected_OUT}\n")
    endif()
    if(DEFINED expected_ERR AND NOT err STREQUAL expected_ERR)
        string(APPEND wrong "  expected stderr: ${expected_ERR}\n")
    endif()
    if(DEFINED expected_ERR_MATCHES AND NOT err MATCHES "${expected_ERR_MATCHES}")
        string(APPEND wrong "  stderr must match: ${expected_ERR_MATCHES}\n")
    endif()
    if(DEFINED expected_HIDES)
        string(LENGTH "${expected_HIDES}" length)
        math(EXPR last "${length} - 4")
        foreach(begin RANGE ${last})
            string(SUBSTRING "${expected_HIDES}" ${begin} 4 part)
            string(FIND "${out}${err}" "${part}" found)
            if(NOT found EQUAL -1)
                string(APPEND wrong "  '${part}', a part of the key, must not appear\n")
            endif()
        endforeach()
    endif()

    if(wrong)
        message(FATAL_ERROR "${claim}: this does not hold.\n${wrong}"
            "  run: ${expected_ENV} get_api_key ${expected_ARGS}\n"
            "  status: ${status}\n  stdout: ${out}\n  stderr: ${err}")
    endif()
    message(STATUS "${claim}")
endfunction()

# ---- The function: the environment -----------------------------------------------------------------------------------

check("without hooks the key comes from API_KEY_<SERVICE>"
    ENV API_KEY_OPENAI=sk-first-choice ARGS --no-hooks --reveal openai OUT "openai: sk-first-choice\n" ERR "")
check("without hooks the key comes from <SERVICE>_API_KEY"
    ENV OPENAI_API_KEY=sk-second-choice ARGS --no-hooks --reveal openai OUT "openai: sk-second-choice\n" ERR "")
check("without hooks the key comes from <SERVICE>_API_TOKEN"
    ENV OPENAI_API_TOKEN=sk-third-choice ARGS --no-hooks --reveal openai OUT "openai: sk-third-choice\n" ERR "")
check("API_KEY_<SERVICE> is preferred to the other two"
    ENV OPENAI_API_TOKEN=sk-third-choice OPENAI_API_KEY=sk-second-choice API_KEY_OPENAI=sk-first-choice
    ARGS --reveal openai OUT "openai: sk-first-choice\n")
check("<SERVICE>_API_KEY is preferred to <SERVICE>_API_TOKEN"
    ENV OPENAI_API_TOKEN=sk-third-choice OPENAI_API_KEY=sk-second-choice
    ARGS --reveal openai OUT "openai: sk-second-choice\n")
check("an empty variable is treated as not set"
    ENV API_KEY_OPENAI= OPENAI_API_KEY=sk-second-choice ARGS --reveal openai OUT "openai: sk-second-choice\n")
check("a variable that contains only commas and spaces is treated as not set"
    ENV "API_KEY_OPENAI= , ,," OPENAI_API_KEY=sk-second-choice ARGS --reveal openai OUT "openai: sk-second-choice\n")
check("a service's letters become upper case, and all characters but letters and digits become underscores"
    ENV MY_CO_API_KEY=sk-of-my-co ARGS --reveal my.co my-Co OUT "my.co: sk-of-my-co\nmy-Co: sk-of-my-co\n")

check("several keys take turns"
    ENV OPENAI_API_KEY=a-long-key-1,b-long-key-2 ARGS --reveal openai openai openai
    OUT "openai: a-long-key-1\nopenai: b-long-key-2\nopenai: a-long-key-1\n")
check("the keys of each service take turns separately"
    ENV OPENAI_API_KEY=a-long-key-1,b-long-key-2 ANTHROPIC_API_KEY=c-long-key-3,d-long-key-4
    ARGS --reveal openai anthropic openai anthropic
    OUT "openai: a-long-key-1\nanthropic: c-long-key-3\nopenai: b-long-key-2\nanthropic: d-long-key-4\n")
check("spaces around keys are removed, and empty entries are skipped"
    ENV "OPENAI_API_KEY= a-long-key-1 ,, , b-long-key-2," ARGS --reveal openai openai openai
    OUT "openai: a-long-key-1\nopenai: b-long-key-2\nopenai: a-long-key-1\n")

# ---- The hook that reads secrets files -------------------------------------------------------------------------------

file(WRITE "${secrets}/plain/openai" "sk-from-plain-name")
file(WRITE "${secrets}/lower/openai_api_key" "sk-from-lower-case\n")
file(WRITE "${secrets}/upper/OPENAI_API_KEY" "sk-from-upper-case\n")
file(WRITE "${secrets}/token/OPENAI_API_TOKEN" "sk-from-token-name\n")

check("a secrets file is preferred to the environment"
    ENV API_KEY_OPENAI=sk-from-environment ARGS --secrets "${secrets}/upper" --reveal openai
    OUT "openai: sk-from-upper-case\n")
check("a secrets file may have a variable's name in lower case"
    ARGS --secrets "${secrets}/lower" --reveal openai OUT "openai: sk-from-lower-case\n")
check("a secrets file may have the service's plain name"
    ARGS --secrets "${secrets}/plain" --reveal openai OUT "openai: sk-from-plain-name\n")
check("a secrets file may have the name of the last variable"
    ARGS --secrets "${secrets}/token" --reveal openai OUT "openai: sk-from-token-name\n")
check("without a file for the service, the key comes from the environment"
    ENV OPENAI_API_KEY=sk-from-environment ARGS --secrets "${secrets}/none" --reveal openai
    OUT "openai: sk-from-environment\n" ERR "audit: openai: key from the environment\n")
check("one service's file does not supply another's key"
    ARGS --secrets "${secrets}/upper" --reveal openai nobody STATUS 1 OUT "openai: sk-from-upper-case\n")

file(WRITE "${secrets}/order/API_KEY_OPENAI" "sk-from-first-name\n")
file(WRITE "${secrets}/order/OPENAI_API_KEY" "sk-from-second-name\n")
file(WRITE "${secrets}/order/openai" "sk-from-plain-name\n")
check("of several files, the first in the order of the variables is used"
    ARGS --secrets "${secrets}/order" --reveal openai OUT "openai: sk-from-first-name\n")
file(REMOVE "${secrets}/order/API_KEY_OPENAI")
check("a variable's name is preferred to the service's plain name"
    ARGS --secrets "${secrets}/order" --reveal openai OUT "openai: sk-from-second-name\n")

file(WRITE "${secrets}/empty/OPENAI_API_KEY" "\n")
file(MAKE_DIRECTORY "${secrets}/empty/openai")
check("an empty secrets file and a directory are ignored"
    ENV OPENAI_API_KEY=sk-from-environment ARGS --secrets "${secrets}/empty" --reveal openai
    OUT "openai: sk-from-environment\n")
file(WRITE "${secrets}/lines/openai" "sk-of-two-\nlines\n\n")
check("exactly one newline at the end of a secrets file is removed"
    ARGS --secrets "${secrets}/lines" --reveal openai OUT "openai: sk-of-two-\nlines\n\n")

# Each of these would be found if the service's name were appended to the directory unchanged.
file(WRITE "${secrets}/outer/x" "sk-out-of-bounds")
file(WRITE "${secrets}/outer/inner/.x" "sk-out-of-bounds")
file(WRITE "${secrets}/outer/inner/sub/x" "sk-out-of-bounds")
file(WRITE "${secrets}/outer/inner/sub\\x" "sk-out-of-bounds")
foreach(trick ../x sub/x "sub\\x" .x "${secrets}/outer/x")
    check("the service ${trick} never reaches the file system"
        ARGS --secrets "${secrets}/outer/inner" --reveal "${trick}" STATUS 1
        ERR "audit: ${trick}: no key\nget_api_key: ${trick}: no key found\n")
endforeach()
file(WRITE "${secrets}/outer/inner/X_API_KEY" "sk-out-of-bounds")
check("a path in the service's name does not find a file that is named like a variable either"
    ARGS --secrets "${secrets}/outer/inner" --reveal ./x /x STATUS 1)

# ---- The hook that resolves aliases ----------------------------------------------------------------------------------

check("an alias stands for its service"
    ENV ANTHROPIC_API_KEY=sk-of-anthropic OPENAI_API_KEY=sk-of-openai ARGS --reveal claude gpt
    OUT "claude: sk-of-anthropic\ngpt: sk-of-openai\n")
check("secrets files are looked up under the service that the alias stands for"
    ARGS --secrets "${secrets}/upper" --reveal gpt OUT "gpt: sk-from-upper-case\n")
check("without hooks there are no aliases, no secrets files and no audit"
    ENV ANTHROPIC_API_KEY=sk-of-anthropic OPENAI_API_KEY=sk-from-environment
    ARGS --no-hooks --secrets "${secrets}/upper" --reveal openai claude STATUS 1
    OUT "openai: sk-from-environment\n" ERR "get_api_key: claude: no key found\n")

# ---- The hook that audits --------------------------------------------------------------------------------------------

check("the audit names the service that an alias stands for, and the environment"
    ENV OPENAI_API_KEY=jq-7351-xvzk-9482 ARGS gpt
    OUT "gpt: jq-***\n" ERR "audit: openai: key from the environment\n" HIDES jq-7351-xvzk-9482)
file(WRITE "${secrets}/hidden/openai" "jq-7351-xvzk-9482\n")
check("the audit names the secrets file"
    ARGS --secrets "${secrets}/hidden" openai
    OUT "openai: jq-***\n" ERR_MATCHES "^audit: openai: key from [^\n]*hidden[/\\]openai\n$" HIDES jq-7351-xvzk-9482)
check("the audit has one line for each call, even for a call without a key"
    ENV OPENAI_API_KEY=jq-7351-xvzk-9482 ARGS nobody openai STATUS 1 OUT "openai: jq-***\n"
    ERR "audit: nobody: no key\nget_api_key: nobody: no key found\naudit: openai: key from the environment\n"
    HIDES jq-7351-xvzk-9482)
check("the audit contains no part of a key that is revealed"
    ENV OPENAI_API_KEY=jq-7351-xvzk-9482 ARGS --reveal openai
    OUT "openai: jq-7351-xvzk-9482\n" ERR "audit: openai: key from the environment\n")
check("a line break in a service's name does not forge a line of the audit"
    ARGS "nobody\naudit: openai" STATUS 1 ERR_MATCHES "^audit: nobody[?]audit: openai: no key\n")

# Root can read every file. So this is checked only for other users.
file(WRITE "${secrets}/locked/openai" "jq-7351-xvzk-9482\n")
file(CHMOD "${secrets}/locked/openai" PERMISSIONS OWNER_WRITE)
execute_process(COMMAND "${CMAKE_COMMAND}" -E cat "${secrets}/locked/openai"
    RESULT_VARIABLE unreadable OUTPUT_QUIET ERROR_QUIET)
if(unreadable)
    set(file "${secrets}/locked/openai")
    check("a secrets file that cannot be read is an error, which the audit reports, and no other key is used"
        ENV OPENAI_API_KEY=sk-from-environment ARGS --secrets "${secrets}/locked" openai STATUS 1
        ERR "audit: openai: failed: cannot read ${file}\nget_api_key: openai: cannot read ${file}\n")
endif()

# ---- The command line ------------------------------------------------------------------------------------------------

check("a key is masked except for three characters"
    ENV OPENAI_API_KEY=jq-7351-xvzk-9482 ARGS --no-hooks openai OUT "openai: jq-***\n" ERR "" HIDES jq-7351-xvzk-9482)
check("three characters of an eight-character key are shown"
    ENV OPENAI_API_KEY=12345678 ARGS openai OUT "openai: 123***\n")
check("no characters of a seven-character key are shown"
    ENV OPENAI_API_KEY=sk-demo ARGS openai OUT "openai: ***\n")
check("options may come after services"
    ENV OPENAI_API_KEY=sk-demo ARGS openai --reveal OUT "openai: sk-demo\n")
check("a missing key is reported, and the other services are still printed"
    ENV OPENAI_API_KEY=sk-demo ARGS --no-hooks nobody openai STATUS 1 OUT "openai: ***\n"
    ERR "get_api_key: nobody: no key found\n")

check("--help prints the usage"
    ARGS --help OUT_MATCHES "^usage: .*--secrets DIR.*--no-hooks.*--reveal.*Exit status" ERR "")
check("--help prints the usage even with other arguments, and does nothing else"
    ENV OPENAI_API_KEY=sk-demo ARGS openai --help OUT_MATCHES "^usage: .*\nExit status[^\n]+\n$" ERR "")
check("no argument is a usage error"
    STATUS 2 ERR "get_api_key: no service given (try --help)\n")
check("options without a service are a usage error"
    ARGS --reveal STATUS 2 ERR "get_api_key: no service given (try --help)\n")
check("an unknown option is a usage error, and nothing is printed"
    ENV OPENAI_API_KEY=sk-demo ARGS openai --revael STATUS 2 ERR "get_api_key: unknown option: --revael (try --help)\n")
check("--secrets without a directory is a usage error"
    ARGS openai --secrets STATUS 2 ERR "get_api_key: --secrets needs a directory (try --help)\n")
check("a directory that does not exist is a usage error"
    ARGS --secrets "${secrets}/nowhere" openai STATUS 2
    ERR "get_api_key: --secrets: no such directory: ${secrets}/nowhere (try --help)\n")
check("a file in place of the directory is a usage error"
    ARGS --secrets "${secrets}/plain/openai" openai STATUS 2
    ERR "get_api_key: --secrets: no such directory: ${secrets}/plain/openai (try --help)\n")
