/* SPDX-License-Identifier: Apache-2.0 */
/* Results of an event to the host, as many as their counts say. Counts are known where the event is, so a copy of the driver's would
 * have to be of all that there can be. */
#include "pipelines/hlt_pixel_tracks/hlt_stream.h"
#include "stoa/kernel.h"

#include <string.h>

typedef struct deliver_args {
    hlt_part part[HLT_DELIVER_PARTS];
    uint32_t parts;
} deliver_args;

STOA_DEVICE void deliver_element(const hlt_part *part, uint32_t at)
{
    switch (part->element_bytes) {
    case 1: ((uint8_t *)part->to)[at] = ((const uint8_t *)part->from)[at]; break;
    case 2: ((uint16_t *)part->to)[at] = ((const uint16_t *)part->from)[at]; break;
    case 4: ((uint32_t *)part->to)[at] = ((const uint32_t *)part->from)[at]; break;
    default: break;
    }
}

/* Workers take the elements of all parts in turn: where one part ends the next goes on. */
STOA_KERNEL(hlt_deliver, deliver_args)
{
    uint32_t at = grid.index;
    for (uint32_t p = 0; p < args->parts; p++) {
        const hlt_part *part = &args->part[p];
        const uint32_t rows = part->count && *part->count < part->rows ? *part->count : part->rows;
        if (STOA_ALONE) {
            if (rows > 0) memcpy(part->to, part->from, (size_t)rows * part->element_bytes);
            continue;
        }
        for (; at < rows; at += grid.size) deliver_element(part, at);
        at -= rows;
    }
}

#ifndef __CUDACC__
stoa_status hlt_deliver(stoa_queue *queue, const hlt_part *parts, uint32_t count, stoa_error *err)
{
    for (uint32_t first = 0; first < count; first += HLT_DELIVER_PARTS) {
        deliver_args args = {.parts = count - first < HLT_DELIVER_PARTS ? count - first : HLT_DELIVER_PARTS};
        memcpy(args.part, parts + first, args.parts * sizeof *parts);
        STOA_TRY(stoa_queue_launch(queue, &hlt_deliver_kernel, &args, err));
    }
    return STOA_OK;
}
#endif
