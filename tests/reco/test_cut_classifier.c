/* SPDX-License-Identifier: Apache-2.0 */
/* The cut classifier against grades worked out by hand from its table. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "reco/tracks/cut_classifier.h"

#include <stdlib.h>

typedef struct track {
    float chi2, dz_error, dxy_error, eta, hits, pt, dz, dxy, layers, expected;
} track;

/* Vertices: 5 tracks at z = 1, 2 tracks (too few) at z = 2, 3 tracks at z = -4. With 4 layers the windows of the best
 * grade are dxy < min(2.4^4 e, 1.8^4 n), dz < min(2.8^4 e, 2.2^4 n): 33.2, 10.5, 61.5, 23.4; of the tight one
 * 2.8^4 = 61.5, 2^4 = 16, 3.2^4 = 104.9, 2.8^4 = 61.5; of the loose one 104.9, 33.2, 168, 104.9. At pt 1 and eta 0 the
 * nominal error is sqrt(10) 1e-3 = 0.003162 cm. */
static const track tracks[] = {
    {1.0f, 0.01f, 0.01f, 0.0f, 5.0f, 1.0f, 1.01f, 0.01f, 4.0f, 1.0f},
    {4.9f, 0.01f, 0.01f, 0.0f, 5.0f, 1.0f, 1.01f, 0.01f, 4.0f, 0.5f},   /* chi2 / layers 1.225 */
    {6.0f, 0.01f, 0.01f, 0.0f, 5.0f, 1.0f, 1.01f, 0.01f, 4.0f, -0.5f},  /* 1.5 */
    {9.0f, 0.01f, 0.01f, 0.0f, 5.0f, 1.0f, 1.01f, 0.01f, 4.0f, -1.0f},  /* 2.25 */
    {1.0f, 0.01f, 0.01f, 0.0f, 5.0f, 1.0f, 1.01f, 0.01f, 2.0f, -1.0f},  /* layers */
    {1.0f, 0.01f, 0.01f, 0.0f, 2.0f, 1.0f, 1.01f, 0.01f, 4.0f, 0.5f},   /* hits */
    {1.0f, 0.01f, 0.01f, 0.0f, 5.0f, 1.0f, 1.01f, 0.0329f, 4.0f, 1.0f}, /* dxy below 0.0332 */
    {1.0f, 0.01f, 0.01f, 0.0f, 5.0f, 1.0f, 1.01f, 0.0334f, 4.0f, -0.5f}, /* above it, and above 0.03 */
    {1.0f, 0.01f, 1e-4f, 0.0f, 5.0f, 1.0f, 1.01f, 0.0034f, 4.0f, 0.5f}, /* above 33.2 own errors */
    {1.0f, 0.01f, 0.01f, 0.0f, 5.0f, 1.0f, 1.07f, 0.01f, 4.0f, 1.0f},   /* dz below 0.0741 */
    {1.0f, 0.01f, 0.01f, 0.0f, 5.0f, 1.0f, 1.08f, 0.01f, 4.0f, 0.5f},
    {1.0f, 0.01f, 0.01f, 2.0f, 5.0f, 1.0f, 1.08f, 0.01f, 4.0f, 1.0f},   /* wider by cosh(2) */
    {1.0f, 0.01f, 0.01f, 0.0f, 5.0f, 1.0f, 2.00f, 0.01f, 4.0f, -1.0f},  /* the vertex there has too few tracks */
    {1.0f, 0.01f, 0.01f, 0.0f, 5.0f, 1.0f, -4.05f, 0.01f, 4.0f, 1.0f},
    {NAN, 0.01f, 0.01f, 0.0f, 5.0f, 1.0f, 1.01f, 0.01f, 4.0f, -1.0f},
    {1.0f, 0.01f, NAN, 0.0f, 5.0f, 1.0f, 1.01f, 0.01f, 4.0f, -1.0f},
};
enum { TRACKS = sizeof tracks / sizeof *tracks };

static void classify(uint32_t vertices, float score[TRACKS])
{
    static float columns[9][TRACKS];
    static const float zv[] = {1.0f, 2.0f, -4.0f};
    static const int32_t ndof[] = {4, 1, 2};
    for (int i = 0; i < TRACKS; i++) {
        const track *t = &tracks[i];
        const float row[9] = {t->chi2, t->dz_error, t->dxy_error, t->eta, t->hits, t->pt, t->dz, t->dxy, t->layers};
        for (int c = 0; c < 9; c++) columns[c][i] = row[c];
    }
    const uint32_t count = TRACKS;
    reco_cut_classifier args = {.count = &count, .ndof = ndof, .table = RECO_CUT_TABLE_INIT};
    track_features_soa *f = &args.features;
    float **const to[9] = {&f->chi2, &f->dz_error, &f->dxy_error, &f->eta, &f->hits, &f->pt, &f->dz_bs, &f->dxy_bs, &f->layers};
    for (int c = 0; c < 9; c++) *to[c] = columns[c];
    f->score = score;
    f->head.rows = TRACKS;
    args.vertices.head.rows = 3;
    args.vertices.zv = zv;
    args.vertices.nvFinal = &vertices;
    stoa_device *device;
    stoa_queue *queue;
    assert_int_equal(stoa_device_open("host", &device, NULL), STOA_OK);
    assert_int_equal(stoa_queue_create(device, STOA_QUEUE_BLOCKING, &queue, NULL), STOA_OK);
    assert_int_equal(reco_tracks_classify(queue, &args, NULL), STOA_OK);
    args.ndof = NULL;
    assert_int_equal(reco_tracks_classify(queue, &args, NULL), STOA_EINVAL);
    stoa_queue_destroy(queue);
    stoa_device_close(device);
}

static void test_grades(void **state)
{
    (void)state;
    float score[TRACKS];
    classify(3, score);
    for (int i = 0; i < TRACKS; i++)
        if (score[i] != tracks[i].expected) fail_msg("track %d: %g, %g expected", i, (double)score[i], (double)tracks[i].expected);
}

/* Without a vertex the distance is that to the beam spot, 1 cm and more here: beyond what the errors allow, but for the
 * track at eta 2, whose loose window is 104.9 x 0.0119 = 1.25 cm. */
static void test_no_vertex(void **state)
{
    (void)state;
    float score[TRACKS];
    classify(0, score);
    for (int i = 0; i < TRACKS; i++) assert_float_equal(score[i], tracks[i].eta > 0.0f ? -0.5f : -1.0f, 0.0f);
}

static void test_working_points(void **state)
{
    (void)state;
    assert_true(-0.5f >= reco_working_point_score(RECO_WORKING_LOOSE));
    assert_true(-0.5f < reco_working_point_score(RECO_WORKING_TIGHT));
    assert_true(0.5f >= reco_working_point_score(RECO_WORKING_TIGHT));
    assert_true(0.5f < reco_working_point_score(RECO_WORKING_HIGH_PURITY));
    assert_true(1.0f >= reco_working_point_score(RECO_WORKING_HIGH_PURITY));
    assert_true(isnan(reco_working_point_score(RECO_WORKING_POINTS)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grades),
        cmocka_unit_test(test_no_vertex),
        cmocka_unit_test(test_working_points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
