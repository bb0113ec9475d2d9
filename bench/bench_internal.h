/* SPDX-License-Identifier: Apache-2.0 */
/* What the benchmarks share: options, timing, results, files. */
#ifndef STOA_BENCH_INTERNAL_H
#define STOA_BENCH_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define BENCH_ROUNDS_MAX 25u
#define BENCH_FILES_MAX 16u

/* One line of the results. What a contender has no figure for is NaN: left empty in CSV, null in JSON. */
typedef struct bench_result {
    char name[40], contender[24];
    uint64_t n;
    double median_ns, min_ns;
    double ratio; /* contender / native */
    double gflops, peak_fraction;
} bench_result;

typedef struct bench {
    const char *dir;
    const char *device; /* of the benchmarks that measure one: "host", "cuda:0" */
    bool quick;     /* fewer rounds and rows: for tests, not for figures */
    bool terminal;  /* progress goes to stderr */
    bool cold_done; /* the cold-start figures are taken: they can be taken once a process */
    double sample_ns;
    uint32_t failures;
    bench_result *results;
    size_t result_count, result_capacity;
    char files[BENCH_FILES_MAX][40]; /* CSV and PNG files, in the order of the page */
    uint32_t file_count;
} bench;

/* ---- The benchmarks: `name` is what was asked for, for functions that serve several names. ---- */
void bench_mlp(bench *run, const char *name);
void bench_vertices(bench *run, const char *name);
void bench_compaction(bench *run, const char *name);
void bench_forest(bench *run, const char *name);
void bench_aot(bench *run, const char *name);
void bench_copy(bench *run, const char *name);
void bench_unpack(bench *run, const char *name);
void bench_clue(bench *run, const char *name);
void bench_scout(bench *run, const char *name);
void bench_hlt(bench *run, const char *name);
void bench_device(bench *run, const char *name);
void bench_device_copy(bench *run, const char *name);
void bench_device_models(bench *run, const char *name);
void bench_products(bench *run, const char *name);

/* ---- Timing. ---- */

/* A thing to time; `run` must not allocate. */
typedef struct bench_task {
    const char *contender;
    void (*run)(void *self);
    void *self;
    double median_ns, min_ns; /* out: per call */
} bench_task;

double bench_now_ns(void);
/* Time all tasks, one sample of each in turn, so that a disturbance hits all alike. A sample is
 * run->sample_ns of calls, or one call. */
void bench_measure(const bench *run, bench_task *tasks, uint32_t count, uint32_t rounds);
/* Rounds for n rows: fewer for long calls. */
uint32_t bench_rounds(const bench *run, uint64_t n);
double bench_median(double *values, uint32_t count);

/* ---- The most that one core can do: a run of the FMA loop and its operations; the loop is that of the best instruction set here. ---- */
void fma_peak_run(void *unused);
double fma_peak_flop(void);
const char *fma_peak_isa(void);

/* ---- Random numbers: splitmix64, the same on every machine. ---- */
typedef struct bench_rng {
    uint64_t state;
} bench_rng;
double bench_uniform(bench_rng *rng); /* [0, 1) */
double bench_gauss(bench_rng *rng);
uint32_t bench_poisson(bench_rng *rng, double mean);

/* ---- Memory: 128-byte aligned as the columns are; NULL when there is none. Released with free(). ---- */
void *bench_alloc(size_t bytes);
/* Rows of a float column with its padding. */
uint32_t bench_padded(uint32_t rows);
/* Resident memory of this process in KiB, all and without pages of files such as code, from /proc; 0 where there is none. */
typedef struct bench_resident {
    uint64_t all, own;
} bench_resident;
bench_resident bench_resident_kib(void);

/* ---- Results and files. ---- */
void bench_add(bench *run, const bench_result *result);
/* Add the tasks' results; the ratio is to the task named "native". flop is that of a call, 0: none. */
void bench_add_tasks(bench *run, const char *name, uint64_t n, const bench_task *tasks, uint32_t count, double flop);
/* The last result is that of the FMA loop in the same rounds: its rate is the peak that the `count` results are measured by. */
void bench_set_peak(bench *run, uint32_t count);
/* All results whose name begins with the prefix, as a table. */
void bench_write_csv(bench *run, const char *prefix, const char *file);
/* Say on stderr that something failed, and count it. */
void bench_fail(bench *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* One line on stderr that is no failure. */
void bench_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void bench_progress(const bench *run, const char *name, uint64_t n);
/* Where packages of the networks are: STOA_PACKAGES, or build/packages of the source tree. */
const char *bench_packages(void);
/* Create DIR/file for writing and list it on the page; NULL after bench_fail. */
FILE *bench_create(bench *run, const char *file);
void bench_list(bench *run, const char *file);
/* Print a number as CSV: empty for NaN. */
void bench_number(FILE *file, double value, const char *end);
/* Run gnuplot on DIR/script, in DIR. False when it cannot be run, after one line on stderr. */
bool bench_gnuplot(bench *run, const char *script);
/* Write DIR/machine.txt and DIR/index.html. */
void bench_page(bench *run);

#endif
