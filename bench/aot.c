/* SPDX-License-Identifier: Apache-2.0 */
/* Ahead of time against just in time: CMSSW's test networks and MLPs of a thousand to ten million parameters as .onnx (native), .pt2 (aoti)
 * and .pt (torchscript), beside eager PyTorch: time to load and be ready, of calls 1 to 20, and in steady state, for a batch of rows. */
#include "bench_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "stoa/runtime.h"
#include "stoa/stoa.h"

#ifndef STOA_BENCH_SOURCE_DIR
#define STOA_BENCH_SOURCE_DIR "."
#endif

enum { ROWS = 100, CALLS = 20, RUNTIMES = 3, WIDTH_MAX = 243 };
#define EAGER "PYTHONPATH='%s/python:%s/tests/python' PYTHONDONTWRITEBYTECODE=1 '%s/.venv/bin/python' -W ignore '%s/bench/aot_nets.py' --eager %d %s"

static const char *const networks[] = {"simple", "multihead", "resnet", "mlp_1e3", "mlp_1e4", "mlp_1e5", "mlp_1e6", "mlp_1e7"};
static const struct {
    const char *name, *extension;
} runtimes[RUNTIMES] = {{"native", "onnx"}, {"aoti", "pt2"}, {"torchscript", "pt"}};

typedef struct contender {
    const char *name;
    stoa_model *model;
    stoa_session *session;
    float *memory; /* of all columns */
    double load_ns, calls_ns[CALLS], steady_ns, steady_min_ns;
    bool failed;
} contender;

static void run_once(void *self)
{
    contender *c = self;
    if (stoa_session_run(c->session, ROWS, NULL) != STOA_OK) c->failed = true;
}

/* All tensors as blocks of columns, one behind the other; a matrix lies column-major as a block, in whatever order: all is random. */
static stoa_status bind_all(contender *c, stoa_error *err)
{
    const stoa_place host = {STOA_PLACE_HOST, 0};
    const stoa_schema *schema = stoa_model_schema(c->model);
    const uint32_t pitch = bench_padded(ROWS), count = schema->input_count + schema->output_count;
    c->memory = bench_alloc(sizeof(float) * pitch * WIDTH_MAX * count);
    if (!c->memory) return STOA_FAIL(err, STOA_ENOMEM, "no memory for columns");
    bench_rng rng = {1};
    for (size_t i = 0; i < (size_t)pitch * WIDTH_MAX * count; i++) c->memory[i] = (float)bench_gauss(&rng);
    for (uint32_t i = 0; i < count; i++) {
        const stoa_tensor_schema *tensor = i < schema->input_count ? &schema->inputs[i] : &schema->outputs[i - schema->input_count];
        const uint32_t lines = tensor->column_major && tensor->rank > 1 ? tensor->shape[tensor->rank - 2] : 1;
        const uint32_t wide = lines > 1 ? tensor->shape[tensor->rank - 1] : 1;
        stoa_column columns[WIDTH_MAX];
        if (tensor->width > WIDTH_MAX) return STOA_FAIL(err, STOA_ELIMIT, "tensor '%s': %u values a row", tensor->name, tensor->width);
        for (uint32_t k = 0; k < tensor->width; k++) {
            const uint32_t inner = k % (lines * wide), place = k - inner + inner % wide * lines + inner / wide;
            columns[k] = stoa_column_over(c->memory + (size_t)pitch * (WIDTH_MAX * i + place), STOA_FLOAT32, ROWS, 1, host);
        }
        STOA_TRY(stoa_session_bind(c->session, tensor->name, stoa_tensor_of(columns, tensor->width), err));
    }
    return STOA_OK;
}

/* From a file to a session that can run, and its first calls. */
static bool start(contender *c, const char *network, int runtime, stoa_queue *queue)
{
    char path[1024];
    stoa_error err;
    const char *folder = getenv("STOA_BENCH_PACKAGES");
    const stoa_model_options options = {.struct_size = sizeof options, .runtime = runtimes[runtime].name};
    snprintf(path, sizeof path, "%s/%s.%s", folder ? folder : STOA_BENCH_SOURCE_DIR "/build/bench_packages", network, runtimes[runtime].extension);
    *c = (contender){.name = runtimes[runtime].name};
    const double begin = bench_now_ns();
    stoa_status status = stoa_model_load(path, &options, &c->model, &err);
    if (status == STOA_OK) status = stoa_session_create(c->model, queue, ROWS, NULL, &c->session, &err);
    c->load_ns = bench_now_ns() - begin;
    if (status == STOA_OK) status = bind_all(c, &err);
    for (int i = 0; status == STOA_OK && i < CALLS; i++) {
        const double call = bench_now_ns();
        status = stoa_session_run(c->session, ROWS, &err);
        c->calls_ns[i] = bench_now_ns() - call;
    }
    if (status == STOA_OK) return true;
    bench_note("aot: %s by %s left out: %s", network, c->name, err.message);
    return false;
}

static void stop(contender *c)
{
    stoa_session_destroy(c->session);
    stoa_model_destroy(c->model);
    free(c->memory);
}

/* PyTorch itself, in a process of its own: what it is called with is a row-major tensor. */
static bool ask_eager(contender *c, const char *network)
{
    char command[8192];
    const char *root = STOA_BENCH_SOURCE_DIR;
    snprintf(command, sizeof command, EAGER, root, root, root, root, ROWS, network);
    *c = (contender){.name = "eager", .load_ns = NAN, .steady_min_ns = NAN};
    FILE *out = popen(command, "re");
    if (!out) return false;
    bool good = fscanf(out, "%*s") == 0;
    for (int i = 0; i < CALLS && good; i++) good = fscanf(out, "%lf", &c->calls_ns[i]) == 1;
    good = good && fscanf(out, "%lf", &c->steady_ns) == 1;
    return pclose(out) == 0 && good;
}

static void write_line(bench *run, FILE *out, const char *network, uint64_t parameters, const contender *c, double native_ns)
{
    bench_result result = {.n = ROWS, .median_ns = c->steady_ns, .min_ns = c->steady_min_ns, .ratio = c->steady_ns / native_ns,
                           .gflops = NAN, .peak_fraction = NAN};
    snprintf(result.name, sizeof result.name, "aot_%s", network);
    snprintf(result.contender, sizeof result.contender, "%s", c->name);
    bench_add(run, &result);
    fprintf(out, "%s,%s,%d,%llu,", network, c->name, ROWS, (unsigned long long)parameters);
    bench_number(out, c->steady_ns, ",");
    bench_number(out, c->steady_min_ns, ",");
    bench_number(out, result.ratio, ",");
    bench_number(out, c->load_ns, "");
    for (int i = 0; i < CALLS; i++) bench_number(out, NAN, ","), bench_number(out, c->calls_ns[i], "");
    fputc('\n', out);
}

static void time_network(bench *run, FILE *out, const char *network, stoa_queue *queue)
{
    contender all[RUNTIMES + 1];
    bench_task tasks[RUNTIMES];
    uint32_t count = 0;
    uint64_t parameters = 0;
    double native_ns = NAN;
    bench_progress(run, network, ROWS);
    for (int r = 0; r < RUNTIMES; r++) {
        if (start(&all[count], network, r, queue)) {
            parameters = stoa_model_schema(all[count].model)->parameters;
            tasks[count] = (bench_task){all[count].name, run_once, &all[count], 0, 0};
            count++;
        } else {
            stop(&all[count]);
        }
    }
    const uint32_t sessions = count;
    bench_measure(run, tasks, sessions, bench_rounds(run, ROWS));
    for (uint32_t i = 0; i < sessions; i++) {
        all[i].steady_ns = tasks[i].median_ns;
        all[i].steady_min_ns = tasks[i].min_ns;
        if (!strcmp(all[i].name, "native")) native_ns = all[i].steady_ns;
        if (all[i].failed) bench_fail(run, "aot: %s by %s failed while it was timed", network, all[i].name);
    }
    if (sessions && ask_eager(&all[count], network)) count++;
    for (uint32_t i = 0; i < count; i++) write_line(run, out, network, parameters, &all[i], native_ns);
    for (uint32_t i = 0; i < sessions; i++) stop(&all[i]);
}

static bool has_mlps(const bench *run)
{
    for (size_t i = 0; i < run->result_count; i++)
        if (!strncmp(run->results[i].name, "aot_mlp", strlen("aot_mlp"))) return true;
    return false;
}

static void plot(bench *run)
{
    FILE *out = bench_create(run, "aot.gp");
    if (!out) return;
    fputs("set terminal png size 900,560 noenhanced\nset output 'aot.png'\nset datafile separator ','\nset logscale xy\nset grid\n"
          "set xlabel 'parameters (MLPs)'\nset ylabel 'us per call of 100 rows, steady'\nset key top left\nplot ", out);
    static const char *const names[] = {"native", "aoti", "torchscript", "eager"};
    for (int i = 0; i < 4; i++)
        fprintf(out, "%s'< grep \"^mlp.*,%s,\" aot.csv' using 4:($5/1e3) with linespoints lw 2 pt 7 title '%s'", i ? ", " : "", names[i], names[i]);
    fputs("\n", out);
    fclose(out);
    if (bench_gnuplot(run, "aot.gp")) bench_list(run, "aot.png");
}

void bench_aot(bench *run, const char *name)
{
    stoa_device *device = NULL;
    stoa_queue *queue = NULL;
    (void)name;
    FILE *out = bench_create(run, "aot.csv");
    if (!out) return;
    fputs("network,contender,n,parameters,median_ns,min_ns,ratio,load_ns", out);
    for (int i = 1; i <= CALLS; i++) fprintf(out, ",call_%d_ns", i);
    fputs("\n", out);
    for (int r = 0; r < RUNTIMES; r++) { /* loading libtorch is not loading a model */
        const stoa_runtime_api *api;
        const double begin = bench_now_ns();
        if (stoa_runtime_find(runtimes[r].name, &api, NULL) == STOA_OK) bench_note("aot: runtime %s loaded in %.1f ms", runtimes[r].name, (bench_now_ns() - begin) / 1e6);
    }
    if (stoa_device_open("host", &device, NULL) == STOA_OK && stoa_queue_create(device, STOA_QUEUE_BLOCKING, &queue, NULL) == STOA_OK)
        for (size_t i = 0; i < sizeof networks / sizeof *networks; i++) time_network(run, out, networks[i], queue);
    if (fclose(out) != 0) bench_fail(run, "aot.csv: %s", strerror(errno));
    if (has_mlps(run)) plot(run);
    stoa_queue_destroy(queue);
    stoa_device_close(device);
}
