/* SPDX-License-Identifier: Apache-2.0 */
/* The divisive vertex finder against its definition written with sets and in double, and its edge cases. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/device_under_test.h"
#include "generate/random.h"
#include "reco/kernels.h"
#include "reco/vertexing/divisive.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TRACKS = 600, VERTICES = TRACKS + 1 };

typedef struct fixture {
    device_fixture on;
    float z[TRACKS], e[TRACKS], pt2[TRACKS];
    uint32_t count, found, vertices;
    struct { /* of test_load */
        float pt[4], dz[4], e[4];
        uint32_t source[4], row[4], count, loaded;
        uint8_t mask[4];
    } load;
    int32_t track_count;
    float zv[VERTICES], wv[VERTICES], chi2[VERTICES], ptv2[VERTICES];
    uint16_t order[VERTICES];
    int16_t idv[VERTICES], expected[TRACKS];
    int32_t ndof[VERTICES];
} fixture;

static reco_random numbers; /* of each test anew, by its seed */
static double uniform(void) { return reco_random_uniform(&numbers); }
static double normal(void) { return reco_random_normal(&numbers); }

static int set_up(void **state)
{
    numbers = reco_random_stream(20260917, 0);
    *state = open_fixture(sizeof(fixture), reco_divisive_workspace_bytes(TRACKS));
    return *state ? 0 : -1;
}

static reco_divisive_find arguments(fixture *f)
{
    reco_divisive_find find = {.in = {f->z, f->e, f->pt2, NULL, &f->count, TRACKS},
                               .options = RECO_DIVISIVE_OPTIONS_INIT,
                               .beam_spot = RECO_BEAM_SPOT_INIT,
                               .track_count = &f->track_count,
                               .found = &f->found,
                               .workspace = stoa_buffer_data(f->on.workspace),
                               .workspace_bytes = reco_divisive_workspace_bytes(TRACKS)};
    find.vertices.head.rows = find.tracks.head.rows = VERTICES;
    find.vertices.zv = f->zv;
    find.vertices.wv = f->wv;
    find.vertices.chi2 = f->chi2;
    find.vertices.ptv2 = f->ptv2;
    find.vertices.sortInd = f->order;
    find.vertices.nvFinal = &f->vertices;
    find.tracks.idv = f->idv;
    find.tracks.ndof = f->ndof;
    return find;
}

static void find_vertices(fixture *f, const reco_divisive_find *args)
{
    stoa_error err;
    f->track_count = (int32_t)f->count;
    const stoa_status status = reco_divisive_vertices(f->on.queue, args, &err);
    if (status != STOA_OK) fail_msg("%s", err.message);
}

/* ---- The definition, over flags: 0 not in the group, 1 in, 2 left. ---- */

static double mean_of(const fixture *f, const char *flag)
{
    double sum = 0, weight = 0;
    for (uint32_t i = 0; i < f->count; i++)
        if (flag[i] == 1) sum += (double)f->z[i] / (double)f->e[i], weight += 1 / (double)f->e[i];
    return sum / weight;
}

static uint32_t count_flags(const fixture *f, const char *flag, char value)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->count; i++) n += flag[i] == value;
    return n;
}

/* Steps 2 and 3 for the tracks of flag 1; returns the vertices there are now. */
static uint32_t divide(fixture *f, char *flag, const reco_divisive_options *o, uint32_t vertices)
{
    while (count_flags(f, flag, 1) >= o->tracks_min) {
        for (int moved = 1; moved && count_flags(f, flag, 1) > 0;) {
            const double m = mean_of(f, flag);
            moved = 0;
            for (uint32_t i = 0; i < f->count; i++)
                if (flag[i] == 1 && fabs((double)f->z[i] - m) >= (double)o->offset_max * sqrt((double)f->e[i])) flag[i] = 2, moved = 1;
        }
        if (count_flags(f, flag, 1) < o->tracks_min) break;
        for (uint32_t i = 0; i < f->count; i++) {
            if (flag[i] == 1) f->expected[i] = (int16_t)vertices;
            flag[i] = flag[i] == 2 ? 1 : 0;
        }
        vertices++;
    }
    return vertices;
}

static uint32_t by_definition(fixture *f, const reco_divisive_options *o)
{
    uint32_t order[TRACKS], vertices = 0;
    char flag[TRACKS] = {0};
    for (uint32_t i = 0; i < f->count; i++) {
        uint32_t at = i;
        for (; at > 0 && f->z[order[at - 1]] > f->z[i]; at--) order[at] = order[at - 1];
        order[at] = i;
        f->expected[i] = -1;
    }
    for (uint32_t k = 0; k < f->count; k++) {
        flag[order[k]] = 1;
        if (k + 1 < f->count && f->z[order[k + 1]] - f->z[order[k]] < o->separation) continue;
        vertices = divide(f, flag, o, vertices);
        memset(flag, 0, sizeof flag);
    }
    return vertices;
}

static void generate(fixture *f)
{
    f->count = 0;
    while (f->count + 12 < TRACKS && uniform() > 0.02) {
        const double z = 4.0 * normal();
        for (int n = (int)(12 * uniform()); n >= 0; n--) {
            const double error = 0.001 + 0.02 * uniform() * uniform();
            f->z[f->count] = (float)(z + error * normal() * (uniform() < 0.1 ? 6 : 1));
            f->e[f->count] = (float)(error * error);
            f->pt2[f->count++] = (float)(1 + 99 * uniform());
        }
    }
}

static void check_vertices(const fixture *f)
{
    for (uint32_t v = 0; v < f->vertices; v++) {
        double weight = 0, sum = 0, pt2 = 0, chi2 = 0;
        int32_t n = 0;
        for (uint32_t i = 0; i < f->count; i++) {
            if (f->expected[i] != (int16_t)v) continue;
            weight += 1 / (double)f->e[i];
            sum += (double)f->z[i] / (double)f->e[i];
            pt2 += (double)f->pt2[i];
            n++;
        }
        for (uint32_t i = 0; i < f->count; i++)
            if (f->expected[i] == (int16_t)v) chi2 += pow((double)f->z[i] - sum / weight, 2) / (double)f->e[i];
        assert_float_equal(f->zv[v], sum / weight, 1e-5);
        assert_float_equal(f->wv[v], weight, 1e-5 * weight);
        assert_float_equal(f->ptv2[v], pt2, 1e-5 * pt2);
        assert_float_equal(f->chi2[v], chi2, 1e-3 * (1 + chi2));
        assert_int_equal(f->ndof[v], n - 1);
        if (v > 0) assert_true(f->ptv2[f->order[v]] >= f->ptv2[f->order[v - 1]]);
    }
}

static void test_definition(void **state)
{
    fixture *f = *state;
    uint32_t total = 0;
    for (int k = 0, events = device_is_host() ? 1000 : 100; k < events; k++) {
        generate(f);
        reco_divisive_find args = arguments(f);
        args.options.separation = k % 2 ? 0.005f : 0.05f; /* the wide one makes groups of several vertices */
        const uint32_t expected = by_definition(f, &args.options);
        find_vertices(f, &args);
        assert_int_equal(f->found, expected);
        assert_int_equal(f->vertices, expected ? expected : 1);
        total += expected;
        for (uint32_t i = 0; i < f->count; i++)
            if (f->idv[i] != f->expected[i]) fail_msg("event %d track %u: vertex %d, %d expected", k, i, f->idv[i], f->expected[i]);
        if (expected) check_vertices(f);
    }
    assert_true(total > 1000);
}

static void test_beam_spot(void **state)
{
    fixture *f = *state;
    static const float z[] = {1.0f, 2.0f, NAN, INFINITY}, e[] = {1e-4f, 1e-4f, 1e-4f, 1e-4f};
    memcpy(f->z, z, sizeof z);
    memcpy(f->e, e, sizeof e);
    for (uint32_t count = 0; count <= 4; count++) {
        f->count = count;
        reco_divisive_find args = arguments(f);
        args.beam_spot.sigma_z = 5.0f;
        find_vertices(f, &args);
        assert_int_equal(f->found, 0);
        assert_int_equal(f->vertices, 1);
        assert_float_equal(f->zv[0], 0.0f, 0.0f);
        assert_float_equal(f->wv[0], 0.04f, 1e-8f);
        assert_int_equal(f->ndof[0], 0);
        assert_int_equal(f->order[0], 0);
        for (uint32_t i = 0; i < count; i++) assert_int_equal(f->idv[i], -1);
    }
}

/* More vertices than rows: the first ones stay, the count tells. */
static void test_no_room(void **state)
{
    fixture *f = *state;
    f->count = 20;
    for (uint32_t i = 0; i < 20; i++) {
        f->z[i] = (float)(i / 2);
        f->e[i] = 1e-4f;
    }
    reco_divisive_find args = arguments(f);
    args.vertices.head.rows = 4;
    find_vertices(f, &args);
    assert_int_equal(f->found, 10);
    assert_int_equal(f->vertices, 4);
    assert_int_equal(f->idv[7], 3);
    assert_int_equal(f->idv[8], -1);
}

static void test_load(void **state)
{
    fixture *f = *state;
    f->load.count = 4;
    for (uint32_t i = 0; i < 4; i++) {
        f->load.pt[i] = ((const float[]){50.0f, 3.0f, 1.5f, 1.0f})[i];
        f->load.source[i] = ((const uint32_t[]){9, 7, 8, 6})[i];
        f->load.dz[i] = f->load.e[i] = (float)(i + 1);
    }
    reco_divisive_load args = {
        .cuts = RECO_DIVISIVE_CUTS_INIT, .out = {f->z, f->e, f->pt2, f->load.row, &f->load.loaded, 4}, .mask = f->load.mask};
    args.tracks.head.rows = 4;
    args.tracks.pt = f->load.pt;
    args.tracks.dz = f->load.dz;
    args.tracks.dz_error2 = f->load.e;
    args.tracks.source = f->load.source;
    args.tracks.count = &f->load.count;
    assert_int_equal(reco_divisive_load_tracks(f->on.queue, &args, NULL), STOA_OK);
    assert_int_equal(f->load.loaded, 3);
    assert_float_equal(f->pt2[0], 100.0f, 0.0f);
    assert_float_equal(f->pt2[1], 9.0f, 0.0f);
    assert_float_equal(f->z[2], 3.0f, 0.0f);
    assert_float_equal(f->e[2], 3.0f, 0.0f);
    for (uint32_t i = 0; i < 3; i++) assert_int_equal(f->load.row[i], f->load.source[i]);
}

static void test_errors(void **state)
{
    fixture *f = *state;
    stoa_error err;
    reco_divisive_find args = arguments(f);
    args.options.tracks_min = 0;
    assert_int_equal(reco_divisive_vertices(f->on.queue, &args, &err), STOA_EINVAL);
    args = arguments(f);
    args.options.separation = NAN;
    assert_int_equal(reco_divisive_vertices(f->on.queue, &args, &err), STOA_EINVAL);
    assert_non_null(strstr(err.message, "separation"));
    args = arguments(f);
    args.workspace_bytes--;
    assert_int_equal(reco_divisive_vertices(f->on.queue, &args, &err), STOA_ESHAPE);
    args = arguments(f);
    args.vertices.head.rows = 0;
    assert_int_equal(reco_divisive_vertices(f->on.queue, &args, &err), STOA_ESHAPE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_definition, set_up, close_fixture),
        cmocka_unit_test_setup_teardown(test_beam_spot, set_up, close_fixture),
        cmocka_unit_test_setup_teardown(test_no_room, set_up, close_fixture),
        cmocka_unit_test_setup_teardown(test_load, set_up, close_fixture),
        cmocka_unit_test_setup_teardown(test_errors, set_up, close_fixture),
    };
    require_device();
    if (reco_kernels_register(NULL) != STOA_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
