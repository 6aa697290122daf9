# ONNX's own backend tests, from the archive beside the repository or in the folder $SQZ_ONNX_CASES; and the same models
# written and read again.
file(GLOB sources CONFIGURE_DEPENDS onnx_backend/*.c)
add_executable(onnx_backend ${sources} tar.c)
target_link_libraries(onnx_backend PRIVATE sqz_test_support)
add_test(NAME onnx.backend COMMAND onnx_backend --gate)
add_test(NAME onnx.roundtrip COMMAND onnx_backend --roundtrip --gate)
set_tests_properties(onnx.backend onnx.roundtrip PROPERTIES LABELS onnx TIMEOUT 600 SKIP_RETURN_CODE 77)
