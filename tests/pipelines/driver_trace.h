/* SPDX-License-Identifier: Apache-2.0 */
/* What a job asks of the driver, where that is the fake one, which tells (fake_cuda/fake_cuda.h). */
#ifndef TESTS_DRIVER_TRACE_H
#define TESTS_DRIVER_TRACE_H

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* The calls that enqueue or wait, behind the first wait: what warmed up is over. A fake driver that tells of no wait fails the test. NULL
 * with a line of text: another driver. */
static inline const char *driver_trace_behind_wait(void)
{
    static const char wait[] = "cuStreamSynchronize ";
    void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    if (!driver) driver = dlopen("libamdhip64.so.7", RTLD_NOW | RTLD_NOLOAD);
    const char *(*trace)(void);
    void *symbol = driver ? dlsym(driver, "fake_cuda_trace") : NULL;
    memcpy(&trace, &symbol, sizeof trace);
    if (!trace) {
        printf("not counted: the driver's calls, which only the fake driver tells\n");
        return NULL;
    }
    const char *at = strstr(trace(), wait);
    assert_non_null(at);
    return at + sizeof wait - 1;
}

/* How often the next call is the one of that name; behind these. */
static inline uint32_t skip_calls(const char **at, const char *name)
{
    const size_t length = strlen(name);
    uint32_t count = 0;
    for (; strncmp(*at, name, length) == 0; count++) *at += length;
    return count;
}

#endif
