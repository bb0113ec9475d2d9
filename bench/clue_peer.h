/* SPDX-License-Identifier: Apache-2.0 */
/* Another CLUE library as a contender of `stoa bench clue`: a small shared library, named by STOA_CLUESTERING, that exports stoa_peer_clue.
 * bench/peers/cluestering.cpp is one for CLUEstering. Points are given once, when they are opened, so that only clustering is timed. */
#ifndef STOA_BENCH_CLUE_PEER_H
#define STOA_BENCH_CLUE_PEER_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CLUE_PEER_ABI 1u

/* Two coordinates, Euclid's metric, flat kernel of 0.5; sample s has points [offset[s], offset[s + 1]). All stay until the end. */
typedef struct clue_peer_points {
    const float *x, *y, *weight;
    const uint32_t *offset; /* [samples + 1] */
    uint32_t samples;
    float density_radius, density_min, outlier_distance;
} clue_peer_points;

typedef struct clue_peer {
    /* NULL on failure. `one_by_one`: run will be called for single samples, else for all in one call. */
    void *(*open)(const clue_peer_points *points, int one_by_one);
    /* Clusters sample `sample`, or all in one call; returns 0, or not 0 on failure. */
    int (*run)(void *self, uint32_t sample);
    /* Clusters that the last run found, of all its samples. */
    uint64_t (*clusters)(void *self);
    void (*close)(void *self);
} clue_peer;

/* NULL when the library is of another interface than `abi`, the caller's CLUE_PEER_ABI. */
const clue_peer *stoa_peer_clue(uint32_t abi);

#ifdef __cplusplus
}
#endif
#endif
