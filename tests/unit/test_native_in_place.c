/* SPDX-License-Identifier: Apache-2.0 */
/* The native engine on columns as they lie. Each case is an acceptance test of a weakness of the state of the art: outputs and
 * const inputs without copies, any columns in any order from any blob and of any type, counts on the device, tails, guard pages. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stoa/stoa.h"

enum { ROWS = 300, INPUTS = 30 };
static const stoa_place host = {STOA_PLACE_HOST, 0};

typedef struct bench {
    stoa_device *device;
    stoa_queue *queue;
    stoa_model *model;
    stoa_session *session;
    stoa_error err;
} bench;

#define OK(b, expr) \
    do { \
        if ((expr) != STOA_OK) fail_msg("%s: %s", #expr, (b)->err.message); \
    } while (0)

static void open_model(bench *b, const char *file, const char *isa)
{
    const stoa_model_options options = {.struct_size = sizeof options, .isa = isa};
    OK(b, stoa_device_open("host", &b->device, &b->err));
    OK(b, stoa_queue_create(b->device, STOA_QUEUE_BLOCKING, &b->queue, &b->err));
    OK(b, stoa_model_load(file, &options, &b->model, &b->err));
    OK(b, stoa_session_create(b->model, b->queue, 5000, NULL, &b->session, &b->err));
}

static void close_model(bench *b)
{
    stoa_session_destroy(b->session);
    stoa_model_destroy(b->model);
    stoa_queue_destroy(b->queue);
    stoa_device_close(b->device);
}

#define MLP STOA_SOURCE_DIR "/tests/data/mlp_30_64_64_1.onnx"
#define TWO_HEADS STOA_SOURCE_DIR "/tests/data/two_heads.onnx"

static float input(int row, int column) /* representable in half and int8 steps */
{ return (float)((row * 37 + column * 101) % 64 - 32) * 0.125f; }

/* Scores of ROWS rows over plain columns: what the other layouts must equal to the bit. */
static void reference(float *scores)
{
    bench b;
    static float data[INPUTS][ROWS];
    stoa_column x[INPUTS];
    for (int c = 0; c < INPUTS; c++) {
        for (int i = 0; i < ROWS; i++) data[c][i] = input(i, c);
        x[c] = stoa_column_over(data[c], STOA_FLOAT32, ROWS, 1, host);
    }
    const stoa_column y = stoa_column_over(scores, STOA_FLOAT32, ROWS, 1, host);
    open_model(&b, MLP, NULL);
    OK(&b, stoa_session_bind(b.session, "x", stoa_tensor_of(x, INPUTS), &b.err));
    OK(&b, stoa_session_bind(b.session, "y", stoa_tensor_of(&y, 1), &b.err));
    OK(&b, stoa_session_run(b.session, ROWS, &b.err));
    close_model(&b);
}

/* Columns of several types, strides and orders, scattered over separate allocations; the output with stride 3. */
static void any_columns_any_types(void **state)
{
    (void)state;
    float expected[ROWS], out[3 * ROWS];
    reference(expected);
    static const stoa_dtype types[] = {STOA_FLOAT32, STOA_FLOAT64, STOA_FLOAT16, STOA_BFLOAT16, STOA_FLOAT32};
    bench b;
    stoa_column x[INPUTS];
    void *owned[INPUTS];
    for (int c = INPUTS - 1; c >= 0; c--) {
        const stoa_dtype type = types[c % 5];
        const int64_t stride = 1 + c % 3;
        owned[c] = calloc((size_t)(ROWS * stride), 8);
        for (int i = 0; i < ROWS; i++) {
            const float v = input(i, c);
            if (type == STOA_FLOAT32) ((float *)owned[c])[i * stride] = v;
            if (type == STOA_FLOAT64) ((double *)owned[c])[i * stride] = (double)v;
            if (type == STOA_FLOAT16) ((stoa_half *)owned[c])[i * stride] = stoa_half_from_float(v);
            if (type == STOA_BFLOAT16) ((stoa_bfloat16 *)owned[c])[i * stride] = stoa_bfloat16_from_float(v);
        }
        x[c] = stoa_column_over_const(owned[c], type, ROWS, stride, host);
    }
    for (int i = 0; i < 3 * ROWS; i++) out[i] = -7.0f;
    const stoa_column y = stoa_column_over(out, STOA_FLOAT32, ROWS, 3, host);
    open_model(&b, MLP, NULL);
    OK(&b, stoa_session_bind(b.session, "x", stoa_tensor_of(x, INPUTS), &b.err));
    OK(&b, stoa_session_bind(b.session, "y", stoa_tensor_of(&y, 1), &b.err));
    const uint64_t allocations = stoa_alloc_count();
    OK(&b, stoa_session_run(b.session, ROWS, &b.err));
    assert_int_equal(stoa_alloc_count(), allocations);
    stoa_session_stats stats = {.struct_size = sizeof stats};
    OK(&b, stoa_session_get_stats(b.session, &stats, &b.err));
    assert_int_equal(stats.copy_calls, 0);
    for (int i = 0; i < 3 * ROWS; i++) assert_true(out[i] == (i % 3 ? -7.0f : expected[i / 3]));
    for (int c = 0; c < INPUTS; c++) free(owned[c]);
    close_model(&b);
}

/* Every column ends at a page that cannot be touched; every offset and count leaves the rest of the output alone. */
static void nothing_beyond_the_rows(void **state)
{
    (void)state;
    float expected[ROWS];
    reference(expected);
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    float *column[INPUTS + 1];
    char *mapped[INPUTS + 1];
    for (int c = 0; c <= INPUTS; c++) {
        mapped[c] = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_true(mapped[c] != MAP_FAILED);
        assert_int_equal(mprotect(mapped[c] + page, page, PROT_NONE), 0);
        column[c] = (float *)(void *)(mapped[c] + page) - ROWS;
        for (int i = 0; i < ROWS; i++) column[c][i] = c < INPUTS ? input(i, c) : -7.0f;
    }
    bench b;
    stoa_column x[INPUTS];
    for (int c = 0; c < INPUTS; c++) x[c] = stoa_column_over_const(column[c], STOA_FLOAT32, ROWS, 1, host);
    const stoa_column y = stoa_column_over(column[INPUTS], STOA_FLOAT32, ROWS, 1, host);
    open_model(&b, MLP, NULL);
    OK(&b, stoa_session_bind(b.session, "x", stoa_tensor_of(x, INPUTS), &b.err));
    OK(&b, stoa_session_bind(b.session, "y", stoa_tensor_of(&y, 1), &b.err));
    for (uint32_t first = 0; first < ROWS; first += first < 20 || first > 280 ? 1 : 37)
        for (uint32_t rows = 1; first + rows <= ROWS; rows += rows < 20 ? 1 : 41) {
            for (int i = 0; i < ROWS; i++) column[INPUTS][i] = -7.0f;
            OK(&b, stoa_session_run_rows(b.session, first, rows, &b.err));
            for (uint32_t i = 0; i < ROWS; i++)
                if (column[INPUTS][i] != (i >= first && i < first + rows ? expected[i] : -7.0f))
                    fail_msg("rows %u + %u: row %u is %a, expected %a", first, rows, i, (double)column[INPUTS][i], (double)expected[i]);
        }
    close_model(&b);
    for (int c = 0; c <= INPUTS; c++) munmap(mapped[c], 2 * page);
}

static void every_level_agrees(void **state)
{
    (void)state;
    static const char *const levels[] = {"baseline", "avx2", "avx512"};
    float expected[ROWS];
    reference(expected);
    int ran = 0;
    for (size_t l = 0; l < 3; l++) {
        bench b;
        stoa_model *probe;
        const stoa_model_options options = {.struct_size = sizeof options, .isa = levels[l]};
        stoa_error err;
        if (stoa_model_load(MLP, &options, &probe, &err) != STOA_OK) {
            print_message("%s left out: %s\n", levels[l], err.message);
            continue;
        }
        stoa_model_destroy(probe);
        static float data[INPUTS][ROWS], out[ROWS];
        stoa_column x[INPUTS];
        for (int c = 0; c < INPUTS; c++) {
            for (int i = 0; i < ROWS; i++) data[c][i] = input(i, c);
            x[c] = stoa_column_over(data[c], STOA_FLOAT32, ROWS, 1, host);
        }
        const stoa_column y = stoa_column_over(out, STOA_FLOAT32, ROWS, 1, host);
        open_model(&b, MLP, levels[l]);
        OK(&b, stoa_session_bind(b.session, "x", stoa_tensor_of(x, INPUTS), &b.err));
        OK(&b, stoa_session_bind(b.session, "y", stoa_tensor_of(&y, 1), &b.err));
        OK(&b, stoa_session_run(b.session, ROWS, &b.err));
        close_model(&b);
        double worst = 0;
        for (int i = 0; i < ROWS; i++) worst = fmax(worst, fabs((double)out[i] - (double)expected[i]));
        print_message("%s: largest difference %.3g\n", levels[l], worst);
        assert_true(worst < 2e-6); /* sums of 64 products with and without fma */
        ran++;
    }
    assert_true(ran >= 1);
}

/* Counts on the device, short, empty and beyond the capacity. */
static void counts_by_pointer(void **state)
{
    (void)state;
    static const uint32_t counts[] = {0, 1, 31, 33, 299, 4567};
    float expected[ROWS];
    reference(expected);
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        bench b;
        static float data[INPUTS][ROWS], out[ROWS];
        stoa_column x[INPUTS];
        for (int c = 0; c < INPUTS; c++) {
            for (int i = 0; i < ROWS; i++) data[c][i] = input(i, c);
            x[c] = stoa_column_over(data[c], STOA_FLOAT32, ROWS, 1, host);
        }
        for (int i = 0; i < ROWS; i++) out[i] = -7.0f;
        const stoa_column y = stoa_column_over(out, STOA_FLOAT32, ROWS, 1, host);
        open_model(&b, MLP, NULL);
        OK(&b, stoa_session_bind(b.session, "x", stoa_tensor_of(x, INPUTS), &b.err));
        OK(&b, stoa_session_bind(b.session, "y", stoa_tensor_of(&y, 1), &b.err));
        OK(&b, stoa_session_run_counted(b.session, &counts[k], &b.err));
        for (uint32_t i = 0; i < ROWS; i++) assert_true(out[i] == (i < counts[k] ? expected[i] : -7.0f));
        close_model(&b);
    }
}

/* Two inputs, one of them 2 x 2 matrices with components column-major, a broadcast scalar among the columns, two heads. */
static void heads_matrices_and_scalars(void **state)
{
    (void)state;
    enum { N = 70 };
    static float a0[N], a2[N], matrix[4][N], p[2][N], r[N];
    static float p_expected[2][N], r_expected[N], a1_full[N], flat[4][N];
    const float scalar = 0.75f;
    for (int i = 0; i < N; i++) {
        a0[i] = input(i, 0), a2[i] = input(i, 2), a1_full[i] = scalar;
        for (int row = 0; row < 2; row++)
            for (int col = 0; col < 2; col++) matrix[col * 2 + row][i] = flat[row * 2 + col][i] = input(i, 10 + row * 2 + col);
    }
    bench b;
    open_model(&b, TWO_HEADS, NULL);
    /* Everything spread out as plain columns first. */
    stoa_column a[3] = {stoa_column_over(a0, STOA_FLOAT32, N, 1, host), stoa_column_over(a1_full, STOA_FLOAT32, N, 1, host),
                        stoa_column_over(a2, STOA_FLOAT32, N, 1, host)};
    stoa_column plain[4], out_p[2], out_r = stoa_column_over(r_expected, STOA_FLOAT32, N, 1, host);
    for (int i = 0; i < 4; i++) plain[i] = stoa_column_over(flat[i], STOA_FLOAT32, N, 1, host);
    for (int i = 0; i < 2; i++) out_p[i] = stoa_column_over(p_expected[i], STOA_FLOAT32, N, 1, host);
    OK(&b, stoa_session_bind(b.session, "a", stoa_tensor_of(a, 3), &b.err));
    OK(&b, stoa_session_bind(b.session, "b", stoa_tensor_of(plain, 4), &b.err));
    OK(&b, stoa_session_bind(b.session, "p", stoa_tensor_of(out_p, 2), &b.err));
    OK(&b, stoa_session_bind(b.session, "r", stoa_tensor_of(&out_r, 1), &b.err));
    OK(&b, stoa_session_run(b.session, N, &b.err));
    for (int i = 0; i < N; i++) assert_true(fabsf(p_expected[0][i] + p_expected[1][i] - 1.0f) < 1e-6f && isfinite(r_expected[i]));

    a[1] = stoa_column_over_const(&scalar, STOA_FLOAT32, UINT32_MAX, 0, host);
    a[1].flags |= STOA_COLUMN_SCALAR;
    stoa_column m = stoa_column_over(matrix, STOA_FLOAT32, N, 1, host);
    m.extent[0] = m.extent[1] = 2;
    m.stride[0] = N;
    m.stride[1] = 2 * N;
    for (int i = 0; i < 2; i++) out_p[i] = stoa_column_over(p[i], STOA_FLOAT32, N, 1, host);
    out_r = stoa_column_over(r, STOA_FLOAT32, N, 1, host);
    OK(&b, stoa_session_bind(b.session, "a", stoa_tensor_of(a, 3), &b.err));
    OK(&b, stoa_session_bind(b.session, "b", stoa_tensor_of(&m, 1), &b.err));
    OK(&b, stoa_session_bind(b.session, "p", stoa_tensor_of(out_p, 2), &b.err));
    OK(&b, stoa_session_bind(b.session, "r", stoa_tensor_of(&out_r, 1), &b.err));
    OK(&b, stoa_session_run(b.session, N, &b.err));
    assert_memory_equal(p, p_expected, sizeof p);
    assert_memory_equal(r, r_expected, sizeof r);
    close_model(&b);
}

/* Models that are cut off, or no models at all. */
static void bad_files_are_refused(void **state)
{
    (void)state;
    stoa_error err;
    stoa_model *model;
    const stoa_model_options native = {.struct_size = sizeof native, .runtime = "native"};
    FILE *file = fopen(MLP, "rb");
    assert_non_null(file);
    static char bytes[65536];
    const size_t length = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_true(length > 1000 && length < sizeof bytes);
    assert_int_not_equal(stoa_model_load_memory("", 0, &native, &model, &err), STOA_OK);
    assert_int_not_equal(stoa_model_load_memory("not a model", 11, &native, &model, &err), STOA_OK);
    for (size_t cut = 1; cut < length; cut += 97) {
        assert_int_not_equal(stoa_model_load_memory(bytes, cut, &native, &model, &err), STOA_OK);
        assert_null(model);
        assert_true(err.message[0] != 0);
    }
    const stoa_model_options unknown = {.struct_size = sizeof unknown, .runtime = "native", .isa = "mmx"};
    assert_int_equal(stoa_model_load_memory(bytes, length, &unknown, &model, &err), STOA_ENAME);
    assert_non_null(strstr(err.message, "it has: baseline"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_columns_any_types), cmocka_unit_test(nothing_beyond_the_rows),    cmocka_unit_test(every_level_agrees),
        cmocka_unit_test(counts_by_pointer),     cmocka_unit_test(heads_matrices_and_scalars), cmocka_unit_test(bad_files_are_refused),
    };
    return cmocka_run_group_tests_name("native in place", tests, NULL, NULL);
}
