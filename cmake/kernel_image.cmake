# SPDX-License-Identifier: Apache-2.0
# GPU code without CMake's CUDA or HIP languages: nvcc, or clang for GPUs of AMD, turns a .cu file into a binary for all architectures,
# which is embedded in a C file as a `stoa_kernel_image` (stoa/image.h). So nothing links a library of a vendor, and sanitizers see
# ordinary C.
#
# Sets STOA_HAVE_CUDA, and STOA_KERNEL_VENDORS: those that kernels are compiled for, "cuda" and "hip". Run as a script (cmake -P) it
# writes that C file from what the compiler made.
if(CMAKE_SCRIPT_MODE_FILE)
    # Assembly names its entry points; two files list them: the image, and a .def for whoever wants the names alone.
    file(STRINGS ${ASSEMBLY} entries REGEX "\\.visible \\.entry|^[ \t]*\\.amdhsa_kernel")
    list(TRANSFORM entries REPLACE ".*\\.(entry|amdhsa_kernel) ([A-Za-z0-9_]+).*" "\\2")
    list(LENGTH entries count)
    file(SIZE ${FATBIN} bytes)
    list(TRANSFORM entries REPLACE "(.+)" "KERNEL(\\1)\n" OUTPUT_VARIABLE names)
    list(JOIN names "" names)
    file(WRITE ${NAME}_kernels.def "${names}")
    file(WRITE ${NAME}_image.c "/* Generated. */\n#include \"stoa/image.h\"\n
__asm__(\".pushsection .rodata\\n.balign 4096\\n.hidden ${NAME}_fatbin\\n.global ${NAME}_fatbin\\n\"
        \"${NAME}_fatbin:\\n.incbin \\\"${FATBIN}\\\"\\n.popsection\\n\");
extern __attribute__((visibility(\"hidden\"))) const unsigned char ${NAME}_fatbin[];
static const char *const kernels[] = {
#define KERNEL(name) #name,
#include \"${NAME}_kernels.def\"
#undef KERNEL
};
extern const stoa_kernel_image ${NAME}_image;
const stoa_kernel_image ${NAME}_image = {sizeof ${NAME}_image, ${count}, \"${VENDOR}\", \"${NAME}\", ${NAME}_fatbin, ${bytes}, kernels};
")
    return()
endif()

set(STOA_CUDA AUTO CACHE STRING "the CUDA back end: AUTO (when nvcc is found), ON, OFF")
set(STOA_CUDA_ARCHS "80;90" CACHE STRING "GPU architectures to compile kernels for; the last one as PTX for later ones too")
set(STOA_HAVE_CUDA FALSE)
set(STOA_KERNEL_VENDORS "")
if(NOT STOA_CUDA STREQUAL "OFF")
    find_package(CUDAToolkit QUIET)
    find_program(STOA_NVCC nvcc HINTS ${CUDAToolkit_BIN_DIR} /usr/local/cuda/bin)
    find_path(STOA_CUDA_INCLUDE cuda.h HINTS ${CUDAToolkit_INCLUDE_DIRS} /usr/local/cuda/include)
    if(STOA_NVCC AND STOA_CUDA_INCLUDE)
        set(STOA_HAVE_CUDA TRUE)
        list(APPEND STOA_KERNEL_VENDORS cuda)
    elseif(STOA_CUDA STREQUAL "ON")
        message(FATAL_ERROR "STOA_CUDA=ON: nvcc or cuda.h not found")
    else()
        message(STATUS "CUDA back end left out: nvcc or cuda.h not found")
    endif()
endif()

# The HIP back end needs nothing to be built; its kernels need clang, ROCm's headers and its device library, which fit each other
# when a kernel of one line can be compiled.
set(STOA_HIP_KERNELS AUTO CACHE STRING "kernels of the HIP back end: AUTO (when clang and ROCm's parts are found), ON, OFF")
set(STOA_HIP_ARCHS "gfx90a" CACHE STRING "GPU architectures of AMD to compile kernels for")
find_path(STOA_HIP_INCLUDE hip/hip_runtime.h HINTS /opt/rocm/include)
if(NOT STOA_HIP_KERNELS STREQUAL "OFF")
    find_path(STOA_HIP_BITCODE ocml.bc HINTS /opt/rocm/amdgcn/bitcode ${STOA_HIP_INCLUDE}/../amdgcn/bitcode
        ${STOA_HIP_INCLUDE}/../lib/${CMAKE_LIBRARY_ARCHITECTURE}/amdgcn/bitcode)
    if(STOA_HIP_INCLUDE AND STOA_HIP_BITCODE)
        find_program(STOA_HIP_CXX NAMES amdclang++ clang++-19 clang++-17 clang++-15 clang++ HINTS /opt/rocm/llvm/bin)
    endif()
    set(STOA_HIP_COMMAND ${STOA_HIP_CXX} -x hip --cuda-device-only --rocm-path=${STOA_HIP_INCLUDE}/..
        --rocm-device-lib-path=${STOA_HIP_BITCODE} -std=c++17 -O3 -ffp-contract=off
        -include ${PROJECT_SOURCE_DIR}/src/device/gpu/hip_kernels.h)
    if(STOA_HIP_CXX)
        set(probe ${PROJECT_BINARY_DIR}/hip_probe)
        file(WRITE ${probe}.cu "extern \"C\" __global__ void probe(float *x) { x[threadIdx.x] = sinf(x[0]); }\n")
        list(GET STOA_HIP_ARCHS 0 first)
        execute_process(COMMAND ${STOA_HIP_COMMAND} --offload-arch=${first} -o ${probe}.out ${probe}.cu
            RESULT_VARIABLE failed OUTPUT_QUIET ERROR_FILE ${probe}.log)
        if(failed)
            set(reason "${STOA_HIP_CXX} compiles no kernel for ${first} (${probe}.log)")
        else()
            list(APPEND STOA_KERNEL_VENDORS hip)
        endif()
    else()
        set(reason "clang, hip/hip_runtime.h or ocml.bc not found (Debian: hipcc, libamdhip64-dev, rocm-device-libs)")
    endif()
    if(NOT hip IN_LIST STOA_KERNEL_VENDORS)
        if(STOA_HIP_KERNELS STREQUAL "ON")
            message(FATAL_ERROR "STOA_HIP_KERNELS=ON: ${reason}")
        endif()
        message(STATUS "HIP back end without kernels: ${reason}")
    endif()
endif()

# Commands that make BASE.fatbin and its assembly, BASE.s, from a source. Without contraction, so that results are those of the host.
function(stoa_compile_cuda base source)
    set(code "")
    foreach(arch ${STOA_CUDA_ARCHS})
        list(APPEND code -gencode arch=compute_${arch},code=sm_${arch})
    endforeach()
    list(GET STOA_CUDA_ARCHS 0 first)
    list(GET STOA_CUDA_ARCHS -1 last)
    list(APPEND code -gencode arch=compute_${last},code=compute_${last})
    set(command ${STOA_NVCC} -std=c++17 -O3 -fmad=false $<$<BOOL:${STOA_WERROR}>:--Werror=all-warnings> ${ARGN})
    add_custom_command(OUTPUT ${base}.fatbin COMMAND ${command} ${code} --fatbin -MD -MF ${base}.d -o ${base}.fatbin ${source}
        DEPENDS ${source} DEPFILE ${base}.d COMMENT "nvcc: ${source}" VERBATIM COMMAND_EXPAND_LISTS)
    add_custom_command(OUTPUT ${base}.s
        COMMAND ${command} -gencode arch=compute_${first},code=compute_${first} --ptx -o ${base}.s ${source}
        DEPENDS ${base}.fatbin VERBATIM COMMAND_EXPAND_LISTS)
endfunction()
function(stoa_compile_hip base source)
    list(GET STOA_HIP_ARCHS 0 first)
    list(TRANSFORM STOA_HIP_ARCHS PREPEND --offload-arch= OUTPUT_VARIABLE archs)
    set(command ${STOA_HIP_COMMAND} $<$<BOOL:${STOA_WERROR}>:-Werror> ${ARGN})
    add_custom_command(OUTPUT ${base}.fatbin COMMAND ${command} ${archs} -MD -MF ${base}.d -o ${base}.fatbin ${source}
        DEPENDS ${source} DEPFILE ${base}.d COMMENT "${STOA_HIP_CXX}: ${source}" VERBATIM COMMAND_EXPAND_LISTS)
    add_custom_command(OUTPUT ${base}.s COMMAND ${command} --offload-arch=${first} -S -o ${base}.s ${source}
        DEPENDS ${base}.fatbin VERBATIM COMMAND_EXPAND_LISTS)
endfunction()

# stoa_kernel_image(NAME VENDOR SOURCE INCLUDE...): makes NAME_image.c, an image `NAME_image`, and NAME_kernels.def in the current
# binary folder.
function(stoa_kernel_image name vendor source)
    set(base ${CMAKE_CURRENT_BINARY_DIR}/${name})
    set(folders ${PROJECT_SOURCE_DIR}/include ${ARGN})
    list(TRANSFORM folders PREPEND -I)
    cmake_language(CALL stoa_compile_${vendor} ${base} ${source} ${folders})
    add_custom_command(OUTPUT ${base}_image.c ${base}_kernels.def
        COMMAND ${CMAKE_COMMAND} -D NAME=${name} -D VENDOR=${vendor} -D ASSEMBLY=${base}.s -D FATBIN=${base}.fatbin
            -P ${PROJECT_SOURCE_DIR}/cmake/kernel_image.cmake
        WORKING_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}
        DEPENDS ${base}.fatbin ${base}.s ${PROJECT_SOURCE_DIR}/cmake/kernel_image.cmake COMMENT "kernel image: ${name}" VERBATIM)
    add_custom_target(${name}_kernels DEPENDS ${base}_image.c) # for users of the names in other folders
    set_source_files_properties(${base}_image.c PROPERTIES OBJECT_DEPENDS ${base}.fatbin INCLUDE_DIRECTORIES ${CMAKE_CURRENT_BINARY_DIR})
endfunction()

# stoa_kernel_images(FILES NAME SOURCE TABLE INCLUDE...): an image NAME_VENDOR_image for each vendor. FILES is set to the C files to
# compile with TABLE, which sees the images' names as KERNEL_IMAGES(X).
function(stoa_kernel_images files name source table)
    set(made "")
    set(images "")
    foreach(vendor ${STOA_KERNEL_VENDORS})
        stoa_kernel_image(${name}_${vendor} ${vendor} ${source} ${ARGN})
        list(APPEND made ${CMAKE_CURRENT_BINARY_DIR}/${name}_${vendor}_image.c)
        string(APPEND images "X(${name}_${vendor}_image) ")
    endforeach()
    set_source_files_properties(${table} PROPERTIES COMPILE_OPTIONS "-DKERNEL_IMAGES(X)=${images}")
    set(${files} "${made}" PARENT_SCOPE)
endfunction()
