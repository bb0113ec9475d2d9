/* SPDX-License-Identifier: Apache-2.0 */
/* Ahead of time against just in time: CMSSW's test networks and MLPs of a thousand to ten million parameters as .onnx (native), .pt2 (aoti,
 * without and with libtorch) and .pt (torchscript), beside eager PyTorch: time to load and be ready, of calls 1 to 20, and in steady state,
 * for a batch of rows. The first network has six multiply-adds and one row: its call is what a call costs in itself. */
#include "bench_internal.h"
#include "eager.h"

#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "stoa/runtime.h"
#include "stoa/stoa.h"

enum { CALLS = 20, LOADS = 5, CONTENDERS = 4, WIDTH_MAX = 243 };

static const struct {
    const char *name;
    uint32_t rows;
} networks[] = {{"halves", 1},    {"simple", 100},  {"multihead", 100}, {"resnet", 100}, {"mlp_1e3", 100},
                {"mlp_1e4", 100}, {"mlp_1e5", 100}, {"mlp_1e6", 100},   {"mlp_1e7", 100}};
static const struct {
    const char *name, *runtime, *ending;
} files[CONTENDERS] = {{"native", "native", ".onnx"},
                       {"aoti", "aoti", ".pt2"},
                       {"aoti_libtorch", "aoti", "_libtorch.pt2"},
                       {"torchscript", "torchscript", ".pt"}};

typedef struct contender {
    const char *name;
    stoa_model *model;
    stoa_session *session;
    bench_eager *eager; /* in place of a session */
    float *memory; /* of all columns */
    uint32_t rows;
    double load_ns, calls_ns[CALLS], steady_ns, steady_min_ns;
    double session_bytes, copied_bytes, threads; /* a further session; of all calls; started */
    bool failed;
} contender;

static void run_once(void *self)
{
    contender *c = self;
    if (c->eager ? isnan(bench_eager_call(c->eager)) : stoa_session_run(c->session, c->rows, NULL) != STOA_OK) c->failed = true;
}

/* All tensors as blocks of columns, one behind the other; a matrix lies column-major as a block, in whatever order: all is random. */
static stoa_status bind_all(contender *c, stoa_error *err)
{
    const stoa_place host = {STOA_PLACE_HOST, 0};
    const stoa_schema *schema = stoa_model_schema(c->model);
    const uint32_t pitch = bench_padded(c->rows), count = schema->input_count + schema->output_count;
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
            columns[k] = stoa_column_over(c->memory + (size_t)pitch * (WIDTH_MAX * i + place), STOA_FLOAT32, c->rows, 1, host);
        }
        STOA_TRY(stoa_session_bind(c->session, tensor->name, stoa_tensor_of(columns, tensor->width), err));
    }
    return STOA_OK;
}

/* From a file to a session that can run: the median of some times. */
static stoa_status load(contender *c, const char *path, const char *runtime, stoa_queue *queue, stoa_error *err)
{
    const stoa_model_options options = {.struct_size = sizeof options, .runtime = runtime};
    double times_ns[LOADS];
    for (int i = 0; i < LOADS; i++) {
        stoa_session_destroy(c->session);
        stoa_model_destroy(c->model);
        c->session = NULL;
        c->model = NULL;
        const double begin = bench_now_ns();
        STOA_TRY(stoa_model_load(path, &options, &c->model, err));
        STOA_TRY(stoa_session_create(c->model, queue, c->rows, NULL, &c->session, err));
        times_ns[i] = bench_now_ns() - begin;
    }
    c->load_ns = bench_median(times_ns, LOADS);
    return STOA_OK;
}

static double heap_bytes(void)
{
    const struct mallinfo2 heap = mallinfo2();
    return (double)(heap.uordblks + heap.hblkhd);
}

static double thread_count(void)
{
    double count = 0;
    DIR *tasks = opendir("/proc/self/task");
    while (tasks && readdir(tasks)) count++;
    if (tasks) closedir(tasks);
    return count;
}

/* What one more session of the model takes. */
static stoa_status measure_session(contender *c, stoa_queue *queue, stoa_error *err)
{
    stoa_session *second;
    const double before = heap_bytes();
    STOA_TRY(stoa_session_create(c->model, queue, c->rows, NULL, &second, err));
    c->session_bytes = heap_bytes() - before;
    stoa_session_destroy(second);
    return STOA_OK;
}

static bool start(contender *c, const char *network, uint32_t rows, int file, stoa_queue *queue)
{
    char path[1024];
    stoa_error err;
    const char *folder = getenv("STOA_BENCH_PACKAGES");
    snprintf(path, sizeof path, "%s/%s%s", folder ? folder : STOA_BENCH_SOURCE_DIR "/build/bench_packages", network, files[file].ending);
    *c = (contender){.name = files[file].name, .rows = rows};
    const double threads = thread_count();
    stoa_status status = load(c, path, files[file].runtime, queue, &err);
    if (status == STOA_OK) status = measure_session(c, queue, &err);
    if (status == STOA_OK) status = bind_all(c, &err);
    for (int i = 0; status == STOA_OK && i < CALLS; i++) {
        const double call = bench_now_ns();
        status = stoa_session_run(c->session, rows, &err);
        c->calls_ns[i] = bench_now_ns() - call;
    }
    c->threads = thread_count() - threads;
    if (status == STOA_OK) return true;
    bench_note("aot: %s by %s left out: %s", network, c->name, err.message);
    return false;
}

/* PyTorch itself, on a row-major tensor. */
static bool start_eager(contender *c, const char *network, uint32_t rows)
{
    *c = (contender){.name = "eager",
                     .rows = rows,
                     .load_ns = NAN,
                     .session_bytes = NAN,
                     .threads = NAN,
                     .copied_bytes = NAN,
                     .eager = bench_eager_start(network, rows)};
    if (!c->eager) return false;
    c->calls_ns[0] = c->eager->times_ns[0];
    for (int i = 1; i < CALLS; i++) c->calls_ns[i] = bench_eager_call(c->eager);
    return true;
}

static void stop(contender *c)
{
    stoa_session_destroy(c->session);
    stoa_model_destroy(c->model);
    bench_eager_stop(c->eager);
    free(c->memory);
}

static void write_line(bench *run, FILE *out, const char *network, uint64_t parameters, const contender *c, double native_ns)
{
    bench_result result = {.n = c->rows,
                           .median_ns = c->steady_ns,
                           .min_ns = c->steady_min_ns,
                           .ratio = c->steady_ns / native_ns,
                           .gflops = NAN,
                           .peak_fraction = NAN};
    snprintf(result.name, sizeof result.name, "aot_%s", network);
    snprintf(result.contender, sizeof result.contender, "%s", c->name);
    bench_add(run, &result);
    fprintf(out, "%s,%s,%u,%llu,", network, c->name, c->rows, (unsigned long long)parameters);
    bench_number(out, c->steady_ns, ",");
    bench_number(out, c->steady_min_ns, ",");
    bench_number(out, result.ratio, ",");
    bench_number(out, c->load_ns, ",");
    bench_number(out, c->session_bytes, ",");
    bench_number(out, c->threads, ",");
    bench_number(out, c->copied_bytes, "");
    for (int i = 0; i < CALLS; i++) bench_number(out, NAN, ","), bench_number(out, c->calls_ns[i], "");
    fputc('\n', out);
}

static void take_times(bench *run, const char *network, contender *c, const bench_task *task)
{
    c->steady_ns = task->median_ns;
    c->steady_min_ns = task->min_ns;
    if (c->eager) { /* as its process measured them */
        const uint32_t count = c->eager->calls < EAGER_TIMES ? c->eager->calls : EAGER_TIMES;
        c->steady_ns = bench_median(c->eager->times_ns, count);
        c->steady_min_ns = c->eager->times_ns[0];
    }
    stoa_session_stats stats = {.struct_size = sizeof stats};
    if (c->session && stoa_session_get_stats(c->session, &stats, NULL) == STOA_OK) c->copied_bytes = (double)stats.copy_bytes;
    if (c->failed) bench_fail(run, "aot: %s by %s failed while it was timed", network, c->name);
}

static void time_network(bench *run, FILE *out, const char *network, uint32_t rows, stoa_queue *queue)
{
    contender all[CONTENDERS + 1];
    bench_task tasks[CONTENDERS + 1];
    uint32_t count = 0;
    uint64_t parameters = 0;
    bench_progress(run, network, rows);
    for (int file = 0; file < CONTENDERS; file++) {
        if (start(&all[count], network, rows, file, queue)) parameters = stoa_model_schema(all[count++].model)->parameters;
        else stop(&all[count]);
    }
    if (count && start_eager(&all[count], network, rows)) count++;
    for (uint32_t i = 0; i < count; i++) tasks[i] = (bench_task){all[i].name, run_once, &all[i], 0, 0};
    bench_measure(run, tasks, count, bench_rounds(run, rows));
    for (uint32_t i = 0; i < count; i++) take_times(run, network, &all[i], &tasks[i]);
    const double native_ns = count && !strcmp(all[0].name, "native") ? all[0].steady_ns : NAN;
    for (uint32_t i = 0; i < count; i++) write_line(run, out, network, parameters, &all[i], native_ns);
    for (uint32_t i = 0; i < count; i++) stop(&all[i]);
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
          "set xlabel 'parameters (MLPs)'\nset ylabel 'us per call of 100 rows, steady'\nset key top left\nplot ",
          out);
    static const char *const names[] = {"native", "aoti", "aoti_libtorch", "torchscript", "eager"};
    for (int i = 0; i < 5; i++)
        fprintf(out, "%s'< grep \"^mlp.*,%s,\" aot.csv' using 4:($5/1e3) with linespoints lw 2 pt 7 title '%s'", i ? ", " : "", names[i],
                names[i]);
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
    fputs("network,contender,n,parameters,median_ns,min_ns,ratio,load_ns,session_bytes,threads,copied_bytes", out);
    for (int i = 1; i <= CALLS; i++) fprintf(out, ",call_%d_ns", i);
    fputs("\n", out);
    for (int i = 0; i < CONTENDERS; i++) { /* loading libtorch is not loading a model */
        const stoa_runtime_api *api;
        const double begin = bench_now_ns();
        if (stoa_runtime_find(files[i].runtime, &api, NULL) == STOA_OK)
            bench_note("aot: runtime %s found in %.1f ms", files[i].runtime, (bench_now_ns() - begin) / 1e6);
    }
    if (stoa_device_open("host", &device, NULL) == STOA_OK && stoa_queue_create(device, STOA_QUEUE_BLOCKING, &queue, NULL) == STOA_OK)
        for (size_t i = 0; i < sizeof networks / sizeof *networks; i++) time_network(run, out, networks[i].name, networks[i].rows, queue);
    if (fclose(out) != 0) bench_fail(run, "aot.csv: %s", strerror(errno));
    if (has_mlps(run)) plot(run);
    stoa_queue_destroy(queue);
    stoa_device_close(device);
}
