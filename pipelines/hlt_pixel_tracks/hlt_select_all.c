/* SPDX-License-Identifier: Apache-2.0 */
#include "pipelines/hlt_pixel_tracks/hlt_stream.h"
#include "stoa/kernel.h"

typedef struct all_args {
    float *score;
    const uint32_t *count;
    uint32_t capacity;
} all_args;

STOA_KERNEL(hlt_select_all, all_args)
{
    const uint32_t count = *args->count < args->capacity ? *args->count : args->capacity;
    STOA_FOR (i, grid, count) args->score[i] = 1.0f;
}

#ifndef __CUDACC__
stoa_status hlt_select_all(stoa_queue *queue, track_features_soa features, const uint32_t *count, stoa_error *err)
{ return stoa_queue_launch(queue, &hlt_select_all_kernel, &(all_args){features.score, count, features.head.rows}, err); }
#endif
