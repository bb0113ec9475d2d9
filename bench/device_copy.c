/* SPDX-License-Identifier: Apache-2.0 */
/* Columns of a device where they lie against the path of frameworks that want tensors: read the columns out, format a tensor on the host,
 * move it back, run, and copy the scores into their column. By every runtime that runs on the device that --device names; where one takes
 * rows of values only, the session has the device gather the columns. */
#include "bench_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "stoa/stoa.h"

enum { RUNTIMES = 5, WIDTH_MAX = 64 };

/* Files are looked for in `folder`, or in STOA_PACKAGES where that is NULL. */
static const struct {
    const char *name, *copy_name, *folder, *file;
} runtimes[RUNTIMES] = {{"native", "native_copy", STOA_BENCH_SOURCE_DIR "/models", "hlt_high_purity.onnx"},
                        {"aoti", "aoti_copy", NULL, "selector.pt2"},
                        {"torchscript", "torchscript_copy", NULL, "selector.pt"},
                        {"onnxruntime", "onnxruntime_copy", NULL, "selector.onnx"},
                        {"tensorrt", "tensorrt_copy", NULL, "selector.onnx"}};

/* One model both ways, on memory of the device and pinned memory of the host. */
typedef struct contest {
    stoa_queue *queue;
    stoa_model *model;
    stoa_session *direct, *copied;
    stoa_buffer *columns, *score, *tensor, *result;  /* device: WIDTH columns of `pitch`, their scores; the tensor and its scores */
    stoa_buffer *read_out, *formatted;               /* pinned: the columns, the tensor */
    uint32_t rows, pitch, width;
    bool row_major, failed;
} contest;

static void run_direct(void *self)
{
    contest *c = self;
    if (stoa_session_run(c->direct, c->rows, NULL) != STOA_OK || stoa_queue_wait(c->queue, NULL) != STOA_OK) c->failed = true;
}

static void format(const contest *c)
{
    const float *from = stoa_buffer_data(c->read_out);
    float *to = stoa_buffer_data(c->formatted);
    const size_t row_step = c->row_major ? c->width : 1, column_step = c->row_major ? 1 : c->rows;
    for (uint32_t k = 0; k < c->width; k++)
        for (uint32_t row = 0; row < c->rows; row++) to[k * column_step + row * row_step] = from[(size_t)k * c->pitch + row];
}

static stoa_status copy_and_run(contest *c)
{
    const size_t tensor_bytes = sizeof(float) * c->width * c->rows;
    STOA_TRY(stoa_queue_copy(c->queue, stoa_buffer_data(c->read_out), stoa_buffer_data(c->columns), stoa_buffer_bytes(c->columns), NULL));
    STOA_TRY(stoa_queue_wait(c->queue, NULL));
    format(c);
    STOA_TRY(stoa_queue_copy(c->queue, stoa_buffer_data(c->tensor), stoa_buffer_data(c->formatted), tensor_bytes, NULL));
    STOA_TRY(stoa_session_run(c->copied, c->rows, NULL));
    STOA_TRY(stoa_queue_copy(c->queue, stoa_buffer_data(c->score), stoa_buffer_data(c->result), sizeof(float) * c->rows, NULL));
    return stoa_queue_wait(c->queue, NULL);
}

static void run_copied(void *self)
{
    contest *c = self;
    if (copy_and_run(c) != STOA_OK) c->failed = true;
}

static stoa_status bind_to(contest *c, stoa_session **session, stoa_buffer *input, size_t column_step, int64_t row_stride,
                           stoa_buffer *output, stoa_error *err)
{
    const stoa_schema *schema = stoa_model_schema(c->model);
    stoa_column columns[WIDTH_MAX], score = stoa_column_over(stoa_buffer_data(output), STOA_FLOAT32, c->rows, 1, stoa_buffer_place(output));
    for (uint32_t k = 0; k < c->width; k++)
        columns[k] = stoa_column_over_const((const float *)stoa_buffer_data(input) + k * column_step, STOA_FLOAT32, c->rows, row_stride,
                                            stoa_buffer_place(input));
    const stoa_session_options options = {.struct_size = sizeof options, .allow_copies = c->row_major && row_stride == 1};
    STOA_TRY(stoa_session_create(c->model, c->queue, c->rows, &options, session, err));
    STOA_TRY(stoa_session_bind(*session, schema->inputs[0].name, stoa_tensor_of(columns, c->width), err));
    return stoa_session_bind(*session, schema->outputs[0].name, stoa_tensor_of(&score, 1), err);
}

static stoa_status make(contest *c, stoa_error *err)
{
    const stoa_column_rule rule = stoa_model_capabilities(c->model)->inputs;
    const size_t columns = sizeof(float) * c->width * c->pitch, tensor = sizeof(float) * c->width * c->rows,
                 score = sizeof(float) * c->rows;
    bench_rng rng = {c->rows};
    c->row_major = rule != STOA_RULE_BLOCK && rule != STOA_RULE_UNIT;
    STOA_TRY(stoa_buffer_create(c->queue, STOA_MEMORY_DEVICE, columns, &c->columns, err));
    STOA_TRY(stoa_buffer_create(c->queue, STOA_MEMORY_DEVICE, score, &c->score, err));
    STOA_TRY(stoa_buffer_create(c->queue, STOA_MEMORY_DEVICE, tensor, &c->tensor, err));
    STOA_TRY(stoa_buffer_create(c->queue, STOA_MEMORY_DEVICE, score, &c->result, err));
    STOA_TRY(stoa_buffer_create(c->queue, STOA_MEMORY_PINNED, columns, &c->read_out, err));
    STOA_TRY(stoa_buffer_create(c->queue, STOA_MEMORY_PINNED, tensor, &c->formatted, err));
    float *values = stoa_buffer_data(c->read_out);
    for (size_t i = 0; i < (size_t)c->width * c->pitch; i++) values[i] = (float)bench_uniform(&rng);
    STOA_TRY(stoa_queue_copy(c->queue, stoa_buffer_data(c->columns), values, columns, err));
    STOA_TRY(stoa_queue_wait(c->queue, err));
    STOA_TRY(bind_to(c, &c->direct, c->columns, c->pitch, 1, c->score, err));
    return bind_to(c, &c->copied, c->tensor, c->row_major ? 1 : c->rows, c->row_major ? c->width : 1, c->result, err);
}

static void destroy(contest *c)
{
    stoa_buffer *const buffers[] = {c->columns, c->score, c->tensor, c->result, c->read_out, c->formatted};
    stoa_session_destroy(c->direct);
    stoa_session_destroy(c->copied);
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) stoa_buffer_release(buffers[i]);
}

/* Both ways score the same, within what another order of sums may do. */
static bool agree(contest *c)
{
    const size_t bytes = sizeof(float) * c->rows;
    float *direct = bench_alloc(bytes), *copied = bench_alloc(bytes);
    run_direct(c);
    bool same = direct && copied && stoa_queue_copy(c->queue, direct, stoa_buffer_data(c->score), bytes, NULL) == STOA_OK &&
                stoa_queue_wait(c->queue, NULL) == STOA_OK;
    run_copied(c);
    same = same && !c->failed && stoa_queue_copy(c->queue, copied, stoa_buffer_data(c->score), bytes, NULL) == STOA_OK &&
           stoa_queue_wait(c->queue, NULL) == STOA_OK;
    for (uint32_t row = 0; same && row < c->rows; row++) same = fabsf(direct[row] - copied[row]) < 1e-5f;
    free(direct);
    free(copied);
    return same;
}

static void time_rows(bench *run, FILE *out, stoa_queue *queue, stoa_model *model, uint32_t runtime, uint32_t rows)
{
    contest c = {
        .queue = queue, .model = model, .rows = rows, .pitch = bench_padded(rows), .width = stoa_model_schema(model)->inputs[0].width};
    stoa_error err = {0};
    bench_progress(run, "device_copy", rows);
    const stoa_status made = make(&c, &err);
    if (made == STOA_ENOTSUP || made == STOA_EPLACE) { /* a package of another device, too */
        bench_note("device_copy: %s left out: %s", runtimes[runtime].name, err.message);
    } else if (err.status != STOA_OK || !agree(&c)) {
        bench_fail(run, "device_copy, %s, n = %u: %s", runtimes[runtime].name, rows, err.status ? err.message : "the ways differ");
    } else {
        bench_task tasks[] = {{runtimes[runtime].name, run_direct, &c, 0, 0}, {runtimes[runtime].copy_name, run_copied, &c, 0, 0}};
        bench_measure(run, tasks, 2, bench_rounds(run, rows));
        bench_add_tasks(run, "device_copy", rows, tasks, 2, 0);
        for (uint32_t t = 0; t < 2; t++) {
            fprintf(out, "device_copy,%s,%s,%u,", run->device, tasks[t].contender, rows);
            bench_number(out, tasks[t].median_ns, ",");
            bench_number(out, tasks[t].min_ns, ",");
            bench_number(out, tasks[t].median_ns / tasks[0].median_ns, "\n");
        }
        if (c.failed) bench_fail(run, "device_copy, %s, n = %u: a run failed", runtimes[runtime].name, rows);
    }
    destroy(&c);
}

static void time_runtime(bench *run, FILE *out, stoa_queue *queue, uint32_t runtime)
{
    char path[1024];
    stoa_error err;
    stoa_model *model;
    const char *folder = runtimes[runtime].folder;
    const stoa_model_options options = {.struct_size = sizeof options, .runtime = runtimes[runtime].name};
    snprintf(path, sizeof path, "%s/%s", folder ? folder : bench_packages(), runtimes[runtime].file);
    if (stoa_model_load(path, &options, &model, &err) != STOA_OK) {
        bench_note("device_copy: %s left out: %s", runtimes[runtime].name, err.message);
        return;
    }
    if (stoa_model_schema(model)->inputs[0].width > WIDTH_MAX)
        bench_fail(run, "device_copy: %s has %u inputs, at most %d", path, stoa_model_schema(model)->inputs[0].width, WIDTH_MAX);
    else
        for (uint32_t rows = 100; rows <= (run->quick ? 1000u : 10000000u); rows *= 10) time_rows(run, out, queue, model, runtime, rows);
    stoa_model_destroy(model);
}

static void plot(bench *run)
{
    FILE *out = bench_create(run, "device_copy.gp");
    if (!out) return;
    fputs("set datafile separator ','\nset terminal pngcairo size 900,600\nset output 'device_copy.png'\nset logscale xy\nset key left\n"
          "set xlabel 'rows'\nset ylabel 'ns per run'\nplot ",
          out);
    for (uint32_t i = 0; i < 2 * RUNTIMES; i++) {
        const char *contender = i % 2 ? runtimes[i / 2].copy_name : runtimes[i / 2].name;
        fprintf(out, "'device_copy.csv' using (strcol(3) eq '%s' ? $4 : NaN):5 with linespoints title '%s'%s", contender, contender,
                i + 1 < 2 * RUNTIMES ? ", " : "\n");
    }
    if (fclose(out) != 0) bench_fail(run, "device_copy.gp: %s", strerror(errno));
    else if (bench_gnuplot(run, "device_copy.gp")) bench_list(run, "device_copy.png");
}

void bench_device_copy(bench *run, const char *name)
{
    (void)name;
    stoa_device *device = NULL;
    stoa_queue *queue = NULL;
    stoa_error err;
    FILE *out = bench_create(run, "device_copy.csv");
    if (!out) return;
    fputs("name,device,contender,n,median_ns,min_ns,ratio\n", out);
    if (stoa_device_open(run->device, &device, &err) != STOA_OK || stoa_queue_create(device, STOA_QUEUE_ASYNC, &queue, &err) != STOA_OK)
        bench_fail(run, "device_copy: %s", err.message);
    else
        for (uint32_t runtime = 0; runtime < RUNTIMES; runtime++) time_runtime(run, out, queue, runtime);
    stoa_queue_destroy(queue);
    if (device) stoa_device_close(device);
    if (fclose(out) != 0) bench_fail(run, "device_copy.csv: %s", strerror(errno));
    else plot(run);
}
