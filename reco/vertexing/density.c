/* SPDX-License-Identifier: Apache-2.0 */
/* Tracks are sorted by z first. Everything compatible with a track then lies in one contiguous window around
 * it: counting neighbours is a branch-free loop over two arrays, and the closest track above is the first one
 * met on either side. */
#include "reco/vertexing/density.h"

#include "reco/check.h"
#include "reco/vector_levels.h"
#include "reco/vertexing/collect.h"
#include "stoa/algo.h"

enum { FIND_ARRAYS = 14, FIND_VERTICES_MAX = 32767, FIND_PAD = 32, FIND_LANES = 16 };
enum { FIND_NOISE = -1, FIND_DROPPED = -2 };
#define FIND_REFIT_CHI2_MAX 5000.0f

/* The workspace: arrays of `in.capacity` 4-byte elements. Below, "place" is a track's place in z order. */
typedef struct find_space {
    uint32_t *count;                    /* [1] tracks that pass the test for finite values */
    float *key;                         /* their z, in input order */
    uint32_t *source;                   /* and where they stand in the input */
    uint32_t *order, *scratch;          /* of the sort; scratch is [2 * capacity] */
    float *z, *e, *w;                   /* by place: position, squared error, 1/e */
    int32_t *nn;                        /* by place: neighbours */
    uint32_t *parent;                   /* by place: place of the closest above */
    int32_t *vertex;                    /* by place: vertex, FIND_NOISE or FIND_DROPPED */
    uint32_t *first, *member;           /* places of the tracks of each vertex */
    int32_t *part;                      /* of each member in a split */
} find_space;

/* Stride of the arrays: whole cache lines, with FIND_PAD elements to spare for the ends of `first` and of the
 * lanes. */
STOA_DEVICE size_t find_stride(uint32_t capacity) { return ((size_t)capacity + 2 * FIND_PAD - 1) / FIND_PAD * FIND_PAD; }

STOA_DEVICE find_space find_layout(void *workspace, uint32_t capacity)
{
    const size_t n = find_stride(capacity);
    uint32_t *base = (uint32_t *)workspace;
    find_space s;
    s.count = base;
    base += FIND_PAD;
    s.key = (float *)base;
    s.source = base + n;
    s.order = base + 2 * n;
    s.scratch = base + 3 * n; /* and 4 n */
    s.z = (float *)(base + 5 * n);
    s.e = (float *)(base + 6 * n);
    s.w = (float *)(base + 7 * n);
    s.nn = (int32_t *)(base + 8 * n);
    s.parent = base + 9 * n;
    s.vertex = (int32_t *)(base + 10 * n);
    s.first = base + 11 * n;
    s.member = base + 12 * n;
    s.part = (int32_t *)(base + 13 * n);
    return s;
}

STOA_DEVICE uint32_t find_limit(const reco_vertex_find *args)
{
    uint32_t limit = args->vertices.head.rows;
    if (limit > args->tracks.head.rows) limit = args->tracks.head.rows; /* ndof lies there */
    return limit < FIND_VERTICES_MAX ? limit : FIND_VERTICES_MAX;
}

STOA_KERNEL_BLOCK(reco_vertices_prepare, reco_vertex_find)
{
    const find_space s = find_layout(args->workspace, args->in.capacity);
    const uint32_t n = vertex_collect(grid, &args->in, s.key, s.source);
    if (grid.index == 0) *s.count = n;
    vertex_clear(grid, &args->tracks, args->track_count ? *args->track_count : (int32_t)rows_below(args->in.count, args->in.capacity));
}

/* Step 1, for FIND_LANES tracks over the places that one of them can reach. The lanes are independent, so the
 * compiler puts them into vector registers; there is no branch but the loop's. */
RECO_VECTOR_LEVELS void find_neighbours_of(const find_space *s, const uint32_t *seed, uint32_t low, uint32_t high, float eps,
                                           float chi2_max)
{
    const float *zs = s->z + low, *es = s->e + low;
    const uint32_t quads = (high - low + 3) / 4; /* whole vectors: the surplus is out of reach, or padding */
    float z[FIND_LANES], e[FIND_LANES];
    int32_t count[FIND_LANES];
    for (int l = 0; l < FIND_LANES; l++) {
        z[l] = s->z[seed[l]];
        e[l] = s->e[seed[l]];
        count[l] = -1; /* itself */
    }
    for (uint32_t j = 0; j < 4 * quads; j++) {
        const float zj = zs[j], ej = es[j];
        for (int l = 0; l < FIND_LANES; l++) {
            const float d = zj - z[l];
            count[l] += (fabsf(d) <= eps) & (d * d <= chi2_max * (e[l] + ej));
        }
    }
    for (int l = 0; l < FIND_LANES; l++) s->nn[seed[l]] = count[l];
}

/* Step 1. Only seeds, the tracks of small error, count. Two fingers move with their blocks and find what is
 * in reach. */
STOA_DEVICE void find_neighbours(const find_space *s, uint32_t rows, const reco_vertex_options *o)
{
    const float error2_max = o->error_max * o->error_max;
    uint32_t *seed = s->member, seeds = 0, low = 0, high = 0;
    for (uint32_t i = 0; i < rows; i++) {
        seed[seeds] = i;
        seeds += s->e[i] <= error2_max;
        s->nn[i] = 0;
    }
    if (seeds == 0) return;
    const uint32_t last = seed[seeds - 1];
    for (uint32_t l = 0; l < FIND_LANES; l++) {
        seed[seeds + l] = last; /* fills the last block: counted again, to the same result */
        s->z[rows + l] = HUGE_VALF;
        s->e[rows + l] = 1.0f;
    }
    for (uint32_t k = 0; k < seeds; k += FIND_LANES) {
        const float first_z = s->z[seed[k]], last_z = s->z[seed[k + FIND_LANES - 1]];
        while (first_z - s->z[low] > o->eps) low++;
        while (high < rows && s->z[high] - last_z <= o->eps) high++;
        find_neighbours_of(s, seed + k, low, high, o->eps, o->chi2_max);
    }
}

/* Steps 2 and 3, outwards: the first compatible one above on the lower side is the closest there, and the
 * latest at its distance. On the upper side the walk ends behind the closest, so the last one taken is the
 * latest too. */
STOA_DEVICE void find_above(const find_space *s, uint32_t rows, const reco_vertex_options *o)
{
    for (uint32_t i = 0; i < rows; i++) {
        const float z = s->z[i], e = s->e[i];
        const int32_t nn = s->nn[i];
        float closest = o->eps;
        uint32_t parent = i;
        for (uint32_t j = i; j-- > 0;) {
            const float d = z - s->z[j];
            if (d > closest) break;
            if ((s->nn[j] >= nn) & (d * d <= o->chi2_max * (e + s->e[j]))) {
                closest = d;
                parent = j;
                break;
            }
        }
        for (uint32_t j = i + 1; j < rows; j++) {
            const float d = s->z[j] - z;
            if (d > closest) break;
            if ((s->nn[j] > nn) & (d * d <= o->chi2_max * (e + s->e[j]))) {
                closest = d;
                parent = j;
            }
        }
        s->parent[i] = parent;
    }
}

/* Step 4. Tops are numbered in input order, so `number` goes by input row. Returns the vertices kept. */
STOA_DEVICE uint32_t find_tops(const find_space *s, const reco_vertex_find *args, uint32_t rows)
{
    int32_t *number = (int32_t *)s->scratch;
    const uint32_t limit = find_limit(args);
    uint32_t tops = 0;
    for (uint32_t r = 0; r < rows; r++) number[r] = FIND_NOISE;
    for (uint32_t i = 0; i < rows; i++)
        if (s->parent[i] == i && s->nn[i] >= 0 && (uint32_t)s->nn[i] >= args->options.neighbours_min) number[s->order[i]] = 0;
    for (uint32_t r = 0; r < rows; r++) {
        if (number[r] == FIND_NOISE) continue;
        number[r] = tops < limit ? (int32_t)tops : FIND_NOISE;
        tops++;
    }
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t top = i;
        while (s->parent[top] != top) { /* halving the path: long chains are not walked again and again */
            s->parent[top] = s->parent[s->parent[top]];
            top = s->parent[top];
        }
        s->vertex[i] = number[s->order[top]];
    }
    if (args->top_count) *args->top_count = tops;
    return tops < limit ? tops : limit;
}

/* Neighbours in z mostly share a vertex, and each addition would wait for the one before. So sums take the
 * tracks of four far places in turn: 0, q, 2 q, 3 q, 1, q + 1, ... for k = 0 to 4 q - 1. Places from `rows`
 * on are to be skipped. */
STOA_DEVICE uint32_t find_spread(uint32_t k, uint32_t quarter) { return (k & 3u) * quarter + (k >> 2); }

/* Sums by vertex. Noise and dropped tracks have the entries -1 and -2, so that no loop needs a branch for
 * them. */
typedef struct find_sums {
    float *z, *w, *chi2;
    int32_t *ndof;
} find_sums;

STOA_DEVICE find_sums find_sums_clear(const find_space *s, uint32_t stride, uint32_t vertices)
{
    const find_sums sums = {(float *)s->scratch + 2, (float *)s->scratch + stride + 2, (float *)s->member + 2, s->part + 2};
    for (int32_t v = -2; v < (int32_t)vertices; v++) {
        sums.z[v] = sums.w[v] = sums.chi2[v] = 0.0f;
        sums.ndof[v] = -1;
    }
    return sums;
}

/* Step 5. */
STOA_DEVICE void find_fit(const find_space *s, const reco_vertex_find *args, uint32_t rows, uint32_t vertices, float chi2_max)
{
    const find_sums sums = find_sums_clear(s, (uint32_t)find_stride(args->in.capacity), vertices);
    const uint32_t quarter = (rows + 3) / 4;
    for (uint32_t k = 0; k < 4 * quarter; k++) {
        const uint32_t i = find_spread(k, quarter);
        if (i >= rows) continue;
        const int32_t v = s->vertex[i];
        sums.z[v] += s->z[i] * s->w[i];
        sums.w[v] += s->w[i];
    }
    for (int32_t v = -2; v < (int32_t)vertices; v++)
        sums.z[v] = sums.w[v] > 0.0f ? sums.z[v] / sums.w[v] : 0.0f; /* none left: z 0, weight 0, ndof -1 */
    for (uint32_t k = 0; k < 4 * quarter; k++) {
        const uint32_t i = find_spread(k, quarter);
        if (i >= rows) continue;
        const int32_t v = s->vertex[i];
        const float d = sums.z[v] - s->z[i], c = d * (d * s->w[i]);
        const int drop = c > chi2_max;
        s->vertex[i] = drop ? FIND_DROPPED : v;
        sums.chi2[v] += drop ? 0.0f : c;
        sums.ndof[v] += !drop;
    }
    for (uint32_t v = 0; v < vertices; v++) {
        const int scale = sums.ndof[v] > 0 && sums.chi2[v] > 0.0f;
        args->vertices.zv[v] = sums.z[v];
        args->vertices.wv[v] = scale ? sums.w[v] * ((float)sums.ndof[v] / sums.chi2[v]) : sums.w[v];
        args->vertices.chi2[v] = sums.chi2[v];
        args->tracks.ndof[v] = sums.ndof[v];
    }
}

/* Step 7 behind the fit, and the vertex of each track. */
STOA_DEVICE void find_output(const find_space *s, const reco_vertex_find *args, uint32_t rows, uint32_t vertices)
{
    const reco_vertex_input *in = &args->in;
    const find_sums sums = find_sums_clear(s, (uint32_t)find_stride(in->capacity), vertices);
    const uint32_t quarter = (rows + 3) / 4;
    for (uint32_t k = 0; k < 4 * quarter; k++) {
        const uint32_t i = find_spread(k, quarter);
        if (i >= rows) continue;
        const int32_t v = s->vertex[i];
        const uint32_t source = s->source[s->order[i]];
        sums.z[v] += in->pt2[source];
        args->tracks.idv[in->row ? in->row[source] : source] = (int16_t)(v < 0 ? -1 : v);
    }
    for (uint32_t v = 0; v < vertices; v++) args->vertices.ptv2[v] = sums.z[v];
    *args->vertices.nvFinal = vertices;
}

/* Lists the tracks of each vertex, in z order: members [first[v], first[v + 1]). */
STOA_DEVICE void find_members(const find_space *s, const int32_t *ndof, uint32_t rows, uint32_t vertices)
{
    uint32_t sum = 0;
    for (uint32_t v = 0; v < vertices; v++) {
        s->first[v] = sum;
        sum += (uint32_t)(ndof[v] + 1);
    }
    for (uint32_t i = 0; i < rows; i++)
        if (s->vertex[i] >= 0) s->member[s->first[s->vertex[i]]++] = i;
    for (uint32_t v = vertices; v > 0; v--) s->first[v] = s->first[v - 1]; /* each now stands at its end: shift back */
    s->first[0] = 0;
}

/* Two means of one vertex. Leaves the parts in `part`; true when they are apart enough. */
STOA_DEVICE int find_two_means(const find_space *s, const uint32_t *member, uint32_t n, float center, const reco_vertex_options *o)
{
    float mean[2] = {0.0f, 0.0f}, weight[2] = {0.0f, 0.0f};
    uint32_t upper = 0, changed = 1;
    for (uint32_t k = 0; k < n; k++) s->part[k] = !(s->z[member[k]] - center < 0.0f);
    for (uint32_t round = 0; changed && round < o->split_rounds; round++) {
        mean[0] = mean[1] = weight[0] = weight[1] = 0.0f;
        for (uint32_t k = 0; k < n; k++) {
            const uint32_t i = member[k];
            mean[s->part[k]] += (s->z[i] - center) * s->w[i];
            weight[s->part[k]] += s->w[i];
        }
        if (!(weight[0] > 0.0f) || !(weight[1] > 0.0f)) return 0;
        mean[0] /= weight[0];
        mean[1] /= weight[1];
        changed = upper = 0;
        for (uint32_t k = 0; k < n; k++) {
            const float z = s->z[member[k]] - center;
            const int32_t part = !(fabsf(z - mean[0]) < fabsf(z - mean[1]));
            changed |= part != s->part[k];
            s->part[k] = part;
            upper += (uint32_t)part;
        }
    }
    const float distance = mean[0] - mean[1];
    if (upper == 0 || upper == n) return 0;
    return distance * distance >= o->split_distance2 * (1.0f / weight[0] + 1.0f / weight[1]);
}

/* Step 6. Returns the vertices there are now. */
STOA_DEVICE uint32_t find_split(const find_space *s, const reco_vertex_find *args, uint32_t rows, uint32_t vertices)
{
    const reco_vertex_options *o = &args->options;
    const int32_t *ndof = args->tracks.ndof;
    const uint32_t limit = find_limit(args), found = vertices;
    int listed = 0;
    for (uint32_t v = 0; v < found && vertices < limit; v++) {
        if (ndof[v] < 4 || (uint32_t)ndof[v] >= o->split_ndof_end) continue;
        if (!(args->vertices.chi2[v] >= o->split_chi2 * (float)ndof[v])) continue;
        if (!listed) find_members(s, ndof, rows, found);
        listed = 1;
        const uint32_t *member = s->member + s->first[v], n = s->first[v + 1] - s->first[v];
        if (!find_two_means(s, member, n, args->vertices.zv[v], o)) continue;
        for (uint32_t k = 0; k < n; k++)
            if (s->part[k]) s->vertex[member[k]] = (int32_t)vertices;
        vertices++;
    }
    return vertices;
}

/* Serial. A GPU needs the cooperative form: one block an event, step by step over the same arrays; steps 1 to
 * 4 are independent for each track, the fits are atomic adds and each split is a warp's. */
STOA_KERNEL_BLOCK(reco_vertices_search, reco_vertex_find)
{
    if (grid.index != 0) return;
    const reco_vertex_input *in = &args->in;
    const find_space s = find_layout(args->workspace, in->capacity);
    const uint32_t rows = *s.count;
    for (uint32_t i = 0; i < rows; i++) {
        s.z[i] = s.key[s.order[i]];
        s.e[i] = in->z_error2[s.source[s.order[i]]];
    }
    for (uint32_t i = 0; i < rows; i++) s.w[i] = 1.0f / s.e[i];
    find_neighbours(&s, rows, &args->options);
    find_above(&s, rows, &args->options);
    uint32_t vertices = find_tops(&s, args, rows);
    find_fit(&s, args, rows, vertices, args->options.fit_chi2_max);
    if (args->options.split) {
        vertices = find_split(&s, args, rows, vertices);
        find_fit(&s, args, rows, vertices, FIND_REFIT_CHI2_MAX);
    }
    find_output(&s, args, rows, vertices);
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
size_t reco_vertices_workspace_bytes(uint32_t capacity) { return (FIND_PAD + FIND_ARRAYS * find_stride(capacity)) * sizeof(uint32_t); }

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
    const stoa_compact compact = {args->mask, (const uint32_t *)args->tracks.nTracks, rows, args->out.row, args->out.count};
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
    if ((uintptr_t)args->workspace % 64 != 0) return STOA_FAIL(err, STOA_EALIGN, "vertices: workspace not aligned to 64");
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
