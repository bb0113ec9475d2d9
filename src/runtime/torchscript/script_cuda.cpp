// SPDX-License-Identifier: Apache-2.0
// PyTorch's CUDA side by the C interface that AOTInductor's models use: no header or library of CUDA is needed to build the plugin, and the
// same binary runs on a libtorch without CUDA.
#include "runtime/torchscript/script.hpp"

#include <torch/version.h>

#include <dlfcn.h>

namespace stoai
{
namespace
{

using create_function = int32_t (*)(void *stream, int32_t device_index, void **guard);
using delete_function = int32_t (*)(void *guard);

struct cuda_library {
    create_function create_guard = nullptr;
    delete_function delete_guard = nullptr;
    std::string reason; // why it cannot be used, else empty
};

// Found as a library that is loaded already, then as any is, libtorch's own folder included (this plugin's run path). Never closed.
cuda_library open_library()
{
    cuda_library cuda;
    void *library = dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        cuda.reason = dlerror();
        return cuda;
    }
    cuda.create_guard = reinterpret_cast<create_function>(dlsym(library, "aoti_torch_create_cuda_stream_guard"));
    cuda.delete_guard = reinterpret_cast<delete_function>(dlsym(library, "aoti_torch_delete_cuda_stream_guard"));
    if (!cuda.create_guard || !cuda.delete_guard) cuda.reason = "libtorch_cuda.so has no guards of streams";
    return cuda;
}

const cuda_library &library()
{
    static const cuda_library cuda = open_library();
    return cuda;
}

} // namespace

bool has_cuda() { return library().reason.empty(); }

void need_cuda()
{
    if (!has_cuda())
        fail(STOA_ENOTSUP, "runtime 'torchscript': this libtorch (" TORCH_VERSION ") has no CUDA: %s", library().reason.c_str());
}

stream_scope::stream_scope(stoa_queue *queue, at::Device device)
{
    if (!device.is_cuda()) return;
    if (library().create_guard(stoa_queue_native(queue), device.index(), &guard_) != 0)
        fail(STOA_EDEVICE, "runtime 'torchscript': PyTorch refuses the queue's stream on device %d", static_cast<int>(device.index()));
}

stream_scope::~stream_scope()
{
    if (guard_) library().delete_guard(guard_);
}

} // namespace stoai
