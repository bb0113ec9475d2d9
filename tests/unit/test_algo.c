/* SPDX-License-Identifier: Apache-2.0 */
/* stoa/algo.h against the plainest form of each algorithm, on random input of sizes around vector tails and
 * pass limits. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "device_under_test.h"
#include "algo/compact_host.h"
#include "stoa/algo.h"
#include "stoa/layout.h"

#include <math.h>

/* Beyond one block of a GPU, around the ends of its tiles, and of several pairs of them. */
enum { ROWS_MAX = 20000, ONE_BLOCK_ROWS = 4097 /* one is slow on the fake driver */ };
static const uint32_t sizes[] = {0,   1,    2,    3,    7,    8,    9,    31,   48,    49,    64,
                                 257, 1000, 1001, 2047, 2048, 2049, 4097, 8192, 12288, 12289, ROWS_MAX};
#define SIZES (sizeof sizes / sizeof *sizes)

typedef struct fixture {
    device_fixture on;
    uint32_t rows, found;
    uint32_t a[ROWS_MAX], b[ROWS_MAX], c[ROWS_MAX], scratch[2 * ROWS_MAX];
    float key[ROWS_MAX];
    uint8_t mask[ROWS_MAX];
} fixture;

static uint64_t random_state = 20260401; /* the seed of every test here */

static uint32_t random_bits(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 32);
}

static int set_up(void **state)
{
    *state = open_fixture(sizeof(fixture), 0);
    return *state ? 0 : -1;
}

/* By one block and by many, whatever the scratch held. */
static void test_compact(void **state)
{
    fixture *f = *state;
    for (uint32_t s = 0; s < SIZES; s++)
        for (uint32_t density = 0; density <= 9; density++) {
            uint32_t *scratch = density >= 5 ? f->scratch : NULL;
            const uint32_t rows = sizes[s];
            if (!scratch && rows > ONE_BLOCK_ROWS) continue;
            uint32_t expected = 0;
            f->rows = rows;
            f->found = 99;
            memset(f->scratch, 0xA5, sizeof f->scratch);
            for (uint32_t i = 0; i < rows; i++) {
                f->mask[i] = (uint8_t)((random_bits() & 3) < density % 5 ? 1u << (i & 7) : 0u);
                if (f->mask[i]) f->b[expected++] = i;
            }
            const stoa_compact args = {f->mask, &f->rows, ROWS_MAX, f->a, &f->found, scratch};
            assert_int_equal(stoa_algo_compact(f->on.queue, &args, NULL), STOA_OK);
            assert_int_equal(f->found, expected);
            assert_memory_equal(f->a, f->b, expected * sizeof *f->a);
        }
}

/* Every form that this processor runs, whichever is the best; the word behind the last index is left alone. */
static void test_compact_forms(void **state)
{
    (void)state;
    enum { MOST = 300 };
    static uint8_t mask[MOST];
    static uint32_t index[MOST + 1], expected[MOST];
    for (size_t form = 0; form < COMPACT_FORMS; form++) {
        if (!compact_forms[form].runs()) {
            print_message("compaction '%s' left out: this processor lacks it\n", compact_forms[form].name);
            continue;
        }
        for (uint32_t rows = 0; rows <= MOST; rows++) {
            uint32_t count = 0;
            for (uint32_t i = 0; i < rows; i++) {
                mask[i] = (uint8_t)(random_bits() % (rows % 5 + 1) ? 1u << (i & 7) : 0u);
                if (mask[i]) expected[count++] = i;
            }
            index[rows] = 12345;
            assert_int_equal(compact_forms[form].compact(mask, rows, index), count);
            assert_memory_equal(index, expected, count * sizeof *index);
            assert_int_equal(index[rows], 12345);
        }
    }
}

static void test_counts_are_clipped(void **state)
{
    fixture *f = *state;
    f->rows = 1000;
    f->found = 0;
    memset(f->mask, 1, sizeof f->mask);
    f->a[10] = 12345;
    const stoa_compact args = {f->mask, &f->rows, 10, f->a, &f->found, f->scratch};
    assert_int_equal(stoa_algo_compact(f->on.queue, &args, NULL), STOA_OK);
    assert_int_equal(f->found, 10);
    assert_int_equal(f->a[10], 12345);
    const stoa_compact none = {NULL, NULL, 0, NULL, &f->found, NULL};
    assert_int_equal(stoa_algo_compact(f->on.queue, &none, NULL), STOA_OK);
    assert_int_equal(f->found, 0);
}

static void test_scan(void **state)
{
    fixture *f = *state;
    for (uint32_t s = 0; s < SIZES; s++)
        for (uint32_t exclusive = 0; exclusive <= 1; exclusive++)
            for (int form = 0; form <= 3; form++) {
                const int in_place = form & 1, wide = form & 2;
                const uint32_t rows = f->rows = sizes[s];
                if (!wide && rows > ONE_BLOCK_ROWS) continue;
                uint32_t sum = 0;
                memset(f->scratch, 0xA5, sizeof f->scratch);
                for (uint32_t i = 0; i < rows; i++) {
                    f->a[i] = random_bits(); /* wraps */
                    f->b[i] = exclusive ? sum : sum + f->a[i];
                    sum += f->a[i];
                }
                uint32_t *out = in_place ? f->a : f->c;
                const stoa_scan args = {f->a, &f->rows, ROWS_MAX, exclusive, out, wide ? f->scratch : NULL};
                assert_int_equal(stoa_algo_scan(f->on.queue, &args, NULL), STOA_OK);
                assert_memory_equal(out, f->b, rows * sizeof *out);
            }
}

static void test_gather(void **state)
{
    fixture *f = *state;
    for (uint32_t bytes = 1; bytes <= 8; bytes *= 2)
        for (uint32_t s = 0; s < SIZES; s++) {
            const uint32_t rows = f->rows = sizes[s], elements = ROWS_MAX * 4 / 8;
            uint8_t *in = (uint8_t *)f->a, *out = (uint8_t *)f->scratch;
            for (uint32_t i = 0; i < ROWS_MAX; i++) f->a[i] = random_bits();
            for (uint32_t i = 0; i < rows; i++) f->b[i] = random_bits() % elements;
            const stoa_gather args = {in, out, bytes, f->b, &f->rows, ROWS_MAX};
            assert_int_equal(stoa_algo_gather(f->on.queue, &args, NULL), STOA_OK);
            for (uint32_t i = 0; i < rows; i++) assert_memory_equal(out + i * bytes, in + f->b[i] * bytes, bytes);
        }
}

static void test_histogram(void **state)
{
    fixture *f = *state;
    static const float special[] = {-INFINITY, INFINITY, NAN, -1.0f, 3.0f, 2.9999998f, -1.0000001f, 0.0f};
    for (uint32_t s = 0; s < SIZES; s++)
        for (uint32_t clamp = 0; clamp <= 1; clamp++) {
            const uint32_t rows = f->rows = sizes[s], bins = 7;
            uint32_t expected[7] = {0};
            for (uint32_t i = 0; i < rows; i++) {
                const float x = i % 5 == 4 ? special[random_bits() % 8] : (float)(random_bits() % 6000) * 1e-3f - 2.0f;
                f->key[i] = x;
                if (x >= -1.0f && x < 3.0f) {
                    const uint32_t bin = (uint32_t)((x + 1.0f) * (7.0f / 4.0f));
                    expected[bin < bins ? bin : bins - 1]++;
                } else if (clamp) {
                    expected[x < -1.0f ? 0 : bins - 1]++;
                }
            }
            memset(f->a, 0xFF, sizeof f->a);
            const stoa_histogram args = {f->key, &f->rows, ROWS_MAX, bins, clamp, -1.0f, 3.0f, f->a};
            assert_int_equal(stoa_algo_histogram(f->on.queue, &args, NULL), STOA_OK);
            assert_memory_equal(f->a, expected, sizeof expected);
        }
}

/* The order that algo.h states, written as a comparison: true when row j must not stand behind row i. */
static int in_order(const float *key, uint32_t i, uint32_t j)
{
    const int nan_i = isnan(key[i]) != 0, nan_j = isnan(key[j]) != 0;
    if (nan_i || nan_j) return nan_i && nan_j ? i < j : nan_j;
    if (key[i] != key[j]) return key[i] < key[j];
    const int minus_i = signbit(key[i]) != 0, minus_j = signbit(key[j]) != 0;
    return minus_i != minus_j ? minus_i : i < j;
}

static void fill_keys(float *key, uint32_t rows, uint32_t kind)
{
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t bits = random_bits();
        if (kind == 1) bits = random_bits() % 5 ? bits : 0x80000000u * (bits & 1); /* zeros of both signs */
        if (kind == 2) bits = 0x3F800000u;                                         /* all alike */
        if (kind == 3) bits = 0x3F800000u + (bits & 255);                          /* one digit only */
        if (kind == 4) bits |= 0x7F800000u; /* infinity and NaN of both signs */
        memcpy(&key[i], &bits, sizeof bits);
        if (kind >= 5) key[i] = (float)(int32_t)bits * 0x1p-30f; /* evenly spread */
        if (kind == 6 && i == rows / 2) key[i] = 1e30f;          /* seen from here the others are all alike */
        if (kind == 7) key[i] = floorf(8 * key[i]) * 0.25f;      /* many times the same */
    }
}

/* The only permutation of the rows that is in order. */
static void check_sort(fixture *f, uint32_t rows, uint32_t capacity)
{
    const stoa_sort args = {f->key, &f->rows, capacity, f->a, f->scratch};
    f->rows = rows;
    assert_int_equal(stoa_algo_sort(f->on.queue, &args, NULL), STOA_OK);
    memset(f->mask, 0, sizeof f->mask);
    for (uint32_t i = 0; i < rows; i++) {
        assert_true(f->a[i] < rows);
        assert_int_equal(f->mask[f->a[i]]++, 0);
        if (i > 0) assert_true(in_order(f->key, f->a[i - 1], f->a[i]));
    }
}

/* The capacity decides how often a GPU merges, and whether it does at all. */
static void test_sort(void **state)
{
    fixture *f = *state;
    for (uint32_t s = 0; s < SIZES; s++)
        for (uint32_t kind = 0; kind < 8; kind++) {
            fill_keys(f->key, sizes[s], kind);
            check_sort(f, sizes[s], ROWS_MAX);
            if (sizes[s] <= ONE_BLOCK_ROWS || kind < 2) check_sort(f, sizes[s], sizes[s]);
        }
}

static void test_errors(void **state)
{
    fixture *f = *state;
    stoa_error err;
    f->rows = 1;
    const stoa_compact compact = {f->mask, &f->rows, 1, NULL, f->a, NULL};
    assert_int_equal(stoa_algo_compact(f->on.queue, &compact, &err), STOA_EINVAL);
    assert_non_null(strstr(err.message, "index"));
    assert_int_equal(stoa_algo_compact(NULL, &compact, &err), STOA_EINVAL);
    const stoa_scan scan = {f->a, NULL, 1, 0, f->b, NULL};
    assert_int_equal(stoa_algo_scan(f->on.queue, &scan, &err), STOA_EINVAL);
    const stoa_gather gather = {f->a, f->b, 3, f->c, &f->rows, 1};
    assert_int_equal(stoa_algo_gather(f->on.queue, &gather, &err), STOA_EINVAL);
    assert_non_null(strstr(err.message, "3 bytes"));
    stoa_histogram histogram = {f->key, &f->rows, 1, 0, 0, 0.0f, 1.0f, f->a};
    assert_int_equal(stoa_algo_histogram(f->on.queue, &histogram, &err), STOA_EINVAL);
    histogram.bins = 4;
    histogram.high = 0.0f;
    assert_int_equal(stoa_algo_histogram(f->on.queue, &histogram, &err), STOA_EINVAL);
    histogram.high = NAN;
    assert_int_equal(stoa_algo_histogram(f->on.queue, &histogram, &err), STOA_EINVAL);
    const stoa_sort sort = {f->key, &f->rows, 1, f->a, NULL};
    assert_int_equal(stoa_algo_sort(f->on.queue, &sort, &err), STOA_EINVAL);
}

/* Row numbers of 32 bits would begin anew behind more rows than a layout can have. */
static void test_too_many_rows(void **state)
{
    fixture *f = *state;
    stoa_error err;
    const uint32_t most = STOA_LAYOUT_ROWS_MAX;
    f->rows = 3;
    stoa_scan scan = {f->a, &f->rows, most, 0, f->b, NULL};
    assert_int_equal(stoa_algo_scan(f->on.queue, &scan, &err), STOA_OK);
    scan.capacity = most + 1;
    assert_int_equal(stoa_algo_scan(f->on.queue, &scan, &err), STOA_ELIMIT);
    assert_non_null(strstr(err.message, "2147483648 rows, at most 2147483647"));
    const stoa_compact compact = {f->mask, &f->rows, UINT32_MAX, f->a, &f->found, f->scratch};
    const stoa_gather gather = {f->a, f->b, 4, f->c, &f->rows, UINT32_MAX};
    const stoa_histogram histogram = {f->key, &f->rows, UINT32_MAX, 4, 0, 0.0f, 1.0f, f->a};
    const stoa_sort sort = {f->key, &f->rows, UINT32_MAX, f->a, f->scratch};
    assert_int_equal(stoa_algo_compact(f->on.queue, &compact, &err), STOA_ELIMIT);
    assert_int_equal(stoa_algo_gather(f->on.queue, &gather, &err), STOA_ELIMIT);
    assert_int_equal(stoa_algo_histogram(f->on.queue, &histogram, &err), STOA_ELIMIT);
    assert_int_equal(stoa_algo_sort(f->on.queue, &sort, &err), STOA_ELIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_compact, set_up, close_fixture),
        cmocka_unit_test(test_compact_forms),
        cmocka_unit_test_setup_teardown(test_counts_are_clipped, set_up, close_fixture),
        cmocka_unit_test_setup_teardown(test_scan, set_up, close_fixture),
        cmocka_unit_test_setup_teardown(test_gather, set_up, close_fixture),
        cmocka_unit_test_setup_teardown(test_histogram, set_up, close_fixture),
        cmocka_unit_test_setup_teardown(test_sort, set_up, close_fixture),
        cmocka_unit_test_setup_teardown(test_errors, set_up, close_fixture),
        cmocka_unit_test_setup_teardown(test_too_many_rows, set_up, close_fixture),
    };
    require_device();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
