/* SPDX-License-Identifier: Apache-2.0 */
/* DLPack out and in: one pointer on both sides, ownership ended once, foreign structs distrusted. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "stoa/collection.h"
#include "stoa/dlpack.h"
#include "stoa/memory.h"

#define STOA_LAYOUT datatypes
#define STOA_LAYOUT_DEF "data/datatypes.def"
#include "stoa/layout_gen.h"
#define STOA_LAYOUT alltypes
#define STOA_LAYOUT_DEF "data/alltypes.def"
#include "stoa/layout_gen.h"

static const stoa_place HOST = {STOA_PLACE_HOST, 0};

static void assert_ok(stoa_status status, const stoa_error *err)
{
    if (status != STOA_OK) fail_msg("%s: %s (%s)", stoa_status_name(status), err->message, err->where);
}

static void assert_error(stoa_status status, stoa_status expected, const stoa_error *err, const char *part)
{
    if (status != expected) fail_msg("%s instead of %s", stoa_status_name(status), stoa_status_name(expected));
    if (!strstr(err->message, part)) fail_msg("'%s' is not in '%s'", part, err->message);
}

static DLManagedTensorVersioned *export_ok(stoa_tensor tensor)
{
    stoa_error err;
    DLManagedTensorVersioned *managed;
    assert_ok(stoa_dlpack_export(tensor, NULL, &managed, &err), &err);
    return managed;
}

static void test_export(void **state)
{
    (void)state;
    stoa_error err;
    void *blob = aligned_alloc(128, 6912);
    datatypes t;
    datatypes_const c;
    assert_ok(stoa_layout_bind(&datatypes_layout, 64, blob, 6912, HOST, &t.head, &err), &err);
    assert_ok(stoa_layout_bind_const(&datatypes_layout, 64, blob, 6912, HOST, &c.head, &err), &err);
    DLManagedTensorVersioned *managed = export_ok(stoa_tensor_slice(STOA_COLUMNS(t, a, b), 5, 20));
    const DLTensor *tensor = &managed->dl_tensor;
    assert_int_equal(managed->version.major, 1);
    assert_int_equal(managed->flags, 0);
    assert_ptr_equal(tensor->data, t.a.data + 5);
    assert_int_equal(tensor->byte_offset, 0);
    assert_int_equal(tensor->device.device_type, 1);
    assert_int_equal(tensor->ndim, 3);
    assert_int_equal(tensor->dtype.code, 2);
    assert_int_equal(tensor->dtype.bits, 64);
    assert_int_equal(tensor->dtype.lanes, 1);
    const int64_t shape[] = {20, 2, 3}, strides[] = {1, 192, 64};
    assert_memory_equal(tensor->shape, shape, sizeof shape);
    assert_memory_equal(tensor->strides, strides, sizeof strides);
    managed->deleter(managed);

    managed = export_ok(STOA_COLUMNS(c, x, y));
    assert_int_equal(managed->flags, 1);
    managed->deleter(managed);
    managed = export_ok(stoa_tensor_slice(STOA_COLUMNS(t, x, y), 64, 1));
    assert_null(managed->dl_tensor.data); /* no elements */
    assert_int_equal(managed->dl_tensor.shape[0], 0);
    managed->deleter(managed);

    assert_error(stoa_dlpack_export(STOA_COLUMNS(t, x, number), NULL, &managed, &err), STOA_EDTYPE, &err, "int32");
    assert_null(managed);
    assert_int_equal(stoa_dlpack_export(STOA_COLUMNS(t, x, y, v), NULL, &managed, &err), STOA_ESHAPE);
    assert_int_equal(stoa_dlpack_export(STOA_COLUMNS(t, x), NULL, NULL, &err), STOA_EINVAL);
    free(blob);
}

/* Every type out and in again. */
static void test_round_trip(void **state)
{
    (void)state;
    stoa_error err;
    size_t bytes;
    assert_ok(stoa_layout_bytes(&alltypes_layout, 21, &bytes, &err), &err);
    void *blob = aligned_alloc(128, bytes);
    alltypes t;
    assert_ok(stoa_layout_bind(&alltypes_layout, 21, blob, bytes, HOST, &t.head, &err), &err);
    for (uint32_t i = 0; i < 15; i++) {
        stoa_column column, back;
        uint32_t count;
        assert_ok(stoa_view_find(&t.head, alltypes_columns[i].name, &column, &err), &err);
        DLManagedTensorVersioned *managed = export_ok(stoa_tensor_of(&column, 1));
        assert_ok(stoa_dlpack_columns(managed, &back, 1, &count, &err), &err);
        assert_int_equal(count, 1);
        assert_int_equal(back.dtype, column.dtype);
        assert_ptr_equal(back.data, column.data);
        assert_int_equal(back.rows, 21);
        assert_int_equal(back.row_stride, 1);
        assert_int_equal(back.flags, 0);
        managed->deleter(managed);
    }
    free(blob);
}

static void test_keep_alive(void **state)
{
    (void)state;
    stoa_error err;
    stoa_device *device;
    stoa_queue *queue;
    stoa_collection *collection;
    const stoa_block block = {"t", &datatypes_layout, 64, 0, NULL};
    assert_ok(stoa_device_open("host", &device, &err), &err);
    assert_ok(stoa_queue_create(device, STOA_QUEUE_BLOCKING, &queue, &err), &err);
    assert_ok(stoa_collection_create(queue, STOA_MEMORY_DEVICE, &block, 1, &collection, &err), &err);
    datatypes t;
    DLManagedTensorVersioned *managed;
    assert_ok(stoa_collection_view(collection, "t", &t.head, &err), &err);
    t.x[63] = 2.5;
    assert_ok(stoa_dlpack_export(STOA_COLUMNS(t, x), stoa_collection_buffer(collection), &managed, &err), &err);
    stoa_collection_destroy(collection); /* the export holds the buffer */
    assert_true(((const double *)managed->dl_tensor.data)[63] == 2.5);
    managed->deleter(managed);
    stoa_queue_destroy(queue);
    stoa_device_close(device);
}

/* A foreign row-major float tensor [4, 3]; each case spoils or bends it. */
typedef struct foreign {
    float values[12];
    int64_t shape[2], strides[2];
    DLManagedTensorVersioned managed;
} foreign;

static DLManagedTensorVersioned *make_foreign(foreign *f)
{
    *f = (foreign){.shape = {4, 3}, .strides = {3, 1}};
    f->managed.version = (DLPackVersion){1, 0};
    f->managed.dl_tensor = (DLTensor){f->values, {1, 0}, 2, {2, 32, 1}, f->shape, f->strides, 0};
    return &f->managed;
}

static void test_import(void **state)
{
    (void)state;
    stoa_error err;
    foreign f;
    stoa_column columns[4];
    uint32_t count;
    DLManagedTensorVersioned *managed = make_foreign(&f);
    for (int pass = 0; pass < 2; pass++) {
        assert_ok(stoa_dlpack_columns(managed, columns, 4, &count, &err), &err);
        assert_int_equal(count, 3);
        for (int i = 0; i < 3; i++) {
            assert_ptr_equal(columns[i].data, &f.values[i]);
            assert_int_equal(columns[i].row_stride, 3);
            assert_int_equal(columns[i].rows, 4);
            assert_int_equal(columns[i].dtype, STOA_FLOAT32);
        }
        managed->dl_tensor.strides = NULL; /* the second pass: compact */
    }
    managed->flags = 1;
    managed->dl_tensor.byte_offset = 4;
    managed->dl_tensor.ndim = 1;
    assert_ok(stoa_dlpack_columns(managed, columns, 1, &count, &err), &err);
    assert_int_equal(count, 1);
    assert_int_equal(columns[0].flags, STOA_COLUMN_CONST);
    assert_ptr_equal(columns[0].data, &f.values[1]);
    assert_int_equal(columns[0].row_stride, 1);

    managed = make_foreign(&f); /* column-major and backwards */
    f.strides[0] = 1;
    f.strides[1] = -4;
    managed->dl_tensor.data = f.values + 8;
    assert_ok(stoa_dlpack_columns(managed, columns, 3, &count, &err), &err);
    assert_ptr_equal(columns[2].data, f.values);
    managed = make_foreign(&f);
    f.shape[0] = 0;
    managed->dl_tensor.data = NULL;
    assert_ok(stoa_dlpack_columns(managed, columns, 3, &count, &err), &err);
    assert_int_equal(count, 3);
    assert_int_equal(columns[2].rows, 0);
    f.shape[1] = 0;
    assert_ok(stoa_dlpack_columns(managed, NULL, 0, &count, &err), &err);
    assert_int_equal(count, 0);
}

#define REFUSE(change, status, part) \
    do { \
        DLManagedTensorVersioned *m = make_foreign(&f); \
        change; \
        count = 9; \
        assert_error(stoa_dlpack_columns(m, columns, 4, &count, &err), status, &err, part); \
        assert_int_equal(count, 0); \
    } while (0)

static void test_import_errors(void **state)
{
    (void)state;
    stoa_error err;
    foreign f;
    stoa_column columns[4];
    uint32_t count;
    REFUSE(m->version.major = 2, STOA_EABI, "major version 2 given, 1 needed");
    REFUSE(m->version.major = 0, STOA_EABI, "major version 0 given, 1 needed");
    REFUSE(m->dl_tensor.ndim = 3, STOA_ESHAPE, "rank 3 given");
    REFUSE(m->dl_tensor.ndim = 0, STOA_ESHAPE, "rank 0 given");
    REFUSE(m->dl_tensor.ndim = -1, STOA_ESHAPE, "rank -1 given");
    REFUSE(m->dl_tensor.shape = NULL, STOA_EINVAL, "shape");
    REFUSE(f.shape[1] = 5, STOA_ESHAPE, "5 columns given, room for 4");
    REFUSE(f.shape[1] = -1, STOA_ESHAPE, "-1 columns");
    REFUSE(f.shape[0] = -1, STOA_ESHAPE, "-1 rows");
    REFUSE(f.shape[0] = INT64_MAX, STOA_ESHAPE, "9223372036854775807 rows given");
    REFUSE(f.strides[0] = INT64_MAX, STOA_ESHAPE, "address space");
    REFUSE(f.strides[1] = INT64_MIN, STOA_ESHAPE, "address space");
    REFUSE(m->dl_tensor.dtype.lanes = 4, STOA_EDTYPE, "4 lanes");
    REFUSE(m->dl_tensor.dtype.bits = 8, STOA_EDTYPE, "code 2 of 8 bits");
    REFUSE(m->dl_tensor.dtype.code = 3, STOA_EDTYPE, "code 3");
    REFUSE(m->dl_tensor.byte_offset = UINT64_MAX - 3, STOA_ESHAPE, "byte offset 18446744073709551612");
    REFUSE((m->dl_tensor.byte_offset = UINT64_MAX - 3, f.shape[0] = 0), STOA_ESHAPE, "byte offset 18446744073709551612");
    REFUSE(f.strides[1] = INT64_MIN / 16, STOA_ESHAPE, "3 columns -576460752303423488 elements apart"); /* below address 0 */
    REFUSE((f.strides[1] = INT64_MIN / 16, f.shape[0] = 0), STOA_ESHAPE, "3 columns -576460752303423488 elements apart");
    REFUSE(m->dl_tensor.byte_offset = 2, STOA_EALIGN, "alignment 4");
    REFUSE(m->dl_tensor.data = NULL, STOA_EINVAL, "NULL");
    REFUSE(m = NULL, STOA_EINVAL, "NULL");
    assert_int_equal(stoa_dlpack_columns(make_foreign(&f), columns, 4, NULL, &err), STOA_EINVAL);
    assert_int_equal(stoa_dlpack_columns(make_foreign(&f), NULL, 4, &count, &err), STOA_EINVAL);
}

static void *no_memory(void *user, size_t bytes, size_t align_bytes)
{
    (void)user, (void)bytes, (void)align_bytes;
    return NULL;
}

static void no_free(void *user, void *pointer, size_t bytes) { (void)user, (void)pointer, (void)bytes; }

static void test_out_of_memory(void **state)
{
    (void)state;
    stoa_error err;
    float value = 0;
    DLManagedTensorVersioned *managed = (void *)&value;
    stoa_collection *collection = (void *)&value;
    const stoa_column column = stoa_column_over(&value, STOA_FLOAT32, 1, 1, HOST);
    const stoa_block block = {"t", &datatypes_layout, 0, 0, NULL};
    const stoa_allocator none = {sizeof none, no_memory, no_free, NULL};
    assert_ok(stoa_allocator_set(&none, &err), &err);
    const stoa_status exported = stoa_dlpack_export(stoa_tensor_of(&column, 1), NULL, &managed, NULL);
    const stoa_status adopted = stoa_collection_adopt(NULL, 0, HOST, 0, &block, 1, &collection, NULL);
    assert_ok(stoa_allocator_set(NULL, &err), &err);
    assert_int_equal(exported, STOA_ENOMEM);
    assert_null(managed);
    assert_int_equal(adopted, STOA_ENOMEM);
    assert_null(collection);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_export), cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_import), cmocka_unit_test(test_import_errors), cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
