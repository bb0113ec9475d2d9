/* SPDX-License-Identifier: Apache-2.0 */
/* What a model compiled by AOTInductor imports from libtorch, served by us: tensor objects, intermediate memory and a few products.
 *
 * The C ABI has no context argument, so a run says on its thread which one it belongs to. All memory of a run comes from the
 * context's arena (the session's workspace) and its pool of tensor objects; both are sized by a run that plans. */
#ifndef STOAI_AOTI_SHIM_H
#define STOAI_AOTI_SHIM_H

#include "stoa/buffer.h"
#include "stoa/dtype.h"

#define SHIM_RANK_MAX 8
#define SHIM_BLOCKS_MAX 256u    /* of intermediate memory at one time */
#define SHIM_TENSORS_MAX 1024u  /* objects at one time */
#define SHIM_RECYCLED 8u

typedef struct shim_context shim_context;

/* Memory that tensors share: a block of the arena, or the caller's. One of a run is counted; one made outside of runs (a weight, which
 * all sessions read at once) is not: it ends with the object that it was made for, which outlives all others. */
typedef struct shim_storage {
    void *data;
    size_t bytes;
    uint32_t refs;
    bool is_block, is_counted;
    int32_t device_type, device_index; /* PyTorch's numbers: 0 the host, 1 CUDA */
} shim_storage;
enum { SHIM_CPU = 0, SHIM_CUDA = 1 };

/* An AtenTensorHandle points to one of these. */
typedef struct shim_tensor {
    char *data;              /* of the first element */
    int64_t dim, offset;     /* offset in elements from the storage's start */
    int64_t sizes[SHIM_RANK_MAX], strides[SHIM_RANK_MAX];
    int32_t type;            /* PyTorch's number */
    shim_storage *storage;
    bool is_first;           /* of its storage */
    shim_context *owner;     /* whose pool it is of; NULL: the heap */
    struct shim_tensor *next;
} shim_tensor;

/* Blocks by address; first fit between them. While planning, addresses are offsets and the memory comes from the heap. On a GPU there
 * is nothing to plan: each block is a buffer of the queue, from the framework's caching allocator. */
typedef struct shim_block {
    size_t offset, bytes;
    void *data;
    stoa_buffer *buffer;
} shim_block;
typedef struct shim_arena {
    char *base;              /* NULL: planning */
    size_t bytes, peak;
    shim_block blocks[SHIM_BLOCKS_MAX];
    uint32_t count;
} shim_arena;

struct shim_context {
    stoa_queue *queue;       /* of a GPU; NULL: the host */
    int32_t device_type, device_index;
    shim_arena arena;
    shim_tensor *tensors, *free_tensors;
    shim_storage *storages;
    uint32_t tensor_capacity, tensors_live, tensors_peak;
    shim_storage *free_storages[SHIM_TENSORS_MAX];
    uint32_t free_storage_count;
    struct {
        void *block;
        size_t bytes;
    } recycled[SHIM_RECYCLED]; /* C++ blocks that the model gave back, for its next run */
    uint64_t allocations;    /* that reached the C library during runs */
    char message[512];       /* of the first failure of the run */
    bool out_of_memory;      /* the run failed for want of memory, not for its workspace */
};

/** Make a context with `tensors` objects over `bytes` of memory at `base`; base NULL plans, a queue of a GPU needs neither.
 *  errors ENOMEM */
stoa_status stoai_shim_init(shim_context *context, stoa_queue *queue, void *base, size_t bytes, uint32_t tensors, stoa_error *err);
void stoai_shim_deinit(shim_context *context);

/** The context of what runs on this thread from now on; NULL: none. Returns the one before. */
shim_context *stoai_shim_enter(shim_context *context);

/** Memory from the running context's arena, NULL when there is none left; and back. */
void *stoai_shim_block(shim_context *context, size_t bytes);
void stoai_shim_unblock(shim_context *context, void *data);

/** PyTorch's number of a type, -1 when it has none; and bytes of an element of such a number, 0 when unknown. */
int32_t stoai_shim_type(stoa_dtype dtype);
size_t stoai_shim_type_bytes(int32_t type);

/** The function that serves an import; NULL when we have none of that name. */
void *stoai_shim_find(const char *name);
/** What every package gets from us, whoever serves the rest: C++ memory that is counted, and a standard error stream that is not used. */
void *stoai_shim_find_guard(const char *name);

/** Keep a message for the run's error and raise an exception of no C++ type through the model's frames; it catches all. */
_Noreturn void stoai_shim_throw(const char *format, ...) STOA_PRINTF(1, 2);

/* Tensor functions that the runtime itself calls; C ABI of torch/csrc/inductor/aoti_torch/c/shim.h. */
int32_t stoai_shim_from_blob(void *data, int64_t dim, const int64_t *sizes, const int64_t *strides, int64_t offset, int32_t type,
                             int32_t device_type, int32_t device_index, shim_tensor **result);
int32_t stoai_shim_empty(int64_t dim, const int64_t *sizes, const int64_t *strides, int32_t type, int32_t device_type, int32_t device_index,
                         shim_tensor **result);
int32_t stoai_shim_delete(shim_tensor *tensor);
int32_t stoai_shim_fail(const char *format, ...) STOA_PRINTF(1, 2);

/* A name and its function; tables end with a NULL name. */
typedef struct shim_symbol {
    const char *name;
    void (*function)(void);
} shim_symbol;
extern const shim_symbol stoai_shim_products[], stoai_shim_guards_of_cuda[];
/** Vector functions of an instruction-set level of this build that the processor has; NULL when it is none of theirs. */
void *stoai_shim_find_math(const char *name);

#endif
