/* SPDX-License-Identifier: Apache-2.0 */
/* The track selection (reco/tracks/selection.h) against values written down by hand. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "reco/tracks/selection.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 6, STRIDE = 32, SLOTS = 4 };

/* Two collections of tracks and one of features in plain arrays. Component c of row i is 100 c + i in the
 * state and one more in the covariance. */
typedef struct track_memory {
    uint8_t quality[ROWS];
    float chi2[ROWS], eta[ROWS], pt[ROWS], state[5 * STRIDE], covariance[15 * STRIDE];
    int8_t layers[ROWS];
    uint32_t offsets[ROWS];
    int32_t count;
} track_memory;

typedef struct fixture {
    stoa_device *device;
    stoa_queue *queue;
    track_memory in, out;
    float features[18][SLOTS];
    uint8_t mask[ROWS];
    uint32_t index[ROWS], slot[ROWS], kept[ROWS], count, kept_count;
} fixture;

static int set_up(void **state)
{
    static const uint8_t quality[ROWS] = {5, 2, 6, 5, 4, 6};
    static const uint32_t offsets[ROWS] = {4, 9, 12, 12, 20, 27};
    fixture *f = calloc(1, sizeof *f);
    stoa_error err;
    if (!f || stoa_device_open("host", &f->device, &err) != STOA_OK) return -1;
    if (stoa_queue_create(f->device, STOA_QUEUE_BLOCKING, &f->queue, &err) != STOA_OK) return -1;
    track_memory *t = &f->in;
    memcpy(t->quality, quality, sizeof quality);
    memcpy(t->offsets, offsets, sizeof offsets);
    t->count = ROWS;
    for (int i = 0; i < ROWS; i++) {
        t->chi2[i] = 0.5f + (float)i;
        t->eta[i] = -1.0f + (float)i;
        t->pt[i] = 10.0f + (float)i;
        t->layers[i] = (int8_t)(3 + i);
        for (int c = 0; c < 5; c++) t->state[c * STRIDE + i] = (float)(100 * c + i);
        for (int c = 0; c < 15; c++) t->covariance[c * STRIDE + i] = (float)(100 * c + i + 1);
    }
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    stoa_queue_destroy(f->queue);
    stoa_device_close(f->device);
    free(f);
    return 0;
}

static tracks_soa_const view_const(const track_memory *t)
{
    tracks_soa_const v;
    memset(&v, 0, sizeof v);
    v.head.rows = ROWS;
    v.quality = t->quality;
    v.chi2 = t->chi2;
    v.nLayers = t->layers;
    v.eta = t->eta;
    v.pt = t->pt;
    v.state.data = t->state;
    v.covariance.data = t->covariance;
    v.state.stride = v.covariance.stride = STRIDE;
    v.hitOffsets = t->offsets;
    v.nTracks = &t->count;
    return v;
}

static tracks_soa view(track_memory *t)
{
    tracks_soa v;
    memset(&v, 0, sizeof v);
    v.head.rows = ROWS;
    v.quality = t->quality;
    v.chi2 = t->chi2;
    v.nLayers = t->layers;
    v.eta = t->eta;
    v.pt = t->pt;
    v.state.data = t->state;
    v.covariance.data = t->covariance;
    v.state.stride = v.covariance.stride = STRIDE;
    v.hitOffsets = t->offsets;
    v.nTracks = &t->count;
    return v;
}

/* The columns in the order of the layout's own table, so that this test fails when the table changes. */
static track_features_soa feature_view(fixture *f)
{
    track_features_soa v;
    memset(&v, 0, sizeof v);
    v.head.rows = SLOTS;
    assert_int_equal(track_features_soa_layout.column_count, 18);
    for (uint32_t c = 0; c < 18; c++) {
        float *column = f->features[c];
        memcpy((char *)&v + track_features_soa_columns[c].member_offset, &column, sizeof column);
    }
    return v;
}

static void preselect(fixture *f, uint32_t min_quality, int32_t min_hits)
{
    const reco_preselection args = {view_const(&f->in), min_quality, min_hits, f->mask, f->index, &f->count, NULL};
    assert_int_equal(reco_tracks_preselect(f->queue, &args, NULL), STOA_OK);
}

static void test_preselect(void **state)
{
    fixture *f = *state;
    static const uint32_t tight[] = {0, 2, 3, 5}, four_hits[] = {0, 5};
    preselect(f, RECO_QUALITY_TIGHT, 0);
    assert_int_equal(f->count, 4);
    assert_memory_equal(f->index, tight, sizeof tight);
    preselect(f, RECO_QUALITY_TIGHT, 4); /* hits: 4 5 3 0 8 7 */
    assert_int_equal(f->count, 2);
    assert_memory_equal(f->index, four_hits, sizeof four_hits);
    f->in.count = 3;
    preselect(f, RECO_QUALITY_BAD, 0);
    assert_int_equal(f->count, 3);
    f->in.count = 1000; /* clipped to the rows */
    preselect(f, RECO_QUALITY_BAD, -1);
    assert_int_equal(f->count, ROWS);
    f->in.count = 0;
    preselect(f, RECO_QUALITY_BAD, 0);
    assert_int_equal(f->count, 0);
    f->in.count = -1;
    preselect(f, RECO_QUALITY_BAD, 0);
    assert_int_equal(f->count, 0);
}

/* The 17 inputs of track `row`, in the model's order. */
static void expected_features(int row, float *x)
{
    static const float hits[ROWS] = {4, 5, 3, 0, 8, 7};
    const float i = (float)row, j = i + 1.0f;
    const float values[17] = {0.5f + i,        sqrtf(1400 + j), sqrtf(500 + j), -1.0f + i, hits[row], i,
                              sqrtf(j),        10.0f + i,       sqrtf(900 + j), 400 + i,   100 + i,   3 + i,
                              sqrtf(1200 + j), 1300 + j,        600 + j,        100 + j,   200 + j};
    memcpy(x, values, sizeof values);
}

static void test_features(void **state)
{
    fixture *f = *state;
    for (uint32_t zero = 0; zero <= 1; zero++) {
        f->in.quality[5] = RECO_QUALITY_BAD; /* three are left, for four slots */
        preselect(f, RECO_QUALITY_TIGHT, 0);
        memset(f->features, 0x5A, sizeof f->features);
        float untouched;
        memcpy(&untouched, &f->features[17][0], sizeof untouched);
        const reco_features args = {view_const(&f->in), f->index, &f->count, feature_view(f), zero};
        assert_int_equal(reco_tracks_features(f->queue, &args, NULL), STOA_OK);
        static const int rows[] = {0, 2, 3};
        for (int r = 0; r < 3; r++) {
            float x[17];
            expected_features(rows[r], x);
            for (int c = 0; c < 17; c++) assert_float_equal(f->features[c][r], x[c], 1e-6f * fabsf(x[c]));
        }
        const float behind = zero ? 0.0f : untouched;
        for (int c = 0; c < 17; c++) assert_float_equal(f->features[c][3], behind, 0.0f);
        for (int r = 0; r < SLOTS; r++) assert_float_equal(f->features[17][r], untouched, 0.0f);
    }
}

static void test_more_tracks_than_slots(void **state)
{
    fixture *f = *state;
    preselect(f, RECO_QUALITY_BAD, 0);
    assert_int_equal(f->count, ROWS);
    f->in.covariance[14 * STRIDE] = -1.0f; /* the root of a negative variance is NaN */
    const reco_features args = {view_const(&f->in), f->index, &f->count, feature_view(f), 1};
    assert_int_equal(reco_tracks_features(f->queue, &args, NULL), STOA_OK);
    assert_true(isnan(f->features[1][0]));
    assert_float_equal(f->features[7][3], 13.0f, 0.0f);
}

static void test_select_and_gather(void **state)
{
    fixture *f = *state;
    preselect(f, RECO_QUALITY_TIGHT, 0); /* rows 0 2 3 5 */
    static const float score[SLOTS] = {0.4f, 0.39f, NAN, 0.9f};
    memcpy(f->features[17], score, sizeof score);
    const reco_selection select = {feature_view(f), f->index, &f->count, 0.4f, f->mask, f->slot, f->kept, &f->kept_count, 0, 0, NULL};
    assert_int_equal(reco_tracks_select(f->queue, &select, NULL), STOA_OK);
    static const uint32_t slot[] = {0, 3}, kept[] = {0, 5};
    assert_int_equal(f->kept_count, 2);
    assert_memory_equal(f->slot, slot, sizeof slot);
    assert_memory_equal(f->kept, kept, sizeof kept);
    const reco_track_gather gather = {view_const(&f->in), f->kept, &f->kept_count, view(&f->out), NULL};
    assert_int_equal(reco_tracks_gather(f->queue, &gather, NULL), STOA_OK);
    const track_memory *in = &f->in, *out = &f->out;
    assert_int_equal(out->count, 2);
    assert_int_equal(out->offsets[0], 4);
    assert_int_equal(out->offsets[1], 11);
    for (int i = 0; i < 2; i++) {
        const uint32_t row = kept[i];
        assert_int_equal(out->quality[i], in->quality[row]);
        assert_int_equal(out->layers[i], in->layers[row]);
        assert_float_equal(out->chi2[i], in->chi2[row], 0.0f);
        assert_float_equal(out->eta[i], in->eta[row], 0.0f);
        assert_float_equal(out->pt[i], in->pt[row], 0.0f);
        for (int c = 0; c < 5; c++) assert_float_equal(out->state[c * STRIDE + i], in->state[c * STRIDE + (int)row], 0.0f);
        for (int c = 0; c < 15; c++) assert_float_equal(out->covariance[c * STRIDE + i], in->covariance[c * STRIDE + (int)row], 0.0f);
    }
    tracks_soa same = view(&f->in);
    const reco_track_gather overlap = {view_const(&f->in), f->kept, &f->kept_count, same, NULL};
    assert_int_equal(reco_tracks_gather(f->queue, &overlap, NULL), STOA_EOVERLAP);
}

/* From 0.9 at dxy 0 in a line to 0.5 at 0.2 cm and beyond. */
static void test_dxy_ramp(void **state)
{
    fixture *f = *state;
    static const float dxy[SLOTS] = {0.0f, -0.1f, 0.3f, 0.1f}, score[SLOTS] = {0.89f, 0.71f, 0.5f, 0.69f};
    preselect(f, RECO_QUALITY_TIGHT, 0); /* rows 0 2 3 5 */
    memcpy(f->features[17], score, sizeof score);
    memcpy(f->features[10], dxy, sizeof dxy);
    reco_selection select = {feature_view(f), f->index, &f->count, 0.5f, f->mask, f->slot, f->kept, &f->kept_count, 0.9f, 0.2f, NULL};
    assert_int_equal(reco_tracks_select(f->queue, &select, NULL), STOA_OK);
    static const uint32_t kept[] = {2, 3};
    assert_int_equal(f->kept_count, 2);
    assert_memory_equal(f->kept, kept, sizeof kept);
    select.dxy_knee = 0.0f;
    assert_int_equal(reco_tracks_select(f->queue, &select, NULL), STOA_OK);
    assert_int_equal(f->kept_count, 4);
}

/* Tracks 2 and 5: hits 9..11 and 20..26 of 27. */
static void test_gather_hits(void **state)
{
    enum { HITS = 27, ROOM = 12 };
    fixture *f = *state;
    uint32_t id[HITS], det[HITS], out_id[ROOM], out_det[ROOM], source[ROOM], count = 0, two = 2;
    static const uint32_t index[] = {2, 5}, expected[] = {9, 10, 11, 20, 21, 22, 23, 24, 25, 26};
    for (uint32_t i = 0; i < HITS; i++) id[i] = 100 + i, det[i] = 1000 + i;
    const reco_track_gather gather = {view_const(&f->in), index, &two, view(&f->out), NULL};
    assert_int_equal(reco_tracks_gather(f->queue, &gather, NULL), STOA_OK);
    reco_hit_gather args = {
        .tracks = view_const(&f->in), .index = index, .out_tracks = view_const(&f->out), .source = source, .hit_count = &count};
    args.hits.head.rows = HITS;
    args.hits.id = id;
    args.hits.detId = det;
    args.out.head.rows = ROOM;
    args.out.id = out_id;
    args.out.detId = out_det;
    assert_int_equal(reco_hits_gather(f->queue, &args, NULL), STOA_OK);
    assert_int_equal(count, 10);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(source[i], expected[i]);
        assert_int_equal(out_id[i], 100 + expected[i]);
        assert_int_equal(out_det[i], 1000 + expected[i]);
    }
    args.hits.head.rows = 24; /* an event whose offsets go beyond its hits */
    args.out.head.rows = 9;   /* and too little room */
    out_id[9] = 7;
    assert_int_equal(reco_hits_gather(f->queue, &args, NULL), STOA_OK);
    assert_int_equal(count, 10);
    assert_int_equal(out_id[6], 123);
    assert_int_equal(out_id[7], 0xFFFFFFFF);
    assert_int_equal(out_id[9], 7);
    args.out.id = id;
    assert_int_equal(reco_hits_gather(f->queue, &args, NULL), STOA_EOVERLAP);
}

static void test_derived(void **state)
{
    fixture *f = *state;
    float columns[14][SLOTS];
    preselect(f, RECO_QUALITY_TIGHT, 0);
    for (int c = 0; c < 17; c++)
        for (int i = 0; i < SLOTS; i++) f->features[c][i] = (float)(c + 2 + i) * (c % 3 == 1 ? -1.0f : 1.0f);
    reco_derivation args = {view_const(&f->in), f->index, &f->count, feature_view(f), {0}};
    track_derived_soa *d = &args.derived;
    float **const to[14] = {&d->cot_theta,         &d->q_over_pt,         &d->abs_eta,           &d->ndof,
                            &d->chi2_sum,          &d->hits_per_layer,    &d->dxy_significance,  &d->dz_significance,
                            &d->pt_relative_error, &d->phi_error_pt,      &d->corr_cot_theta_dz, &d->corr_dxy_q_over_pt,
                            &d->corr_phi_dxy,      &d->corr_phi_q_over_pt};
    for (int c = 0; c < 14; c++) *to[c] = columns[c];
    d->head.rows = SLOTS;
    assert_int_equal(reco_tracks_derive(f->queue, &args, NULL), STOA_OK);
    for (int i = 0; i < SLOTS; i++) {
        float x[17];
        for (int c = 0; c < 17; c++) x[c] = f->features[c][i];
        const float ndof = 2 * x[4] - 5, row = (float)f->index[i];
        const float expected[14] = {300 + row,
                                    200 + row,
                                    fabsf(x[3]),
                                    ndof,
                                    x[0] * ndof,
                                    x[4] / x[11],
                                    fabsf(x[10]) / x[2],
                                    fabsf(x[9]) / x[1],
                                    x[8] * x[7],
                                    x[6] * x[7],
                                    x[13] / (x[12] * x[1]),
                                    x[14] / (x[2] * x[8]),
                                    x[15] / (x[6] * x[2]),
                                    x[16] / (x[6] * x[8])};
        for (int c = 0; c < 14; c++) assert_float_equal(columns[c][i], expected[c], 1e-6f * fabsf(expected[c]));
    }
}

static void test_errors(void **state)
{
    fixture *f = *state;
    stoa_error err;
    reco_preselection args = {view_const(&f->in), 0, 0, NULL, f->index, &f->count, NULL};
    assert_int_equal(reco_tracks_preselect(f->queue, &args, &err), STOA_EINVAL);
    assert_non_null(strstr(err.message, "mask"));
    args.mask = f->mask;
    args.tracks.nTracks = NULL;
    assert_int_equal(reco_tracks_preselect(f->queue, &args, &err), STOA_EINVAL);
    const reco_features features = {view_const(&f->in), NULL, &f->count, feature_view(f), 0};
    assert_int_equal(reco_tracks_features(f->queue, &features, &err), STOA_EINVAL);
    const reco_selection select = {feature_view(f), f->index, NULL, 0.4f, f->mask, f->slot, f->kept, &f->kept_count, 0, 0, NULL};
    assert_int_equal(reco_tracks_select(f->queue, &select, &err), STOA_EINVAL);
}

/* ---- Many rows: vectors of them, however far apart the kept ones lie. ---- */

enum { MANY = 1003 }; /* no multiple of a vector */

static void *bind_many(const stoa_layout *layout, stoa_view_head *head)
{
    const stoa_place host = {STOA_PLACE_HOST, 0};
    size_t bytes;
    assert_int_equal(stoa_layout_bytes(layout, MANY, &bytes, NULL), STOA_OK);
    void *blob = aligned_alloc(STOA_LAYOUT_ALIGN_BYTES, bytes);
    assert_non_null(blob);
    memset(blob, 0, bytes);
    assert_int_equal(stoa_layout_bind(layout, MANY, blob, bytes, host, head, NULL), STOA_OK);
    return blob;
}

static void same_bits(float a, float b, const char *what, uint32_t row)
{
    if (memcmp(&a, &b, sizeof a) != 0) fail_msg("%s of row %u: %.9g, %.9g expected", what, row, (double)a, (double)b);
}

static void check_packed(const tracks_soa *t, const tracks_soa *o, const track_features_soa *f, const uint32_t *index, uint32_t count)
{
    const int64_t ts = t->covariance.stride, os = o->covariance.stride;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t row = index[i];
        const uint32_t hits = t->hitOffsets[row] - (row > 0 ? t->hitOffsets[row - 1] : 0);
        assert_int_equal(o->quality[i], t->quality[row]);
        assert_int_equal(o->nLayers[i], t->nLayers[row]);
        assert_int_equal(o->hitOffsets[i] - (i > 0 ? o->hitOffsets[i - 1] : 0), hits);
        same_bits(f->hits[i], (float)hits, "hits", row);
        same_bits(f->layers[i], (float)t->nLayers[row], "layers", row);
        same_bits(f->chi2[i], t->chi2[row], "chi2", row);
        same_bits(f->dz_error[i], sqrtf(t->covariance.data[14 * ts + row]), "dz_error", row);
        same_bits(f->cov_phi_q_over_pt[i], t->covariance.data[2 * ts + row], "cov_phi_q_over_pt", row);
        same_bits(o->pt[i], t->pt[row], "pt", row);
        for (int c = 0; c < 5; c++)
            same_bits(o->state.data[c * o->state.stride + i], t->state.data[c * t->state.stride + row], "state", row);
        for (int c = 0; c < 15; c++) same_bits(o->covariance.data[c * os + i], t->covariance.data[c * ts + row], "covariance", row);
    }
}

static uint32_t draw(uint32_t *seed, uint32_t below)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % below;
}

/* Tracks of 0 to 19 hits: more of them and fewer than a vector has. */
static void fill_many(tracks_soa *t, uint32_t *seed)
{
    *t->nTracks = MANY;
    for (uint32_t i = 0; i < MANY; i++) {
        t->quality[i] = (uint8_t)draw(seed, 256);
        t->nLayers[i] = (int8_t)((int)draw(seed, 256) - 128);
        t->hitOffsets[i] = (i > 0 ? t->hitOffsets[i - 1] : 0) + draw(seed, 20);
        t->chi2[i] = 0.5f + (float)i;
        t->pt[i] = 7.0f * (float)i;
        for (int c = 0; c < 5; c++) t->state.data[c * t->state.stride + i] = (float)(c + 1) / (float)(i + 1);
        for (int c = 0; c < 15; c++) t->covariance.data[c * t->covariance.stride + i] = (float)(c + 1) * (float)(i + 2);
    }
}

/* All hits and room for them, too few hits, too little room: each hit is where its track's offset tells, nothing is behind the last one. */
static void check_hits(stoa_queue *queue, tracks_soa_const in, tracks_soa_const out, const uint32_t *index)
{
    enum { HITS = 20 * MANY };
    static uint32_t id[HITS], det[HITS], out_id[HITS + 1], out_det[HITS + 1], source[HITS + 1];
    const uint32_t hits = in.hitOffsets[MANY - 1], kept = (uint32_t)*out.nTracks, total = kept > 0 ? out.hitOffsets[kept - 1] : 0;
    const struct {
        uint32_t hits, room;
    } cases[] = {{hits, HITS}, {hits, total}, {hits - hits / 3, total}, {hits, total - total / 3}};
    for (uint32_t i = 0; i < HITS; i++) id[i] = 1 + i, det[i] = 7 * i;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        uint32_t count = 1;
        reco_hit_gather args = {.tracks = in, .index = index, .out_tracks = out, .source = source, .hit_count = &count};
        args.hits.head.rows = cases[k].hits, args.hits.id = id, args.hits.detId = det;
        args.out.head.rows = cases[k].room, args.out.id = out_id, args.out.detId = out_det;
        memset(out_id, 0, sizeof out_id);
        assert_int_equal(reco_hits_gather(queue, &args, NULL), STOA_OK);
        assert_int_equal(count, total);
        const uint32_t end = total < cases[k].room ? total : cases[k].room;
        for (uint32_t i = 0, hit = 0; i < kept; i++) {
            for (uint32_t old = index[i] > 0 ? in.hitOffsets[index[i] - 1] : 0; hit < out.hitOffsets[i] && hit < end; hit++, old++) {
                assert_int_equal(source[hit], old);
                assert_int_equal(out_id[hit], old < cases[k].hits ? id[old] : 0xFFFFFFFF);
                assert_int_equal(out_det[hit], old < cases[k].hits ? det[old] : 0xFFFFFFFF);
            }
        }
        assert_int_equal(out_id[end], 0);
    }
}

static void test_many_rows(void **state)
{
    static const uint32_t kept_of_1000[] = {1000, 900, 500, 60, 3, 0};
    fixture *f = *state;
    tracks_soa t, o;
    tracks_soa_const in, out;
    track_features_soa features;
    void *const blobs[] = {bind_many(&tracks_soa_layout, &t.head), bind_many(&tracks_soa_layout, &o.head),
                           bind_many(&track_features_soa_layout, &features.head)};
    const stoa_place host = {STOA_PLACE_HOST, 0};
    uint32_t index[MANY], seed = 5;
    size_t bytes;
    fill_many(&t, &seed);
    assert_int_equal(stoa_layout_bytes(&tracks_soa_layout, MANY, &bytes, NULL), STOA_OK);
    assert_int_equal(stoa_layout_bind_const(&tracks_soa_layout, MANY, blobs[0], bytes, host, &in.head, NULL), STOA_OK);
    assert_int_equal(stoa_layout_bind_const(&tracks_soa_layout, MANY, blobs[1], bytes, host, &out.head, NULL), STOA_OK);
    for (size_t k = 0; k < sizeof kept_of_1000 / sizeof *kept_of_1000; k++) {
        uint32_t count = 0;
        for (uint32_t i = 0; i < MANY; i++)
            if (draw(&seed, 1000) < kept_of_1000[k]) index[count++] = i;
        const reco_features fill = {in, index, &count, features, 0};
        const reco_track_gather gather = {in, index, &count, o, NULL};
        assert_int_equal(reco_tracks_features(f->queue, &fill, NULL), STOA_OK);
        assert_int_equal(reco_tracks_gather(f->queue, &gather, NULL), STOA_OK);
        check_packed(&t, &o, &features, index, count);
        check_hits(f->queue, in, out, index);
    }
    for (int k = 0; k < 3; k++) free(blobs[k]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_preselect, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_features, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_more_tracks_than_slots, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_select_and_gather, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_dxy_ramp, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gather_hits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_derived, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_errors, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
