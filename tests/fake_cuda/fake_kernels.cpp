/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of the fake driver: every `.cu` file of the tree, compiled for the host. */
#include "fake_device.h"
#include "fake_internal.h"

#include "algo/algo.cu"
#include "bench/bench.cu"
#include "pipelines/pipelines.cu"
#include "reco/reco.cu"
#include "runtime/native/native.cu"
#include "unit/test_kernels.cu"

template <class Args> void run(void (*kernel)(Args), const void *args) { kernel(*static_cast<const Args *>(args)); }
template <class Args> constexpr size_t size_of(void (*)(Args)) { return sizeof(Args); }

extern "C" const fake_kernel fake_kernels[] = {
#define KERNEL(symbol) {#symbol, size_of(symbol), [](const void *args) { run(symbol, args); }},
#include "stoa_cuda_algo_kernels.def"
#include "stoa_cuda_native_kernels.def"
#include "reco_cuda_kernels.def"
#include "pipelines_cuda_kernels.def"
#include "bench_cuda_kernels.def"
#include "test_cuda_kernels.def"
#undef KERNEL
    {nullptr, 0, nullptr}};

/* As `nvcc -Xptxas -v` tells them: a host's compiler does not know which variables are whose. Those of less than 100 bytes are left out. */
static const struct {
    const char *symbol;
    int bytes;
} own_bytes[] = {
    {"stoa_algo_sort_block", 32832}, {"stoa_algo_sort_tiles_tile", 32832}, {"stoa_algo_sort_merge_tile", 16400},
    {"reco_clue_number_tile", 576},  {"reco_clue_climb_tile", 576},
};

extern "C" int fake_own_bytes(const fake_kernel *kernel)
{
    for (const auto &own : own_bytes)
        if (strcmp(own.symbol, kernel->symbol) == 0) return own.bytes;
    return 0;
}
