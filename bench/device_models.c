/* SPDX-License-Identifier: Apache-2.0 */
/* Models against their peers on the device that --device names: the native engine in each of its precisions, PyTorch's packages and
 * scripts, ONNX Runtime alone and with TensorRT; a script and the native engine replayed from a CUDA graph, too. Beside them the host's native engine on one core, a
 * kernel that finds nothing to do, and the roofline of the measured rates of a copy and of multiply-adds. Everybody's result is compared
 * with the host's before anybody is timed. Runs are enqueued many at a time and waited for once, as a job does. */
#include "bench_internal.h"
#include "device_kernels.h"
#include "device_tensors.h"
#include "graph.h"
#include "hlt_features.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "stoa/runtime.h"
#include "stoa/stoa.h"

enum { QUEUES = 3, SIZES_MAX = 8, HOST_ROWS_MAX = 100000 };

/* The .onnx files are looked for in `folder`, all others, and all where that is NULL, in STOA_PACKAGES (bench/device_nets.py). */
static const struct network {
    const char *name, *folder;
    uint32_t rows_max; /* so that the columns fit, and that pooling, in one block, comes to an end */
    /* Fills the only input, where numbers drawn at will mean nothing to the network. */
    stoa_status (*fill)(stoa_queue *host, float *columns, uint32_t rows, uint32_t pitch, stoa_error *err);
} networks[] = {
    {"simple", NULL, 10000000, NULL},
    {"selector", NULL, 10000000, NULL},
    {"hlt_high_purity", STOA_BENCH_SOURCE_DIR "/models", 10000000, bench_hlt_features},
    {"mlp_30_64_64_1", NULL, 10000000, NULL},
    {"puppi_tau", NULL, 1000000, NULL},
    {"scout_taus", STOA_BENCH_SOURCE_DIR "/models", 100000, NULL},
};

/* `tolerance` is that of |difference| / (1 + |result|). */
static const struct kind {
    const char *name, *runtime, *ending;
    stoa_precision precision;
    bool captured;
    double tolerance;
} kinds[] = {
    {"native", "native", ".onnx", STOA_PRECISION_FLOAT32, false, 2e-5},
    {"native_graph", "native", ".onnx", STOA_PRECISION_FLOAT32, true, 2e-5},
    {"native_tfloat32", "native", ".onnx", STOA_PRECISION_TFLOAT32, false, 3e-2},
    {"native_bfloat16", "native", ".onnx", STOA_PRECISION_BFLOAT16, false, 2e-1},
    {"native_float16", "native", ".onnx", STOA_PRECISION_FLOAT16, false, 3e-2},
    {"aoti", "aoti", ".pt2", STOA_PRECISION_FLOAT32, false, 2e-5},
    {"aoti_libtorch", "aoti", "_libtorch.pt2", STOA_PRECISION_FLOAT32, false, 2e-5},
    {"torchscript", "torchscript", ".pt", STOA_PRECISION_FLOAT32, false, 2e-5},
    {"torchscript_graph", "torchscript", ".pt", STOA_PRECISION_FLOAT32, true, 2e-5},
    {"onnxruntime", "onnxruntime", ".onnx", STOA_PRECISION_FLOAT32, false, 2e-5},
    {"onnxruntime_tfloat32", "onnxruntime", ".onnx", STOA_PRECISION_TFLOAT32, false, 3e-2},
    {"tensorrt", "tensorrt", ".onnx", STOA_PRECISION_TFLOAT32, false, 3e-2}, /* which it uses whatever is asked */
    {"tensorrt_float16", "tensorrt", ".onnx", STOA_PRECISION_FLOAT16, false, 3e-2},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* Beside the contenders, in the same rounds; the host last, for where it would take seconds it is left out. */
enum { EMPTY, COPY, FMA, HOST, YARDSTICKS };
static const char *const yardsticks[YARDSTICKS] = {"empty_kernel", "copy", "fma_peak", "host_native"};

/* The device, the host, and what measures the device. */
typedef struct station {
    stoa_device *device, *host;
    stoa_queue *queue, *host_queue;
    stoa_buffer *copied, *from, *sink;
    uint32_t fma_items, fma_steps;
    FILE *times, *sessions, *crossover;
} station;

/* One network at a number of rows: its tensors on the host, with the results, and on the device in both forms. */
typedef struct contest {
    station *station;
    const struct network *network;
    device_tensors tensors;
    stoa_session *session; /* the host's */
    char *host, *back;
    stoa_buffer *columns, *rows; /* `rows`: a gift to runtimes that want rows of values */
} contest;

typedef struct contender {
    const struct kind *kind;
    const contest *contest;
    stoa_queue *queue;
    stoa_session *session;
    bench_graph *graph;
    bool in_rows;
    double max_difference;
} contender;

/* What is timed: some runs and a wait. */
typedef struct timed {
    stoa_status (*enqueue)(void *self, stoa_error *err);
    void *self;
    stoa_queue *queue;
    uint32_t batch;
    bool failed;
} timed;

/* The native engine's times on device and host by number of rows. */
typedef struct race {
    double rows[SIZES_MAX], device_ns[SIZES_MAX], host_ns[SIZES_MAX];
    uint32_t count;
} race;

/* ---- What is enqueued. ---- */

static stoa_status enqueue_session(void *self, stoa_error *err)
{
    const contender *c = self;
    return device_tensors_run(&c->contest->tensors, c->session, err);
}

static stoa_status enqueue(void *self, stoa_error *err)
{
    const contender *c = self;
    return c->graph ? bench_graph_launch(c->graph, err) : enqueue_session(self, err);
}

static stoa_status enqueue_copy(void *self, stoa_error *err)
{
    const station *s = self;
    return stoa_queue_copy(s->queue, stoa_buffer_data(s->copied), stoa_buffer_data(s->from), stoa_buffer_bytes(s->from), err);
}

static stoa_status enqueue_fma(void *self, stoa_error *err)
{
    const station *s = self;
    (void)err;
    return bench_enqueue_fma(s->queue, stoa_buffer_data(s->sink), s->fma_items, s->fma_steps);
}

static stoa_status enqueue_nothing(void *self, stoa_error *err)
{
    const station *s = self;
    (void)err;
    return bench_enqueue_nothing(s->queue);
}

static void run_timed(void *self)
{
    timed *t = self;
    for (uint32_t i = 0; i < t->batch; i++)
        if (t->enqueue(t->self, NULL) != STOA_OK) t->failed = true;
    if (stoa_queue_wait(t->queue, NULL) != STOA_OK) t->failed = true;
}

/* ---- Contenders. ---- */

static void find_file(const struct network *network, const struct kind *kind, char *path, size_t capacity)
{
    const bool own = network->folder && !strcmp(kind->ending, ".onnx");
    snprintf(path, capacity, "%s/%s%s", own ? network->folder : bench_packages(), network->name, kind->ending);
}

static stoa_status load(const char *path, const struct kind *kind, stoa_model **model, stoa_error *err)
{
    const stoa_model_options options = {.struct_size = sizeof options, .runtime = kind->runtime, .precision = kind->precision};
    return stoa_model_load(path, &options, model, err);
}

static void stop(contender *c)
{
    bench_graph_destroy(c->graph);
    stoa_session_destroy(c->session);
}

/* Runs before a capture settle what a runtime still compiles or takes. */
static stoa_status start(contender *c, const stoa_model *model, stoa_error *err)
{
    const contest *about = c->contest;
    stoa_buffer *memory = c->in_rows ? about->rows : about->columns;
    STOA_TRY(stoa_session_create(model, c->queue, about->tensors.rows, NULL, &c->session, err));
    STOA_TRY(device_tensors_bind(&about->tensors, c->session, stoa_buffer_data(memory), stoa_buffer_place(memory), c->in_rows, err));
    for (int i = 0; i < (c->kind->captured ? 3 : 1); i++) STOA_TRY(enqueue_session(c, err));
    STOA_TRY(stoa_queue_wait(c->queue, err));
    return c->kind->captured ? bench_graph_capture(c->queue, enqueue_session, c, &c->graph, err) : STOA_OK;
}

/* One run whose outputs were NaNs before; what it leaves is the host's result. */
static stoa_status compare(contender *c, stoa_error *err)
{
    const contest *about = c->contest;
    const device_tensors *tensors = &about->tensors;
    char *outputs = (char *)stoa_buffer_data(c->in_rows ? about->rows : about->columns) + tensors->outputs;
    const size_t bytes = tensors->bytes - tensors->outputs;
    double relative;
    STOA_TRY(stoa_queue_fill(c->queue, outputs, 0xFF, bytes, err));
    STOA_TRY(enqueue(c, err));
    STOA_TRY(stoa_queue_copy(c->queue, about->back + tensors->outputs, outputs, bytes, err));
    STOA_TRY(stoa_queue_wait(c->queue, err));
    STOA_TRY(stoa_session_check(c->session, err));
    c->max_difference = device_tensors_difference(tensors, about->host, about->back, c->in_rows, &relative);
    if (relative <= c->kind->tolerance) return STOA_OK;
    return STOA_FAIL(err, STOA_ERUNTIME, "differs from the host by %g of 1 + |result|, %g allowed", relative, c->kind->tolerance);
}

static contender make_contender(const contest *about, const struct kind *kind, const stoa_model *model, stoa_queue *queue)
{
    return (contender){
        .kind = kind, .contest = about, .queue = queue, .in_rows = stoa_model_capabilities(model)->inputs == STOA_RULE_ROW_MAJOR};
}

/* With its reason, once: the model is not asked again. */
static void leave_out(const struct network *network, int kind, stoa_model **models, const stoa_error *why)
{
    bench_note("device_models: %s by %s left out: %s", network->name, kinds[kind].name, why->message);
    stoa_model_destroy(models[kind]);
    models[kind] = NULL;
}

/* A runtime that cannot is left out, one that is wrong is a failure. */
static bool begin(bench *run, contender *c, const contest *about, int kind, stoa_model **models)
{
    stoa_error err;
    *c = make_contender(about, &kinds[kind], models[kind], about->station->queue);
    const bool can = start(c, models[kind], &err) == STOA_OK, right = can && compare(c, &err) == STOA_OK;
    if (!right) stop(c);
    if (!can) leave_out(about->network, kind, models, &err);
    else if (!right)
        bench_fail(run, "device_models: %s by %s, n = %u: %s", about->network->name, kinds[kind].name, about->tensors.rows, err.message);
    return right;
}

/* ---- A network at a number of rows. ---- */

static stoa_status upload(const contest *c, stoa_buffer **buffer, const void *data, stoa_error *err)
{
    const station *s = c->station;
    STOA_TRY(stoa_buffer_create(s->queue, STOA_MEMORY_DEVICE, c->tensors.bytes, buffer, err));
    STOA_TRY(stoa_queue_copy(s->queue, stoa_buffer_data(*buffer), data, c->tensors.bytes, err));
    return stoa_queue_wait(s->queue, err);
}

/* The host runs first. */
static stoa_status make_contest(contest *c, const stoa_model *model, uint32_t rows, bool in_rows, stoa_error *err)
{
    STOA_TRY(device_tensors_plan(&c->tensors, stoa_model_schema(model), rows, err));
    c->host = bench_alloc(c->tensors.bytes);
    c->back = bench_alloc(c->tensors.bytes);
    if (!c->host || !c->back) return STOA_FAIL(err, STOA_ENOMEM, "no memory for %u rows", rows);
    if (c->network->fill) STOA_TRY(c->network->fill(c->station->host_queue, (float *)(void *)c->host, rows, c->tensors.pitch, err));
    else device_tensors_fill(&c->tensors, c->host);
    STOA_TRY(upload(c, &c->columns, c->host, err));
    if (in_rows) {
        device_tensors_to_rows(&c->tensors, c->host, c->back);
        STOA_TRY(upload(c, &c->rows, c->back, err));
    }
    STOA_TRY(stoa_session_create(model, c->station->host_queue, rows, NULL, &c->session, err));
    STOA_TRY(device_tensors_bind(&c->tensors, c->session, c->host, stoa_device_place(c->station->host), false, err));
    return device_tensors_run(&c->tensors, c->session, err);
}

static void destroy_contest(contest *c)
{
    stoa_session_destroy(c->session);
    stoa_buffer_release(c->columns);
    stoa_buffer_release(c->rows);
    free(c->host);
    free(c->back);
}

static bool want_rows(stoa_model *const *models)
{
    for (int k = 0; k < KINDS; k++)
        if (models[k] && stoa_model_capabilities(models[k])->inputs == STOA_RULE_ROW_MAJOR) return true;
    return false;
}

/* The first contender, where the native engine runs there at all. */
static bool is_native(const bench_task *tasks, uint32_t count) { return count && !strcmp(tasks[0].contender, kinds[0].name); }

/* What the device takes at least: the columns at a copy's rate, and, unless tensor cores do it, the sums at that of multiply-adds. */
static double roofline_ns(const contest *c, const struct kind *kind, const bench_task *measured)
{
    const station *s = c->station;
    const double copied = 2 * (double)stoa_buffer_bytes(s->from), flop = 2.0 * BENCH_FMA_CHAINS * s->fma_items * s->fma_steps;
    const double bytes_ns = device_tensors_traffic(&c->tensors) / copied * measured[COPY].median_ns;
    const double flop_ns = (double)c->tensors.schema->flop_per_row * c->tensors.rows / flop * measured[FMA].median_ns;
    return kind->precision == STOA_PRECISION_FLOAT32 ? fmax(bytes_ns, flop_ns) : bytes_ns;
}

static void write_times(bench *run, const contest *c, const contender *contenders, uint32_t count, const bench_task *tasks,
                        uint32_t task_count)
{
    FILE *out = c->station->times;
    const double native_ns = is_native(tasks, count) ? tasks[0].median_ns : NAN;
    for (uint32_t t = 0; t < task_count; t++) {
        const bool is_contender = t < count;
        fprintf(out, "%s,%s,%s,%u,", c->network->name, run->device, tasks[t].contender, c->tensors.rows);
        bench_number(out, tasks[t].median_ns, ",");
        bench_number(out, tasks[t].min_ns, ",");
        bench_number(out, tasks[t].median_ns / native_ns, ",");
        bench_number(out, is_contender ? roofline_ns(c, contenders[t].kind, tasks + count) / tasks[t].median_ns : NAN, ",");
        bench_number(out, is_contender ? contenders[t].max_difference : NAN, "\n");
    }
}

/* All of them in turn; `tasks` are the contenders' and then the yardsticks'. */
static void measure(bench *run, const contest *c, timed *what, bench_task *tasks, uint32_t count)
{
    const char *network = c->network->name;
    const uint32_t rows = c->tensors.rows;
    for (uint32_t t = 0; t < count; t++) tasks[t].run = run_timed, tasks[t].self = &what[t];
    bench_measure(run, tasks, count, bench_rounds(run, rows));
    for (uint32_t t = 0; t < count; t++) {
        tasks[t].median_ns /= what[t].batch;
        tasks[t].min_ns /= what[t].batch;
        if (what[t].failed) bench_fail(run, "device_models: %s by %s, n = %u: a run failed", network, tasks[t].contender, rows);
    }
    bench_add_tasks(run, network, rows, tasks, count, 0);
}

static void time_contest(bench *run, contest *c, contender *contenders, uint32_t count, race *native)
{
    station *s = c->station;
    const uint32_t rows = c->tensors.rows, batch = run->quick ? 1 : rows < 1000000 ? 32 : 4;
    const uint32_t task_count = count + (rows <= HOST_ROWS_MAX ? YARDSTICKS : HOST);
    contender host = {.contest = c, .session = c->session};
    timed what[KINDS + YARDSTICKS];
    bench_task tasks[KINDS + YARDSTICKS];
    for (uint32_t t = 0; t < count; t++) what[t] = (timed){enqueue, &contenders[t], s->queue, batch, false};
    what[count + EMPTY] = (timed){enqueue_nothing, s, s->queue, batch, false};
    what[count + COPY] = (timed){enqueue_copy, s, s->queue, batch, false};
    what[count + FMA] = (timed){enqueue_fma, s, s->queue, batch, false};
    what[count + HOST] = (timed){enqueue, &host, s->host_queue, 1, false};
    for (uint32_t t = 0; t < task_count; t++) tasks[t].contender = t < count ? contenders[t].kind->name : yardsticks[t - count];
    measure(run, c, what, tasks, task_count);
    write_times(run, c, contenders, count, tasks, task_count);
    if (task_count == count + YARDSTICKS && is_native(tasks, count) && native->count < SIZES_MAX) {
        native->rows[native->count] = rows;
        native->device_ns[native->count] = tasks[0].median_ns;
        native->host_ns[native->count++] = tasks[count + HOST].median_ns;
    }
}

static void time_rows(bench *run, station *s, const struct network *network, const stoa_model *model, stoa_model **models, uint32_t rows,
                      race *native)
{
    contest c = {.station = s, .network = network};
    contender contenders[KINDS];
    uint32_t count = 0;
    stoa_error err;
    bench_progress(run, network->name, rows);
    if (make_contest(&c, model, rows, want_rows(models), &err) != STOA_OK) {
        bench_fail(run, "device_models: %s, n = %u: %s", network->name, rows, err.message);
    } else {
        for (int k = 0; k < KINDS; k++)
            if (models[k] && begin(run, &contenders[count], &c, k, models)) count++;
        time_contest(run, &c, contenders, count, native);
    }
    for (uint32_t i = 0; i < count; i++) stop(&contenders[i]);
    destroy_contest(&c);
}

/* ---- What further queues cost, and who is ready when. ---- */

typedef struct memory {
    double live, taken, driver;
} memory;

static stoa_status look(const station *s, memory *now, stoa_error *err)
{
    stoa_device_info info = {.struct_size = sizeof info};
    stoa_memory_stats stats = {.struct_size = sizeof stats};
    STOA_TRY(stoa_device_memory_trim(s->device, STOA_MEMORY_DEVICE, 0, err));
    STOA_TRY(stoa_device_memory_stats(s->device, STOA_MEMORY_DEVICE, &stats, err));
    STOA_TRY(stoa_device_describe(s->device, &info, err));
    *now = (memory){(double)stats.live_bytes, (double)(stats.live_bytes + stats.cached_bytes),
                    (double)info.memory_bytes - (double)info.memory_free_bytes};
    return STOA_OK;
}

/* A session on a queue of its own, to the end of its first run. */
static stoa_status first_run(const station *s, contest *c, const struct kind *kind, const stoa_model *model, contender *made,
                             stoa_error *err)
{
    stoa_queue *queue;
    STOA_TRY(stoa_queue_create(s->device, STOA_QUEUE_ASYNC, &queue, err));
    *made = make_contender(c, kind, model, queue);
    return start(made, model, err);
}

/* The sessions of a model on queue after queue; the first one's time begins before its file is read. */
static stoa_status measure_sessions(const bench *run, contest *c, const struct kind *kind, stoa_error *err)
{
    station *s = c->station;
    char path[1024];
    contender made[QUEUES] = {{0}};
    stoa_model *model = NULL;
    stoa_status status = STOA_OK;
    find_file(c->network, kind, path, sizeof path);
    for (uint32_t q = 0; q < QUEUES && status == STOA_OK; q++) {
        memory before, after;
        status = look(s, &before, err);
        const double begin_ns = bench_now_ns();
        if (status == STOA_OK && q == 0) status = load(path, kind, &model, err);
        if (status == STOA_OK) status = first_run(s, c, kind, model, &made[q], err);
        const double ready_ns = bench_now_ns() - begin_ns;
        if (status == STOA_OK) status = look(s, &after, err);
        if (status != STOA_OK) break;
        fprintf(s->sessions, "%s,%s,%s,%u,%u,", c->network->name, run->device, kind->name, c->tensors.rows, q + 1);
        bench_number(s->sessions, ready_ns, ",");
        bench_number(s->sessions, after.live - before.live, ",");
        bench_number(s->sessions, after.taken - before.taken, ",");
        bench_number(s->sessions, after.driver - before.driver, "\n");
    }
    for (uint32_t q = 0; q < QUEUES; q++) stop(&made[q]), stoa_queue_destroy(made[q].queue);
    stoa_model_destroy(model);
    return status;
}

static void compare_sessions(bench *run, station *s, const struct network *network, const stoa_model *model, stoa_model **models)
{
    contest c = {.station = s, .network = network};
    stoa_error err;
    stoa_status status = make_contest(&c, model, run->quick ? 100 : 10000, want_rows(models), &err);
    if (status != STOA_OK) bench_fail(run, "device_models: sessions of %s: %s", network->name, err.message);
    for (int k = 0; k < KINDS && status == STOA_OK; k++) {
        if (!models[k] || kinds[k].captured) continue;
        if (measure_sessions(run, &c, &kinds[k], &err) != STOA_OK) leave_out(network, k, models, &err);
    }
    destroy_contest(&c);
}

/* ---- Networks. ---- */

/* The number of rows below which the host is faster: where the lines between the measured points cross, both axes logarithmic; 0
 * when the device is faster from the first, NaN when it never is. */
static double crossover(const race *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        const double here = log(r->host_ns[i] / r->device_ns[i]);
        if (here < 0) continue;
        if (i == 0) return 0;
        const double before = log(r->host_ns[i - 1] / r->device_ns[i - 1]);
        return r->rows[i - 1] * pow(r->rows[i] / r->rows[i - 1], before / (before - here));
    }
    return NAN;
}

static void time_network(bench *run, station *s, const struct network *network)
{
    char path[1024];
    stoa_error err;
    stoa_model *reference, *models[KINDS] = {NULL};
    race native = {.count = 0};
    find_file(network, &kinds[0], path, sizeof path);
    if (load(path, &kinds[0], &reference, &err) != STOA_OK) {
        bench_note("device_models: %s left out: %s", network->name, err.message);
        return;
    }
    for (int k = 0; k < KINDS; k++) {
        find_file(network, &kinds[k], path, sizeof path);
        if (load(path, &kinds[k], &models[k], &err) != STOA_OK) leave_out(network, k, models, &err);
    }
    compare_sessions(run, s, network, reference, models);
    for (uint32_t rows = 100; rows <= (run->quick ? 100 : network->rows_max) && run->failures == 0; rows *= 10)
        time_rows(run, s, network, reference, models, rows, &native);
    fprintf(s->crossover, "%s,%s,", network->name, run->device);
    bench_number(s->crossover, crossover(&native), "\n");
    for (int k = 0; k < KINDS; k++) stoa_model_destroy(models[k]);
    stoa_model_destroy(reference);
}

/* ---- The whole. ---- */

static stoa_status open_station(bench *run, station *s, stoa_error *err)
{
    const size_t bytes = run->quick ? 1u << 16 : 256u << 20;
    stoa_device_info info = {.struct_size = sizeof info};
    STOA_TRY(bench_kernels_register(err));
    STOA_TRY(stoa_device_open(run->device, &s->device, err));
    STOA_TRY(stoa_device_describe(s->device, &info, err));
    STOA_TRY(stoa_queue_create(s->device, STOA_QUEUE_ASYNC, &s->queue, err));
    STOA_TRY(stoa_device_open("host", &s->host, err));
    STOA_TRY(stoa_queue_create(s->host, STOA_QUEUE_BLOCKING, &s->host_queue, err));
    STOA_TRY(stoa_buffer_create(s->queue, STOA_MEMORY_DEVICE, bytes, &s->from, err));
    STOA_TRY(stoa_buffer_create(s->queue, STOA_MEMORY_DEVICE, bytes, &s->copied, err));
    STOA_TRY(stoa_buffer_create(s->queue, STOA_MEMORY_DEVICE, sizeof(float), &s->sink, err));
    STOA_TRY(stoa_queue_fill(s->queue, stoa_buffer_data(s->from), 0, bytes, err));
    s->fma_items = run->quick ? 256 : 2048 * info.compute_units; /* a multiprocessor has at most so many threads */
    s->fma_steps = run->quick ? 16 : 4096;
    return stoa_queue_wait(s->queue, err);
}

static void close_station(station *s)
{
    stoa_buffer_release(s->from);
    stoa_buffer_release(s->copied);
    stoa_buffer_release(s->sink);
    stoa_queue_destroy(s->queue);
    stoa_queue_destroy(s->host_queue);
    stoa_device_close(s->device);
    stoa_device_close(s->host);
}

static FILE *create(bench *run, const char *file, const char *header)
{
    FILE *out = bench_create(run, file);
    if (out) fputs(header, out);
    return out;
}

static void close_file(bench *run, FILE *file, const char *name)
{
    if (file && fclose(file) != 0) bench_fail(run, "%s: %s", name, strerror(errno));
}

/* `who` NULL: of anybody. */
static bool has_times(const bench *run, const char *network, const char *who)
{
    for (size_t i = 0; i < run->result_count; i++)
        if (!strcmp(run->results[i].name, network) && (!who || !strcmp(run->results[i].contender, who))) return true;
    return false;
}

static void plot(bench *run)
{
    FILE *out = bench_create(run, "device_models.gp");
    if (!out) return;
    fputs("set datafile separator ','\nset terminal pngcairo size 1500,1100 noenhanced\nset output 'device_models.png'\nset logscale xy\n"
          "set grid\nset multiplot layout 2,3\nset key outside bottom\nset xlabel 'rows'\nset ylabel 'ns per run'\n",
          out);
    for (size_t n = 0; n < sizeof networks / sizeof *networks; n++) {
        if (!has_times(run, networks[n].name, NULL)) continue;
        fprintf(out, "set title '%s'\nplot ", networks[n].name);
        for (int k = 0; k < KINDS + 2; k++) {
            const char *name = k < KINDS ? kinds[k].name : yardsticks[k == KINDS ? EMPTY : HOST];
            if (!has_times(run, networks[n].name, name)) continue;
            fprintf(out, "'device_models.csv' using (strcol(1) eq '%s' && strcol(3) eq '%s' ? $4 : NaN):5 with linespoints title '%s', ",
                    networks[n].name, name, name);
        }
        fputs("NaN notitle\n", out);
    }
    fputs("unset multiplot\n", out);
    if (fclose(out) != 0) bench_fail(run, "device_models.gp: %s", strerror(errno));
    else if (bench_gnuplot(run, "device_models.gp")) bench_list(run, "device_models.png");
}

/* `name` ends with a network's name, or asks for all of them. */
void bench_device_models(bench *run, const char *name)
{
    const char *chosen = name + strlen("device_models");
    stoa_error err;
    station s = {.times = create(run, "device_models.csv", "name,device,contender,n,median_ns,min_ns,ratio,of_roofline,max_difference\n"),
                 .sessions =
                     create(run, "device_sessions.csv", "name,device,contender,n,queue,ready_ns,live_bytes,taken_bytes,driver_bytes\n"),
                 .crossover = create(run, "device_crossover.csv", "name,device,host_faster_below\n")};
    if (s.times && s.sessions && s.crossover) {
        for (int k = 0; k < KINDS; k++) { /* loading libtorch is not loading a model */
            const stoa_runtime_api *api;
            if (stoa_runtime_find(kinds[k].runtime, &api, &err) != STOA_OK) bench_note("device_models: %s", err.message);
        }
        if (open_station(run, &s, &err) != STOA_OK) bench_fail(run, "device_models: %s", err.message);
        else
            for (size_t i = 0; i < sizeof networks / sizeof *networks; i++)
                if (!*chosen || !strcmp(chosen + 1, networks[i].name)) time_network(run, &s, &networks[i]);
        close_station(&s);
    }
    close_file(run, s.times, "device_models.csv");
    close_file(run, s.sessions, "device_sessions.csv");
    close_file(run, s.crossover, "device_crossover.csv");
    if (s.times) plot(run);
}
