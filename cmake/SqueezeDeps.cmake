# sqz_deps: the Debian packages that we build on, each with its reason.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(ZLIB REQUIRED)  # .gz and .npz
find_package(JPEG REQUIRED)  # image folders (libjpeg-turbo)
find_package(PNG REQUIRED)   # image folders
pkg_check_modules(PROTOBUF_C REQUIRED IMPORTED_TARGET libprotobuf-c) # ONNX
pkg_check_modules(OPENBLAS REQUIRED IMPORTED_TARGET openblas)        # float GEMM, LAPACK
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)            # device files
pkg_check_modules(CJSON REQUIRED IMPORTED_TARGET libcjson)           # reports, ranges
find_package(HDF5 REQUIRED COMPONENTS C)                             # data sets, Keras models
add_library(sqz_deps INTERFACE)
target_include_directories(sqz_deps SYSTEM INTERFACE ${HDF5_C_INCLUDE_DIRS})
target_link_libraries(sqz_deps INTERFACE Threads::Threads ZLIB::ZLIB JPEG::JPEG PNG::PNG PkgConfig::PROTOBUF_C
  PkgConfig::OPENBLAS PkgConfig::YAML PkgConfig::CJSON ${HDF5_C_LIBRARIES} m)
if(SQUEEZE_MPI) # training on several processes
  find_package(MPI REQUIRED COMPONENTS C)
  target_link_libraries(sqz_deps INTERFACE MPI::MPI_C)
  set_source_files_properties(${PROJECT_SOURCE_DIR}/src/train/allreduce.c PROPERTIES COMPILE_DEFINITIONS SQZ_MPI)
endif()
