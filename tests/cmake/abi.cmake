# What a user of the installed library depends on: see tests/abi/*.sh. And the order of layers.
add_test(NAME layers COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/layers.sh ${PROJECT_SOURCE_DIR})
set_tests_properties(layers PROPERTIES LABELS abi)
add_test(NAME abi.symbols COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/abi/symbols.sh $<TARGET_FILE:squeeze>)
add_test(NAME abi.header COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/abi/header.sh ${PROJECT_SOURCE_DIR}/include ${SQZ_GENERATED})
set_tests_properties(abi.symbols abi.header PROPERTIES LABELS abi SKIP_RETURN_CODE 77)
if(NOT SQZ_SANITIZE) # a consumer would have to be built with the same sanitizer
  add_test(NAME abi.consumer COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/abi/consumer.sh ${CMAKE_COMMAND} ${PROJECT_BINARY_DIR}
    ${CMAKE_CURRENT_BINARY_DIR}/consumer ${CMAKE_INSTALL_LIBDIR})
  set_tests_properties(abi.consumer PROPERTIES LABELS abi TIMEOUT 120)
endif()
