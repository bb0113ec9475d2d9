# SPDX-License-Identifier: Apache-2.0
# CUDA without CMake's CUDA language: nvcc turns a .cu file into a fat binary, which is embedded in a C file as a
# `stoa_kernel_image` (stoa/image.h). So nothing links a library of CUDA, and sanitizers see ordinary C.
#
# Sets STOA_HAVE_CUDA. Run as a script (cmake -P) it writes that C file from what nvcc made.
if(CMAKE_SCRIPT_MODE_FILE)
    # PTX names its entry points; two files list them: the image, and a .def for whoever wants the names alone.
    file(STRINGS ${PTX} entries REGEX "\\.visible \\.entry")
    list(TRANSFORM entries REPLACE ".*\\.entry ([A-Za-z0-9_]+).*" "\\1")
    list(LENGTH entries count)
    file(SIZE ${FATBIN} bytes)
    list(TRANSFORM entries REPLACE "(.+)" "KERNEL(\\1)\n" OUTPUT_VARIABLE names)
    list(JOIN names "" names)
    file(WRITE ${NAME}_kernels.def "${names}")
    file(WRITE ${NAME}_image.c "/* Generated. */\n#include \"stoa/image.h\"\n
__asm__(\".pushsection .rodata\\n.balign 64\\n.hidden ${NAME}_fatbin\\n.global ${NAME}_fatbin\\n\"
        \"${NAME}_fatbin:\\n.incbin \\\"${FATBIN}\\\"\\n.popsection\\n\");
extern __attribute__((visibility(\"hidden\"))) const unsigned char ${NAME}_fatbin[];
static const char *const kernels[] = {
#define KERNEL(name) #name,
#include \"${NAME}_kernels.def\"
#undef KERNEL
};
extern const stoa_kernel_image ${NAME}_image;
const stoa_kernel_image ${NAME}_image = {sizeof ${NAME}_image, ${count}, \"cuda\", \"${NAME}\", ${NAME}_fatbin, ${bytes}, kernels};
")
    return()
endif()

set(STOA_CUDA AUTO CACHE STRING "the CUDA back end: AUTO (when nvcc is found), ON, OFF")
set(STOA_CUDA_ARCHS "80;90" CACHE STRING "GPU architectures to compile kernels for; the last one as PTX for later ones too")
set(STOA_HAVE_CUDA FALSE)
if(NOT STOA_CUDA STREQUAL "OFF")
    find_package(CUDAToolkit QUIET)
    find_program(STOA_NVCC nvcc HINTS ${CUDAToolkit_BIN_DIR} /usr/local/cuda/bin)
    find_path(STOA_CUDA_INCLUDE cuda.h HINTS ${CUDAToolkit_INCLUDE_DIRS} /usr/local/cuda/include)
    if(STOA_NVCC AND STOA_CUDA_INCLUDE)
        set(STOA_HAVE_CUDA TRUE)
    elseif(STOA_CUDA STREQUAL "ON")
        message(FATAL_ERROR "STOA_CUDA=ON: nvcc or cuda.h not found")
    else()
        message(STATUS "CUDA back end left out: nvcc or cuda.h not found")
    endif()
endif()

# stoa_kernel_image(NAME SOURCE INCLUDE...): makes NAME_image.c, an image `NAME_image`, and NAME_kernels.def in the current binary folder.
# Without contraction, so that results are those of the host.
function(stoa_kernel_image name source)
    set(base ${CMAKE_CURRENT_BINARY_DIR}/${name})
    set(code "")
    foreach(arch ${STOA_CUDA_ARCHS})
        list(APPEND code -gencode arch=compute_${arch},code=sm_${arch})
    endforeach()
    list(GET STOA_CUDA_ARCHS 0 first)
    list(GET STOA_CUDA_ARCHS -1 last)
    list(APPEND code -gencode arch=compute_${last},code=compute_${last})
    set(flags -std=c++17 -O3 -fmad=false $<$<BOOL:${STOA_WERROR}>:--Werror=all-warnings>)
    foreach(folder ${PROJECT_SOURCE_DIR}/include ${ARGN})
        list(APPEND flags -I${folder})
    endforeach()
    add_custom_command(OUTPUT ${base}.fatbin COMMAND ${STOA_NVCC} ${flags} ${code} --fatbin -MD -MF ${base}.d
            -o ${base}.fatbin ${source}
        DEPENDS ${source} DEPFILE ${base}.d COMMENT "nvcc: ${name}" VERBATIM COMMAND_EXPAND_LISTS)
    add_custom_command(OUTPUT ${base}_image.c ${base}_kernels.def
        COMMAND ${STOA_NVCC} ${flags} -gencode arch=compute_${first},code=compute_${first} --ptx -o ${base}.ptx ${source}
        COMMAND ${CMAKE_COMMAND} -D NAME=${name} -D PTX=${base}.ptx -D FATBIN=${base}.fatbin
            -P ${PROJECT_SOURCE_DIR}/cmake/kernel_image.cmake
        WORKING_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}
        DEPENDS ${base}.fatbin ${PROJECT_SOURCE_DIR}/cmake/kernel_image.cmake COMMENT "kernel image: ${name}"
        VERBATIM COMMAND_EXPAND_LISTS)
    add_custom_target(${name}_kernels DEPENDS ${base}_image.c) # for users of the names in other folders
    set_source_files_properties(${base}_image.c PROPERTIES OBJECT_DEPENDS ${base}.fatbin INCLUDE_DIRECTORIES ${CMAKE_CURRENT_BINARY_DIR})
endfunction()
