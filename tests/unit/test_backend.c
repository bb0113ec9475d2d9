/* SPDX-License-Identifier: Apache-2.0 */
/* The registry of back ends: refused tables, missing and bad plugins, a fault-injecting wrapper around the host.
 *
 * Built with STOA_TEST_PLUGIN=1..4 this same file is the plugin libstoa_plug<n>.so: 1 good, 2 of another ABI, 3 without
 * the entry function, 4 with another name. The plugin cases skip when STOA_TEST_PLUGIN_DIR is not in the environment.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include "stoa/backend.h"

#ifdef STOA_TEST_PLUGIN
extern const stoa_backend_api *stoa_backend_entry(uint32_t host_abi, const stoa_host_api *host);

static stoa_status device_count(uint32_t *count, stoa_error *err)
{
    (void)err;
    *count = 3;
    return STOA_OK;
}
static void never(void) {}

#if STOA_TEST_PLUGIN != 3
STOA_API
#else
__attribute__((visibility("hidden")))
#endif
const stoa_backend_api *stoa_backend_entry(uint32_t host_abi, const stoa_host_api *host)
{
    static stoa_backend_api api;
    if (host_abi != 1 || host->struct_size < sizeof *host || !host->stoa_alloc) return NULL;
    void (**slots)(void) = (void (**)(void))(void *)&api.device_count;
    for (size_t i = 0; i < (sizeof api - offsetof(stoa_backend_api, device_count)) / sizeof *slots; i++) slots[i] = never;
    api.struct_size = sizeof api;
    api.abi = STOA_TEST_PLUGIN == 2 ? 99 : STOA_BACKEND_ABI;
    api.name = STOA_TEST_PLUGIN == 4 ? "somebody" : STOA_TEST_PLUGIN == 2 ? "plug2" : "plug1";
    api.device_count = device_count;
    return &api;
}

#else
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "device/backend.h"
#include "stoa/buffer.h"

#define OK(call) assert_int_equal((call), STOA_OK)

/* The host's table with a switch: call number `fail_at` of the counted slots fails, for good if `persistent`. */
static struct {
    unsigned calls, fail_at;
    bool persistent;
} fault;

static bool strikes(void)
{
    ++fault.calls;
    return fault.fail_at && (fault.calls == fault.fail_at || (fault.persistent && fault.calls > fault.fail_at));
}

#define HOST stoai_host_backend
#define STRIKE(err, what) \
    do { \
        if (strikes()) return stoa_error_set((err), STOA_EDEVICE, 719, STOA_HERE, "injected: " what); \
    } while (0)

static stoa_status faulty_open(uint32_t ordinal, void **ctx, stoa_error *err)
{
    STRIKE(err, "device_open");
    return HOST.device_open(ordinal, ctx, err);
}
static stoa_status faulty_memory_alloc(void *ctx, stoa_memory_kind kind, size_t bytes, void **out, stoa_error *err)
{
    STRIKE(err, "memory_alloc");
    return HOST.memory_alloc(ctx, kind, bytes, out, err);
}
static stoa_status faulty_queue_create(void *ctx, stoa_queue_kind kind, void **queue, stoa_error *err)
{
    STRIKE(err, "queue_create");
    return HOST.queue_create(ctx, kind, queue, err);
}
static stoa_status faulty_queue_wait(void *queue, stoa_error *err)
{
    STRIKE(err, "queue_wait");
    return HOST.queue_wait(queue, err);
}
static stoa_status faulty_fill(void *queue, void *dst, uint8_t value, size_t bytes, stoa_error *err)
{
    STRIKE(err, "queue_fill");
    return HOST.queue_fill(queue, dst, value, bytes, err);
}
static stoa_status faulty_event_create(void *ctx, void **event, stoa_error *err)
{
    STRIKE(err, "event_create");
    return HOST.event_create(ctx, event, err);
}
static stoa_status faulty_event_record(void *event, void *queue, stoa_error *err)
{
    STRIKE(err, "event_record");
    return HOST.event_record(event, queue, err);
}
static stoa_status faulty_event_is_done(void *event, bool *done, stoa_error *err)
{
    STRIKE(err, "event_is_done");
    return HOST.event_is_done(event, done, err);
}

static stoa_backend_api faulty_api;

static int register_faulty(void **state)
{
    (void)state;
    faulty_api = HOST;
    faulty_api.name = "faulty";
    faulty_api.device_open = faulty_open;
    faulty_api.memory_alloc = faulty_memory_alloc;
    faulty_api.queue_create = faulty_queue_create;
    faulty_api.queue_wait = faulty_queue_wait;
    faulty_api.queue_fill = faulty_fill;
    faulty_api.event_create = faulty_event_create;
    faulty_api.event_record = faulty_event_record;
    faulty_api.event_is_done = faulty_event_is_done;
    return stoa_backend_register(&faulty_api, NULL) == STOA_OK ? 0 : -1;
}

static stoa_status scenario(stoa_error *err)
{
    stoa_device *device = NULL;
    stoa_queue *queue = NULL;
    stoa_event *event = NULL;
    stoa_buffer *a = NULL, *b = NULL;
    stoa_status status = stoa_device_open("faulty", &device, err);
    if (status == STOA_OK) status = stoa_queue_create(device, STOA_QUEUE_ASYNC, &queue, err);
    if (status == STOA_OK) status = stoa_event_create(device, &event, err);
    if (status == STOA_OK) status = stoa_buffer_create(queue, STOA_MEMORY_DEVICE, 1000, &a, err);
    if (status == STOA_OK) status = stoa_queue_fill(queue, stoa_buffer_data(a), 1, 1000, err);
    stoa_buffer_release(a); /* its event_record may fail: not this caller's error */
    if (status == STOA_OK) status = stoa_event_record(event, queue, err);
    if (status == STOA_OK) status = stoa_buffer_create(queue, STOA_MEMORY_DEVICE, 900, &b, err);
    if (status == STOA_OK) status = stoa_queue_wait(queue, err);
    stoa_buffer_release(b);
    stoa_event_destroy(event);
    stoa_queue_destroy(queue);
    stoa_device_close(device);
    return status;
}

/* Leaks are for the address sanitizer to see; here: a typed status with its message, and an end. */
static void device_faults_are_ordinary_statuses(void **state)
{
    (void)state;
    for (int persistent = 0; persistent < 2; persistent++) {
        unsigned clean_runs = 0;
        fault.persistent = persistent;
        for (unsigned k = 1; k < 40; k++) {
            stoa_error err = {0};
            fault.calls = 0;
            fault.fail_at = k;
            stoa_status status = scenario(&err);
            fault.fail_at = 0;
            clean_runs += status == STOA_OK;
            if (status == STOA_OK) continue;
            assert_int_equal(status, STOA_EDEVICE);
            assert_int_equal(err.native, 719);
            assert_non_null(strstr(err.message, "injected"));
        }
        assert_true(clean_runs > 0 && clean_runs < 39);
    }
}

/* Where even recording the release fails, the block stays with its queue. */
static void a_block_without_an_event_stays_with_its_queue(void **state)
{
    (void)state;
    stoa_device *device;
    stoa_queue *queue, *other;
    stoa_buffer *buffer;
    fault.fail_at = 0;
    OK(stoa_device_open("faulty:0", &device, NULL));
    OK(stoa_queue_create(device, STOA_QUEUE_ASYNC, &queue, NULL));
    OK(stoa_queue_create(device, STOA_QUEUE_ASYNC, &other, NULL));
    OK(stoa_buffer_create(queue, STOA_MEMORY_DEVICE, 100, &buffer, NULL));
    void *data = stoa_buffer_data(buffer);
    fault.calls = 0, fault.fail_at = 1, fault.persistent = true;
    stoa_buffer_release(buffer);
    fault.fail_at = 0;
    OK(stoa_buffer_create(other, STOA_MEMORY_DEVICE, 100, &buffer, NULL));
    assert_ptr_not_equal(stoa_buffer_data(buffer), data);
    stoa_buffer_release(buffer);
    OK(stoa_buffer_create(queue, STOA_MEMORY_DEVICE, 100, &buffer, NULL));
    assert_ptr_equal(stoa_buffer_data(buffer), data);
    stoa_buffer_release(buffer);
    stoa_queue_destroy(queue);
    stoa_queue_destroy(other);
    stoa_device_close(device);
}

static void events_do_not_cross_back_ends(void **state)
{
    (void)state;
    stoa_device *host, *faulty;
    stoa_queue *queue;
    stoa_event *event;
    stoa_error err;
    fault.fail_at = 0;
    OK(stoa_device_open("host", &host, NULL));
    OK(stoa_device_open("faulty", &faulty, NULL));
    OK(stoa_queue_create(host, STOA_QUEUE_BLOCKING, &queue, NULL));
    OK(stoa_event_create(faulty, &event, NULL));
    assert_int_equal(stoa_queue_wait_event(queue, event, &err), STOA_EPLACE);
    assert_non_null(strstr(err.message, "'host'"));
    assert_non_null(strstr(err.message, "'faulty'"));
    assert_int_equal(stoa_event_record(event, queue, &err), STOA_EPLACE);
    stoa_event_destroy(event);
    stoa_queue_destroy(queue);
    stoa_device_close(host);
    stoa_device_close(faulty);
}

static void bad_tables_are_refused(void **state)
{
    (void)state;
    stoa_error err;
    assert_int_equal(stoa_backend_register(NULL, &err), STOA_EINVAL);
    stoa_backend_api api = HOST;
    api.name = "bad";
    api.abi = 2;
    assert_int_equal(stoa_backend_register(&api, &err), STOA_EABI);
    assert_non_null(strstr(err.message, "ABI 2 given, 1 needed"));
    api.abi = STOA_BACKEND_ABI;
    api.struct_size = 64;
    assert_int_equal(stoa_backend_register(&api, &err), STOA_EABI);
    assert_non_null(strstr(err.message, "64 given"));
    api.struct_size = sizeof api;
    api.event_wait = NULL;
    assert_int_equal(stoa_backend_register(&api, &err), STOA_EABI);
    assert_non_null(strstr(err.message, "event_wait"));
    api = HOST;
    assert_int_equal(stoa_backend_register(&api, &err), STOA_ENAME);
    api.name = "../evil";
    assert_int_equal(stoa_backend_register(&api, &err), STOA_EABI);
    api.name = NULL;
    assert_int_equal(stoa_backend_register(&api, NULL), STOA_EABI);
}

static void assert_open_fails(const char *name, stoa_status status, const char *text)
{
    stoa_error err;
    stoa_device *device = (stoa_device *)&err;
    assert_int_equal(stoa_device_open(name, &device, &err), status);
    assert_null(device);
    assert_int_equal(err.status, status);
    assert_non_null(strstr(err.message, text));
    assert_int_equal(stoa_device_open(name, &device, NULL), status);
}

static void bad_names_are_refused(void **state)
{
    (void)state;
    static const char *const malformed[] = {
        "",        ":",           ":0",   "host:", "host:x", "host:0 ",
        "host:-1", "host:123456", "../x", "Host",  "host 0", "a_name_that_is_far_too_long_for_a_back_end"};
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) assert_open_fails(malformed[i], STOA_EINVAL, malformed[i]);
    assert_open_fails("host:1", STOA_ENOTSUP, "host:1");
    stoa_error err;
    stoa_device *device;
    assert_int_equal(stoa_device_open(NULL, &device, &err), STOA_EINVAL);
    assert_int_equal(stoa_device_open("host", NULL, &err), STOA_EINVAL);
    uint32_t count = 7;
    OK(stoa_device_count("host", &count, NULL));
    assert_int_equal(count, 1);
    assert_int_equal(stoa_device_count(NULL, &count, &err), STOA_EINVAL);
    assert_int_equal(stoa_device_count("host", NULL, &err), STOA_EINVAL);
}

static void a_missing_plugin_is_a_clean_status(void **state)
{
    (void)state;
    setenv("STOA_PLUGIN_PATH", "/nonexistent/first::/nonexistent/second", 1);
    assert_open_fails("nosuch:0", STOA_ENOTSUP, "/nonexistent/first/libstoa_nosuch.so (no such file)");
    assert_open_fails("nosuch:0", STOA_ENOTSUP, "/nonexistent/second/libstoa_nosuch.so");
    unsetenv("STOA_PLUGIN_PATH");
    uint32_t count = 7;
    stoa_error err;
    assert_int_equal(stoa_device_count("nosuch", &count, &err), STOA_ENOTSUP);
    assert_int_equal(count, 0);
}

/* A build without the CUDA plugin, or a machine without a GPU: never a crash. */
static void cuda_opens_or_says_why(void **state)
{
    (void)state;
    stoa_error err;
    stoa_device *device;
    stoa_status status = stoa_device_open("cuda:0", &device, &err);
    assert_true(status == STOA_OK || status == STOA_ENOTSUP);
    if (status == STOA_ENOTSUP) {
        assert_null(device);
        assert_non_null(strstr(err.message, "cuda"));
    }
    stoa_device_close(device);
}

static void plugins_are_checked_when_loaded(void **state)
{
    (void)state;
    const char *folder = getenv("STOA_TEST_PLUGIN_DIR");
    if (!folder) {
        print_message("SKIP: STOA_TEST_PLUGIN_DIR is not set\n");
        skip();
    }
    setenv("STOA_PLUGIN_PATH", folder, 1);
    uint32_t count = 0;
    stoa_error err;
    OK(stoa_device_count("plug1", &count, &err));
    assert_int_equal(count, 3);
    OK(stoa_device_count("plug1", &count, &err)); /* from the registry now */
    assert_open_fails("plug1:3", STOA_ENOTSUP, "has 3 of them");
    assert_open_fails("plug2", STOA_EABI, "ABI 99 given, 1 needed");
    assert_open_fails("plug3", STOA_EABI, "exports no stoa_backend_entry");
    assert_open_fails("plug4", STOA_EABI, "calls itself 'somebody'");
    assert_open_fails("plug5", STOA_ENOTSUP, "libstoa_plug5.so: "); /* what dlopen says of a file that is no library */
    unsetenv("STOA_PLUGIN_PATH");
}

/* Last: it fills the registry. */
static void the_registry_has_a_limit(void **state)
{
    (void)state;
    static stoa_backend_api tables[32];
    static char names[32][8];
    stoa_status status = STOA_OK;
    stoa_error err;
    for (size_t i = 0; i < 32 && status == STOA_OK; i++) {
        tables[i] = HOST;
        names[i][0] = 'f';
        names[i][1] = (char)('0' + i / 10);
        names[i][2] = (char)('0' + i % 10);
        tables[i].name = names[i];
        status = stoa_backend_register(&tables[i], &err);
    }
    assert_int_equal(status, STOA_ELIMIT);
    stoa_device *device;
    OK(stoa_device_open("f00:0", &device, NULL));
    stoa_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(device_faults_are_ordinary_statuses),
        cmocka_unit_test(a_block_without_an_event_stays_with_its_queue),
        cmocka_unit_test(events_do_not_cross_back_ends),
        cmocka_unit_test(bad_tables_are_refused),
        cmocka_unit_test(bad_names_are_refused),
        cmocka_unit_test(a_missing_plugin_is_a_clean_status),
        cmocka_unit_test(cuda_opens_or_says_why),
        cmocka_unit_test(plugins_are_checked_when_loaded),
        cmocka_unit_test(the_registry_has_a_limit),
    };
    return cmocka_run_group_tests_name("backend", tests, register_faulty, NULL);
}
#endif
