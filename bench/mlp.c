/* SPDX-License-Identifier: Apache-2.0 */
/* Small MLPs over structures of arrays: this library, ONNX Runtime with the input as a gift and with the
 * packing it needs, a careful BLAS loop, and what the core can do. All read one .onnx file; each is compared
 * with a float64 reference. */
#include "bench_internal.h"
#include "mlp.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TOLERANCE 2e-5
#define COMPARED_ROWS 2000u
#define WIDTH_MAX 256u

static const mlp_spec specs[] = {{"mlp_30_64_64_1", 3, {30, 64, 64, 1}}, {"mlp_17_32_32_32_1", 4, {17, 32, 32, 32, 1}}};
static const uint32_t rows_timed[] = {1, 8, 32, 100, 1000, 10000, 100000, 1000000};
static const mlp_contender *const contenders[] = {&mlp_native, &mlp_ort, &mlp_ort_packed, &mlp_openblas};
#define SPEC_COUNT (sizeof specs / sizeof *specs)
#define ROWS_COUNT (sizeof rows_timed / sizeof *rows_timed)
#define CONTENDER_COUNT (sizeof contenders / sizeof *contenders)

/* ---- The case: weights, data, reference. ---- */

static void free_weights(mlp_weights *weights)
{
    for (uint32_t l = 0; l < MLP_LAYERS_MAX; l++) {
        free(weights->weight[l]);
        free(weights->bias[l]);
    }
}

/* Uniform with the variance that keeps the activations' size from layer to layer, so that no score is
 * saturated. */
static bool make_weights(const mlp_spec *spec, mlp_weights *weights)
{
    bench_rng rng = {20240607u};
    memset(weights, 0, sizeof *weights);
    for (uint32_t l = 0; l < spec->layers; l++) {
        const uint32_t in = spec->widths[l], out = spec->widths[l + 1];
        const double scale = sqrt(6.0 / in);
        weights->weight[l] = bench_alloc(sizeof(float) * in * out);
        weights->bias[l] = bench_alloc(sizeof(float) * out);
        if (!weights->weight[l] || !weights->bias[l]) return false;
        for (uint32_t i = 0; i < in * out; i++) weights->weight[l][i] = (float)(scale * (2 * bench_uniform(&rng) - 1));
        for (uint32_t i = 0; i < out; i++) weights->bias[l][i] = (float)(0.2 * (bench_uniform(&rng) - 0.5));
    }
    return true;
}

void mlp_pack(const mlp_case *mlp, float *row_major)
{
    const uint32_t width = mlp->spec->widths[0];
    for (uint32_t first = 0; first < mlp->rows; first += 16) {
        const uint32_t end = first + 16 < mlp->rows ? first + 16 : mlp->rows;
        for (uint32_t f = 0; f < width; f++) {
            const float *column = mlp->columns + (size_t)f * mlp->pitch;
            for (uint32_t i = first; i < end; i++) row_major[(size_t)i * width + f] = column[i];
        }
    }
}

typedef struct mlp_memory {
    float *columns, *row_major, *packed, *out;
} mlp_memory;

static void free_memory(mlp_memory *memory)
{
    free(memory->columns);
    free(memory->row_major);
    free(memory->packed);
    free(memory->out);
}

static bool make_data(mlp_case *mlp, mlp_memory *memory, uint32_t rows)
{
    bench_rng rng = {rows};
    const size_t width = mlp->spec->widths[0], pitch = bench_padded(rows);
    memory->columns = bench_alloc(sizeof(float) * width * pitch);
    memory->row_major = bench_alloc(sizeof(float) * width * rows);
    memory->packed = bench_alloc(sizeof(float) * width * rows);
    memory->out = bench_alloc(sizeof(float) * pitch);
    mlp->rows = rows;
    mlp->pitch = (uint32_t)pitch;
    mlp->columns = memory->columns;
    mlp->row_major = memory->row_major;
    mlp->packed = memory->packed;
    mlp->out = memory->out;
    if (!memory->columns || !memory->row_major || !memory->packed || !memory->out) return false;
    for (size_t f = 0; f < width; f++)
        for (size_t i = 0; i < rows; i++) memory->columns[f * pitch + i] = (float)(2 * bench_uniform(&rng) - 1);
    mlp_pack(mlp, memory->row_major);
    return true;
}

static double reference(const mlp_case *mlp, uint32_t row)
{
    double layer[2][WIDTH_MAX] = {{0}};
    const mlp_spec *spec = mlp->spec;
    for (uint32_t f = 0; f < spec->widths[0]; f++) layer[0][f] = (double)mlp->columns[(size_t)f * mlp->pitch + row];
    for (uint32_t l = 0; l < spec->layers; l++) {
        const uint32_t in = spec->widths[l];
        for (uint32_t o = 0; o < spec->widths[l + 1]; o++) {
            double sum = (double)mlp->weights->bias[l][o];
            for (uint32_t i = 0; i < in; i++) sum += (double)mlp->weights->weight[l][o * in + i] * layer[l % 2][i];
            layer[(l + 1) % 2][o] = l + 1 == spec->layers ? 1 / (1 + exp(-sum)) : fmax(sum, 0);
        }
    }
    return layer[spec->layers % 2][0];
}

/* Compare the output with the reference, and see that the padding behind it was left alone. */
static bool is_right(bench *run, const mlp_case *mlp, const char *contender)
{
    const uint32_t step = mlp->rows > COMPARED_ROWS ? mlp->rows / COMPARED_ROWS : 1;
    uint32_t wrong = 0, compared = 0, worst = 0;
    double worst_error = 0, worst_value = 0;
    for (uint32_t row = 0; row < mlp->rows && compared < COMPARED_ROWS; row += step, compared++) {
        const double expected = reference(mlp, row), error = fabs((double)mlp->out[row] - expected);
        if (error <= TOLERANCE) continue; /* NaN is wrong */
        if (wrong++ && error <= worst_error) continue;
        worst = row, worst_error = error, worst_value = expected;
    }
    if (wrong)
        bench_fail(run, "%s, %s, n = %u: %u of %u rows differ by more than %g; worst row %u: %.9g, reference %.9g", mlp->spec->name,
                   contender, mlp->rows, wrong, compared, TOLERANCE, worst, (double)mlp->out[worst], worst_value);
    for (uint32_t row = mlp->rows; row < mlp->pitch; row++)
        if (!isnan(mlp->out[row])) {
            bench_fail(run, "%s, %s, n = %u: wrote row %u", mlp->spec->name, contender, mlp->rows, row);
            return false;
        }
    return !wrong;
}

/* ---- Contenders of one model. ---- */

typedef struct mlp_field {
    const mlp_contender *contender[CONTENDER_COUNT];
    void *self[CONTENDER_COUNT];
    uint32_t count;
} mlp_field;

static void open_field(bench *run, const mlp_case *mlp, mlp_field *field)
{
    field->count = 0;
    for (size_t c = 0; c < CONTENDER_COUNT; c++) {
        char why[MLP_WHY] = "";
        void *self = NULL;
        if (contenders[c]->open(mlp, &self, why)) {
            field->contender[field->count] = contenders[c];
            field->self[field->count++] = self;
            continue;
        }
        contenders[c]->close(self);
        if (contenders[c]->optional) bench_note("%s: %s left out: %s", mlp->spec->name, contenders[c]->name, why);
        else bench_fail(run, "%s: %s: %s", mlp->spec->name, contenders[c]->name, why);
    }
}

static void close_field(mlp_field *field)
{
    for (uint32_t c = 0; c < field->count; c++) field->contender[c]->close(field->self[c]);
}

/* Prepare a contender for the case and check a run of it. */
static bool ready(bench *run, const mlp_case *mlp, const mlp_contender *contender, void *self)
{
    char why[MLP_WHY] = "";
    if (!contender->prepare(self, mlp, why)) {
        bench_fail(run, "%s, %s, n = %u: %s", mlp->spec->name, contender->name, mlp->rows, why);
        return false;
    }
    for (uint32_t row = 0; row < mlp->pitch; row++) mlp->out[row] = NAN;
    contender->run(self);
    return is_right(run, mlp, contender->name);
}

static double flop_per_row(const mlp_spec *spec)
{
    double flop = 0;
    for (uint32_t l = 0; l < spec->layers; l++) flop += 2.0 * spec->widths[l] * spec->widths[l + 1];
    return flop;
}

static void time_rows(bench *run, mlp_case *mlp, const mlp_field *field, uint32_t rows)
{
    bench_task tasks[CONTENDER_COUNT + 1];
    mlp_memory memory = {0};
    uint32_t count = 0;
    const size_t before = run->result_count;
    bench_progress(run, mlp->spec->name, rows);
    if (!make_data(mlp, &memory, rows)) bench_fail(run, "%s: no memory for %u rows", mlp->spec->name, rows);
    else {
        for (uint32_t c = 0; c < field->count; c++)
            if (ready(run, mlp, field->contender[c], field->self[c]))
                tasks[count++] = (bench_task){field->contender[c]->name, field->contender[c]->run, field->self[c], 0, 0};
        tasks[count++] = (bench_task){"fma_peak", fma_peak_run, NULL, 0, 0};
        bench_measure(run, tasks, count, bench_rounds(run, rows));
        bench_add_tasks(run, mlp->spec->name, rows, tasks, count, flop_per_row(mlp->spec) * rows);
        if (run->result_count == before + count) bench_set_peak(run, count);
    }
    free_memory(&memory);
}

/* ---- What it costs to start and to call. ---- */

/* From the path of the model to the first result of one row, in a process that had neither; ONNX Runtime's
 * includes loading its library. Then again, with the library there. */
static void cold_start(bench *run, mlp_case *mlp, FILE *out)
{
    static const mlp_contender *const both[] = {&mlp_native, &mlp_ort};
    mlp_memory memory = {0};
    if (!make_data(mlp, &memory, 1)) bench_fail(run, "no memory for one row");
    for (uint32_t k = 0; memory.out && k < 4; k++) {
        const mlp_contender *contender = both[k / 2];
        const char *when = k % 2 ? "warm" : "cold";
        char why[MLP_WHY] = "";
        void *self = NULL;
        for (uint32_t row = 0; row < mlp->pitch; row++) mlp->out[row] = NAN;
        const bench_resident before = bench_resident_kib();
        const double start = bench_now_ns();
        bool done = contender->open(mlp, &self, why) && contender->prepare(self, mlp, why);
        if (done) contender->run(self);
        const double ns = bench_now_ns() - start;
        const bench_resident after = bench_resident_kib();
        if (done && is_right(run, mlp, contender->name)) {
            fprintf(out, "load_to_first_result_%s,%s,%.1f,us\n", when, contender->name, 1e-3 * ns);
            fprintf(out, "rss_increase_%s,%s,%lld,KiB\n", when, contender->name, (long long)(after.all - before.all));
            fprintf(out, "own_rss_increase_%s,%s,%lld,KiB\n", when, contender->name, (long long)(after.own - before.own));
            bench_result result = {"", "", 1, ns, ns, NAN, NAN, NAN};
            snprintf(result.name, sizeof result.name, "load_to_first_result_%s", when);
            snprintf(result.contender, sizeof result.contender, "%s", contender->name);
            bench_add(run, &result);
        } else if (k % 2 == 0) {
            bench_note("load_to_first_result: %s left out: %s", contender->name, why);
        }
        contender->close(self);
    }
    free_memory(&memory);
}

/* A model of one Relu on one value: all of it is the call. n = 0 for native alone. */
static void call_overhead(bench *run, const char *path, FILE *out)
{
    static const mlp_spec spec = {"trivial", 1, {1, 1}};
    static const mlp_contender *const both[] = {&mlp_native, &mlp_ort};
    for (uint32_t rows = 0; rows < 2; rows++) {
        mlp_case mlp = {.spec = &spec, .path = path};
        mlp_memory memory = {0};
        bench_task tasks[2];
        void *selves[2] = {NULL, NULL};
        char why[MLP_WHY] = "";
        uint32_t count = 0;
        bool allocated = make_data(&mlp, &memory, 1);
        mlp.rows = rows;
        for (uint32_t c = 0; allocated && c < 1 + rows; c++) {
            if (both[c]->open(&mlp, &selves[c], why) && both[c]->prepare(selves[c], &mlp, why))
                tasks[count++] = (bench_task){both[c]->name, both[c]->run, selves[c], 0, 0};
            else bench_note("call_overhead: %s left out: %s", both[c]->name, why);
        }
        bench_measure(run, tasks, count, bench_rounds(run, 1));
        bench_add_tasks(run, "call_overhead", rows, tasks, count, 0);
        for (uint32_t t = 0; t < count; t++) fprintf(out, "call_overhead_n%u,%s,%.1f,ns\n", rows, tasks[t].contender, tasks[t].median_ns);
        for (uint32_t c = 0; c < 2; c++) both[c]->close(selves[c]);
        free_memory(&memory);
    }
}

static void measure_start(bench *run, mlp_case *mlp)
{
    char path[4096];
    if (run->cold_done) return;
    run->cold_done = true;
    FILE *out = bench_create(run, "start.csv");
    if (!out) return;
    fputs("metric,contender,value,unit\n", out);
    fprintf(out, "kernels,openblas_tiled,%s,name\nkernels,fma_peak,%s,name\n", mlp_openblas_kernels(), fma_peak_isa());
    cold_start(run, mlp, out);
    snprintf(path, sizeof path, "%s/trivial.onnx", run->dir);
    if (onnx_write_trivial(path)) call_overhead(run, path, out);
    else bench_fail(run, "%s: %s", path, strerror(errno));
    fclose(out);
}

/* ---- Files. ---- */

/* The points of one curve as a block of data within the script; false when there are none. */
static bool plot_block(const bench *run, FILE *out, const char *name, size_t c)
{
    bool any = false;
    for (size_t i = 0; i < run->result_count; i++) {
        const bench_result *r = &run->results[i];
        if (strcmp(r->name, name) != 0 || strcmp(r->contender, contenders[c]->name) != 0) continue;
        if (!any) fprintf(out, "$d%zu << EOD\n", c);
        any = true;
        fprintf(out, "%llu %.6g %.6g\n", (unsigned long long)r->n, r->median_ns / (double)r->n, 100 * r->peak_fraction);
    }
    if (any) fputs("EOD\n", out);
    return any;
}

static void plot_panel(bench *run, FILE *out, const mlp_spec *spec, uint32_t column)
{
    bool there[CONTENDER_COUNT];
    const char *comma = "plot ";
    for (size_t c = 0; c < CONTENDER_COUNT; c++) there[c] = plot_block(run, out, spec->name, c);
    fprintf(out, "set title '%s' noenhanced\n", spec->name);
    for (size_t c = 0; c < CONTENDER_COUNT; c++) {
        if (!there[c]) continue;
        fprintf(out, "%s$d%zu using 1:%u with linespoints lw 2 pt 7 ps 0.8 lc rgb '%s' title '%s'", comma, c, column,
                (const char *const[]){"#d62728", "#1f77b4", "#17becf", "#2ca02c"}[c], contenders[c]->name);
        comma = ", ";
    }
    fputs("\n", out);
}

static void plot(bench *run, const char *script, const char *png, uint32_t column)
{
    uint32_t models = 0;
    bool has[SPEC_COUNT] = {false};
    for (size_t i = 0; i < run->result_count; i++)
        for (size_t s = 0; s < SPEC_COUNT; s++)
            if (!strcmp(run->results[i].name, specs[s].name) && strcmp(run->results[i].contender, "fma_peak") != 0) has[s] = true;
    for (size_t s = 0; s < SPEC_COUNT; s++) models += has[s];
    FILE *out = models ? bench_create(run, script) : NULL;
    if (!out) return;
    fprintf(out, "set terminal png size %u,480 noenhanced\nset output '%s'\n", 640 * models, png);
    fprintf(out, "set multiplot layout 1,%u\nset logscale x\nset format x '10^%%T'\nset grid\nset xlabel 'rows'\n", models);
    fputs("set termoption enhanced\n", out);
    if (column == 2) fputs("set logscale y\nset ylabel 'ns per row'\nset key top right noenhanced\n", out);
    else fputs("set yrange [0:105]\nset ylabel 'percent of the FMA peak'\nset key bottom right noenhanced\n", out);
    for (size_t s = 0; s < SPEC_COUNT; s++)
        if (has[s]) plot_panel(run, out, &specs[s], column);
    fputs("unset multiplot\n", out);
    fclose(out);
    if (bench_gnuplot(run, script)) bench_list(run, png);
}

/* ---- The benchmark. ---- */

static void bench_model(bench *run, const mlp_spec *spec)
{
    char path[4096];
    mlp_weights weights;
    mlp_field field;
    mlp_case mlp = {.spec = spec, .weights = &weights, .path = path};
    snprintf(path, sizeof path, "%s/%s.onnx", run->dir, spec->name);
    if (!make_weights(spec, &weights)) bench_fail(run, "%s: no memory", spec->name);
    else if (!onnx_write_mlp(path, spec, &weights)) bench_fail(run, "%s: %s", path, strerror(errno));
    else {
        measure_start(run, &mlp);
        open_field(run, &mlp, &field);
        for (size_t i = 0; i < ROWS_COUNT; i++)
            if (!run->quick || rows_timed[i] <= 10000) time_rows(run, &mlp, &field, rows_timed[i]);
        close_field(&field);
    }
    free_weights(&weights);
}

void bench_mlp(bench *run, const char *name)
{
    for (size_t s = 0; s < SPEC_COUNT; s++) {
        bool done = false; /* `mlp` and a model's own name may both be asked for */
        for (size_t i = 0; i < run->result_count; i++) done = done || !strcmp(run->results[i].name, specs[s].name);
        if (!done && (!strcmp(name, "mlp") || !strcmp(name, specs[s].name))) bench_model(run, &specs[s]);
    }
    bench_write_csv(run, "mlp_", "mlp.csv");
    plot(run, "mlp_ns_per_row.gp", "mlp_ns_per_row.png", 2);
    plot(run, "mlp_peak.gp", "mlp_peak.png", 3);
}
