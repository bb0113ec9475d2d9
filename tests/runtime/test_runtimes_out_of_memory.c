/* SPDX-License-Identifier: Apache-2.0 */
/* Memory runs out at each allocation that each runtime makes to load a package, check it with its own vectors, make a session and run:
 * a typed error, and nothing stays behind. */
#include "runtime_fixture.h"

#include "failing_memory.h"

/* Packages of one network, the selector of tests/python/nets.py: x [N, 17], score [N, 1]. ONNX Runtime is not among them: it copies
 * strings to what its allocator gave without a look whether it gave any. */
static const struct {
    const char *runtime, *file;
} packages[] = {
    {"native", "selector.onnx"},
    {"aoti", "selector.pt2"},
    {"torchscript", "selector.pt"},
};
static size_t current;

typedef struct objects {
    stoa_device *device;
    stoa_queue *queue;
    stoa_model *model;
    stoa_session *session;
} objects;

static stoa_status run_package(objects *o, stoa_error *err)
{
    enum { ROWS = 64 };
    static float x[17 * ROWS], score[ROWS];
    const stoa_session_options options = {.struct_size = sizeof options, .allow_copies = 1};
    STOA_TRY(stoa_device_open("host", &o->device, err));
    STOA_TRY(stoa_queue_create(o->device, STOA_QUEUE_BLOCKING, &o->queue, err));
    STOA_TRY(fixture_try_load(packages[current].file, packages[current].runtime, NULL, &o->model, err));
    STOA_TRY(stoa_session_create(o->model, o->queue, ROWS, &options, &o->session, err));
    STOA_TRY(fixture_try_bind(o->session, "x", x, 17, ROWS, ROWS, 1, err));
    STOA_TRY(fixture_try_bind(o->session, "score", score, 1, ROWS, ROWS, 1, err));
    return stoa_session_run(o->session, ROWS, err);
}

static stoa_status scenario(stoa_error *err)
{
    objects o = {0};
    const stoa_status status = run_package(&o, err);
    stoa_session_destroy(o.session);
    stoa_model_destroy(o.model);
    stoa_queue_destroy(o.queue);
    stoa_device_close(o.device);
    return status;
}

static void packages_leak_nothing(void **state)
{
    (void)state;
    for (current = 0; current < sizeof packages / sizeof *packages; current++) {
        stoa_error err;
        const char *runtime = packages[current].runtime;
        const stoa_status status = scenario(&err);
        if (status == STOA_ENOTSUP) {
            print_message("%s: skipped, %s\n", runtime, err.message);
            continue;
        }
        const unsigned long long allocations = assert_memory_may_run_out(scenario);
        print_message("%s: each of %llu allocations failed in turn\n", runtime, allocations);
        assert_true(allocations > 10);
    }
}

int main(void)
{
    const int skip = fixture_skip();
    const struct CMUnitTest tests[] = {cmocka_unit_test(packages_leak_nothing)};
    return skip ? skip : cmocka_run_group_tests_name("runtimes", tests, install_failing_memory, remove_failing_memory);
}
