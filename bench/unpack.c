/* SPDX-License-Identifier: Apache-2.0 */
/* Scouting words to PUPPI columns, against copying as many bytes, and against the loop one would write by hand.
 * Crossings have as many candidates as the real sample's, 28.6 on average. */
#include "bench_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reco/scouting/unpack.h"
#include "reco/scouting/words.h"
#include "stoa/collection.h"

enum { WORD_BYTES = 8, COLUMN_BYTES = 6 * 4 + 2 + 1, CROSSING_CANDIDATES = 28 };

typedef struct unpacking {
    stoa_device *device;
    stoa_queue *queue;
    stoa_collection *memory;
    reco_scout_unpack args;
    uint64_t *words;
    uint32_t *header;
    char *from, *to; /* of memcpy */
    size_t copy_bytes;
    bool failed;
} unpacking;

static void run_native(void *self)
{
    unpacking *u = self;
    if (reco_scout_unpack_enqueue(u->queue, &u->args, NULL) != STOA_OK) u->failed = true;
}

/* Reads and writes as many bytes as the unpacking does. */
static void run_memcpy(void *self)
{
    unpacking *u = self;
    memcpy(u->to, u->from, u->copy_bytes);
    __asm__ volatile("" : : "r"(u->to) : "memory");
}

static void run_loop(void *self)
{
    static const int16_t ids[8] = {130, 22, -211, 211, 11, -11, 13, -13};
    const unpacking *u = self;
    const puppi_soa *p = &u->args.puppi;
    for (uint32_t c = 0, row = 0; c < u->args.crossings; c++) {
        const uint64_t *event = u->words + u->header[c];
        const uint32_t count = reco_scout_count(event[0]);
        for (uint32_t k = 1; k <= count; k++, row++) {
            const uint64_t word = event[k];
            const uint32_t pid = reco_bits(word, 37, 3);
            const bool charged = pid > RECO_PID_PHOTON;
            p->pt[row] = 0.25f * (float)reco_bits(word, 0, 14);
            p->eta[row] = RECO_SCOUT_ANGLE * (float)reco_signed_bits(word, 14, 12);
            p->phi[row] = RECO_SCOUT_ANGLE * (float)reco_signed_bits(word, 26, 11);
            p->z0[row] = charged ? 0.05f * (float)reco_signed_bits(word, 40, 10) : 0.0f;
            p->dxy[row] = charged ? 0.05f * (float)reco_signed_bits(word, 50, 8) : 0.0f;
            p->puppiw[row] = charged ? 1.0f : (float)reco_bits(word, 40, 10) / 256.0f;
            p->pdgid[row] = ids[pid];
            p->quality[row] = (uint8_t)(charged ? reco_bits(word, 58, 3) : reco_bits(word, 50, 6));
        }
    }
}

/* Crossings of Poisson size until there are `rows` candidates. */
static void fill_words(unpacking *u, uint32_t rows)
{
    bench_rng rng = {rows};
    uint32_t words = 0, left = rows;
    while (left > 0) {
        uint32_t count = bench_poisson(&rng, CROSSING_CANDIDATES);
        if (count > left) count = left;
        u->header[u->args.crossings] = words;
        u->words[words++] = reco_scout_header(1, u->args.crossings++ % (RECO_SCOUT_BX_MAX + 1), count);
        for (uint32_t k = 0; k < count; k++) u->words[words++] = (uint64_t)(bench_uniform(&rng) * 0x1p61);
        left -= count;
    }
    u->args.candidates = rows;
}

static bool make(unpacking *u, uint32_t rows)
{
    const uint32_t crossings = rows / (CROSSING_CANDIDATES / 2) + 64;
    const stoa_block blocks[] = {{"puppi", &puppi_soa_layout, rows, 0, NULL}, {"crossings", &crossings_soa_layout, crossings + 1, 0, NULL}};
    u->copy_bytes = (size_t)rows * (WORD_BYTES + COLUMN_BYTES) / 2;
    u->words = bench_alloc(sizeof(uint64_t) * ((size_t)rows + crossings));
    u->header = bench_alloc(sizeof(uint32_t) * crossings);
    u->from = bench_alloc(u->copy_bytes);
    u->to = bench_alloc(u->copy_bytes);
    if (!u->words || !u->header || !u->from || !u->to) return false;
    memset(u->from, 1, u->copy_bytes);
    fill_words(u, rows);
    u->args.words = u->words;
    u->args.header = u->header;
    return stoa_device_open("host", &u->device, NULL) == STOA_OK &&
           stoa_queue_create(u->device, STOA_QUEUE_BLOCKING, &u->queue, NULL) == STOA_OK &&
           stoa_collection_create(u->queue, STOA_MEMORY_DEVICE, blocks, 2, &u->memory, NULL) == STOA_OK &&
           stoa_collection_view(u->memory, "puppi", &u->args.puppi.head, NULL) == STOA_OK &&
           stoa_collection_view(u->memory, "crossings", &u->args.crossings_out.head, NULL) == STOA_OK;
}

static void destroy(unpacking *u)
{
    stoa_collection_destroy(u->memory);
    stoa_queue_destroy(u->queue);
    stoa_device_close(u->device);
    free(u->words);
    free(u->header);
    free(u->from);
    free(u->to);
}

/* Both ways give the same bytes of the whole blob. */
static bool is_right(unpacking *u)
{
    const size_t bytes = stoa_collection_bytes(u->memory);
    char *kept = bench_alloc(bytes);
    if (!kept || stoa_collection_zero(u->memory, u->queue, 0, NULL) != STOA_OK) return false;
    run_native(u);
    memcpy(kept, stoa_collection_data(u->memory), bytes);
    run_loop(u);
    const bool same = memcmp(kept, stoa_collection_data(u->memory), bytes) == 0;
    free(kept);
    return same && !u->failed;
}

static void time_rows(bench *run, FILE *out, uint32_t rows)
{
    unpacking u = {0};
    bench_progress(run, "unpack", rows);
    if (!make(&u, rows) || !is_right(&u)) bench_fail(run, "unpack, n = %u: no memory, or a wrong result", rows);
    else {
        bench_task tasks[] = {{"native", run_native, &u, 0, 0}, {"memcpy", run_memcpy, &u, 0, 0}, {"scalar_loop", run_loop, &u, 0, 0}};
        const uint32_t count = sizeof tasks / sizeof *tasks;
        bench_measure(run, tasks, count, bench_rounds(run, rows));
        bench_add_tasks(run, "unpack", rows, tasks, count, 0);
        for (uint32_t t = 0; t < count; t++) {
            fprintf(out, "unpack,%s,%u,", tasks[t].contender, rows);
            bench_number(out, tasks[t].median_ns, ",");
            bench_number(out, tasks[t].min_ns, ",");
            bench_number(out, tasks[t].median_ns / rows, ",");
            bench_number(out, tasks[t].median_ns / tasks[0].median_ns, ",");
            bench_number(out, 2 * (double)u.copy_bytes / tasks[t].median_ns, "\n");
        }
    }
    destroy(&u);
}

void bench_unpack(bench *run, const char *name)
{
    (void)name;
    FILE *out = bench_create(run, "unpack.csv");
    if (!out) return;
    fputs("name,contender,n,median_ns,min_ns,ns_per_row,ratio,gbytes_per_s\n", out);
    for (uint32_t rows = 10000; rows <= (run->quick ? 100000u : 10000000u); rows *= 10) time_rows(run, out, rows);
    if (fclose(out) != 0) bench_fail(run, "unpack.csv: %s", strerror(errno));
}
