# Install, package files for CMake and pkg-config.
include(CMakePackageConfigHelpers)
install(TARGETS squeeze EXPORT squeezeTargets)
install(TARGETS squeeze_static ARCHIVE)
install(TARGETS squeeze_cli)
install(FILES include/squeeze/squeeze.h include/squeeze/status.def ${SQZ_GENERATED}/squeeze/version.h
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/squeeze)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/squeezeConfigVersion.cmake COMPATIBILITY SameMinorVersion)
file(WRITE ${PROJECT_BINARY_DIR}/squeezeConfig.cmake
  "include(\${CMAKE_CURRENT_LIST_DIR}/squeezeTargets.cmake)\n")
install(FILES ${PROJECT_BINARY_DIR}/squeezeConfig.cmake ${PROJECT_BINARY_DIR}/squeezeConfigVersion.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/squeeze)
install(EXPORT squeezeTargets NAMESPACE squeeze:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/squeeze)
configure_file(cmake/squeeze.pc.in ${PROJECT_BINARY_DIR}/squeeze.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/squeeze.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
