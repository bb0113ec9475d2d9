// SPDX-License-Identifier: Apache-2.0
// Between the files of the torchscript runtime. The only C++ of the project: libtorch's JIT has no C interface.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>
#include <torch/csrc/jit/api/module.h>

#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/package/package.h"
#include "stoa/queue.h"
#include "stoa/runtime.h"

struct CUstream_st; // cudaStream_t is a pointer to it

namespace stoai
{

struct script_model {
    stoai_package package{};      // the file's manifest, or the caller's signature
    bool in_place = false;        // the manifest's calling convention: output columns are arguments
    torch::jit::Module module;    // on the host, frozen
    std::string file;             // where libtorch has CUDA: a frozen module cannot be moved, so each device loads it anew
    std::mutex lock;              // of what follows
    std::vector<std::pair<at::Device, torch::jit::Module>> on_devices; // frozen, for all sessions there
    stoa_capabilities capabilities{};
    std::string summary;

    script_model() = default;
    script_model(const script_model &) = delete;
    script_model &operator=(const script_model &) = delete;
    ~script_model() { stoai_package_deinit(&package); }
};

// A failure with a status of its own; everything else that is thrown is the fallback's of `guarded`.
struct failure {
    stoa_status status;
    std::string message;
};
[[noreturn]] void fail(stoa_status status, const char *format, ...) STOA_PRINTF(2, 3);

// The first line of what is being thrown, as the status `otherwise`. To be called in a handler.
stoa_status caught(stoa_status otherwise, const char *what, stoa_error *err) noexcept;

class silence final : public c10::WarningHandler
{
    void process(const c10::Warning &) override {}
};

// What holds for this thread while it is in PyTorch, and is put back.
class scope
{
public:
    scope();
    ~scope();
    scope(const scope &) = delete;
    scope &operator=(const scope &) = delete;

private:
    silence handler_;
    c10::WarningUtils::WarningHandlerGuard no_warnings_{&handler_};
    c10::InferenceMode inference_{true};
    int threads_, mkl_threads_ = 0; // before: inside it is one
};

// ---- CUDA ----

bool has_cuda();  // this libtorch does
void need_cuda(); // or it is thrown why not

using take_function = std::function<void *(size_t bytes, int device, CUstream_st *stream)>;
using give_function = std::function<void(void *block, size_t bytes, int device, CUstream_st *stream)>;

// PyTorch's allocator is these two from now on; thrown is ENOTSUP, and ESTATE when it has one at work already.
void exchange_allocator(take_function take, give_function give);

void share_memory();     // stoa_runtime_share_memory; throws as exchange_allocator
uint64_t blocks_taken(); // by this thread so far, where memory is shared

// This thread is in a call for the queue, whose memory PyTorch gets where memory is shared.
class call_scope
{
public:
    explicit call_scope(stoa_queue *queue);
    ~call_scope();
    call_scope(const call_scope &) = delete;
    call_scope &operator=(const call_scope &) = delete;

private:
    stoa_queue *outer_;
};

// PyTorch's current stream and device of this thread are the queue's, and are put back. Nothing on the host.
class stream_scope
{
public:
    stream_scope(stoa_queue *queue, at::Device device);
    ~stream_scope();
    stream_scope(const stream_scope &) = delete;
    stream_scope &operator=(const stream_scope &) = delete;

private:
    call_scope call_;
    void *guard_ = nullptr;
};

// ---- models and calls ----

void load(const void *data, size_t bytes, const stoa_model_options *options, script_model &model);

// The module on a device; the first time weights are loaded there, by the current stream, and waited for.
torch::jit::Module module_on(script_model &model, at::Device device);

// One call of forward on the device of `module`; results of files without a manifest are copied into the outputs.
void call(const script_model &model, const torch::jit::Module &module, at::Device device, const stoa_bound *inputs,
          const stoa_bound *outputs, uint32_t first, const uint32_t *rows);

}  // namespace stoai
