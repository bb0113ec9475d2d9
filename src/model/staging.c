/* SPDX-License-Identifier: Apache-2.0 */
/* Copies that the caller allowed: between the columns as they lie and a tile in the form that the runtime's rule asks for. The host
 * copies them itself, other devices by their queue. */
#include <string.h>

#include "model/block.h"
#include "model/session_internal.h"

#define STAGING_ELEMENT_BYTES 16u /* of the largest dtype */

/* Distance of a staged tensor's values: 16 bytes an element serve every dtype, whole cache lines every alignment. */
size_t stoai_staging_pitch(const stoa_session *session, uint32_t tensor)
{ return ((size_t)session_rows_of(session, tensor, session->call_rows) * STAGING_ELEMENT_BYTES + 63u) & ~(size_t)63; }

/* Row 0 of value k of a staged tensor in the staging tile, laid out as the runtime's rule wants it. */
static stoa_bound staged_value(const stoa_session *session, uint32_t tensor, uint32_t k, uint32_t dtype)
{
    const stoa_tensor_schema *schema = session_schema(session, tensor);
    const stoa_capabilities *can = session->model->capabilities;
    const stoa_column_rule rule = session_is_output(session, tensor) ? can->outputs : can->inputs;
    char *tile = (char *)stoa_buffer_data(session->workspace) + session->staging_offset[tensor];
    if (rule == STOA_RULE_ROW_MAJOR) return (stoa_bound){tile + k * stoa_dtype_bytes((stoa_dtype)dtype), schema->width, dtype, 0};
    return (stoa_bound){tile + stoai_block_position(schema, k) * stoai_staging_pitch(session, tensor), 1, dtype, 0};
}

static void count_copy(stoa_session *session, uint64_t bytes)
{
    atomic_fetch_add_explicit(&session->copy_calls, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&session->copy_bytes, bytes, memory_order_relaxed);
}

/* Rows of one value, strides in elements; the compiler makes one loop an element size. */
static void copy_value(char *to, int64_t to_stride, const char *from, int64_t from_stride, uint32_t rows, size_t bytes)
{
#define COPY_LOOP(size) \
    case size: \
        for (uint32_t r = 0; r < rows; r++) memcpy(to + r * to_stride * size, from + r * from_stride * size, size); \
        break;
    switch (bytes) {
        COPY_LOOP(1)
        COPY_LOOP(2)
        COPY_LOOP(4)
        COPY_LOOP(8)
        COPY_LOOP(16)
    }
#undef COPY_LOOP
}

/* Values of a column become one line each of a copy in two dimensions, for which lines must not overlap. */
stoa_status stoai_staging_check(const stoa_session *session, uint32_t tensor, stoa_error *err)
{
    const stoa_tensor_schema *schema = session_schema(session, tensor);
    if (session->place.type == STOA_PLACE_HOST || schema->axis == STOA_AXIS_ONE) return STOA_OK;
    for (uint32_t k = 0; k < schema->width; k++)
        if (session->scratch[k].row_stride < 1)
            return STOA_FAIL(err, STOA_ECOPY, "tensor '%s': value %u has row stride %lld, a device's copies take 1 or more", schema->name,
                             k, (long long)session->scratch[k].row_stride);
    return STOA_OK;
}

/* One value of the rows. */
static stoa_status copy_rows(stoa_session *session, const stoa_bound *to, const stoa_bound *from, uint32_t rows, stoa_error *err)
{
    const size_t bytes = stoa_dtype_bytes((stoa_dtype)to->dtype);
    if (session->place.type == STOA_PLACE_HOST) {
        copy_value(to->data, to->row_stride, from->data, from->row_stride, rows, bytes);
        return STOA_OK;
    }
    const size_t to_pitch = rows > 1 ? (size_t)to->row_stride * bytes : bytes,
                 from_pitch = rows > 1 ? (size_t)from->row_stride * bytes : bytes;
    return stoa_queue_copy_2d(session->queue, to->data, to_pitch, from->data, from_pitch, bytes, rows, err);
}

/* Between the caller's columns and the staging tile, one value after another; counts what the runtime copies by itself too. */
stoa_status stoai_staging_copy(stoa_session *session, const generation *g, bool outputs, uint32_t first, const uint32_t *rows,
                               stoa_error *err)
{
    for (uint32_t t = 0; t < session->tensor_count; t++) {
        const binding *bound = &g->tensors[t];
        if (session_is_output(session, t) != outputs || !(bound->staged || bound->own_memory)) continue;
        const uint32_t begin = session->first_value[t], width = session_schema(session, t)->width;
        const uint32_t count = session_rows_of(session, t, rows), skip = session_skips(session, t, first);
        const size_t bytes = stoa_dtype_bytes((stoa_dtype)g->values[begin].dtype);
        for (uint32_t k = 0; bound->staged && count && k < width; k++) {
            stoa_bound lies = g->values[begin + k];
            const stoa_bound tile = staged_value(session, t, k, lies.dtype);
            lies.data = (char *)lies.data + skip * lies.row_stride * (int64_t)bytes;
            STOA_TRY(copy_rows(session, outputs ? &lies : &tile, outputs ? &tile : &lies, count, err));
        }
        if (bound->staged) count_copy(session, (uint64_t)width * count * bytes);
        if (bound->own_memory) count_copy(session, (uint64_t)width * count * bytes);
    }
    return STOA_OK;
}

/* The runtime sees rows [first, first + rows) of everything: the tile's address is moved back by `first` rows. */
void stoai_staging_point(const stoa_session *session, generation *g, uint32_t first)
{
    for (uint32_t t = 0; t < session->tensor_count; t++) {
        if (!g->tensors[t].staged) continue;
        const uint32_t begin = session->first_value[t], skip = session_skips(session, t, first);
        for (uint32_t i = begin; i < session->first_value[t + 1]; i++) {
            stoa_bound tile = staged_value(session, t, i - begin, g->values[i].dtype);
            const uintptr_t back = (uintptr_t)skip * (uintptr_t)tile.row_stride * stoa_dtype_bytes((stoa_dtype)tile.dtype);
            tile.data = (void *)((uintptr_t)tile.data - back);
            g->staged[i] = tile;
        }
    }
}
