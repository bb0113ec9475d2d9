/* SPDX-License-Identifier: Apache-2.0 */
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host.h"

/* "model name : AMD EPYC 7003": the first one, as all processors of a machine are alike. */
static void read_name(char *name, size_t bytes)
{
    snprintf(name, bytes, "host processor");
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (!file) return;
    char line[512];
    while (fgets(line, sizeof line, file)) {
        const char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !value) continue;
        value += 1 + strspn(value + 1, " \t");
        snprintf(name, bytes, "%.*s", (int)strcspn(value, "\n"), value);
        break;
    }
    fclose(file);
}

static void add_feature(char *features, size_t bytes, const char *name)
{
    size_t used = strlen(features);
    snprintf(features + used, bytes - used, "%s%s", used ? " " : "", name);
}

#if defined(__x86_64__) || defined(__i386__)
/* clang 14's __builtin_cpu_supports lacks this one; it does know whether the system saves wide registers. */
static bool has_f16c(void)
{
    unsigned a, b, c, d;
    return __builtin_cpu_supports("avx") && __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

/* The instruction sets that matter to kernels, and the floats of the widest register. */
static uint32_t read_features(char *features, size_t bytes)
{
    uint32_t lane_width = 1;
    features[0] = '\0';
#if defined(__x86_64__) || defined(__i386__)
    __builtin_cpu_init();
#define FEATURE(name, lanes) \
    if (__builtin_cpu_supports(name)) { \
        add_feature(features, bytes, name); \
        if (lane_width < (lanes)) lane_width = lanes; \
    }
    FEATURE("sse2", 4)
    FEATURE("sse4.2", 4)
    FEATURE("avx", 8)
    FEATURE("avx2", 8)
    FEATURE("fma", 1)
    if (has_f16c()) add_feature(features, bytes, "f16c");
    FEATURE("bmi2", 1)
    FEATURE("avx512f", 16)
    FEATURE("avx512bw", 16)
    FEATURE("avx512dq", 16)
    FEATURE("avx512vl", 16)
    FEATURE("avx512vnni", 16)
#undef FEATURE
#elif defined(__ARM_NEON)
    add_feature(features, bytes, "neon");
    lane_width = 4;
#else
    (void)add_feature;
    (void)bytes;
#endif
    return lane_width;
}

static uint32_t count_processors(void)
{
    cpu_set_t mask; /* what this process may use: batch systems grant less than the machine has */
    if (sched_getaffinity(0, sizeof mask, &mask) == 0) return (uint32_t)CPU_COUNT(&mask);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (uint32_t)online : 1u;
}

static uint64_t pages_to_bytes(int pages_name)
{
    long pages = sysconf(pages_name), page_bytes = sysconf(_SC_PAGESIZE);
    return pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : 0;
}

stoa_status stoai_host_device_describe(void *ctx, stoa_device_info *info, stoa_error *err)
{
    (void)ctx;
    (void)err;
    read_name(info->name, sizeof info->name);
    info->lane_width = read_features(info->features, sizeof info->features);
    info->memory_bytes = pages_to_bytes(_SC_PHYS_PAGES);
    info->memory_free_bytes = pages_to_bytes(_SC_AVPHYS_PAGES);
    info->compute_units = count_processors();
    return STOA_OK;
}
