/* SPDX-License-Identifier: Apache-2.0 */
/* The inputs of CATrackDNN (reco/tracks/hit_features.h) against their definition in double, and broken lists of hits. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/device_under_test.h"
#include "generate/random.h"
#include "reco/kernels.h"
#include "reco/tracks/hit_features.h"

#include <math.h>
#include <string.h>

enum { TRACKS = 200, HITS_A_TRACK = 9, HITS = TRACKS * HITS_A_TRACK, FEATURES = 12 };

typedef struct fixture {
    device_fixture on;
    int32_t track_count;
    uint8_t quality[TRACKS], flags[HITS];
    int8_t layers[TRACKS];
    float chi2[TRACKS], x[HITS], y[HITS], z[HITS], bend[HITS], error[HITS], score[TRACKS];
    uint32_t offsets[TRACKS], id[HITS], index[TRACKS], count;
    float features[FEATURES][TRACKS];
} fixture;

static double cross(const double a[2], const double b[2]) { return a[0] * b[1] - a[1] * b[0]; }

/* Tracks on circles that pass the beam line at some distance; the first hits are pixels, the others stubs. Their numbers in the event
 * are shuffled. */
static void generate(fixture *f)
{
    reco_random r = reco_random_stream(20261, 0);
    uint32_t end = 0;
    for (uint32_t t = 0; t < TRACKS; t++) {
        const uint32_t hits = 3 + t % (HITS_A_TRACK - 2), pixels = t % 4;
        const double radius = 80 / reco_random_uniform(&r), away = 0.1 * reco_random_normal(&r);
        f->quality[t] = (uint8_t)(t % 7);
        f->layers[t] = (int8_t)(hits - t % 2);
        f->chi2[t] = (float)reco_random_exponential(&r);
        f->index[t] = TRACKS - 1 - t;
        for (uint32_t k = 0; k < hits; k++, end++) {
            const uint32_t hit = (end * 7) % HITS;
            const double turn = (3.0 + 8.0 * k) / radius;
            f->id[end] = hit;
            f->x[hit] = (float)((radius + away) - radius * cos(turn));
            f->y[hit] = (float)(radius * sin(turn));
            f->z[hit] = (float)(10 * reco_random_normal(&r));
            f->bend[hit] = (float)(0.5 / radius + 1e-4 * reco_random_normal(&r));
            f->error[hit] = k < pixels ? -1.0f : k == pixels ? 0.0f : (float)(1e-4 + 1e-3 * reco_random_uniform(&r));
            f->flags[hit] = (uint8_t)reco_random_bits(&r);
        }
        f->offsets[t] = end;
    }
    f->chi2[3] = NAN;
    f->chi2[4] = -1.0f;
    f->chi2[5] = INFINITY;
    f->track_count = TRACKS;
    f->count = TRACKS;
}

static int set_up(void **state)
{
    fixture *f = *state = open_fixture(sizeof *f, 0);
    if (!f) return -1;
    generate(f);
    return 0;
}

static hit_features_soa features_of(fixture *f)
{
    return (hit_features_soa){.head.rows = TRACKS,
                              .log_chi2 = f->features[0],
                              .ps_fraction = f->features[1],
                              .first_r = f->features[2],
                              .ps_stubs = f->features[3],
                              .hits = f->features[4],
                              .span_z = f->features[5],
                              .stubs = f->features[6],
                              .layers = f->features[7],
                              .log_stub_chi2 = f->features[8],
                              .curvature_error = f->features[9],
                              .dca = f->features[10],
                              .barrel_stubs = f->features[11]};
}

static reco_hit_features arguments(fixture *f)
{
    reco_hit_features args = {.index = f->index, .count = &f->count, .features = features_of(f)};
    args.tracks.head.rows = TRACKS;
    args.tracks.nTracks = &f->track_count;
    args.tracks.hitOffsets = f->offsets;
    args.tracks.nLayers = f->layers;
    args.tracks.chi2 = f->chi2;
    args.hits.head.rows = HITS;
    args.hits.id = f->id;
    args.rec_hits.head.rows = HITS;
    args.rec_hits.xGlobal = f->x;
    args.rec_hits.yGlobal = f->y;
    args.rec_hits.zGlobal = f->z;
    args.rec_hits.dPhiDr = f->bend;
    args.rec_hits.dPhiDrError = f->error;
    args.rec_hits.flags = f->flags;
    return args;
}

/* Distance of the origin from the circle through three points, by its centre. */
static double circle(const double a[2], const double b[2], const double c[2])
{
    const double u[2] = {b[0] - a[0], b[1] - a[1]}, v[2] = {c[0] - a[0], c[1] - a[1]};
    const double u2 = u[0] * u[0] + u[1] * u[1], v2 = v[0] * v[0] + v[1] * v[1], d = 2 * cross(u, v);
    const double x = (v[1] * u2 - u[1] * v2) / d, y = (u[0] * v2 - v[0] * u2) / d;
    return fabs(hypot(a[0] + x, a[1] + y) - hypot(x, y));
}

static void expect(const fixture *f, uint32_t t, double out[FEATURES])
{
    const uint32_t first = t ? f->offsets[t - 1] : 0, n = f->offsets[t] - first, *id = f->id + first;
    const double chi2 = f->chi2[t] >= 0 && f->chi2[t] <= 1e4f ? (double)f->chi2[t] : 1e4;
    double weight = 0, mean = 0, spread = 0, points[3][2];
    uint32_t stubs = 0, ps = 0, barrel = 0, bent = 0;
    for (uint32_t k = 0; k < n; k++) {
        const double r2 = (double)f->x[id[k]] * (double)f->x[id[k]] + (double)f->y[id[k]] * (double)f->y[id[k]];
        const double d = (double)f->bend[id[k]], s = (double)f->error[id[k]];
        stubs += s >= 0;
        ps += s >= 0 && f->flags[id[k]] & 64;
        barrel += s >= 0 && f->flags[id[k]] & 1;
        if (!(s > 0)) continue;
        const double w = pow(1 + r2 * d * d, 3) / (s * s), curvature = d / sqrt(1 + r2 * d * d), before = mean;
        bent++;
        weight += w;
        mean += w / weight * (curvature - mean); /* West's update: no difference of large sums */
        spread += w * (curvature - before) * (curvature - mean);
    }
    for (uint32_t p = 0; p < 3; p++) {
        const uint32_t hit = id[p == 0 ? 0 : p == 1 ? n / 2 : n - 1];
        points[p][0] = (double)f->x[hit];
        points[p][1] = (double)f->y[hit];
    }
    const double expected[FEATURES] = {log1p(chi2),
                                       ps / fmax(stubs, 1),
                                       hypot(points[0][0], points[0][1]),
                                       ps,
                                       n,
                                       fabs((double)f->z[id[n - 1]] - (double)f->z[id[0]]),
                                       stubs,
                                       f->layers[t],
                                       bent >= 3 ? log1p(spread / (bent - 1)) : 0,
                                       bent ? 1 / sqrt(weight) : -1,
                                       circle(points[0], points[1], points[2]),
                                       barrel};
    memcpy(out, expected, sizeof expected);
}

static void test_definition(void **state)
{
    /* The sum of squares of curvatures loses digits to the square of their sum; positions are floats of a micrometre. */
    static const double tolerance[FEATURES] = {1e-6, 1e-6, 1e-6, 0, 0, 1e-6, 0, 0, 2e-2, 1e-5, 1e-3, 0};
    fixture *f = *state;
    const reco_hit_features args = arguments(f);
    assert_int_equal(reco_tracks_hit_features(f->on.queue, &args, NULL), STOA_OK);
    for (uint32_t i = 0; i < TRACKS; i++) {
        double expected[FEATURES];
        expect(f, f->index[i], expected);
        for (int k = 0; k < FEATURES; k++)
            if (!(fabs((double)f->features[k][i] - expected[k]) <= tolerance[k] * fmax(1, fabs(expected[k]))))
                fail_msg("track %u: feature %d is %.9g, %.9g expected", f->index[i], k, (double)f->features[k][i], expected[k]);
    }
}

/* Lists that end too early, too late, before they begin, or at hits that are not there; and numbers that overflow. */
static void test_broken_hits(void **state)
{
    fixture *f = *state;
    const reco_hit_features args = arguments(f);
    const reco_hit_verdict verdict = {features_of(f), &f->count, f->score};
    static const uint32_t bad[] = {0, 3, 4, 8, 12, 20};
    f->offsets[0] = 2;                         /* two hits, so that the next one has one more */
    f->id[f->offsets[2]] = HITS;               /* track 3 */
    f->offsets[4] = f->offsets[3] - 1;         /* track 4 ends before it begins, */
    f->offsets[8] = HITS + 1;                  /* track 8 behind all hits, and track 9 before it begins */
    f->x[f->id[f->offsets[11]]] = 3e38f;       /* track 12 */
    f->z[f->id[f->offsets[19]]] = NAN;         /* track 20 */
    for (uint32_t i = 0; i < TRACKS; i++) f->score[i] = 0.5f;
    assert_int_equal(reco_tracks_hit_features(f->on.queue, &args, NULL), STOA_OK);
    assert_int_equal(reco_tracks_hit_verdict(f->on.queue, &verdict, NULL), STOA_OK);
    for (size_t b = 0; b < sizeof bad / sizeof *bad; b++) {
        const uint32_t i = TRACKS - 1 - bad[b];
        for (int k = 0; k < FEATURES; k++)
            if (!isnan(f->features[k][i])) fail_msg("track %u: feature %d is %g", bad[b], k, (double)f->features[k][i]);
        assert_true(isnan(f->score[i]));
    }
    assert_true(isnan(f->score[TRACKS - 1 - 9]));
    assert_float_equal(f->features[4][TRACKS - 1 - 1], (float)(f->offsets[1] - 2), 0.0f);
    assert_float_equal(f->score[TRACKS - 1 - 1], 0.5f, 0.0f);
}

static void test_straight_line(void **state)
{
    fixture *f = *state;
    const reco_hit_features args = arguments(f);
    f->count = 1;
    f->index[0] = 0;
    for (uint32_t k = 0; k < f->offsets[0]; k++) {
        f->x[f->id[k]] = (float)(4 * k + 4);
        f->y[f->id[k]] = 2.0f; /* 2 cm past the beam line: no circle, no distance */
    }
    assert_int_equal(reco_tracks_hit_features(f->on.queue, &args, NULL), STOA_OK);
    assert_float_equal(f->features[10][0], 0.0f, 0.0f);
    f->count = 0;
    f->features[0][0] = 7.0f;
    assert_int_equal(reco_tracks_hit_features(f->on.queue, &args, NULL), STOA_OK);
    assert_float_equal(f->features[0][0], 7.0f, 0.0f);
}

static void test_promotion(void **state)
{
    fixture *f = *state;
    reco_promotion args = {.quality = RECO_QUALITY_TIGHT};
    args.tracks.head.rows = TRACKS;
    args.tracks.nTracks = &f->track_count;
    args.tracks.quality = f->quality;
    f->track_count = 100;
    assert_int_equal(reco_tracks_promote(f->on.queue, &args, NULL), STOA_OK);
    for (uint32_t t = 0; t < TRACKS; t++) {
        const uint8_t before = (uint8_t)(t % 7);
        assert_int_equal(f->quality[t], t < 100 && before < RECO_QUALITY_TIGHT ? RECO_QUALITY_TIGHT : before);
    }
    f->track_count = -1;
    args.quality = RECO_QUALITY_HIGH_PURITY;
    assert_int_equal(reco_tracks_promote(f->on.queue, &args, NULL), STOA_OK);
    assert_int_equal(f->quality[0], RECO_QUALITY_TIGHT);
}

static void test_errors(void **state)
{
    fixture *f = *state;
    stoa_error err;
    reco_hit_features args = arguments(f);
    args.hits.id = NULL;
    assert_int_equal(reco_tracks_hit_features(f->on.queue, &args, &err), STOA_EINVAL);
    assert_non_null(strstr(err.message, "hits.id"));
    args = arguments(f);
    args.count = NULL;
    assert_int_equal(reco_tracks_hit_features(f->on.queue, &args, &err), STOA_EINVAL);
    const reco_hit_verdict verdict = {features_of(f), &f->count, NULL};
    assert_int_equal(reco_tracks_hit_verdict(f->on.queue, &verdict, &err), STOA_EINVAL);
    assert_int_equal(reco_tracks_promote(f->on.queue, NULL, &err), STOA_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_definition, set_up, close_fixture),
        cmocka_unit_test_setup_teardown(test_broken_hits, set_up, close_fixture),
        cmocka_unit_test_setup_teardown(test_straight_line, set_up, close_fixture),
        cmocka_unit_test_setup_teardown(test_promotion, set_up, close_fixture),
        cmocka_unit_test_setup_teardown(test_errors, set_up, close_fixture),
    };
    require_device();
    if (reco_kernels_register(NULL) != STOA_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
