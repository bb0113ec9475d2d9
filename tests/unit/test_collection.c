/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks in one blob, foreign blobs, padding, copies between sizes, records and back. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

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
#define STOA_LAYOUT simple_256
#define STOA_LAYOUT_DEF "data/simple.def"
#define STOA_LAYOUT_ALIGN 256
#include "stoa/layout_gen.h"
#define STOA_LAYOUT simple_4096
#define STOA_LAYOUT_DEF "data/simple.def"
#define STOA_LAYOUT_ALIGN 4096
#include "stoa/layout_gen.h"
#define STOA_LAYOUT alltypes
#define STOA_LAYOUT_DEF "data/alltypes.def"
#include "stoa/layout_gen.h"

static const stoa_place HOST = {STOA_PLACE_HOST, 0};
static const stoa_place CUDA = {STOA_PLACE_CUDA, 0};
static stoa_device *device;
static stoa_queue *queue;

static void assert_ok(stoa_status status, const stoa_error *err)
{
    if (status != STOA_OK) fail_msg("%s: %s (%s)", stoa_status_name(status), err->message, err->where);
}

static void assert_error(stoa_status status, stoa_status expected, const stoa_error *err, const char *part)
{
    if (status != expected) fail_msg("%s instead of %s", stoa_status_name(status), stoa_status_name(expected));
    if (!strstr(err->message, part)) fail_msg("'%s' is not in '%s'", part, err->message);
}

static stoa_collection *create(const stoa_block *blocks, uint32_t count)
{
    stoa_error err;
    stoa_collection *collection;
    assert_ok(stoa_collection_create(queue, STOA_MEMORY_DEVICE, blocks, count, &collection, &err), &err);
    return collection;
}

static void wait(void)
{
    stoa_error err;
    assert_ok(stoa_queue_wait(queue, &err), &err);
}

/* Tests run once on a blocking queue and once on an async one. */
static int open_device(stoa_queue_kind kind)
{
    if (stoa_device_open("host", &device, NULL) != STOA_OK) return -1;
    return stoa_queue_create(device, kind, &queue, NULL) == STOA_OK ? 0 : -1;
}

static int open_blocking(void **state)
{
    (void)state;
    return open_device(STOA_QUEUE_BLOCKING);
}

static int open_async(void **state)
{
    (void)state;
    return open_device(STOA_QUEUE_ASYNC);
}

static int close_device(void **state)
{
    (void)state;
    stoa_queue_destroy(queue);
    stoa_device_close(device);
    return 0;
}

/* Inventory 4.6: sizes {10, 20, 1} make 512 + 1152 + 384 bytes; each block starts where the one before it
 * ends. */
static void test_blocks(void **state)
{
    (void)state;
    const stoa_block blocks[] = {
        {"position", &position_layout, 10, 0, NULL}, {"pca", &pca_layout, 20, 0, NULL}, {"scalars", &event_scalars_layout, 1, 0, NULL}};
    stoa_error err;
    size_t bytes;
    assert_ok(stoa_blocks_bytes(blocks, 3, &bytes, &err), &err);
    assert_int_equal(bytes, 2048);
    stoa_collection *event = create(blocks, 3);
    assert_int_equal(stoa_collection_bytes(event), 2048);
    assert_int_equal(stoa_collection_place(event).type, STOA_PLACE_HOST);
    assert_non_null(stoa_collection_buffer(event));
    char *blob = stoa_collection_data(event);
    assert_int_equal((uintptr_t)blob % 128, 0);

    position p;
    pca c;
    event_scalars s;
    assert_ok(stoa_collection_view(event, "position", &p.head, &err), &err);
    assert_ok(stoa_collection_view(event, "pca", &c.head, &err), &err);
    assert_ok(stoa_collection_view(event, "scalars", &s.head, &err), &err);
    assert_ptr_equal(p.x, blob);
    assert_ptr_equal(c.vector_1, blob + 512);
    assert_ptr_equal(c.candidate_direction.data, blob + 512 + 384);
    assert_int_equal(c.candidate_direction.stride, 32);
    assert_ptr_equal(s.id, blob + 512 + 1152);
    assert_int_equal(c.head.rows, 20);
    assert_ok(stoa_collection_view(event, NULL, &p.head, &err), &err);
    assert_ptr_equal(p.x, blob);
    assert_ok(stoa_collection_view(event, "", &p.head, &err), &err);
    assert_ptr_equal(p.head.layout, &position_layout);
    stoa_view_head head;
    assert_ok(stoa_collection_block(event, "pca", &head, &err), &err);
    assert_ptr_equal(head.blob, blob + 512);
    assert_int_equal(head.flags, 0);
    assert_error(stoa_collection_view(event, "hits", &p.head, &err), STOA_ENAME, &err,
                 "no block 'hits'; it has 'position', 'pca', 'scalars'");
    assert_null(p.head.layout);
    stoa_collection_destroy(event);
    stoa_collection_destroy(NULL);
}

static void test_nested(void **state)
{
    (void)state;
    const stoa_block inner[] = {
        {"position", &position_layout, 11, 0, NULL}, {"pca", &pca_layout, 12, 0, NULL}, {"scalars", &event_scalars_layout, 13, 0, NULL}};
    const stoa_block outer[] = {{"blocks", NULL, 0, 3, inner}, {"simple", &simple_layout, 14, 0, NULL}};
    stoa_error err;
    stoa_collection *event = create(outer, 2);
    char *blob = stoa_collection_data(event);
    assert_int_equal(stoa_collection_bytes(event), 512 + 768 + 384 + 512);
    position p;
    pca c;
    simple t;
    assert_ok(stoa_collection_view(event, "blocks/position", &p.head, &err), &err);
    assert_ok(stoa_collection_view(event, "blocks/pca", &c.head, &err), &err);
    assert_ok(stoa_collection_view(event, "simple", &t.head, &err), &err);
    assert_int_equal(p.head.rows, 11);
    assert_ptr_equal(c.vector_1, blob + 512);
    assert_ptr_equal(t.x, blob + 512 + 768 + 384);
    assert_int_equal(t.head.rows, 14);
    assert_int_equal(stoa_collection_view(event, "blocks", &p.head, &err), STOA_ENAME);
    assert_int_equal(stoa_collection_view(event, "position", &p.head, &err), STOA_ENAME);
    stoa_collection_destroy(event);
}

static void test_alignments(void **state)
{
    (void)state;
    stoa_error err;
    const stoa_block wide[] = {{"a", &simple_256_layout, 10, 0, NULL}, {"b", &simple_256_layout, 65, 0, NULL}};
    const stoa_block page[] = {{"a", &simple_4096_layout, 10, 0, NULL}};
    stoa_collection *collection = create(wide, 2);
    simple_256 b;
    assert_ok(stoa_collection_view(collection, "b", &b.head, &err), &err);
    assert_ptr_equal(b.x, (char *)stoa_collection_data(collection) + 1024);
    assert_int_equal(stoa_collection_bytes(collection), 1024 + 2048);
    stoa_collection_destroy(collection);

    collection = create(page, 1);
    simple_4096 a;
    assert_ok(stoa_collection_view(collection, "a", &a.head, &err), &err);
    assert_int_equal((uintptr_t)a.x % 4096, 0);
    assert_int_equal(stoa_collection_bytes(collection), 4 * 4096);
    assert_ok(stoa_collection_zero(collection, queue, 0, &err), &err);
    wait();
    stoa_collection_destroy(collection);

    const stoa_block mixed[] = {{"a", &simple_layout, 10, 0, NULL}, {"b", &simple_256_layout, 10, 0, NULL}};
    size_t bytes;
    assert_error(stoa_blocks_bytes(mixed, 2, &bytes, &err), STOA_EALIGN, &err, "block 'b': alignment 256");
}

static void test_bad_blocks(void **state)
{
    (void)state;
    stoa_error err;
    size_t bytes = 1;
    stoa_block blocks[] = {{"a", &simple_layout, 10, 0, NULL}, {"a", &simple_layout, 10, 0, NULL}};
    assert_error(stoa_blocks_bytes(blocks, 2, &bytes, &err), STOA_ENAME, &err, "blocks 0 and 1 are both named 'a'");
    assert_int_equal(bytes, 0);
    blocks[1].name = "";
    assert_error(stoa_blocks_bytes(blocks, 2, &bytes, &err), STOA_EINVAL, &err, "block 1");
    blocks[1].name = "b/c";
    assert_error(stoa_blocks_bytes(blocks, 2, &bytes, &err), STOA_EINVAL, &err, "'b/c'");
    blocks[1].name = "b";
    blocks[1].layout = NULL;
    assert_error(stoa_blocks_bytes(blocks, 2, &bytes, &err), STOA_EINVAL, &err, "block 'b': neither");
    blocks[1].blocks = blocks; /* a list that holds itself */
    blocks[1].block_count = 2;
    assert_error(stoa_blocks_bytes(blocks, 2, &bytes, &err), STOA_ELIMIT, &err, "deeper than 8");
    blocks[1].layout = &simple_layout;
    assert_error(stoa_blocks_bytes(blocks, 2, &bytes, &err), STOA_EINVAL, &err, "both a layout and nested");
    assert_error(stoa_blocks_bytes(blocks, 0, &bytes, &err), STOA_EINVAL, &err, "empty");
    blocks[0].rows = UINT32_MAX;
    assert_error(stoa_blocks_bytes(blocks, 1, &bytes, &err), STOA_ELIMIT, &err, "4294967295 rows");

    stoa_column_desc huge = {"x", "", "", STOA_INT8, STOA_KIND_VECTOR, {UINT32_MAX, 1}, 0, 0};
    const stoa_layout layout = {sizeof layout, 1, 1u << 30, 0, "huge", &huge};
    const stoa_block many[] = {{"a", &layout, 1u << 30, 0, NULL}, {"b", &layout, 1u << 30, 0, NULL}, {"c", &layout, 1u << 30, 0, NULL}};
    assert_error(stoa_blocks_bytes(many, 3, &bytes, &err), STOA_ELIMIT, &err, "block 'c'");
    stoa_collection *collection = (void *)&bytes;
    assert_int_equal(stoa_collection_create(queue, STOA_MEMORY_DEVICE, many, 3, &collection, &err), STOA_ELIMIT);
    assert_null(collection);
    assert_int_equal(stoa_collection_create(NULL, STOA_MEMORY_DEVICE, blocks, 1, &collection, &err), STOA_EINVAL);
    char name[400];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = 0;
    blocks[0] = (stoa_block){name, &simple_layout, 1, 0, NULL};
    assert_error(stoa_blocks_bytes(blocks, 1, &bytes, &err), STOA_ELIMIT, &err, "399 characters");
}

static void test_adopt(void **state)
{
    (void)state;
    stoa_error err;
    const stoa_block block = {"t", &simple_layout, 10, 0, NULL};
    char *blob = aligned_alloc(128, 1024);
    memset(blob, 0, 1024);
    stoa_collection *collection;
    assert_error(stoa_collection_adopt(blob, 511, HOST, 0, &block, 1, &collection, &err), STOA_ESHAPE, &err, "511 bytes given, 512 needed");
    assert_null(collection);
    assert_error(stoa_collection_adopt(blob + 4, 1000, HOST, 0, &block, 1, &collection, &err), STOA_EALIGN, &err, "128");
    assert_error(stoa_collection_adopt(NULL, 1000, HOST, 0, &block, 1, &collection, &err), STOA_EINVAL, &err, "NULL");
    assert_ok(stoa_collection_adopt(blob, 1024, HOST, 0, &block, 1, &collection, &err), &err);
    assert_null(stoa_collection_buffer(collection));
    assert_int_equal(stoa_collection_bytes(collection), 512);
    simple t;
    assert_ok(stoa_collection_view(collection, "t", &t.head, &err), &err);
    t.t[9] = 5.0f;
    assert_memory_equal(blob + 3 * 128 + 36, &t.t[9], sizeof(float));
    stoa_collection_destroy(collection);
    free(blob);
}

static void test_read_only(void **state)
{
    (void)state;
    stoa_error err;
    const stoa_block block = {"t", &simple_layout, 10, 0, NULL};
    char *blob = aligned_alloc(128, 512);
    memset(blob, 0, 512);
    stoa_collection *collection, *other = create(&block, 1);
    assert_ok(stoa_collection_adopt(blob, 512, HOST, 1, &block, 1, &collection, &err), &err);
    simple t;
    simple_const c;
    stoa_view_head head;
    assert_error(stoa_collection_view(collection, "t", &t.head, &err), STOA_ECONST, &err, "block 't'");
    assert_null(t.head.layout);
    assert_ok(stoa_collection_view_const(collection, "t", &c.head, &err), &err);
    assert_true(c.head.flags & STOA_VIEW_CONST);
    assert_ok(stoa_collection_block(collection, "t", &head, &err), &err);
    assert_true(head.flags & STOA_VIEW_CONST);
    assert_error(stoa_collection_zero(collection, queue, 0, &err), STOA_ECONST, &err, "block 't' at 0x");
    assert_int_equal(stoa_collection_zero(collection, queue, 1, &err), STOA_ECONST);
    assert_error(stoa_collection_copy(queue, collection, other, &err), STOA_ECONST, &err, "block 't' at 0x");
    float record[40] = {0};
    assert_int_equal(stoa_soa_from_aos(queue, &head, record, 16, &err), STOA_ECONST);
    assert_int_equal(stoa_soa_from_aos(queue, &c.head, record, 16, &err), STOA_ECONST);
    assert_ok(stoa_soa_to_aos(queue, &c.head, record, 16, &err), &err);
    assert_ok(stoa_collection_copy(queue, other, collection, &err), &err);
    wait();
    stoa_collection_destroy(collection);
    stoa_collection_destroy(other);
    free(blob);
}

static void test_places(void **state)
{
    (void)state;
    stoa_error err;
    const stoa_block block = {"t", &simple_layout, 10, 0, NULL};
    char *blob = aligned_alloc(128, 512);
    stoa_collection *far, *near = create(&block, 1);
    assert_ok(stoa_collection_adopt(blob, 512, CUDA, 0, &block, 1, &far, &err), &err);
    assert_error(stoa_collection_zero(far, queue, 0, &err), STOA_EPLACE, &err, "place 2:0, queue of place 1:0");
    assert_error(stoa_collection_copy(queue, far, near, &err), STOA_EPLACE, &err, "destination");
    assert_error(stoa_collection_copy(queue, near, far, &err), STOA_EPLACE, &err, "source");
    simple t;
    float record[40];
    assert_ok(stoa_collection_view(far, "t", &t.head, &err), &err);
    assert_int_equal(stoa_soa_to_aos(queue, &t.head, record, 16, &err), STOA_EPLACE);
    stoa_collection_destroy(far);
    stoa_collection_destroy(near);
    free(blob);
}

/* Every byte is either a value or padding: fill all, zero the padding, count what stayed. */
static void test_zero(void **state)
{
    (void)state;
    stoa_error err;
    const stoa_block blocks[] = {{"a", &alltypes_layout, 37, 0, NULL}, {"b", &pca_layout, 0, 0, NULL}, {"c", &pca_layout, 32, 0, NULL}};
    stoa_collection *collection = create(blocks, 3);
    unsigned char *blob = stoa_collection_data(collection);
    const size_t bytes = stoa_collection_bytes(collection);
    memset(blob, 0xff, bytes);
    assert_ok(stoa_collection_zero(collection, queue, 1, &err), &err);
    wait();
    size_t kept = 0;
    for (size_t i = 0; i < bytes; i++) {
        assert_true(blob[i] == 0xff || blob[i] == 0);
        kept += blob[i] == 0xff;
    }
    size_t values = 2; /* the scalar */
    for (uint32_t i = 0; i < 17; i++) {
        const stoa_column_desc *column = &alltypes_columns[i];
        values += 37 * stoa_dtype_bytes(column->dtype) * column->extent[0] * column->extent[1];
    }
    assert_int_equal(kept, values + 32 * (3 * 4 + 3 * 8));
    alltypes t;
    assert_ok(stoa_collection_view(collection, "a", &t.head, &err), &err);
    assert_int_equal(t.i8[36], -1);
    assert_int_equal(t.i8[37], 0);
    assert_int_equal(t.v8.data[2 * t.v8.stride + 36], -1);
    assert_int_equal(t.v8.data[1 * t.v8.stride + 37], 0);

    assert_ok(stoa_collection_zero(collection, queue, 0, &err), &err);
    wait();
    for (size_t i = 0; i < bytes; i++) assert_int_equal(blob[i], 0);
    stoa_collection_destroy(collection);
}

static void fill(stoa_collection *collection, uint32_t rows, float base)
{
    stoa_error err;
    position p;
    pca c;
    assert_ok(stoa_collection_view(collection, "position", &p.head, &err), &err);
    assert_ok(stoa_collection_view(collection, "pca", &c.head, &err), &err);
    *p.detector_type = (int)base;
    for (uint32_t i = 0; i < rows; i++) {
        p.x[i] = base + (float)i;
        p.z[i] = base * 2 + (float)i;
    }
    for (uint32_t i = 0; i < 20; i++)
        for (uint32_t r = 0; r < 3; r++) c.candidate_direction.data[r * c.candidate_direction.stride + i] = (double)base + r * 100 + i;
}

/* Up, down, to the same size, to and from nothing. */
static void test_copy(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {33, 100, 33, 7, 0, 50};
    stoa_error err;
    stoa_block blocks[] = {{"position", &position_layout, 33, 0, NULL}, {"pca", &pca_layout, 20, 0, NULL}};
    stoa_collection *src = create(blocks, 2);
    assert_ok(stoa_collection_zero(src, queue, 0, &err), &err);
    wait();
    fill(src, 33, 1000);
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        blocks[0].rows = sizes[k];
        stoa_collection *dst = create(blocks, 2);
        assert_ok(stoa_collection_zero(dst, queue, 0, &err), &err);
        assert_ok(stoa_collection_copy(queue, dst, src, &err), &err);
        wait();
        position p;
        pca c;
        assert_ok(stoa_collection_view(dst, "position", &p.head, &err), &err);
        assert_ok(stoa_collection_view(dst, "pca", &c.head, &err), &err);
        assert_int_equal(*p.detector_type, 1000);
        for (uint32_t i = 0; i < sizes[k]; i++) assert_true(p.z[i] == (i < 33 ? 2000 + (float)i : 0));
        for (uint32_t i = 0; i < 20; i++) assert_true(c.candidate_direction.data[2 * c.candidate_direction.stride + i] == 1200 + i);
        stoa_collection_destroy(dst);
    }
    stoa_collection_destroy(src);
}

static void test_copy_errors(void **state)
{
    (void)state;
    stoa_error err;
    const stoa_block one[] = {{"a", &position_layout, 5, 0, NULL}};
    const stoa_block two[] = {{"a", &position_layout, 5, 0, NULL}, {"b", &pca_layout, 5, 0, NULL}};
    const stoa_block named[] = {{"z", &position_layout, 5, 0, NULL}};
    const stoa_block other[] = {{"a", &simple_layout, 5, 0, NULL}};
    const stoa_layout renamed = {sizeof renamed, 4, 128, sizeof(position), "copy", position_columns};
    const stoa_block twin[] = {{"a", &renamed, 5, 0, NULL}};
    stoa_collection *a = create(one, 1), *b = create(two, 2), *c = create(named, 1), *d = create(other, 1), *e = create(twin, 1);
    assert_error(stoa_collection_copy(queue, a, b, &err), STOA_ESHAPE, &err, "1 blocks, source has 2");
    assert_error(stoa_collection_copy(queue, a, c, &err), STOA_ESHAPE, &err, "'a', source has 'z'");
    assert_error(stoa_collection_copy(queue, a, d, &err), STOA_ESHAPE, &err, "'detector_type' int32, source has 't'");
    assert_error(stoa_collection_copy(queue, a, a, &err), STOA_EOVERLAP, &err, "512 bytes");
    assert_int_equal(stoa_collection_copy(NULL, a, c, &err), STOA_EINVAL);
    assert_ok(stoa_collection_zero(e, queue, 0, &err), &err);
    assert_ok(stoa_collection_copy(queue, a, e, &err), &err); /* another table with the same columns */
    wait();
    stoa_collection_destroy(a);
    stoa_collection_destroy(b);
    stoa_collection_destroy(c);
    stoa_collection_destroy(d);
    stoa_collection_destroy(e);
}

static void test_record_errors(void **state)
{
    (void)state;
    stoa_error err;
    const stoa_block block = {"t", &simple_layout, 10, 0, NULL};
    stoa_collection *collection = create(&block, 1);
    simple t;
    assert_ok(stoa_collection_view(collection, "t", &t.head, &err), &err);
    float records[44] = {0};
    assert_error(stoa_soa_from_aos(queue, &t.head, records, 12, &err), STOA_ESHAPE, &err, "12 bytes given, 16 needed");
    assert_error(stoa_soa_from_aos(queue, &t.head, (char *)records + 2, 16, &err), STOA_EALIGN, &err, "alignment 4");
    assert_error(stoa_soa_from_aos(queue, &t.head, NULL, 16, &err), STOA_EINVAL, &err, "records");
    assert_error(stoa_soa_to_aos(queue, &t.head, t.y, 16, &err), STOA_EOVERLAP, &err, "overlap");
    assert_int_equal(stoa_soa_to_aos(NULL, &t.head, records, 16, &err), STOA_EINVAL);
    assert_int_equal(stoa_soa_to_aos(queue, NULL, records, 16, &err), STOA_EINVAL);
    stoa_collection_destroy(collection);
}

#define TESTS \
    cmocka_unit_test(test_blocks), cmocka_unit_test(test_nested), cmocka_unit_test(test_alignments), cmocka_unit_test(test_bad_blocks), \
        cmocka_unit_test(test_adopt), cmocka_unit_test(test_read_only), cmocka_unit_test(test_places), cmocka_unit_test(test_zero), \
        cmocka_unit_test(test_copy), cmocka_unit_test(test_copy_errors), cmocka_unit_test(test_record_errors)

int main(void)
{
    const struct CMUnitTest tests[] = {TESTS};
    const int failed = cmocka_run_group_tests_name("blocking", tests, open_blocking, close_device);
    return failed + cmocka_run_group_tests_name("async", tests, open_async, close_device);
}
