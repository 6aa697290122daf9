# Knowledge as a loss, from data to the constants of nature: bench/physics.py with one seed. The network that knows the
# equation of motion is at least twice as exact, and gravity is found within 2 %.
find_package(Python3 COMPONENTS Interpreter)
if(Python3_Interpreter_FOUND)
  add_test(NAME models.physics COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/bench/physics.py
    --build ${PROJECT_BINARY_DIR} --seeds 1 --epochs 200)
  set_tests_properties(models.physics PROPERTIES LABELS models TIMEOUT 300)
endif()
