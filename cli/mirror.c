/* SPDX-License-Identifier: Apache-2.0 */
#include "mirror.h"

#include <stdlib.h>

static size_t padded(size_t bytes) { return (bytes + STOA_BUFFER_ALIGN_BYTES - 1) & ~(size_t)(STOA_BUFFER_ALIGN_BYTES - 1); }

stoa_status cli_mirror_add(cli_mirror *mirror, stoa_column *columns, uint32_t count, bool is_output, stoa_error *err)
{
    if (stoa_device_place(stoa_queue_device(mirror->queue)).type == STOA_PLACE_HOST) return STOA_OK;
    cli_mirror_tensor *tensors = realloc(mirror->tensors, (mirror->count + 1u) * sizeof *tensors);
    if (!tensors) return STOA_FAIL(err, STOA_ENOMEM, "no memory for a list of %u columns", count);
    mirror->tensors = tensors;
    cli_mirror_tensor *t = &tensors[mirror->count++];
    *t = (cli_mirror_tensor){.count = count, .is_output = is_output, .columns = calloc(count, sizeof *t->columns)};
    if (!t->columns) return STOA_FAIL(err, STOA_ENOMEM, "no memory for a list of %u columns", count);
    size_t bytes = 0;
    for (uint32_t k = 0; k < count; k++) {
        t->columns[k].host = columns[k].data;
        t->columns[k].bytes = columns[k].rows * stoa_dtype_bytes((stoa_dtype)columns[k].dtype);
        bytes += padded(t->columns[k].bytes);
    }
    STOA_TRY(stoa_buffer_create(mirror->queue, STOA_MEMORY_DEVICE, bytes, &t->buffer, err));
    char *at = stoa_buffer_data(t->buffer);
    for (uint32_t k = 0; k < count; at += padded(t->columns[k].bytes), k++) {
        t->columns[k].there = columns[k].data = at;
        columns[k].place = stoa_buffer_place(t->buffer);
    }
    return STOA_OK;
}

stoa_status cli_mirror_copy(cli_mirror *mirror, bool outputs, stoa_error *err)
{
    for (uint32_t i = 0; i < mirror->count; i++) {
        const cli_mirror_tensor *t = &mirror->tensors[i];
        for (uint32_t k = 0; t->is_output == outputs && k < t->count; k++) {
            void *host = t->columns[k].host, *there = t->columns[k].there;
            STOA_TRY(stoa_queue_copy(mirror->queue, outputs ? host : there, outputs ? there : host, t->columns[k].bytes, err));
            mirror->copy_calls++;
            mirror->copy_bytes += t->columns[k].bytes;
        }
    }
    return STOA_OK;
}

void cli_mirror_deinit(cli_mirror *mirror)
{
    for (uint32_t i = 0; i < mirror->count; i++) {
        stoa_buffer_release(mirror->tensors[i].buffer);
        free(mirror->tensors[i].columns);
    }
    free(mirror->tensors);
    *mirror = (cli_mirror){0};
}
