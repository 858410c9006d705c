# find_package(nablas) gives the imported targets nablas::nablas (shared) and nablas::static. The tree may be moved: all
# is found from where this file lies, <prefix>/share/cmake/nablas.
get_filename_component(_nablas_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
set(_nablas_suffixes "lib" "lib64")
if(CMAKE_LIBRARY_ARCHITECTURE)
  list(PREPEND _nablas_suffixes "lib/${CMAKE_LIBRARY_ARCHITECTURE}")
endif()

find_path(nablas_INCLUDE_DIR nablas.h PATHS "${_nablas_prefix}/include" NO_DEFAULT_PATH)
find_library(nablas_LIBRARY
  NAMES "${CMAKE_SHARED_LIBRARY_PREFIX}nablas${CMAKE_SHARED_LIBRARY_SUFFIX}"
  PATHS "${_nablas_prefix}" PATH_SUFFIXES ${_nablas_suffixes} NO_DEFAULT_PATH)
find_library(nablas_STATIC_LIBRARY
  NAMES "${CMAKE_STATIC_LIBRARY_PREFIX}nablas${CMAKE_STATIC_LIBRARY_SUFFIX}"
  PATHS "${_nablas_prefix}" PATH_SUFFIXES ${_nablas_suffixes} NO_DEFAULT_PATH)
mark_as_advanced(nablas_INCLUDE_DIR nablas_LIBRARY nablas_STATIC_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(nablas
  REQUIRED_VARS nablas_LIBRARY nablas_INCLUDE_DIR VERSION_VAR nablas_VERSION)

if(nablas_FOUND AND NOT TARGET nablas::nablas)
  add_library(nablas::nablas SHARED IMPORTED)
  set_target_properties(nablas::nablas PROPERTIES
    IMPORTED_LOCATION "${nablas_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${nablas_INCLUDE_DIR}")
endif()
if(nablas_FOUND AND nablas_STATIC_LIBRARY AND NOT TARGET nablas::static)
  find_package(Threads QUIET)
  add_library(nablas::static STATIC IMPORTED)
  set_target_properties(nablas::static PROPERTIES
    IMPORTED_LOCATION "${nablas_STATIC_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${nablas_INCLUDE_DIR}"
    INTERFACE_LINK_LIBRARIES "${CMAKE_DL_LIBS};$<$<BOOL:${UNIX}>:m>;$<TARGET_NAME_IF_EXISTS:Threads::Threads>")
endif()
