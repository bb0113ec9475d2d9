/* SPDX-License-Identifier: Apache-2.0 */
/* Tensor objects with the C ABI of torch/csrc/inductor/aoti_torch/c/shim.h. Every function returns 0, or 1 with a message kept. */
#include "runtime/aoti/shim.h"

#include <string.h>

#include "runtime/aoti/shim_internal.h"

/* PyTorch's numbers of types (c10/core/ScalarType.h). */
static const struct {
    int32_t type;
    stoa_dtype dtype;
    uint32_t bytes;
} types[] = {{0, STOA_UINT8, 1},   {1, STOA_INT8, 1},    {2, STOA_INT16, 2},   {3, STOA_INT32, 4}, {4, STOA_INT64, 8},
             {5, STOA_FLOAT16, 2}, {6, STOA_FLOAT32, 4}, {7, STOA_FLOAT64, 8}, {11, STOA_BOOL, 1}, {15, STOA_BFLOAT16, 2}};
enum { TYPE_COUNT = sizeof types / sizeof *types };

int32_t stoai_shim_type(stoa_dtype dtype)
{
    for (int i = 0; i < TYPE_COUNT; i++)
        if (types[i].dtype == dtype) return types[i].type;
    return -1;
}

size_t stoai_shim_type_bytes(int32_t type)
{
    for (int i = 0; i < TYPE_COUNT; i++)
        if (types[i].type == type) return types[i].bytes;
    return 0;
}

/* ---- making and ending ----------------------------------------------------------------------------------------------- */

/* An object over `storage`, which gains a reference; NULL with a message. */
static shim_tensor *make(shim_storage *storage, int64_t dim, const int64_t *sizes, const int64_t *strides, int64_t offset, int32_t type)
{
    if (dim < 0 || dim > SHIM_RANK_MAX) {
        stoai_shim_fail("a tensor of %lld dimensions, at most %d can be had", (long long)dim, SHIM_RANK_MAX);
        return NULL;
    }
    shim_tensor *tensor = stoai_shim_tensor_take();
    if (!tensor) {
        stoai_shim_fail("more tensor objects at one time than when the session was planned");
        return NULL;
    }
    tensor->dim = dim;
    tensor->offset = offset;
    tensor->type = type;
    tensor->storage = storage;
    tensor->data = (char *)storage->data + offset * (int64_t)stoai_shim_type_bytes(type);
    if (dim) {
        memcpy(tensor->sizes, sizes, (size_t)dim * sizeof *sizes);
        memcpy(tensor->strides, strides, (size_t)dim * sizeof *strides);
    }
    if (storage->is_counted) storage->refs++;
    return tensor;
}

size_t stoai_shim_extent_bytes(int64_t dim, const int64_t *sizes, const int64_t *strides, int32_t type)
{
    int64_t last = 0;
    for (int64_t i = 0; i < dim; i++) {
        if (sizes[i] == 0) return 0;
        last += (sizes[i] - 1) * strides[i];
    }
    return (size_t)(last + 1) * stoai_shim_type_bytes(type);
}

static int32_t make_with_storage(const shim_storage *what, int64_t dim, const int64_t *sizes, const int64_t *strides, int64_t offset,
                                 int32_t type, shim_tensor **result)
{
    shim_storage *storage = stoai_shim_storage_take();
    if (!storage) return stoai_shim_fail("more tensors at one time than when the session was planned");
    *storage = *what;
    storage->is_counted = stoai_shim_current() != NULL;
    *result = make(storage, dim, sizes, strides, offset, type);
    if (*result) (*result)->is_first = true;
    else stoai_shim_storage_give(storage, stoai_shim_current());
    return *result ? 0 : 1;
}

int32_t stoai_shim_from_blob(void *data, int64_t dim, const int64_t *sizes, const int64_t *strides, int64_t offset, int32_t type,
                             int32_t device_type, int32_t device_index, shim_tensor **result)
{
    *result = NULL;
    if (device_type != SHIM_CPU && device_type != SHIM_CUDA)
        return stoai_shim_fail("a tensor on device type %d, the host's (0) and CUDA's (1) are served", device_type);
    const shim_storage storage = {.data = data,
                                  .bytes = stoai_shim_extent_bytes(dim, sizes, strides, type),
                                  .device_type = device_type,
                                  .device_index = device_index};
    return make_with_storage(&storage, dim, sizes, strides, offset, type, result);
}

static int32_t from_blob_v2(void *data, int64_t dim, const int64_t *sizes, const int64_t *strides, int64_t offset, int32_t type,
                            int32_t device_type, int32_t device_index, shim_tensor **result, int32_t layout, const uint8_t *metadata,
                            int64_t metadata_bytes)
{
    (void)metadata, (void)metadata_bytes;
    *result = NULL;
    if (layout != 0) return stoai_shim_fail("a tensor of layout %d, only strided ones (0) are served", layout);
    return stoai_shim_from_blob(data, dim, sizes, strides, offset, type, device_type, device_index, result);
}

int32_t stoai_shim_empty(int64_t dim, const int64_t *sizes, const int64_t *strides, int32_t type, int32_t device_type, int32_t device_index,
                         shim_tensor **result)
{
    *result = NULL;
    shim_context *context = stoai_shim_current();
    const size_t bytes = stoai_shim_extent_bytes(dim, sizes, strides, type);
    if (!context) return stoai_shim_fail("an intermediate tensor outside of a run");
    if (device_type != context->device_type || (device_index >= 0 && device_index != context->device_index))
        return stoai_shim_fail("an intermediate tensor on device %d:%d, the session's is %d:%d", device_type, device_index,
                               context->device_type, context->device_index);
    void *data = stoai_shim_block(context, bytes);
    if (!data)
        return context->out_of_memory
                   ? stoai_shim_fail("no memory for an intermediate tensor of %zu bytes", bytes)
                   : stoai_shim_fail("%zu bytes of intermediate memory do not fit the workspace of %zu bytes", bytes, context->arena.bytes);
    const shim_storage storage = {
        .data = data, .bytes = bytes, .is_block = true, .device_type = device_type, .device_index = context->device_index};
    return make_with_storage(&storage, dim, sizes, strides, 0, type, result);
}

static void let_go(shim_tensor *tensor)
{
    shim_storage *storage = tensor->storage;
    if (storage->is_counted ? --storage->refs == 0 : tensor->is_first)
        stoai_shim_storage_give(storage, storage->is_counted ? tensor->owner : NULL);
}

int32_t stoai_shim_delete(shim_tensor *tensor)
{
    if (!tensor) return 0;
    let_go(tensor);
    stoai_shim_tensor_give(tensor);
    return 0;
}

/* As the model calls it: a weight is ours to end. */
static int32_t delete_of_model(shim_tensor *tensor) { return tensor && tensor->owner ? stoai_shim_delete(tensor) : 0; }

static int32_t reinterpret(shim_tensor *self, int64_t dim, const int64_t *sizes, const int64_t *strides, int64_t offset,
                           shim_tensor **result)
{
    *result = make(self->storage, dim, sizes, strides, self->offset + offset, self->type);
    return *result ? 0 : 1;
}

/* Outside of runs a container takes handles of its weights, and keeps them for ever: they are the weights themselves. */
static int32_t new_handle(shim_tensor *self, shim_tensor **result)
{
    if (!stoai_shim_current()) return *result = self, 0;
    *result = make(self->storage, self->dim, self->sizes, self->strides, self->offset, self->type);
    return *result ? 0 : 1;
}

static int32_t assign(shim_tensor *from, shim_tensor *to)
{
    if (from->storage->is_counted) from->storage->refs++;
    let_go(to);
    shim_context *owner = to->owner;
    *to = *from;
    to->owner = owner;
    to->is_first = false;
    return 0;
}

/* ---- contents -------------------------------------------------------------------------------------------------------- */

/* Copies or clears along the axes from `axis` on. */
static void walk(char *to, const int64_t *to_strides, const char *from, const int64_t *from_strides, const int64_t *sizes, int64_t dim,
                 size_t bytes)
{
    if (dim == 0) {
        if (from) memcpy(to, from, bytes);
        else memset(to, 0, bytes);
        return;
    }
    for (int64_t i = 0; i < sizes[0]; i++)
        walk(to + i * to_strides[0] * (int64_t)bytes, to_strides + 1, from ? from + i * from_strides[0] * (int64_t)bytes : NULL,
             from ? from_strides + 1 : NULL, sizes + 1, dim - 1, bytes);
}

static bool on_host(const shim_tensor *t) { return t->storage->device_type == SHIM_CPU; }

static int32_t copy(shim_tensor *self, shim_tensor *source, int32_t non_blocking)
{
    (void)non_blocking;
    if (!on_host(self) || !on_host(source)) return stoai_shim_fail("copy_ on a GPU is served by libtorch only; export with libtorch=True");
    if (self->dim != source->dim || self->type != source->type || memcmp(self->sizes, source->sizes, (size_t)self->dim * 8))
        return stoai_shim_fail("copy_ between tensors of different shape or type (%d and %d)", self->type, source->type);
    walk(self->data, self->strides, source->data, source->strides, self->sizes, self->dim, stoai_shim_type_bytes(self->type));
    return 0;
}

static int32_t clone(shim_tensor *self, shim_tensor **result)
{
    int64_t strides[SHIM_RANK_MAX], next = 1;
    for (int64_t i = self->dim; i-- > 0; next *= self->sizes[i]) strides[i] = next;
    if (stoai_shim_empty(self->dim, self->sizes, strides, self->type, self->storage->device_type, -1, result)) return 1;
    return copy(*result, self, 0);
}

static int32_t clone_strides(shim_tensor *self, shim_tensor **result)
{
    if (stoai_shim_empty(self->dim, self->sizes, self->strides, self->type, self->storage->device_type, -1, result)) return 1;
    return copy(*result, self, 0);
}

static int32_t zero(shim_tensor *self)
{
    if (!on_host(self)) return stoai_shim_fail("zero_ on a GPU is served by libtorch only; export with libtorch=True");
    walk(self->data, self->strides, NULL, NULL, self->sizes, self->dim, stoai_shim_type_bytes(self->type));
    return 0;
}

/* ---- what a tensor says of itself ------------------------------------------------------------------------------------ */

static int32_t get_data(shim_tensor *t, void **result) { return *result = t->data, 0; }
static int32_t get_dim(shim_tensor *t, int64_t *result) { return *result = t->dim, 0; }
static int32_t get_sizes(shim_tensor *t, int64_t **result) { return *result = t->sizes, 0; }
static int32_t get_strides(shim_tensor *t, int64_t **result) { return *result = t->strides, 0; }
static int32_t get_size(shim_tensor *t, int64_t axis, int64_t *result) { return *result = t->sizes[axis], 0; }
static int32_t get_stride(shim_tensor *t, int64_t axis, int64_t *result) { return *result = t->strides[axis], 0; }
static int32_t get_type(shim_tensor *t, int32_t *result) { return *result = t->type, 0; }
static int32_t get_device_type(shim_tensor *t, int32_t *result) { return *result = t->storage->device_type, 0; }
static int32_t get_device_index(shim_tensor *t, int32_t *result) { return *result = t->storage->device_index, 0; }
static int32_t get_offset(shim_tensor *t, int64_t *result) { return *result = t->offset, 0; }
static int32_t get_storage_bytes(shim_tensor *t, int64_t *result) { return *result = (int64_t)t->storage->bytes, 0; }
static int32_t get_count(shim_tensor *t, int64_t *result)
{
    *result = 1;
    for (int64_t i = 0; i < t->dim; i++) *result *= t->sizes[i];
    return 0;
}
static int32_t is_contiguous(shim_tensor *t, bool *result)
{
    int64_t next = 1;
    *result = true;
    for (int64_t i = t->dim; i-- > 0; next *= t->sizes[i])
        if (t->sizes[i] != 1 && t->strides[i] != next) *result = false;
    return 0;
}

static int32_t type_0(void) { return 0; }
static int32_t type_1(void) { return 1; }
static int32_t type_2(void) { return 2; }
static int32_t type_3(void) { return 3; }
static int32_t type_4(void) { return 4; }
static int32_t type_5(void) { return 5; }
static int32_t type_6(void) { return 6; }
static int32_t type_7(void) { return 7; }
static int32_t type_11(void) { return 11; }
static int32_t type_15(void) { return 15; }
static bool grad_is_enabled(void) { return false; }
static void set_grad(bool enabled) { (void)enabled; }
static void check(bool ok, const char *function, const char *file, uint32_t line, const char *message)
{
    (void)file, (void)line;
    if (!ok) stoai_shim_throw("%s: %s", function, message);
}
static void warn(const char *function, const char *file, uint32_t line, const char *message)
{ (void)function, (void)file, (void)line, (void)message; }

#define SERVE(name, function) {"aoti_torch_" name, (void (*)(void))(function)}
static const shim_symbol tensor_functions[] = {
    SERVE("create_tensor_from_blob", stoai_shim_from_blob),
    SERVE("create_tensor_from_blob_v2", from_blob_v2),
    SERVE("empty_strided", stoai_shim_empty),
    SERVE("delete_tensor_object", delete_of_model),
    SERVE("_reinterpret_tensor", reinterpret),
    SERVE("new_tensor_handle", new_handle),
    SERVE("assign_tensors", assign),
    SERVE("assign_tensors_out", new_handle),
    SERVE("copy_", copy),
    SERVE("clone", clone),
    SERVE("clone_preserve_strides", clone_strides),
    SERVE("zero_", zero),
    SERVE("get_data_ptr", get_data),
    SERVE("get_dim", get_dim),
    SERVE("get_numel", get_count),
    SERVE("get_sizes", get_sizes),
    SERVE("get_strides", get_strides),
    SERVE("get_size", get_size),
    SERVE("get_stride", get_stride),
    SERVE("get_dtype", get_type),
    SERVE("get_device_type", get_device_type),
    SERVE("get_device_index", get_device_index),
    SERVE("get_storage_offset", get_offset),
    SERVE("get_storage_size", get_storage_bytes),
    SERVE("is_contiguous", is_contiguous),
    SERVE("dtype_element_size", stoai_shim_type_bytes),
    SERVE("layout_strided", type_0),
    SERVE("device_type_cpu", type_0),
    SERVE("device_type_cuda", type_1),
    SERVE("dtype_uint8", type_0),
    SERVE("dtype_int8", type_1),
    SERVE("dtype_int16", type_2),
    SERVE("dtype_int32", type_3),
    SERVE("dtype_int64", type_4),
    SERVE("dtype_float16", type_5),
    SERVE("dtype_float32", type_6),
    SERVE("dtype_float64", type_7),
    SERVE("dtype_bool", type_11),
    SERVE("dtype_bfloat16", type_15),
    SERVE("grad_mode_is_enabled", grad_is_enabled),
    SERVE("grad_mode_set_enabled", set_grad),
    SERVE("check", check),
    SERVE("warn", warn),
    {NULL, NULL},
};

void *stoai_shim_lookup(const shim_symbol *table, const char *name)
{
    for (; table->name; table++)
        if (strcmp(table->name, name) == 0) {
            void *address;
            memcpy(&address, &table->function, sizeof address);
            return address;
        }
    return NULL;
}

void *stoai_shim_find(const char *name)
{
    void *found = stoai_shim_lookup(tensor_functions, name);
    if (!found) found = stoai_shim_lookup(stoai_shim_products, name);
    if (!found) found = stoai_shim_lookup(stoai_shim_guards_of_cuda, name);
    return found ? found : stoai_shim_find_math(name);
}
