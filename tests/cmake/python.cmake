# Tests with other people's tools: tests/python/test_*.py SQUEEZE. Each skips itself where a module is missing.
file(GLOB scripts CONFIGURE_DEPENDS python/test_*.py)
foreach(f ${scripts})
  get_filename_component(n ${f} NAME_WE)
  string(REGEX REPLACE "^test_" "python." t ${n})
  add_test(NAME ${t} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/python/run.sh ${f} $<TARGET_FILE:squeeze_cli>)
  set_tests_properties(${t} PROPERTIES LABELS python TIMEOUT 300 SKIP_RETURN_CODE 77)
endforeach()
