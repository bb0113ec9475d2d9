/* SPDX-License-Identifier: Apache-2.0 */
/* Memory runs out at each allocation of the public functions in turn: a typed error, and nothing stays behind. Devices, queues and
 * buffers have their own case in test_allocator. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "failing_memory.h"
#include "stoa/stoa.h"

#define STOA_LAYOUT simple
#define STOA_LAYOUT_DEF "data/simple.def"
#include "stoa/layout_gen.h"

enum { ROWS = 100 };
static const stoa_place HOST = {STOA_PLACE_HOST, 0};

/* What a scenario makes; each member is NULL until then, and `close_all` takes them all. */
typedef struct objects {
    stoa_device *device;
    stoa_queue *queue;
    stoa_collection *a, *b, *foreign;
    DLManagedTensorVersioned *managed;
    stoa_model *model;
    stoa_session *session;
} objects;

static stoa_status close_all(objects *o, stoa_status status)
{
    if (o->managed) o->managed->deleter(o->managed);
    stoa_session_destroy(o->session);
    stoa_model_destroy(o->model);
    stoa_collection_destroy(o->foreign);
    stoa_collection_destroy(o->b);
    stoa_collection_destroy(o->a);
    stoa_queue_destroy(o->queue);
    stoa_device_close(o->device);
    return status;
}

static stoa_status open_queue(objects *o, stoa_error *err)
{
    STOA_TRY(stoa_device_open("host", &o->device, err));
    return stoa_queue_create(o->device, STOA_QUEUE_ASYNC, &o->queue, err);
}

static stoa_status use_collections(objects *o, stoa_error *err)
{
    static _Alignas(128) char blob[4 * 512], records[ROWS * 16];
    const stoa_block inner[] = {{"u", &simple_layout, 3, 0, NULL}, {"v", &simple_layout, 5, 0, NULL}};
    const stoa_block blocks[] = {{"t", &simple_layout, ROWS, 0, NULL}, {"deep", NULL, 0, 2, inner}};
    const stoa_block fewer[] = {{"t", &simple_layout, ROWS / 2, 0, NULL}, {"deep", NULL, 0, 2, inner}};
    stoa_view_head head;
    stoa_column column;
    STOA_TRY(open_queue(o, err));
    STOA_TRY(stoa_collection_create(o->queue, STOA_MEMORY_DEVICE, blocks, 2, &o->a, err));
    STOA_TRY(stoa_collection_create(o->queue, STOA_MEMORY_PINNED, fewer, 2, &o->b, err));
    STOA_TRY(stoa_collection_adopt(blob, sizeof blob, HOST, 0, blocks, 1, &o->foreign, err));
    STOA_TRY(stoa_collection_zero(o->a, o->queue, 0, err));
    STOA_TRY(stoa_collection_copy(o->queue, o->b, o->a, err));
    STOA_TRY(stoa_collection_block(o->a, "t", &head, err));
    STOA_TRY(stoa_soa_from_aos(o->queue, &head, records, 16, err));
    STOA_TRY(stoa_view_find(&head, "x", &column, err));
    return stoa_dlpack_export(stoa_tensor_of(&column, 1), stoa_collection_buffer(o->a), &o->managed, err);
}

static stoa_status collections(stoa_error *err)
{
    objects o = {0};
    const stoa_status status = use_collections(&o, err);
    return close_all(&o, status);
}

static stoa_status run_model(objects *o, const char *path, const stoa_model_options *options, stoa_error *err)
{
    static float x[30][ROWS], y[ROWS];
    const uint32_t rows = ROWS / 2;
    stoa_session_options allow = STOA_SESSION_OPTIONS_INIT;
    stoa_column inputs[30], output = stoa_column_over(y, STOA_FLOAT32, ROWS, 1, HOST);
    for (int i = 0; i < 30; i++) inputs[i] = stoa_column_over_const(x[i], STOA_FLOAT32, ROWS, 1, HOST);
    allow.allow_copies = 1;
    STOA_TRY(open_queue(o, err));
    STOA_TRY(stoa_model_load(path, options, &o->model, err));
    STOA_TRY(stoa_session_create(o->model, o->queue, ROWS, &allow, &o->session, err));
    STOA_TRY(stoa_session_bind(o->session, "x", stoa_tensor_of(inputs, 30), err));
    STOA_TRY(stoa_session_bind(o->session, "y", stoa_tensor_of(&output, 1), err));
    STOA_TRY(stoa_session_run(o->session, ROWS, err));
    STOA_TRY(stoa_session_run_counted(o->session, &rows, err));
    STOA_TRY(stoa_queue_wait(o->queue, err));
    return stoa_session_check(o->session, err);
}

static stoa_status inference(stoa_error *err)
{
    objects o = {0};
    const stoa_status status = run_model(&o, STOA_SOURCE_DIR "/tests/data/mlp_30_64_64_1.onnx", NULL, err);
    return close_all(&o, status);
}

static bool take_text(void *user, const char *text, size_t bytes)
{
    (void)user, (void)text, (void)bytes;
    return true;
}

static stoa_status emission(stoa_error *err)
{
    objects o = {0};
    stoa_status status = stoa_model_load(STOA_SOURCE_DIR "/tests/data/mlp_30_64_64_1.onnx", NULL, &o.model, err);
    if (status == STOA_OK) status = stoa_model_emit_c(o.model, "mlp", take_text, NULL, err);
    return close_all(&o, status);
}

static void sweep(const char *what, stoa_status (*scenario)(stoa_error *err), unsigned long long at_least)
{
    const unsigned long long allocations = assert_memory_may_run_out(scenario);
    print_message("%s: each of %llu allocations failed in turn\n", what, allocations);
    assert_true(allocations >= at_least);
}

static void collections_leak_nothing(void **state) { (void)state, sweep("collections", collections, 10); }
static void inference_leaks_nothing(void **state) { (void)state, sweep("inference", inference, 10); }
static void emission_leaks_nothing(void **state) { (void)state, sweep("emission", emission, 3); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(collections_leak_nothing),
        cmocka_unit_test(inference_leaks_nothing),
        cmocka_unit_test(emission_leaks_nothing),
    };
    return cmocka_run_group_tests_name("out of memory", tests, install_failing_memory, remove_failing_memory);
}
