# SPDX-License-Identifier: Apache-2.0
# Headers, libraries, stoa-config.cmake and stoa.pc; both are tried from a staged prefix by tests/install.
install(TARGETS stoa stoa_static EXPORT stoa-targets
    RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(STOA_HAVE_CUDA)
    install(TARGETS stoa_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
install(DIRECTORY include/stoa DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
install(EXPORT stoa-targets NAMESPACE stoa:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/stoa)
configure_package_config_file(cmake/stoa-config.cmake.in stoa-config.cmake INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/stoa)
write_basic_package_version_file(stoa-config-version.cmake COMPATIBILITY SameMajorVersion)
file(RELATIVE_PATH STOA_PC_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(cmake/stoa.pc.in stoa.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/stoa-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/stoa-config-version.cmake
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/stoa)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/stoa.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
if(STOA_BUILD_CLI)
    install(TARGETS stoa_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
if(STOA_BUILD_RECO)
    install(TARGETS stoa_reco LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
    install(DIRECTORY reco DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h" PATTERN "*.def")
    install(DIRECTORY models DESTINATION ${CMAKE_INSTALL_DATADIR}/stoa FILES_MATCHING PATTERN "*.onnx" PATTERN "*.forest")
endif()
