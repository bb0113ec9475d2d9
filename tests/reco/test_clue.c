/* SPDX-License-Identifier: Apache-2.0 */
/* CLUE (reco/clustering/clue.h) against its definition in double loops, and against the counts on real files. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "data_file.h"
#include "reco/clustering/clue.h"
#include "reco/generate/random.h"
#include "reco/io/table.h"
#include "stoa/memory.h"

#include <math.h>
#include <string.h>

enum { POINTS = 20000, SAMPLES = 400, DIMENSIONS = 3 };

typedef struct fixture {
    stoa_device *device;
    stoa_queue *queue;
    float coordinate[DIMENSIONS][POINTS], weight[POINTS];
    uint32_t offset[SAMPLES + 1], samples;
    int32_t cluster_of[POINTS], single[POINTS];
    uint32_t sample_clusters[SAMPLES + 1], cluster_points[POINTS + 1], points[POINTS];
    reco_clue args;
} fixture;

static stoa_error err;
#define OK(call)                                            \
    do {                                                    \
        if ((call) != STOA_OK) fail_msg("%s", err.message); \
    } while (0)

static int set_up(void **state)
{
    static fixture f;
    OK(stoa_device_open("host", &f.device, &err));
    OK(stoa_queue_create(f.device, STOA_QUEUE_BLOCKING, &f.queue, &err));
    const size_t bytes = reco_clue_workspace_bytes(POINTS, SAMPLES, DIMENSIONS);
    f.args = (reco_clue){.coordinate = {f.coordinate[0], f.coordinate[1], f.coordinate[2]},
                         .weight = f.weight,
                         .offset = f.offset,
                         .samples = &f.samples,
                         .point_capacity = POINTS,
                         .sample_capacity = SAMPLES,
                         .options = RECO_CLUE_OPTIONS_INIT,
                         .cluster_of = f.cluster_of,
                         .sample_clusters = f.sample_clusters,
                         .cluster_points = f.cluster_points,
                         .points = f.points,
                         .workspace = stoa_alloc(bytes, 64),
                         .workspace_bytes = bytes};
    *state = &f;
    return f.args.workspace == NULL;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    stoa_free(f->args.workspace, f->args.workspace_bytes);
    stoa_queue_destroy(f->queue);
    stoa_device_close(f->device);
    return 0;
}

static void run(fixture *f)
{
    OK(reco_clue_enqueue(f->queue, &f->args, &err));
}

/* The squared distance as the definition has it, in float as the code, so that points at the edge agree. */
static float distance2(const fixture *f, uint32_t a, uint32_t b)
{
    float sum = 0;
    for (uint32_t k = 0; k < f->args.options.dimensions; k++) {
        const float period = f->args.options.period[k], way = fabsf(f->coordinate[k][b] - f->coordinate[k][a]);
        const float d = period > 0 ? fminf(way, period - way) : way;
        sum += d * d;
    }
    return sum;
}

/* The definition, point by point. */
static void reference(const fixture *f, uint32_t first, uint32_t end, int32_t next, int32_t *cluster)
{
    const reco_clue_options *o = &f->args.options;
    float *rho = calloc(end + 1, sizeof *rho);
    int64_t *above = calloc(end + 1, sizeof *above);
    assert_true(rho && above);
    for (uint32_t i = first; i < end; i++) {
        rho[i] = 0.5f * f->weight[i];
        for (uint32_t j = first; j < end; j++)
            if (distance2(f, j, i) <= o->density_radius * o->density_radius) rho[i] += 0.5f * f->weight[j];
    }
    for (uint32_t i = first; i < end; i++) {
        const float reach = rho[i] >= o->density_min ? o->density_radius : o->outlier_distance;
        above[i] = -1;
        for (uint32_t j = first; j < end; j++) {
            const bool higher = rho[j] > rho[i] || (rho[j] >= rho[i] && rho[i] > 0 && j > i);
            const float d = distance2(f, j, i), best = above[i] < 0 ? INFINITY : distance2(f, (uint32_t)above[i], i);
            if (higher && d <= reach * reach && (d < best || (d <= best && rho[j] >= rho[above[i]]))) above[i] = j;
        }
        cluster[i] = above[i] < 0 && rho[i] >= o->density_min ? next++ : -1;
    }
    for (uint32_t i = first; i < end; i++) {
        int64_t top = i;
        while (above[top] >= 0) top = above[top];
        cluster[i] = cluster[top];
    }
    free(rho);
    free(above);
}

/* The maps say the same as the clusters of the points. */
static void check_maps(const fixture *f)
{
    uint32_t place = 0;
    assert_int_equal(f->sample_clusters[0], 0);
    for (uint32_t s = 0; s < f->samples; s++)
        for (uint32_t c = f->sample_clusters[s]; c < f->sample_clusters[s + 1]; c++) {
            assert_int_equal(f->cluster_points[c], place);
            assert_true(f->cluster_points[c + 1] > place);
            for (; place < f->cluster_points[c + 1]; place++) {
                const uint32_t point = f->points[place];
                assert_true(point >= f->offset[s] && point < f->offset[s + 1]);
                assert_true(place == f->cluster_points[c] || point > f->points[place - 1]);
                assert_int_equal(f->cluster_of[point], c);
            }
        }
    uint32_t members = 0;
    for (uint32_t i = 0; i < f->offset[f->samples]; i++) members += f->cluster_of[i] >= 0;
    assert_int_equal(members, place);
}

/* Samples of 0 to 79 points, some on a coarse grid so that there are ties, on lines and on circles, in 1 to 3 dimensions. */
static void test_against_definition(void **state)
{
    fixture *f = *state;
    static int32_t expected[POINTS];
    for (uint32_t round = 0; round < 12; round++) {
        reco_random r = reco_random_stream(1, round);
        const bool grid = round % 2, circle = round % 4 > 1;
        f->args.options = (reco_clue_options)RECO_CLUE_OPTIONS_INIT;
        f->args.options.dimensions = 1 + round % 3;
        for (uint32_t k = 0; k < DIMENSIONS; k++) f->args.options.period[k] = circle ? 2.0f : 0.0f;
        f->samples = 150;
        for (uint32_t s = 0; s < f->samples; s++) f->offset[s + 1] = f->offset[s] + s * 7 % 80;
        for (uint32_t i = 0; i < f->offset[f->samples]; i++) {
            for (uint32_t k = 0; k < DIMENSIONS; k++) {
                const double x = 2 * reco_random_uniform(&r) - 1;
                f->coordinate[k][i] = (float)(grid ? rint(x * 8) / 8 : x);
            }
            f->weight[i] = grid ? 2.0f : (float)(4 * reco_random_exponential(&r));
        }
        run(f);
        for (uint32_t s = 0; s < f->samples; s++)
            reference(f, f->offset[s], f->offset[s + 1], (int32_t)f->sample_clusters[s], expected);
        for (uint32_t i = 0; i < f->offset[f->samples]; i++)
            if (expected[i] != f->cluster_of[i]) fail_msg("round %u, point %u: cluster %d, %d expected", round, i, f->cluster_of[i], expected[i]);
        check_maps(f);
    }
}

/* Columns of a file: coordinates, then the weight. Repeated `copies` times as samples. */
static bool load(fixture *f, const char *name, uint32_t copies)
{
    reco_table *table;
    const char *path = data_file(name);
    if (!path) return false;
    OK(reco_table_read(path, &table, &err));
    const uint32_t columns = reco_table_column_count(table), rows = reco_table_rows(table);
    assert_true(rows * copies <= POINTS);
    f->samples = copies;
    f->args.options = (reco_clue_options)RECO_CLUE_OPTIONS_INIT;
    f->args.options.dimensions = columns - 1;
    for (uint32_t c = 0; c < copies; c++) {
        f->offset[c + 1] = (c + 1) * rows;
        for (uint32_t k = 0; k + 1 < columns; k++)
            reco_column_floats(reco_table_column(table, k), 0, rows, f->coordinate[k] + c * rows);
        reco_column_floats(reco_table_column(table, columns - 1), 0, rows, f->weight + c * rows);
    }
    reco_table_destroy(table);
    return true;
}

static uint32_t outliers(const fixture *f)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < f->offset[f->samples]; i++) count += f->cluster_of[i] < 0;
    return count;
}

/* Counts that another program found with the same definition. */
static void test_real_files(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *name;
        float radius, density, distance;
        uint32_t clusters, outliers, copies;
    } cases[] = {{"clue/data_1024.csv", 1.5f, 10, 1.5f, 20, 103, 1},  {"clue/data_4096.csv", 1.5f, 10, 1.5f, 20, 409, 1},
                 {"clue/data_16384.csv", 1.5f, 10, 1.5f, 20, 1587, 1}, {"clue/blob.csv", 1, 5, 2, 4, 0, 1},
                 {"clue/data_1024.csv", 1.5f, 10, 1.5f, 200, 1030, 10}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        if (!load(f, cases[c].name, cases[c].copies)) skip();
        f->args.options.density_radius = cases[c].radius;
        f->args.options.density_min = cases[c].density;
        f->args.options.outlier_distance = cases[c].distance;
        run(f);
        if (f->sample_clusters[f->samples] != cases[c].clusters || outliers(f) != cases[c].outliers)
            fail_msg("%s: %u clusters and %u outliers, %u and %u expected", cases[c].name, f->sample_clusters[f->samples],
                     outliers(f), cases[c].clusters, cases[c].outliers);
        check_maps(f);
    }
}

static void test_circle(void **state)
{
    fixture *f = *state;
    if (!load(f, "clue/opposite_angles.csv", 1)) skip();
    f->args.options.density_radius = f->args.options.outlier_distance = 0.2f;
    f->args.options.density_min = 5;
    run(f);
    assert_int_equal(f->sample_clusters[1], 2);
    f->args.options.period[1] = 6.2831853f;
    run(f);
    assert_int_equal(f->sample_clusters[1], 1);
}

/* No samples, samples without points, one point, all at one place, NaN and infinity. */
static void test_few_and_absurd(void **state)
{
    fixture *f = *state;
    f->args.options = (reco_clue_options)RECO_CLUE_OPTIONS_INIT;
    f->samples = 0;
    run(f);
    assert_int_equal(f->sample_clusters[0], 0);
    f->samples = 4;
    static const uint32_t offset[] = {0, 0, 1, 41, 44};
    memcpy(f->offset, offset, sizeof offset);
    for (uint32_t i = 0; i < 44; i++) f->coordinate[0][i] = f->coordinate[1][i] = 1, f->weight[i] = 6;
    f->coordinate[0][41] = NAN;
    f->coordinate[0][42] = INFINITY;
    f->coordinate[1][43] = -INFINITY;
    run(f);
    static const uint32_t first[] = {0, 0, 1, 2};
    for (uint32_t s = 0; s < 4; s++) assert_int_equal(f->sample_clusters[s], first[s]);
    assert_int_equal(f->cluster_of[0], 0);
    for (uint32_t i = 1; i < 41; i++) assert_int_equal(f->cluster_of[i], 1);
    check_maps(f);
}

static void test_errors(void **state)
{
    fixture *f = *state;
    reco_clue args = f->args;
    args.options.dimensions = 11;
    assert_int_equal(reco_clue_enqueue(f->queue, &args, &err), STOA_EINVAL);
    args.options = (reco_clue_options)RECO_CLUE_OPTIONS_INIT;
    args.options.density_radius = NAN;
    assert_int_equal(reco_clue_enqueue(f->queue, &args, &err), STOA_EINVAL);
    args.options = (reco_clue_options)RECO_CLUE_OPTIONS_INIT;
    args.workspace_bytes = reco_clue_workspace_bytes(POINTS, SAMPLES, args.options.dimensions) - 1;
    assert_int_equal(reco_clue_enqueue(f->queue, &args, &err), STOA_ESHAPE);
    args.workspace_bytes++;
    args.points = NULL;
    assert_int_equal(reco_clue_enqueue(f->queue, &args, &err), STOA_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_definition), cmocka_unit_test(test_real_files), cmocka_unit_test(test_circle),
        cmocka_unit_test(test_few_and_absurd),     cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
