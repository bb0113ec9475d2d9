/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions over a fake runtime: every wrong binding, copies refused and counted, generations, slices, device-side counts. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "fake_runtime.h"
#include "stoa/stoa.h"

enum { ROWS = 1500 };
static const stoa_place host = {STOA_PLACE_HOST, 0};

typedef struct fixture {
    stoa_device *device;
    stoa_queue *queue;
    stoa_model *model;
    stoa_session *session;
    float a[3][ROWS], b[4][ROWS], sum[ROWS], pair[2][ROWS];
    stoa_column columns_a[3], column_b, column_sum, columns_pair[2];
} fixture;

static const stoa_capabilities can_all = {sizeof(stoa_capabilities), STOA_RULE_ANY, STOA_RULE_ANY, 1, 1, 1, 1, 0, 1};

static stoa_column column(float *data) { return stoa_column_over(data, STOA_FLOAT32, ROWS, 1, host); }

static void open_session(fixture *f, stoa_queue_kind kind, const stoa_session_options *options, uint32_t max_rows)
{
    stoa_error err;
    const stoa_model_options of_fake = {.struct_size = sizeof of_fake, .runtime = "fake"};
    assert_int_equal(stoa_device_open("host", &f->device, &err), STOA_OK);
    assert_int_equal(stoa_queue_create(f->device, kind, &f->queue, &err), STOA_OK);
    assert_int_equal(stoa_model_load_memory("FAKE", 4, &of_fake, &f->model, &err), STOA_OK);
    if (stoa_session_create(f->model, f->queue, max_rows, options, &f->session, &err) != STOA_OK) fail_msg("%s", err.message);
    for (int i = 0; i < ROWS; i++) {
        for (int k = 0; k < 3; k++) f->a[k][i] = (float)(i + 100 * k);
        for (int k = 0; k < 4; k++) f->b[k][i] = (float)(2 * i - k);
        f->sum[i] = f->pair[0][i] = f->pair[1][i] = -1;
    }
    for (int k = 0; k < 3; k++) f->columns_a[k] = column(f->a[k]);
    for (int k = 0; k < 2; k++) f->columns_pair[k] = column(f->pair[k]);
    /* One 2 x 2 matrix column, components column-major: (r, c) at component c * 2 + r. */
    f->column_b = column(f->b[0]);
    f->column_b.extent[0] = f->column_b.extent[1] = 2;
    f->column_b.stride[0] = ROWS;
    f->column_b.stride[1] = 2 * ROWS;
    f->column_sum = column(f->sum);
}

static void close_session(fixture *f)
{
    stoa_session_destroy(f->session);
    stoa_queue_destroy(f->queue);
    stoa_model_destroy(f->model);
    stoa_device_close(f->device);
}

static void bind_all(fixture *f)
{
    stoa_error err = {0};
    if (stoa_session_bind(f->session, "a", stoa_tensor_of(f->columns_a, 3), &err) != STOA_OK ||
        stoa_session_bind(f->session, "b", stoa_tensor_of(&f->column_b, 1), &err) != STOA_OK ||
        stoa_session_bind(f->session, "sum", stoa_tensor_of(&f->column_sum, 1), &err) != STOA_OK ||
        stoa_session_bind(f->session, "pair", stoa_tensor_of(f->columns_pair, 2), &err) != STOA_OK)
        fail_msg("%s", err.message);
}

static float expected_sum(int i) { return (float)(3 * i + 300 + 8 * i - 6); }

static void check_rows(const fixture *f, int first, int end)
{
    for (int i = 0; i < ROWS; i++) {
        const bool inside = i >= first && i < end;
        assert_true(f->sum[i] == (inside ? expected_sum(i) : -1.0f));
        assert_true(f->pair[0][i] == (inside ? -100.0f : -1.0f));
        assert_true(f->pair[1][i] == (inside ? (float)(2 * i) : -1.0f));
    }
}

/* ---- the table of wrong bindings ------------------------------------------------------------------------------------- */

typedef struct wrong_case {
    const char *what;
    const char *tensor;
    stoa_status status;
    const char *says[3]; /* parts of the message: the tensor and both values */
    void (*spoil)(fixture *f, stoa_tensor *tensor, stoa_column *scratch);
} wrong_case;

#define SPOIL(name) static void name(fixture *f, stoa_tensor *tensor, stoa_column *scratch)
#define UNUSED (void)f, (void)tensor, (void)scratch
SPOIL(nothing) { UNUSED; }
SPOIL(no_columns)
{
    UNUSED;
    tensor->column_count = 0;
}
SPOIL(null_columns)
{
    UNUSED;
    tensor->columns = NULL;
}
SPOIL(too_few)
{
    UNUSED;
    tensor->column_count = 2;
}
SPOIL(too_many)
{
    UNUSED;
    scratch[3] = scratch[0];
    tensor->column_count = 4;
}
SPOIL(too_wide)
{
    UNUSED;
    tensor->columns = &f->column_b;
    tensor->column_count = 1;
}
SPOIL(wrong_dtype)
{
    UNUSED;
    scratch[1].dtype = STOA_INT32;
}
SPOIL(unknown_dtype)
{
    UNUSED;
    scratch[2].dtype = 77;
}
SPOIL(null_data)
{
    UNUSED;
    scratch[0].data = NULL;
}
SPOIL(misaligned)
{
    UNUSED;
    scratch[1].data = (char *)scratch[1].data + 2;
}
SPOIL(other_device)
{
    UNUSED;
    scratch[0].place.type = STOA_PLACE_CUDA;
}
SPOIL(all_other_device)
{
    UNUSED;
    for (int i = 0; i < 3; i++) scratch[i].place.type = STOA_PLACE_CUDA;
}
SPOIL(unequal_extent)
{
    UNUSED;
    scratch[1].extent[0] = 2;
}
SPOIL(zero_extent)
{
    UNUSED;
    for (int i = 0; i < 3; i++) scratch[i].extent[0] = 0;
}
SPOIL(too_many_rows)
{
    UNUSED;
    tensor->rows = ROWS + 1;
}
SPOIL(far_rows)
{
    UNUSED;
    scratch[2].row_stride = INT64_MAX;
}
SPOIL(matrix_of_one_line)
{
    UNUSED;
    scratch[0].extent[1] = 3;
    scratch[0].stride[1] = ROWS;
    tensor->column_count = 1;
}
SPOIL(matrix_is_vectors)
{
    UNUSED;
    scratch[0] = f->column_b;
    scratch[0].extent[0] = 4;
    scratch[0].extent[1] = 1;
}
SPOIL(matrix_for_pair)
{
    UNUSED;
    scratch[0] = column(f->pair[0]);
    scratch[0].extent[0] = 1;
    scratch[0].extent[1] = 2;
    scratch[0].stride[1] = ROWS;
    tensor->columns = scratch;
    tensor->column_count = 1;
    scratch[0].extent[0] = 2;
    scratch[0].extent[1] = 2;
}
SPOIL(read_only)
{
    UNUSED;
    scratch[0].flags |= STOA_COLUMN_CONST;
}
SPOIL(stride_zero)
{
    UNUSED;
    scratch[0].row_stride = 0;
}
/* A vector of 2 whose components are one, those of neighbouring rows, or a row's of an array of rows. */
static void make_vector(stoa_tensor *tensor, stoa_column *scratch, int64_t row_stride, int64_t stride)
{
    scratch[0].extent[0] = 2;
    scratch[0].row_stride = row_stride;
    scratch[0].stride[0] = stride;
    *tensor = stoa_tensor_of(scratch, 1);
    tensor->rows = 2;
}
SPOIL(components_are_one)
{
    UNUSED;
    make_vector(tensor, scratch, 1, 0);
}
SPOIL(components_are_rows)
{
    UNUSED;
    make_vector(tensor, scratch, 1, 1);
}
SPOIL(components_are_rows_back)
{
    UNUSED;
    make_vector(tensor, scratch, 3, -3);
    scratch[0].data = &f->pair[0][3];
}
SPOIL(same_twice)
{
    UNUSED;
    scratch[1] = scratch[0];
}
SPOIL(on_input)
{
    UNUSED;
    scratch[0] = column(f->a[1]);
}
SPOIL(on_input_shifted)
{
    UNUSED;
    scratch[0] = column(f->a[1]);
    scratch[0].data = &f->a[1][7];
    scratch[0].rows = 10;
    tensor->columns = scratch;
    *tensor = stoa_tensor_of(scratch, 1);
}
SPOIL(on_other_output)
{
    UNUSED;
    scratch[0] = column(f->pair[1]);
}
SPOIL(input_on_output)
{
    UNUSED;
    scratch[2] = column(f->sum);
}

static const wrong_case wrong_cases[] = {
    {"unknown name", "c", STOA_ENAME, {"'c'", "a, b, sum, pair"}, nothing},
    {"empty name", "", STOA_ENAME, {"''", "a, b, sum, pair"}, nothing},
    {"no columns", "a", STOA_EINVAL, {"'a'", "no columns", "3 values a row needed"}, no_columns},
    {"null columns", "a", STOA_EINVAL, {"'a'", "no columns", "3 values a row needed"}, null_columns},
    {"too few columns", "a", STOA_ESHAPE, {"'a'", "2 columns of 1 x 1 give 2 values", "[N, 3] has 3"}, too_few},
    {"too many columns", "a", STOA_ESHAPE, {"'a'", "4 columns of 1 x 1 give 4 values", "[N, 3] has 3"}, too_many},
    {"matrix for columns", "a", STOA_ESHAPE, {"'a'", "1 columns of 2 x 2 give 4 values", "[N, 3] has 3"}, too_wide},
    {"other dtype", "a", STOA_EDTYPE, {"'a'", "column 1 is int32", "the model has float32"}, wrong_dtype},
    {"dtype outside the table", "a", STOA_EDTYPE, {"'a'", "column 2", "(77)"}, unknown_dtype},
    {"null data", "a", STOA_EINVAL, {"'a'", "column 0 is NULL"}, null_data},
    {"misaligned", "a", STOA_EALIGN, {"'a'", "column 1 at 0x", "float32 needs alignment 4"}, misaligned},
    {"one column elsewhere", "a", STOA_EPLACE, {"'a'", "column 1 at place 1:0", "column 0 at 2:0"}, other_device},
    {"all columns elsewhere", "a", STOA_EPLACE, {"'a'", "column 0 lies on device 2:0", "the queue on 1:0"}, all_other_device},
    {"unequal extents", "a", STOA_ESHAPE, {"'a'", "column 1 has extents 2 x 1", "column 0 has 1 x 1"}, unequal_extent},
    {"zero extent", "a", STOA_ESHAPE, {"'a'", "column 0 has extents 0 x 1"}, zero_extent},
    {"more rows than the columns have", "a", STOA_ESHAPE, {"'a'", "rows 0 to 1501 asked for", "column 0 has 1500"}, too_many_rows},
    {"rows outside the address space", "a", STOA_ESHAPE, {"'a'", "column 2 of 1500 rows", "row stride 9223372036854775807"}, far_rows},
    {"vector of 4 for 2 x 2", "b", STOA_ESHAPE, {"'b'", "columns of 4 x 1", "[N, 2, 2]"}, matrix_is_vectors},
    {"matrix for 2 columns", "pair", STOA_ESHAPE, {"'pair'", "1 columns of 2 x 2 give 4 values", "[N, 2] has 2"}, matrix_for_pair},
    {"rank too high", "a", STOA_ESHAPE, {"'a'", "columns of 1 x 3 (rank 3)", "[N, 3] has rank 2"}, matrix_of_one_line},
    {"read-only output", "sum", STOA_ECONST, {"'sum'", "column 0 is read-only"}, read_only},
    {"output with stride 0", "sum", STOA_ESHAPE, {"'sum'", "column 0 has row stride 0", "1500 rows"}, stride_zero},
    {"output vector of stride 0", "pair", STOA_EOVERLAP, {"'pair'", "strides 0 and", "row stride 1"}, components_are_one},
    {"output vector along rows", "pair", STOA_EOVERLAP, {"'pair'", "strides 1 and", "row stride 1"}, components_are_rows},
    {"output vector against rows", "pair", STOA_EOVERLAP, {"'pair'", "strides -3 and", "row stride 3"}, components_are_rows_back},
    {"output column twice", "pair", STOA_EOVERLAP, {"'pair'", "columns 0 and 1 share memory (0x"}, same_twice},
    {"output on an input", "sum", STOA_EOVERLAP, {"'sum' of 1500 rows at 0x", "'a' of 1500 rows at 0x"}, on_input},
    {"output inside an input", "sum", STOA_EOVERLAP, {"'sum' of 10 rows at 0x", "'a' of 1500 rows at 0x"}, on_input_shifted},
    {"output on another output", "sum", STOA_EOVERLAP, {"'sum' of 1500 rows at 0x", "'pair' of 1500 rows at 0x"}, on_other_output},
    {"input on an output", "a", STOA_EOVERLAP, {"'a' of 1500 rows at 0x", "'sum' of 1500 rows at 0x"}, input_on_output},
};

static void wrong_bindings(void **state)
{
    (void)state;
    fake_can = can_all;
    fixture *f = malloc(sizeof *f);
    open_session(f, STOA_QUEUE_BLOCKING, NULL, ROWS);
    bind_all(f);
    for (size_t i = 0; i < sizeof wrong_cases / sizeof *wrong_cases; i++) {
        const wrong_case *c = &wrong_cases[i];
        stoa_column scratch[4];
        const bool is_a = *c->tensor != 's' && *c->tensor != 'p' && *c->tensor != 'b', is_pair = *c->tensor == 'p';
        const stoa_column *from = is_a ? f->columns_a : is_pair ? f->columns_pair : *c->tensor == 'b' ? &f->column_b : &f->column_sum;
        const uint32_t count = is_a ? 3 : is_pair ? 2 : 1;
        memcpy(scratch, from, count * sizeof *scratch);
        stoa_tensor tensor = stoa_tensor_of(scratch, count);
        c->spoil(f, &tensor, scratch);
        stoa_error err = {0};
        const stoa_status status = stoa_session_bind(f->session, c->tensor, tensor, &err);
        if (status != c->status) fail_msg("%s: %s (%s)", c->what, stoa_status_name(status), err.message);
        assert_int_equal(err.status, status);
        for (int p = 0; p < 3 && c->says[p]; p++)
            if (!strstr(err.message, c->says[p])) fail_msg("%s: '%s' lacks '%s'", c->what, err.message, c->says[p]);
    }
    print_message("%zu wrong bindings refused\n", sizeof wrong_cases / sizeof *wrong_cases);
    stoa_error err;
    assert_int_equal(stoa_session_bind(NULL, "a", stoa_tensor_of(f->columns_a, 3), &err), STOA_EINVAL);
    assert_int_equal(stoa_session_bind(f->session, NULL, stoa_tensor_of(f->columns_a, 3), &err), STOA_EINVAL);
    /* All refusals left the bindings as they were. */
    assert_int_equal(stoa_session_run(f->session, ROWS, &err), STOA_OK);
    check_rows(f, 0, ROWS);
    close_session(f);
    free(f);
}

/* ---- runs ------------------------------------------------------------------------------------------------------------ */

static void rows_and_state(void **state)
{
    (void)state;
    fake_can = can_all;
    fixture *f = malloc(sizeof *f);
    stoa_error err;
    open_session(f, STOA_QUEUE_BLOCKING, NULL, 1000);
    assert_int_equal(stoa_session_run(f->session, 1, &err), STOA_ESTATE);
    assert_non_null(strstr(err.message, "'a'"));
    bind_all(f);
    assert_int_equal(stoa_session_run(f->session, 1001, &err), STOA_ESHAPE);
    assert_non_null(strstr(err.message, "1001"));
    assert_non_null(strstr(err.message, "1000"));
    f->columns_a[1].rows = 600;
    bind_all(f);
    assert_int_equal(stoa_session_run(f->session, 601, &err), STOA_ESHAPE);
    assert_non_null(strstr(err.message, "'a'"));
    assert_int_equal(stoa_session_run_rows(f->session, 599, 2, &err), STOA_ESHAPE);
    assert_int_equal(stoa_session_run_rows(f->session, 4000000000u, 4000000000u, &err), STOA_ESHAPE);
    assert_int_equal(stoa_session_run(f->session, 0, &err), STOA_OK);
    check_rows(f, 0, 0);
    assert_int_equal(stoa_session_run_rows(f->session, 17, 33, &err), STOA_OK);
    check_rows(f, 17, 50);
    assert_int_equal(stoa_session_run(f->session, 600, &err), STOA_OK);
    check_rows(f, 0, 600);
    close_session(f);
    free(f);
}

/* Buffers that change their parts: what was an output may be an input once the output is let go. */
static void bindings_are_let_go(void **state)
{
    (void)state;
    fake_can = can_all;
    fixture *f = malloc(sizeof *f);
    stoa_error err;
    open_session(f, STOA_QUEUE_BLOCKING, NULL, ROWS);
    bind_all(f);
    f->columns_a[0] = column(f->sum);
    assert_int_equal(stoa_session_bind(f->session, "a", stoa_tensor_of(f->columns_a, 3), &err), STOA_EOVERLAP);
    assert_int_equal(stoa_session_unbind(f->session, "nothing", &err), STOA_ENAME);
    assert_int_equal(stoa_session_unbind(f->session, "sum", &err), STOA_OK);
    assert_int_equal(stoa_session_bind(f->session, "a", stoa_tensor_of(f->columns_a, 3), &err), STOA_OK);
    assert_int_equal(stoa_session_run(f->session, ROWS, &err), STOA_ESTATE);
    assert_int_equal(stoa_session_unbind(f->session, NULL, &err), STOA_OK);
    assert_int_equal(stoa_session_run(f->session, ROWS, &err), STOA_ESTATE);
    f->columns_a[0] = column(f->a[0]);
    bind_all(f);
    assert_int_equal(stoa_session_run(f->session, ROWS, &err), STOA_OK);
    check_rows(f, 0, ROWS);
    close_session(f);
    free(f);
}

/* A run of few rows may begin at any row that is bound: no output may lie on what any of them reads or writes. */
static void rows_behind_a_run(void **state)
{
    (void)state;
    fake_can = can_all;
    fixture *f = malloc(sizeof *f);
    stoa_error err = {0};
    open_session(f, STOA_QUEUE_BLOCKING, NULL, 100);
    bind_all(f);
    stoa_column late = stoa_column_over(&f->a[1][200], STOA_FLOAT32, ROWS - 200, 1, host);
    assert_int_equal(stoa_session_bind(f->session, "sum", stoa_tensor_of(&late, 1), &err), STOA_EOVERLAP);
    assert_non_null(strstr(err.message, "'sum' of 1300 rows"));
    assert_non_null(strstr(err.message, "'a' of 1500 rows"));
    const stoa_column shifted[2] = {late, stoa_column_over(&f->a[1][400], STOA_FLOAT32, ROWS - 400, 1, host)};
    assert_int_equal(stoa_session_bind(f->session, "pair", stoa_tensor_of(shifted, 2), &err), STOA_EOVERLAP);
    /* Once no row of an input lies there: the slice alone is bound. */
    f->columns_a[1].rows = 200;
    assert_int_equal(stoa_session_bind(f->session, "a", stoa_tensor_of(f->columns_a, 3), &err), STOA_OK);
    assert_int_equal(stoa_session_bind(f->session, "sum", stoa_tensor_of(&late, 1), &err), STOA_OK);
    close_session(f);

    open_session(f, STOA_QUEUE_BLOCKING, NULL, 1);
    bind_all(f);
    stoa_column one = stoa_column_over(f->sum, STOA_FLOAT32, 8, 0, host);
    assert_int_equal(stoa_session_bind(f->session, "sum", stoa_tensor_of(&one, 1), &err), STOA_ESHAPE);
    assert_non_null(strstr(err.message, "stride 0, 8 rows"));
    one.rows = UINT32_MAX; /* a scalar has the row of any run */
    one.flags = STOA_COLUMN_SCALAR;
    assert_int_equal(stoa_session_bind(f->session, "sum", stoa_tensor_of(&one, 1), &err), STOA_OK);
    assert_int_equal(stoa_session_run_rows(f->session, 5, 1, &err), STOA_OK);
    assert_true(f->sum[0] == expected_sum(5));
    close_session(f);
    free(f);
}

/* Strides that nobody vouches for, of a matrix without rows. */
static void strides_without_rows(void **state)
{
    (void)state;
    fake_can = can_all;
    fixture *f = malloc(sizeof *f);
    stoa_error err = {0};
    open_session(f, STOA_QUEUE_BLOCKING, NULL, ROWS);
    bind_all(f);
    stoa_column empty = f->column_b;
    empty.rows = 0;
    empty.row_stride = INT64_MIN;
    assert_int_equal(stoa_session_bind(f->session, "b", stoa_tensor_of(&empty, 1), &err), STOA_OK);
    empty.data = NULL;
    assert_int_equal(stoa_session_bind(f->session, "b", stoa_tensor_of(&empty, 1), &err), STOA_OK);
    assert_int_equal(stoa_session_run(f->session, 0, &err), STOA_OK);
    empty.stride[0] = empty.stride[1] = INT64_MAX / 2;
    assert_int_equal(stoa_session_bind(f->session, "b", stoa_tensor_of(&empty, 1), &err), STOA_ESHAPE);
    assert_non_null(strstr(err.message, "address space"));
    close_session(f);
    free(f);
}

static void sliced_bindings(void **state)
{
    (void)state;
    fake_can = can_all;
    fixture *f = malloc(sizeof *f);
    stoa_error err;
    open_session(f, STOA_QUEUE_BLOCKING, NULL, ROWS);
    const uint32_t batches = stoa_tensor_batch_count(stoa_tensor_of(f->columns_a, 3), 400);
    assert_int_equal(batches, 4);
    for (uint32_t k = 0; k < batches; k++) {
        const uint32_t first = 400 * k;
        const stoa_tensor a = stoa_tensor_slice(stoa_tensor_of(f->columns_a, 3), first, 400);
        assert_int_equal(stoa_session_bind(f->session, "a", a, &err), STOA_OK);
        assert_int_equal(stoa_session_bind(f->session, "b", stoa_tensor_slice(stoa_tensor_of(&f->column_b, 1), first, 400), &err), STOA_OK);
        assert_int_equal(stoa_session_bind(f->session, "sum", stoa_tensor_slice(stoa_tensor_of(&f->column_sum, 1), first, 400), &err),
                         STOA_OK);
        assert_int_equal(stoa_session_bind(f->session, "pair", stoa_tensor_slice(stoa_tensor_of(f->columns_pair, 2), first, 400), &err),
                         STOA_OK);
        assert_int_equal(stoa_session_run(f->session, a.rows, &err), STOA_OK);
    }
    check_rows(f, 0, ROWS);
    close_session(f);
    free(f);
}

static void counts_on_the_device(void **state)
{
    (void)state;
    static const uint32_t counts[] = {0, 1, 31, 33, 1000, 4567};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        fake_can = can_all;
        fixture *f = malloc(sizeof *f);
        stoa_error err;
        open_session(f, STOA_QUEUE_ASYNC, NULL, 1200);
        bind_all(f);
        assert_int_equal(stoa_session_run_counted(f->session, &counts[i], &err), STOA_OK);
        assert_int_equal(stoa_queue_wait(f->queue, &err), STOA_OK);
        check_rows(f, 0, counts[i] < 1200 ? (int)counts[i] : 1200);
        close_session(f);
        free(f);
    }
    fake_can.device_row_count = 0;
    fixture *f = malloc(sizeof *f);
    stoa_error err;
    open_session(f, STOA_QUEUE_BLOCKING, NULL, 1200);
    bind_all(f);
    assert_int_equal(stoa_session_run_counted(f->session, counts, &err), STOA_ENOTSUP);
    close_session(f);
    free(f);
}

/* ---- capabilities ---------------------------------------------------------------------------------------------------- */

typedef struct limited {
    const char *what;
    size_t field;        /* of the capability that is taken away */
    uint32_t value;      /* to this */
    const char *tensor;  /* that then needs a copy */
    const char *reason;
} limited;

static const limited limits[] = {
    {"outputs elsewhere", offsetof(stoa_capabilities, outputs_in_place), 0, "sum", "memory of its own"},
    {"inputs written", offsetof(stoa_capabilities, const_inputs), 0, "a", "read-only"},
    {"adjacent rows", offsetof(stoa_capabilities, inputs), STOA_RULE_UNIT, "a", "one row stride"},
    {"one strided array", offsetof(stoa_capabilities, inputs), STOA_RULE_STRIDED, "a", "one row stride"},
    {"a block", offsetof(stoa_capabilities, inputs), STOA_RULE_BLOCK, "a", "one row stride"},
    {"row-major inputs", offsetof(stoa_capabilities, inputs), STOA_RULE_ROW_MAJOR, "a", "one row stride"},
    {"row-major outputs", offsetof(stoa_capabilities, outputs), STOA_RULE_ROW_MAJOR, "pair", "row-major"},
};

static void spoil_for_limits(fixture *f)
{
    static float strided[2 * ROWS];
    for (int i = 0; i < ROWS; i++) strided[2 * i] = f->a[2][i];
    f->columns_a[0].flags |= STOA_COLUMN_CONST;
    f->columns_a[2] = stoa_column_over(strided, STOA_FLOAT32, ROWS, 2, host);
}

static void copies_are_refused_or_counted(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        const limited *limit = &limits[i];
        fake_can = can_all;
        *(uint32_t *)((char *)&fake_can + limit->field) = limit->value;
        fixture *f = malloc(sizeof *f);
        stoa_error err = {0};
        open_session(f, STOA_QUEUE_BLOCKING, NULL, ROWS);
        spoil_for_limits(f);
        const stoa_tensor tensor = *limit->tensor == 'a'   ? stoa_tensor_of(f->columns_a, 3)
                                   : *limit->tensor == 'p' ? stoa_tensor_of(f->columns_pair, 2)
                                                           : stoa_tensor_of(&f->column_sum, 1);
        assert_int_equal(stoa_session_bind(f->session, limit->tensor, tensor, &err), STOA_ECOPY);
        if (!strstr(err.message, limit->reason)) fail_msg("%s: %s", limit->what, err.message);
        close_session(f);

        const stoa_session_options allow = {.struct_size = sizeof allow, .allow_copies = 1};
        fake_calls = fake_largest_call = 0;
        open_session(f, STOA_QUEUE_BLOCKING, &allow, ROWS);
        spoil_for_limits(f);
        bind_all(f);
        const uint64_t allocations = stoa_alloc_count();
        assert_int_equal(stoa_session_run_rows(f->session, 3, ROWS - 3, &err), STOA_OK);
        assert_int_equal(stoa_alloc_count(), allocations);
        check_rows(f, 3, ROWS);
        stoa_session_stats stats = {.struct_size = sizeof stats};
        assert_int_equal(stoa_session_get_stats(f->session, &stats, &err), STOA_OK);
        print_message("%s: %llu copies, %llu bytes, %u calls\n", limit->what, (unsigned long long)stats.copy_calls,
                      (unsigned long long)stats.copy_bytes, fake_calls);
        assert_int_equal(fake_calls, 3); /* tiles of 512 rows */
        assert_int_equal(fake_largest_call, 512);
        assert_true(stats.copy_calls > 0 && stats.copy_bytes % ((ROWS - 3) * sizeof(float)) == 0);
        close_session(f);
        free(f);
    }
}

/* A tile has one size of element: a column of another dtype is found wherever it stands. */
static void copies_take_one_dtype(void **state)
{
    (void)state;
    static double wide[ROWS];
    const stoa_session_options allow = {.struct_size = sizeof allow, .allow_copies = 1};
    fixture *f = malloc(sizeof *f);
    fake_can = can_all;
    fake_can.const_inputs = 0;
    for (int k = 0; k < 3; k++) {
        stoa_error err = {0};
        open_session(f, STOA_QUEUE_BLOCKING, &allow, ROWS);
        f->columns_a[0].flags |= STOA_COLUMN_CONST;
        f->columns_a[k] = stoa_column_over_const(wide, STOA_FLOAT64, ROWS, 1, host);
        assert_int_equal(stoa_session_bind(f->session, "a", stoa_tensor_of(f->columns_a, 3), &err), STOA_ECOPY);
        assert_non_null(strstr(err.message, k == 1 ? "column 1 is float64, column 0 is float32" : "copies take one dtype"));
        close_session(f);
    }
    free(f);
}

static void nothing_is_copied_when_it_fits(void **state)
{
    (void)state;
    fake_can = can_all;
    const stoa_session_options allow = {.struct_size = sizeof allow, .allow_copies = 1};
    fixture *f = malloc(sizeof *f);
    stoa_error err;
    open_session(f, STOA_QUEUE_BLOCKING, &allow, ROWS);
    bind_all(f);
    assert_int_equal(stoa_session_run(f->session, ROWS, &err), STOA_OK);
    stoa_session_stats stats = {.struct_size = sizeof stats};
    assert_int_equal(stoa_session_get_stats(f->session, &stats, &err), STOA_OK);
    assert_int_equal(stats.copy_calls, 0);
    assert_int_equal(stats.rows, ROWS);
    close_session(f);
    free(f);
}

/* ---- what each rule takes as it lies --------------------------------------------------------------------------------- */

typedef struct lie {
    const char *what;
    int64_t offset[3];       /* of the values of "a", in floats */
    int64_t row_stride;
    bool takes[5];           /* by stoa_column_rule */
} lie;

static const lie lies[] = {
    /*                                                 any  unit strided block row-major */
    {"adjacent columns", {0, 2000, 4000}, 1, {true, true, true, true, false}},
    {"columns of a larger block", {2000, 4000, 6000}, 1, {true, true, true, true, false}},
    {"columns with gaps", {0, 3000, 4000}, 1, {true, true, false, false, false}},
    {"descending columns", {4000, 2000, 0}, 1, {true, true, false, false, false}},
    {"overlapping windows", {0, 1, 2}, 1, {true, true, true, false, false}},
    {"rows of an array", {0, 1, 2}, 3, {true, false, true, false, true}},
    {"rows of a wider array", {0, 1, 2}, 4, {true, false, true, false, false}},
    {"scalars", {0, 1, 2}, 0, {true, false, true, false, false}},
};

static void rules_take_what_they_say(void **state)
{
    (void)state;
    static float memory[8000];
    fixture *f = malloc(sizeof *f);
    for (uint32_t rule = STOA_RULE_ANY; rule <= STOA_RULE_ROW_MAJOR; rule++) {
        fake_can = can_all;
        fake_can.inputs = (stoa_column_rule)rule;
        open_session(f, STOA_QUEUE_BLOCKING, NULL, ROWS);
        for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
            stoa_error err = {0};
            for (int k = 0; k < 3; k++)
                f->columns_a[k] = stoa_column_over_const(memory + lies[i].offset[k], STOA_FLOAT32, ROWS, lies[i].row_stride, host);
            const stoa_status status = stoa_session_bind(f->session, "a", stoa_tensor_of(f->columns_a, 3), &err);
            if (status != (lies[i].takes[rule] ? STOA_OK : STOA_ECOPY))
                fail_msg("rule %u, %s: %s (%s)", rule, lies[i].what, stoa_status_name(status), err.message);
        }
        /* The matrix column lies column-major, as the schema says of "b". */
        stoa_error err = {0};
        const stoa_status status = stoa_session_bind(f->session, "b", stoa_tensor_of(&f->column_b, 1), &err);
        assert_int_equal(status, rule == STOA_RULE_ROW_MAJOR ? STOA_ECOPY : STOA_OK);
        close_session(f);
    }
    free(f);
}

/* A run that fails is told once: by the run itself on a blocking queue, by the next call on an asynchronous one. */
static void failures_are_kept(void **state)
{
    (void)state;
    fake_can = can_all;
    fake_can.tile_rows = 500;
    for (int kind = STOA_QUEUE_BLOCKING; kind <= STOA_QUEUE_ASYNC; kind++) {
        fixture *f = malloc(sizeof *f);
        stoa_error err = {0};
        open_session(f, (stoa_queue_kind)kind, NULL, ROWS);
        bind_all(f);
        fake_calls = 0;
        fake_failing_call = 2;
        const stoa_status status = stoa_session_run(f->session, ROWS, &err);
        assert_int_equal(status, kind == STOA_QUEUE_BLOCKING ? STOA_ERUNTIME : STOA_OK);
        assert_int_equal(stoa_queue_wait(f->queue, NULL), STOA_OK);
        if (kind == STOA_QUEUE_ASYNC) assert_int_equal(stoa_session_run(f->session, ROWS, &err), STOA_ERUNTIME);
        assert_non_null(strstr(err.message, "call 2 fails"));
        assert_int_equal(stoa_session_check(f->session, &err), STOA_OK);
        assert_int_equal(stoa_session_run(f->session, ROWS, &err), STOA_OK);
        assert_int_equal(stoa_queue_wait(f->queue, NULL), STOA_OK);
        assert_int_equal(stoa_session_check(f->session, &err), STOA_OK);
        check_rows(f, 0, ROWS);
        fake_failing_call = 0;
        close_session(f);
        free(f);
    }
}

/* Nodes and edges: each axis has its own rows and limit, the event's scalar one row; gathered or as it lies. */
static void several_row_axes(void **state)
{
    (void)state;
    enum { TRACKS = 8, HITS = 16 };
    float track[2][TRACKS], hit[HITS], scale = 0.5f, pooled[TRACKS];
    for (int i = 0; i < TRACKS; i++) track[0][i] = (float)i, track[1][i] = 100;
    for (int i = 0; i < HITS; i++) hit[i] = (float)(1 << i % 4);
    const stoa_column tracks[2] = {stoa_column_over(track[0], STOA_FLOAT32, TRACKS, 1, host),
                                   stoa_column_over(track[1], STOA_FLOAT32, TRACKS, 1, host)};
    const stoa_column hits = stoa_column_over(hit, STOA_FLOAT32, HITS, 1, host),
                      out = stoa_column_over(pooled, STOA_FLOAT32, TRACKS, 1, host),
                      scalar = stoa_column_over(&scale, STOA_FLOAT32, 1, 0, host);
    for (int gathered = 0; gathered < 2; gathered++) {
        fake_can = can_all;
        fake_can.inputs = gathered ? STOA_RULE_ROW_MAJOR : STOA_RULE_ANY;
        const uint32_t limits_of_axes[] = {TRACKS, HITS};
        const stoa_session_options options = {
            .struct_size = sizeof options, .allow_copies = 1, .axis_rows = limits_of_axes, .axis_count = 2};
        const stoa_model_options of_fake = {.struct_size = sizeof of_fake, .runtime = "fake"};
        fixture *f = calloc(1, sizeof *f);
        stoa_error err = {0};
        assert_int_equal(stoa_device_open("host", &f->device, &err), STOA_OK);
        assert_int_equal(stoa_queue_create(f->device, STOA_QUEUE_BLOCKING, &f->queue, &err), STOA_OK);
        assert_int_equal(stoa_model_load_memory("FAKG", 4, &of_fake, &f->model, &err), STOA_OK);
        assert_int_equal(stoa_session_create(f->model, f->queue, 0, &options, &f->session, &err), STOA_OK);
        assert_int_equal(stoa_session_bind(f->session, "track", stoa_tensor_of(tracks, 2), &err), STOA_OK);
        assert_int_equal(stoa_session_bind(f->session, "hit", stoa_tensor_of(&hits, 1), &err), STOA_OK);
        assert_int_equal(stoa_session_bind(f->session, "scale", stoa_tensor_of(&scalar, 1), &err), STOA_OK);
        assert_int_equal(stoa_session_bind(f->session, "pooled", stoa_tensor_of(&out, 1), &err), STOA_OK);
        assert_int_equal(stoa_session_run(f->session, TRACKS, &err), STOA_EINVAL);
        assert_non_null(strstr(err.message, "tracks, hits"));
        const uint32_t sizes[][2] = {{TRACKS, HITS}, {3, 5}, {TRACKS, 0}, {0, HITS}};
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            float sum = 0;
            for (uint32_t i = 0; i < sizes[s][1]; i++) sum += hit[i];
            for (int i = 0; i < TRACKS; i++) pooled[i] = -1;
            assert_int_equal(stoa_session_run_sizes(f->session, sizes[s], 2, &err), STOA_OK);
            for (uint32_t i = 0; i < TRACKS; i++) assert_true(pooled[i] == (i < sizes[s][0] ? (float)i + 100 + 0.5f * sum : -1.0f));
        }
        const uint32_t too_many[] = {TRACKS, HITS + 1};
        assert_int_equal(stoa_session_run_sizes(f->session, too_many, 2, &err), STOA_ESHAPE);
        assert_non_null(strstr(err.message, "'hits'"));
        assert_int_equal(stoa_session_run_sizes(f->session, too_many, 1, &err), STOA_EINVAL);
        assert_int_equal(stoa_session_run_counted(f->session, too_many, &err), STOA_EINVAL);
        stoa_session_stats stats = {.struct_size = sizeof stats};
        assert_int_equal(stoa_session_get_stats(f->session, &stats, &err), STOA_OK);
        /* The one-value tensors are row-major as they lie: tracks alone are gathered, once a run. */
        assert_int_equal(stats.copy_calls, gathered ? 4 : 0);
        assert_int_equal(stats.copy_bytes, gathered ? (TRACKS + 3 + TRACKS + 0) * 2 * sizeof(float) : 0);
        close_session(f);
        free(f);
    }
    fake_can = can_all;
}

static void more_rows_than_a_layout_has(void **state)
{
    (void)state;
    fake_can = can_all;
    fixture *f = malloc(sizeof *f);
    stoa_session *session;
    stoa_error err;
    open_session(f, STOA_QUEUE_BLOCKING, NULL, ROWS);
    assert_int_equal(stoa_session_create(f->model, f->queue, STOA_LAYOUT_ROWS_MAX + 1, NULL, &session, &err), STOA_ELIMIT);
    assert_null(session);
    assert_non_null(strstr(err.message, "2147483648 rows"));
    close_session(f);
    free(f);
}

static void tiles_of_the_runtime(void **state)
{
    (void)state;
    fake_can = can_all;
    fake_can.tile_rows = 100;
    fixture *f = malloc(sizeof *f);
    stoa_error err;
    open_session(f, STOA_QUEUE_BLOCKING, NULL, ROWS);
    bind_all(f);
    fake_calls = fake_largest_call = 0;
    assert_int_equal(stoa_session_run_rows(f->session, 1, 250, &err), STOA_OK);
    check_rows(f, 1, 251);
    assert_int_equal(fake_calls, 3);
    assert_int_equal(fake_largest_call, 100);
    close_session(f);
    free(f);
}

static void hold(void *user)
{
    while (!atomic_load((atomic_int *)user)) usleep(100);
}

/* Runs that are queued keep the bindings they were enqueued with, whatever is bound later. */
static void generations_hold(void **state)
{
    (void)state;
    fake_can = can_all;
    enum { RUNS = 8 };
    static float sums[RUNS + 1][ROWS];
    fixture *f = malloc(sizeof *f);
    stoa_error err = {0};
    atomic_int go = 0;
    open_session(f, STOA_QUEUE_ASYNC, NULL, ROWS);
    bind_all(f);
    assert_int_equal(stoa_queue_enqueue(f->queue, hold, &go, &err), STOA_OK);
    stoa_status status = STOA_OK;
    int runs = 0;
    for (; runs < RUNS + 1 && status == STOA_OK; runs++) {
        const stoa_column out = column(sums[runs]);
        status = stoa_session_bind(f->session, "sum", stoa_tensor_of(&out, 1), &err);
        if (status == STOA_OK) assert_int_equal(stoa_session_run_rows(f->session, (uint32_t)runs, 10, &err), STOA_OK);
    }
    assert_int_equal(status, STOA_ESTATE); /* the ninth binding waits for nobody: it is refused */
    assert_int_equal(runs, RUNS + 1);
    atomic_store(&go, 1);
    assert_int_equal(stoa_queue_wait(f->queue, &err), STOA_OK);
    for (int r = 0; r < RUNS; r++)
        for (int i = 0; i < 20; i++) assert_true(sums[r][i] == (i >= r && i < r + 10 ? expected_sum(i) : 0.0f));
    close_session(f);
    free(f);
}

/* Bound again while a run is inside the runtime, which has its tiles pointed at: for ThreadSanitizer, which must see no order between
 * the two threads but the library's. */
static atomic_int run_is_inside, run_may_end;
static void stay_inside(void)
{
    atomic_store_explicit(&run_is_inside, 1, memory_order_relaxed);
    while (!atomic_load_explicit(&run_may_end, memory_order_relaxed)) usleep(100);
}

static void generations_of_copies(void **state)
{
    (void)state;
    fake_can = can_all;
    fake_can.inputs = fake_can.outputs = STOA_RULE_ROW_MAJOR;
    const stoa_session_options allow = {.struct_size = sizeof allow, .allow_copies = 1};
    static float second[ROWS];
    fixture *f = malloc(sizeof *f);
    stoa_error err = {0};
    open_session(f, STOA_QUEUE_ASYNC, &allow, ROWS);
    bind_all(f);
    atomic_store(&run_is_inside, 0);
    atomic_store(&run_may_end, 0);
    fake_in_call = stay_inside;
    assert_int_equal(stoa_session_run(f->session, ROWS, &err), STOA_OK);
    while (!atomic_load_explicit(&run_is_inside, memory_order_relaxed)) usleep(100);
    const stoa_column out = column(second);
    assert_int_equal(stoa_session_bind(f->session, "sum", stoa_tensor_of(&out, 1), &err), STOA_OK);
    assert_int_equal(stoa_session_run_rows(f->session, 7, 600, &err), STOA_OK);
    atomic_store_explicit(&run_may_end, 1, memory_order_relaxed);
    assert_int_equal(stoa_queue_wait(f->queue, &err), STOA_OK);
    fake_in_call = NULL;
    assert_int_equal(stoa_session_check(f->session, &err), STOA_OK);
    check_rows(f, 0, ROWS);
    for (int i = 0; i < ROWS; i++) assert_true(second[i] == (i >= 7 && i < 607 ? expected_sum(i) : 0.0f));
    close_session(f);
    free(f);
}

/* An application's executor that takes tasks until it is full, and gets to them late. */
typedef struct late_executor {
    struct {
        stoa_host_task run;
        void *user;
    } task[8];
    int taken, full;
    atomic_int begun;
} late_executor;

static stoa_status take_task(void *user, stoa_host_task task, void *task_user, stoa_error *err)
{
    late_executor *self = user;
    if (self->taken == self->full) return STOA_FAIL(err, STOA_EDEVICE, "the executor is full");
    self->task[self->taken].run = task;
    self->task[self->taken++].user = task_user;
    return STOA_OK;
}

static void *run_tasks(void *user)
{
    late_executor *self = user;
    usleep(20000);
    for (int i = 0; i < self->taken; i++) {
        atomic_fetch_add(&self->begun, 1); /* who waits for the queue is let go inside the task */
        self->task[i].run(self->task[i].user);
    }
    return NULL;
}

/* The end of a session is a task behind its runs; an executor that refuses that one is waited for, if there are runs. */
static void executors_refuse_the_end(void **state)
{
    (void)state;
    fake_can = can_all;
    for (int runs = 0; runs < 3; runs++)
        for (int room = 0; room < 2; room++) {
            late_executor late = {.full = runs + room};
            stoa_host_executor executor = {sizeof executor, take_task, &late};
            fixture *f = malloc(sizeof *f);
            stoa_error err = {0};
            pthread_t thread;
            open_session(f, STOA_QUEUE_BLOCKING, NULL, ROWS);
            stoa_session_destroy(f->session);
            stoa_queue_destroy(f->queue);
            assert_int_equal(stoa_queue_wrap(f->device, &executor, &f->queue, &err), STOA_OK);
            assert_int_equal(stoa_session_create(f->model, f->queue, ROWS, NULL, &f->session, &err), STOA_OK);
            bind_all(f);
            for (int i = 0; i < runs; i++) assert_int_equal(stoa_session_run_rows(f->session, 0, ROWS / 2, &err), STOA_OK);
            assert_int_equal(late.taken, runs);
            if (!room) assert_int_equal(pthread_create(&thread, NULL, run_tasks, &late), 0);
            stoa_session_destroy(f->session);
            f->session = NULL;
            if (!room) assert_int_equal(atomic_load(&late.begun), runs); /* waited for */
            else assert_int_equal(pthread_create(&thread, NULL, run_tasks, &late), 0);
            pthread_join(thread, NULL);
            check_rows(f, 0, runs ? ROWS / 2 : 0);
            close_session(f);
            free(f);
        }
}

static void registry_refuses(void **state)
{
    (void)state;
    stoa_error err;
    assert_int_equal(stoa_runtime_register(&fake_api, &err), STOA_ENAME);
    stoa_runtime_api bad = fake_api;
    bad.name = "other";
    bad.abi = 99;
    assert_int_equal(stoa_runtime_register(&bad, &err), STOA_EABI);
    assert_non_null(strstr(err.message, "99"));
    bad.abi = STOA_RUNTIME_ABI;
    bad.run = NULL;
    assert_int_equal(stoa_runtime_register(&bad, &err), STOA_EABI);
    assert_non_null(strstr(err.message, "run"));
    const stoa_runtime_api *api;
    assert_int_equal(stoa_runtime_find("nope", &api, &err), STOA_ENAME);
    assert_non_null(strstr(err.message, "native, fake, aoti, torchscript, onnxruntime, tensorrt"));

    assert_int_equal(stoa_runtime_find("aoti_", &api, &err), STOA_ENAME);

    stoa_model *model;
    const stoa_model_options of_fake = {.struct_size = sizeof of_fake, .runtime = "fake"};
    assert_int_equal(stoa_model_load_memory("NOPE", 4, &of_fake, &model, &err), STOA_EFORMAT);
    assert_null(model);
    assert_int_equal(stoa_model_load_memory("FAKE", 4, NULL, &model, &err), STOA_EINVAL);
    assert_int_equal(stoa_model_load("there/is/no.onnx", NULL, &model, &err), STOA_EIO);
    assert_int_equal(err.native, 2);
    assert_int_equal(stoa_model_load("/", &of_fake, &model, &err), STOA_EIO);
    assert_int_equal(stoa_model_load("x.unknown", NULL, &model, &err), STOA_ENOTSUP);
    assert_non_null(strstr(err.message, ".unknown"));
}

/* A session binds by name. */
static void names_are_not_shared(void **state)
{
    (void)state;
    static const struct {
        const char *names[4], *says; /* NULL: loads */
    } cases[] = {{{"a", "b", "c", "d"}, NULL},
                 {{"x", "b", "y", "y"}, "output 0 and output 1 are both named 'y'"},
                 {{"z", "x", "y", "x"}, "input 1 and output 1 are both named 'x'"},
                 {{"in", "in", "a", "b"}, "input 0 and input 1 are both named 'in'"},
                 {{"", "b", "", "d"}, "input 0 and output 0 are both named ''"}};
    const stoa_model_options of_fake = {.struct_size = sizeof of_fake, .runtime = "fake"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        stoa_error err = {0};
        stoa_model *model;
        memcpy(fake_names, cases[i].names, sizeof fake_names);
        fake_unloaded = 0;
        const stoa_status status = stoa_model_load_memory("FAKN", 4, &of_fake, &model, &err);
        assert_int_equal(status, cases[i].says ? STOA_ENAME : STOA_OK);
        assert_true((model == NULL) == (status != STOA_OK) && fake_unloaded == (status != STOA_OK));
        if (cases[i].says && !strstr(err.message, cases[i].says)) fail_msg("'%s' lacks '%s'", err.message, cases[i].says);
        stoa_model_destroy(model);
    }
}

/* Structs of a newer caller are taken as long as what this version does not know of them says nothing. */
static void structs_of_other_sizes(void **state)
{
    (void)state;
    fake_can = can_all;
    stoa_error err;
    fixture *f = malloc(sizeof *f);
    open_session(f, STOA_QUEUE_BLOCKING, NULL, ROWS);
    for (int later = 0; later < 2; later++) {
        struct {
            stoa_model_options known;
            uint64_t later;
        } model_options = {{.struct_size = sizeof model_options, .runtime = "fake"}, (uint64_t)later};
        struct {
            stoa_session_options known;
            uint64_t later;
        } session_options = {{.struct_size = sizeof session_options}, (uint64_t)later};
        stoa_model *model;
        stoa_session *session;
        assert_int_equal(stoa_model_load_memory("FAKE", 4, &model_options.known, &model, &err), later ? STOA_EINVAL : STOA_OK);
        if (later) assert_non_null(strstr(err.message, "model options: byte"));
        assert_int_equal(stoa_session_create(f->model, f->queue, 1, &session_options.known, &session, &err), later ? STOA_EINVAL : STOA_OK);
        if (later) assert_non_null(strstr(err.message, "session options: byte"));
        stoa_session_destroy(session);
        stoa_model_destroy(model);
    }
    const stoa_session_options shorter = {.struct_size = 8};
    stoa_session *session;
    assert_int_equal(stoa_session_create(f->model, f->queue, 1, &shorter, &session, &err), STOA_EINVAL);
    assert_non_null(strstr(err.message, "struct_size 8 given, 24 needed"));
    struct {
        stoa_session_stats known;
        uint64_t later;
    } stats = {{.struct_size = sizeof stats, .rows = 5}, 7};
    assert_int_equal(stoa_session_get_stats(f->session, &stats.known, &err), STOA_OK);
    assert_true(stats.known.struct_size == sizeof stats && stats.known.rows == 0 && stats.later == 7);
    stats.known.struct_size = 3;
    assert_int_equal(stoa_session_get_stats(f->session, &stats.known, &err), STOA_EINVAL);
    assert_non_null(strstr(err.message, "struct_size 3 given, 56 needed"));
    assert_int_equal(stoa_session_get_stats(f->session, NULL, &err), STOA_EINVAL);
    assert_non_null(strstr(err.message, "stats is NULL"));
    assert_int_equal(stoa_session_get_stats(NULL, &stats.known, &err), STOA_EINVAL);
    assert_non_null(strstr(err.message, "session is NULL"));
    close_session(f);
    free(f);
}

static int register_fake(void **state)
{
    (void)state;
    return stoa_runtime_register(&fake_api, NULL) == STOA_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registry_refuses),
        cmocka_unit_test(names_are_not_shared),
        cmocka_unit_test(structs_of_other_sizes),
        cmocka_unit_test(wrong_bindings),
        cmocka_unit_test(rows_and_state),
        cmocka_unit_test(sliced_bindings),
        cmocka_unit_test(counts_on_the_device),
        cmocka_unit_test(copies_are_refused_or_counted),
        cmocka_unit_test(nothing_is_copied_when_it_fits),
        cmocka_unit_test(more_rows_than_a_layout_has),
        cmocka_unit_test(tiles_of_the_runtime),
        cmocka_unit_test(generations_hold),
        cmocka_unit_test(generations_of_copies),
        cmocka_unit_test(executors_refuse_the_end),
        cmocka_unit_test(rows_behind_a_run),
        cmocka_unit_test(strides_without_rows),
        cmocka_unit_test(copies_take_one_dtype),
        cmocka_unit_test(rules_take_what_they_say),
        cmocka_unit_test(failures_are_kept),
        cmocka_unit_test(several_row_axes),
        cmocka_unit_test(bindings_are_let_go),
    };
    return cmocka_run_group_tests_name("session", tests, register_fake, NULL);
}
