/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the fake driver share. */
#ifndef FAKE_CUDA_INTERNAL_H
#define FAKE_CUDA_INTERNAL_H

#include <pthread.h>
#include <stddef.h>

#include "fake_cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FAKE_DEVICES_MAX 8
#define FAKE_ARGS_MAX 4096
#define FAKE_IMAGE_MAGIC 0xBA55ED50u /* how nvcc's fat binaries begin */

typedef struct fake_kernel {
    const char *symbol;
    size_t args_bytes;
    void (*run)(const void *args);
} fake_kernel;

typedef struct fake_launch {
    const fake_kernel *kernel;
    unsigned blocks, threads;
    size_t shared_bytes;
} fake_launch;

/** Made from the .cu files; ends with a NULL symbol. */
extern const fake_kernel fake_kernels[];
/** What a kernel declares itself, by ptxas's word. */
int fake_own_bytes(const fake_kernel *kernel);
/** Bytes that a launch may ask for, as cuFuncSetAttribute set them. */
size_t fake_shared_limit(const fake_kernel *kernel);
/** Run a whole launch: a thread of the block after the other, or in turn where they wait for each other. */
void fake_run_launch(const fake_launch *launch, const void *args);

typedef struct fake_stream fake_stream;

struct CUctx_st {
    int ordinal;
    unsigned retained;
    int failed;                   /* a CUresult, sticky as a GPU's; atomic: fake_failure */
    fake_stream *default_stream;  /* made when it is first used */
};

/* Calls: every entry point begins with FAKE_ENTER. */
typedef enum fake_symbol {
#define DRIVER(slot, symbol) FAKE_##symbol,
#include "device/gpu/cuda.def"
#undef DRIVER
    FAKE_SYMBOLS
} fake_symbol;

enum fake_rule {
    FAKE_CURRENT = 1,  /* needs a current context */
    FAKE_UNSAFE = 2,   /* forbidden while anything is captured, except in relaxed mode */
    FAKE_TRACED = 4,   /* enqueues or waits */
    FAKE_LOSSLESS = 8, /* may fail without anything being lost */
};
CUresult fake_enter(fake_symbol symbol, unsigned rules);
#define FAKE_ENTER(symbol, rules) \
    do { \
        const CUresult entered_ = fake_enter(FAKE_##symbol, (rules)); \
        if (entered_ != CUDA_SUCCESS) return entered_; \
    } while (0)

CUcontext fake_current(void);
/** For an interface without contexts (fake_hip.c): all devices are there from the start, and a thread has one of them. */
void fake_contexts_begin(void);
CUresult fake_replace_current(int ordinal);
static inline CUresult fake_failure(CUcontext context) { return (CUresult)__atomic_load_n(&context->failed, __ATOMIC_ACQUIRE); }
int fake_device_count(void);
void fake_violation(const char *format, ...) __attribute__((format(printf, 1, 2)));
void fake_count_live(int change);
bool fake_is_relaxed(void);

/* Memory. */
typedef enum fake_place { FAKE_PAGEABLE, FAKE_DEVICE, FAKE_PINNED } fake_place;
/** Where `bytes` bytes lie; false with a violation when they leave their block. */
bool fake_memory_check(const void *pointer, size_t bytes, fake_place *place, int *ordinal, const char *what);
/** Arguments of a kernel: no address of plain host memory, of another device, or of a block that is gone. */
bool fake_memory_check_args(const void *args, size_t bytes, int ordinal, const char *kernel);
/** Device memory can be touched in between only. */
void fake_memory_open(void);
void fake_memory_close(void);

/** Memory of a pool is a stream's between what takes it and what gives it back: false with a violation at other times. Run time only. */
bool fake_memory_is_taken(const void *pointer, const char *what);
struct fake_block;
void fake_block_take(struct fake_block *block);
void fake_block_give(struct fake_block *block);
/** What no stream uses any more and is more than the pools of a device keep goes, as when somebody waits. */
void fake_pools_shrink(int ordinal);

/* Streams. */
typedef struct fake_point fake_point;
/** Enqueue a place to wait for; wait for it on a stream; whether it has passed; forget it. NULL has passed. */
fake_point *fake_stream_mark(CUstream stream);
void fake_stream_wait_for(CUstream stream, fake_point *point);
bool fake_point_passed(const fake_point *point);
void fake_point_drop(fake_point *point);
/** Enqueue that the stream has a block of a pool from here on, or no longer. */
CUresult fake_stream_take(CUstream stream, struct fake_block *block);
CUresult fake_stream_give(CUstream stream, struct fake_block *block);
bool fake_stream_is_captured(CUstream stream);
bool fake_capture_is_active(void);
void fake_streams_wait(CUcontext context);

#ifdef __cplusplus
}
#endif
#endif
