// SPDX-License-Identifier: Apache-2.0
// Loading a TorchScript file from memory, and what it takes and gives.
#include "runtime/torchscript/script.hpp"

#include <caffe2/serialize/read_adapter_interface.h>
#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/version.h>

#include <algorithm>
#include <cstring>

namespace stoai
{
namespace
{

constexpr uint32_t tile_rows = 512;  // intermediates stay in the second-level cache
constexpr size_t end_record_bytes = 22, comment_bytes_max = 65535;

// The file in memory: PyTorch reads it piece by piece and copies what it keeps.
class memory_reader final : public caffe2::serialize::ReadAdapterInterface
{
public:
    memory_reader(const void *data, size_t bytes) : data_(static_cast<const char *>(data)), bytes_(bytes) {}
    size_t size() const override { return bytes_; }
    size_t read(uint64_t position, void *buffer, size_t count, const char *) const override
    {
        const size_t from = std::min<size_t>(position, bytes_), got = std::min(count, bytes_ - from);
        std::memcpy(buffer, data_ + from, got);
        return got;
    }

private:
    const char *data_;
    size_t bytes_;
};

// A zip archive ends with its directory's record: a file cut short has none.
bool has_directory(const void *data, size_t bytes)
{
    static const char mark[] = {'P', 'K', 5, 6};
    if (bytes < end_record_bytes) return false;
    const char *start = static_cast<const char *>(data), *end = start + bytes;
    const char *first = end - std::min(bytes, end_record_bytes + comment_bytes_max);
    return std::search(first, end, mark, mark + sizeof mark) != end;
}

stoa_status read_description(const std::string &manifest, const stoa_model_options *options, script_model &model, stoa_error *err)
{
    if (!manifest.empty()) {
        STOA_TRY(stoai_package_need_no_signature(options, err));
        return stoai_package_read(manifest.data(), manifest.size(), &model.package, err);
    }
    if (options && options->signature) return stoai_package_of_signature(options->signature, &model.package, err);
    return stoa_error_set(err, STOA_EINVAL, 0, STOA_HERE,
                          "model: the file has no manifest of stoa.export; options.signature must say what it takes and gives");
}

void check_arguments(const script_model &model)
{
    const stoa_schema &schema = model.package.schema;
    size_t needed = schema.input_count;
    if (model.in_place) {
        needed += stoai_package_values(schema.outputs, schema.output_count);
        for (uint32_t axis = 0; axis < schema.axis_count; axis++) needed += model.package.carriers[axis] == PACKAGE_CARRIER_EXTRA;
    }
    const auto &arguments = model.module.get_method("forward").function().getSchema().arguments();
    size_t required = 0;
    for (const auto &argument : arguments) required += !argument.default_value();
    if (needed + 1 < required || needed + 1 > arguments.size())
        fail(STOA_ESHAPE, "model: forward takes %zu to %zu arguments, the %s gives %zu", required - 1, arguments.size() - 1,
             model.in_place ? "manifest" : "signature", needed);
}

void describe(script_model &model)
{
    // What is not of stoa.export is taken to look at all rows at once.
    const bool independent = model.in_place && model.package.row_independent;
    stoa_capabilities &can = model.capabilities;
    can.struct_size = sizeof can;
    can.inputs = STOA_RULE_STRIDED;
    can.outputs = model.in_place ? STOA_RULE_ANY : STOA_RULE_STRIDED;
    can.outputs_in_place = model.in_place;
    can.const_inputs = 1;
    can.row_independent = independent;
    can.device_row_count = 1;
    can.tile_rows = independent ? tile_rows : 0;
    can.thread_safe = 1;
    model.summary = std::string("TorchScript by libtorch " TORCH_VERSION ", frozen, plain executor, ") +
                    (model.in_place ? "stores in place" : "results are copied");
}

}  // namespace

namespace
{

// Tracing leaves the device that it ran on in the graph, where tensors are made: they belong on the one that the module runs on.
void move_constants(torch::jit::Block *block, at::Device device)
{
    for (torch::jit::Node *node : block->nodes()) {
        if (node->kind() == torch::jit::prim::Constant && node->output()->type()->kind() == c10::TypeKind::DeviceObjType)
            node->s_(torch::jit::attr::value, device.str());
        for (torch::jit::Block *inner : node->blocks()) move_constants(inner, device);
    }
}

torch::jit::Module load_on(const std::string &file, at::Device device)
{
    torch::jit::Module module = torch::jit::load(std::make_shared<memory_reader>(file.data(), file.size()), device);
    module.eval();
    for (const torch::jit::Module &part : module.modules())
        for (const torch::jit::Method &method : part.get_methods())
            move_constants(torch::jit::toGraphFunction(method.function()).graph()->block(), device);
    return torch::jit::freeze(module);
}

}  // namespace

torch::jit::Module module_on(script_model &model, at::Device device)
{
    if (!device.is_cuda()) return model.module;
    const std::lock_guard<std::mutex> alone(model.lock);
    for (const auto &[where, module] : model.on_devices)
        if (where == device) return module;
    model.on_devices.emplace_back(device, load_on(model.file, device));
    return model.on_devices.back().second;
}

void load(const void *data, size_t bytes, const stoa_model_options *options, script_model &model)
{
    if (!has_directory(data, bytes))
        fail(STOA_EFORMAT, "model: %zu bytes without the directory of a zip archive: not a TorchScript file, or cut short", bytes);
    torch::jit::ExtraFilesMap extra{{"stoa.json", ""}};
    model.module = torch::jit::load(std::make_shared<memory_reader>(data, bytes), at::kCPU, extra);
    if (has_cuda()) model.file.assign(static_cast<const char *>(data), bytes);
    stoa_error err;
    if (read_description(extra["stoa.json"], options, model, &err) != STOA_OK) throw failure{err.status, err.message};
    model.in_place = model.package.manifest != nullptr;
    if (!model.module.find_method("forward")) fail(STOA_EFORMAT, "model: it has no method 'forward'");
    check_arguments(model);
    model.module.eval();
    model.module = torch::jit::freeze(model.module);
    describe(model);
}

}  // namespace stoai
