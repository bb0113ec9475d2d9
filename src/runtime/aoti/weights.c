/* SPDX-License-Identifier: Apache-2.0 */
/* The weights of a package, once for each device that it has sessions on, shared by all containers there: user-managed, never copied
 * by them. On the host they lie where the file was read to. */
#include <string.h>

#include "runtime/aoti/model.h"
#include "stoa/memory.h"

static const json_t *find_weight(const json_t *table, const char *name)
{
    for (size_t i = 0; i < json_array_size(table); i++) {
        const json_t *entry = json_array_get(table, i);
        const char *has = json_string_value(json_object_get(entry, "name"));
        if (has && strcmp(has, name) == 0) return entry;
    }
    return NULL;
}

static stoa_status make_weight(const aoti_model *model, const aoti_weights *weights, const json_t *entry, const char *name,
                               aoti_tensor *tensor, stoa_error *err)
{
    const json_t *shape = json_object_get(entry, "shape");
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    const int32_t type = stoai_shim_type(dtype ? stoa_dtype_from_name(dtype) : STOA_DTYPE_NONE);
    const uint64_t offset = (uint64_t)json_integer_value(json_object_get(entry, "offset"));
    const int64_t dim = (int64_t)json_array_size(shape);
    char *data = weights->buffer ? stoa_buffer_data(weights->buffer) : model->blob.data;
    const int32_t index = weights->device ? stoa_device_place(weights->device).index : -1;
    int64_t sizes[SHIM_RANK_MAX], strides[SHIM_RANK_MAX];
    uint64_t count = 1;
    if (type < 0 || dim > SHIM_RANK_MAX)
        return STOA_FAIL(err, STOA_EFORMAT, "package: weight '%s' has dtype '%s' and %lld extents", name, dtype ? dtype : "none",
                         (long long)dim);
    for (int64_t i = dim; i-- > 0;) {
        sizes[i] = json_integer_value(json_array_get(shape, (size_t)i));
        strides[i] = (int64_t)count;
        if (sizes[i] < 0 || (sizes[i] > 0 && count > model->blob.bytes / (uint64_t)sizes[i])) count = UINT64_MAX / 16;
        else count *= (uint64_t)sizes[i];
    }
    const uint64_t bytes = count * stoai_shim_type_bytes(type);
    if (offset > model->blob.bytes || bytes > model->blob.bytes - offset)
        return STOA_FAIL(err, STOA_EFORMAT, "package: weight '%s' lies at %llu to %llu of %zu bytes", name, (unsigned long long)offset,
                         (unsigned long long)(offset + bytes), model->blob.bytes);
    /* Everything else that could be wrong with a tensor was looked at above. */
    if (model->host.from_blob(data + offset, dim, sizes, strides, 0, type, model->device_type, index, tensor))
        return STOA_FAIL(err, STOA_ENOMEM, "package: no memory for the tensor object of weight '%s'", name);
    return STOA_OK;
}

static stoa_status name_weights(const aoti_model *model, aoti_weights *weights, aoti_container container, stoa_error *err)
{
    const json_t *table = json_object_get(model->package.manifest, "constants");
    for (size_t i = 0; i < weights->count; i++) {
        const char *name = NULL, *full = NULL;
        if (model->functions.ContainerGetConstantName(container, i, &name) ||
            model->functions.ContainerGetConstantOriginalFQN(container, i, &full))
            return STOA_FAIL(err, STOA_ERUNTIME, "package: weight %zu has no name", i);
        const json_t *entry = find_weight(table, full);
        if (!entry)
            return STOA_FAIL(err, STOA_EFORMAT, "package: weight '%s' is not among the %zu of its manifest", full, json_array_size(table));
        STOA_TRY(make_weight(model, weights, entry, full, &weights->constants[i].tensor, err));
        const size_t bytes = strlen(name) + 1;
        char *copy = stoa_alloc(bytes, 1); /* the name is the container's */
        if (!copy) return STOA_FAIL(err, STOA_ENOMEM, "package: %zu bytes", bytes);
        weights->constants[i].name = memcpy(copy, name, bytes);
    }
    return STOA_OK;
}

/* The one copy of weights to a GPU. It is waited for: sessions on other queues may come next. */
static stoa_status upload(const aoti_model *model, stoa_queue *queue, stoa_buffer **buffer, stoa_error *err)
{
    stoa_buffer *pinned;
    const size_t bytes = model->blob.bytes;
    STOA_TRY(stoa_buffer_create(queue, STOA_MEMORY_DEVICE, bytes, buffer, err));
    if (!bytes) return STOA_OK;
    STOA_TRY(stoa_buffer_create(queue, STOA_MEMORY_PINNED, bytes, &pinned, err));
    memcpy(stoa_buffer_data(pinned), model->blob.data, bytes);
    stoa_status status = stoa_queue_copy(queue, stoa_buffer_data(*buffer), stoa_buffer_data(pinned), bytes, err);
    if (status == STOA_OK) status = stoa_queue_wait(queue, err);
    stoa_buffer_release(pinned);
    return status;
}

static void destroy(const aoti_model *model, aoti_weights *weights)
{
    for (size_t i = 0; weights->constants && i < weights->count; i++) {
        if (weights->constants[i].tensor) model->host.delete_tensor(weights->constants[i].tensor);
        if (weights->constants[i].name) stoa_free((void *)(uintptr_t)weights->constants[i].name, strlen(weights->constants[i].name) + 1);
    }
    stoa_free(weights->constants, (weights->count + 1) * sizeof *weights->constants);
    stoa_buffer_release(weights->buffer);
    stoa_free(weights, sizeof *weights);
}

static stoa_status make(const aoti_model *model, aoti_container container, stoa_queue *queue, aoti_weights **result, stoa_error *err)
{
    size_t count = 0;
    if (model->functions.ContainerGetNumConstants(container, &count))
        return STOA_FAIL(err, STOA_ERUNTIME, "package: its weights cannot be counted");
    aoti_weights *weights = stoa_calloc(1, sizeof *weights);
    if (!weights) return STOA_FAIL(err, STOA_ENOMEM, "package: %zu weights", count);
    weights->count = count;
    weights->device = queue ? stoa_queue_device(queue) : NULL;
    weights->constants = stoa_calloc(count + 1, sizeof *weights->constants);
    stoa_status status = weights->constants ? STOA_OK : STOA_FAIL(err, STOA_ENOMEM, "package: %zu weights", count);
    if (status == STOA_OK && queue) status = upload(model, queue, &weights->buffer, err);
    if (status == STOA_OK) status = name_weights(model, weights, container, err);
    if (status == STOA_OK) *result = weights;
    else destroy(model, weights);
    return status;
}

static aoti_weights *find(const aoti_model *model, const stoa_device *device)
{
    for (aoti_weights *weights = model->weights; weights; weights = weights->next)
        if (weights->device == device) return weights;
    return NULL;
}

stoa_status stoai_aoti_weights_take(aoti_model *model, aoti_container container, stoa_queue *queue, aoti_weights **result, stoa_error *err)
{
    pthread_mutex_lock(&model->lock);
    stoa_status status = STOA_OK;
    aoti_weights *weights = find(model, queue ? stoa_queue_device(queue) : NULL);
    if (!weights) {
        status = make(model, container, queue, &weights, err);
        if (status == STOA_OK) {
            weights->next = model->weights;
            model->weights = weights;
        }
    }
    if (status == STOA_OK) weights->users++;
    pthread_mutex_unlock(&model->lock);
    if (status != STOA_OK) return status;
    *result = weights;
    if (!model->functions.ContainerUpdateUserManagedConstantBufferPairs(container, weights->constants, weights->count, false, true))
        return STOA_OK;
    return STOA_FAIL(err, STOA_ERUNTIME, "package: the model does not take its %zu weights", weights->count);
}

/* Those of the host take no memory of their own and stay with the model: the next session finds them. On a device the queue that made
 * the buffer may be gone: the memory goes back in the order of the one that used it last. */
void stoai_aoti_weights_give(aoti_model *model, aoti_weights *weights, stoa_queue *queue)
{
    if (!weights) return;
    pthread_mutex_lock(&model->lock);
    const bool last = --weights->users == 0 && weights->device;
    if (last) {
        aoti_weights **link = &model->weights;
        while (*link != weights) link = &(*link)->next;
        *link = weights->next;
    }
    pthread_mutex_unlock(&model->lock);
    if (!last) return;
    (void)!stoa_buffer_set_queue(weights->buffer, queue, NULL); /* of the same device */
    destroy(model, weights);
}

void stoai_aoti_weights_unload(aoti_model *model)
{
    aoti_weights *weights = find(model, NULL);
    model->weights = NULL;
    if (weights) destroy(model, weights);
}
