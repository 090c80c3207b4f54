# Claims about examples/secrets/get_key.cpp without an engine to ask:
#
#     cmake -DPROGRAM=<built example> -DWORK=<scratch directory> -P tests/secrets/get_key.cmake

cmake_minimum_required(VERSION 3.20)

foreach(needed PROGRAM WORK)
    if(NOT DEFINED ${needed} OR "${${needed}}" STREQUAL "")
        message(FATAL_ERROR "usage: cmake -DPROGRAM=<get_key> -DWORK=<scratch directory> -P get_key.cmake")
    endif()
endforeach()
include("${CMAKE_CURRENT_LIST_DIR}/../examples/claims.cmake")
get_filename_component(PROGRAM "${PROGRAM}" ABSOLUTE)  # it is run in other directories

# Only this folder is emptied: WORK may contain other files.
set(files "${WORK}/get_key_files")
file(REMOVE_RECURSE "${files}")
file(MAKE_DIRECTORY "${files}/none")
file(WRITE "${files}/dotenv/.env" "OPENAI_API_KEY=sk-from-dotenv\n")
file(WRITE "${files}/other.env" "OPENAI_API_KEY=sk-from-other\n")
file(WRITE "${files}/several.env" "API_KEY_OPENAI='sk-three,sk-four\n'\n")
file(WRITE "${files}/json.env" "OPENAI_API_KEY='{\"a\":1,\"b\":2}\n'\n")
file(MAKE_DIRECTORY "${files}/unreadable")
file(CREATE_LINK .env "${files}/unreadable/.env" SYMBOLIC)  # to itself

# Variables that are set on this machine must not affect the claims.
set(clean)
foreach(name ADDR TOKEN NAMESPACE CACERT CAPATH)
    list(APPEND clean --unset=BAO_${name} --unset=VAULT_${name})
endforeach()
foreach(service OPENAI NOBODY)
    list(APPEND clean --unset=API_KEY_${service} --unset=${service}_API_KEY --unset=${service}_API_TOKEN)
endforeach()

# ask([ENV <variable=value>...] [ARGS <argument>...] [IN <directory>]): like run(), in an
# environment without other variables for keys, and by default in a directory without a .env file.
macro(ask)
    cmake_parse_arguments(ask "" "IN" "ENV;ARGS" ${ARGN})
    if(NOT DEFINED ask_IN)
        set(ask_IN "${files}/none")
    endif()
    run(ENV ${clean} ${ask_ENV} ARGS ${ask_ARGS} IN "${ask_IN}")
endmacro()

set(key jq-7351-xvzk-9482)
set(parts_of_key "jq-|7351|xvzk|9482")

# ---- Where the key comes from --------------------------------------------------------------------

ask(ENV OPENAI_API_KEY=${key} ARGS --reveal openai)
claim("without an engine and a .env file the key comes from the environment" out STREQUAL "openai: ${key}\n")
claim("if a key is found, nothing is written to stderr" err STREQUAL nothing)
claim("if a key is found, the exit status is 0" status EQUAL 0)

ask(ENV OPENAI_API_KEY=${key} ARGS --reveal openai IN "${files}/dotenv")
claim("a .env file is preferred to the environment" out STREQUAL "openai: sk-from-dotenv\n")
ask(ENV OPENAI_API_KEY=${key} ARGS --reveal --env-file "${files}/other.env" openai IN "${files}/dotenv")
claim("--env-file names another file" out STREQUAL "openai: sk-from-other\n")

ask(ENV OPENAI_API_TOKEN=${key} ARGS --reveal openai)
claim("the key may be in any of the service's variables" out STREQUAL "openai: ${key}\n")
ask(ENV "OPENAI_API_KEY=sk-one, sk-two" ARGS --reveal openai openai openai)
claim("several keys of the environment are used in turn, although they are cached"
    out STREQUAL "openai: sk-one\nopenai: sk-two\nopenai: sk-one\n")
ask(ARGS --reveal --env-file "${files}/several.env" openai openai openai)
claim("several keys of a .env file take turns"
    out STREQUAL "openai: sk-three\nopenai: sk-four\nopenai: sk-three\n")
ask(ENV "OPENAI_API_KEY=${key}\n" ARGS --reveal openai)
claim("a line break at the end of a key is not part of it" out STREQUAL "openai: ${key}\n")
ask(ARGS --reveal --env-file "${files}/json.env" openai openai)
claim("a JSON object is one key" out STREQUAL "openai: {\"a\":1,\"b\":2}\nopenai: {\"a\":1,\"b\":2}\n")

ask(ENV OPENAI_API_KEY=${key} ARGS nobody openai)
claim("a service without a key is reported on stderr" err STREQUAL "get_key: nobody: no key found\n")
claim("a service without a key is a failure" status EQUAL 1)
claim("the services after a service without a key are still printed" out STREQUAL "openai: jq-***\n")

ask(ENV OPENAI_API_KEY=${key} ARGS openai)
claim("a key is masked except for three characters" out STREQUAL "openai: jq-***\n")
ask(ENV OPENAI_API_KEY=sk-demo ARGS openai)
claim("a short key is masked completely" out STREQUAL "openai: ***\n")

# ---- The output of --explain ---------------------------------------------------------------------

ask(ENV OPENAI_API_KEY=${key} ARGS --explain openai openai nobody nobody)
set(hooks "start +cache .*\n +start +dotenv .*\n +start +environment .*\n +end +cache .*\n +end +in-turn ")
claim("--explain lists the hooks in their order" out MATCHES "^FUNCTION .*\nmodels[.]get_api_key +${hooks}")
claim("without the address of an engine no hook asks it" NOT out MATCHES "kv2")
set(way "not from cache, not from dotenv [(]not found[)], ")
claim("--explain says which variable of the environment had the key"
    out MATCHES "\nopenai: ${way}from environment [(]OPENAI_API_KEY[)]\n")
claim("--explain says that the cache has a known key"
    out MATCHES "_API_KEY[)]\nopenai: from cache [(]cache[)]\n")
claim("--explain says that no source had the key"
    out MATCHES "\nnobody: ${way}not from environment, from nowhere\n")
claim("the cache also remembers a missing key"
    out MATCHES "\nnobody: from nowhere, says cache [(]cache[)]\n$")
claim("--explain prints no part of the key" NOT "${out}${err}" MATCHES "${parts_of_key}")

ask(ENV OPENAI_API_KEY=${key} ARGS --explain openai IN "${files}/dotenv")
claim("--explain says that the .env file had the key"
    out MATCHES "\nopenai: not from cache, from dotenv [(]dotenv [.]env[)]\n")
ask(ENV OPENAI_API_KEY=${key} ARGS --explain openai IN "${files}/unreadable")
claim("if the .env file cannot be read, there is no key from elsewhere"
    out MATCHES "\nopenai: not from cache, not from dotenv [(]misconfigured[)], failed\n$")
claim("stderr says that the .env file cannot be read"
    err STREQUAL "get_key: openai: dotenv: cannot read .env\n")
ask(ENV OPENAI_API_KEY=${key} ARGS --explain --ttl 0 openai openai)
claim("--ttl 0 keeps no key" out MATCHES "\nopenai: not from cache, [^\n]*\nopenai: not from cache, ")
ask(ARGS --explain "nobody\nopenai: from kv2")
claim("a service's name cannot forge a line" out MATCHES "\nnobody[?]openai: from kv2: not from cache")

# ---- Which sources, and in which order -----------------------------------------------------------

ask(ENV OPENAI_API_KEY=${key} ARGS --from env-file --explain openai)
claim("--from asks the sources that it names" out MATCHES "\nopenai: not from cache, [^\n]*from dotenv")
set(two VAULT_ADDR=http://127.0.0.1:1 AZURE_KEYVAULT_URL=http://127.0.0.1:1
    AZURE_TENANT_ID=t AZURE_CLIENT_ID=c AZURE_CLIENT_SECRET=hvs.7351-token)
ask(ENV ${two} OPENAI_API_KEY=${key} ARGS --from azure,vault --fall-through --explain openai)
set(way "not from cache, not from azure [(]unreachable[)], not from kv2 [(]unreachable[)], from environment ")
claim("--from sets the order, and sources that it does not name are not asked" out MATCHES "\nopenai: ${way}")
claim("no part of a credential is printed" NOT "${out}${err}" MATCHES "${parts_of_key}|hvs")
ask(ARGS --from barbican openai)
claim("a source that is not configured cannot be asked" status EQUAL 2)
claim("the error says that barbican is not configured"
    err MATCHES "--from barbican: set OS_AUTH_URL")
ask(ARGS --from nowhere openai)
claim("an unknown source is a usage error" status EQUAL 2)
claim("the error names the unknown source" err MATCHES "--from: there is no 'nowhere'")

# ---- An engine that is unreachable ---------------------------------------------------------------

# No server listens on port 1 of the loopback interface.
set(engine VAULT_ADDR=http://127.0.0.1:1 VAULT_TOKEN=hvs.7351-token)
ask(ENV ${engine} OPENAI_API_KEY=${key} ARGS --explain --fall-through openai)
set(way "not from cache, not from kv2 [(]unreachable[)], not from dotenv [(]not found[)], from environment ")
claim("with an address the engine is asked, after the cache and before the .env file"
    out MATCHES " cache .* kv2 .* dotenv .*\nopenai: ${way}")
claim("with --fall-through an unreachable engine is reported"
    err MATCHES "'kv2' of secrets threw: kv2: http://127.0.0.1:1, secret/api-keys/openai: ")
claim("with --fall-through an unreachable engine does not prevent the use of another key" status EQUAL 0)
claim("the report contains neither the token nor the key" NOT "${out}${err}" MATCHES "${parts_of_key}|hvs")

foreach(option IN ITEMS --explain --fail)
    ask(ENV ${engine} OPENAI_API_KEY=${key} ARGS ${option} --explain openai)
    set(about "${option}")
    claim("there is no key if the engine is unreachable, and --explain says why"
        out MATCHES "\nopenai: not from cache, not from kv2 [(]unreachable[)], failed\n$")
    claim("an unreachable engine is a failure" status EQUAL 1)
    claim("stderr says why"
        err MATCHES "^get_key: openai: kv2: http://127.0.0.1:1, secret/api-keys/openai: [^\n]*\n$")
    claim("the text of the failure contains neither the token nor the key"
        NOT "${out}${err}" MATCHES "${parts_of_key}|hvs")
endforeach()
unset(about)

# ---- The command line ----------------------------------------------------------------------------

ask(ARGS openai --help)
set(options "--from.*--explain.*--env-file.*--ttl.*--fall-through.*--reveal")
claim("--help prints only the usage" out MATCHES "^usage: .*${options}.*Exit status[^\n]+\n[^\n]+\n$")
claim("--help is a success" status EQUAL 0)
file(GLOB headers "${CMAKE_CURRENT_LIST_DIR}/../../examples/secrets/*.hpp")
# These are read to see whether the store is the one that they mean.
set(only_checked HOME CLOUDSDK_CONFIG AZURE_TOKEN_CREDENTIALS OS_AUTH_TYPE OS_IDENTITY_API_VERSION
    AWS_DEFAULT_PROFILE)
foreach(header IN LISTS headers)
    file(READ "${header}" text)
    set(name "\"[A-Z0-9_]+\"")
    set(reader "(variable|file_of|http_options_of_environment)")
    string(REGEX MATCHALL "${reader}[(]${name}(, ${name})?" read "${text}")
    string(REGEX MATCHALL "${name}" names "${read}")
    foreach(name IN LISTS names)
        string(REPLACE "\"" "" name "${name}")
        set(about "${name}")
        if(NOT name IN_LIST only_checked)
            claim("--help names each variable that configures a store"
                out MATCHES "[^A-Z0-9_]${name}[^A-Z0-9_]")
        endif()
    endforeach()
endforeach()
unset(about)

# usage_error(<text> <argument>...)
macro(usage_error text)
    ask(ENV OPENAI_API_KEY=sk-demo ARGS ${ARGN})
    set(told "get_key: ${text} (try --help)\n")
    string(REPLACE ";" " " line "${ARGN}")
    claim("the command line `get_key ${line}` is a usage error"
        status EQUAL 2 AND out STREQUAL nothing AND err STREQUAL told)
endmacro()
usage_error("no service given")
usage_error("no service given" --explain)
usage_error("unknown option: --revael" openai --revael)
usage_error("--explain prints no key that --reveal could show" --explain --reveal openai)
usage_error("--env-file needs a file" openai --env-file)
usage_error("--env-file: not a file: missing.env" --env-file missing.env openai)
usage_error("--ttl needs a number of seconds" openai --ttl)
usage_error("--ttl needs a number of seconds, not 'soon'" --ttl soon openai)
usage_error("--ttl needs a number of seconds, not '5s'" --ttl 5s openai)
usage_error("--ttl needs a number of seconds, not '-1'" --ttl -1 openai)

ask(ENV BAO_ADDR=bao.example:8200 ARGS openai)
claim("an invalid address is reported before any service"
    err MATCHES "^get_key: kv2: the address [(]BAO_ADDR or VAULT_ADDR[)] is not a URL [^\n]* [(]try --help[)]\n$")
claim("an invalid address is an error" status EQUAL 2)
