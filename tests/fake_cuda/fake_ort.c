/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_ort.h"

#include <stdarg.h>
#include <stdio.h>

#include "fake_internal.h"
#include "runtime/onnxruntime/ort_api.h"

enum { DEVICES = 2, VALUES_MAX = 8, WEIGHT_BYTES = 4096, FUNCTIONS = 300, CREATE_STATUS = 0, RUNTIME_EXCEPTION = 6 };
typedef void (*function)(void);

/* The real library's functions, the whole table and by name; the table that is given away. */
static const function *real_table;
static ort_api real;
static function table[FUNCTIONS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static ort_status *fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
static ort_status *fail(int code, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ort_status *(*create)(int code, const char *text);
    memcpy(&create, &real_table[CREATE_STATUS], sizeof create);
    return create(code, text);
}

static ort_status *cuda(CUresult result)
{ return result ? fail(RUNTIME_EXCEPTION, "CUDA failure %d: said by the fake driver ; GPU=0 ;", (int)result) : NULL; }

/* ---- places and values --------------------------------------------------------------------------------------------------- */

/* The first member of what is made here; nothing of the real library begins with this address. */
static const char ours;

typedef struct device_info {
    const void *mark;
    int device;
} device_info;

typedef struct device_value {
    const void *mark;
    int device, type;
    void *data;
    size_t bytes, rank;
    int64_t shape[8];
} device_value;

static bool is_ours(const void *object) { return *(const void *const *)object == &ours; }

static ort_allocator *allocators[DEVICES];

static ort_status *create_memory_info(const char *name, int allocator, int device, int kind, ort_memory_info **out)
{
    if (strcmp(name, "Cuda") != 0) return real.CreateMemoryInfo(name, allocator, device, kind, out);
    device_info *info = malloc(sizeof *info);
    *info = (device_info){&ours, device};
    *out = (ort_memory_info *)info;
    return NULL;
}

static void release_memory_info(ort_memory_info *info)
{
    if (info && is_ours(info)) free(info);
    else real.ReleaseMemoryInfo(info);
}

static ort_status *register_allocator(ort_env *env, ort_allocator *allocator)
{
    const ort_memory_info *info = allocator->info(allocator);
    if (!is_ours(info)) return real.RegisterAllocator(env, allocator);
    allocators[((const device_info *)(const void *)info)->device] = allocator;
    return NULL;
}

static ort_status *create_value(const ort_memory_info *info, void *data, size_t bytes, const int64_t *shape, size_t rank, int type,
                                ort_value **out)
{
    if (!is_ours(info)) return real.CreateTensorWithDataAsOrtValue(info, data, bytes, shape, rank, type, out);
    device_value *value = calloc(1, sizeof *value);
    *value = (device_value){&ours, ((const device_info *)(const void *)info)->device, type, data, bytes, rank, {0}};
    memcpy(value->shape, shape, rank * sizeof *shape);
    *out = (ort_value *)value;
    return NULL;
}

static void release_value(ort_value *value)
{
    if (value && is_ours(value)) free(value);
    else real.ReleaseValue(value);
}

/* ---- options ------------------------------------------------------------------------------------------------------------- */

/* OrtCUDAProviderOptionsV2 and OrtTensorRTProviderOptionsV2. */
typedef struct settings {
    int device;
    void *stream;
    bool has_stream;
    char text[512];
} settings;

static const char *const known_keys[] = {"device_id",
                                         "do_copy_in_default_stream",
                                         "cudnn_conv_algo_search",
                                         "use_tf32",
                                         "trt_auxiliary_streams",
                                         "trt_fp16_enable",
                                         "trt_profile_min_shapes",
                                         "trt_profile_opt_shapes",
                                         "trt_profile_max_shapes"};

static ort_status *create_settings(ort_provider_options **out)
{
    *out = (ort_provider_options *)calloc(1, sizeof(settings));
    return NULL;
}

static void release_settings(ort_provider_options *options) { free(options); }

/* Like the real one it forgets what is not named. */
static ort_status *update_settings(ort_provider_options *options, const char *const *keys, const char *const *values, size_t count)
{
    settings *s = (settings *)(void *)options;
    *s = (settings){.device = 0};
    for (size_t i = 0; i < count; i++) {
        size_t known = 0, used = strlen(s->text);
        while (known < sizeof known_keys / sizeof *known_keys && strcmp(known_keys[known], keys[i]) != 0) known++;
        if (known == sizeof known_keys / sizeof *known_keys) return fail(ORT_FAIL, "Unknown provider option: \"%s\".", keys[i]);
        snprintf(s->text + used, sizeof s->text - used, " %s=%s", keys[i], values[i]);
        if (strcmp(keys[i], "device_id") == 0) s->device = atoi(values[i]);
    }
    return NULL;
}

static ort_status *update_value(ort_provider_options *options, const char *key, void *value)
{
    settings *s = (settings *)(void *)options;
    if (strcmp(key, "user_compute_stream") != 0) return fail(ORT_FAIL, "Unknown provider option: \"%s\".", key);
    s->stream = value;
    s->has_stream = true;
    return NULL;
}

/* What there is beside a real object: options of sessions, and sessions on devices. */
typedef struct device_session {
    struct device_session *next;
    const void *real; /* of either kind */
    bool on_device, no_fallback, our_allocators;
    settings provider; /* the first that was appended */
    char told[1024];
    void *weights;
    unsigned pending; /* runs that the stream has not passed; atomic */
} device_session;

static device_session *beside;
static char told[1024];
static void *told_stream;

const char *fake_ort_told(void) { return told; }
void *fake_ort_stream(void) { return told_stream; }

static device_session *find(const void *object)
{
    pthread_mutex_lock(&lock);
    device_session *at = beside;
    while (at && at->real != object) at = at->next;
    pthread_mutex_unlock(&lock);
    return at;
}

static device_session *add(const void *object)
{
    device_session *made = calloc(1, sizeof *made);
    made->real = object;
    pthread_mutex_lock(&lock);
    made->next = beside;
    beside = made;
    pthread_mutex_unlock(&lock);
    return made;
}

static void drop(const void *object)
{
    pthread_mutex_lock(&lock);
    device_session **link = &beside;
    while (*link && (*link)->real != object) link = &(*link)->next;
    device_session *found = *link;
    if (found) *link = found->next;
    pthread_mutex_unlock(&lock);
    free(found);
}

static ort_status *create_options(ort_options **out)
{
    ort_status *status = real.CreateSessionOptions(out);
    if (!status) add(*out);
    return status;
}

static void release_options(ort_options *options)
{
    drop(options);
    real.ReleaseSessionOptions(options);
}

/* Here the graph runs on the CPU provider, which must not be told to refuse. */
static ort_status *add_config(ort_options *options, const char *key, const char *value)
{
    const bool is_on = strcmp(value, "1") == 0;
    if (strcmp(key, "session.use_env_allocators") == 0) find(options)->our_allocators = is_on;
    if (strcmp(key, "session.disable_cpu_ep_fallback") != 0) return real.AddSessionConfigEntry(options, key, value);
    find(options)->no_fallback = is_on;
    return NULL;
}

static ort_status *append(ort_options *options, const ort_provider_options *provider, const char *name)
{
    device_session *at = find(options);
    const settings *given = (const settings *)(const void *)provider;
    const size_t used = strlen(at->told);
    if (given->device >= DEVICES) return fail(ORT_FAIL, "Invalid device ID: %d", given->device);
    if (at->on_device && (given->stream != at->provider.stream || given->device != at->provider.device))
        fake_violation("two providers of a session on two streams");
    if (!given->has_stream) fake_violation("%s without a stream of the caller's", name);
    if (!at->on_device) at->provider = *given;
    at->on_device = true;
    snprintf(at->told + used, sizeof at->told - used, "%s:%s\n", name, given->text);
    return NULL;
}

static ort_status *append_cuda(ort_options *options, const ort_provider_options *provider)
{ return append(options, provider, "CUDAExecutionProvider"); }

static ort_status *append_tensorrt(ort_options *options, const ort_provider_options *provider)
{ return append(options, provider, "TensorrtExecutionProvider"); }

static const char *const providers[] = {"TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"};

static ort_status *get_providers(char ***names, int *count)
{
    *names = (char **)(uintptr_t)providers;
    *count = sizeof providers / sizeof *providers;
    return NULL;
}

static ort_status *release_providers(char **names, int count) { return (void)names, (void)count, NULL; }

/* ---- sessions ------------------------------------------------------------------------------------------------------------ */

/* CUDA's runtime would make the device's context current; whoever called would find another one than before. */
static bool is_current(int device, const char *what)
{
    if (fake_current() && fake_current()->ordinal == device) return true;
    fake_violation("%s while the context of device %d is not current", what, device);
    return false;
}

static void touch_weights(void *weights) { memset(weights, 1, WEIGHT_BYTES); }

static ort_status *load_weights(device_session *session)
{
    const settings *s = &session->provider;
    ort_allocator *allocator = allocators[s->device];
    CUcontext context;
    if (!is_current(s->device, "session")) return cuda(CUDA_ERROR_INVALID_CONTEXT);
    ort_status *status = cuda(cuStreamGetCtx(s->stream, &context));
    if (!status && context->ordinal != s->device) return fail(ORT_FAIL, "a stream of device %d", context->ordinal);
    if (!status && !(session->weights = allocator->alloc(allocator, WEIGHT_BYTES)))
        return fail(RUNTIME_EXCEPTION, "Failed to allocate memory for requested buffer of size %d", WEIGHT_BYTES);
    if (!status) status = cuda(fake_cuda_play(s->stream, touch_weights, session->weights));
    if (!status) status = cuda(cuStreamSynchronize(s->stream));
    return status;
}

static void release_session(ort_session *session)
{
    device_session *at = find(session);
    if (at && __atomic_load_n(&at->pending, __ATOMIC_ACQUIRE)) fake_violation("a session released before its runs have passed");
    if (at && is_current(at->provider.device, "the end of a session") && at->weights)
        allocators[at->provider.device]->free(allocators[at->provider.device], at->weights);
    drop(session);
    if (session) real.ReleaseSession(session);
}

static ort_status *create_session(const ort_env *env, const void *data, size_t bytes, const ort_options *options, ort_session **out)
{
    const device_session *wanted = find(options);
    ort_status *status = real.CreateSessionFromArray(env, data, bytes, options, out);
    if (status || !wanted->on_device) return status;
    device_session *made = add(*out), *next = made->next;
    *made = *wanted;
    made->next = next;
    made->real = *out;
    if (!wanted->no_fallback) fake_violation("a session on a device whose nodes may go to the host");
    if (!wanted->our_allocators) fake_violation("a session on a device with memory of its own");
    memcpy(told, wanted->told, sizeof told);
    told_stream = wanted->provider.stream;
    if ((status = load_weights(made)) != NULL) {
        release_session(*out);
        *out = NULL;
    }
    return status;
}

/* ---- runs ---------------------------------------------------------------------------------------------------------------- */

typedef struct run_settings {
    bool no_wait;
} run_settings;

static ort_status *create_run_options(ort_run_options **out)
{
    *out = (ort_run_options *)calloc(1, sizeof(run_settings));
    return NULL;
}

static void release_run_options(ort_run_options *options) { free(options); }

static ort_status *add_run_config(ort_run_options *options, const char *key, const char *value)
{
    run_settings *s = (run_settings *)(void *)options;
    s->no_wait = s->no_wait || (strcmp(key, "disable_synchronize_execution_providers") == 0 && strcmp(value, "1") == 0);
    return NULL;
}

/* A run of the graph when the stream gets there. */
typedef struct run_task {
    device_session *session;
    const char *const *input_names, *const *output_names;
    size_t input_count, count, intermediate_bytes;
    device_value values[2 * VALUES_MAX];
    void *intermediate;
} run_task;

static void run_graph(void *user)
{
    run_task *task = user;
    ort_memory_info *host;
    ort_value *values[2 * VALUES_MAX] = {NULL};
    memset(task->intermediate, 0x7e, task->intermediate_bytes);
    ort_status *status = real.CreateCpuMemoryInfo(ORT_DEVICE_ALLOCATOR, ORT_MEMORY_DEFAULT, &host);
    for (size_t i = 0; !status && i < task->count; i++) {
        const device_value *v = &task->values[i];
        status = real.CreateTensorWithDataAsOrtValue(host, v->data, v->bytes, v->shape, v->rank, v->type, &values[i]);
    }
    if (!status)
        status = real.Run((ort_session *)(uintptr_t)task->session->real, NULL, task->input_names, (const ort_value *const *)values,
                          task->input_count, task->output_names, task->count - task->input_count, values + task->input_count);
    if (status) fake_violation("a run on the stream: %s", real.GetErrorMessage(status));
    for (size_t i = 0; i < task->count; i++) real.ReleaseValue(values[i]);
    real.ReleaseMemoryInfo(host);
    __atomic_fetch_sub(&task->session->pending, 1, __ATOMIC_RELEASE);
    free(task);
}

static ort_status *take_values(run_task *task, const ort_value *const *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const device_value *value = (const device_value *)(const void *)values[i];
        if (!value || !is_ours(value) || value->device != task->session->provider.device || task->count == 2 * VALUES_MAX) {
            fake_violation("a tensor that does not lie on the session's device");
            return fail(ORT_FAIL, "a tensor of another device");
        }
        task->values[task->count++] = *value;
    }
    return NULL;
}

/* The intermediate tensor goes back at once, as those of the real library do: later work of the stream may have its memory. */
static ort_status *enqueue(run_task *task)
{
    const settings *s = &task->session->provider;
    ort_allocator *allocator = allocators[s->device];
    task->intermediate = allocator->alloc(allocator, task->intermediate_bytes);
    if (!task->intermediate) return fail(RUNTIME_EXCEPTION, "Failed to allocate memory for requested buffer");
    ort_status *status = cuda(cuMemsetD8Async((CUdeviceptr)(uintptr_t)task->intermediate, 0, task->intermediate_bytes, s->stream));
    if (!status) {
        void *intermediate = task->intermediate;
        __atomic_fetch_add(&task->session->pending, 1, __ATOMIC_RELEASE);
        status = cuda(fake_cuda_play(s->stream, run_graph, task));
        if (status) __atomic_fetch_sub(&task->session->pending, 1, __ATOMIC_RELEASE);
        allocator->free(allocator, intermediate);
        return status;
    }
    allocator->free(allocator, task->intermediate);
    return status;
}

static ort_status *run(ort_session *session, const ort_run_options *options, const char *const *input_names, const ort_value *const *inputs,
                       size_t input_count, const char *const *output_names, size_t output_count, ort_value **outputs)
{
    device_session *at = find(session);
    if (!at) return real.Run(session, options, input_names, inputs, input_count, output_names, output_count, outputs);
    if (!is_current(at->provider.device, "run")) return cuda(CUDA_ERROR_INVALID_CONTEXT);
    const run_settings *s = (const run_settings *)(const void *)options;
    run_task *task = calloc(1, sizeof *task);
    *task = (run_task){.session = at, .input_names = input_names, .output_names = output_names, .input_count = input_count};
    ort_status *status = take_values(task, inputs, input_count);
    if (!status) status = take_values(task, (const ort_value *const *)outputs, output_count);
    for (size_t i = 0; i < task->count; i++) task->intermediate_bytes += task->values[i].bytes + 1;
    if (!status) status = enqueue(task);
    if (status) free(task);
    else if (!s || !s->no_wait) status = cuda(cuStreamSynchronize(at->provider.stream));
    return status;
}

/* ---- the library --------------------------------------------------------------------------------------------------------- */

#define NUMBER(number, result, name, parameters) NUMBER_##name = (number),
enum { ORT_API_MAP(NUMBER) ORT_GPU_API_MAP(NUMBER) };
#define SERVE(name, code) table[NUMBER_##name] = (function)(code)

static void serve(void)
{
    memcpy(table, real_table, sizeof table);
    SERVE(GetAvailableProviders, get_providers);
    SERVE(ReleaseAvailableProviders, release_providers);
    SERVE(CreateMemoryInfo, create_memory_info);
    SERVE(ReleaseMemoryInfo, release_memory_info);
    SERVE(RegisterAllocator, register_allocator);
    SERVE(CreateTensorWithDataAsOrtValue, create_value);
    SERVE(ReleaseValue, release_value);
    SERVE(CreateSessionOptions, create_options);
    SERVE(ReleaseSessionOptions, release_options);
    SERVE(AddSessionConfigEntry, add_config);
    SERVE(CreateCUDAProviderOptions, create_settings);
    SERVE(UpdateCUDAProviderOptions, update_settings);
    SERVE(UpdateCUDAProviderOptionsWithValue, update_value);
    SERVE(ReleaseCUDAProviderOptions, release_settings);
    SERVE(SessionOptionsAppendExecutionProvider_CUDA_V2, append_cuda);
    SERVE(CreateTensorRTProviderOptions, create_settings);
    SERVE(UpdateTensorRTProviderOptions, update_settings);
    SERVE(UpdateTensorRTProviderOptionsWithValue, update_value);
    SERVE(ReleaseTensorRTProviderOptions, release_settings);
    SERVE(SessionOptionsAppendExecutionProvider_TensorRT_V2, append_tensorrt);
    SERVE(CreateSessionFromArray, create_session);
    SERVE(ReleaseSession, release_session);
    SERVE(CreateRunOptions, create_run_options);
    SERVE(AddRunConfigEntry, add_run_config);
    SERVE(ReleaseRunOptions, release_run_options);
    SERVE(Run, run);
}

static const char *version = "none";

static void open_real(void)
{
    void *library = dlopen(getenv("FAKE_ORT_LIBRARY"), RTLD_NOW | RTLD_LOCAL);
    if (!library) fprintf(stderr, "fake ONNX Runtime: %s\n", dlerror());
    if (!library || !ort_api_of(library, &real, &version) || real.version < ORT_GPU_API_VERSION_NEEDED) abort();
    const struct {
        const function *(*get_api)(uint32_t version);
        const char *(*get_version)(void);
    } *(*get_base)(void);
    void *symbol = dlsym(library, "OrtGetApiBase");
    memcpy(&get_base, &symbol, sizeof get_base);
    real_table = get_base()->get_api(ORT_API_VERSION_NEEDED);
    serve();
}

static const function *get_api(uint32_t wanted) { return (void)wanted, table; }
static const char *get_version(void) { return version; }

typedef struct base {
    const function *(*get_api)(uint32_t version);
    const char *(*get_version)(void);
} base;

const base *OrtGetApiBase(void);
const base *OrtGetApiBase(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static const base given = {get_api, get_version};
    pthread_once(&once, open_real);
    return &given;
}
