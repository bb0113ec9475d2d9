/* SPDX-License-Identifier: Apache-2.0 */
#include "device_tensors.h"

#include <math.h>
#include <string.h>

#include "bench_internal.h"
#include "stoa/buffer.h"

enum { WIDTH_MAX = 128, TENSOR_ALIGN = STOA_BUFFER_ALIGN_BYTES }; /* TensorRT asks for it */

static uint32_t tensor_count(const device_tensors *self) { return self->schema->input_count + self->schema->output_count; }

static const stoa_tensor_schema *tensor_at(const device_tensors *self, uint32_t index)
{ return index < self->schema->input_count ? &self->schema->inputs[index] : &self->schema->outputs[index - self->schema->input_count]; }

/* Where value k of a row lies: its element in the tensor's part of the block. */
static size_t element(const device_tensors *self, const stoa_tensor_schema *tensor, bool in_rows, uint32_t row, uint32_t k)
{ return in_rows ? (size_t)row * tensor->width + k : (size_t)k * self->pitch + row; }

stoa_status device_tensors_plan(device_tensors *self, const stoa_schema *schema, uint32_t rows, stoa_error *err)
{
    *self = (device_tensors){.schema = schema, .rows = rows, .pitch = bench_padded(rows)};
    if (tensor_count(self) > DEVICE_TENSORS_MAX || schema->axis_count > DEVICE_AXES_MAX)
        return STOA_FAIL(err, STOA_ELIMIT, "%u tensors of %u row axes", tensor_count(self), schema->axis_count);
    for (uint32_t i = 0; i < schema->axis_count; i++) self->axis_rows[i] = rows;
    for (uint32_t t = 0; t < tensor_count(self); t++) {
        const stoa_tensor_schema *tensor = tensor_at(self, t);
        const bool integer = tensor->dtype == STOA_INT32 || tensor->dtype == STOA_INT64, output = t >= schema->input_count;
        if (tensor->width > WIDTH_MAX || tensor->rank > 1)
            return STOA_FAIL(err, STOA_ELIMIT, "tensor '%s': %u values in %u extents", tensor->name, tensor->width, tensor->rank);
        if (tensor->dtype != STOA_FLOAT32 && (output || !integer))
            return STOA_FAIL(err, STOA_EDTYPE, "tensor '%s': %s", tensor->name, stoa_dtype_name(tensor->dtype));
        if (t == schema->input_count) self->outputs = self->bytes;
        self->offset[t] = self->bytes;
        self->bytes += (stoa_dtype_bytes(tensor->dtype) * tensor->width * self->pitch + TENSOR_ALIGN - 1) / TENSOR_ALIGN * TENSOR_ALIGN;
    }
    return STOA_OK;
}

void device_tensors_fill(const device_tensors *self, void *columns)
{
    bench_rng rng = {self->rows};
    for (uint32_t t = 0; t < self->schema->input_count; t++) {
        const stoa_tensor_schema *tensor = &self->schema->inputs[t];
        void *data = (char *)columns + self->offset[t];
        for (uint32_t k = 0; k < tensor->width; k++)
            for (uint32_t row = 0; row < self->rows; row++) {
                const size_t at = element(self, tensor, false, row, k);
                if (tensor->dtype == STOA_FLOAT32) ((float *)data)[at] = (float)bench_uniform(&rng);
                else if (tensor->dtype == STOA_INT32) ((int32_t *)data)[at] = (int32_t)row;
                else ((int64_t *)data)[at] = row;
            }
    }
}

void device_tensors_to_rows(const device_tensors *self, const void *columns, void *rows)
{
    for (uint32_t t = 0; t < self->schema->input_count; t++) {
        const stoa_tensor_schema *tensor = &self->schema->inputs[t];
        const size_t bytes = stoa_dtype_bytes(tensor->dtype);
        const char *from = (const char *)columns + self->offset[t];
        char *to = (char *)rows + self->offset[t];
        for (uint32_t k = 0; k < tensor->width; k++)
            for (uint32_t row = 0; row < self->rows; row++)
                memcpy(to + bytes * element(self, tensor, true, row, k), from + bytes * element(self, tensor, false, row, k), bytes);
    }
}

stoa_status device_tensors_bind(const device_tensors *self, stoa_session *session, void *memory, stoa_place place, bool in_rows,
                                stoa_error *err)
{
    for (uint32_t t = 0; t < tensor_count(self); t++) {
        stoa_column columns[WIDTH_MAX];
        const stoa_tensor_schema *tensor = tensor_at(self, t);
        char *data = (char *)memory + self->offset[t];
        for (uint32_t k = 0; k < tensor->width; k++)
            columns[k] = stoa_column_over(data + stoa_dtype_bytes(tensor->dtype) * element(self, tensor, in_rows, 0, k), tensor->dtype,
                                          self->rows, in_rows ? tensor->width : 1, place);
        STOA_TRY(stoa_session_bind(session, tensor->name, stoa_tensor_of(columns, tensor->width), err));
    }
    return STOA_OK;
}

stoa_status device_tensors_run(const device_tensors *self, stoa_session *session, stoa_error *err)
{ return stoa_session_run_sizes(session, self->axis_rows, self->schema->axis_count, err); }

double device_tensors_traffic(const device_tensors *self)
{
    double bytes = 0;
    for (uint32_t t = 0; t < tensor_count(self); t++)
        bytes += (double)stoa_dtype_bytes(tensor_at(self, t)->dtype) * tensor_at(self, t)->width * self->rows;
    return bytes;
}

double device_tensors_difference(const device_tensors *self, const void *a, const void *b, bool in_rows, double *relative)
{
    double largest = 0;
    *relative = 0;
    for (uint32_t t = self->schema->input_count; t < tensor_count(self); t++) {
        const stoa_tensor_schema *tensor = tensor_at(self, t);
        const float *expected = (const float *)(const void *)((const char *)a + self->offset[t]);
        const float *given = (const float *)(const void *)((const char *)b + self->offset[t]);
        for (uint32_t k = 0; k < tensor->width; k++)
            for (uint32_t row = 0; row < self->rows; row++) {
                const double x = (double)expected[element(self, tensor, false, row, k)],
                             y = (double)given[element(self, tensor, in_rows, row, k)];
                const bool same = x == y || (isnan(x) && isnan(y));
                const double scale = isnan(x) ? 1 : 1 + fabs(x);
                const double difference = same ? 0 : isnan(y - x) ? INFINITY : fabs(y - x);
                if (difference > largest) largest = difference;
                if (difference > *relative * scale) *relative = difference / scale;
            }
    }
    return largest;
}
