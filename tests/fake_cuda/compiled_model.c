/* SPDX-License-Identifier: Apache-2.0 */
/* What AOTInductor compiles for CUDA, by hand: y = x by way of an intermediate tensor, y[0] = the weight. It has the exports of such a
 * library (torch/csrc/inductor/aoti_runtime/interface.h) and imports what such a library imports. */
#include <cuda.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct tensor tensor;
typedef struct pair {
    const char *name;
    tensor *handle;
} pair;
typedef struct container {
    int index;
    tensor *weight;
} container;

int32_t aoti_torch_empty_strided(int64_t dim, const int64_t *sizes, const int64_t *strides, int32_t type, int32_t device_type,
                                 int32_t device_index, tensor **result);
int32_t aoti_torch_get_data_ptr(tensor *self, void **result);
int32_t aoti_torch_get_sizes(tensor *self, int64_t **result);
int32_t aoti_torch_get_device_type(tensor *self, int32_t *result);
int32_t aoti_torch_delete_tensor_object(tensor *self);
int32_t aoti_torch_create_cuda_stream_guard(void *stream, int32_t device_index, void **guard);
int32_t aoti_torch_delete_cuda_stream_guard(void *guard);

#define EXPORT(name, ...) \
    __attribute__((visibility("default"))) int32_t AOTInductorModelContainer##name(__VA_ARGS__); \
    int32_t AOTInductorModelContainer##name(__VA_ARGS__)

EXPORT(CreateWithDevice, container **result, size_t models, const char *device, const char *cubins)
{
    *result = NULL;
    if (models != 1 || cubins || strncmp(device, "cuda:", 5) != 0) return 1;
    *result = calloc(1, sizeof **result);
    (*result)->index = atoi(device + 5);
    return 0;
}
EXPORT(Delete, container *self) { return free(self), 0; }
EXPORT(GetNumInputs, container *self, size_t *count) { return (void)self, *count = 2, 0; }
EXPORT(GetNumOutputs, container *self, size_t *count) { return (void)self, *count = 1, 0; }
EXPORT(GetNumConstants, container *self, size_t *count) { return (void)self, *count = 1, 0; }
EXPORT(GetConstantName, container *self, size_t index, const char **name) { return (void)self, (void)index, *name = "net_w", 0; }
EXPORT(GetConstantOriginalFQN, container *self, size_t index, const char **name) { return (void)self, (void)index, *name = "net.w", 0; }
EXPORT(UpdateUserManagedConstantBufferPairs, container *self, const pair *pairs, size_t count, bool inactive, bool whole)
{
    if (count != 1 || inactive || !whole || strcmp(pairs->name, "net_w") != 0) return 1;
    self->weight = pairs->handle;
    return 0;
}

static int32_t copy(tensor *to, tensor *from, size_t bytes, CUstream stream)
{
    void *target = NULL, *source = NULL;
    return aoti_torch_get_data_ptr(to, &target) || aoti_torch_get_data_ptr(from, &source) ||
           cuMemcpyAsync((CUdeviceptr)target, (CUdeviceptr)source, bytes, stream);
}

EXPORT(Run, container *self, tensor **inputs, size_t input_count, tensor **outputs, size_t output_count, CUstream stream, void *executor)
{
    int64_t *sizes;
    const int64_t one = 1;
    int32_t type;
    tensor *x = inputs[0], *y = inputs[1], *middle;
    void *guard;
    if (input_count != 2 || output_count != 1 || executor) return 1;
    inputs[0] = inputs[1] = NULL; /* taken */
    outputs[0] = NULL;
    int32_t failed = aoti_torch_create_cuda_stream_guard(stream, self->index, &guard) || aoti_torch_get_sizes(y, &sizes) ||
                     aoti_torch_get_device_type(x, &type) || type != 1 ||
                     aoti_torch_empty_strided(1, sizes, &one, 6, 1, self->index, &middle);
    if (!failed) {
        const size_t bytes = (size_t)sizes[0] * sizeof(float);
        failed = copy(middle, x, bytes, stream) || copy(y, middle, bytes, stream) || copy(y, self->weight, sizeof(float), stream);
        aoti_torch_delete_tensor_object(middle);
        aoti_torch_delete_cuda_stream_guard(guard);
    }
    aoti_torch_delete_tensor_object(x);
    aoti_torch_delete_tensor_object(y);
    return failed;
}
