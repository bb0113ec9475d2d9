/* SPDX-License-Identifier: Apache-2.0 */
/* Tracks are sorted by z first. Everything compatible with a track then lies in one contiguous window around it; the tracks of a
 * vertex are listed once, so that fits and splits read their own arrays from end to end. */
#include "reco/vertexing/density.h"

#include "reco/check.h"
#include "reco/vertexing/density_alone.h"
#include "reco/vertexing/density_block.h"
#include "stoa/algo.h"

STOA_KERNEL_BLOCK(reco_vertices_prepare, reco_vertex_find)
{
    const find_space s = find_layout(args->workspace, args->in.capacity);
    const uint32_t n = vertex_collect(grid, &args->in, s.key, s.source);
    if (grid.index == 0) *s.count = n;
    vertex_clear(grid, &args->tracks, args->track_count ? *args->track_count : (int32_t)rows_below(args->in.count, args->in.capacity));
}

/* Steps 1 to 3, and the tracks of each vertex, have a form for one worker and one for many. */
STOA_KERNEL_BLOCK(reco_vertices_search, reco_vertex_find)
{
    const find_space s = find_layout(args->workspace, args->in.capacity);
    const reco_vertex_options *o = &args->options;
    const uint32_t rows = *s.count;
    STOA_FOR (i, grid, rows) {
        s.z[i] = s.key[s.order[i]];
        s.e[i] = args->in.z_error2[s.source[s.order[i]]];
    }
    STOA_FOR (i, grid, rows) s.w[i] = 1.0f / s.e[i];
    STOA_BARRIER();
    uint32_t found;
    if (STOA_ALONE) {
        find_parents(&s, rows, o);
        found = find_tops(&s, args, rows, grid);
        find_members(&s, find_labels(&s, rows, s.number), rows, found);
    } else {
        STOA_FOR (i, grid, rows) s.nn[i] = find_count_near(&s, i, rows, o);
        STOA_BARRIER();
        STOA_FOR (i, grid, rows) s.parent[i] = find_closest_above(&s, i, rows, o);
        STOA_BARRIER();
        found = find_tops(&s, args, rows, grid);
        find_members_together(&s, rows, found, grid);
    }
    find_output(&s, args, find_fit_all(&s, args, found, grid), grid);
}

/* The sort's indices are 32 bits wide, the format's 16. */
STOA_KERNEL(reco_vertices_narrow, reco_vertex_find)
{
    const find_space s = find_layout(args->workspace, args->in.capacity);
    STOA_FOR (v, grid, *args->vertices.nvFinal) args->vertices.sortInd[v] = (uint16_t)s.order[v];
}

STOA_KERNEL(reco_vertices_mask, reco_vertex_load)
{
    const tracks_soa_const *t = &args->tracks;
    const int32_t count = *t->nTracks;
    const uint32_t broken = count < 0;
    const uint32_t rows = (uint32_t)count < t->head.rows ? (uint32_t)count : t->head.rows;
    STOA_FOR (i, grid, rows) {
        const uint32_t triplet = (uint32_t)(t->nLayers[i] == 3) & args->cuts.skip_triplets;
        const uint32_t good = (uint32_t)(t->quality[i] >= args->cuts.min_quality) & (uint32_t)(t->pt[i] >= args->cuts.pt_min);
        args->mask[i] = (uint8_t)(good & !triplet & !broken);
    }
}

STOA_KERNEL(reco_vertices_load, reco_vertex_load)
{
    const tracks_soa_const *t = &args->tracks;
    const reco_vertex_input *out = &args->out;
    const float *zip = t->state.data + RECO_STATE_ZIP * t->state.stride;
    const float *zip_zip = t->covariance.data + 14 * t->covariance.stride;
    STOA_FOR (i, grid, *out->count) {
        const uint32_t row = out->row[i];
        const float pt = t->pt[row] < args->cuts.pt_max ? t->pt[row] : args->cuts.pt_max;
        out->z[i] = zip[row];
        out->z_error2[i] = zip_zip[row];
        out->pt2[i] = pt * pt;
    }
}

#ifndef __CUDACC__
size_t reco_vertices_workspace_bytes(uint32_t capacity) { return (VERTEX_PAD + FIND_ARRAYS * vertex_stride(capacity)) * sizeof(uint32_t); }

static stoa_status check_input(const reco_vertex_input *in, stoa_error *err)
{
    RECO_NEED(err, "vertices", in->count);
    if (in->capacity == 0) return STOA_OK;
    RECO_NEED(err, "vertices", in->z);
    RECO_NEED(err, "vertices", in->z_error2);
    RECO_NEED(err, "vertices", in->pt2);
    return STOA_OK;
}

stoa_status reco_vertices_load(stoa_queue *queue, const reco_vertex_load *args, stoa_error *err)
{
    RECO_NEED(err, "vertices", queue);
    RECO_NEED(err, "vertices", args);
    RECO_NEED(err, "vertices", args->tracks.nTracks);
    STOA_TRY(check_input(&args->out, err));
    const uint32_t rows = args->tracks.head.rows;
    if (args->cuts.skip_triplets > 1)
        return STOA_FAIL(err, STOA_EINVAL, "vertices: skip_triplets is %u, not 0 or 1", args->cuts.skip_triplets);
    if (args->out.capacity < rows)
        return STOA_FAIL(err, STOA_ESHAPE, "vertices: capacity %u, the tracks have %u rows", args->out.capacity, rows);
    if (rows > 0) {
        RECO_NEED(err, "vertices", args->out.row);
        RECO_NEED(err, "vertices", args->mask);
    }
    STOA_TRY(stoa_queue_launch(queue, &reco_vertices_mask_kernel, args, err));
    const stoa_compact compact = {args->mask, (const uint32_t *)args->tracks.nTracks, rows, args->out.row, args->out.count, args->scratch};
    STOA_TRY(stoa_algo_compact(queue, &compact, err));
    return stoa_queue_launch(queue, &reco_vertices_load_kernel, args, err);
}

static stoa_status check_options(const reco_vertex_options *o, stoa_error *err)
{
    static const char *const names[] = {"eps", "error_max", "chi2_max", "fit_chi2_max", "split_chi2", "split_distance2"};
    const float values[] = {o->eps, o->error_max, o->chi2_max, o->fit_chi2_max, o->split_chi2, o->split_distance2};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (!(values[i] >= 0.0f)) return STOA_FAIL(err, STOA_EINVAL, "vertices: %s is %g", names[i], (double)values[i]);
    return STOA_OK;
}

static stoa_status check_find(const reco_vertex_find *args, stoa_error *err)
{
    const reco_vertex_input *in = &args->in;
    STOA_TRY(check_input(in, err));
    STOA_TRY(check_options(&args->options, err));
    RECO_NEED(err, "vertices", args->vertices.nvFinal);
    RECO_NEED(err, "vertices", args->workspace);
    if (in->row) RECO_NEED(err, "vertices", args->track_count);
    if (!in->row && args->tracks.head.rows < in->capacity)
        return STOA_FAIL(err, STOA_ESHAPE, "vertices: 'tracks' has %u rows, capacity is %u", args->tracks.head.rows, in->capacity);
    if (args->workspace_bytes < reco_vertices_workspace_bytes(in->capacity))
        return STOA_FAIL(err, STOA_ESHAPE, "vertices: workspace of %zu bytes, %zu needed", args->workspace_bytes,
                         reco_vertices_workspace_bytes(in->capacity));
    if ((uintptr_t)args->workspace % 64 != 0)
        return STOA_FAIL(err, STOA_EALIGN, "vertices: workspace at %p, alignment 64 needed", args->workspace);
    return STOA_OK;
}

stoa_status reco_vertices_find(stoa_queue *queue, const reco_vertex_find *args, stoa_error *err)
{
    RECO_NEED(err, "vertices", queue);
    RECO_NEED(err, "vertices", args);
    STOA_TRY(check_find(args, err));
    const uint32_t capacity = args->in.capacity;
    const find_space s = find_layout(args->workspace, capacity);
    STOA_TRY(stoa_queue_launch(queue, &reco_vertices_prepare_kernel, args, err));
    const stoa_sort by_z = {s.key, s.count, capacity, s.order, s.scratch};
    STOA_TRY(stoa_algo_sort(queue, &by_z, err));
    STOA_TRY(stoa_queue_launch(queue, &reco_vertices_search_kernel, args, err));
    /* There are never more vertices than tracks, so the arrays of the first sort serve again. */
    const stoa_sort by_pt2 = {args->vertices.ptv2, args->vertices.nvFinal, capacity, s.order, s.scratch};
    STOA_TRY(stoa_algo_sort(queue, &by_pt2, err));
    return stoa_queue_launch(queue, &reco_vertices_narrow_kernel, args, err);
}
#endif
