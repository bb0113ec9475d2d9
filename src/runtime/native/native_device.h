/* SPDX-License-Identifier: Apache-2.0 */
/* A plan on a GPU: one launch of native.cu for each program, of which most models have one, runs all its steps. A block takes a tile of rows, all columns of which lie in memory of
 * its own, as a tile lies in a host's first-level cache; its threads share the values of each step and wait for each other behind
 * it. Steps, constants and weights are read from one copy of the model's arena, which all sessions on the device share. */
#ifndef STOA_NATIVE_NATIVE_DEVICE_H
#define STOA_NATIVE_NATIVE_DEVICE_H

#include "runtime/native/program.h"
#include "stoa/kernel.h"

/* Bound values that lie equally far apart, as the columns of an SoA block do: value k of row r is element k * step + r * row_stride
 * of `data`. */
typedef struct native_span {
    void *data;
    int32_t step, row_stride;
    uint16_t count;
    uint8_t dtype, bytes;
    uint32_t reserved;
} native_span;
#define NATIVE_AXES_MAX 8u

/* A row number beyond its axis, from a run on a GPU to the host: in pinned memory of the session, one at a time. Only one side writes each
 * word: the device takes the place when all that was written there has been read, and says when it is full; the host reads it then. */
typedef struct native_bad_row {
    uint32_t claimed, full; /* by the device: how many so far */
    uint32_t taken; /* by the host: how many it has read */
    uint32_t axis, rows; /* which axis, and what the run had of its rows */
    int64_t row;
} native_bad_row;

typedef struct native_device_args {
    const native_step *steps;
    native_bad_row *bad_row; /* NULL: no step has row numbers */
    float *wide; /* tiles of blocks whose own memory is too small; NULL: it is not */
    const uint32_t *counts[NATIVE_AXES_MAX]; /* NULL: rows are known */
    uint32_t rows[NATIVE_AXES_MAX]; /* of each axis, at most */
    uint32_t axis; /* of this program's rows */
    uint32_t step_count, ref_count;
    uint32_t tile_shift; /* rows of a tile: 1 << tile_shift, at least 32 */
    uint32_t pitch; /* floats from a column of a tile to the next */
    uint32_t first;
    uint32_t span_end[NATIVE_SPACE_COUNT]; /* the spans of one space behind those of the other */
} native_device_args;

/* What a launch carries. A driver copies the arguments of a compiled kernel whole, so most models, whose columns are few spans, have
 * kernels with 1 KiB of them; `few` is how `many` begins. */
#define NATIVE_SPANS_FEW 36u
#define NATIVE_SPANS_MAX 158u
typedef struct native_few_spans {
    native_device_args args;
    native_span span[NATIVE_SPANS_FEW];
} native_few_spans;
typedef struct native_many_spans {
    native_device_args args;
    native_span span[NATIVE_SPANS_MAX];
} native_many_spans;

#ifndef __CUDACC__
#include <pthread.h>

#include "runtime/native/graph_arena.h"
#include "stoa/buffer.h"

/* The model's memory on the devices that it has sessions on. */
typedef struct native_copies {
    pthread_mutex_t lock;
    struct native_copy *first;
} native_copies;

/* One session's part. */
typedef struct native_device {
    native_copies *copies;
    struct native_copy *copy;
    stoa_queue *queue;
    const native_plan *plan;
    const graph_arena *arena;
    stoa_buffer *bad_row; /* a native_bad_row; NULL: no step has row numbers */
    uint32_t values[NATIVE_SPACE_COUNT], axis_count;
} native_device;

/* Bytes for the tiles in the workspace, for up to `max_rows` rows of each axis a run: 0 where they fit into a block's memory there. */
size_t stoai_native_device_tile_bytes(const native_plan *plan, stoa_place place, const uint32_t *max_rows);

/* Copies the arena there for the first session on a device, behind which all others are ordered; waits for nothing. `values` and
 * `axis_count` are set already. Errors: ENOMEM, EDEVICE. */
stoa_status stoai_native_device_open(native_device *device, native_copies *copies, const graph_arena *arena, const native_plan *plan,
                                     stoa_queue *queue, stoa_error *err);
/* The last session on a device gives the copy back, behind what all of them have enqueued. */
void stoai_native_device_close(native_device *device);

/* Enqueues the programs; with `counts` the rows of axis i are min(call->rows[i], *counts[i]), read there.
 * Errors: ELIMIT the bound columns are more than NATIVE_SPANS_MAX groups of equally spaced ones; EDEVICE. */
stoa_status stoai_native_device_run(const native_device *device, const native_call *call, const uint32_t *const *counts, stoa_error *err);

/* Whether a run has met a row number beyond its axis, as far as is known without waiting; each is told once. */
bool stoai_native_device_bad_row(const native_device *device, native_bad_row *found);
#endif

#endif
