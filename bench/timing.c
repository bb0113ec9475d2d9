/* SPDX-License-Identifier: Apache-2.0 */
/* Clock, samples in turn, random numbers and memory for the benchmarks. */
#include "bench_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TASKS_MAX 20u

double bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e9 * (double)now.tv_sec + (double)now.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *values, uint32_t count)
{
    qsort(values, count, sizeof *values, compare);
    return count % 2 ? values[count / 2] : 0.5 * (values[count / 2 - 1] + values[count / 2]);
}

static double sample(const bench_task *task, uint64_t calls)
{
    const double begin = bench_now_ns();
    for (uint64_t i = 0; i < calls; i++) task->run(task->self);
    return (bench_now_ns() - begin) / (double)calls;
}

/* How many calls fill a sample: doubled until the time can be trusted, which also warms caches and arenas. */
static uint64_t calibrate(const bench_task *task, double sample_ns)
{
    task->run(task->self);
    for (uint64_t calls = 1;; calls *= 2) {
        const double call_ns = sample(task, calls);
        if (call_ns * (double)calls < 0.25 * sample_ns && calls < 1u << 30) continue;
        const double wanted = sample_ns / (call_ns > 0 ? call_ns : 1);
        return wanted > 1 ? (uint64_t)wanted : 1;
    }
}

void bench_measure(const bench *run, bench_task *tasks, uint32_t count, uint32_t rounds)
{
    static double times[TASKS_MAX][BENCH_ROUNDS_MAX];
    uint64_t calls[TASKS_MAX];
    if (count > TASKS_MAX) count = TASKS_MAX;
    if (rounds > BENCH_ROUNDS_MAX) rounds = BENCH_ROUNDS_MAX;
    for (uint32_t t = 0; t < count; t++) calls[t] = calibrate(&tasks[t], run->sample_ns);
    for (uint32_t round = 0; round < rounds; round++)
        for (uint32_t t = 0; t < count; t++) times[t][round] = sample(&tasks[t], calls[t]);
    for (uint32_t t = 0; t < count; t++) {
        tasks[t].median_ns = bench_median(times[t], rounds);
        tasks[t].min_ns = times[t][0]; /* sorted now */
    }
}

uint32_t bench_rounds(const bench *run, uint64_t n)
{
    if (run->quick) return 3;
    return n <= 10000 ? 25 : n <= 100000 ? 11 : 5;
}

static uint64_t next(bench_rng *rng)
{
    uint64_t z = rng->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

double bench_uniform(bench_rng *rng) { return (double)(next(rng) >> 11) * 0x1p-53; }

double bench_gauss(bench_rng *rng)
{
    const double radius = sqrt(-2 * log(1 - bench_uniform(rng))); /* Box-Muller */
    return radius * cos(6.283185307179586 * bench_uniform(rng));
}

/* Knuth's product of uniforms, in parts of at most 30 so that exp does not underflow: sums of Poissons are
 * Poisson. */
uint32_t bench_poisson(bench_rng *rng, double mean)
{
    uint32_t total = 0;
    for (; mean > 0; mean -= 30) {
        const double limit = exp(-fmin(mean, 30));
        for (double product = bench_uniform(rng); product > limit; product *= bench_uniform(rng)) total++;
    }
    return total;
}

void *bench_alloc(size_t bytes)
{
    const size_t whole = (bytes + 127) / 128 * 128;
    void *memory = aligned_alloc(128, whole ? whole : 128);
    if (memory) memset(memory, 0, whole); /* no page faults in the timed part */
    return memory;
}

uint32_t bench_padded(uint32_t rows) { return (rows + 31u) / 32u * 32u; }

bench_resident bench_resident_kib(void)
{
    unsigned long long size = 0, resident = 0, shared = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file) return (bench_resident){0, 0};
    const int found = fscanf(file, "%llu %llu %llu", &size, &resident, &shared);
    fclose(file);
    const uint64_t page_kib = (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
    return found == 3 ? (bench_resident){resident * page_kib, (resident - shared) * page_kib} : (bench_resident){0, 0};
}
