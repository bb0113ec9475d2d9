/* SPDX-License-Identifier: Apache-2.0 */
/* Counting, faults, devices, contexts, modules. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_internal.h"

#define CONTEXTS_DEEP 16

static const char *const names[] = {
#define DRIVER(slot, symbol) #symbol,
#include "device/gpu/cuda.def"
#undef DRIVER
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned calls[FAKE_SYMBOLS];
static char trace[1 << 16];
static size_t trace_bytes;
static struct {
    int symbol;
    unsigned nth;
    CUresult result;
    bool persistent;
} fault = {.symbol = -1};
static int live;
static unsigned violations;
static char first_violation[256];
static struct CUctx_st primary[FAKE_DEVICES_MAX];
static bool initialised;

static _Thread_local CUcontext stack[CONTEXTS_DEEP];
static _Thread_local unsigned depth;
static _Thread_local CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_GLOBAL;

static int symbol_of(const char *name)
{
    for (int i = 0; i < FAKE_SYMBOLS; i++)
        if (strcmp(names[i], name) == 0) return i;
    fprintf(stderr, "fake driver: no function %s\n", name);
    abort();
}

void fake_violation(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    pthread_mutex_lock(&lock);
    if (violations++ == 0) vsnprintf(first_violation, sizeof first_violation, format, args);
    pthread_mutex_unlock(&lock);
    va_end(args);
}

void fake_count_live(int change)
{
    pthread_mutex_lock(&lock);
    live += change;
    pthread_mutex_unlock(&lock);
}

/* Under the lock. */
static bool strikes(fake_symbol symbol, unsigned rules)
{
    if (fault.nth == 0 || (fault.symbol >= 0 ? fault.symbol != (int)symbol : !(rules & FAKE_LOSSLESS))) return false;
    if (fault.nth > 1) {
        fault.nth--;
        return false;
    }
    if (!fault.persistent) fault.nth = 0;
    return true;
}

static void note(fake_symbol symbol)
{
    const int n = snprintf(trace + trace_bytes, sizeof trace - trace_bytes, "%s%s", trace_bytes ? " " : "", names[symbol]);
    if (n > 0 && trace_bytes + (size_t)n < sizeof trace) trace_bytes += (size_t)n;
}

CUresult fake_enter(fake_symbol symbol, unsigned rules)
{
    pthread_mutex_lock(&lock);
    calls[symbol]++;
    if (rules & FAKE_TRACED) note(symbol);
    const bool struck = strikes(symbol, rules);
    const CUresult result = fault.result;
    pthread_mutex_unlock(&lock);
    if (struck) return result;
    if (!initialised && symbol > FAKE_cuGetErrorString) return CUDA_ERROR_NOT_INITIALIZED;
    if ((rules & FAKE_UNSAFE) && fake_capture_is_active() && !fake_is_relaxed()) {
        fake_violation("%s while a stream is captured", names[symbol]);
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    if (!(rules & FAKE_CURRENT)) return CUDA_SUCCESS;
    if (!fake_current() || !fake_current()->retained) {
        fake_violation("%s without a current context", names[symbol]);
        return CUDA_ERROR_INVALID_CONTEXT;
    }
    return rules & FAKE_LOSSLESS ? fake_failure(fake_current()) : CUDA_SUCCESS; /* a failed device can still be left */
}

CUcontext fake_current(void) { return depth ? stack[depth - 1] : NULL; }

void fake_contexts_begin(void)
{
    pthread_mutex_lock(&lock);
    for (int d = 0; d < fake_device_count(); d++) {
        primary[d].ordinal = d;
        primary[d].retained++;
    }
    pthread_mutex_unlock(&lock);
}

CUresult fake_replace_current(int ordinal)
{
    if (ordinal < 0 || ordinal >= fake_device_count()) return CUDA_ERROR_INVALID_DEVICE;
    if (depth == 0) depth = 1;
    stack[depth - 1] = &primary[ordinal];
    return CUDA_SUCCESS;
}

bool fake_is_relaxed(void) { return mode == CU_STREAM_CAPTURE_MODE_RELAXED; }

int fake_device_count(void)
{
    const char *text = getenv("FAKE_CUDA_DEVICES");
    return text ? atoi(text) : 2;
}

unsigned fake_cuda_calls(const char *symbol)
{
    unsigned sum = 0;
    pthread_mutex_lock(&lock);
    if (symbol) sum = calls[symbol_of(symbol)];
    else
        for (int i = 0; i < FAKE_SYMBOLS; i++) sum += calls[i];
    pthread_mutex_unlock(&lock);
    return sum;
}

const char *fake_cuda_trace(void) { return trace; }

void fake_cuda_reset(void)
{
    pthread_mutex_lock(&lock);
    memset(calls, 0, sizeof calls);
    trace_bytes = 0;
    trace[0] = '\0';
    pthread_mutex_unlock(&lock);
}

void fake_cuda_fail(const char *symbol, unsigned nth, CUresult result, bool persistent)
{
    pthread_mutex_lock(&lock);
    fault.symbol = symbol ? symbol_of(symbol) : -1;
    fault.nth = nth;
    fault.result = result;
    fault.persistent = persistent;
    pthread_mutex_unlock(&lock);
}

unsigned fake_cuda_live(void)
{
    pthread_mutex_lock(&lock);
    const unsigned now = (unsigned)live;
    pthread_mutex_unlock(&lock);
    return now;
}

unsigned fake_cuda_violations(void)
{
    pthread_mutex_lock(&lock);
    const unsigned now = violations;
    pthread_mutex_unlock(&lock);
    return now;
}

const char *fake_cuda_first_violation(void) { return first_violation; }

CUresult cuInit(unsigned flags)
{
    FAKE_ENTER(cuInit, FAKE_LOSSLESS);
    (void)flags;
    if (fake_device_count() == 0) return CUDA_ERROR_NO_DEVICE;
    initialised = true;
    return CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult result, const char **text)
{
    *text = result == CUDA_ERROR_NO_DEVICE       ? "CUDA_ERROR_NO_DEVICE"
            : result == CUDA_ERROR_OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY"
                                                 : "CUDA_ERROR_FAKE";
    return CUDA_SUCCESS;
}

CUresult cuGetErrorString(CUresult result, const char **text)
{
    (void)result;
    *text = "said by the fake driver";
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *count)
{
    FAKE_ENTER(cuDeviceGetCount, FAKE_LOSSLESS);
    *count = fake_device_count();
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int ordinal)
{
    FAKE_ENTER(cuDeviceGet, FAKE_LOSSLESS);
    if (ordinal < 0 || ordinal >= fake_device_count()) return CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char *name, int bytes, CUdevice device)
{
    FAKE_ENTER(cuDeviceGetName, FAKE_LOSSLESS);
    snprintf(name, (size_t)bytes, "fake device %d", device);
    return CUDA_SUCCESS;
}

#define FAKE_BLOCK_BYTES CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN

static int shared_most(void)
{
    const char *text = getenv("FAKE_CUDA_BLOCK_BYTES");
    return text ? atoi(text) : 227 << 10;
}

/* One multiprocessor: a launch of a grid is then a few blocks. */
CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device)
{
    FAKE_ENTER(cuDeviceGetAttribute, FAKE_LOSSLESS);
    (void)device;
    *value = attribute == CU_DEVICE_ATTRIBUTE_WARP_SIZE                  ? 32
             : attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR ? 9
             : attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR ? 0
             : attribute == FAKE_BLOCK_BYTES                             ? shared_most()
             : attribute == CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED   ? !getenv("FAKE_CUDA_NO_POOLS")
                                                                         : 1;
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device)
{
    FAKE_ENTER(cuDevicePrimaryCtxRetain, FAKE_UNSAFE | FAKE_LOSSLESS);
    pthread_mutex_lock(&lock);
    primary[device].ordinal = device;
    if (primary[device].retained++ == 0) __atomic_store_n(&primary[device].failed, CUDA_SUCCESS, __ATOMIC_RELEASE);
    live++;
    pthread_mutex_unlock(&lock);
    *context = &primary[device];
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
    FAKE_ENTER(cuDevicePrimaryCtxRelease_v2, FAKE_UNSAFE);
    pthread_mutex_lock(&lock);
    primary[device].retained--;
    live--;
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

CUresult cuCtxPushCurrent_v2(CUcontext context)
{
    FAKE_ENTER(cuCtxPushCurrent_v2, 0);
    if (depth == CONTEXTS_DEEP) fake_violation("%d contexts pushed and never popped", CONTEXTS_DEEP);
    if (depth == CONTEXTS_DEEP || !context) return CUDA_ERROR_INVALID_CONTEXT;
    stack[depth++] = context;
    return CUDA_SUCCESS;
}

CUresult cuCtxPopCurrent_v2(CUcontext *context)
{
    FAKE_ENTER(cuCtxPopCurrent_v2, 0);
    if (depth == 0) fake_violation("a context popped that nobody pushed");
    if (depth == 0) return CUDA_ERROR_INVALID_CONTEXT;
    *context = stack[--depth];
    return CUDA_SUCCESS;
}

CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *other)
{
    FAKE_ENTER(cuThreadExchangeStreamCaptureMode, 0);
    const CUstreamCaptureMode mine = mode;
    mode = *other;
    *other = mine;
    return CUDA_SUCCESS;
}

/* A module is the context it was loaded in: kernels are looked up by their names alone. */
struct CUmod_st {
    CUcontext context;
};

CUresult cuModuleLoadData(CUmodule *module, const void *image)
{
    FAKE_ENTER(cuModuleLoadData, FAKE_CURRENT | FAKE_UNSAFE | FAKE_LOSSLESS);
    uint32_t magic;
    memcpy(&magic, image, sizeof magic);
    if (magic != FAKE_IMAGE_MAGIC) return CUDA_ERROR_INVALID_IMAGE;
    *module = calloc(1, sizeof **module);
    if (!*module) return CUDA_ERROR_OUT_OF_MEMORY;
    (*module)->context = fake_current();
    fake_count_live(1);
    return CUDA_SUCCESS;
}

CUresult cuModuleUnload(CUmodule module)
{
    FAKE_ENTER(cuModuleUnload, FAKE_CURRENT | FAKE_UNSAFE);
    free(module);
    fake_count_live(-1);
    return CUDA_SUCCESS;
}

CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *symbol)
{
    FAKE_ENTER(cuModuleGetFunction, FAKE_CURRENT | FAKE_UNSAFE | FAKE_LOSSLESS);
    if (module->context != fake_current()) return CUDA_ERROR_INVALID_CONTEXT;
    for (const fake_kernel *kernel = fake_kernels; kernel->symbol; kernel++)
        if (strcmp(kernel->symbol, symbol) == 0) {
            *function = (CUfunction)(uintptr_t)kernel;
            return CUDA_SUCCESS;
        }
    return CUDA_ERROR_NOT_FOUND;
}

/* Kernels whose blocks may have more memory than every launch gets. A kernel's own counts towards either limit. */
#define SHARED_PLAIN (48 << 10)
static struct {
    const fake_kernel *kernel;
    int bytes;
} larger[64];

/* Under the lock: the kernel's entry, or the first free one. */
static size_t larger_of(const fake_kernel *kernel)
{
    size_t at = 0;
    while (larger[at].kernel && larger[at].kernel != kernel)
        if (++at == sizeof larger / sizeof *larger) abort();
    return at;
}

CUresult cuFuncGetAttribute(int *value, CUfunction_attribute attribute, CUfunction function)
{
    FAKE_ENTER(cuFuncGetAttribute, FAKE_CURRENT | FAKE_LOSSLESS);
    if (attribute != CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES) return CUDA_ERROR_INVALID_VALUE;
    *value = fake_own_bytes((const fake_kernel *)(void *)function);
    return CUDA_SUCCESS;
}

CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value)
{
    FAKE_ENTER(cuFuncSetAttribute, FAKE_CURRENT | FAKE_UNSAFE | FAKE_LOSSLESS);
    const fake_kernel *kernel = (const fake_kernel *)(void *)function;
    if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || value < 0 || value + fake_own_bytes(kernel) > shared_most())
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&lock);
    const size_t at = larger_of(kernel);
    larger[at].kernel = kernel;
    larger[at].bytes = value;
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

size_t fake_shared_limit(const fake_kernel *kernel)
{
    pthread_mutex_lock(&lock);
    const size_t at = larger_of(kernel);
    const int set = larger[at].kernel ? larger[at].bytes : 0, plain = SHARED_PLAIN - fake_own_bytes(kernel);
    pthread_mutex_unlock(&lock);
    return (size_t)(set > plain ? set : plain > 0 ? plain : 0);
}
