/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/native/native_device.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "runtime/native/fragments.h"
#include "stoa/memory.h"

/* Rows of a tile: as many as leave room for two blocks on a multiprocessor, and as few as give each multiprocessor of a large GPU a
 * tile. Tiles in plain memory keep the weights' traffic low. */
enum { SHIFT_LEAST = 5, SHIFT_MOST = 7, SHIFT_WIDE = 6, WIDE_BLOCKS = 256, FEW_TILES = 128 };

_Static_assert(sizeof(native_many_spans) <= STOA_KERNEL_ARGS_MAX_BYTES, "spans fit into a launch");
_Static_assert(offsetof(native_many_spans, span) == offsetof(native_few_spans, span), "few spans begin many");

/* A model's arena on one device. */
typedef struct native_copy {
    struct native_copy *next;
    stoa_device *device;
    uint32_t sessions;
    stoa_buffer *buffer;
    stoa_event *passed; /* behind the copy, and behind the work of the sessions that have closed */
    bool unordered; /* but for one whose queue was captured */
} native_copy;

/* ---- the program's memory ------------------------------------------------------------------------------------------------ */

static const void *moved(const graph_arena *arena, const char *base, const void *pointer)
{ return pointer ? base + stoai_arena_packed_at(arena, pointer) : NULL; }

/* Steps point into the arena, so their copies point into its copy. */
static void move_steps(const graph_arena *arena, const native_program *program, const char *base, char *packed)
{
    native_step *steps = (native_step *)(void *)(packed + stoai_arena_packed_at(arena, program->steps));
    for (uint32_t i = 0; i < program->step_count; i++) {
        native_step *s = &steps[i];
        for (int p = 0; p < 3; p++) {
            s->in[p].refs = moved(arena, base, s->in[p].refs);
            s->in[p].constants = moved(arena, base, s->in[p].constants);
        }
        s->weights = moved(arena, base, s->weights);
        s->fragments = moved(arena, base, s->fragments);
        s->bias = moved(arena, base, s->bias);
        s->text = NULL;
    }
}

static stoa_status upload(native_copy *copy, const graph_arena *arena, const native_plan *plan, stoa_queue *queue, stoa_error *err)
{
    const size_t bytes = stoai_arena_pack(arena, NULL);
    stoa_buffer *pinned;
    STOA_TRY(stoa_buffer_create(queue, STOA_MEMORY_DEVICE, bytes, &copy->buffer, err));
    STOA_TRY(stoa_buffer_create(queue, STOA_MEMORY_PINNED, bytes, &pinned, err));
    char *packed = stoa_buffer_data(pinned), *base = stoa_buffer_data(copy->buffer);
    stoai_arena_pack(arena, packed);
    for (uint32_t i = 0; i < plan->program_count; i++) move_steps(arena, &plan->programs[i], base, packed);
    const stoa_status status = stoa_queue_copy(queue, base, packed, bytes, err);
    stoa_buffer_release(pinned); /* in the order of the queue */
    return status == STOA_OK ? stoa_event_record(copy->passed, queue, err) : status;
}

static void destroy_copy(native_copy *copy)
{
    stoa_buffer_release(copy->buffer);
    stoa_event_destroy(copy->passed);
    stoa_free(copy, sizeof *copy);
}

/* Under the lock. */
static stoa_status find_copy(native_copies *copies, const graph_arena *arena, const native_plan *plan, stoa_queue *queue,
                             native_copy **found, stoa_error *err)
{
    stoa_device *device = stoa_queue_device(queue);
    for (native_copy *copy = copies->first; copy; copy = copy->next)
        if (copy->device == device) {
            *found = copy;
            return stoa_queue_wait_event(queue, copy->passed, err);
        }
    native_copy *made = stoa_calloc(1, sizeof *made);
    if (!made) return STOA_FAIL(err, STOA_ENOMEM, "model on a device: %zu bytes", sizeof *made);
    made->device = device;
    stoa_status status = stoa_event_create(device, &made->passed, err);
    if (status == STOA_OK) status = upload(made, arena, plan, queue, err);
    if (status != STOA_OK) {
        destroy_copy(made);
        return status;
    }
    made->next = copies->first;
    *found = copies->first = made;
    return STOA_OK;
}

/* ---- sessions ------------------------------------------------------------------------------------------------------------ */

/* How a program is launched. */
typedef struct launch_shape {
    uint32_t shift, blocks_max; /* rows of a tile; 0: as many blocks as fill the device */
    bool wide;
} launch_shape;

/* Rows that are scattered go there in their order: one block alone does all tiles. */
static bool has_scatter(const native_program *program)
{
    for (uint32_t i = 0; i < program->step_count; i++)
        if (program->steps[i].kind == NATIVE_STEP_SCATTER) return true;
    return false;
}

/* Floats from a column of a tile to the next. */
static uint32_t pitch_of(const native_program *program, uint32_t shift) { return (1u << shift) + (program->fragments ? FRAGMENT_PAD : 0); }

static size_t tile_bytes(const native_program *program, uint32_t shift)
{ return (size_t)program->ref_count * pitch_of(program, shift) * sizeof(float); }

static uint32_t tiles_of(uint32_t rows, uint32_t shift) { return (rows >> shift) + ((rows & ((1u << shift) - 1)) != 0); }

static launch_shape shape_of(const native_program *program, stoa_place place, uint32_t rows)
{
    const size_t room = stoa_kernel_shared_max_bytes(place);
    launch_shape shape = {.shift = SHIFT_MOST};
    while (shape.shift > SHIFT_LEAST && (tile_bytes(program, shape.shift) > room || tiles_of(rows, shape.shift) < FEW_TILES)) shape.shift--;
    shape.wide = tile_bytes(program, shape.shift) > room;
    if (shape.wide) shape.shift = SHIFT_WIDE;
    const uint32_t tiles = tiles_of(rows, shape.shift), most = has_scatter(program) ? 1 : shape.wide ? WIDE_BLOCKS : UINT32_MAX;
    shape.blocks_max = tiles < most ? tiles : most;
    return shape;
}

size_t stoai_native_device_tile_bytes(const native_plan *plan, stoa_place place, const uint32_t *max_rows)
{
    size_t most = 0;
    for (uint32_t i = 0; i < plan->program_count; i++) {
        const native_program *program = &plan->programs[i];
        const launch_shape shape = shape_of(program, place, max_rows[program->axis]);
        const size_t bytes = shape.wide ? shape.blocks_max * tile_bytes(program, shape.shift) : 0;
        most = bytes > most ? bytes : most;
    }
    return most;
}

static stoa_status make_bad_row(native_device *device, stoa_error *err)
{
    if (!device->plan->crosses_rows) return STOA_OK;
    STOA_TRY(stoa_buffer_create(device->queue, STOA_MEMORY_PINNED, sizeof(native_bad_row), &device->bad_row, err));
    memset(stoa_buffer_data(device->bad_row), 0, sizeof(native_bad_row));
    return STOA_OK;
}

bool stoai_native_device_bad_row(const native_device *device, native_bad_row *found)
{
    native_bad_row *here = device->bad_row ? stoa_buffer_data(device->bad_row) : NULL;
    if (!here) return false;
    const uint32_t full = atomic_load_explicit((_Atomic uint32_t *)&here->full, memory_order_acquire);
    if (full == here->taken) return false;
    *found = *here;
    atomic_store_explicit((_Atomic uint32_t *)&here->taken, full, memory_order_release);
    return true;
}

stoa_status stoai_native_device_open(native_device *device, native_copies *copies, const graph_arena *arena, const native_plan *plan,
                                     stoa_queue *queue, stoa_error *err)
{
    device->copies = copies;
    device->arena = arena;
    device->queue = queue;
    device->plan = plan;
    STOA_TRY(make_bad_row(device, err));
    pthread_mutex_lock(&copies->lock);
    const stoa_status status = find_copy(copies, arena, plan, queue, &device->copy, err);
    if (status == STOA_OK) device->copy->sessions++;
    pthread_mutex_unlock(&copies->lock);
    if (status != STOA_OK) stoa_buffer_release(device->bad_row);
    return status;
}

/* Each session that closes takes the work of those before it into its queue, so the last one's queue is behind all. That fails on a
 * device in a fatal state alone, on which nothing runs any more. A queue that is captured cannot take it: the capture would break. Then
 * the last one waits for the device. */
void stoai_native_device_close(native_device *device)
{
    native_copies *copies = device->copies;
    native_copy *copy = device->copy;
    stoa_buffer_release(device->bad_row);
    pthread_mutex_lock(&copies->lock);
    bool captured = false;
    stoa_status status = stoa_queue_is_captured(device->queue, &captured, NULL);
    if (captured) status = STOA_ESTATE;
    copy->unordered = copy->unordered || captured;
    if (status == STOA_OK) status = stoa_queue_wait_event(device->queue, copy->passed, NULL);
    if (status == STOA_OK) status = stoa_event_record(copy->passed, device->queue, NULL);
    if (status == STOA_OK) status = stoa_buffer_set_queue(copy->buffer, device->queue, NULL);
    const bool last = --copy->sessions == 0;
    if (last) {
        native_copy **link = &copies->first;
        while (*link != copy) link = &(*link)->next;
        *link = copy->next;
    }
    pthread_mutex_unlock(&copies->lock);
    if (last && copy->unordered) status = stoa_device_wait(copy->device, NULL);
    if (last) destroy_copy(copy);
}

/* ---- a run --------------------------------------------------------------------------------------------------------------- */

/* Whether `b` is the next value of the span; the second one tells the step. */
static bool continues(native_span *span, const stoa_bound *b)
{
    const int64_t apart = (int64_t)((uintptr_t)b->data - (uintptr_t)span->data);
    if (span->dtype != b->dtype || span->row_stride != b->row_stride || span->count == UINT16_MAX || apart % span->bytes != 0) return false;
    const int64_t step = apart / span->bytes / span->count;
    if (span->count == 1 && step == (int32_t)step) span->step = (int32_t)step;
    return span->step * (int64_t)span->bytes * span->count == apart;
}

static stoa_status add_spans(native_span *span, const stoa_bound *bound, uint32_t count, uint32_t *spans, stoa_error *err)
{
    const uint32_t begin = *spans;
    for (uint32_t i = 0; i < count; i++) {
        const stoa_bound *b = &bound[i];
        if (*spans > begin && continues(&span[*spans - 1], b)) {
            span[*spans - 1].count++;
            continue;
        }
        if (*spans == NATIVE_SPANS_MAX)
            return STOA_FAIL(err, STOA_ELIMIT, "session run on a GPU: value %u of %u begins group %u of equally spaced columns, at most %u",
                             i, count, *spans + 1, NATIVE_SPANS_MAX);
        if (b->row_stride != (int32_t)b->row_stride)
            return STOA_FAIL(err, STOA_ELIMIT, "session run on a GPU: row stride %lld, at most %d", (long long)b->row_stride, INT32_MAX);
        span[(*spans)++] = (native_span){.data = b->data,
                                         .row_stride = (int32_t)b->row_stride,
                                         .count = 1,
                                         .dtype = (uint8_t)b->dtype,
                                         .bytes = (uint8_t)stoa_dtype_bytes((stoa_dtype)b->dtype)};
    }
    return STOA_OK;
}

static stoa_status launch(const native_device *device, const native_program *program, native_many_spans *spans, void *workspace,
                          stoa_error *err)
{
    native_device_args *args = &spans->args;
    const bool many = args->span_end[NATIVE_SPACE_COUNT - 1] > NATIVE_SPANS_FEW;
    const uint32_t rows = args->rows[program->axis];
    const launch_shape shape = shape_of(program, stoa_device_place(stoa_queue_device(device->queue)), rows);
    if (rows == 0) return STOA_OK;
    const char *base = stoa_buffer_data(device->copy->buffer);
    const stoa_kernel kernel = {.struct_size = sizeof kernel,
                                .args_bytes = many ? sizeof(native_many_spans) : sizeof(native_few_spans),
                                .name = many         ? "stoai_native_many"
                                        : shape.wide ? "stoai_native_wide"
                                                     : "stoai_native_tiles",
                                .shared_bytes = shape.wide ? 0 : (uint32_t)tile_bytes(program, shape.shift),
                                .blocks_max = shape.blocks_max};
    args->steps = (const native_step *)(const void *)(base + stoai_arena_packed_at(device->arena, program->steps));
    args->wide = shape.wide ? workspace : NULL;
    args->axis = program->axis;
    args->step_count = program->step_count;
    args->ref_count = program->ref_count;
    args->tile_shift = shape.shift;
    args->pitch = pitch_of(program, shape.shift);
    return stoa_queue_launch(device->queue, &kernel, spans, err);
}

stoa_status stoai_native_device_run(const native_device *device, const native_call *call, const uint32_t *const *counts, stoa_error *err)
{
    native_many_spans spans;
    native_device_args *args = &spans.args;
    uint32_t count = 0;
    memset(&spans, 0, sizeof(native_few_spans));
    args->first = call->first;
    args->bad_row = device->bad_row ? stoa_buffer_data(device->bad_row) : NULL;
    for (uint32_t i = 0; i < device->axis_count; i++) {
        args->rows[i] = call->rows[i];
        args->counts[i] = counts ? counts[i] : NULL;
    }
    for (int space = 0; space < NATIVE_SPACE_COUNT; space++) {
        STOA_TRY(add_spans(spans.span, call->bounds[space], device->values[space], &count, err));
        args->span_end[space] = count;
    }
    if (count > NATIVE_SPANS_FEW) memset(spans.span + count, 0, (NATIVE_SPANS_MAX - count) * sizeof *spans.span);
    for (uint32_t i = 0; i < device->plan->program_count; i++)
        STOA_TRY(launch(device, &device->plan->programs[i], &spans, call->workspace, err));
    return STOA_OK;
}
