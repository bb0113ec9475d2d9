// SPDX-License-Identifier: Apache-2.0
// PyTorch's CUDA side by the C interface that AOTInductor's models use and, for its memory, by two functions of
// torch/csrc/cuda/CUDAPluggableAllocator.h: all looked up, so that no header or library of CUDA is needed to build the plugin, and the same
// binary runs on a libtorch without CUDA.
#include "runtime/torchscript/script.hpp"

#include <torch/version.h>

#include <dlfcn.h>

namespace c10::cuda::CUDACachingAllocator
{
class CUDAAllocator; // as in c10/cuda/CUDACachingAllocator.h, which needs CUDA's headers
}

namespace stoai
{
namespace
{

using allocator_pointer = std::shared_ptr<c10::cuda::CUDACachingAllocator::CUDAAllocator>;
using create_allocator = allocator_pointer (*)(take_function take, give_function give);
using change_allocator = void (*)(const allocator_pointer &allocator);

// createCustomAllocator and changeCurrentAllocator of torch::cuda::CUDAPluggableAllocator, as the C++ ABI names them.
constexpr char create_name[] =
    "_ZN5torch4cuda22CUDAPluggableAllocator21createCustomAllocatorESt8functionIFPvmiP11CUstream_stEES2_IFvS3_miS5_EE";
constexpr char change_name[] =
    "_ZN5torch4cuda22CUDAPluggableAllocator22changeCurrentAllocatorERKSt10shared_ptrIN3c104cuda20CUDACachingAllocator13CUDAAllocatorEE";

using create_function = int32_t (*)(void *stream, int32_t device_index, void **guard);
using delete_function = int32_t (*)(void *guard);

struct cuda_library {
    create_function create_guard = nullptr;
    delete_function delete_guard = nullptr;
    create_allocator create = nullptr; // these two may be missing
    change_allocator change = nullptr;
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
    cuda.create = reinterpret_cast<create_allocator>(dlsym(library, create_name));
    cuda.change = reinterpret_cast<change_allocator>(dlsym(library, change_name));
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

void exchange_allocator(take_function take, give_function give)
{
    need_cuda();
    if (!library().create || !library().change)
        fail(STOA_ENOTSUP, "runtime 'torchscript': this libtorch (" TORCH_VERSION ") has no pluggable allocator of CUDA memory");
    try {
        library().change(library().create(std::move(take), std::move(give)));
    } catch (const c10::Error &) { // the one thing that it checks
        fail(STOA_ESTATE, "runtime 'torchscript': PyTorch's own allocator is at work in this process already; it shares memory from before "
                          "the first session on a GPU or not at all");
    }
}

stream_scope::stream_scope(stoa_queue *queue, at::Device device) : call_(device.is_cuda() ? queue : nullptr)
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
