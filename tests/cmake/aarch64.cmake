# The kernels for aarch64: built with a cross compiler, tested in an emulator; see aarch64/CMakeLists.txt.
if(NOT SQZ_SANITIZE AND NOT SQZ_FUZZ)
  add_test(NAME aarch64.kernels COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/aarch64/run.sh ${CMAKE_CURRENT_SOURCE_DIR}/aarch64
    ${CMAKE_CURRENT_BINARY_DIR}/aarch64 ${CMAKE_COMMAND} aarch64-linux-gnu-gcc qemu-aarch64)
  set_tests_properties(aarch64.kernels PROPERTIES LABELS aarch64 TIMEOUT 1200 SKIP_RETURN_CODE 77)
endif()
