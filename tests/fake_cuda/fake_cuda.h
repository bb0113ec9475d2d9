/* SPDX-License-Identifier: Apache-2.0 */
/* A CUDA driver for tests: libcuda.so.1 with the symbols of src/device/gpu/cuda.def and no other. Streams are host threads that
 * do their work in order and late; device memory is host memory between guard pages that only running work may touch; every call
 * is counted; what a real driver would refuse or what would be a crash on a GPU is refused and counted as a violation. Kernels are
 * the `.cu` files themselves, compiled for the host (fake_kernels.cpp).
 *
 * Tests that look inside are linked with it and use the functions below. The environment: FAKE_CUDA_DEVICES (2);
 * FAKE_CUDA_BLOCK_BYTES, the most memory that a block can have (227 KiB, as sm_90; 101376 as sm_86 and sm_120);
 * FAKE_CUDA_NO_POOLS: no device has pools; FAKE_CUDA_PINNED_ONLY refuses copies from and to plain host memory, which a driver may wait for. */
#ifndef FAKE_CUDA_H
#define FAKE_CUDA_H

#include <cuda.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Calls of a driver function so far, by its name in cuda.def; of all functions when NULL. */
unsigned fake_cuda_calls(const char *symbol);
/** Names of the calls since the last reset that enqueue or wait, in order, separated by blanks. Static storage. */
const char *fake_cuda_trace(void);
/** Forget calls and trace. */
void fake_cuda_reset(void);

/** Let call number `nth` (1: the next one) of a function fail with `result`, and all later ones if `persistent`. NULL means all
 *  functions that may fail without anything being lost: not those that free, pop or give a mode back. 0 takes it back. */
void fake_cuda_fail(const char *symbol, unsigned nth, CUresult result, bool persistent);

/** While held, streams do nothing unless somebody waits. */
void fake_cuda_hold(bool hold);

/** Enqueue code of this program in the place of a kernel of another library's: it may touch device memory. */
CUresult fake_cuda_play(CUstream stream, CUhostFn code, void *user);

/** Objects that are alive: contexts retained, modules, streams, events, blocks of memory. */
unsigned fake_cuda_live(void);
/** What was done wrong so far, and the first such thing in words. */
unsigned fake_cuda_violations(void);
const char *fake_cuda_first_violation(void);

/** Capture what is enqueued on a stream, as cuStreamBeginCapture in global mode does; end it and get the number of nodes; enqueue
 *  what was captured last. */
void fake_cuda_capture_begin(CUstream stream);
unsigned fake_cuda_capture_end(void);
void fake_cuda_replay(CUstream stream);

#ifdef __cplusplus
}
#endif
#endif
