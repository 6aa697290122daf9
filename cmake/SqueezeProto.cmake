# sqz_proto: protobuf-c code from our own src/io/onnx.proto, into the build tree. Its warnings are not ours.
find_program(PROTOC_C NAMES protoc-c protoc REQUIRED)
file(MAKE_DIRECTORY ${SQZ_GENERATED}/proto)
add_custom_command(
  OUTPUT ${SQZ_GENERATED}/proto/onnx.pb-c.c ${SQZ_GENERATED}/proto/onnx.pb-c.h
  COMMAND protoc-c --c_out=${SQZ_GENERATED}/proto -I${PROJECT_SOURCE_DIR}/src/io ${PROJECT_SOURCE_DIR}/src/io/onnx.proto
  DEPENDS ${PROJECT_SOURCE_DIR}/src/io/onnx.proto VERBATIM)
add_library(sqz_proto_objects OBJECT ${SQZ_GENERATED}/proto/onnx.pb-c.c)
set_target_properties(sqz_proto_objects PROPERTIES POSITION_INDEPENDENT_CODE ON)
target_link_libraries(sqz_proto_objects PRIVATE PkgConfig::PROTOBUF_C)
target_compile_options(sqz_proto_objects PRIVATE -w)
if(SQZ_SANITIZE)
  target_compile_options(sqz_proto_objects PRIVATE -fsanitize=${SQZ_SANITIZE})
endif()
add_library(sqz_proto INTERFACE)
target_include_directories(sqz_proto SYSTEM INTERFACE ${SQZ_GENERATED}/proto)
add_dependencies(sqz_proto sqz_proto_objects)
