/* SPDX-License-Identifier: Apache-2.0 */
/* Columns where they lie against the path of frameworks that want tensors: gather all columns into one row-major tensor, run, copy the
 * result back. The high-purity selector's shape, 17 columns to one, by every runtime that is here. A runtime that cannot take row-major rows
 * gets what it can: a compact block. ONNX Runtime takes no columns: its direct path is the session's gather, tile by tile. */
#include "bench_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "stoa/runtime.h"
#include "stoa/stoa.h"

enum { WIDTH = 17, RUNTIMES = 4, TASKS = 2 * RUNTIMES };

static const struct {
    const char *name, *copy_name, *extension;
} runtimes[RUNTIMES] = {{"native", "native_copy", "onnx"},
                        {"aoti", "aoti_copy", "pt2"},
                        {"torchscript", "torchscript_copy", "pt"},
                        {"onnxruntime", "onnxruntime_copy", "onnx"}};

/* One way of one runtime: a session bound to the columns, or to the tensor and what lies before and behind it. */
typedef struct way {
    stoa_model *model;
    stoa_session *session;
    const float *columns; /* WIDTH columns of `pitch` */
    float *tensor, *result, *score;
    uint32_t rows, pitch;
    bool copies, row_major, failed;
} way;

static void gather(const way *w)
{
    if (!w->row_major) {
        for (uint32_t k = 0; k < WIDTH; k++)
            memcpy(w->tensor + (size_t)k * w->rows, w->columns + (size_t)k * w->pitch, w->rows * sizeof(float));
        return;
    }
    for (uint32_t k = 0; k < WIDTH; k++)
        for (uint32_t row = 0; row < w->rows; row++) w->tensor[(size_t)row * WIDTH + k] = w->columns[(size_t)k * w->pitch + row];
}

static void run_way(void *self)
{
    way *w = self;
    if (w->copies) gather(w);
    if (stoa_session_run(w->session, w->rows, NULL) != STOA_OK) w->failed = true;
    if (w->copies) memcpy(w->score, w->result, w->rows * sizeof(float));
}

static stoa_status bind_way(way *w, stoa_queue *queue, stoa_error *err)
{
    const stoa_place host = {STOA_PLACE_HOST, 0};
    const stoa_column_rule rule = stoa_model_capabilities(w->model)->inputs;
    stoa_session_options options = STOA_SESSION_OPTIONS_INIT;
    options.allow_copies = !w->copies && rule == STOA_RULE_ROW_MAJOR;
    w->row_major = rule != STOA_RULE_BLOCK && rule != STOA_RULE_UNIT;
    const size_t step = !w->copies ? w->pitch : w->row_major ? 1 : w->rows;
    stoa_column columns[WIDTH], score = stoa_column_over(w->copies ? w->result : w->score, STOA_FLOAT32, w->rows, 1, host);
    for (uint32_t k = 0; k < WIDTH; k++)
        columns[k] = stoa_column_over_const((w->copies ? w->tensor : w->columns) + k * step, STOA_FLOAT32, w->rows,
                                            w->copies && w->row_major ? WIDTH : 1, host);
    STOA_TRY(stoa_session_create(w->model, queue, w->rows, &options, &w->session, err));
    STOA_TRY(stoa_session_bind(w->session, "x", stoa_tensor_of(columns, WIDTH), err));
    return stoa_session_bind(w->session, "score", stoa_tensor_of(&score, 1), err);
}

static stoa_model *load(const char *runtime, const char *extension)
{
    char path[1024];
    stoa_error err;
    stoa_model *model = NULL;
    const stoa_model_options options = {.struct_size = sizeof options, .runtime = runtime};
    snprintf(path, sizeof path, "%s/selector.%s", bench_packages(), extension);
    if (stoa_model_load(path, &options, &model, &err) != STOA_OK) bench_note("copy: %s left out: %s", runtime, err.message);
    return model;
}

/* Every way gives the native engine's scores. */
static bool is_right(const way *ways, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t row = 0; row < ways[i].rows; row++)
            if (ways[i].failed || !(fabsf(ways[i].score[row] - ways[0].score[row]) < 1e-5f)) return false;
    return true;
}

static void write_lines(bench *run, FILE *out, uint32_t rows, const bench_task *tasks, uint32_t count)
{
    bench_add_tasks(run, "copy", rows, tasks, count, 0);
    for (uint32_t t = 0; t < count; t++) {
        fprintf(out, "copy,%s,%u,", tasks[t].contender, rows);
        bench_number(out, tasks[t].median_ns, ",");
        bench_number(out, tasks[t].min_ns, ",");
        bench_number(out, tasks[t].median_ns / rows, ",");
        bench_number(out, tasks[t].median_ns / tasks[t - t % 2].median_ns, "\n"); /* tasks come in pairs: direct, copy */
    }
}

static void free_way(way *w)
{
    stoa_session_destroy(w->session);
    free(w->tensor);
    free(w->result);
    free(w->score);
}

/* Two ways of each runtime that is there, in one run. */
static void time_rows(bench *run, FILE *out, stoa_queue *queue, stoa_model *const *models, uint32_t rows)
{
    way ways[TASKS] = {{0}};
    bench_task tasks[TASKS];
    uint32_t count = 0;
    const uint32_t pitch = bench_padded(rows);
    bench_rng rng = {rows};
    float *columns = bench_alloc(sizeof(float) * WIDTH * pitch);
    stoa_error err = {0};
    stoa_status status = columns ? STOA_OK : STOA_FAIL(&err, STOA_ENOMEM, "no memory for %u rows", rows);
    for (size_t i = 0; columns && i < (size_t)WIDTH * pitch; i++) columns[i] = (float)bench_gauss(&rng);
    bench_progress(run, "copy", rows);
    for (uint32_t i = 0; i < TASKS && status == STOA_OK; i++) {
        if (!models[i / 2]) continue;
        way *w = &ways[count];
        *w = (way){.model = models[i / 2],
                   .columns = columns,
                   .tensor = bench_alloc(sizeof(float) * WIDTH * rows),
                   .rows = rows,
                   .pitch = pitch,
                   .result = bench_alloc(sizeof(float) * rows),
                   .score = bench_alloc(sizeof(float) * rows),
                   .copies = i % 2 != 0};
        tasks[count++] = (bench_task){w->copies ? runtimes[i / 2].copy_name : runtimes[i / 2].name, run_way, w, 0, 0};
        if (!w->tensor || !w->result || !w->score) status = STOA_FAIL(&err, STOA_ENOMEM, "no memory for %u rows", rows);
        else status = bind_way(w, queue, &err);
        if (status == STOA_OK) run_way(w);
    }
    if (status != STOA_OK || !is_right(ways, count)) {
        bench_fail(run, "copy, n = %u: %s", rows, status == STOA_OK ? "a wrong result" : err.message);
    } else {
        bench_measure(run, tasks, count, bench_rounds(run, rows));
        write_lines(run, out, rows, tasks, count);
    }
    for (uint32_t i = 0; i < count; i++) free_way(&ways[i]);
    free(columns);
}

static void plot(bench *run)
{
    static const char *const colours[] = {"#d62728", "#1f77b4", "#2ca02c", "#9467bd"};
    FILE *out = bench_create(run, "copy.gp");
    if (!out) return;
    fputs("set terminal png size 800,560 noenhanced\nset output 'copy.png'\nset datafile separator ','\nset logscale xy\nset grid\n"
          "set xlabel 'rows'\nset ylabel 'ns per row'\nset title 'columns in place (lines) and through a tensor (dashed)'\nplot ",
          out);
    for (int i = 0; i < TASKS; i++)
        fprintf(out, "%s'< grep \",%s,\" copy.csv' using 3:6 with linespoints lw 2 pt 7 dt %d lc rgb '%s' title '%s'", i ? ", " : "",
                i % 2 ? runtimes[i / 2].copy_name : runtimes[i / 2].name, i % 2 ? 2 : 1, colours[i / 2],
                i % 2 ? runtimes[i / 2].copy_name : runtimes[i / 2].name);
    fputs("\n", out);
    fclose(out);
    if (bench_gnuplot(run, "copy.gp")) bench_list(run, "copy.png");
}

void bench_copy(bench *run, const char *name)
{
    stoa_device *device = NULL;
    stoa_queue *queue = NULL;
    stoa_model *models[RUNTIMES];
    (void)name;
    FILE *out = bench_create(run, "copy.csv");
    if (!out) return;
    fputs("name,contender,n,median_ns,min_ns,ns_per_row,copy_over_direct\n", out);
    for (int i = 0; i < RUNTIMES; i++) models[i] = load(runtimes[i].name, runtimes[i].extension);
    if (!models[0] || stoa_device_open("host", &device, NULL) != STOA_OK ||
        stoa_queue_create(device, STOA_QUEUE_BLOCKING, &queue, NULL) != STOA_OK)
        bench_note("copy: left out: tests/python/make_packages.py FOLDER makes the models, STOA_PACKAGES names the folder");
    else
        for (uint32_t rows = 100; rows <= (run->quick ? 1000u : 1000000u); rows *= 10) time_rows(run, out, queue, models, rows);
    if (fclose(out) != 0) bench_fail(run, "copy.csv: %s", strerror(errno));
    if (queue) plot(run);
    for (int i = 0; i < RUNTIMES; i++) stoa_model_destroy(models[i]);
    stoa_queue_destroy(queue);
    stoa_device_close(device);
}
