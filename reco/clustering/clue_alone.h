/* SPDX-License-Identifier: Apache-2.0 */
/* Internal to CLUE: a sample by one worker, on the host. */
#ifndef RECO_CLUE_ALONE_H
#define RECO_CLUE_ALONE_H

#include "reco/clustering/clue_few.h"
#include "reco/clustering/clue_steps.h"

/* A pass over all places, row by row of tiles. */
STOA_DEVICE void clue_pass_all(const reco_clue *args, const clue_space *s, const clue_tiles *t, const uint32_t *start, int climbing)
{
    const uint32_t cells = t->axis[CLUE_AXES - 1].cells;
    for (uint32_t tile = 0; tile < t->tiles; tile += cells)
        for (uint32_t from = start[tile], end = start[tile + cells]; from < end;) from += clue_pass(args, s, t, start, from, end, climbing);
}

/* The top that a point leads to. Paths are shortened as they are walked. */
STOA_DEVICE int32_t clue_top(const clue_space *s, int32_t point)
{
    int32_t top = point;
    while (s->above[top] >= 0) top = s->above[top];
    while (point != top) {
        const int32_t next = s->above[point];
        s->above[point] = top;
        point = next;
    }
    return top;
}

/* The same with the points sorted by tile. */
STOA_DEVICE void clue_many_points(const reco_clue *args, const clue_space *s, uint32_t first, uint32_t n, uint32_t *start, uint32_t *seeds,
                                  uint32_t *members)
{
    const clue_tiles tiles = clue_plan(args, first, n);
    for (uint32_t i = first; i < first + n; i++) s->above[i] = CLUE_OUTLIER;
    clue_place(args, s, &tiles, start, first, n);
    clue_pass_all(args, s, &tiles, start, 0);
    clue_pass_all(args, s, &tiles, start, 1);
    for (uint32_t i = first; i < first + n; i++) {
        const int32_t top = clue_top(s, (int32_t)i);
        const uint32_t is_member = s->above[top] == CLUE_SEED;
        args->cluster_of[i] = is_member ? top : -1;
        *seeds += is_member & (top == (int32_t)i);
        *members += is_member;
    }
}

/* The seed of each point of a sample, or -1, into cluster_of; the numbers of seeds and members. */
STOA_DEVICE void clue_seeds_of(const reco_clue *args, const clue_space *s, uint32_t first, uint32_t n, uint32_t *start, uint32_t *seeds,
                               uint32_t *members, stoa_grid grid)
{
    (void)grid;
    *seeds = *members = 0;
    if (args->density)
        for (uint32_t i = first; i < first + n; i++) args->density[i] = 0.0f;
    if (n <= CLUE_FEW_POINTS) clue_few_points(args, s, first, n, seeds, members);
    else clue_many_points(args, s, first, n, start, seeds, members);
}

/* The points [first, end) that are in clusters; without a branch on each, as there is no guessing which. */
STOA_DEVICE uint32_t clue_list_members(const int32_t *cluster_of, uint32_t first, uint32_t end, uint32_t *list)
{
    uint32_t count = 0;
    for (uint32_t i = first; i < end; i++) {
        list[count] = i;
        count += cluster_of[i] >= 0;
    }
    return count;
}

/* Numbers of a sample's clusters from `base` on, and the places of their points. */
STOA_DEVICE void clue_number(const reco_clue *args, const clue_space *s, uint32_t first, uint32_t n, uint32_t base, uint32_t clusters,
                             uint32_t place, stoa_grid grid)
{
    (void)grid;
    int32_t *of = args->cluster_of;
    uint32_t *count = args->cluster_points + base, *number = s->tile, *list = s->source + first;
    const uint32_t members = clue_list_members(of, first, first + n, list), start = place;
    for (uint32_t m = 0, next = 0; m < members; m++) {
        number[list[m]] = next; /* of a seed */
        next += of[list[m]] == (int32_t)list[m];
    }
    for (uint32_t k = 0; k < clusters; k++) count[k] = 0;
    for (uint32_t m = 0; m < members; m++) {
        if (args->seeds && of[list[m]] == (int32_t)list[m]) args->seeds[base + number[list[m]]] = list[m];
        const uint32_t cluster = number[of[list[m]]];
        count[cluster]++;
        of[list[m]] = (int32_t)(base + cluster);
    }
    for (uint32_t k = 0; k < clusters; k++) {
        const uint32_t points = count[k];
        count[k] = place;
        place += points;
    }
    for (uint32_t m = 0; m < members; m++) args->points[args->cluster_points[of[list[m]]]++] = list[m];
    for (uint32_t k = clusters; k-- > 0;) count[k] = k > 0 ? count[k - 1] : start; /* ends become starts */
}

#endif
