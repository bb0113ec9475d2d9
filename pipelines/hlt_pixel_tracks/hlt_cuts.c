/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "pipelines/hlt_pixel_tracks/hlt_stream.h"
#include "stoa/kernel.h"

typedef struct cuts_args {
    track_features_soa features;
    const uint32_t *count;
    hlt_cuts cuts;
} cuts_args;

/* A comparison with NaN is false, so a track with a NaN does not pass. */
STOA_KERNEL(hlt_cuts, cuts_args)
{
    const track_features_soa f = args->features;
    const uint32_t count = *args->count < f.head.rows ? *args->count : f.head.rows;
    STOA_FOR(i, grid, count)
    {
        const bool pass = f.chi2[i] <= args->cuts.chi2_max && f.hits[i] >= args->cuts.hits_min &&
                          fabsf(f.dxy_bs[i]) <= args->cuts.dxy_max_cm;
        f.score[i] = pass ? 1.0f : 0.0f;
    }
}

typedef struct all_args {
    float *score;
    const uint32_t *count;
    uint32_t capacity;
} all_args;

STOA_KERNEL(hlt_select_all, all_args)
{
    const uint32_t count = *args->count < args->capacity ? *args->count : args->capacity;
    STOA_FOR(i, grid, count) args->score[i] = 1.0f;
}

stoa_status hlt_cuts_enqueue(stoa_queue *queue, const hlt_cuts *cuts, track_features_soa features,
                             const uint32_t *count, stoa_error *err)
{
    if (!cuts)
        return stoa_queue_launch(queue, &hlt_select_all_kernel,
                                 &(all_args){features.score, count, features.head.rows}, err);
    return stoa_queue_launch(queue, &hlt_cuts_kernel, &(cuts_args){features, count, *cuts}, err);
}
