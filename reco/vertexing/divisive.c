/* SPDX-License-Identifier: Apache-2.0 */
#include "reco/vertexing/divisive.h"

#include "reco/check.h"
#include "reco/vertexing/collect.h"
#include "stoa/algo.h"

enum { DIVIDE_ARRAYS = 7, DIVIDE_VERTICES_MAX = 32767 };

/* The workspace: arrays of `in.capacity` 4-byte elements. `order` holds rows of key and source by rising z. */
typedef struct divide_space {
    uint32_t *count;            /* [1] tracks that pass the test for finite values */
    float *key;                 /* their z, in input order */
    uint32_t *source;           /* and where they stand in the input */
    uint32_t *order, *scratch;  /* of the sort; scratch is [2 * capacity] */
    uint32_t *list, *left;      /* sources of the tracks at hand, and of those that left */
} divide_space;

STOA_DEVICE divide_space divide_layout(void *workspace, uint32_t capacity)
{
    const size_t n = vertex_stride(capacity);
    uint32_t *base = (uint32_t *)workspace;
    divide_space s;
    s.count = base;
    base += VERTEX_PAD;
    s.key = (float *)base;
    s.source = base + n;
    s.order = base + 2 * n;
    s.scratch = base + 3 * n; /* and 4 n */
    s.list = base + 5 * n;
    s.left = base + 6 * n;
    return s;
}

STOA_KERNEL_BLOCK(reco_divisive_prepare, reco_divisive_find)
{
    const divide_space s = divide_layout(args->workspace, args->in.capacity);
    const uint32_t n = vertex_collect(grid, &args->in, s.key, s.source);
    if (grid.index == 0) *s.count = n;
    vertex_clear(grid, &args->tracks, *args->track_count);
}

/* Weighted mean over a list, relative to its first track so that no digit is lost far from the centre. */
STOA_DEVICE float divide_mean(const reco_vertex_input *in, const uint32_t *list, uint32_t n)
{
    const float origin = in->z[list[0]];
    float sum = 0.0f, weight = 0.0f;
    for (uint32_t k = 0; k < n; k++) {
        const float w = 1.0f / in->z_error2[list[k]];
        sum += (in->z[list[k]] - origin) * w;
        weight += w;
    }
    return origin + sum / weight;
}

/* Step 2. Returns how many stay in `list`; those that left stand at left[0 .. n - that). */
STOA_DEVICE uint32_t divide_clean(const reco_vertex_input *in, uint32_t *list, uint32_t *left, uint32_t n, float offset_max, float *mean)
{
    uint32_t gone = 0, before = n + 1;
    while (n > 0 && n < before) {
        *mean = divide_mean(in, list, n);
        before = n;
        n = 0;
        for (uint32_t k = 0; k < before; k++) {
            const uint32_t i = list[k];
            const float d = in->z[i] - *mean;
            if (d * d < offset_max * offset_max * in->z_error2[i]) list[n++] = i;
            else left[gone++] = i;
        }
    }
    return n;
}

/* Step 3: what is known of the vertex. */
STOA_DEVICE void divide_vertex(const reco_divisive_find *args, const uint32_t *list, uint32_t n, float mean, uint32_t v)
{
    const reco_vertex_input *in = &args->in;
    float weight = 0.0f, chi2 = 0.0f, pt2 = 0.0f;
    for (uint32_t k = 0; k < n; k++) {
        const uint32_t i = list[k];
        const float w = 1.0f / in->z_error2[i], d = in->z[i] - mean;
        weight += w;
        chi2 += d * d * w;
        pt2 += in->pt2[i];
        args->tracks.idv[in->row ? in->row[i] : i] = (int16_t)v;
    }
    args->vertices.zv[v] = mean;
    args->vertices.wv[v] = weight;
    args->vertices.chi2[v] = chi2;
    args->vertices.ptv2[v] = pt2;
    args->tracks.ndof[v] = (int32_t)n - 1;
}

STOA_DEVICE uint32_t divide_limit(const reco_divisive_find *args)
{
    uint32_t limit = args->vertices.head.rows;
    if (limit > args->tracks.head.rows) limit = args->tracks.head.rows; /* ndof lies there */
    return limit < DIVIDE_VERTICES_MAX ? limit : DIVIDE_VERTICES_MAX;
}

/* Steps 2 and 3 for a group of n tracks in `list`: vertices from number `found` on, those below `limit` are written. Returns the
 * number behind them. */
STOA_DEVICE uint32_t divide_group(const reco_divisive_find *args, uint32_t *list, uint32_t *left, uint32_t n, uint32_t found,
                                  uint32_t limit)
{
    const uint32_t tracks_min = args->options.tracks_min;
    while (n >= tracks_min) {
        float mean = 0.0f;
        const uint32_t kept = divide_clean(&args->in, list, left, n, args->options.offset_max, &mean);
        if (kept < tracks_min) break;
        if (found < limit) divide_vertex(args, list, kept, mean, found);
        found++;
        n -= kept;
        for (uint32_t k = 0; k < n; k++) list[k] = left[k];
    }
    return found;
}

STOA_DEVICE int divide_starts(const divide_space *s, uint32_t place, float separation)
{ return place == 0 || !(s->key[s->order[place]] - s->key[s->order[place - 1]] < separation); }

/* The same for all groups that start at places [begin, end). Each has its own part of the lists. */
STOA_DEVICE uint32_t divide_groups(const reco_divisive_find *args, const divide_space *s, uint32_t begin, uint32_t end, uint32_t found,
                                   uint32_t limit)
{
    const float separation = args->options.separation;
    const uint32_t rows = *s->count;
    uint32_t i = begin;
    while (i < end && !divide_starts(s, i, separation)) i++;
    while (i < end) {
        const uint32_t first = i;
        do {
            s->list[i] = s->source[s->order[i]];
            i++;
        } while (i < rows && !divide_starts(s, i, separation));
        found = divide_group(args, s->list + first, s->left + first, i - first, found, limit);
    }
    return found;
}

/* Groups are shared out over the workers in runs of places. A vertex's number comes behind those of the workers before, so that
 * workers who are not alone first count theirs. */
STOA_KERNEL_BLOCK(reco_divisive_search, reco_divisive_find)
{
    const divide_space s = divide_layout(args->workspace, args->in.capacity);
    const uint32_t rows = *s.count, limit = divide_limit(args), run = (rows + grid.size - 1) / grid.size;
    const uint32_t begin = grid.index * run < rows ? grid.index * run : rows;
    const uint32_t end = rows - begin > run ? begin + run : rows;
    uint32_t all, first = 0;
    if (!STOA_ALONE) first = stoa_block_scan(grid, divide_groups(args, &s, begin, end, 0, 0), &all);
    const uint32_t behind = divide_groups(args, &s, begin, end, first, limit);
    (void)stoa_block_scan(grid, behind - first, &all);
    if (grid.index != 0) return;
    if (args->found) *args->found = all;
    *args->vertices.nvFinal = all < limit ? all : limit;
    if (all > 0) return;
    *args->vertices.nvFinal = 1;
    args->vertices.zv[0] = args->vertices.chi2[0] = args->vertices.ptv2[0] = 0.0f;
    args->vertices.wv[0] = 1.0f / (args->beam_spot.sigma_z * args->beam_spot.sigma_z);
    args->tracks.ndof[0] = 0;
}

STOA_KERNEL(reco_divisive_narrow, reco_divisive_find)
{
    const divide_space s = divide_layout(args->workspace, args->in.capacity);
    STOA_FOR (v, grid, *args->vertices.nvFinal) args->vertices.sortInd[v] = (uint16_t)s.order[v];
}

STOA_KERNEL(reco_divisive_mask, reco_divisive_load)
{
    const uint32_t rows = rows_below(args->tracks.count, args->tracks.head.rows);
    STOA_FOR (i, grid, rows) args->mask[i] = args->tracks.pt[i] > args->cuts.pt_min;
}

STOA_DEVICE float clip(float x, float low, float high)
{
    const float raised = x > low ? x : low;
    return raised < high ? raised : high;
}

/* `row` holds the legacy rows that the compaction left; it becomes their sources. */
STOA_KERNEL(reco_divisive_columns, reco_divisive_load)
{
    const reco_vertex_input *out = &args->out;
    STOA_FOR (i, grid, *out->count) {
        const uint32_t row = out->row[i];
        const float pt = clip(args->tracks.pt[row], args->cuts.pt2_low, args->cuts.pt2_high);
        out->z[i] = args->tracks.dz[row];
        out->z_error2[i] = args->tracks.dz_error2[row];
        out->pt2[i] = pt * pt;
        out->row[i] = args->tracks.source[row];
    }
}

#ifndef __CUDACC__
size_t reco_divisive_workspace_bytes(uint32_t capacity)
{ return (VERTEX_PAD + DIVIDE_ARRAYS * vertex_stride(capacity)) * sizeof(uint32_t); }

static stoa_status check_columns(const reco_vertex_input *in, stoa_error *err)
{
    RECO_NEED(err, "divisive", in->count);
    if (in->capacity == 0) return STOA_OK;
    RECO_NEED(err, "divisive", in->z);
    RECO_NEED(err, "divisive", in->z_error2);
    RECO_NEED(err, "divisive", in->pt2);
    return STOA_OK;
}

stoa_status reco_divisive_load_tracks(stoa_queue *queue, const reco_divisive_load *args, stoa_error *err)
{
    RECO_NEED(err, "divisive", queue);
    RECO_NEED(err, "divisive", args);
    RECO_NEED(err, "divisive", args->tracks.count);
    STOA_TRY(check_columns(&args->out, err));
    const uint32_t rows = args->tracks.head.rows;
    if (args->out.capacity < rows)
        return STOA_FAIL(err, STOA_ESHAPE, "divisive: capacity %u, the tracks have %u rows", args->out.capacity, rows);
    if (rows > 0) {
        RECO_NEED(err, "divisive", args->out.row);
        RECO_NEED(err, "divisive", args->mask);
    }
    STOA_TRY(stoa_queue_launch(queue, &reco_divisive_mask_kernel, args, err));
    const stoa_compact compact = {args->mask, args->tracks.count, rows, args->out.row, args->out.count, args->scratch};
    STOA_TRY(stoa_algo_compact(queue, &compact, err));
    return stoa_queue_launch(queue, &reco_divisive_columns_kernel, args, err);
}

static stoa_status check_options(const reco_divisive_find *args, stoa_error *err)
{
    const reco_divisive_options *o = &args->options;
    if (o->tracks_min == 0) return STOA_FAIL(err, STOA_EINVAL, "divisive: tracks_min is 0");
    if (!(o->offset_max >= 0.0f) || !(o->separation >= 0.0f))
        return STOA_FAIL(err, STOA_EINVAL, "divisive: offset_max is %g, separation %g", (double)o->offset_max, (double)o->separation);
    if (!(args->beam_spot.sigma_z > 0.0f))
        return STOA_FAIL(err, STOA_EINVAL, "divisive: sigma_z of the beam spot is %g", (double)args->beam_spot.sigma_z);
    return STOA_OK;
}

static stoa_status check_find(const reco_divisive_find *args, stoa_error *err)
{
    const uint32_t capacity = args->in.capacity;
    STOA_TRY(check_columns(&args->in, err));
    STOA_TRY(check_options(args, err));
    RECO_NEED(err, "divisive", args->vertices.nvFinal);
    RECO_NEED(err, "divisive", args->track_count);
    RECO_NEED(err, "divisive", args->workspace);
    if (args->vertices.head.rows < 1 || args->tracks.head.rows < 1)
        return STOA_FAIL(err, STOA_ESHAPE, "divisive: 'vertices' has %u rows and 'tracks' %u, 1 needed", args->vertices.head.rows,
                         args->tracks.head.rows);
    if (!args->in.row && args->tracks.head.rows < capacity)
        return STOA_FAIL(err, STOA_ESHAPE, "divisive: 'tracks' has %u rows, capacity is %u", args->tracks.head.rows, capacity);
    if (args->workspace_bytes < reco_divisive_workspace_bytes(capacity))
        return STOA_FAIL(err, STOA_ESHAPE, "divisive: workspace of %zu bytes, %zu needed", args->workspace_bytes,
                         reco_divisive_workspace_bytes(capacity));
    if ((uintptr_t)args->workspace % 64 != 0)
        return STOA_FAIL(err, STOA_EALIGN, "divisive: workspace at %p, alignment 64 needed", args->workspace);
    return STOA_OK;
}

stoa_status reco_divisive_vertices(stoa_queue *queue, const reco_divisive_find *args, stoa_error *err)
{
    RECO_NEED(err, "divisive", queue);
    RECO_NEED(err, "divisive", args);
    STOA_TRY(check_find(args, err));
    const uint32_t capacity = args->in.capacity;
    const divide_space s = divide_layout(args->workspace, capacity);
    STOA_TRY(stoa_queue_launch(queue, &reco_divisive_prepare_kernel, args, err));
    const stoa_sort by_z = {s.key, s.count, capacity, s.order, s.scratch};
    STOA_TRY(stoa_algo_sort(queue, &by_z, err));
    STOA_TRY(stoa_queue_launch(queue, &reco_divisive_search_kernel, args, err));
    /* One vertex more than tracks at most, the beam spot, and the arrays have room to spare. */
    const stoa_sort by_pt2 = {args->vertices.ptv2, args->vertices.nvFinal, capacity + 1, s.order, s.scratch};
    STOA_TRY(stoa_algo_sort(queue, &by_pt2, err));
    return stoa_queue_launch(queue, &reco_divisive_narrow_kernel, args, err);
}
#endif
