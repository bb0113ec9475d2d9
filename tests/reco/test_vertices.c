/* SPDX-License-Identifier: Apache-2.0 */
/* The density vertex finder against a brute-force form of its definition (reco/vertexing/density.h), edge
 * cases, and ATLAS open data. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/device_under_test.h"
#include "generate/random.h"
#include "reco/kernels.h"
#include "reco/vertexing/density.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRACKS_MAX = 4096, VERTICES_MAX = 1024 };

typedef struct event {
    float z[TRACKS_MAX], e[TRACKS_MAX], pt2[TRACKS_MAX];
    uint32_t count;
} event;

typedef struct result {
    float zv[VERTICES_MAX], wv[VERTICES_MAX], chi2[VERTICES_MAX], ptv2[VERTICES_MAX];
    uint16_t order[VERTICES_MAX];
    int16_t idv[TRACKS_MAX];
    int32_t ndof[TRACKS_MAX];
    uint32_t vertices, tops;
} result;

typedef struct fixture {
    device_fixture on;
    event in;
    result got;
    uint32_t row[TRACKS_MAX];
    int32_t track_count;
} fixture;

static reco_random numbers; /* of each test anew, by its seed */
static double uniform(void) { return reco_random_uniform(&numbers); }
static double normal(void) { return reco_random_normal(&numbers); }

static int set_up(void **state)
{
    numbers = reco_random_stream(20260401, 0);
    *state = open_fixture(sizeof(fixture), reco_vertices_workspace_bytes(TRACKS_MAX));
    return *state ? 0 : -1;
}

static reco_vertex_find make_find(fixture *f, const reco_vertex_options *options, uint32_t vertices_max)
{
    reco_vertex_find find;
    result *r = &f->got;
    memset(&find, 0, sizeof find);
    find.in = (reco_vertex_input){f->in.z, f->in.e, f->in.pt2, NULL, &f->in.count, TRACKS_MAX};
    find.options = *options;
    find.vertices.head.rows = vertices_max;
    find.vertices.zv = r->zv;
    find.vertices.wv = r->wv;
    find.vertices.chi2 = r->chi2;
    find.vertices.ptv2 = r->ptv2;
    find.vertices.sortInd = r->order;
    find.vertices.nvFinal = &r->vertices;
    find.tracks.head.rows = TRACKS_MAX;
    find.tracks.idv = r->idv;
    find.tracks.ndof = r->ndof;
    find.top_count = &r->tops;
    find.workspace = stoa_buffer_data(f->on.workspace);
    find.workspace_bytes = reco_vertices_workspace_bytes(TRACKS_MAX);
    return find;
}

static void run(fixture *f, const reco_vertex_options *options, uint32_t vertices_max)
{
    const reco_vertex_find find = make_find(f, options, vertices_max);
    memset(&f->got, 0x5A, sizeof f->got);
    assert_int_equal(reco_vertices_find(f->on.queue, &find, NULL), STOA_OK);
}

/* The brute-force form. Compatibility in float as defined, sums in double. */
typedef struct reference {
    int usable[TRACKS_MAX], nn[TRACKS_MAX], parent[TRACKS_MAX], id[TRACKS_MAX];
    double z[VERTICES_MAX], w[VERTICES_MAX], sum_w[VERTICES_MAX], chi2[VERTICES_MAX];
    int ndof[VERTICES_MAX];
    int vertices;
} reference;

static int compatible(const event *in, uint32_t i, uint32_t j, const reco_vertex_options *o)
{
    const float d = fabsf(in->z[i] - in->z[j]), square = d * d, sum = in->e[i] + in->e[j];
    return d <= o->eps && square <= o->chi2_max * sum;
}

static int before(const event *in, uint32_t i, uint32_t j) /* in (z, input) order, -0 before +0 */
{
    if (in->z[i] != in->z[j]) return in->z[i] < in->z[j];
    const int minus_i = signbit(in->z[i]) != 0, minus_j = signbit(in->z[j]) != 0;
    return minus_i != minus_j ? minus_i : i < j;
}

static void reference_climb(const event *in, const reco_vertex_options *o, reference *r)
{
    for (uint32_t i = 0; i < in->count; i++) {
        r->usable[i] = isfinite(in->z[i]) && isfinite(in->e[i]) && in->e[i] > 1e-30f;
        r->nn[i] = 0;
    }
    for (uint32_t i = 0; i < in->count; i++)
        for (uint32_t j = 0; j < in->count && r->usable[i] && in->e[i] <= o->error_max * o->error_max; j++)
            r->nn[i] += j != i && r->usable[j] && compatible(in, i, j, o);
    for (uint32_t i = 0; i < in->count; i++) {
        r->parent[i] = (int)i;
        float closest = o->eps;
        for (uint32_t j = 0; j < in->count && r->usable[i]; j++) {
            if (!r->usable[j] || j == i || !compatible(in, i, j, o)) continue;
            if (r->nn[j] < r->nn[i] || (r->nn[j] == r->nn[i] && before(in, i, j))) continue;
            const float d = fabsf(in->z[i] - in->z[j]);
            const int first = r->parent[i] == (int)i;
            if (d > closest || (!first && d == closest && before(in, j, (uint32_t)r->parent[i]))) continue;
            closest = d;
            r->parent[i] = (int)j;
        }
    }
}

static void reference_tops(const event *in, const reco_vertex_options *o, reference *r)
{
    r->vertices = 0;
    int number[TRACKS_MAX];
    for (uint32_t i = 0; i < in->count; i++) {
        const int is_vertex = r->usable[i] && r->parent[i] == (int)i && r->nn[i] >= (int)o->neighbours_min;
        number[i] = is_vertex ? r->vertices++ : -1;
    }
    for (uint32_t i = 0; i < in->count; i++) {
        int top = (int)i;
        while (r->parent[top] != top) top = r->parent[top];
        r->id[i] = number[top];
    }
}

static void reference_fit(const event *in, reference *r, double chi2_max)
{
    for (int v = 0; v < r->vertices; v++) {
        double sum = 0, weight = 0, chi2 = 0;
        int n = 0;
        for (uint32_t i = 0; i < in->count; i++)
            if (r->id[i] == v) {
                sum += (double)in->z[i] / (double)in->e[i];
                weight += 1.0 / (double)in->e[i];
            }
        r->z[v] = weight > 0 ? sum / weight : 0.0;
        for (uint32_t i = 0; i < in->count; i++) {
            if (r->id[i] != v) continue;
            const double c = ((double)in->z[i] - r->z[v]) * ((double)in->z[i] - r->z[v]) / (double)in->e[i];
            if (c > chi2_max) {
                r->id[i] = -1;
                continue;
            }
            chi2 += c;
            n++;
        }
        r->ndof[v] = n - 1;
        r->chi2[v] = chi2;
        r->sum_w[v] = weight;
        r->w[v] = n > 1 && chi2 > 0 ? weight * (n - 1) / chi2 : weight;
    }
}

static int reference_split_one(const event *in, const reco_vertex_options *o, const reference *r, int v, int *part)
{
    double mean[2] = {0, 0}, weight[2] = {0, 0};
    int size[2] = {0, 0}, changed = 1;
    for (uint32_t i = 0; i < in->count; i++) part[i] = (double)in->z[i] - r->z[v] >= 0.0;
    for (uint32_t round = 0; changed && round < o->split_rounds; round++) {
        mean[0] = mean[1] = weight[0] = weight[1] = 0;
        for (uint32_t i = 0; i < in->count; i++)
            if (r->id[i] == v) {
                mean[part[i]] += ((double)in->z[i] - r->z[v]) / (double)in->e[i];
                weight[part[i]] += 1.0 / (double)in->e[i];
            }
        if (weight[0] == 0 || weight[1] == 0) return 0;
        for (int p = 0; p < 2; p++) mean[p] = mean[p] / weight[p] + r->z[v];
        changed = size[0] = size[1] = 0;
        for (uint32_t i = 0; i < in->count; i++) {
            if (r->id[i] != v) continue;
            const int p = !(fabs((double)in->z[i] - mean[0]) < fabs((double)in->z[i] - mean[1]));
            changed |= p != part[i];
            part[i] = p;
            size[p]++;
        }
    }
    const double d = mean[0] - mean[1];
    return size[0] && size[1] && d * d >= (double)o->split_distance2 * (1 / weight[0] + 1 / weight[1]);
}

static void reference_find(const event *in, const reco_vertex_options *o, reference *r)
{
    static int part[TRACKS_MAX];
    reference_climb(in, o, r);
    reference_tops(in, o, r);
    reference_fit(in, r, (double)o->fit_chi2_max);
    const int found = r->vertices;
    for (int v = 0; o->split && v < found; v++) {
        if (r->ndof[v] < 4 || r->ndof[v] >= (int)o->split_ndof_end) continue;
        if (r->chi2[v] < (double)o->split_chi2 * r->ndof[v]) continue;
        if (!reference_split_one(in, o, r, v, part)) continue;
        for (uint32_t i = 0; i < in->count; i++)
            if (r->id[i] == v && part[i]) r->id[i] = r->vertices;
        r->vertices++;
    }
    if (o->split) reference_fit(in, r, 5000.0);
}

static void assert_close(double got, double expected, double rtol, double atol, const char *what, int event_number, int v)
{
    if (fabs(got - expected) <= atol + rtol * fabs(expected)) return;
    fail_msg("event %d, vertex %d: %s is %.9g, expected %.9g (rtol %g, atol %g)", event_number, v, what, got, expected, rtol, atol);
}

static void compare(const fixture *f, const reference *r, int number)
{
    const result *g = &f->got;
    assert_int_equal(g->vertices, r->vertices);
    for (uint32_t i = 0; i < f->in.count; i++)
        if (g->idv[i] != r->id[i]) fail_msg("event %d, track %u: vertex %d, expected %d", number, i, g->idv[i], r->id[i]);
    for (int v = 0; v < r->vertices; v++) {
        double ptv2 = 0;
        for (uint32_t i = 0; i < f->in.count; i++) ptv2 += r->id[i] == v ? (double)f->in.pt2[i] : 0.0;
        assert_int_equal(g->ndof[v], r->ndof[v]);
        assert_close((double)g->zv[v], r->z[v], 0, 1e-5, "zv", number, v);
        assert_close((double)g->chi2[v], r->chi2[v], 2e-3, 2e-3, "chi2", number, v);
        assert_close((double)g->ptv2[v], ptv2, 1e-5, 0, "ptv2", number, v);
        /* The weight divides by chi2: where that is next to nothing its relative error has no bound. */
        if (r->chi2[v] > 0.1) assert_close((double)g->wv[v], r->w[v], 2e-2, 0, "wv", number, v);
        if (r->ndof[v] == 0) assert_close((double)g->wv[v], r->sum_w[v], 1e-5, 0, "wv", number, v);
        if (v > 0) assert_true(g->ptv2[g->order[v - 1]] <= g->ptv2[g->order[v]]);
    }
}

/* Patatrack's generator; `step` > 0 puts all tracks on a grid, so that distances and heights tie. */
static void generate(event *in, double vertices_mean, double step)
{
    in->count = 0;
    const int vertices = (int)reco_random_poisson(&numbers, vertices_mean);
    for (int v = 0; v <= vertices; v++) {
        const int noise = v == vertices, tracks = (int)reco_random_poisson(&numbers, noise ? 20 : 10);
        const double center = 3.5 * normal();
        for (int t = 0; t < tracks && in->count < TRACKS_MAX; t++) {
            const double error = noise ? 0.03 : 0.005 + 0.02 * uniform();
            const double z = noise ? 30.0 * (uniform() - 0.5) : center + error * normal();
            in->z[in->count] = (float)(step > 0 ? step * floor(z / step) : z);
            in->e[in->count] = (float)(error * error);
            in->pt2[in->count++] = (float)pow(0.5 - log(uniform() + 1e-9), 2.0);
        }
    }
    for (uint32_t i = in->count; i-- > 1;) { /* no order of the input must help */
        const uint32_t j = (uint32_t)(uniform() * (i + 1));
        float *const columns[3] = {in->z, in->e, in->pt2};
        for (int c = 0; c < 3; c++) {
            const float swap = columns[c][i];
            columns[c][i] = columns[c][j];
            columns[c][j] = swap;
        }
    }
}

static void test_against_definition(void **state)
{
    fixture *f = *state;
    static reference r;
    static const double means[] = {1, 5, 30, 50, 70};
    int splits = 0;
    for (int n = 0, events = device_is_host() ? 1000 : 120; n < events; n++) {
        reco_vertex_options o = RECO_VERTEX_OPTIONS_INIT;
        if (n % 2) {
            o.eps = 0.1f;
            o.error_max = 0.02f;
        }
        /* eps is a multiple of the grid, so that distances of just eps occur; nearly everything is split. */
        if (n % 7 == 6) o = (reco_vertex_options){1, 0.0625f, 0.05f, 4.0f, 20.0f, 1, 0.5f, 1.0f, 5, 512};
        o.split = n % 11 != 10;
        generate(&f->in, n % 60 == 59 ? 200 : means[n % 5], n % 3 == 2 ? 0.0078125 : 0.0);
        run(f, &o, VERTICES_MAX);
        reference_find(&f->in, &o, &r);
        compare(f, &r, n);
        splits += (int)(f->got.vertices - f->got.tops);
    }
    assert_true(splits > 80); /* else the split was not tested */
}

static void test_few_tracks(void **state)
{
    fixture *f = *state;
    const reco_vertex_options o = RECO_VERTEX_OPTIONS_INIT;
    f->in.count = 0;
    run(f, &o, VERTICES_MAX);
    assert_int_equal(f->got.vertices, 0);
    f->in = (event){.z = {1.0f, 1.001f, 1.002f}, .e = {25e-6f, 25e-6f, 25e-6f}, .pt2 = {1.0f, 4.0f, 9.0f}, .count = 1};
    run(f, &o, VERTICES_MAX);
    assert_int_equal(f->got.vertices, 0);
    assert_int_equal(f->got.idv[0], -1);
    f->in.count = 2;
    run(f, &o, VERTICES_MAX);
    assert_int_equal(f->got.vertices, 0); /* one neighbour, two are needed */
    f->in.count = 3;
    run(f, &o, VERTICES_MAX);
    assert_int_equal(f->got.vertices, 1);
    assert_int_equal(f->got.ndof[0], 2);
    assert_float_equal(f->got.zv[0], 1.001f, 1e-6f);
    assert_float_equal(f->got.ptv2[0], 14.0f, 1e-6f);
    assert_float_equal(f->got.chi2[0], 0.08f, 1e-4f); /* 2 * 0.001^2 / 25e-6 */
    assert_float_equal(f->got.wv[0] / (3.0f / 25e-6f * 2.0f / 0.08f), 1.0f, 1e-2f);
}

static void test_all_at_one_place(void **state)
{
    fixture *f = *state;
    const reco_vertex_options o = RECO_VERTEX_OPTIONS_INIT;
    f->in.count = TRACKS_MAX;
    for (uint32_t i = 0; i < TRACKS_MAX; i++) {
        f->in.z[i] = i % 2 ? 0.0f : -0.0f;
        f->in.e[i] = 1e-4f;
        f->in.pt2[i] = 1.0f;
    }
    run(f, &o, VERTICES_MAX);
    assert_int_equal(f->got.vertices, 1);
    assert_int_equal(f->got.ndof[0], TRACKS_MAX - 1);
    assert_float_equal(f->got.zv[0], 0.0f, 0.0f);
    assert_float_equal(f->got.wv[0] / (TRACKS_MAX / 1e-4f), 1.0f, 1e-3f); /* chi2 0: not scaled */
}

static void test_long_chain(void **state)
{
    fixture *f = *state;
    reco_vertex_options o = RECO_VERTEX_OPTIONS_INIT;
    o.fit_chi2_max = INFINITY;
    f->in.count = TRACKS_MAX;
    for (uint32_t i = 0; i < TRACKS_MAX; i++) { /* a comb: everyone's parent is the tooth below */
        f->in.z[i] = (float)i * 0.0078125f;
        f->in.e[i] = 1e-4f;
        f->in.pt2[i] = 1.0f;
    }
    static reference r;
    reference_find(&f->in, &o, &r);
    run(f, &o, VERTICES_MAX);
    assert_int_equal(f->got.vertices, r.vertices);
    for (uint32_t i = 0; i < TRACKS_MAX; i++) assert_int_equal(f->got.idv[i], r.id[i]);
}

static void test_absurd_values(void **state)
{
    fixture *f = *state;
    static const float absurd[] = {NAN, INFINITY, -INFINITY, 1e38f, -1e38f, 0.0f, -1.0f, 1e-45f};
    const reco_vertex_options o = RECO_VERTEX_OPTIONS_INIT;
    generate(&f->in, 10, 0.0);
    while (f->in.count < 60) generate(&f->in, 10, 0.0);
    for (uint32_t i = 0; i < 8; i++) {
        f->in.z[5 * i] = absurd[i];
        f->in.e[5 * i + 1] = absurd[i];
        f->in.pt2[5 * i + 2] = absurd[i];
    }
    run(f, &o, VERTICES_MAX);
    for (uint32_t i = 0; i < 3; i++) assert_int_equal(f->got.idv[5 * i], -1);
    static const uint32_t bad_errors[] = {0, 1, 2, 5, 6, 7};
    for (uint32_t i = 0; i < 6; i++) assert_int_equal(f->got.idv[5 * bad_errors[i] + 1], -1);
    for (uint32_t v = 0; v < f->got.vertices; v++) assert_true(isfinite(f->got.zv[v]));
    for (uint32_t i = 0; i < f->in.count; i++) f->in.z[i] = NAN;
    run(f, &o, VERTICES_MAX);
    assert_int_equal(f->got.vertices, 0);
    for (uint32_t i = 0; i < f->in.count; i++) assert_int_equal(f->got.idv[i], -1);
}

static void test_no_room_for_all(void **state)
{
    fixture *f = *state;
    const reco_vertex_options o = RECO_VERTEX_OPTIONS_INIT;
    generate(&f->in, 50, 0.0);
    run(f, &o, VERTICES_MAX);
    const result all = f->got;
    assert_true(all.tops > 6);
    run(f, &o, 5);
    assert_int_equal(f->got.vertices, 5);
    assert_int_equal(f->got.tops, all.tops);
    for (uint32_t i = 0; i < f->in.count; i++)
        if (all.idv[i] < (int)all.tops) assert_int_equal(f->got.idv[i], all.idv[i] < 5 ? all.idv[i] : -1);
    run(f, &o, 0);
    assert_int_equal(f->got.vertices, 0);
}

typedef struct load_columns {
    uint8_t quality[8], mask[8];
    int8_t layers[8];
    float pt[8], state[5 * 8], covariance[15 * 8], z[8], e[8], pt2[8];
    uint32_t row[8], loaded;
    int32_t count;
} load_columns;

static void test_load(void **state)
{
    fixture *f = *state;
    stoa_buffer *buffer = make_shared(f->on.queue, sizeof(load_columns));
    load_columns *c = stoa_buffer_data(buffer);
    *c = (load_columns){
        .quality = {6, 5, 6, 6, 6, 6, 6, 6}, .layers = {4, 4, 3, 4, 4, 5, 4, 4}, .pt = {1, 1, 1, 0.4f, NAN, 100, 0.5f, 2}, .count = 7};
    for (int i = 0; i < 8; i++) {
        c->state[4 * 8 + i] = (float)i;
        c->covariance[14 * 8 + i] = 0.1f * (float)i;
    }
    reco_vertex_load load = {.cuts = RECO_VERTEX_CUTS_INIT, .out = {c->z, c->e, c->pt2, c->row, &c->loaded, 8}, .mask = c->mask};
    load.tracks.head.rows = 8;
    load.tracks.quality = c->quality;
    load.tracks.nLayers = c->layers;
    load.tracks.pt = c->pt;
    load.tracks.state.data = c->state;
    load.tracks.state.stride = 8;
    load.tracks.covariance.data = c->covariance;
    load.tracks.covariance.stride = 8;
    load.tracks.nTracks = &c->count;
    assert_int_equal(reco_vertices_load(f->on.queue, &load, NULL), STOA_OK);
    assert_int_equal(c->loaded, 3);
    static const uint32_t expected[] = {0, 5, 6};
    assert_memory_equal(c->row, expected, sizeof expected);
    assert_float_equal(c->z[1], 5.0f, 0.0f);
    assert_float_equal(c->e[2], 0.6f, 1e-7f);
    assert_float_equal(c->pt2[1], 75.0f * 75.0f, 0.0f);
    assert_float_equal(c->pt2[2], 0.25f, 0.0f);
    c->count = -3;
    assert_int_equal(reco_vertices_load(f->on.queue, &load, NULL), STOA_OK);
    assert_int_equal(c->loaded, 0);
    load.out.capacity = 7;
    assert_int_equal(reco_vertices_load(f->on.queue, &load, NULL), STOA_ESHAPE);
    stoa_buffer_release(buffer);
}

/* With `row`, idv is that of the original tracks, and those left out have -1. */
static void test_rows_of_the_original(void **state)
{
    fixture *f = *state;
    const reco_vertex_options o = RECO_VERTEX_OPTIONS_INIT;
    generate(&f->in, 30, 0.0);
    run(f, &o, VERTICES_MAX);
    const result plain = f->got;
    reco_vertex_find find = make_find(f, &o, VERTICES_MAX);
    for (uint32_t i = 0; i < f->in.count; i++) f->row[i] = 2 * i + 1;
    const int32_t tracks = f->track_count = (int32_t)(2 * f->in.count + 1);
    find.in.row = f->row;
    find.track_count = &f->track_count;
    memset(&f->got, 0x5A, sizeof f->got);
    assert_int_equal(reco_vertices_find(f->on.queue, &find, NULL), STOA_OK);
    for (uint32_t i = 0; i < f->in.count; i++) {
        assert_int_equal(f->got.idv[2 * i], -1);
        assert_int_equal(f->got.idv[2 * i + 1], plain.idv[i]);
    }
    assert_int_equal(f->got.idv[tracks - 1], -1);
    assert_int_equal(f->got.idv[tracks], 0x5A5A);
}

static void test_errors(void **state)
{
    fixture *f = *state;
    const reco_vertex_options o = RECO_VERTEX_OPTIONS_INIT;
    stoa_error err;
    reco_vertex_find find = make_find(f, &o, VERTICES_MAX);
    find.workspace_bytes--;
    assert_int_equal(reco_vertices_find(f->on.queue, &find, &err), STOA_ESHAPE);
    find = make_find(f, &o, VERTICES_MAX);
    find.workspace = (char *)find.workspace + 4;
    assert_int_equal(reco_vertices_find(f->on.queue, &find, &err), STOA_EALIGN);
    assert_non_null(strstr(err.message, "at 0x"));
    find = make_find(f, &o, VERTICES_MAX);
    find.options.eps = NAN;
    assert_int_equal(reco_vertices_find(f->on.queue, &find, &err), STOA_EINVAL);
    assert_non_null(strstr(err.message, "eps"));
    find = make_find(f, &o, VERTICES_MAX);
    find.tracks.head.rows = 5;
    assert_int_equal(reco_vertices_find(f->on.queue, &find, &err), STOA_ESHAPE);
    find = make_find(f, &o, VERTICES_MAX);
    find.in.z = NULL;
    assert_int_equal(reco_vertices_find(f->on.queue, &find, &err), STOA_EINVAL);
}

/* Truth of the events: z of the vertex of type 1, in cm. */
static int read_primaries(const char *path, double *z)
{
    FILE *file = fopen(path, "r");
    if (!file) return -1;
    char line[4096];
    int number, type;
    double position;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "%d,%*d,%*f,%*f,%lf,%d", &number, &position, &type) == 3 && type == 1 && number >= 0 && number < 100)
            z[number] = 0.1 * position;
    fclose(file);
    return 0;
}

/* All tracks of pt >= 0.5 GeV: no cut on quality, hits or d0. mm and 1/MeV in the file. */
static int read_tracks(const char *path, event *events)
{
    FILE *file = fopen(path, "r");
    if (!file) return -1;
    char line[4096];
    while (fgets(line, sizeof line, file)) {
        int number;
        double z0, vz, theta, qp, variance;
        if (sscanf(line, "%d,%*f,%lf,%lf,%*f,%lf,%lf,%*f,%*f,%*f,%*f,%*f,%*f,%*f,%*f,%*f,%*f,%lf", &number, &z0, &vz, &theta, &qp,
                   &variance) != 6 ||
            number < 0 || number >= 100)
            continue;
        event *in = &events[number];
        const double pt = 1e-3 * sin(theta) / fabs(qp);
        if (!(pt >= 0.5) || in->count == TRACKS_MAX) continue;
        in->z[in->count] = (float)(0.1 * (z0 + vz));
        in->e[in->count] = (float)(0.01 * variance);
        in->pt2[in->count++] = (float)(pt * pt);
    }
    fclose(file);
    return 0;
}

static void test_primary_vertex_of_real_events(void **state)
{
    fixture *f = *state;
    const char *data = getenv("STOA_DATA");
    char tracks_path[1024], vertices_path[1024];
    double truth[100];
    event *events = calloc(100, sizeof *events);
    assert_non_null(events);
    snprintf(tracks_path, sizeof tracks_path, "%s/tracks/physlite_tracks.csv", data ? data : STOA_SOURCE_DIR "/../shared/data");
    snprintf(vertices_path, sizeof vertices_path, "%s/tracks/physlite_vertices.csv", data ? data : STOA_SOURCE_DIR "/../shared/data");
    for (int i = 0; i < 100; i++) truth[i] = HUGE_VAL;
    if (read_tracks(tracks_path, events) || read_primaries(vertices_path, truth)) {
        print_message("skipped: %s cannot be read; STOA_DATA names the folder\n", tracks_path);
        free(events);
        skip();
    }
    reco_vertex_options o = RECO_VERTEX_OPTIONS_INIT;
    o.eps = 0.1f;
    o.error_max = 0.05f;
    int usable = 0, found = 0, hardest = 0;
    for (int n = 0; n < 100; n++) {
        if (events[n].count < 3) continue;
        f->in = events[n];
        run(f, &o, VERTICES_MAX);
        int near = 0;
        for (uint32_t v = 0; v < f->got.vertices; v++) near |= fabs((double)f->got.zv[v] - truth[n]) < 0.1;
        usable++;
        found += near;
        const uint32_t vertices = f->got.vertices;
        hardest += vertices > 0 && fabs((double)f->got.zv[f->got.order[vertices - 1]] - truth[n]) < 0.1;
    }
    print_message("primary vertex within 1 mm: %d of %d events, as the hardest one in %d\n", found, usable, hardest);
    free(events);
    assert_int_equal(usable, 86);
    assert_true(found >= 78);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_against_definition, set_up, close_fixture),
        cmocka_unit_test_setup_teardown(test_few_tracks, set_up, close_fixture),
        cmocka_unit_test_setup_teardown(test_all_at_one_place, set_up, close_fixture),
        cmocka_unit_test_setup_teardown(test_long_chain, set_up, close_fixture),
        cmocka_unit_test_setup_teardown(test_absurd_values, set_up, close_fixture),
        cmocka_unit_test_setup_teardown(test_no_room_for_all, set_up, close_fixture),
        cmocka_unit_test_setup_teardown(test_load, set_up, close_fixture),
        cmocka_unit_test_setup_teardown(test_rows_of_the_original, set_up, close_fixture),
        cmocka_unit_test_setup_teardown(test_errors, set_up, close_fixture),
        cmocka_unit_test_setup_teardown(test_primary_vertex_of_real_events, set_up, close_fixture),
    };
    require_device();
    if (reco_kernels_register(NULL) != STOA_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
