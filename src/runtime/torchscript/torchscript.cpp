// SPDX-License-Identifier: Apache-2.0
// The runtime of TorchScript files, as a plugin that exports C only: every exception ends here.
#include "runtime/torchscript/script.hpp"

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <torch/version.h>

#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>

#include "plugin/plugin_host.h"
#include "runtime/package/zeros.h"
#include "stoa/device.h"

namespace stoai
{
namespace
{

struct script_instance {
    const script_model *model;
    torch::jit::Module module; // the model's, on `device`
    at::Device device{at::kCPU};
    stoa_queue *queue = nullptr;
    uint64_t allocations_per_call = 0, calls = 0;
};

// "2.13.0" of the torch package whose lib/libtorch_cpu.so is at `library`; empty when it does not tell.
std::string version_beside(const std::string &library)
{
    std::ifstream file(library.substr(0, library.rfind("/lib/")) + "/version.py");
    for (std::string line; std::getline(file, line);)
        if (line.rfind("__version__", 0) == 0) {
            const size_t from = line.find('\'') + 1;
            return line.substr(from, line.find_first_of("+'", from) - from);
        }
    return "";
}

// The loader has bound this library to its libtorch already; what STOA_TORCH names must be of the same version.
stoa_status probe(char *where, size_t capacity, stoa_error *err)
{
    Dl_info info;
    const char *loaded = dladdr(reinterpret_cast<void *>(&torch::jit::freeze), &info) && info.dli_fname ? info.dli_fname : "?";
    if (const char *named = secure_getenv("STOA_TORCH"); named && *named) {
        char path[1024];
        STOA_TRY(stoai_package_find_library("STOA_TORCH", "torch/lib/libtorch_cpu.so", path, sizeof path, err));
        const std::string version = version_beside(path);
        if (version != TORCH_VERSION)
            return STOA_FAIL(err, STOA_EABI, "STOA_TORCH is '%s', version '%s'; runtime 'torchscript' was built with %s at %s", named,
                             version.c_str(), TORCH_VERSION, loaded);
    }
    std::snprintf(where, capacity, "plugin; libtorch " TORCH_VERSION ", %s", loaded);
    return STOA_OK;
}

// ---- models -------------------------------------------------------------------------------------------------------------------

void unload(void *handle) { delete static_cast<script_model *>(handle); }

extern "C" const stoa_runtime_api stoai_torchscript_api;

stoa_status load_model(const void *data, size_t bytes, const stoa_model_options *options, void **handle, stoa_error *err)
{
    *handle = nullptr;
    std::unique_ptr<script_model> model;
    try {
        const scope inside;
        model = std::make_unique<script_model>();
        load(data, bytes, options, *model);
    } catch (...) {
        return caught(STOA_EFORMAT, "model", err);
    }
    if (options && options->self_check) STOA_TRY(stoai_package_self_check(&model->package, &stoai_torchscript_api, model.get(), err));
    *handle = model.release();
    return STOA_OK;
}

const stoa_schema *schema(const void *handle) { return &static_cast<const script_model *>(handle)->package.schema; }
const stoa_capabilities *capabilities(const void *handle) { return &static_cast<const script_model *>(handle)->capabilities; }
const char *plan_step(const void *handle, uint32_t index)
{ return index ? nullptr : static_cast<const script_model *>(handle)->summary.c_str(); }

// ---- sessions -----------------------------------------------------------------------------------------------------------------

stoa_status workspace(const void *, stoa_place place, const uint32_t *, size_t *bytes, stoa_error *err)
{
    *bytes = 0;
    if (place.type == STOA_PLACE_HOST) return STOA_OK;
    if (place.type != STOA_PLACE_CUDA)
        return STOA_FAIL(err, STOA_ENOTSUP, "runtime 'torchscript': for cpu and cuda, the queue's device has type %d",
                         static_cast<int>(place.type));
    try {
        need_cuda();
        return STOA_OK;
    } catch (...) {
        return caught(STOA_ENOTSUP, "session", err);
    }
}

stoa_status run(void *handle, const stoa_bound *inputs, const stoa_bound *outputs, uint32_t first, const uint32_t *rows, stoa_error *err)
{
    auto *instance = static_cast<script_instance *>(handle);
    try {
        const scope inside;
        const stream_scope stream(instance->queue, instance->device);
        call(*instance->model, instance->module, instance->device, inputs, outputs, first, rows);
    } catch (...) {
        return caught(STOA_ERUNTIME, "run", err);
    }
    instance->calls++;
    return STOA_OK;
}

// Hears of every block that PyTorch's allocator hands out on this thread. It takes a lock of the process: not for every run.
struct counter final : c10::MemoryReportingInfoBase {
    uint64_t blocks = 0;
    void reportMemoryUsage(void *, int64_t bytes, size_t, size_t, c10::Device) override { blocks += bytes > 0; }
    bool memoryProfilingEnabled() const override { return true; }
};

class zeros
{
public:
    zeros(const script_instance &instance, size_t bytes)
    {
        stoa_error err;
        stoa_queue *queue = instance.device.is_cuda() ? instance.queue : nullptr;
        if (stoai_zeros_make(&zeros_, queue, bytes, &err) != STOA_OK) throw failure{err.status, err.message};
    }
    ~zeros() { stoai_zeros_end(&zeros_); }
    zeros(const zeros &) = delete;
    zeros &operator=(const zeros &) = delete;
    char *data() { return zeros_.data; }

private:
    stoai_zeros zeros_{};
};

constexpr size_t warm_rows = 2, warm_bytes = warm_rows * sizeof(double); // of one value, whatever its type

// A call on zeros: the interpreter's plan is made here and not in the first event, and the blocks of a call are counted.
stoa_status warm(script_instance *instance, const uint32_t *max_rows, stoa_error *err)
{
    const script_model &model = *instance->model;
    const stoa_schema &all = model.package.schema;
    uint32_t rows[PACKAGE_AXES_MAX];
    for (uint32_t i = 0; i < all.axis_count; i++) rows[i] = std::min<uint32_t>(max_rows[i], warm_rows);
    const uint32_t count = all.input_count + all.output_count, input_values = stoai_package_values(all.inputs, all.input_count);
    zeros memory(*instance, warm_bytes * stoai_package_values(model.package.tensors, count));
    std::vector<stoa_bound> values;
    for (uint32_t t = 0; t < count; t++)
        for (uint32_t k = 0; k < model.package.tensors[t].width; k++)
            values.push_back({memory.data() + warm_bytes * values.size(), 1, static_cast<uint32_t>(model.package.tensors[t].dtype), 0});
    STOA_TRY(run(instance, values.data(), values.data() + input_values, 0, rows, err)); // plans
    const auto heard = std::make_shared<counter>();
    const c10::DebugInfoGuard listening(c10::DebugInfoKind::PROFILER_STATE, heard);
    const uint64_t before = blocks_taken();
    STOA_TRY(run(instance, values.data(), values.data() + input_values, 0, rows, err));
    instance->allocations_per_call = heard->blocks + blocks_taken() - before;
    instance->calls = 0;
    return STOA_OK;
}

at::Device device_of(const stoa_queue *queue) // NULL: of a check of the file, on the host
{
    if (!queue) return at::kCPU;
    const stoa_place place = stoa_device_place(stoa_queue_device(queue));
    if (place.type == STOA_PLACE_HOST) return at::kCPU;
    return {at::kCUDA, static_cast<c10::DeviceIndex>(place.index)};
}

stoa_status open_instance(const void *handle, stoa_queue *queue, void *, size_t, const uint32_t *max_rows, void **result, stoa_error *err)
{
    auto *model = const_cast<script_model *>(static_cast<const script_model *>(handle)); // const but for its list of devices
    *result = nullptr;
    try {
        auto instance = std::make_unique<script_instance>();
        instance->model = model;
        instance->queue = queue;
        instance->device = device_of(queue);
        {
            const scope inside;
            const stream_scope stream(queue, instance->device);
            instance->module = module_on(*model, instance->device);
        }
        STOA_TRY(warm(instance.get(), max_rows, err));
        *result = instance.release();
    } catch (...) {
        return caught(STOA_ERUNTIME, "session", err);
    }
    return STOA_OK;
}

// On a device PyTorch gives the weights' memory back looking at no other stream than the one that loaded them.
void close_instance(void *handle)
{
    auto *instance = static_cast<script_instance *>(handle);
    const bool waited = !instance->device.is_cuda() || stoa_queue_wait(instance->queue, nullptr) == STOA_OK;
    (void)waited; // if not, the device is lost, and its memory with it
    delete instance;
}

uint64_t run_allocations(const void *handle)
{
    const auto *instance = static_cast<const script_instance *>(handle);
    return instance->calls * instance->allocations_per_call;
}

stoa_status share(stoa_error *err)
{
    try {
        share_memory();
        return STOA_OK;
    } catch (...) {
        return caught(STOA_ERUNTIME, "memory", err);
    }
}

extern "C" const stoa_runtime_api stoai_torchscript_api = {sizeof(stoa_runtime_api),
                                                           STOA_RUNTIME_ABI,
                                                           "torchscript",
                                                           ".pt",
                                                           probe,
                                                           load_model,
                                                           unload,
                                                           schema,
                                                           capabilities,
                                                           plan_step,
                                                           workspace,
                                                           open_instance,
                                                           close_instance,
                                                           run,
                                                           run_allocations,
                                                           nullptr,
                                                           nullptr,
                                                           nullptr,
                                                           share};

}  // namespace
}  // namespace stoai

extern "C" {
STOAI_RUNTIME_ENTRY(stoai::stoai_torchscript_api)
}
