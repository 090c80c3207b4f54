# Tests of the hooks in examples/secrets. Hooks that ask a server are tested if the example is
# built, over HTTP on loopback. The hooks are compared with other implementations for the same
# stores or files, if Debian's Python has them.

set(folder ${CMAKE_CURRENT_SOURCE_DIR}/secrets)
find_program(EXTENSIBLE_SYSTEM_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH)

function(python_has found modules)
    set(status -1)
    if(EXTENSIBLE_SYSTEM_PYTHON)
        execute_process(COMMAND ${EXTENSIBLE_SYSTEM_PYTHON} -c "import ${modules}" RESULT_VARIABLE status OUTPUT_QUIET ERROR_QUIET)
    endif()
    string(COMPARE EQUAL "${status}" 0 equal)
    set(${found} ${equal} PARENT_SCOPE)
endfunction()

add_claims(secrets_tests secrets/dotenv.cpp secrets/cache.cpp secrets/in_turn.cpp heap.cpp)
target_include_directories(secrets_tests PRIVATE ${PROJECT_SOURCE_DIR}/examples)
target_compile_definitions(secrets_tests PRIVATE DOTENV_CASES="${folder}/dotenv_cases.tsv")
target_link_options(secrets_tests PRIVATE ${static})

python_has(found dotenv)
if(found)
    add_test(NAME verify.dotenv COMMAND ${EXTENSIBLE_SYSTEM_PYTHON} ${folder}/verify_dotenv.py ${folder}/dotenv_cases.tsv)
    set_tests_properties(verify.dotenv PROPERTIES TIMEOUT 60)
endif()

if(NOT TARGET example_get_key)
    return()
endif()

target_sources(secrets_tests PRIVATE secrets/store.cpp secrets/http.cpp secrets/credential.cpp secrets/kv2.cpp
    secrets/kv2_engines.cpp secrets/aws.cpp secrets/azure.cpp secrets/google.cpp secrets/barbican.cpp)
target_link_libraries(secrets_tests PRIVATE CURL::libcurl nlohmann_json::nlohmann_json)
set(program GET_KEY_PROGRAM="$<TARGET_FILE:example_get_key>" SECRETS_README="${PROJECT_SOURCE_DIR}/examples/secrets/README.md")
target_compile_definitions(secrets_tests PRIVATE ${program})
add_dependencies(secrets_tests example_get_key)
find_package(OpenSSL QUIET)  # for a server with TLS; the example uses it too
if(OpenSSL_FOUND)
    target_link_libraries(secrets_tests PRIVATE OpenSSL::SSL)
    target_compile_definitions(secrets_tests PRIVATE TESTS_HAVE_OPENSSL SECRETS_WITH_LIBCRYPTO)
endif()
add_test(NAME example.get_key COMMAND ${CMAKE_COMMAND} -DPROGRAM=$<TARGET_FILE:example_get_key>
    -DWORK=${CMAKE_CURRENT_BINARY_DIR}/example_get_key -P ${folder}/get_key.cmake)
set_tests_properties(example.get_key PROPERTIES TIMEOUT 60)

# The stores' own clients read from the same servers as the hooks do.
python_has(found hvac)
if(found)
    target_compile_definitions(secrets_tests PRIVATE PYTHON_WITH_HVAC="${EXTENSIBLE_SYSTEM_PYTHON}" HVAC_SCRIPT="${folder}/kv2_hvac.py")
endif()
python_has(found "azure.identity, azure.keyvault.secrets")
if(found)
    target_compile_definitions(secrets_tests PRIVATE AZURE_PYTHON="${EXTENSIBLE_SYSTEM_PYTHON}")
endif()
python_has(found "google.auth, requests")
if(found)
    target_compile_definitions(secrets_tests PRIVATE GOOGLE_PYTHON="${EXTENSIBLE_SYSTEM_PYTHON}")
endif()
target_compile_definitions(secrets_tests PRIVATE SCRIPTS="${folder}")
python_has(found "boto3, botocore")  # botocore also checks the signatures
if(found)
    add_executable(aws_probe secrets/aws_probe.cpp)
    target_include_directories(aws_probe PRIVATE ${PROJECT_SOURCE_DIR}/examples)
    target_link_libraries(aws_probe PRIVATE extensible_checked CURL::libcurl nlohmann_json::nlohmann_json)
    add_test(NAME secrets.aws_botocore COMMAND ${EXTENSIBLE_SYSTEM_PYTHON} ${folder}/aws_botocore.py $<TARGET_FILE:aws_probe>)
    set_tests_properties(secrets.aws_botocore PROPERTIES TIMEOUT 300)
endif()

# OpenStack's own Keystone and Barbican. Their Debian packages are downloaded and unpacked, not
# installed.
option(EXTENSIBLE_TEST_BARBICAN "Test examples/secrets/barbican.hpp with the real servers from Debian's packages" OFF)
if(EXTENSIBLE_TEST_BARBICAN)
    add_executable(barbican_real_servers secrets/barbican/real_servers.cpp)
    target_include_directories(barbican_real_servers PRIVATE ${CMAKE_CURRENT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/examples)
    target_link_libraries(barbican_real_servers PRIVATE extensible_catch CURL::libcurl nlohmann_json::nlohmann_json)
    target_compile_definitions(barbican_real_servers PRIVATE ${program})
    add_dependencies(barbican_real_servers example_get_key)
    set(servers ${EXTENSIBLE_SYSTEM_PYTHON} ${folder}/barbican/servers.py)
    set(servers_folder ${CMAKE_CURRENT_BINARY_DIR}/barbican)
    add_test(NAME barbican.start COMMAND ${servers} start ${servers_folder})
    add_test(NAME barbican.real_servers COMMAND barbican_real_servers)
    add_test(NAME barbican.stop COMMAND ${servers} stop ${servers_folder})
    set_tests_properties(barbican.start PROPERTIES FIXTURES_SETUP barbican TIMEOUT 600)
    set_tests_properties(barbican.real_servers PROPERTIES FIXTURES_REQUIRED barbican TIMEOUT 600
        ENVIRONMENT BARBICAN_SERVERS=${servers_folder})
    set_tests_properties(barbican.stop PROPERTIES FIXTURES_CLEANUP barbican TIMEOUT 60)
endif()
