// SPDX-License-Identifier: Apache-2.0
// Between the files of the torchscript runtime. The only C++ of the project: libtorch's JIT has no C interface.
#pragma once

#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>
#include <torch/csrc/jit/api/module.h>

#include <string>
#include <vector>

#include "runtime/package/package.h"
#include "stoa/runtime.h"

namespace stoai
{

struct script_model {
    stoai_package package{};      // the file's manifest, or the caller's signature
    bool in_place = false;        // the manifest's calling convention: output columns are arguments
    torch::jit::Module module;
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

void load(const void *data, size_t bytes, const stoa_model_options *options, script_model &model);

// One call of forward; results of files without a manifest are copied into the outputs.
void call(const script_model &model, const stoa_bound *inputs, const stoa_bound *outputs, uint32_t first, const uint32_t *rows);

}  // namespace stoai
