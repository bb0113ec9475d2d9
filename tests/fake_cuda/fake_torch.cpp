// SPDX-License-Identifier: Apache-2.0
// libtorch_cuda.so for tests: CUDA's side of the CPU-only libtorch, on the fake driver. Memory is the driver's, each copy is work of
// the current stream; all else libtorch's own fallback computes on copies in host memory. An operation outside of a stream guard is an error,
// so that what runs has had its stream set. The guards are the C interface of libtorch, as its real library has it; the exchange of the
// allocator is declared by libtorch's own header.
#include <ATen/EmptyTensor.h>
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/FakeGuardImpl.h>
#include <torch/library.h>

#include "fake_cuda.h"

#define C10_CUDA_NO_CMAKE_CONFIGURE_FILE // a libtorch without CUDA has none
#include <torch/csrc/cuda/CUDAPluggableAllocator.h>

namespace
{

void need(CUresult result, const char *call) { TORCH_CHECK(result == CUDA_SUCCESS, call, " gives ", static_cast<int>(result)); }

// The device's primary context, current on this thread.
struct context_scope {
    explicit context_scope(int device) : device_(device)
    {
        CUcontext context;
        need(cuDevicePrimaryCtxRetain(&context, device), "cuDevicePrimaryCtxRetain");
        need(cuCtxPushCurrent_v2(context), "cuCtxPushCurrent");
    }
    ~context_scope()
    {
        CUcontext popped;
        cuCtxPopCurrent_v2(&popped);
        cuDevicePrimaryCtxRelease_v2(device_);
    }
    context_scope(const context_scope &) = delete;
    context_scope &operator=(const context_scope &) = delete;

private:
    int device_;
};

// What aoti_torch_create_cuda_stream_guard makes.
struct stream_guard {
    stream_guard(CUstream stream, int device) : context(device), stream(stream), outer(current) { current = this; }
    ~stream_guard() { current = outer; }
    stream_guard(const stream_guard &) = delete;
    stream_guard &operator=(const stream_guard &) = delete;

    context_scope context;
    CUstream stream;
    stream_guard *outer;
    static thread_local stream_guard *current;
};
thread_local stream_guard *stream_guard::current = nullptr;

// Where memory comes from: the driver, or whom the allocator was exchanged for before there was any.
struct source {
    std::function<void *(size_t, int, CUstream)> take;
    std::function<void(void *, size_t, int, CUstream)> give;
};

struct block {
    const source *from;
    void *address;
    size_t bytes;
    int device;
    CUstream stream;
};

void *take_from_driver(size_t bytes, int device, CUstream)
{
    CUdeviceptr address = 0;
    const context_scope context(device);
    if (bytes) need(cuMemAlloc_v2(&address, bytes), "cuMemAlloc");
    return reinterpret_cast<void *>(address);
}

void give_to_driver(void *address, size_t, int device, CUstream)
{
    const context_scope context(device);
    cuMemFree_v2(reinterpret_cast<CUdeviceptr>(address));
}

source driver{take_from_driver, give_to_driver};
std::shared_ptr<source> exchanged;
bool initialized = false;

void free_block(void *pointer)
{
    const auto *memory = static_cast<block *>(pointer);
    if (memory->address) memory->from->give(memory->address, memory->bytes, memory->device, memory->stream);
    delete memory;
}

// Everything is on device 0 here.
struct device_allocator final : c10::Allocator {
    c10::DataPtr allocate(size_t bytes) override
    {
        initialized = true;
        auto memory = std::make_unique<block>(block{exchanged ? exchanged.get() : &driver, nullptr, bytes, 0,
                                                    stream_guard::current ? stream_guard::current->stream : nullptr});
        memory->address = memory->from->take(bytes, memory->device, memory->stream);
        void *address = memory->address;
        return {address, memory.release(), free_block, c10::Device(c10::kCUDA, 0)};
    }
    c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
    void copy_data(void *, const void *, size_t) const override { TORCH_CHECK(false, "not by the host"); }
} allocator;

at::Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef strides, std::optional<at::ScalarType> type, std::optional<at::Layout>,
                         std::optional<at::Device>, std::optional<bool>)
{
    return at::detail::empty_strided_generic(size, strides, &allocator, c10::DispatchKeySet(c10::DispatchKey::CUDA),
                                             type.value_or(at::kFloat));
}

at::Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> type, std::optional<at::Layout>, std::optional<at::Device>,
                 std::optional<bool>, std::optional<at::MemoryFormat> format)
{ return at::detail::empty_generic(size, &allocator, c10::DispatchKeySet(c10::DispatchKey::CUDA), type.value_or(at::kFloat), format); }

struct copy_task {
    at::Tensor to, from;
};

// On the stream's thread, where memory of the device may be touched.
void run_copy(void *user)
{
    const c10::InferenceMode inference(true);
    if (at::get_num_threads() > 1) at::set_num_threads(1); // of this thread
    const auto *task = static_cast<copy_task *>(user);
    task->to.copy_(task->from);
}

at::Tensor as_host(const at::Tensor &tensor)
{
    return at::for_blob(tensor.data_ptr(), tensor.sizes())
        .strides(tensor.strides())
        .target_device(at::kCPU)
        .options(at::dtype(tensor.scalar_type()))
        .make_tensor();
}

at::Tensor &copy(at::Tensor &to, const at::Tensor &from, bool)
{
    TORCH_CHECK(stream_guard::current, "an operation outside of a guard of the stream");
    if (from.numel() == 0) return to;
    copy_task task{as_host(to), as_host(from.expand_as(to))};
    need(fake_cuda_play(stream_guard::current->stream, run_copy, &task), "the stream");
    need(cuStreamSynchronize(stream_guard::current->stream), "cuStreamSynchronize");
    return to;
}

at::Tensor copy_and_resize(const at::Tensor &from, const at::Tensor &to)
{
    at::Tensor target = to;
    if (from.sizes() != to.sizes()) {
        auto *changed = target.unsafeGetTensorImpl();
        changed->set_storage_keep_dtype(empty(from.sizes(), to.scalar_type(), {}, {}, {}, {}).storage());
        changed->set_sizes_contiguous(from.sizes());
    }
    return copy(target, from, false);
}

void compute_on_host(const c10::OperatorHandle &operation, torch::jit::Stack *stack) { at::native::cpu_fallback(operation, stack); }

} // namespace

C10_REGISTER_GUARD_IMPL(CUDA, c10::impl::FakeGuardImpl<c10::DeviceType::CUDA>)

TORCH_LIBRARY_IMPL(_, CUDA, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&compute_on_host>()); }

TORCH_LIBRARY_IMPL(aten, CUDA, m)
{
    m.impl("empty.memory_format", empty);
    m.impl("empty_strided", empty_strided);
    m.impl("as_strided", at::native::as_strided_tensorimpl);
    m.impl("_reshape_alias", at::native::_reshape_alias);
    m.impl("view", static_cast<at::Tensor (*)(const at::Tensor &, at::IntArrayRef)>(at::native::view));
    m.impl("copy_", copy);
    m.impl("_copy_from_and_resize", copy_and_resize);
}

// A CUDAAllocator's pointer is only ever handed back here: it points to a source.
namespace torch::cuda::CUDAPluggableAllocator
{

using pointer = std::shared_ptr<c10::cuda::CUDACachingAllocator::CUDAAllocator>;

__attribute__((visibility("default"))) pointer createCustomAllocator(std::function<void *(size_t, int, cudaStream_t)> take,
                                                                     std::function<void(void *, size_t, int, cudaStream_t)> give)
{
    auto made = std::make_shared<source>(source{std::move(take), std::move(give)});
    return {made, reinterpret_cast<c10::cuda::CUDACachingAllocator::CUDAAllocator *>(made.get())};
}

__attribute__((visibility("default"))) void changeCurrentAllocator(const pointer &allocator)
{
    TORCH_CHECK(!initialized, "the allocator is in use");
    exchanged = std::shared_ptr<source>(allocator, reinterpret_cast<source *>(allocator.get()));
    initialized = true;
}

} // namespace torch::cuda::CUDAPluggableAllocator

extern "C" {

// An application's own tensor: 1 when there is no memory for it.
__attribute__((visibility("default"))) int fake_torch_take(size_t bytes);
int fake_torch_take(size_t bytes)
{
    try {
        allocator.allocate(bytes);
        return 0;
    } catch (...) {
        return 1;
    }
}

__attribute__((visibility("default"))) int32_t aoti_torch_create_cuda_stream_guard(void *stream, int32_t device_index, void **guard);
int32_t aoti_torch_create_cuda_stream_guard(void *stream, int32_t device_index, void **guard)
{
    *guard = new stream_guard(static_cast<CUstream>(stream), device_index);
    return 0;
}

__attribute__((visibility("default"))) int32_t aoti_torch_delete_cuda_stream_guard(void *guard);
int32_t aoti_torch_delete_cuda_stream_guard(void *guard)
{
    delete static_cast<stream_guard *>(guard);
    return 0;
}
}
