/* SPDX-License-Identifier: Apache-2.0 */
/* What a device's queue costs: a kernel that finds nothing to do, and the bandwidth of compaction, gather, scan, sort and of records to
 * columns and back against a plain copy, and a buffer made and released, from the library's pool and from the driver's, all on the device
 * that --device names. Results are the host's, bit for bit, or the benchmark fails.
 * Operations are enqueued many at a time and waited for once, as a job does. */
#include "bench_internal.h"
#include "device_kernels.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stoa/stoa.h"

enum { COLUMNS = 4, BATCH = 32, TASKS = 10 }; /* operations[0] is the copy that the others are measured by */

static const stoa_column_desc record_columns[COLUMNS] = {
    {"pt", "GeV", "", STOA_FLOAT32, STOA_KIND_COLUMN, {1, 1}, 0, 0},
    {"eta", "", "", STOA_FLOAT32, STOA_KIND_COLUMN, {1, 1}, 0, 0},
    {"phi", "rad", "", STOA_FLOAT32, STOA_KIND_COLUMN, {1, 1}, 0, 0},
    {"hits", "", "", STOA_INT32, STOA_KIND_COLUMN, {1, 1}, 0, 0},
};
static const stoa_layout record_layout = {sizeof record_layout, COLUMNS, 0, 0, "record", record_columns};

/* One device with its memory: what is read lies in `in`, what is written in `out` and in the collection. */
typedef struct station {
    stoa_device *device, *pooled; /* pooled: the same with the driver's pool; NULL where there is none */
    stoa_queue *queue, *pooled_queue; /* one stream */
    stoa_buffer *mask, *in, *out, *rows, *records, *key, *scratch;
    stoa_collection *soa;
    stoa_view_head head;
    uint32_t capacity;
    bool has[TASKS]; /* the device has this operation */
    bool failed;
} station;

static stoa_status compact(station *s)
{
    const stoa_compact args = {stoa_buffer_data(s->mask),
                               stoa_buffer_data(s->rows),
                               s->capacity,
                               stoa_buffer_data(s->out),
                               (uint32_t *)stoa_buffer_data(s->rows) + 1,
                               stoa_buffer_data(s->scratch)};
    return stoa_algo_compact(s->queue, &args, NULL);
}

/* Rows in their order: what a selection that takes them all gathers. */
static stoa_status gather(station *s)
{
    const stoa_gather args = {stoa_buffer_data(s->in), stoa_buffer_data(s->out),  4,
                              stoa_buffer_data(s->in), stoa_buffer_data(s->rows), s->capacity};
    return stoa_algo_gather(s->queue, &args, NULL);
}

static stoa_status scan(station *s)
{
    const stoa_scan args = {stoa_buffer_data(s->in),  stoa_buffer_data(s->rows),   s->capacity, 0,
                            stoa_buffer_data(s->out), stoa_buffer_data(s->scratch)};
    return stoa_algo_scan(s->queue, &args, NULL);
}

static stoa_status sort(station *s)
{
    const stoa_sort args = {stoa_buffer_data(s->key), stoa_buffer_data(s->rows), s->capacity, stoa_buffer_data(s->out),
                            stoa_buffer_data(s->scratch)};
    return stoa_algo_sort(s->queue, &args, NULL);
}

static stoa_status nothing(station *s) { return bench_enqueue_nothing(s->queue); }

static stoa_status to_columns(station *s)
{ return stoa_soa_from_aos(s->queue, &s->head, stoa_buffer_data(s->records), sizeof(float) * COLUMNS, NULL); }

static stoa_status to_records(station *s)
{ return stoa_soa_to_aos(s->queue, &s->head, stoa_buffer_data(s->records), sizeof(float) * COLUMNS, NULL); }

static stoa_status copy(station *s)
{ return stoa_queue_copy(s->queue, stoa_buffer_data(s->out), stoa_buffer_data(s->in), sizeof(float) * s->capacity, NULL); }

/* Of as many bytes as a column. */
static stoa_status make_buffer(stoa_queue *queue, uint32_t rows)
{
    stoa_buffer *buffer;
    STOA_TRY(stoa_buffer_create(queue, STOA_MEMORY_DEVICE, sizeof(float) * rows, &buffer, NULL));
    stoa_buffer_release(buffer);
    return STOA_OK;
}

static stoa_status own_buffer(station *s) { return make_buffer(s->queue, s->capacity); }
static stoa_status driver_buffer(station *s) { return s->pooled_queue ? make_buffer(s->pooled_queue, s->capacity) : STOA_ENOTSUP; }

/* Bytes a row that must be read and written; half of the rows are selected, and what lies behind their indices is anything. */
static const struct {
    const char *name;
    stoa_status (*enqueue)(station *s);
    double bytes;
    bool selects;
} operations[TASKS] = {{"copy", copy, 8, false},
                       {"compact", compact, 3, true},
                       {"gather", gather, 12, false},
                       {"scan", scan, 8, false},
                       {"sort", sort, 8, false},
                       {"aos_to_soa", to_columns, 8 * COLUMNS, false},
                       {"soa_to_aos", to_records, 8 * COLUMNS, false},
                       {"empty_kernel", nothing, 0, false},
                       {"buffer", own_buffer, 0, false},
                       {"buffer_driver_pool", driver_buffer, 0, false}};

typedef struct batch {
    station *station;
    stoa_status (*enqueue)(station *s);
} batch;

static void run_batch(void *self)
{
    const batch *b = self;
    for (uint32_t i = 0; i < BATCH; i++)
        if (b->enqueue(b->station) != STOA_OK) b->station->failed = true;
    if (stoa_queue_wait(b->station->queue, NULL) != STOA_OK) b->station->failed = true;
}

/* No device but a GPU's has such a pool. */
static stoa_status open_pooled(station *s, const char *device, stoa_error *err)
{
    const stoa_device_options options = {.struct_size = sizeof options, .pool = STOA_POOL_DRIVER};
    const stoa_status status = stoa_device_open_with(device, &options, &s->pooled, err);
    if (status == STOA_OK) return stoa_queue_wrap(s->pooled, stoa_queue_native(s->queue), &s->pooled_queue, err);
    return status == STOA_ENOTSUP ? STOA_OK : status;
}

static stoa_status upload(station *s, stoa_buffer **buffer, const void *data, size_t bytes, stoa_error *err)
{
    STOA_TRY(stoa_buffer_create(s->queue, STOA_MEMORY_DEVICE, bytes, buffer, err));
    STOA_TRY(stoa_queue_copy(s->queue, stoa_buffer_data(*buffer), data, bytes, err));
    return stoa_queue_wait(s->queue, err);
}

/* `input`: capacity row numbers, then the records, the keys and the mask, in one block. */
static stoa_status make(station *s, const char *device, uint32_t capacity, const uint32_t *input, stoa_error *err)
{
    const uint32_t rows[2] = {capacity, 0};
    const stoa_block block = {"records", &record_layout, capacity, 0, NULL};
    const uint32_t *records = input + capacity, *key = records + (size_t)COLUMNS * capacity;
    s->capacity = capacity;
    STOA_TRY(bench_kernels_register(err));
    STOA_TRY(stoa_device_open(device, &s->device, err));
    STOA_TRY(stoa_queue_create(s->device, STOA_QUEUE_ASYNC, &s->queue, err));
    STOA_TRY(open_pooled(s, device, err));
    STOA_TRY(upload(s, &s->in, input, sizeof *input * capacity, err));
    STOA_TRY(upload(s, &s->out, input, sizeof *input * capacity, err));
    STOA_TRY(upload(s, &s->records, records, sizeof *input * COLUMNS * capacity, err));
    STOA_TRY(upload(s, &s->key, key, sizeof *key * capacity, err));
    STOA_TRY(upload(s, &s->mask, key + capacity, capacity, err));
    STOA_TRY(stoa_buffer_create(s->queue, STOA_MEMORY_DEVICE, 2 * sizeof *input * capacity, &s->scratch, err));
    STOA_TRY(upload(s, &s->rows, rows, sizeof rows, err));
    STOA_TRY(stoa_collection_create(s->queue, STOA_MEMORY_DEVICE, &block, 1, &s->soa, err));
    STOA_TRY(stoa_collection_zero(s->soa, s->queue, 0, err));
    return stoa_collection_block(s->soa, NULL, &s->head, err);
}

static void destroy(station *s)
{
    stoa_buffer *const buffers[] = {s->mask, s->in, s->out, s->rows, s->records, s->key, s->scratch};
    stoa_collection_destroy(s->soa);
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) stoa_buffer_release(buffers[i]);
    stoa_queue_destroy(s->pooled_queue);
    stoa_device_close(s->pooled);
    stoa_queue_destroy(s->queue);
    stoa_device_close(s->device);
}

/* All that an operation can have written, in host memory: two counts, `rows` results, records and columns. */
static bool read_back(station *s, uint32_t rows, unsigned char *to)
{
    const size_t counts = 2 * sizeof(uint32_t), out = counts + sizeof(float) * s->capacity, records = sizeof(float) * COLUMNS * s->capacity;
    return stoa_queue_copy(s->queue, to, stoa_buffer_data(s->rows), counts, NULL) == STOA_OK &&
           stoa_queue_copy(s->queue, to + counts, stoa_buffer_data(s->out), sizeof(float) * rows, NULL) == STOA_OK &&
           stoa_queue_copy(s->queue, to + out, stoa_buffer_data(s->records), records, NULL) == STOA_OK &&
           stoa_queue_copy(s->queue, to + out + records, stoa_collection_data(s->soa), stoa_collection_bytes(s->soa), NULL) == STOA_OK &&
           stoa_queue_wait(s->queue, NULL) == STOA_OK;
}

/* Each operation that the measured device has leaves the same bytes on both. */
static bool agree(station *measured, station *reference, uint32_t selected)
{
    const size_t bytes = 2 * sizeof(uint32_t) + sizeof(float) * (1 + COLUMNS) * measured->capacity + stoa_collection_bytes(measured->soa);
    unsigned char *a = bench_alloc(bytes), *b = bench_alloc(bytes);
    bool same = a && b;
    if (same) memset(a, 0, bytes), memset(b, 0, bytes);
    for (uint32_t i = 0; same && i < TASKS; i++) {
        const stoa_status status = operations[i].enqueue(measured);
        measured->has[i] = status != STOA_ENOTSUP;
        if (!measured->has[i]) continue;
        if (operations[i].bytes == 0) { /* leaves nothing to compare */
            same = status == STOA_OK;
            continue;
        }
        const uint32_t rows = operations[i].selects ? selected : measured->capacity;
        same = status == STOA_OK && operations[i].enqueue(reference) == STOA_OK && read_back(measured, rows, a) &&
               read_back(reference, rows, b) && memcmp(a, b, bytes) == 0;
    }
    free(a);
    free(b);
    return same;
}

static void write_line(FILE *out, const bench *run, const station *s, const bench_task *task, double bytes, double copy_ns)
{
    fprintf(out, "device,%s,%s,%u,", run->device, task->contender, s->capacity);
    bench_number(out, task->median_ns, ",");
    bench_number(out, task->min_ns, ",");
    bench_number(out, bytes * s->capacity / task->median_ns, ",");
    bench_number(out, bytes / task->median_ns * copy_ns / operations[0].bytes, "\n");
}

static void measure(bench *run, FILE *out, station *s)
{
    batch batches[TASKS];
    bench_task tasks[TASKS];
    double bytes[TASKS];
    uint32_t count = 0;
    for (uint32_t i = 0; i < TASKS; i++) {
        if (!s->has[i]) {
            bench_note("device: %s left out: %s has none", operations[i].name, run->device);
            continue;
        }
        batches[count] = (batch){s, operations[i].enqueue};
        bytes[count] = operations[i].bytes;
        tasks[count] = (bench_task){operations[i].name, run_batch, &batches[count], 0, 0};
        count++;
    }
    bench_measure(run, tasks, count, bench_rounds(run, (uint64_t)BATCH * s->capacity));
    for (uint32_t t = 0; t < count; t++) tasks[t].median_ns /= BATCH, tasks[t].min_ns /= BATCH;
    bench_add_tasks(run, "device", s->capacity, tasks, count, 0);
    for (uint32_t t = 0; t < count; t++) write_line(out, run, s, &tasks[t], bytes[t], tasks[0].median_ns);
    if (s->failed) bench_fail(run, "device, n = %u: an operation failed", s->capacity);
}

static void time_rows(bench *run, FILE *out, uint32_t rows)
{
    station measured = {0}, reference = {0};
    bench_rng rng = {rows};
    stoa_error err = {0};
    uint32_t *input = bench_alloc(sizeof *input * (3 + COLUMNS) * rows);
    stoa_status status = input ? STOA_OK : STOA_FAIL(&err, STOA_ENOMEM, "no memory for %u rows", rows);
    bench_progress(run, "device", rows);
    uint32_t selected = 0;
    if (input) {
        float *key = (float *)(input + (size_t)(1 + COLUMNS) * rows);
        unsigned char *mask = (unsigned char *)(key + rows);
        for (uint32_t i = 0; i < rows; i++) {
            input[i] = i;
            key[i] = (float)bench_uniform(&rng);
            selected += mask[i] = bench_uniform(&rng) < 0.5;
        }
        for (uint32_t i = 0; i < COLUMNS * rows; i++) input[rows + i] = i;
    }
    if (status == STOA_OK) status = make(&measured, run->device, rows, input, &err);
    if (status == STOA_OK) status = make(&reference, "host", rows, input, &err);
    if (status != STOA_OK) bench_fail(run, "device, n = %u: %s", rows, err.message);
    else if (!agree(&measured, &reference, selected)) bench_fail(run, "device, n = %u: %s differs from the host", rows, run->device);
    else measure(run, out, &measured);
    destroy(&measured);
    destroy(&reference);
    free(input);
}

static void plot(bench *run)
{
    FILE *out = bench_create(run, "device.gp");
    if (!out) return;
    fputs("set datafile separator ','\nset terminal pngcairo size 900,600\nset output 'device.png'\nset logscale xy\nset key outside\n"
          "set xlabel 'rows'\nset ylabel 'GB/s'\nplot ",
          out);
    for (uint32_t i = 0; i < TASKS && operations[i].bytes > 0; i++)
        fprintf(out, "%s'device.csv' using (strcol(3) eq '%s' ? $4 : NaN):7 with linespoints title '%s'", i ? ", " : "", operations[i].name,
                operations[i].name);
    fputc('\n', out);
    if (fclose(out) != 0) bench_fail(run, "device.gp: %s", strerror(errno));
    else if (bench_gnuplot(run, "device.gp")) bench_list(run, "device.png");
}

void bench_device(bench *run, const char *name)
{
    (void)name;
    FILE *out = bench_create(run, "device.csv");
    if (!out) return;
    fputs("name,device,contender,n,median_ns,min_ns,gbytes_per_s,of_copy\n", out);
    for (uint32_t rows = 1000; rows <= (run->quick ? 1000u : 10000000u) && run->failures == 0; rows *= 10) time_rows(run, out, rows);
    if (fclose(out) != 0) bench_fail(run, "device.csv: %s", strerror(errno));
    else plot(run);
}
