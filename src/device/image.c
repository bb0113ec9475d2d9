/* SPDX-License-Identifier: Apache-2.0 */
#include "stoa/image.h"

#include <pthread.h>

#include "core/struct_size.h"

#define IMAGES_MAX 32u

/* Process-wide like the registry of back ends: code does not go away. */
static struct {
    pthread_mutex_t lock;
    uint32_t count;
    const stoa_kernel_image *image[IMAGES_MAX];
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Under the lock. */
static stoa_status add(const stoa_kernel_image *image, stoa_error *err)
{
    for (uint32_t i = 0; i < registry.count; i++)
        if (registry.image[i] == image) return STOA_OK;
    if (registry.count == IMAGES_MAX)
        return STOA_FAIL(err, STOA_ELIMIT, "kernel image '%s': %u registered, at most %u", image->name, registry.count, IMAGES_MAX);
    registry.image[registry.count++] = image;
    return STOA_OK;
}

stoa_status stoa_kernel_image_register(const stoa_kernel_image *image, stoa_error *err)
{
    if (!image) return STOA_FAIL(err, STOA_EINVAL, "kernel image: NULL given");
    STOA_TRY(STOAI_CHECK_STRUCT(image, "kernel image", err));
    if (!image->backend || !image->name || !image->data || !image->bytes || (image->kernel_count && !image->kernels))
        return STOA_FAIL(err, STOA_EINVAL, "kernel image '%.60s': back end, name, data or kernels missing",
                         image->name ? image->name : "(null)");
    pthread_mutex_lock(&registry.lock);
    const stoa_status status = add(image, err);
    pthread_mutex_unlock(&registry.lock);
    return status;
}

const stoa_kernel_image *stoa_kernel_image_at(uint32_t index)
{
    pthread_mutex_lock(&registry.lock);
    const stoa_kernel_image *image = index < registry.count ? registry.image[index] : NULL;
    pthread_mutex_unlock(&registry.lock);
    return image;
}
