/* SPDX-License-Identifier: Apache-2.0 */
/* Loads anything as an ONNX model with the native runtime, and runs what loads. With libFuzzer:
 *     clang -fsanitize=fuzzer,address,undefined ... tests/fuzz/fuzz_onnx.c libstoa.a -lm && ./a.out tests/fuzz/corpus/onnx
 * Without: regression_driver.c replays the corpus as a test. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/native/native.h"
#include "stoa/memory.h"

#define ROWS 19u
#define VALUES_MAX 4096u
#define AXES_MAX 8u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static uint32_t width_of(const stoa_tensor_schema *tensors, uint32_t count)
{
    uint64_t width = 0;
    for (uint32_t i = 0; i < count; i++) width += tensors[i].width;
    return width > VALUES_MAX ? UINT32_MAX : (uint32_t)width;
}

/* One array of ROWS doubles for each value, whatever its type. */
static void bind(const stoa_tensor_schema *tensors, uint32_t count, double *memory, stoa_bound *bound)
{
    for (uint32_t i = 0, value = 0; i < count; i++)
        for (uint32_t k = 0; k < tensors[i].width; k++, value++)
            bound[value] = (stoa_bound){memory + (size_t)value * ROWS, 1, (uint32_t)tensors[i].dtype, 0};
}

static stoa_queue *host_queue(void)
{
    static stoa_device *device;
    static stoa_queue *queue;
    if (!queue &&
        (stoa_device_open("host", &device, NULL) != STOA_OK || stoa_queue_create(device, STOA_QUEUE_BLOCKING, &queue, NULL) != STOA_OK))
        abort();
    return queue;
}

static void run(void *model)
{
    static stoa_bound in[VALUES_MAX], out[VALUES_MAX];
    const stoa_schema *schema = stoai_native_api.schema(model);
    const uint32_t inputs = width_of(schema->inputs, schema->input_count), outputs = width_of(schema->outputs, schema->output_count);
    uint32_t all[AXES_MAX], one[AXES_MAX];
    stoa_error err;
    size_t bytes = 0;
    void *instance = NULL;
    if (inputs == UINT32_MAX || outputs == UINT32_MAX || schema->axis_count > AXES_MAX) return;
    for (uint32_t i = 0; i < schema->axis_count; i++) {
        all[i] = ROWS;
        one[i] = 1;
    }
    if (stoai_native_api.workspace(model, (stoa_place){STOA_PLACE_HOST, 0}, all, &bytes, NULL) != STOA_OK) abort();
    if (bytes > (size_t)1 << 26) return;
    void *workspace = stoa_alloc(bytes, 256);
    double *memory = stoa_calloc((size_t)(inputs + outputs) * ROWS, sizeof *memory);
    if (!workspace || !memory) abort();
    bind(schema->inputs, schema->input_count, memory, in);
    bind(schema->outputs, schema->output_count, memory + (size_t)inputs * ROWS, out);
    if (stoai_native_api.open(model, host_queue(), workspace, bytes, all, &instance, NULL) != STOA_OK) abort();
    /* Row numbers are any: those that are beyond their axis fail the run, and nothing else does. */
    if (stoai_native_api.run(instance, in, out, 0, all, &err) != STOA_OK && err.status != STOA_ERUNTIME) abort();
    if (stoai_native_api.run(instance, in, out, ROWS - 1, one, &err) != STOA_OK && err.status != STOA_ERUNTIME) abort();
    stoai_native_api.close(instance);
    stoa_free(memory, (size_t)(inputs + outputs) * ROWS * sizeof *memory);
    stoa_free(workspace, bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    void *model = NULL;
    stoa_error err = {.message = ""};
    const stoa_status status = stoai_native_api.load(data, bytes, NULL, &model, &err);
    if (status == STOA_OK) run(model);
    else if (model || !err.message[0] || err.status != status) abort();
    stoai_native_api.unload(model);
    return 0;
}
