/* SPDX-License-Identifier: Apache-2.0 */
/* Products of matrices as networks on columns have them, and the convolutions of a small residual network, beside OpenBLAS on one
 * thread: the products handed to sgemm or sgemv as they lie, the images unrolled into a matrix first. OpenBLAS takes its oldest
 * kernels on a processor that it does not know, so the run says which; comparisons are fair only with those of this processor. */
#include "bench_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/native/products.h"

#ifdef STOA_BENCH_OPENBLAS
#include "openblas.h"
#endif

#define ROUNDS 15u

/* weights[outs, ins] columns[ins, n], or the same from the rows' side: columns or rows, times weights transposed, to rows. */
typedef enum side { WEIGHTS_COLUMNS, COLUMNS_WEIGHTS, ROWS_WEIGHTS } side;
static const char *const side_names[] = {"weights_columns", "columns_weights", "rows_weights"};

typedef struct layer {
    const native_products *native;
    side side;
    int64_t outs, ins, n, pitch;
    float *weight, *in, *out; /* in: [ins][pitch] or [n][ins] */
} layer;

/* The peer takes part only when it can be loaded. */
static bool with_openblas;

static void run_native(void *self)
{
    const layer *l = self;
    const native_matrix weight = {l->weight, l->ins, 1}, turned = {l->weight, 1, l->ins}, nothing = {NULL, 0, 0};
    if (l->side == WEIGHTS_COLUMNS) {
        const native_matrix in = {l->in, l->pitch, 1}, out = {l->out, l->n, 1};
        l->native->multiply(l->outs, l->n, l->ins, 1, weight, in, 0, nothing, out);
    } else {
        const native_matrix in = {l->in, l->side == COLUMNS_WEIGHTS ? 1 : l->ins, l->side == COLUMNS_WEIGHTS ? l->pitch : 1};
        l->native->multiply(l->n, l->outs, l->ins, 1, in, turned, 0, nothing, (native_matrix){l->out, l->outs, 1});
    }
}

#ifdef STOA_BENCH_OPENBLAS
static void run_openblas(void *self)
{
    const layer *l = self;
    const int outs = (int)l->outs, ins = (int)l->ins, n = (int)l->n, pitch = (int)(l->side == ROWS_WEIGHTS ? l->ins : l->pitch);
    const CBLAS_TRANSPOSE in = l->side == COLUMNS_WEIGHTS ? CblasTrans : CblasNoTrans;
    if (n == 1)
        bench_openblas.sgemv(CblasRowMajor, CblasNoTrans, outs, ins, 1, l->weight, ins, l->in, l->side == ROWS_WEIGHTS ? 1 : pitch, 0,
                             l->out, 1);
    else if (l->side == WEIGHTS_COLUMNS)
        bench_openblas.sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, outs, n, ins, 1, l->weight, ins, l->in, pitch, 0, l->out, n);
    else bench_openblas.sgemm(CblasRowMajor, in, CblasTrans, n, outs, ins, 1, l->in, pitch, l->weight, ins, 0, l->out, outs);
}
#endif

static float *random_floats(int64_t count, bench_rng *rng)
{
    float *values = bench_alloc(sizeof *values * (size_t)count);
    for (int64_t i = 0; values && i < count; i++) values[i] = (float)(2 * bench_uniform(rng) - 1);
    return values;
}

/* Every element, against sums in double. */
static bool is_right(const layer *l)
{
    for (int64_t i = 0; i < l->outs * l->n; i++) {
        const int64_t o = l->side == WEIGHTS_COLUMNS ? i / l->n : i % l->outs, row = l->side == WEIGHTS_COLUMNS ? i % l->n : i / l->outs;
        double sum = 0, size = 0;
        for (int64_t k = 0; k < l->ins; k++) {
            const double term =
                (double)l->weight[o * l->ins + k] * (double)l->in[l->side == ROWS_WEIGHTS ? row * l->ins + k : k * l->pitch + row];
            sum += term;
            size += fabs(term);
        }
        if (!(fabs((double)l->out[i] - sum) <= 1e-6 * size)) return false;
    }
    return true;
}

/* Measure the tasks beside the FMA loop and add their results. */
static void measure(bench *run, const char *name, int64_t n, bench_task *tasks, uint32_t count, double flop)
{
    const size_t before = run->result_count;
    tasks[count++] = (bench_task){"fma_peak", fma_peak_run, NULL, 0, 0};
    bench_measure(run, tasks, count, run->quick ? 3 : ROUNDS);
    bench_add_tasks(run, name, (uint64_t)n, tasks, count, flop);
    if (run->result_count == before + count) bench_set_peak(run, count);
}

static void time_layer(bench *run, side which, int64_t outs, int64_t ins, int64_t n)
{
    char name[40];
    bench_rng rng = {(uint64_t)(outs * ins + n)};
    layer l = {stoai_native_products(STOA_FLOAT32), which, outs, ins, n, bench_padded((uint32_t)n) + 32, NULL, NULL, NULL};
    snprintf(name, sizeof name, "products_%s_%dx%d", side_names[which], (int)outs, (int)ins);
    bench_progress(run, name, (uint64_t)n);
    l.weight = random_floats(outs * ins, &rng);
    l.in = random_floats(ins * l.pitch, &rng);
    l.out = bench_alloc(sizeof(float) * (size_t)(outs * n));
    if (!l.weight || !l.in || !l.out) bench_fail(run, "%s: no memory", name);
    else {
        bench_task tasks[3] = {{"native", run_native, &l, 0, 0}};
        uint32_t count = 1;
#ifdef STOA_BENCH_OPENBLAS
        if (with_openblas) tasks[count++] = (bench_task){"openblas", run_openblas, &l, 0, 0};
#endif
        for (uint32_t t = 0; t < count; t++) {
            memset(l.out, 0, sizeof(float) * (size_t)(outs * n));
            tasks[t].run(&l);
            if (!is_right(&l)) bench_fail(run, "%s, %s, n = %d: wrong result", name, tasks[t].contender, (int)n);
        }
        measure(run, name, n, tasks, count, 2.0 * (double)(outs * ins * n));
    }
    free(l.weight);
    free(l.in);
    free(l.out);
}

/* ---- convolution ---------------------------------------------------------------------------------------------------------- */

typedef struct images {
    const native_products *native;
    native_convolution c;
    int64_t height, width, depth;
    float *weight, *bias, *in, *out, *lines;
    void *workspace;
} images;

static void convolve_native(void *self)
{
    images *i = self;
    i->native->convolve(&i->c, i->workspace);
}

#ifdef STOA_BENCH_OPENBLAS
static void unroll(const images *i, const float *in)
{
    const native_convolution *c = &i->c;
    float *to = i->lines;
    for (int64_t k = 0; k < i->depth; k++)
        for (int64_t y = 0; y < i->height; y++) {
            const int64_t in_y = y * c->stride[0] - c->padding[0] + k / c->kernel[1] % c->kernel[0];
            const float *line = in + (k / (c->kernel[0] * c->kernel[1]) * c->size[0] + in_y) * c->size[1];
            for (int64_t x = 0; x < i->width; x++) {
                const int64_t in_x = x * c->stride[1] - c->padding[1] + k % c->kernel[1];
                *to++ = in_y >= 0 && in_y < c->size[0] && in_x >= 0 && in_x < c->size[1] ? line[in_x] : 0;
            }
        }
}

static void convolve_openblas(void *self)
{
    const images *i = self;
    const int positions = (int)(i->height * i->width), outs = (int)i->c.outs, depth = (int)i->depth;
    for (int64_t image = 0; image < i->c.images; image++) {
        float *out = i->out + image * outs * positions;
        unroll(i, i->in + image * i->c.in.image);
        for (int64_t o = 0; o < outs; o++)
            for (int64_t p = 0; p < positions; p++) out[o * positions + p] = i->bias[o];
        bench_openblas.sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, outs, positions, depth, 1, i->weight, depth, i->lines, positions, 1,
                             out, positions);
    }
}
#endif

static bool make_images(images *i, int64_t count)
{
    native_convolution *c = &i->c;
    bench_rng rng = {(uint64_t)count};
    c->images = count;
    i->height = stoai_native_convolved(c, 0);
    i->width = stoai_native_convolved(c, 1);
    i->depth = c->channels * c->kernel[0] * c->kernel[1];
    const int64_t plane = c->size[0] * c->size[1], positions = i->height * i->width;
    i->in = random_floats(count * c->channels * plane, &rng);
    i->weight = random_floats(c->outs * i->depth, &rng);
    i->bias = random_floats(c->outs, &rng);
    i->out = bench_alloc(sizeof(float) * (size_t)(count * c->outs * positions));
    i->lines = bench_alloc(sizeof(float) * (size_t)(i->depth * positions));
    i->workspace = bench_alloc(i->native->convolve_bytes(c));
    c->in = (native_images){i->in, c->channels * plane, plane, c->size[1], 1};
    c->out = (native_images){i->out, c->outs * positions, positions, i->width, 1};
    c->weight = i->weight;
    c->bias = i->bias;
    return i->in && i->weight && i->bias && i->out && i->lines && i->workspace;
}

static void time_convolution(bench *run, const native_convolution *c, int64_t count)
{
    char name[40];
    images i = {.native = stoai_native_products(STOA_FLOAT32), .c = *c};
    snprintf(name, sizeof name, "products_conv_%dx%d_%d_%d_by_%d", (int)c->size[0], (int)c->size[1], (int)c->channels, (int)c->outs,
             (int)c->stride[0]);
    bench_progress(run, name, (uint64_t)count);
    if (!make_images(&i, count)) bench_fail(run, "%s: no memory", name);
    else {
        bench_task tasks[3] = {{"native", convolve_native, &i, 0, 0}};
        uint32_t tasks_count = 1;
#ifdef STOA_BENCH_OPENBLAS
        if (with_openblas) tasks[tasks_count++] = (bench_task){"openblas", convolve_openblas, &i, 0, 0};
#endif
        measure(run, name, count, tasks, tasks_count, 2.0 * (double)(count * c->outs * i.depth * i.height * i.width));
    }
    free(i.in), free(i.weight), free(i.bias), free(i.out), free(i.lines), free(i.workspace);
}

static void find_openblas(void)
{
#ifdef STOA_BENCH_OPENBLAS
    char why[512];
    with_openblas = bench_openblas_load(why, sizeof why);
    if (!with_openblas) {
        bench_note("products: openblas left out: %s", why);
        return;
    }
    bench_openblas.set_num_threads(1);
    bench_note("products: OpenBLAS uses its kernels for %s; OPENBLAS_CORETYPE names others", bench_openblas.get_corename());
#else
    bench_note("products: openblas left out: not found by pkg-config when this was built");
#endif
}

void bench_products(bench *run, const char *name)
{
    (void)name;
    static const int64_t shapes[][2] = {{1, 64}, {32, 32}, {64, 30}, {64, 64}, {256, 64}, {256, 256}, {1024, 1024}};
    static const int64_t rows[] = {1, 8, 32, 100, 512};
    static const native_convolution layers[] = {
        {.groups = 1, .channels = 3, .outs = 16, .size = {9, 9}, .kernel = {3, 3}, .stride = {1, 1}, .padding = {1, 1}, .dilation = {1, 1}},
        {.groups = 1,
         .channels = 16,
         .outs = 16,
         .size = {9, 9},
         .kernel = {3, 3},
         .stride = {1, 1},
         .padding = {1, 1},
         .dilation = {1, 1}},
        {.groups = 1,
         .channels = 16,
         .outs = 32,
         .size = {9, 9},
         .kernel = {3, 3},
         .stride = {2, 2},
         .padding = {1, 1},
         .dilation = {1, 1}},
        {.groups = 1,
         .channels = 32,
         .outs = 32,
         .size = {5, 5},
         .kernel = {3, 3},
         .stride = {1, 1},
         .padding = {1, 1},
         .dilation = {1, 1}},
    };
    find_openblas();
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t n = 0; n < sizeof rows / sizeof *rows; n++)
            for (side which = WEIGHTS_COLUMNS; which <= ROWS_WEIGHTS; which++)
                if (!run->quick || shapes[s][0] * rows[n] <= 64 * 100) time_layer(run, which, shapes[s][0], shapes[s][1], rows[n]);
    for (size_t l = 0; l < sizeof layers / sizeof *layers; l++) time_convolution(run, &layers[l], run->quick ? 4 : 64);
    bench_write_csv(run, "products_", "products.csv");
}
