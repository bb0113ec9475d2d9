/* SPDX-License-Identifier: Apache-2.0 */
/* `stoa cluster`: CLUE over the points of a file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "reco/clustering/clue.h"
#include "reco/io/table.h"

enum { CLUSTER_ROUNDS = 5 };

typedef struct cluster_command {
    const char *out, *metric, *kernel, *periods;
    reco_clue_options clue;
    bool json;
} cluster_command;

typedef struct cluster_state {
    reco_table *table;
    stoa_device *device;
    stoa_queue *queue;
    stoa_buffer *columns, *maps, *workspace;
    reco_clue clue;
    uint32_t points, offset[2], samples, sample_clusters[2], outliers;
    double median_us;
} cluster_state;

static const char *const metrics[] = {"euclid", "manhattan", "chebyshev", "box"};
static const char *const kernels[] = {"flat", "gaussian", "exponential"};
_Static_assert(sizeof metrics / sizeof *metrics == RECO_CLUE_METRIC_COUNT, "one name for each metric");
_Static_assert(sizeof kernels / sizeof *kernels == RECO_CLUE_KERNEL_COUNT, "one name for each kernel");

/* "1=6.2832,..": coordinates count from 0; which of them there are the file tells. */
static int set_periods(const char *list, reco_clue_options *clue)
{
    for (const char *at = list; at && *at;) {
        char *end;
        const unsigned long dimension = strtoul(at, &end, 10);
        const char *const equals = end;
        const float period = *equals == '=' ? strtof(equals + 1, &end) : 0.0f;
        if (dimension >= RECO_CLUE_DIMENSIONS_MAX || !(period > 0.0f && period <= RECO_CLUE_DISTANCE_MAX) || end == equals + 1 ||
            (*end != ',' && *end != '\0'))
            return cli_usage("cluster", "--period: '%s' given, DIM=P needed, with DIM from 0 to %d and P above 0 and up to %g", at,
                             RECO_CLUE_DIMENSIONS_MAX - 1, (double)RECO_CLUE_DISTANCE_MAX);
        clue->period[dimension] = period;
        at = *end ? end + 1 : end;
    }
    return CLI_CONTINUE;
}

static stoa_status check_periods(const reco_clue_options *clue, stoa_error *err)
{
    for (uint32_t k = clue->dimensions; k < RECO_CLUE_DIMENSIONS_MAX; k++)
        if (clue->period[k] > 0)
            return STOA_FAIL(err, STOA_EINVAL, "--period: coordinate %u given, the file has 0 to %u", k, clue->dimensions - 1);
    return STOA_OK;
}

static stoa_status make_buffer(cluster_state *state, size_t bytes, stoa_buffer **buffer, void **data, stoa_error *err)
{
    STOA_TRY(stoa_buffer_create(state->queue, STOA_MEMORY_DEVICE, bytes, buffer, err));
    *data = stoa_buffer_data(*buffer);
    return STOA_OK;
}

/* The file's columns as floats, end to end; the last one is the weight. */
static stoa_status load_columns(cluster_state *state, stoa_error *err)
{
    reco_clue *clue = &state->clue;
    const uint32_t dimensions = clue->options.dimensions, points = state->points;
    void *data;
    STOA_TRY(make_buffer(state, sizeof(float) * (dimensions + 1) * ((size_t)points + 1), &state->columns, &data, err));
    float *column = data;
    for (uint32_t k = 0; k <= dimensions; k++, column += points) {
        reco_column_floats(reco_table_column(state->table, k), 0, points, column);
        if (k < dimensions) clue->coordinate[k] = column;
        else clue->weight = column;
    }
    return STOA_OK;
}

static stoa_status set_up(const cluster_command *command, const char *path, cluster_state *state, stoa_error *err)
{
    reco_clue *clue = &state->clue;
    void *maps;
    STOA_TRY(reco_table_read(path, &state->table, err));
    STOA_TRY(stoa_device_open("host", &state->device, err));
    STOA_TRY(stoa_queue_create(state->device, STOA_QUEUE_BLOCKING, &state->queue, err));
    const uint32_t columns = reco_table_column_count(state->table), points = reco_table_rows(state->table);
    if (columns < 2 || columns > RECO_CLUE_DIMENSIONS_MAX + 1)
        return STOA_FAIL(err, STOA_ESHAPE, "%s: %u columns, 2 to %d needed: coordinates, then the weight", path, columns,
                         RECO_CLUE_DIMENSIONS_MAX + 1);
    clue->options = command->clue;
    clue->options.dimensions = columns - 1;
    STOA_TRY(check_periods(&clue->options, err));
    state->points = state->offset[1] = clue->point_capacity = points;
    state->samples = clue->sample_capacity = 1;
    STOA_TRY(load_columns(state, err));
    STOA_TRY(make_buffer(state, sizeof(uint32_t) * 4 * ((size_t)points + 1), &state->maps, &maps, err));
    clue->cluster_of = maps;
    clue->cluster_points = (uint32_t *)maps + points;
    clue->points = clue->cluster_points + points + 1;
    clue->seeds = clue->points + points;
    clue->sample_clusters = state->sample_clusters;
    clue->offset = state->offset;
    clue->samples = &state->samples;
    clue->workspace_bytes = reco_clue_workspace_bytes(points, 1, clue->options.dimensions);
    return make_buffer(state, clue->workspace_bytes, &state->workspace, &clue->workspace, err);
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static stoa_status cluster(cluster_state *state, stoa_error *err)
{
    double us[CLUSTER_ROUNDS];
    for (int round = -1; round < CLUSTER_ROUNDS; round++) { /* the first warms up */
        const double begin_us = cli_now_us();
        STOA_TRY(reco_clue_enqueue(state->queue, &state->clue, err));
        STOA_TRY(stoa_queue_wait(state->queue, err));
        if (round >= 0) us[round] = cli_now_us() - begin_us;
    }
    qsort(us, CLUSTER_ROUNDS, sizeof *us, compare);
    state->median_us = us[CLUSTER_ROUNDS / 2];
    return STOA_OK;
}

/* The table as it was read, with two more columns. */
static stoa_status write_out(const char *path, cluster_state *state, stoa_error *err)
{
    void *cluster_id, *is_seed;
    STOA_TRY(reco_table_add(state->table, "cluster_id", STOA_INT64, &cluster_id, err));
    STOA_TRY(reco_table_add(state->table, "is_seed", STOA_INT64, &is_seed, err));
    for (uint32_t i = 0; i < state->points; i++) {
        ((int64_t *)cluster_id)[i] = state->clue.cluster_of[i];
        state->outliers += state->clue.cluster_of[i] < 0;
    }
    for (uint32_t c = 0; c < state->sample_clusters[1]; c++) ((int64_t *)is_seed)[state->clue.seeds[c]] = 1;
    return reco_table_write(path, state->table, err);
}

static void state_deinit(cluster_state *state)
{
    stoa_buffer_release(state->columns);
    stoa_buffer_release(state->maps);
    stoa_buffer_release(state->workspace);
    stoa_queue_destroy(state->queue);
    stoa_device_close(state->device);
    reco_table_destroy(state->table);
}

static int report(const cluster_command *command, const cluster_state *state)
{
    if (command->json)
        return cli_json(json_pack("{s:I, s:I, s:I, s:f}", "points", (json_int_t)state->points, "clusters",
                                  (json_int_t)state->sample_clusters[1], "outliers", (json_int_t)state->outliers, "median_us",
                                  state->median_us));
    printf("%u points, %u clusters, %u outliers, %.1f us\nwritten: %s\n", state->points, state->sample_clusters[1], state->outliers,
           state->median_us, command->out);
    return CLI_DONE;
}

int verb_cluster(int argc, char **argv)
{
    cluster_command c = {.metric = "euclid", .kernel = "flat", .clue = RECO_CLUE_OPTIONS_INIT};
    c.clue.density_radius = c.clue.density_min = c.clue.outlier_distance = -1.0f;
    const cli_option options[] = {
        {"dc", CLI_REAL_OF(0, RECO_CLUE_DISTANCE_MAX), &c.clue.density_radius, "X", "density radius (needed)"},
        {"rhoc", CLI_LENGTH, &c.clue.density_min, "Y", "least density of a seed (needed)"},
        {"dm", CLI_REAL_OF(0, RECO_CLUE_DISTANCE_MAX), &c.clue.outlier_distance, "Z", "outlier distance (needed)"},
        {"ds", CLI_REAL_OF(0, RECO_CLUE_DISTANCE_MAX), &c.clue.seeding_distance, "D", "least distance of seeds (that of --dc)"},
        {"metric", CLI_TEXT, &c.metric, "M", "euclid, manhattan, chebyshev or box (euclid)"},
        {"kernel", CLI_TEXT, &c.kernel, "K", "flat, gaussian or exponential (flat)"},
        {"amplitude", CLI_LENGTH, &c.clue.kernel_amplitude, "A", "the kernel at distance 0 (0.5)"},
        {"width", CLI_REAL_OF(FLT_MIN, FLT_MAX), &c.clue.kernel_width, "S", "sigma or decay length of the kernel (1)"},
        {"period", CLI_TEXT, &c.periods, "DIM=P,..", "coordinates on a circle, counted from 0"},
        {"out", CLI_TEXT, &c.out, "FILE.csv", "the table with cluster_id and is_seed added (needed)"},
        {"json", CLI_FLAG, &c.json, NULL, "one JSON object on standard output"},
    };
    const cli_syntax syntax = CLI_SYNTAX("cluster", "FILE.csv --dc X --rhoc Y --dm Z --out FILE.csv ", 1, 1,
                                         "CLUE clustering. Columns of the file: coordinates (1 to 10), then the weight. Adds "
                                         "cluster_id (-1: outlier) and is_seed.",
                                         "stoa cluster points.csv --dc 1.5 --rhoc 10 --dm 1.5 --out clusters.csv", options);
    int first, code = cli_parse(&syntax, argc, argv, &first), metric = 0, kernel = 0;
    if (code != CLI_CONTINUE) return code;
    if (!c.out) return cli_usage("cluster", "no --out FILE given");
    if (c.clue.density_radius < 0 || c.clue.density_min < 0 || c.clue.outlier_distance < 0)
        return cli_usage("cluster", "--dc, --rhoc and --dm are needed");
    code = cli_choose("cluster", "metric", c.metric, metrics, RECO_CLUE_METRIC_COUNT, &metric);
    if (code == CLI_CONTINUE) code = set_periods(c.periods, &c.clue);
    if (code == CLI_CONTINUE) code = cli_choose("cluster", "kernel", c.kernel, kernels, RECO_CLUE_KERNEL_COUNT, &kernel);
    if (code != CLI_CONTINUE) return code;
    c.clue.metric = (uint32_t)metric;
    c.clue.kernel = (uint32_t)kernel;
    cluster_state state = {0};
    stoa_error err;
    stoa_status status = set_up(&c, argv[first], &state, &err);
    if (status == STOA_OK) status = cluster(&state, &err);
    if (status == STOA_OK) status = write_out(c.out, &state, &err);
    const int exit_code = status == STOA_OK ? report(&c, &state) : cli_fail(&err);
    state_deinit(&state);
    return exit_code;
}
