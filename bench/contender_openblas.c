/* SPDX-License-Identifier: Apache-2.0 */
/* What a careful user writes with BLAS: the SoA columns read in place through transA, weights transposed at
 * load, tiles of 192 rows so that the activations stay in cache, vectorised activations between. */
#include "mlp.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef STOA_BENCH_OPENBLAS
#include "openblas.h"

#define TILE 192u
#define WIDTH_MAX 256u

typedef struct blas {
    mlp_case mlp;
    float *weight[MLP_LAYERS_MAX]; /* [in][out] */
    float *tile[2];                /* [TILE][WIDTH_MAX], in turn */
    bool wide;                     /* AVX2 and FMA here */
} blas;

#if defined(__x86_64__)
#define WIDE __attribute__((target("avx2,fma")))
#define HAS_WIDE() (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
#else
#define WIDE
#define HAS_WIDE() 0
#endif
#define INLINE static inline __attribute__((always_inline))

INLINE void relu_body(float *restrict x, const float *restrict bias, uint32_t rows, uint32_t width)
{
    for (uint32_t r = 0; r < rows; r++, x += width)
        for (uint32_t c = 0; c < width; c++) {
            const float value = x[c] + bias[c];
            x[c] = value > 0.0f ? value : 0.0f;
        }
}

/* exp by a power of two and a polynomial of degree 6 on [-ln2/2, ln2/2] (Taylor): 2e-7, plenty for 2e-5. */
INLINE float exp_near(float x)
{
    const float clipped = x < -87.0f ? -87.0f : x > 87.0f ? 87.0f : x;
    const float whole = (clipped * 1.44269504f + 12582912.0f) - 12582912.0f; /* rounds to nearest */
    const float r = (clipped - whole * 0.693359375f) + whole * 2.12194440e-4f;
    const float p =
        1.0f + r * (1.0f + r * (0.5f + r * (1.66666667e-1f + r * (4.16666667e-2f + r * (8.33333333e-3f + r * 1.38888889e-3f)))));
    const int32_t bits = ((int32_t)whole + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

INLINE void sigmoid_body(float *restrict out, const float *restrict x, float bias, uint32_t rows)
{
    for (uint32_t r = 0; r < rows; r++) out[r] = 1.0f / (1.0f + exp_near(-(x[r] + bias)));
}

WIDE static void relu_wide(float *x, const float *bias, uint32_t rows, uint32_t width) { relu_body(x, bias, rows, width); }

WIDE static void sigmoid_wide(float *out, const float *x, float bias, uint32_t rows) { sigmoid_body(out, x, bias, rows); }

static void relu(const blas *b, float *x, const float *bias, uint32_t rows, uint32_t width)
{
    if (b->wide) relu_wide(x, bias, rows, width);
    else relu_body(x, bias, rows, width);
}

static void sigmoid(const blas *b, float *out, const float *x, float bias, uint32_t rows)
{
    if (b->wide) sigmoid_wide(out, x, bias, rows);
    else sigmoid_body(out, x, bias, rows);
}

static void blas_close(void *self)
{
    blas *b = self;
    if (!b) return;
    for (uint32_t l = 0; l < MLP_LAYERS_MAX; l++) free(b->weight[l]);
    free(b->tile[0]);
    free(b->tile[1]);
    free(b);
}

static float *transpose(const float *weight, uint32_t out, uint32_t in)
{
    float *transposed = aligned_alloc(128, (sizeof(float) * in * out + 127) / 128 * 128);
    for (uint32_t o = 0; transposed && o < out; o++)
        for (uint32_t i = 0; i < in; i++) transposed[(size_t)i * out + o] = weight[(size_t)o * in + i];
    return transposed;
}

static bool blas_open(const mlp_case *mlp, void **self, char *why)
{
    blas *b = calloc(1, sizeof *b);
    bool done = b != NULL;
    *self = b;
    if (!bench_openblas_load(why, MLP_WHY)) return false;
    for (uint32_t l = 0; done && l < mlp->spec->layers; l++) {
        b->weight[l] = transpose(mlp->weights->weight[l], mlp->spec->widths[l + 1], mlp->spec->widths[l]);
        done = b->weight[l] && mlp->spec->widths[l + 1] <= WIDTH_MAX;
    }
    for (uint32_t k = 0; done && k < 2; k++) {
        b->tile[k] = aligned_alloc(128, sizeof(float) * TILE * WIDTH_MAX);
        done = b->tile[k] != NULL;
    }
    if (!done) snprintf(why, MLP_WHY, "no memory, or a layer wider than %u", WIDTH_MAX);
    if (done) b->wide = HAS_WIDE();
    bench_openblas.set_num_threads(1);
    return done;
}

static bool blas_prepare(void *self, const mlp_case *mlp, char *why)
{
    (void)why;
    ((blas *)self)->mlp = *mlp;
    return true;
}

static void run_tile(const blas *b, uint32_t first, uint32_t rows)
{
    const mlp_spec *spec = b->mlp.spec;
    const float *in = b->mlp.columns + first;
    int pitch = (int)b->mlp.pitch;
    for (uint32_t l = 0; l < spec->layers; l++) {
        const int inputs = (int)spec->widths[l], outputs = (int)spec->widths[l + 1];
        float *out = b->tile[l % 2];
        if (outputs == 1) {
            bench_openblas.sgemv(CblasRowMajor, CblasNoTrans, (int)rows, inputs, 1.0f, in, pitch, b->weight[l], 1, 0.0f, out, 1);
            sigmoid(b, b->mlp.out + first, out, b->mlp.weights->bias[l][0], rows);
            return;
        }
        bench_openblas.sgemm(CblasRowMajor, l == 0 ? CblasTrans : CblasNoTrans, CblasNoTrans, (int)rows, outputs, inputs, 1.0f, in, pitch,
                             b->weight[l], outputs, 0.0f, out, outputs);
        relu(b, out, b->mlp.weights->bias[l], rows, (uint32_t)outputs);
        in = out;
        pitch = outputs;
    }
}

const char *mlp_openblas_kernels(void)
{
    char why[MLP_WHY];
    return bench_openblas_load(why, sizeof why) ? bench_openblas.get_corename() : "none";
}

static void blas_run(void *self)
{
    const blas *b = self;
    for (uint32_t first = 0; first < b->mlp.rows; first += TILE) {
        const uint32_t left = b->mlp.rows - first;
        run_tile(b, first, left < TILE ? left : TILE);
    }
}
#else
static bool blas_open(const mlp_case *mlp, void **self, char *why)
{
    (void)mlp;
    *self = NULL;
    snprintf(why, MLP_WHY, "not found by pkg-config when this was built");
    return false;
}
static bool blas_prepare(void *self, const mlp_case *mlp, char *why)
{
    (void)self, (void)mlp, (void)why;
    return false;
}
static void blas_run(void *self) { (void)self; }
static void blas_close(void *self) { (void)self; }
const char *mlp_openblas_kernels(void) { return "none"; }
#endif

const mlp_contender mlp_openblas = {"openblas_tiled", blas_open, blas_prepare, blas_run, blas_close, true};
