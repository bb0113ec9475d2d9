/* SPDX-License-Identifier: Apache-2.0 */
/* Boosted forests beside XGBoost and ONNX Runtime, on one core: 100 trees of depth 6 and 300 of depth 8, 31 float
 * features. Ours reads the columns where they lie; the peers get row-major rows as a gift. XGBoost trains the models into
 * DIR first (bench/forest_models.py), so the trees are real ones and the same for all. */
#include "bench_internal.h"

#include <errno.h>
#include <math.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mlp.h"
#include "reco/forest/forest.h"

enum { FEATURES = 31, PEERS = 2 };
extern char **environ;
extern const mlp_contender forest_xgboost;

typedef struct forest_bench {
    stoa_device *device;
    stoa_queue *queue;
    reco_forest *forest;
    reco_forest_run args;
    uint32_t rows;
    float *columns, *row_major, *out, *peer_out;
    bool failed;
} forest_bench;

static void run_native(void *self)
{
    forest_bench *b = self;
    if (reco_forest_enqueue(b->queue, &b->args, NULL) != STOA_OK) b->failed = true;
}

static bool fill(forest_bench *b, uint32_t rows)
{
    const uint32_t pitch = bench_padded(rows);
    bench_rng rng = {rows};
    b->rows = rows;
    b->columns = bench_alloc(sizeof(float) * pitch * FEATURES);
    b->row_major = bench_alloc(sizeof(float) * rows * FEATURES);
    b->out = bench_alloc(sizeof(float) * pitch);
    b->peer_out = bench_alloc(sizeof(float) * pitch);
    if (!b->columns || !b->row_major || !b->out || !b->peer_out) return false;
    b->args = (reco_forest_run){.forest = reco_forest_view_of(b->forest, NULL), .out = b->out, .count = &b->rows, .capacity = rows};
    for (uint32_t c = 0; c < FEATURES; c++) {
        float *column = b->columns + (size_t)c * pitch;
        b->args.columns[c] = column;
        for (uint32_t i = 0; i < rows; i++) b->row_major[(size_t)i * FEATURES + c] = column[i] = (float)bench_gauss(&rng);
    }
    return true;
}

static void empty(forest_bench *b)
{
    free(b->columns);
    free(b->row_major);
    free(b->out);
    free(b->peer_out);
}

/* Largest difference to what the peer wrote. */
static double difference(const forest_bench *b)
{
    double worst = 0;
    for (uint32_t i = 0; i < b->rows; i++) worst = fmax(worst, fabs((double)b->out[i] - (double)b->peer_out[i]));
    return worst;
}

static void time_rows(bench *run, forest_bench *b, const char *stem, uint32_t rows)
{
    static const mlp_spec spec = {"forest", 1, {FEATURES, 1}};
    const mlp_contender *const peers[PEERS] = {&forest_xgboost, &mlp_ort};
    static const char *const kinds[PEERS] = {"json", "onnx"};
    bench_task tasks[1 + PEERS] = {{.contender = "native", .run = run_native, .self = b}};
    void *self[PEERS] = {NULL};
    uint32_t count = 1;
    char path[512], why[MLP_WHY];
    if (!fill(b, rows)) {
        bench_fail(run, "%s: no memory for %u rows", stem, rows);
        return;
    }
    run_native(b);
    for (int p = 0; p < PEERS; p++) {
        snprintf(path, sizeof path, "%s/%s.%s", run->dir, stem, kinds[p]);
        const mlp_case mlp = {.spec = &spec, .path = path, .rows = rows, .row_major = b->row_major, .out = b->peer_out};
        if (!peers[p]->open(&mlp, &self[p], why) || !peers[p]->prepare(self[p], &mlp, why)) {
            bench_note("%s left out: %s", peers[p]->name, why);
            continue;
        }
        peers[p]->run(self[p]);
        if (!(difference(b) < 1e-5)) bench_fail(run, "%s: %s differs by %g", stem, peers[p]->name, difference(b));
        tasks[count++] = (bench_task){.contender = peers[p]->name, .run = peers[p]->run, .self = self[p]};
    }
    bench_measure(run, tasks, count, run->quick ? 3 : 7);
    bench_add_tasks(run, stem, rows, tasks, count, 0);
    for (int p = 0; p < PEERS; p++) peers[p]->close(self[p]);
}

static void time_shape(bench *run, forest_bench *b, const char *stem)
{
    char path[512];
    stoa_error err;
    snprintf(path, sizeof path, "%s/%s.forest", run->dir, stem);
    if (reco_forest_load(path, &b->forest, &err) != STOA_OK) {
        bench_fail(run, "%s: %s", stoa_status_name(err.status), err.message);
        return;
    }
    for (uint32_t rows = 10000; rows <= (run->quick ? 10000u : 100000u); rows *= 10) {
        bench_progress(run, stem, rows);
        time_rows(run, b, stem, rows);
        empty(b);
    }
    reco_forest_destroy(b->forest);
    if (b->failed) bench_fail(run, "%s: a run failed", stem);
}

/* One core for the training too: this process is pinned, and the child inherits that. */
static bool make_models(const bench *run)
{
    /* The whole path as its name, too: by that an interpreter finds its environment. */
    char python[] = STOA_BENCH_SOURCE_DIR "/.venv/bin/python3", script[] = STOA_BENCH_SOURCE_DIR "/bench/forest_models.py";
    char *const argv[] = {python, script, (char *)(uintptr_t)run->dir, NULL};
    pid_t child;
    int status = 0;
    int failed = posix_spawn(&child, python, NULL, NULL, argv, environ);
    while (!failed && waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    return !failed && status == 0;
}

static void write_table(bench *run, size_t first)
{
    FILE *out = bench_create(run, "forest.csv");
    if (!out) return;
    fputs("name,contender,rows,median_us_per_row,min_us_per_row,ratio\n", out);
    for (size_t i = first; i < run->result_count; i++) {
        const bench_result *r = &run->results[i];
        fprintf(out, "%s,%s,%llu,%.3f,%.3f,", r->name, r->contender, (unsigned long long)r->n, 1e-3 * r->median_ns / (double)r->n,
                1e-3 * r->min_ns / (double)r->n);
        bench_number(out, r->ratio, "\n");
    }
    if (fclose(out) != 0) bench_fail(run, "forest.csv: %s", strerror(errno));
}

void bench_forest(bench *run, const char *name)
{
    static const char *const stems[] = {"forest_100x6", "forest_300x8"};
    forest_bench b = {.failed = false};
    const size_t first = run->result_count;
    (void)name;
    if (!make_models(run)) {
        bench_note("forest left out: the models need .venv with xgboost (tools/setup)");
        return;
    }
    if (stoa_device_open("host", &b.device, NULL) != STOA_OK || stoa_queue_create(b.device, STOA_QUEUE_BLOCKING, &b.queue, NULL) != STOA_OK)
        bench_fail(run, "forest: no queue");
    for (size_t i = 0; b.queue && i < sizeof stems / sizeof *stems; i++) time_shape(run, &b, stems[i]);
    stoa_queue_destroy(b.queue);
    stoa_device_close(b.device);
    write_table(run, first);
}
