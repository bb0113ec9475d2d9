/* SPDX-License-Identifier: Apache-2.0 */
/* Internal to CLUE: the workspace. A point's "place" is where it stands after the sort by tile; point and place are numbers
 * in the whole input, whatever the sample. */
#ifndef RECO_CLUE_SPACE_H
#define RECO_CLUE_SPACE_H

#include "reco/clustering/clue.h"
#include "stoa/kernel.h"

#include <math.h>

/* Arrays of points beside the coordinates. */
enum { CLUE_POINT_ARRAYS = 6, CLUE_PAD = 16 };

/* What the loops are compiled for: constants where a form is common. */
typedef struct clue_form {
    uint32_t metric, dimensions, circle, kernel;
} clue_form;

typedef struct clue_space {
    clue_form form;
    float turn[RECO_CLUE_DIMENSIONS_MAX]; /* scaled period, infinite for a line */
    float density_reach, seeding_reach, outlier_reach; /* as sizes of the metric: squared for Euclid */
    float rate; /* of the kernel's exponential, to multiply with d or d^2 */
    size_t stride;   /* of the coordinates, in elements */
    float *x;        /* [dimensions][places] scaled, and folded to the middle turn of a circle */
    float *w, *rho;  /* [places] */
    uint32_t *source; /* [places] point */
    int32_t *above;  /* [points] the nearest above, or CLUE_SEED or CLUE_OUTLIER */
    uint32_t *tile;  /* [points] */
    uint32_t *start; /* [points + 2 samples] first place of each tile: sample s has its own from offset[s] + 2 s on */
    uint32_t *sample_members;
    uint32_t *rows; /* [1] samples + 1, for the scans */
} clue_space;

/* Tops, in `above`. */
enum { CLUE_OUTLIER = -1, CLUE_SEED = -2 };

/* Whole vectors, and one to spare: lanes behind the last point read it, and nothing uses what they find. */
STOA_DEVICE size_t clue_stride(uint32_t count) { return ((size_t)count / CLUE_PAD + 2) * CLUE_PAD; }

STOA_DEVICE float clue_scale(const reco_clue_options *o, uint32_t k) { return o->scale[k] > 0.0f ? o->scale[k] : 1.0f; }

STOA_DEVICE float clue_seeding_distance(const reco_clue_options *o)
{ return o->seeding_distance > 0.0f ? o->seeding_distance : o->density_radius; }

/* The options in the form that the loops want them. */
STOA_DEVICE void clue_prepare(clue_space *s, const reco_clue_options *o)
{
    const int square = o->metric == RECO_CLUE_EUCLID;
    const float seeding = clue_seeding_distance(o), width = o->kernel_width;
    s->form = (clue_form){o->metric, o->dimensions, 0, o->kernel};
    for (uint32_t k = 0; k < o->dimensions; k++) {
        const int circle = o->period[k] > 0.0f;
        s->turn[k] = circle ? o->period[k] * clue_scale(o, k) : HUGE_VALF;
        s->form.circle |= (uint32_t)circle;
    }
    s->density_reach = square ? o->density_radius * o->density_radius : o->density_radius;
    s->seeding_reach = square ? seeding * seeding : seeding;
    s->outlier_reach = square ? o->outlier_distance * o->outlier_distance : o->outlier_distance;
    s->rate = o->kernel == RECO_CLUE_GAUSSIAN ? -0.5f / (width * width) : -1.0f / width;
}

STOA_DEVICE clue_space clue_space_of(const reco_clue *args)
{
    const size_t stride = clue_stride(args->point_capacity), samples = clue_stride(args->sample_capacity);
    uint32_t *at = (uint32_t *)args->workspace;
    clue_space s;
    clue_prepare(&s, &args->options);
    s.stride = stride;
    s.sample_members = at, at += samples;
    s.rows = at, at += CLUE_PAD;
    s.x = (float *)at, at += stride * args->options.dimensions;
    s.w = (float *)at, at += stride;
    s.rho = (float *)at, at += stride;
    s.source = at, at += stride;
    s.above = (int32_t *)at, at += stride;
    s.tile = at, at += stride;
    s.start = at;
    return s;
}

STOA_DEVICE size_t clue_space_bytes(uint32_t points, uint32_t samples, uint32_t dimensions)
{
    const size_t elements = 3 * clue_stride(samples) + CLUE_PAD + (dimensions + (size_t)CLUE_POINT_ARRAYS) * clue_stride(points);
    return elements * sizeof(float);
}

/* Places [begin, end). */
typedef struct clue_range {
    uint32_t begin, end;
} clue_range;

#endif
