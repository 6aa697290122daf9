# Gradients of whole networks against PyTorch's; skips itself where torch or onnx is missing.
add_executable(grad_of python/grad_of.c)
target_link_libraries(grad_of PRIVATE sqz_test_support)
add_test(NAME python.gradients_torch COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/python/run.sh
  ${CMAKE_CURRENT_SOURCE_DIR}/python/gradients_torch.py $<TARGET_FILE:grad_of>)
set_tests_properties(python.gradients_torch PROPERTIES LABELS python TIMEOUT 300 SKIP_RETURN_CODE 77)
