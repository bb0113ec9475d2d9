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
#include "reco/kernels.h"
#include "unit/device_under_test.h"

#include <math.h>
#include <string.h>

enum { POINTS = 20000, SAMPLES = 400, DIMENSIONS = RECO_CLUE_DIMENSIONS_MAX };

typedef struct fixture {
    device_fixture on;
    uint32_t one, single_offset[2], single_clusters[2], single_maps[2][POINTS + 1];
    float coordinate[DIMENSIONS][POINTS], weight[POINTS];
    uint32_t offset[SAMPLES + 1], samples;
    int32_t cluster_of[POINTS], single[POINTS];
    uint32_t sample_clusters[SAMPLES + 1], cluster_points[POINTS + 1], points[POINTS], seeds[POINTS];
    float density[POINTS];
    reco_clue args;
} fixture;

static stoa_error err;
#define OK(call) \
    do { \
        if ((call) != STOA_OK) fail_msg("%s", err.message); \
    } while (0)

static int set_up(void **state)
{
    const size_t bytes = reco_clue_workspace_bytes(POINTS, SAMPLES, DIMENSIONS);
    fixture *f = *state = open_fixture(sizeof *f, bytes);
    if (!f) return -1;
    f->args = (reco_clue){.weight = f->weight,
                          .offset = f->offset,
                          .samples = &f->samples,
                          .point_capacity = POINTS,
                          .sample_capacity = SAMPLES,
                          .options = RECO_CLUE_OPTIONS_INIT,
                          .cluster_of = f->cluster_of,
                          .sample_clusters = f->sample_clusters,
                          .cluster_points = f->cluster_points,
                          .points = f->points,
                          .seeds = f->seeds,
                          .density = f->density,
                          .workspace = stoa_buffer_data(f->on.workspace),
                          .workspace_bytes = bytes};
    for (uint32_t k = 0; k < DIMENSIONS; k++) f->args.coordinate[k] = f->coordinate[k];
    return 0;
}

static void run(fixture *f) { OK(reco_clue_enqueue(f->on.queue, &f->args, &err)); }

typedef struct distance {
    float size, rank; /* what is compared with the reach, and what tells the nearer: squared for Euclid */
} distance;

/* In float and in the order of the coordinates as in the code, so that points at the edge agree. */
static distance distance_of(const fixture *f, uint32_t a, uint32_t b)
{
    const reco_clue_options *o = &f->args.options;
    float squares = 0, sum = 0, largest = 0;
    for (uint32_t k = 0; k < o->dimensions; k++) {
        const float scale = o->scale[k] > 0 ? o->scale[k] : 1, period = o->period[k] * scale;
        float way = fabsf(f->coordinate[k][b] * scale - f->coordinate[k][a] * scale);
        if (period > 0) way = fminf(way, period - way);
        squares += way * way;
        sum += way;
        largest = fmaxf(largest, way);
    }
    switch (o->metric) {
    case RECO_CLUE_EUCLID: return (distance){squares, squares};
    case RECO_CLUE_MANHATTAN: return (distance){sum, sum};
    case RECO_CLUE_CHEBYSHEV: return (distance){largest, largest};
    default: return (distance){largest, squares};
    }
}

static bool within(const fixture *f, float size, float reach)
{ return size <= (f->args.options.metric == RECO_CLUE_EUCLID ? reach * reach : reach); }

static bool placed(const fixture *f, uint32_t i)
{
    bool finite = true;
    for (uint32_t k = 0; k < f->args.options.dimensions; k++) finite = finite && isfinite(f->coordinate[k][i]);
    return finite;
}

static double kernel_at(const reco_clue_options *o, float size)
{
    const double d = o->metric == RECO_CLUE_EUCLID ? sqrt((double)size) : (double)size, width = (double)o->kernel_width;
    const double shape = o->kernel == RECO_CLUE_GAUSSIAN      ? exp(-d * d / (2 * width * width))
                         : o->kernel == RECO_CLUE_EXPONENTIAL ? exp(-d / width)
                                                              : 1;
    return (double)o->kernel_amplitude * shape;
}

static void check_density(const fixture *f, uint32_t first, uint32_t end)
{
    const reco_clue_options *o = &f->args.options;
    for (uint32_t i = first; i < end; i++) {
        double rho = placed(f, i) ? (double)f->weight[i] : 0;
        for (uint32_t j = first; j < end && placed(f, i); j++) {
            const float size = distance_of(f, j, i).size;
            if (j != i && placed(f, j) && within(f, size, o->density_radius)) rho += kernel_at(o, size) * (double)f->weight[j];
        }
        if (!(fabs(rho - (double)f->density[i]) <= 1e-5 * rho))
            fail_msg("point %u: density %.9g, %.9g expected (rtol 1e-5)", i, (double)f->density[i], rho);
    }
}

/* The definition, point by point, from the densities that were found. */
static void reference(const fixture *f, uint32_t first, uint32_t end, int32_t next, int32_t *cluster)
{
    const reco_clue_options *o = &f->args.options;
    const float *rho = f->density, seeding = o->seeding_distance > 0 ? o->seeding_distance : o->density_radius;
    int64_t *above = calloc(end + 1, sizeof *above);
    assert_non_null(above);
    check_density(f, first, end);
    for (uint32_t i = first; i < end; i++) {
        const float reach = rho[i] >= o->density_min ? seeding : o->outlier_distance;
        float best = INFINITY;
        above[i] = -1;
        for (uint32_t j = first; j < end && placed(f, i); j++) {
            const bool higher = rho[j] > rho[i] || (rho[j] >= rho[i] && rho[i] > 0 && j > i);
            const distance d = distance_of(f, j, i);
            if (!placed(f, j) || !higher || !within(f, d.size, reach)) continue;
            if (d.rank < best || (d.rank <= best && rho[j] >= rho[above[i]])) above[i] = j, best = d.rank;
        }
        cluster[i] = above[i] < 0 && placed(f, i) && rho[i] >= o->density_min ? next++ : -1;
    }
    for (uint32_t i = first; i < end; i++) {
        int64_t top = i;
        while (above[top] >= 0) top = above[top];
        cluster[i] = cluster[top];
    }
    free(above);
}

static void check_all(const fixture *f, const char *what, uint32_t round)
{
    static int32_t expected[POINTS];
    for (uint32_t s = 0; s < f->samples; s++) reference(f, f->offset[s], f->offset[s + 1], (int32_t)f->sample_clusters[s], expected);
    for (uint32_t i = 0; i < f->offset[f->samples]; i++)
        if (expected[i] != f->cluster_of[i])
            fail_msg("%s, round %u, point %u: cluster %d, %d expected", what, round, i, f->cluster_of[i], expected[i]);
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
            assert_int_equal(f->cluster_of[f->seeds[c]], c);
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

/* Points in [-1, 1] that lie closer in more dimensions; on a grid of eighths there are ties. */
static void fill(fixture *f, uint32_t round, bool grid)
{
    reco_random r = reco_random_stream(1, round);
    for (uint32_t i = 0; i < f->offset[f->samples]; i++) {
        for (uint32_t k = 0; k < f->args.options.dimensions; k++) {
            const double x = 2 * reco_random_uniform(&r) - 1;
            f->coordinate[k][i] = (float)(grid ? rint(x * 8) / 8 : x);
        }
        f->weight[i] = grid ? 2.0f : (float)(4 * reco_random_exponential(&r));
    }
}

/* Samples of 0 to 79 points and one of 900, of each metric, kernel and dimension, on lines and on circles, scaled or not. */
static void test_against_definition(void **state)
{
    fixture *f = *state;
    const uint32_t step = device_is_host() ? 1 : 4; /* the fake device is slow */
    uint32_t clusters = 0, round = 0;
    f->samples = 25;
    for (uint32_t s = 0; s < f->samples; s++) f->offset[s + 1] = f->offset[s] + (s == 12 ? 900 : s * 7 % 80);
    for (uint32_t metric = 0; metric < RECO_CLUE_METRIC_COUNT; metric++)
        for (uint32_t kernel = 0; kernel < RECO_CLUE_KERNEL_COUNT; kernel++)
            for (uint32_t dimensions = 1; dimensions <= DIMENSIONS; dimensions += step, round++) {
                reco_clue_options *o = &f->args.options;
                *o = (reco_clue_options)RECO_CLUE_OPTIONS_INIT;
                o->dimensions = dimensions;
                o->metric = metric;
                o->kernel = kernel;
                o->kernel_width = 0.3f;
                o->density_radius = dimensions < 3 ? 0.1f : 0.15f * (float)dimensions;
                o->outlier_distance = o->density_radius * (round % 2 ? 2.0f : 0.75f);
                o->seeding_distance = round % 3 ? 0.0f : 1.5f * o->density_radius;
                for (uint32_t k = 0; k < dimensions; k++) {
                    o->period[k] = (round + k) % 4 > 1 ? 2.0f : 0.0f;
                    o->scale[k] = round % 5 == 1 ? 0.5f + 0.25f * (float)k : 0.0f;
                }
                fill(f, round, round % 4 == 3);
                run(f);
                check_all(f, "definition", round);
                check_maps(f);
                clusters += f->sample_clusters[f->samples];
            }
    assert_true(clusters > 10 * round);
}

/* A sample alone gives what it gives among others. */
static void test_singles_equal_batch(void **state)
{
    fixture *f = *state;
    f->args.options = (reco_clue_options)RECO_CLUE_OPTIONS_INIT;
    f->samples = 60;
    for (uint32_t s = 0; s < f->samples; s++) f->offset[s + 1] = f->offset[s] + s * 37 % 300;
    fill(f, 77, false);
    run(f);
    for (uint32_t s = 0; s < f->samples; s++) {
        const uint32_t first = f->offset[s], n = f->offset[s + 1] - first;
        reco_clue args = f->args;
        f->one = 1;
        f->single_offset[1] = n;
        for (uint32_t k = 0; k < 2; k++) args.coordinate[k] += first;
        args.weight += first;
        args.offset = f->single_offset;
        args.samples = &f->one;
        args.point_capacity = n;
        args.sample_capacity = 1;
        args.cluster_of = f->single;
        args.sample_clusters = f->single_clusters;
        args.cluster_points = f->single_maps[0];
        args.points = f->single_maps[1];
        args.seeds = NULL;
        args.density = NULL;
        OK(reco_clue_enqueue(f->on.queue, &args, &err));
        for (uint32_t i = 0; i < n; i++) {
            const int32_t base = f->cluster_of[first + i] < 0 ? 0 : (int32_t)f->sample_clusters[s];
            assert_int_equal(f->single[i] + base, f->cluster_of[first + i]);
        }
    }
}

/* A few points very far away do not change the others, and come to no harm. */
static void test_huge_extents(void **state)
{
    fixture *f = *state;
    f->args.options = (reco_clue_options)RECO_CLUE_OPTIONS_INIT;
    f->samples = 1;
    f->offset[1] = 3000;
    fill(f, 5, false);
    f->coordinate[0][3] = 1e30f;
    f->coordinate[1][4] = -3e38f;
    f->coordinate[0][5] = 1e7f;
    for (uint32_t i = 6; i < 40; i++) f->coordinate[1][i] = 123456.0f; /* a clump far out */
    f->coordinate[0][50] = NAN;
    f->coordinate[1][51] = INFINITY;
    f->args.options.density_radius = f->args.options.outlier_distance = 0.05f;
    run(f);
    check_all(f, "huge extents", 0);
    check_maps(f);
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
        for (uint32_t k = 0; k + 1 < columns; k++) reco_column_floats(reco_table_column(table, k), 0, rows, f->coordinate[k] + c * rows);
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
        float seeding;
        uint32_t clusters, outliers, copies;
    } cases[] = {{"clue/data_1024.csv", 1.5f, 10, 1.5f, 0, 20, 103, 1},
                 {"clue/data_4096.csv", 1.5f, 10, 1.5f, 0, 20, 409, 1},
                 {"clue/data_16384.csv", 1.5f, 10, 1.5f, 0, 20, 1587, 1},
                 {"clue/blob.csv", 1, 5, 2, 2, 4, 0, 1},
                 {"clue/moons.csv", 78, 80, 90, 100, 2, 0, 1},
                 {"clue/data_1024.csv", 1.5f, 10, 1.5f, 0, 200, 1030, 10}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        if (!load(f, cases[c].name, cases[c].copies)) skip();
        f->args.options.density_radius = cases[c].radius;
        f->args.options.density_min = cases[c].density;
        f->args.options.outlier_distance = cases[c].distance;
        f->args.options.seeding_distance = cases[c].seeding;
        run(f);
        if (f->sample_clusters[f->samples] != cases[c].clusters || outliers(f) != cases[c].outliers)
            fail_msg("%s: %u clusters and %u outliers, %u and %u expected", cases[c].name, f->sample_clusters[f->samples], outliers(f),
                     cases[c].clusters, cases[c].outliers);
        check_maps(f);
    }
}

/* CLUEstering's own results of the box metric: partition and seeds. */
static void compare_truth(const fixture *f, const char *name)
{
    static int32_t theirs[POINTS], ours[POINTS];
    reco_table *table;
    OK(reco_table_read(data_file(name), &table, &err));
    const uint32_t rows = reco_table_rows(table), columns = reco_table_column_count(table);
    const reco_column *id = reco_table_column(table, columns - 2), *seed = reco_table_column(table, columns - 1);
    assert_int_equal(rows, f->offset[1]);
    for (uint32_t i = 0; i < rows; i++) theirs[i] = ours[i] = -1;
    for (uint32_t i = 0; i < rows; i++) {
        const int32_t a = f->cluster_of[i], b = (int32_t)reco_column_value(id, i);
        const bool is_seed = a >= 0 && f->seeds[a] == i;
        if ((a < 0) != (b < 0) || is_seed != (reco_column_value(seed, i) > 0))
            fail_msg("%s, point %u: cluster %d, seed %d; %d expected", name, i, a, is_seed, b);
        if (a < 0) continue;
        if (theirs[a] < 0 && ours[b] < 0) theirs[a] = b, ours[b] = a;
        if (theirs[a] != b || ours[b] != a) fail_msg("%s, point %u: clusters %d and %d are not the same", name, i, a, b);
    }
    reco_table_destroy(table);
}

static void test_truth_files(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *name, *truth;
        float radius, density, distance;
    } cases[] = {{"clue/data_1024.csv", "clue/truth/data_1024_truth.csv", 1.3f, 10, 1.3f},
                 {"clue/data_4096.csv", "clue/truth/data_4096_truth.csv", 1.3f, 10, 1.3f},
                 {"clue/data_16384.csv", "clue/truth/data_16384_truth.csv", 1.3f, 10, 1.3f},
                 {"clue/blob.csv", "clue/truth/blob_truth.csv", 1, 5, 2}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        if (!load(f, cases[c].name, 1)) skip();
        f->args.options.metric = RECO_CLUE_BOX;
        f->args.options.density_radius = cases[c].radius;
        f->args.options.density_min = cases[c].density;
        f->args.options.outlier_distance = cases[c].distance;
        run(f);
        compare_truth(f, cases[c].truth);
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
    assert_int_equal(reco_clue_enqueue(f->on.queue, &args, &err), STOA_EINVAL);
    args.options = (reco_clue_options)RECO_CLUE_OPTIONS_INIT;
    args.options.density_radius = NAN;
    assert_int_equal(reco_clue_enqueue(f->on.queue, &args, &err), STOA_EINVAL);
    args.options = (reco_clue_options)RECO_CLUE_OPTIONS_INIT;
    args.workspace_bytes = reco_clue_workspace_bytes(POINTS, SAMPLES, args.options.dimensions) - 1;
    assert_int_equal(reco_clue_enqueue(f->on.queue, &args, &err), STOA_ESHAPE);
    args.workspace_bytes++;
    args.points = NULL;
    assert_int_equal(reco_clue_enqueue(f->on.queue, &args, &err), STOA_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_definition), cmocka_unit_test(test_singles_equal_batch),
        cmocka_unit_test(test_huge_extents),       cmocka_unit_test(test_real_files),
        cmocka_unit_test(test_truth_files),        cmocka_unit_test(test_circle),
        cmocka_unit_test(test_few_and_absurd),     cmocka_unit_test(test_errors),
    };
    require_device();
    OK(reco_kernels_register(&err));
    return cmocka_run_group_tests(tests, set_up, close_fixture);
}
