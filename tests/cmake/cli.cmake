# Whole commands: each tests/cli/<command>/<case>.sh is a test; see tests/cli/run.sh.
add_executable(cli_fixture cli/make_fixture.c)
target_link_libraries(cli_fixture PRIVATE sqz_test_support)
set(cli_dir ${CMAKE_CURRENT_BINARY_DIR}/cli)
add_test(NAME cli.fixture COMMAND cli_fixture ${cli_dir}/fixture)
set_tests_properties(cli.fixture PROPERTIES FIXTURES_SETUP cli LABELS cli)
file(GLOB cases CONFIGURE_DEPENDS cli/*/*.sh)
foreach(case ${cases})
  get_filename_component(name ${case} NAME_WE)
  get_filename_component(command ${case} DIRECTORY)
  get_filename_component(command ${command} NAME)
  file(STRINGS ${case} label REGEX "^# label: ")
  string(REGEX REPLACE "^# label: *" "" label "${label}")
  add_test(NAME cli.${command}.${name} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/run.sh $<TARGET_FILE:squeeze_cli>
    ${cli_dir}/fixture ${cli_dir} ${case})
  set_tests_properties(cli.${command}.${name} PROPERTIES FIXTURES_REQUIRED cli LABELS "cli;${label}" TIMEOUT 300
    SKIP_RETURN_CODE 77)
endforeach()
