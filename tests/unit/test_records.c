/* SPDX-License-Identifier: Apache-2.0 */
/* Records to columns and back, on every back end. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "device_under_test.h"
#include "stoa/collection.h"

#define STOA_LAYOUT position
#define STOA_LAYOUT_DEF "data/position.def"
#include "stoa/layout_gen.h"
#define STOA_LAYOUT pca
#define STOA_LAYOUT_DEF "data/pca.def"
#include "stoa/layout_gen.h"
#define STOA_LAYOUT event_scalars
#define STOA_LAYOUT_DEF "data/event_scalars.def"
#include "stoa/layout_gen.h"
#define STOA_LAYOUT simple
#define STOA_LAYOUT_DEF "data/simple.def"
#include "stoa/layout_gen.h"
#define STOA_LAYOUT alltypes
#define STOA_LAYOUT_DEF "data/alltypes.def"
#include "stoa/layout_gen.h"

static stoa_error err;
static stoa_device *device;
static stoa_queue *queue;
#define OK(call) \
    do { \
        if ((call) != STOA_OK) fail_msg("%s", err.message); \
    } while (0)

static int open_queue(void **state)
{
    (void)state;
    OK(stoa_device_open(device_under_test(), &device, &err));
    OK(stoa_queue_create(device, STOA_QUEUE_BLOCKING, &queue, &err));
    return 0;
}

static int close_queue(void **state)
{
    (void)state;
    stoa_queue_destroy(queue);
    stoa_device_close(device);
    return 0;
}

/* What stoa_layout_record_bytes promises: a C struct of these members. */
typedef struct alltypes_record {
    int8_t i8;
    int16_t i16;
    int32_t i32;
    int64_t i64;
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    stoa_half f16;
    float f32;
    double f64;
    stoa_bfloat16 bf16;
    bool flag;
    stoa_complex64 c64;
    stoa_complex128 c128;
    int8_t v8[3];
    stoa_complex128 m128[3][2]; /* column-major: two rows, three columns */
} alltypes_record;

static void check_round_trip(uint32_t rows)
{
    const stoa_block block = {"a", &alltypes_layout, rows, 0, NULL};
    const size_t record = sizeof(alltypes_record), bytes = rows * record;
    stoa_buffer *memory = make_shared(queue, 2 * (bytes + record));
    alltypes_record *in = stoa_buffer_data(memory), *out = in + rows + 1;
    stoa_collection *collection;
    OK(stoa_collection_create(queue, STOA_MEMORY_PINNED, &block, 1, &collection, &err));
    for (uint32_t i = 0; i < rows; i++) {
        in[i] = (alltypes_record){.i8 = (int8_t)i, .i64 = -(int64_t)i, .flag = i % 2, .f32 = (float)i * 0.5f};
        in[i].c128 = (stoa_complex128){i, -1.0 * i};
        in[i].v8[2] = (int8_t)(i + 1);
        in[i].m128[2][1].im = i * 3.0;
    }
    alltypes t;
    OK(stoa_collection_view(collection, "a", &t.head, &err));
    *t.s16 = 77;
    OK(stoa_soa_from_aos(queue, &t.head, in, record, &err));
    for (uint32_t i = 0; i < rows; i++) {
        assert_int_equal(t.i8[i], (int8_t)i);
        assert_int_equal(t.v8.data[2 * t.v8.stride + i], (int8_t)(i + 1));
        assert_true(t.m128.data[(1 + 2 * 2) * t.m128.stride + i].im == i * 3.0);
        assert_true(t.c128[i].re == i);
    }
    assert_int_equal(*t.s16, 77);
    memcpy(out, in, bytes); /* padding between members is not written */
    for (uint32_t i = 0; i < rows; i++) out[i].i8 = 99, out[i].m128[2][1].im = -1;
    OK(stoa_soa_to_aos(queue, &t.head, out, record, &err));
    assert_memory_equal(in, out, bytes + record);
    stoa_buffer_release(memory);
    stoa_collection_destroy(collection);
}

static void test_every_type(void **state)
{
    (void)state;
    assert_int_equal(stoa_layout_record_bytes(&alltypes_layout), sizeof(alltypes_record));
    assert_int_equal(stoa_layout_record_bytes(&simple_layout), 16);
    assert_int_equal(stoa_layout_record_bytes(&pca_layout), 40);
    assert_int_equal(stoa_layout_record_bytes(&position_layout), 12);
    assert_int_equal(stoa_layout_record_bytes(&event_scalars_layout), 0);
    assert_int_equal(stoa_layout_record_bytes(NULL), 0);
    check_round_trip(0);
    check_round_trip(1);
    check_round_trip(16);
    check_round_trip(1000);
}

/* More fields than one launch takes; columns of one byte and of eight in turn. */
static void test_many_columns(void **state)
{
    (void)state;
    enum { COLUMNS = 150, ROWS = 333 };
    static stoa_column_desc columns[COLUMNS];
    static char names[COLUMNS][8];
    for (uint32_t c = 0; c < COLUMNS; c++) {
        (void)snprintf(names[c], sizeof names[c], "c%u", c);
        columns[c] =
            (stoa_column_desc){.name = names[c], .unit = "", .doc = "", .dtype = c % 2 ? STOA_UINT64 : STOA_UINT8, .extent = {1, 1}};
    }
    const stoa_layout layout = {sizeof layout, COLUMNS, 0, 0, "many", columns};
    const size_t record = stoa_layout_record_bytes(&layout);
    assert_int_equal(record, COLUMNS / 2 * 16);
    size_t bytes;
    OK(stoa_layout_bytes(&layout, ROWS, &bytes, &err));
    stoa_buffer *memory = make_shared(queue, bytes + 2 * ROWS * record);
    uint8_t *blob = stoa_buffer_data(memory), *in = blob + bytes, *out = in + ROWS * record;
    const stoa_view_head head = {&layout, blob, ROWS, 0, stoa_buffer_place(memory)};
    for (uint32_t row = 0; row < ROWS; row++)
        for (uint32_t c = 0; c < COLUMNS; c += 2) {
            const uint64_t wide = (uint64_t)row << 32 | c;
            in[row * record + c / 2 * 16] = (uint8_t)(row + c);
            memcpy(in + row * record + c / 2 * 16 + 8, &wide, sizeof wide);
        }
    OK(stoa_soa_from_aos(queue, &head, in, record, &err));
    for (uint32_t c = 0; c < COLUMNS; c++) {
        stoa_column_geometry geometry;
        OK(stoa_layout_place(&layout, ROWS, c, &geometry, &err));
        for (uint32_t row = 0; row < ROWS; row++) {
            uint64_t wide = 0;
            memcpy(&wide, blob + geometry.offset_bytes + row * (c % 2 ? 8 : 1), c % 2 ? 8 : 1);
            assert_int_equal(wide, c % 2 ? (uint64_t)row << 32 | (c - 1) : (uint8_t)(row + c));
        }
    }
    OK(stoa_soa_to_aos(queue, &head, out, record, &err));
    assert_memory_equal(in, out, ROWS * record);
    stoa_buffer_release(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_type), cmocka_unit_test(test_many_columns)};
    require_device();
    return cmocka_run_group_tests(tests, open_queue, close_queue);
}
