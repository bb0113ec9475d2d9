/* SPDX-License-Identifier: Apache-2.0 */
/** Models: loaded once, immutable, shared by all threads and queues.
 *
 *  A model is read by a runtime, chosen by the file or by name: `native` runs .onnx and is built in. Its schema says
 *  what a session must bind. Running it is the business of stoa/session.h.
 *
 *      stoa_model *model;
 *      stoa_model_load("high_purity.onnx", NULL, &model, &err);
 *      const stoa_schema *schema = stoa_model_schema(model);     // inputs[0].name, .shape ...
 */
#ifndef STOA_MODEL_H
#define STOA_MODEL_H

#include "stoa/device.h"
#include "stoa/dtype.h"

STOA_BEGIN_DECLS

typedef struct stoa_model stoa_model;

#define STOA_SHAPE_RANK_MAX 6

/** A tensor that the model takes or gives, without its row axis: [N, 17] has rank 1 and shape {17}. */
typedef struct stoa_tensor_schema {
    const char *name;
    stoa_dtype dtype;
    uint32_t rank;
    uint32_t shape[STOA_SHAPE_RANK_MAX];
    uint32_t width;          /**< product of shape: values a row */
    const char *rows_name;   /**< symbol of the row axis ("N"); "1": one row a run, an event's scalars */
    uint64_t dtype_mask;     /**< bit 1 << stoa_dtype: what a bound column may have; converted at load or store */
    uint32_t axis;           /**< index of rows_name among the schema's axes; STOA_AXIS_ONE for "1" */
    uint32_t column_major;   /**< 1: as a block, the last two extents lie column-major, as matrix columns do */
} stoa_tensor_schema;

#define STOA_AXIS_ONE UINT32_MAX

typedef struct stoa_schema {
    const stoa_tensor_schema *inputs, *outputs;
    uint32_t input_count, output_count;
    const char *const *axes; /**< symbols of the row axes, in order of appearance: tensors of one axis have the same rows */
    uint32_t axis_count;     /**< 1 for most models; 2 for nodes and edges */
    uint32_t reserved;
    uint64_t parameters;     /**< numbers in the weights */
    uint64_t flop_per_row;   /**< multiply-adds count two; of one row of each axis; 0 when not known */
} stoa_schema;

/** How the values of a tensor may lie for a runtime to take them in place. All but ANY want one dtype in a tensor. */
typedef enum stoa_column_rule {
    STOA_RULE_ANY = 0,       /**< each value anywhere, any row stride (0: a scalar for all rows), mixed dtypes */
    STOA_RULE_UNIT = 1,      /**< each value anywhere, rows adjacent */
    STOA_RULE_STRIDED = 2,   /**< one array with a stride for each extent of the shape and for the rows; none negative */
    STOA_RULE_BLOCK = 3,     /**< an SoA block: rows adjacent, values one pitch apart in the order of the schema */
    STOA_RULE_ROW_MAJOR = 4  /**< the values of a row adjacent, rows behind one another */
} stoa_column_rule;

/** What a runtime can do, in data; binding is checked against it in one place, the session. */
typedef struct stoa_capabilities {
    uint32_t struct_size;
    stoa_column_rule inputs;     /**< what is not so is gathered tile by tile, if the caller allows copies */
    stoa_column_rule outputs;    /**< likewise scattered */
    uint32_t outputs_in_place;   /**< 1: stores straight into the bound columns; 0: copies from memory of its own, counted */
    uint32_t const_inputs;       /**< 1: never writes its inputs */
    uint32_t row_independent;    /**< 1: with one row axis a row's result depends on this row alone: the session may tile rows */
    uint32_t device_row_count;   /**< 1: takes a row count by pointer */
    uint32_t tile_rows;          /**< rows it wants in one call when tiled; 0: all */
    uint32_t thread_safe;        /**< 1: sessions of one model run concurrently without a lock */
    uint32_t precisions;         /**< bit 1 << stoa_precision: what it can round to, beside FLOAT32 */
} stoa_capabilities;

/** What the inputs and weights of matrix products are rounded to. Products and sums stay float32, and so does everything else. */
typedef enum stoa_precision {
    STOA_PRECISION_FLOAT32 = 0,  /**< not at all */
    STOA_PRECISION_TFLOAT32 = 1, /**< 10 bits behind the point, the range of float32 */
    STOA_PRECISION_BFLOAT16 = 2, /**< 7 bits, the range of float32 */
    STOA_PRECISION_FLOAT16 = 3   /**< 10 bits; inputs beyond 65504 are infinite, which the results show */
} stoa_precision;

typedef struct stoa_model_options {
    uint32_t struct_size;
    /** "native", "aoti", "torchscript", "onnxruntime", or "tensorrt": for CUDA alone, ONNX Runtime with its TensorRT execution provider,
     *  behind which is that of CUDA. NULL or "auto": by the file. */
    const char *runtime;
    const char *isa; /**< native: "baseline", "avx2", "avx512"; NULL: the best that the machine has */
    /** What a file takes and gives that does not say so itself (a TorchScript file not written by stoa.export):
     *  "pt:float32:3, image:float32:3x9x9:N -> score:float32:1", name:dtype:shape-of-a-row[:rows-name] in the file's order.
     *  EINVAL with a file that says so. */
    const char *signature;
    /** 1: run on the host the test vectors that the file carries, fail with ERUNTIME when they differ, with ENOTSUP where there are none
     *  (files that stoa.export did not write) or the runtime reads none (native; packages for CUDA). */
    uint32_t self_check;
    /** A stoa_precision. Other than FLOAT32, for sessions on CUDA: native all, onnxruntime TFLOAT32, tensorrt that and FLOAT16, by which
     *  it may compute whole layers. */
    uint32_t precision;
} stoa_model_options;
#define STOA_MODEL_OPTIONS_INIT {(uint32_t)sizeof(stoa_model_options), NULL, NULL, NULL, 0u, 0u}

/** Load a model file.
 *
 *  owns     caller destroys it, after all its sessions; copies `options`
 *  alloc    yes      threads any; the model itself is immutable and shared
 *  errors   EIO not readable, with errno; EFORMAT malformed, truncated; ENOTSUP runtime not available or node it cannot run,
 *           naming node and op; ENAME two of its inputs and outputs have one name, which says both; EINVAL options; ENOMEM
 *  since    0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_model_load(const char *path, const stoa_model_options *options, stoa_model **model,
                                                     stoa_error *err);

/** Load a model from memory; `options->runtime` must name the runtime.
 *  owns borrows `data` during the call only   threads any   errors as stoa_model_load   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_model_load_memory(const void *data, size_t bytes, const stoa_model_options *options,
                                                            stoa_model **model, stoa_error *err);

/** Destroy a model; NULL is a no-op. Work that its destroyed sessions left on a queue still runs.
 *  owns takes `model`   threads no session may be alive   errors none   since 0.1 */
STOA_API void stoa_model_destroy(stoa_model *model);

/** What it takes and gives.   owns borrowed until destroy   threads any   errors none   since 0.1 */
STOA_API const stoa_schema *stoa_model_schema(const stoa_model *model);
/** What its runtime can do with it.   owns borrowed   threads any   errors none   since 0.1 */
STOA_API const stoa_capabilities *stoa_model_capabilities(const stoa_model *model);
/** Name of its runtime, "native".   owns static   threads any   errors none   since 0.1 */
STOA_API const char *stoa_model_runtime(const stoa_model *model);

/** Number of steps of the plan.   owns nothing   threads any   errors 0 when the runtime does not tell   since 0.1 */
STOA_API uint32_t stoa_model_plan_count(const stoa_model *model);
/** The index-th step as text, NULL past the end.   owns borrowed until destroy   threads any   errors NULL   since 0.1 */
STOA_API const char *stoa_model_plan_step(const stoa_model *model, uint32_t index);

/** Takes text piece by piece; false when it can take no more. */
typedef bool (*stoa_text_sink)(void *user, const char *text, size_t bytes);

/** Write the model as a C11 file that needs nothing but libm: the function `name` over columns, described at its top. The rounding of
 *  sums and functions is its compiler's, so results differ from a session's in the last bits.
 *  owns borrows all during the call   threads any   errors ENOTSUP the runtime has no such form, or not of a step or tensor of this
 *  model, which is named; EINVAL `name` is no C identifier; EIO the sink refused   since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_model_emit_c(const stoa_model *model, const char *name, stoa_text_sink sink, void *user,
                                                       stoa_error *err);

/** Let a runtime whose library has an allocator of device memory of its own take that memory from the allocator of each session's device
 *  instead, in the order of the session's queue: `torchscript`. For the whole process and for good; a second call changes nothing.
 *  From then on PyTorch has device memory in calls of such sessions only: whatever else would use it on a GPU in the process, `aoti`'s
 *  packages on libtorch too, is refused memory. What PyTorch keeps (workspaces of cuBLAS) lives to the end of the process.
 *
 *  owns     devices of such sessions stay open to the end of the process, where PyTorch keeps some of their memory
 *  sync     may load a plugin       alloc yes      threads any, before the runtime's first session on a GPU
 *  errors   ESTATE the library's own allocator is at work already; ENOTSUP the runtime has none, or its library does not let it be
 *           exchanged; as stoa_runtime_find       since 0.1 */
STOA_API STOA_MUST_CHECK stoa_status stoa_runtime_share_memory(const char *runtime, stoa_error *err);

STOA_END_DECLS
#endif
