/* SPDX-License-Identifier: Apache-2.0 */
/* The most that one core can do: independent multiply-adds on registers, nothing else. Each accumulator waits
 * for itself only; 12 of them hide a latency of 4 cycles on two units with room to spare and fit 16
 * registers. Needs -ffp-contract=fast, which bench/CMakeLists.txt gives. */
#include "bench_internal.h"

#define STEPS 4096u
#define CHAINS 12u

/* An empty asm keeps each value in its register and the compiler from solving the loop. */
#define STEP(k) \
    a##k = a##k * x + y; \
    __asm__ volatile("" : KEEP(a##k));
#define LOOP(vector) \
    vector x, y, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11; \
    for (unsigned i = 0; i < sizeof x / sizeof x[0]; i++) { \
        x[i] = 0.999f; \
        y[i] = 0.001f; \
    } \
    a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = a8 = a9 = a10 = a11 = y; \
    for (unsigned i = 0; i < STEPS; i++) { \
        STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) STEP(8) STEP(9) STEP(10) STEP(11) \
    } \
    const vector sum = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + a10 + a11; \
    sink = sum[0]

static volatile float sink;

#if defined(__x86_64__)
typedef float float4 __attribute__((vector_size(16)));
typedef float float8 __attribute__((vector_size(32)));
typedef float float16 __attribute__((vector_size(64)));
#define KEEP(a) "+v"(a)
__attribute__((target("avx512f"))) static void peak_avx512(void) { LOOP(float16); }
#undef KEEP
#define KEEP(a) "+x"(a)
__attribute__((target("avx2,fma"))) static void peak_avx2(void) { LOOP(float8); }
static void peak_baseline(void) { LOOP(float4); }
#elif defined(__aarch64__)
typedef float float4 __attribute__((vector_size(16)));
#define KEEP(a) "+w"(a)
static void peak_baseline(void) { LOOP(float4); }
#else
typedef float float4 __attribute__((vector_size(16)));
#define KEEP(a) "+m"(a)
static void peak_baseline(void) { LOOP(float4); }
#endif

typedef struct peak {
    const char *isa;
    void (*run)(void);
    unsigned lanes;
} peak;

static peak best(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) return (peak){"avx512f", peak_avx512, 16};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return (peak){"avx2 fma", peak_avx2, 8};
#endif
    return (peak){"baseline", peak_baseline, 4};
}

void fma_peak_run(void *unused)
{
    (void)unused;
    best().run();
}

double fma_peak_flop(void) { return 2.0 * CHAINS * STEPS * best().lanes; }

const char *fma_peak_isa(void) { return best().isa; }
