/* SPDX-License-Identifier: Apache-2.0 */
/* The objects behind the opaque handles of stoa/device.h, queue.h and buffer.h; seen by src/device only. */
#ifndef STOAI_DEVICE_OBJECT_H
#define STOAI_DEVICE_OBJECT_H

#include <stdatomic.h>

#include "backend.h"
#include "stoa/buffer.h"

typedef struct stoai_pool stoai_pool;
typedef struct stoai_block stoai_block;

enum { STOAI_MEMORY_KINDS = 2 };

/* DLPack's code for pinned host memory of ROCm; the public enum has no use for it yet. */
enum { STOAI_PLACE_ROCM_HOST = 11 };

struct stoa_device {
    const stoa_backend_api *api;
    void *ctx;
    uint32_t ordinal;
    stoa_place place[STOAI_MEMORY_KINDS]; /* by stoa_memory_kind */
    atomic_uint_fast64_t queue_count;     /* source of queue ids, 1 the first */
    stoai_pool *pool[STOAI_MEMORY_KINDS];
};

/* Buffers keep their queue's handle alive, so that the last release may come after stoa_queue_destroy. */
struct stoa_queue {
    stoa_device *device;
    void *native; /* the back end's queue */
    stoa_queue_kind kind;
    uint64_t id;           /* unique in the device and never reused, unlike the address */
    atomic_size_t refs;
    atomic_bool destroyed; /* everything it ever ran is done, `native` is gone */
};

struct stoa_event {
    stoa_device *device;
    void *native;
};

/* Lies inside its block, so that a buffer made from a cached block takes no heap memory. */
struct stoa_buffer {
    atomic_size_t refs;
    stoa_device *device;
    stoa_queue *queue;
    stoa_memory_kind kind;
    size_t bytes;
    stoai_block *block; /* NULL when `bytes` is 0 */
};

stoa_queue *stoai_queue_retain(stoa_queue *queue);
void stoai_queue_release(stoa_queue *queue);
/* False where it is not known. */
bool stoai_queue_is_captured(const stoa_queue *queue);

#endif
