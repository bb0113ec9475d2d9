/* SPDX-License-Identifier: Apache-2.0 */
/* The conversion to legacy tracks (reco/tracks/legacy.h): order, index maps, grades, and the covariance against
 * derivatives taken numerically on a helix. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/device_under_test.h"
#include "reco/kernels.h"
#include "reco/tracks/legacy.h"
#include "stoa/collection.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 64 };

typedef struct fixture {
    device_fixture on;
    stoa_collection *memory;
    tracks_soa tracks;
    legacy_tracks_soa out;
    uint8_t mask[ROWS];
    uint32_t index[ROWS], order[ROWS], scratch[2 * ROWS];
    float key[ROWS];
    int32_t legacy_of[ROWS];
} fixture;

static uint64_t random_state = 77; /* the seed of every test here */

static double uniform(double low, double high)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return low + (high - low) * (double)(random_state >> 11) / 9007199254740992.0;
}

/* A random symmetric positive definite 5 x 5 matrix, as A A^T. */
static void random_covariance(double v[5][5])
{
    double a[5][5];
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 5; j++) a[i][j] = uniform(-0.01, 0.01);
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 5; j++) {
            v[i][j] = 0;
            for (int k = 0; k < 5; k++) v[i][j] += a[i][k] * a[j][k];
        }
}

static void fill_track(fixture *f, uint32_t row, const double state[5], const double v[5][5])
{
    tracks_soa *t = &f->tracks;
    for (int c = 0; c < 5; c++) t->state.data[c * t->state.stride + row] = (float)state[c];
    for (int a = 0, c = 0; a < 5; a++)
        for (int b = a; b < 5; b++, c++) t->covariance.data[c * t->covariance.stride + row] = (float)v[a][b];
    t->pt[row] = (float)fabs(1 / state[RECO_STATE_QPT]);
    t->eta[row] = (float)asinh(state[RECO_STATE_COT_THETA]);
    t->chi2[row] = 1.5f;
    t->nLayers[row] = 5;
    t->quality[row] = RECO_QUALITY_TIGHT;
    t->hitOffsets[row] = 6 * (row + 1);
}

static int set_up(void **state)
{
    const stoa_block blocks[] = {{"tracks", &tracks_soa_layout, ROWS, 0, NULL}, {"legacy", &legacy_tracks_soa_layout, ROWS, 0, NULL}};
    fixture *f = open_fixture(sizeof *f, 0);
    if (!f || stoa_collection_create(f->on.queue, STOA_MEMORY_PINNED, blocks, 2, &f->memory, NULL) != STOA_OK) return -1;
    if (stoa_collection_zero(f->memory, f->on.queue, 0, NULL) != STOA_OK) return -1;
    if (stoa_collection_view(f->memory, "tracks", &f->tracks.head, NULL) != STOA_OK) return -1;
    if (stoa_collection_view(f->memory, "legacy", &f->out.head, NULL) != STOA_OK) return -1;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    stoa_collection_destroy(f->memory);
    return close_fixture(state);
}

static void fill_random(fixture *f, double qpt_max)
{
    for (uint32_t i = 0; i < ROWS; i++) {
        double v[5][5];
        const double charge = uniform(0, 1) < 0.5 ? -1 : 1;
        const double state[5] = {uniform(-3, 3), uniform(-0.3, 0.3), charge * uniform(0.05, qpt_max), uniform(-6, 6), uniform(-12, 12)};
        random_covariance(v);
        fill_track(f, i, state, (const double (*)[5])v);
    }
    *f->tracks.nTracks = ROWS;
}

static reco_legacy arguments(const fixture *f, float field_tesla)
{
    reco_legacy args = {.min_quality = RECO_QUALITY_TIGHT, .beam_spot = RECO_BEAM_SPOT_INIT, .field_tesla = field_tesla};
    fixture *m = (fixture *)(uintptr_t)f;
    assert_int_equal(stoa_collection_view_const(f->memory, "tracks", &args.tracks.head, NULL), STOA_OK);
    args.mask = m->mask;
    args.index = m->index;
    args.key = m->key;
    args.order = m->order;
    args.scratch = m->scratch;
    args.out = f->out;
    args.legacy_of = m->legacy_of;
    return args;
}

static void convert(fixture *f, float field_tesla)
{
    const reco_legacy args = arguments(f, field_tesla);
    stoa_error err;
    const stoa_status status = reco_tracks_to_legacy(f->on.queue, &args, &err);
    if (status != STOA_OK) fail_msg("%s", err.message);
}

/* ---- The reference: a helix walked to the plane that is normal to the nominal track, in double. ---- */

typedef struct helix {
    double position[3], direction[3]; /* direction of unit length */
} helix;

/* After a path of `s` cm from the plane at the beam spot, whose axes go by the nominal phi. */
static helix walk(double plane_phi, const double state[5], double field, double s)
{
    const double phi = state[0], sin_theta = 1 / sqrt(1 + state[3] * state[3]), cos_theta = state[3] * sin_theta;
    const double turn = -2.99792458e-3 * field * state[2] * sin_theta * s; /* change of phi */
    const double length = sin_theta * s, sinc = fabs(turn) < 1e-9 ? 1 : sin(turn / 2) / (turn / 2);
    helix h;
    h.position[0] = -state[1] * sin(plane_phi) + length * sinc * cos(phi + turn / 2);
    h.position[1] = state[1] * cos(plane_phi) + length * sinc * sin(phi + turn / 2);
    h.position[2] = state[4] + cos_theta * s;
    h.direction[0] = sin_theta * cos(phi + turn);
    h.direction[1] = sin_theta * sin(phi + turn);
    h.direction[2] = cos_theta;
    return h;
}

static double dot(const double a[3], const double b[3]) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

/* q/p, lambda, phi and the two transverse positions of `state` where it crosses the plane of the nominal one. */
static void curvilinear(const double nominal[5], const double state[5], double field, double out[5])
{
    const helix at = walk(nominal[0], nominal, field, 0);
    const double phi = nominal[0], sin_theta = at.direction[0] / cos(phi), cos_theta = at.direction[2];
    const double u[3] = {-sin(phi), cos(phi), 0};
    const double v[3] = {-cos_theta * cos(phi), -cos_theta * sin(phi), sin_theta};
    double s = 0, offset[3];
    helix h = walk(nominal[0], state, field, 0);
    for (int round = 0; round < 20; round++) {
        for (int k = 0; k < 3; k++) offset[k] = h.position[k] - at.position[k];
        s -= dot(offset, at.direction) / dot(h.direction, at.direction);
        h = walk(nominal[0], state, field, s);
    }
    for (int k = 0; k < 3; k++) offset[k] = h.position[k] - at.position[k];
    out[0] = state[2] / sqrt(1 + state[3] * state[3]);
    out[1] = asin(h.direction[2]);
    out[2] = phi + remainder(atan2(h.direction[1], h.direction[0]) - phi, 6.283185307179586);
    out[3] = dot(offset, u);
    out[4] = dot(offset, v);
}

static void reference_covariance(const double state[5], const double v[5][5], double field, double out[5][5])
{
    double j[5][5];
    for (int c = 0; c < 5; c++) {
        double up[5], down[5], high[5], low[5];
        const double step = 1e-6;
        memcpy(up, state, sizeof up);
        memcpy(down, state, sizeof down);
        up[c] += step;
        down[c] -= step;
        curvilinear(state, up, field, high);
        curvilinear(state, down, field, low);
        for (int r = 0; r < 5; r++) j[r][c] = (high[r] - low[r]) / (2 * step);
    }
    for (int a = 0; a < 5; a++)
        for (int b = 0; b < 5; b++) {
            out[a][b] = 0;
            for (int k = 0; k < 5; k++)
                for (int l = 0; l < 5; l++) out[a][b] += j[a][k] * v[k][l] * j[b][l];
        }
}

/* Every entry within 2e-5 of the square root of its diagonal entries' product; a strong field makes all terms count. */
static void check_covariance(fixture *f, double field, double qpt_max)
{
    fill_random(f, qpt_max);
    convert(f, (float)field);
    assert_int_equal(*f->out.count, ROWS);
    double worst = 0, bent = 0;
    for (uint32_t i = 0; i < ROWS; i++) {
        const uint32_t row = f->out.source[i];
        double state[5], v[5][5], expected[5][5];
        const tracks_soa *t = &f->tracks;
        for (int c = 0; c < 5; c++) state[c] = (double)t->state.data[c * t->state.stride + row];
        for (int a = 0, c = 0; a < 5; a++)
            for (int b = a; b < 5; b++, c++) v[a][b] = v[b][a] = (double)t->covariance.data[c * t->covariance.stride + row];
        reference_covariance(state, (const double (*)[5])v, field, expected);
        for (int a = 0, c = 0; a < 5; a++)
            for (int b = a; b < 5; b++, c++) {
                const double got = (double)f->out.covariance.data[c * f->out.covariance.stride + i];
                const double scale = sqrt(expected[a][a] * expected[b][b]);
                worst = fmax(worst, fabs(got - expected[a][b]) / scale);
            }
        bent = fmax(bent, fabs(expected[2][2] - v[0][0]) / v[0][0]);
    }
    if (worst > 2e-5) fail_msg("covariance off by %g of the errors", worst);
    if (field > 0) assert_true(bent > 1e-3); /* the field's term is seen */
}

static void test_covariance(void **state)
{
    check_covariance(*state, 0.0, 1.1);
    check_covariance(*state, 3.8, 1.1);
    check_covariance(*state, 200.0, 1.1);
}

static void test_parameters(void **state)
{
    fixture *f = *state;
    fill_random(f, 1.1);
    convert(f, 3.8f);
    for (uint32_t i = 0; i < ROWS; i++) {
        const uint32_t row = f->out.source[i];
        double track[5], expected[5];
        for (int c = 0; c < 5; c++) track[c] = (double)f->tracks.state.data[c * f->tracks.state.stride + row];
        const double origin[5] = {track[0], 0, track[2], track[3], 0};
        curvilinear(origin, track, 0.0, expected);
        for (int c = 0; c < 5; c++) {
            const double got = (double)f->out.curvilinear.data[c * f->out.curvilinear.stride + i];
            if (fabs(got - expected[c]) > 2e-6 * (1 + fabs(expected[c])))
                fail_msg("track %u parameter %d: %g, %g expected", row, c, got, expected[c]);
        }
        assert_float_equal(f->out.ndof[i], 7.0f, 0.0f);
        assert_float_equal(f->out.chi2[i], 10.5f, 0.0f);
        assert_int_equal(f->out.charge[i], track[2] < 0 ? -1 : 1);
        const float *reference = f->out.reference.data + i;
        assert_float_equal(hypotf(reference[0], reference[f->out.reference.stride]), fabs(track[1]), 1e-6);
        assert_float_equal(reference[2 * f->out.reference.stride], track[4], 1e-6);
    }
}

static void test_order_and_maps(void **state)
{
    static const uint8_t bits[] = {0, 0, 8, 1, 3, 3, 7};
    fixture *f = *state;
    fill_random(f, 1.1);
    for (uint32_t i = 0; i < ROWS; i++) f->tracks.quality[i] = (uint8_t)(i % 7);
    f->tracks.quality[13] = f->tracks.quality[20] = RECO_QUALITY_HIGH_PURITY;
    f->tracks.state.data[RECO_STATE_TIP * f->tracks.state.stride + 13] = NAN;
    f->tracks.covariance.data[7 * f->tracks.covariance.stride + 20] = INFINITY;
    f->tracks.pt[5] = f->tracks.pt[6]; /* equal: the order of the rows */
    *f->tracks.nTracks = ROWS - 3;
    convert(f, 3.8f);
    uint32_t expected = 0;
    for (uint32_t row = 0; row < ROWS; row++) {
        const int good = row < ROWS - 3 && f->tracks.quality[row] >= 5 && row != 13 && row != 20;
        expected += (uint32_t)good;
        assert_int_equal(f->legacy_of[row] >= 0, good);
        if (good) assert_int_equal(f->out.source[f->legacy_of[row]], row);
    }
    assert_int_equal(*f->out.count, expected);
    for (uint32_t i = 0; i < expected; i++) {
        assert_int_equal(f->out.quality[i], bits[f->tracks.quality[f->out.source[i]]]);
        if (i > 0) assert_true(f->out.pt[i - 1] >= f->out.pt[i]);
    }
    assert_int_equal(f->legacy_of[6], f->legacy_of[5] + 1);
    *f->tracks.nTracks = -1;
    convert(f, 3.8f);
    assert_int_equal(*f->out.count, 0);
}

static void test_errors(void **state)
{
    fixture *f = *state;
    stoa_error err;
    reco_legacy args = arguments(f, 3.8f);
    args.key = NULL;
    assert_int_equal(reco_tracks_to_legacy(f->on.queue, &args, &err), STOA_EINVAL);
    assert_non_null(strstr(err.message, "key"));
    args = arguments(f, 3.8f);
    args.out.head.rows = ROWS - 1;
    assert_int_equal(reco_tracks_to_legacy(f->on.queue, &args, &err), STOA_ESHAPE);
    assert_non_null(strstr(err.message, "63"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_covariance, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_parameters, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_order_and_maps, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_errors, set_up, tear_down),
    };
    require_device();
    if (reco_kernels_register(NULL) != STOA_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
