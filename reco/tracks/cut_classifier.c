/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/tracks/cut_classifier.h"

#include "reco/check.h"
#include "reco/tracks/track_kernels.h"

enum { CLASSIFY_LANES = 8 };

/* What the cuts of one track are taken on. */
typedef struct classify_track {
    float chi2, layers, hits, dxy, dz, dxy_error, dz_error, dxy_nominal, dz_nominal;
    int has_vertex;
} classify_track;

/* Distance along the beam to the closest vertex of enough tracks, HUGE_VALF without one. CLASSIFY_LANES tracks see each
 * vertex together: the lanes are independent, so the compiler puts them into vector registers. */
STOA_DEVICE void classify_closest(const reco_cut_classifier *args, const float *z, float *closest)
{
    const uint32_t vertices = rows_below(args->vertices.nvFinal, args->vertices.head.rows);
    for (int l = 0; l < CLASSIFY_LANES; l++) closest[l] = HUGE_VALF;
    for (uint32_t v = 0; v < vertices; v++) {
        const float zv = args->vertices.zv[v];
        if (args->ndof[v] + 1 < args->table.vertex_tracks_min) continue;
        for (int l = 0; l < CLASSIFY_LANES; l++) {
            const float d = fabsf(z[l] - zv);
            closest[l] = d < closest[l] ? d : closest[l];
        }
    }
}

STOA_DEVICE classify_track classify_load(const reco_cut_classifier *args, uint32_t i, float closest)
{
    const track_features_soa *f = &args->features;
    classify_track t;
    t.chi2 = f->chi2[i];
    t.layers = f->layers[i];
    t.hits = f->hits[i];
    t.dxy = fabsf(f->dxy_bs[i]);
    t.has_vertex = closest < HUGE_VALF;
    t.dz = t.has_vertex ? closest : fabsf(f->dz_bs[i]);
    t.dxy_error = f->dxy_error[i];
    t.dz_error = f->dz_error[i];
    const float scatter = args->table.d0_error_pt / f->pt[i];
    t.dxy_nominal = sqrtf(args->table.d0_error * args->table.d0_error + scatter * scatter);
    t.dz_nominal = t.dxy_nominal * coshf(f->eta[i]);
    return t;
}

STOA_DEVICE float classify_power4(float x) { return x * x * x * x; }

STOA_DEVICE int classify_near(float distance, float n, float par1, float error, float par2, float nominal)
{ return (distance < classify_power4(par1 * n) * error) & (distance < classify_power4(par2 * n) * nominal); }

STOA_DEVICE int classify_passes(const reco_cut_table *c, const classify_track *t, int k)
{
    const float dz_max = t->has_vertex ? c->dz_max[k] : c->dz_spot_max[k];
    return (t->chi2 <= c->chi2_max[k]) & (t->chi2 / t->layers <= c->chi2_per_layer_max[k]) & (t->layers >= c->layers_min[k]) &
           (t->hits >= c->hits_min[k]) & (t->dxy < c->dxy_max[k]) & (t->dz < dz_max) &
           classify_near(t->dxy, t->layers, c->dxy_par1[k], t->dxy_error, c->dxy_par2[k], t->dxy_nominal) &
           classify_near(t->dz, t->layers, c->dz_par1[k], t->dz_error, c->dz_par2[k], t->dz_nominal);
}

STOA_DEVICE float classify_score(const reco_cut_classifier *args, uint32_t i, float closest)
{
    static const float grade[] = {-1.0f, -0.5f, 0.5f, 1.0f}; /* none, then by working point */
    const classify_track t = classify_load(args, i, closest);
    float score = grade[0];
    for (int k = 0; k < RECO_WORKING_POINTS; k++)
        if (classify_passes(&args->table, &t, k)) score = grade[k + 1];
    return score;
}

STOA_KERNEL(reco_tracks_classify, reco_cut_classifier)
{
    const uint32_t rows = rows_below(args->count, args->features.head.rows);
    STOA_FOR (block, grid, (rows + CLASSIFY_LANES - 1) / CLASSIFY_LANES) {
        const uint32_t first = block * CLASSIFY_LANES;
        const uint32_t n = rows - first < CLASSIFY_LANES ? rows - first : CLASSIFY_LANES;
        float z[CLASSIFY_LANES], closest[CLASSIFY_LANES];
        for (uint32_t l = 0; l < CLASSIFY_LANES; l++) z[l] = args->features.dz_bs[first + (l < n ? l : 0)];
        classify_closest(args, z, closest);
        for (uint32_t l = 0; l < n; l++) args->features.score[first + l] = classify_score(args, first + l, closest[l]);
    }
}

#ifndef __CUDACC__
float reco_working_point_score(uint32_t working_point)
{
    static const float score_min[RECO_WORKING_POINTS] = {-0.7f, 0.1f, 0.7f};
    return working_point < RECO_WORKING_POINTS ? score_min[working_point] : NAN;
}

stoa_status reco_tracks_classify(stoa_queue *queue, const reco_cut_classifier *args, stoa_error *err)
{
    RECO_NEED(err, "classify", queue);
    RECO_NEED(err, "classify", args);
    RECO_NEED(err, "classify", args->count);
    RECO_NEED(err, "classify", args->features.score);
    RECO_NEED(err, "classify", args->vertices.nvFinal);
    RECO_NEED(err, "classify", args->ndof);
    return stoa_queue_launch(queue, &reco_tracks_classify_kernel, args, err);
}
#endif
