# Two processes compute what one does; where the build has MPI and mpirun starts here.
if(SQUEEZE_MPI AND MPIEXEC_EXECUTABLE)
  add_test(NAME unit.allreduce.mpirun COMMAND ${CMAKE_COMMAND} -E env OMPI_ALLOW_RUN_AS_ROOT=1
    OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 ${MPIEXEC_EXECUTABLE}
    ${MPIEXEC_NUMPROC_FLAG} 2 $<TARGET_FILE:test_allreduce> 2)
  set_tests_properties(unit.allreduce.mpirun PROPERTIES LABELS unit TIMEOUT 120)
endif()
