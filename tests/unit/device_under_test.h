/* SPDX-License-Identifier: Apache-2.0 */
/* One table of tests for every back end: STOA_TEST_DEVICE names the device, "host" when it is not set. */
#ifndef TESTS_DEVICE_UNDER_TEST_H
#define TESTS_DEVICE_UNDER_TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stoa/buffer.h"
#include "stoa/image.h"

static inline const char *device_under_test(void)
{
    const char *name = getenv("STOA_TEST_DEVICE");
    return name ? name : "host";
}

static inline bool device_is_host(void) { return strncmp(device_under_test(), "host", 4) == 0; }

/* Its back end, and another device of that: "cuda", "cuda:1". Static storage of the thread. */
static inline const char *backend_under_test(void)
{
    static _Thread_local char name[16];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(device_under_test(), ":"), device_under_test());
    return name;
}

static inline const char *device_beside(unsigned ordinal)
{
    static _Thread_local char name[32];
    snprintf(name, sizeof name, "%s:%u", backend_under_test(), ordinal);
    return name;
}

/* With STOA_TEST_DRIVER_POOL a GPU's memory is the driver's pool. */
static inline stoa_status open_device(const char *name, stoa_device **device, stoa_error *err)
{
    const bool pooled = getenv("STOA_TEST_DRIVER_POOL") && strncmp(name, "host", 4) != 0;
    const stoa_device_options options = {.struct_size = sizeof options, .pool = pooled ? STOA_POOL_DRIVER : STOA_POOL_OWN};
    return stoa_device_open_with(name, &options, device, err);
}

/* The kernels of the tests, for every vendor (kernel_images.c). */
stoa_status test_kernels_register(stoa_error *err);

/* Call before cmocka runs: registers the kernels of the tests, and ends the program with CTest's code for "skipped" when the
 * device is not there. */
static inline void require_device(void)
{
    stoa_error err;
#ifdef STOA_TEST_IMAGES
    if (test_kernels_register(&err) != STOA_OK) abort();
#endif
#ifdef STOA_TEST_FAKES
    extern const stoa_kernel_image fake_hip_image;
    if (getenv("STOA_TEST_FAKE_HIP") && stoa_kernel_image_register(&fake_hip_image, &err) != STOA_OK) abort();
#endif
    stoa_device *device;
    if (stoa_device_open(device_under_test(), &device, &err) == STOA_OK) {
        stoa_device_close(device);
        return;
    }
    printf("SKIP: %s\n", err.message);
    exit(77);
}

/* Zeroed memory that the device's work and this program both can use. */
static inline stoa_buffer *make_shared(stoa_queue *queue, size_t bytes)
{
    stoa_buffer *buffer;
    if (stoa_buffer_create(queue, STOA_MEMORY_PINNED, bytes, &buffer, NULL) != STOA_OK) abort();
    memset(stoa_buffer_data(buffer), 0, bytes);
    return buffer;
}

/* What the fixture of a test begins with; the fixture itself lies in memory that the device reaches. */
typedef struct device_fixture {
    stoa_device *device;
    stoa_queue *queue;
    stoa_buffer *self, *workspace; /* workspace: NULL when none was asked for */
} device_fixture;

/* A fixture of `bytes`, zero behind its beginning, with a blocking queue of the device under test; NULL when that fails. */
static inline void *open_fixture(size_t bytes, size_t workspace_bytes)
{
    device_fixture on = {0};
    stoa_error err;
    if (open_device(device_under_test(), &on.device, &err) != STOA_OK ||
        stoa_queue_create(on.device, STOA_QUEUE_BLOCKING, &on.queue, &err) != STOA_OK) {
        fprintf(stderr, "%s\n", err.message);
        return NULL;
    }
    on.self = make_shared(on.queue, bytes);
    if (workspace_bytes > 0) on.workspace = make_shared(on.queue, workspace_bytes);
    memcpy(stoa_buffer_data(on.self), &on, sizeof on);
    return stoa_buffer_data(on.self);
}

static inline int close_fixture(void **state)
{
    const device_fixture on = *(const device_fixture *)*state;
    stoa_buffer_release(on.workspace);
    stoa_buffer_release(on.self);
    stoa_queue_destroy(on.queue);
    stoa_device_close(on.device);
    return 0;
}

#endif
