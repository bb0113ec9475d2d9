// SPDX-License-Identifier: Apache-2.0
// One call: views of the bound columns in, results into the bound columns out, and the thread as it was before.
#include "runtime/torchscript/script.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <omp.h>

#include <cstdarg>
#include <cstdio>
#include <cstring>

extern "C" int MKL_Set_Num_Threads_Local(int count) __attribute__((weak));  // of libtorch, where it is built with MKL

namespace stoai
{

void fail(stoa_status status, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    throw failure{status, text};
}

namespace
{

// The first line; or of a report of the interpreter, which holds a trace first, the line with the reason: "RuntimeError: ...".
std::string reason_of(const std::string &text)
{
    const size_t reason = text.rfind("Error: ");
    const size_t from = reason == std::string::npos ? 0 : text.find_last_of("\n ", reason) + 1;
    return text.substr(from, text.find('\n', from) - from);
}

}  // namespace

stoa_status caught(stoa_status otherwise, const char *what, stoa_error *err) noexcept
{
    try {
        throw;
    } catch (const failure &known) {
        return stoa_error_set(err, known.status, 0, STOA_HERE, "%s", known.message.c_str());
    } catch (const c10::Error &error) {
        return stoa_error_set(err, otherwise, 0, STOA_HERE, "%s: PyTorch: %s", what, reason_of(error.what_without_backtrace()).c_str());
    } catch (const std::bad_alloc &) {
        return stoa_error_set(err, STOA_ENOMEM, 0, STOA_HERE, "%s: out of memory", what);
    } catch (const std::exception &error) {
        return stoa_error_set(err, otherwise, 0, STOA_HERE, "%s: PyTorch: %s", what, reason_of(error.what()).c_str());
    } catch (...) {
        return stoa_error_set(err, otherwise, 0, STOA_HERE, "%s: PyTorch threw something that is no exception", what);
    }
}

// ---- the calling thread -------------------------------------------------------------------------------------------------------

scope::scope() : threads_(at::get_num_threads())
{
    // OpenMP's and MKL's counts of this thread alone; at::set_num_threads would change those of the process.
    if (threads_ != 1) omp_set_num_threads(1);
    if (MKL_Set_Num_Threads_Local) mkl_threads_ = MKL_Set_Num_Threads_Local(1);
}

scope::~scope()
{
    if (MKL_Set_Num_Threads_Local) MKL_Set_Num_Threads_Local(mkl_threads_);
    if (threads_ != 1) omp_set_num_threads(threads_);
}

// ---- views --------------------------------------------------------------------------------------------------------------------

namespace
{

char nothing[64];  // address of tensors without rows

at::ScalarType type_of(stoa_dtype dtype)
{
    switch (static_cast<int>(dtype)) {
    case STOA_FLOAT32: return at::kFloat;
    case STOA_FLOAT64: return at::kDouble;
    case STOA_FLOAT16: return at::kHalf;
    case STOA_BFLOAT16: return at::kBFloat16;
    case STOA_INT8: return at::kChar;
    case STOA_INT16: return at::kShort;
    case STOA_INT32: return at::kInt;
    case STOA_INT64: return at::kLong;
    case STOA_UINT8: return at::kByte;
    case STOA_BOOL: return at::kBool;
    default: fail(STOA_EDTYPE, "dtype %s: PyTorch has no such columns", stoa_dtype_name(dtype));
    }
}

int64_t rows_of(const stoa_tensor_schema &tensor, const uint32_t *rows) { return tensor.axis == STOA_AXIS_ONE ? 1 : rows[tensor.axis]; }

char *row_address(const stoa_tensor_schema &tensor, const stoa_bound &value, uint32_t first)
{
    const int64_t bytes = static_cast<int64_t>(stoa_dtype_bytes(tensor.dtype));
    if (!value.data) return nothing;
    return static_cast<char *>(value.data) + (tensor.axis == STOA_AXIS_ONE ? 0 : first * value.row_stride * bytes);
}

// The stride of each extent of a row, from the addresses of the values that are next along it.
void strides_of(const stoa_tensor_schema &tensor, const stoa_bound *values, int64_t *strides)
{
    uint32_t step = tensor.width;
    for (uint32_t axis = 0; axis < tensor.rank; axis++) {
        step /= tensor.shape[axis];
        strides[axis] = tensor.shape[axis] > 1 ? (static_cast<char *>(values[step].data) - static_cast<char *>(values[0].data)) /
                                                     static_cast<int64_t>(stoa_dtype_bytes(tensor.dtype))
                                               : 0;
    }
}

// Which device it is memory of is said, not looked up: that would be a call of the driver that a capture forbids.
at::Tensor view(void *data, at::IntArrayRef sizes, at::IntArrayRef strides, at::ScalarType type, at::Device device)
{ return at::for_blob(data, sizes).strides(strides).target_device(device).options(at::dtype(type).device(device)).make_tensor(); }

// The bound tensor where it lies: [rows, *shape], or with the rows last, in the order of memory, as the manifest's convention has it.
at::Tensor view_of(const stoa_tensor_schema &tensor, at::Device device, const stoa_bound *values, uint32_t first, const uint32_t *rows,
                   bool rows_last)
{
    int64_t sizes[STOA_SHAPE_RANK_MAX + 1], strides[STOA_SHAPE_RANK_MAX + 1];
    const uint32_t rank = tensor.rank, shape_at = rows_last ? 0 : 1, rows_at = rows_last ? rank : 0;
    strides_of(tensor, values, strides + shape_at);
    for (uint32_t i = 0; i < rank; i++) sizes[shape_at + i] = tensor.shape[i];
    if (rows_last && tensor.column_major && rank > 1) {
        std::swap(sizes[rank - 2], sizes[rank - 1]);
        std::swap(strides[rank - 2], strides[rank - 1]);
    }
    sizes[rows_at] = rows_of(tensor, rows);
    strides[rows_at] = values->row_stride;
    return view(row_address(tensor, *values, first), at::IntArrayRef(sizes, rank + 1), at::IntArrayRef(strides, rank + 1),
                type_of(tensor.dtype), device);
}

std::vector<c10::IValue> input_views(const script_model &model, at::Device device, const stoa_bound *inputs, uint32_t first,
                                     const uint32_t *rows)
{
    const stoa_schema &schema = model.package.schema;
    std::vector<c10::IValue> arguments;
    for (uint32_t i = 0; i < schema.input_count; inputs += schema.inputs[i++].width)
        arguments.emplace_back(view_of(schema.inputs[i], device, inputs, first, rows, model.in_place));
    return arguments;
}

// ---- calls --------------------------------------------------------------------------------------------------------------------

// The convention of stoa.export: what tells the rows of an axis without outputs, then each output column.
void add_outputs(const script_model &model, at::Device device, const stoa_bound *outputs, uint32_t first, const uint32_t *rows,
                 std::vector<c10::IValue> &arguments)
{
    const stoa_schema &schema = model.package.schema;
    for (uint32_t axis = 0; axis < schema.axis_count; axis++)
        if (model.package.carriers[axis] == PACKAGE_CARRIER_EXTRA)
            arguments.emplace_back(view(nothing, int64_t{rows[axis]}, int64_t{0}, at::kByte, device));
    for (uint32_t i = 0; i < schema.output_count; i++)
        for (uint32_t k = 0; k < schema.outputs[i].width; k++, outputs++)
            arguments.emplace_back(view(row_address(schema.outputs[i], *outputs, first), rows_of(schema.outputs[i], rows),
                                        outputs->row_stride, type_of(schema.outputs[i].dtype), device));
}

std::string text_of(at::IntArrayRef sizes)
{
    std::string text = "[";
    for (const int64_t size : sizes) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
    return text + "]";
}

void store(const stoa_tensor_schema &tensor, at::Device device, const at::Tensor &result, const stoa_bound *outputs, uint32_t first,
           const uint32_t *rows)
{
    const int64_t count = rows_of(tensor, rows);
    const at::Tensor column = view_of(tensor, device, outputs, first, rows, false);
    if (result.scalar_type() != type_of(tensor.dtype))
        fail(STOA_EDTYPE, "output '%s': the model gives %s, the signature says %s", tensor.name, c10::toString(result.scalar_type()),
             stoa_dtype_name(tensor.dtype));
    if (result.device() != device)
        fail(STOA_EPLACE, "output '%s': the model gives it on %s, the queue is on %s", tensor.name, result.device().str().c_str(),
             device.str().c_str());
    if (result.numel() != column.numel() || (count != 1 && (result.dim() == 0 || result.size(0) != count)))
        fail(STOA_ESHAPE, "output '%s': the model gives %s, the signature says %s", tensor.name, text_of(result.sizes()).c_str(),
             text_of(column.sizes()).c_str());
    column.copy_(result.reshape(column.sizes()));
}

void store_all(const script_model &model, at::Device device, const c10::IValue &result, const stoa_bound *outputs, uint32_t first,
               const uint32_t *rows)
{
    const stoa_schema &schema = model.package.schema;
    std::vector<c10::IValue> results;
    if (result.isTuple()) results = result.toTupleRef().elements().vec();
    else if (result.isList()) results = result.toListRef().vec();
    else results.push_back(result);
    if (results.size() != schema.output_count)
        fail(STOA_ESHAPE, "model: it gives %zu outputs, the signature says %u", results.size(), schema.output_count);
    for (uint32_t i = 0; i < schema.output_count; outputs += schema.outputs[i++].width) {
        if (!results[i].isTensor())
            fail(STOA_EDTYPE, "output '%s': the model gives a %s, no tensor", schema.outputs[i].name, results[i].tagKind().c_str());
        store(schema.outputs[i], device, results[i].toTensor(), outputs, first, rows);
    }
}

}  // namespace

void call(const script_model &model, const torch::jit::Module &module, at::Device device, const stoa_bound *inputs,
          const stoa_bound *outputs, uint32_t first, const uint32_t *rows)
{
    std::vector<c10::IValue> arguments = input_views(model, device, inputs, first, rows);
    if (model.in_place) add_outputs(model, device, outputs, first, rows, arguments);
    // The plain executor interprets the graph as it was frozen. The profiling one would record the first run and compile in the second,
    // under a process-wide lock, and again for new shapes; a queue's first events must cost what all others cost.
    const torch::jit::GraphOptimizerEnabledGuard plain(false); // of this thread
    const c10::IValue result = module.get_method("forward")(std::move(arguments));
    if (!model.in_place) store_all(model, device, result, outputs, first, rows);
}

}  // namespace stoai
