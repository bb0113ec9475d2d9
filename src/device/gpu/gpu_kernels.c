/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled kernels: all images are loaded and all symbols looked up when a device is opened, because both may wait for the device
 * and neither is allowed while a stream is captured. A launch is then a search among names. */
#include "gpu_device.h"

#include <stdlib.h>
#include <string.h>

#include "stoa/image.h"
#include "stoa/kernel.h"
#include "stoa/memory.h"

typedef struct kernel_shape {
    const char *suffix;
    unsigned blocks_per_unit, threads;
    int shared_bytes_max;
} kernel_shape;

static const kernel_shape shapes[] = {
#define SHAPE(name, blocks, threads, shared_bytes) {"_" #name, blocks, threads, shared_bytes},
    STOA_SHAPE_MAP(SHAPE)
#undef SHAPE
};

/* The plugin's own come first; NULL behind the last one. */
static const stoa_kernel_image *next_image(uint32_t *index)
{
    if (*index < stoai_gpu_own_image_count) return stoai_gpu_own_images[(*index)++];
    const stoa_kernel_image *image;
    do image = stoa_kernel_image_at((*index)++ - stoai_gpu_own_image_count);
    while (image && strcmp(image->backend, GPU_NAME) != 0);
    return image;
}

static const kernel_shape *shape_of(const char *symbol, size_t *name_length)
{
    const size_t length = strlen(symbol);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const size_t suffix = strlen(shapes[i].suffix);
        *name_length = length - suffix;
        if (length > suffix && strcmp(symbol + length - suffix, shapes[i].suffix) == 0) return &shapes[i];
    }
    return NULL;
}

/* What of a device decides how kernels are launched there. */
typedef struct device_limits {
    int units, block_bytes;
} device_limits;

/* What kernels declare themselves is a block's too, and comes first. */
static stoa_status allow_shared(const stoai_gpu_device *device, stoai_gpu_kernel *kernel, int wanted, int block_bytes, stoa_error *err)
{
    int own = 0;
    STOA_TRY(GPU_CALL(err, device, GPU_RELAXED, function_about, &own, GPU_FUNCTION_BYTES, kernel->function));
    const int left = block_bytes > own ? block_bytes - own : 0, bytes = wanted < left ? wanted : left;
    kernel->shared_bytes_max = (uint32_t)bytes;
    return stoai_gpu_allow_shared(device, kernel->function, bytes, err);
}

static stoa_status find_kernel(stoai_gpu_device *device, const stoa_kernel_image *image, const char *symbol, device_limits limits,
                               stoa_error *err)
{
    stoai_gpu_kernel *kernel = &device->kernels[device->kernel_count];
    const kernel_shape *shape = shape_of(symbol, &kernel->name_length);
    if (!shape) return STOA_FAIL(err, STOA_EABI, "kernel image '%s': symbol '%s' names no shape", image->name, symbol);
    kernel->symbol = symbol;
    kernel->blocks = shape->blocks_per_unit ? shape->blocks_per_unit * (unsigned)limits.units : 1;
    kernel->threads = shape->threads;
    device->kernel_count++;
    STOA_TRY(GPU_CALL(err, device, GPU_RELAXED, module_function, &kernel->function, device->modules[device->module_count - 1], symbol));
    if (!shape->shared_bytes_max) return STOA_OK;
    return allow_shared(device, kernel, shape->shared_bytes_max, limits.block_bytes, err);
}

static stoa_status load_image(stoai_gpu_device *device, const stoa_kernel_image *image, device_limits limits, stoa_error *err)
{
    stoa_error inner = {0};
    const stoa_status status = GPU_CALL(&inner, device, GPU_RELAXED, module_load, &device->modules[device->module_count], image->data);
    if (status != STOA_OK)
        return stoa_error_set(err, status, inner.native, inner.where, "device '" GPU_NAME ":%u': kernel image '%s': %s",
                              (unsigned)device->ordinal, image->name, inner.message);
    device->module_count++;
    for (uint32_t i = 0; i < image->kernel_count; i++) STOA_TRY(find_kernel(device, image, image->kernels[i], limits, err));
    return STOA_OK;
}

static int compare_kernels(const void *a, const void *b)
{ return strcmp(((const stoai_gpu_kernel *)a)->symbol, ((const stoai_gpu_kernel *)b)->symbol); }

/* Room is made for what is registered now; what is registered meanwhile is for the next device. */
stoa_status stoai_gpu_kernels_load(stoai_gpu_device *device, stoa_error *err)
{
    uint32_t images = 0, kernels = 0, index = 0;
    const stoa_kernel_image *image;
    while ((image = next_image(&index)) != NULL) {
        images++;
        kernels += image->kernel_count;
    }
    device_limits limits = {1, 0};
    STOA_TRY(GPU_CALL(err, device, GPU_RELAXED, device_attribute, &limits.units, GPU_UNITS, device->claim.device));
    STOA_TRY(GPU_CALL(err, device, GPU_RELAXED, device_attribute, &limits.block_bytes, GPU_BLOCK_BYTES, device->claim.device));
    device->modules = stoa_calloc(images, sizeof *device->modules);
    device->kernels = stoa_calloc(kernels, sizeof *device->kernels);
    device->module_room = images;
    device->kernel_room = kernels;
    if (!device->modules || !device->kernels)
        return STOA_FAIL(err, STOA_ENOMEM, "device '" GPU_NAME ":%u': a table of %zu bytes for its kernels wanted, none left",
                         (unsigned)device->ordinal, kernels * sizeof *device->kernels);
    index = 0;
    for (uint32_t i = 0; i < images; i++) STOA_TRY(load_image(device, next_image(&index), limits, err));
    qsort(device->kernels, device->kernel_count, sizeof *device->kernels, compare_kernels);
    return STOA_OK;
}

void stoai_gpu_kernels_unload(stoai_gpu_device *device)
{
    for (uint32_t i = 0; i < device->module_count; i++) (void)GPU_RESULT(device, GPU_RELAXED, module_unload, device->modules[i]);
    stoa_free(device->modules, device->module_room * sizeof *device->modules);
    stoa_free(device->kernels, device->kernel_room * sizeof *device->kernels);
}

/* Symbols are in order: those that begin with the name stand together, the one with a shape alone behind it among them. */
const stoai_gpu_kernel *stoai_gpu_kernel_find(const stoai_gpu_device *device, const char *name)
{
    const size_t length = strlen(name);
    uint32_t low = 0, high = device->kernel_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (strncmp(device->kernels[middle].symbol, name, length) < 0) low = middle + 1;
        else high = middle;
    }
    for (; low < device->kernel_count && strncmp(device->kernels[low].symbol, name, length) == 0; low++)
        if (device->kernels[low].name_length == length) return &device->kernels[low];
    return NULL;
}
