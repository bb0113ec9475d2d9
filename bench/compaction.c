/* SPDX-License-Identifier: Apache-2.0 */
/* Selecting rows: compaction to indices and the gather of one float column, against copying the whole column
 * and against the loop one would write by hand. Half of the rows are selected, at random. */
#include "bench_internal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "stoa/algo.h"

typedef struct selection {
    stoa_device *device;
    stoa_queue *queue;
    uint32_t rows, selected;
    uint8_t *mask;
    float *in, *out;
    uint32_t *index;
    stoa_compact compact;
    stoa_gather gather;
    bool failed;
} selection;

static void run_compact(void *self)
{
    selection *s = self;
    if (stoa_algo_compact(s->queue, &s->compact, NULL) != STOA_OK) s->failed = true;
}

static void run_gather(void *self)
{
    selection *s = self;
    if (stoa_algo_gather(s->queue, &s->gather, NULL) != STOA_OK) s->failed = true;
}

static void run_native(void *self)
{
    run_compact(self);
    run_gather(self);
}

static void run_memcpy(void *self)
{
    selection *s = self;
    memcpy(s->out, s->in, sizeof(float) * s->rows);
    __asm__ volatile("" : : "r"(s->out) : "memory"); /* the copy is wanted, though nobody reads it */
}

static void run_loop(void *self)
{
    const selection *s = self;
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->rows; i++) {
        s->out[count] = s->in[i];
        count += s->mask[i] != 0;
    }
}

static bool make(selection *s, uint32_t rows)
{
    bench_rng rng = {rows};
    s->rows = rows;
    s->mask = bench_alloc(rows);
    s->in = bench_alloc(sizeof(float) * rows);
    s->out = bench_alloc(sizeof(float) * ((size_t)rows + 1));
    s->index = bench_alloc(sizeof(uint32_t) * rows);
    if (!s->mask || !s->in || !s->out || !s->index) return false;
    for (uint32_t i = 0; i < rows; i++) {
        s->mask[i] = bench_uniform(&rng) < 0.5;
        s->in[i] = (float)i;
    }
    s->compact = (stoa_compact){s->mask, &s->rows, rows, s->index, &s->selected, NULL};
    s->gather = (stoa_gather){s->in, s->out, sizeof(float), s->index, &s->selected, rows};
    return stoa_device_open("host", &s->device, NULL) == STOA_OK &&
           stoa_queue_create(s->device, STOA_QUEUE_BLOCKING, &s->queue, NULL) == STOA_OK;
}

static void destroy(selection *s)
{
    stoa_queue_destroy(s->queue);
    stoa_device_close(s->device);
    free(s->mask);
    free(s->in);
    free(s->out);
    free(s->index);
}

static bool is_right(selection *s)
{
    uint32_t count = 0;
    run_native(s);
    for (uint32_t i = 0; i < s->rows; i++) {
        if (!s->mask[i]) continue;
        if (count >= s->selected || s->out[count] < s->in[i] || s->out[count] > s->in[i]) return false;
        count++;
    }
    return !s->failed && count == s->selected;
}

/* Bytes that must be read and written, for GB/s: mask, indices, column in and out. */
static double bytes_moved(const selection *s, const char *contender)
{
    const double rows = s->rows, selected = s->selected;
    if (!strcmp(contender, "memcpy")) return 8 * rows;
    if (!strcmp(contender, "compact")) return rows + 4 * selected;
    if (!strcmp(contender, "gather")) return 4 * selected + 4 * rows + 4 * selected;
    if (!strcmp(contender, "scalar_loop")) return rows + 4 * rows + 4 * selected;
    return rows + 4 * rows + 12 * selected;
}

static void time_rows(bench *run, FILE *out, uint32_t rows)
{
    selection s = {0};
    bench_progress(run, "compaction", rows);
    if (!make(&s, rows) || !is_right(&s)) bench_fail(run, "compaction, n = %u: no memory, or a wrong result", rows);
    else {
        bench_task tasks[] = {{"native", run_native, &s, 0, 0},
                              {"compact", run_compact, &s, 0, 0},
                              {"gather", run_gather, &s, 0, 0},
                              {"scalar_loop", run_loop, &s, 0, 0},
                              {"memcpy", run_memcpy, &s, 0, 0}};
        const uint32_t count = sizeof tasks / sizeof *tasks;
        bench_measure(run, tasks, count, bench_rounds(run, rows));
        bench_add_tasks(run, "compaction", rows, tasks, count, 0);
        for (uint32_t t = 0; t < count; t++) {
            fprintf(out, "compaction,%s,%u,", tasks[t].contender, rows);
            bench_number(out, tasks[t].median_ns, ",");
            bench_number(out, tasks[t].min_ns, ",");
            bench_number(out, tasks[t].median_ns / rows, ",");
            bench_number(out, tasks[t].median_ns / tasks[0].median_ns, ",");
            bench_number(out, bytes_moved(&s, tasks[t].contender) / tasks[t].median_ns, "\n");
        }
    }
    destroy(&s);
}

void bench_compaction(bench *run, const char *name)
{
    (void)name;
    FILE *out = bench_create(run, "compaction.csv");
    if (!out) return;
    fputs("name,contender,n,median_ns,min_ns,ns_per_row,ratio,gbytes_per_s\n", out);
    for (uint32_t rows = 10000; rows <= (run->quick ? 100000u : 10000000u); rows *= 10) time_rows(run, out, rows);
    if (fclose(out) != 0) bench_fail(run, "compaction.csv: %s", strerror(errno));
}
