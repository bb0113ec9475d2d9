/* SPDX-License-Identifier: Apache-2.0 */
/* The compiled form of a model: a list of steps over the columns of one row tile.
 *
 * A tile is up to `tile_rows` rows. Each scalar value a row has during inference (an input feature, a neuron, an element of
 * a row tensor) is a *column*: `tile_rows` consecutive lanes in the workspace, rows in the SIMD lanes. A row tensor is a
 * list of columns, so Reshape, Transpose, Slice, Split, Concat, Gather and Expand cost nothing: they re-list columns when
 * the model is loaded, and no step exists for them.
 *
 * A column is addressed by a `ref`: base + ref * lanes * 4 bytes, where `lanes` is the tile's column pitch: tile_rows for a
 * batch, 1 for a row alone (then neighbouring columns are neighbouring floats, neurons ride in the lanes, and the sums run in the
 * same order: a row alone and the same row in a batch have the same bits). A few rows are each alone, one after the other in
 * the workspace. 8-byte types take two refs a column.
 *
 * Constants of the graph are values of the step (weights, packed) or entries of its operand's constant list. */
#ifndef STOA_NATIVE_PROGRAM_H
#define STOA_NATIVE_PROGRAM_H

#include "stoa/dtype.h"
#include "stoa/kernel.h"
#include "stoa/model.h"
#include "stoa/runtime.h"

/* A model with several row axes is several programs, each over the rows of one axis: what a program needs of the rows of another
 * axis, or of itself when all rows are done, it gathers from memory by an index, or an earlier program scattered it there. */
#define NATIVE_TILE_MAX 480u /* rows of a tile at most */

/* A step is small: its enumerations are bytes. */
#define NATIVE_BYTE __attribute__((packed))

/* Types that columns compute in. f16 and bf16 compute as F32; int8..int32, uint8, uint16 as I32; int64 and uint32 as I64;
 * bool as I32 with 0 or 1. */
typedef enum NATIVE_BYTE native_type { NATIVE_F32, NATIVE_F64, NATIVE_I32, NATIVE_I64 } native_type;

/* The operations of elementwise steps: name, number of operands. The ONNX operator of the same name defines each. */
#define NATIVE_OP_MAP(X) \
    X(ADD, 2) \
    X(SUB, 2) \
    X(MUL, 2) \
    X(DIV, 2) \
    X(POW, 2) \
    X(MOD, 2) \
    X(FMOD, 2) \
    X(MIN, 2) \
    X(MAX, 2) \
    X(PRELU, 2) \
    X(EQUAL, 2) \
    X(LESS, 2) \
    X(LESS_EQUAL, 2) \
    X(GREATER, 2) \
    X(GREATER_EQUAL, 2) \
    X(AND, 2) \
    X(OR, 2) \
    X(XOR, 2) \
    X(BIT_AND, 2) \
    X(BIT_OR, 2) \
    X(BIT_XOR, 2) \
    X(SHIFT_LEFT, 2) \
    X(SHIFT_RIGHT, 2) \
    X(WHERE, 3) \
    X(COPY, 1) \
    X(NOT, 1) \
    X(BIT_NOT, 1) \
    X(NEG, 1) \
    X(ABS, 1) \
    X(SIGN, 1) \
    X(RECIPROCAL, 1) \
    X(SQRT, 1) \
    X(FLOOR, 1) \
    X(CEIL, 1) \
    X(ROUND, 1) \
    X(EXP, 1) \
    X(LOG, 1) \
    X(ERF, 1) \
    X(SIGMOID, 1) \
    X(TANH, 1) \
    X(SIN, 1) \
    X(COS, 1) \
    X(TAN, 1) \
    X(ASIN, 1) \
    X(ACOS, 1) \
    X(ATAN, 1) \
    X(SINH, 1) \
    X(COSH, 1) \
    X(ASINH, 1) \
    X(ACOSH, 1) \
    X(ATANH, 1) \
    X(ISNAN, 1) \
    X(ISINF, 1) \
    X(RELU, 1) \
    X(LEAKY_RELU, 1) \
    X(ELU, 1) \
    X(SELU, 1) \
    X(CELU, 1) \
    X(THRESHOLDED_RELU, 1) \
    X(HARD_SIGMOID, 1) \
    X(HARD_SWISH, 1) \
    X(SOFTPLUS, 1) \
    X(SOFTSIGN, 1) \
    X(MISH, 1) \
    X(GELU, 1) \
    X(GELU_TANH, 1) \
    X(SWISH, 1) \
    X(SHRINK, 1) \
    X(CLIP, 1)
typedef enum NATIVE_BYTE native_op {
#define NATIVE_OP_ENUM(name, operands) NATIVE_##name,
    NATIVE_OP_MAP(NATIVE_OP_ENUM)
#undef NATIVE_OP_ENUM
        NATIVE_OP_COUNT
} native_op;

/* One operand of an elementwise step: a list of columns, one for each output column, or constants. */
typedef struct native_operand {
    uint32_t first;          /* with refs == NULL and constants == NULL: columns first, first + 1 (x2 for 8 bytes), ... */
    native_type type;
    const uint32_t *refs;    /* [count] columns; NULL: constants, or contiguous from `first` */
    const void *constants;   /* [count] of the step's type (WHERE's condition: I32), NULL: columns */
} native_operand;

typedef enum NATIVE_BYTE native_step_kind {
    NATIVE_STEP_LOAD,        /* input columns -> tile, converted, padded lanes zeroed */
    NATIVE_STEP_STORE,       /* tile -> output columns, converted, only the tile's rows */
    NATIVE_STEP_GEMM,        /* out[o] = act(sum_k w[o][k] * in[k] + bias[o]), in order of k, by fma where the level has one
                                (few neurons: several `sums`). MAP's and GEMM's out may overrun by up to a
                                vector: every group of refs that is an `out` ends at a multiple of 16 of its own. op: any unary F32 */
    NATIVE_STEP_MAP,         /* out[i] = op(a[i], b[i], c[i]) */
    NATIVE_STEP_CAST,        /* out[i] = (type) a[i], then wrapped to narrow integer types */
    NATIVE_STEP_REDUCE,      /* out[g] = op over in[g * length ...] */
    NATIVE_STEP_GATHER,      /* out[i] = value i of row in[0] of axis `other` */
    NATIVE_STEP_SCATTER,     /* value i of row in[0] of axis `other` = op(that value, in[1][i]), rows in their order; op: ADD, MUL,
                                MIN, MAX; only to NATIVE_KEPT */
    NATIVE_STEP_SOFTMAX,     /* groups of `length`; log = LogSoftmax */
    NATIVE_STEP_NORM         /* LayerNormalization over groups of `length`: (x - mean) / sqrt(var + epsilon), times scale plus bias */
} native_step_kind;

/* Whose memory the values of LOAD, STORE, GATHER and SCATTER lie in: the caller's, or columns that the session keeps from one
 * program to the next. */
typedef enum NATIVE_BYTE native_space { NATIVE_INPUTS, NATIVE_OUTPUTS, NATIVE_KEPT, NATIVE_SPACE_COUNT } native_space;

/* ONNX's reductions, F32 in F32. */
typedef enum NATIVE_BYTE native_reduce {
    NATIVE_REDUCE_SUM,
    NATIVE_REDUCE_MEAN,
    NATIVE_REDUCE_PROD,
    NATIVE_REDUCE_MIN,
    NATIVE_REDUCE_MAX,
    NATIVE_REDUCE_L1,
    NATIVE_REDUCE_L2,
    NATIVE_REDUCE_SUM_SQUARE,
    NATIVE_REDUCE_LOG_SUM,
    NATIVE_REDUCE_LOG_SUM_EXP,
    NATIVE_REDUCE_ARG_MIN,
    NATIVE_REDUCE_ARG_MAX /* ARG_: out is I64, `last` picks the last of equals */
} native_reduce;

/* Weights of a GEMM, packed when the program is finished by stoai_native_gemm_pack:
 * [group of NATIVE_GROUP neurons][k][NATIVE_GROUP], zero-filled at the end, 64-byte aligned; of fewer than NATIVE_CHAIN_BELOW
 * neurons: [neuron][k], as their sums lie in lanes of k. */
#define NATIVE_GROUP 16
#define NATIVE_CHAIN_BELOW 4
#define NATIVE_CHAINS 8 /* sums of each */

/* Sums of a neuron: product k is added to sum k modulo that; at the end the bias is added to the first, and then they are added by halves.
 * The bias comes no earlier, since a large one would round every product to its own size.
 * One sum is a chain of dependent additions, as long as the matrix: in a row alone only other neurons can fill the time between. Eight
 * vectors of neurons do, as a core begins two additions a cycle that take four each. Of four vectors of 16 each neuron has two sums; with
 * vectors of 8, which come with fewer registers, that would cost batches 4 % and rows by twos to eights 10 % to save a row alone 10 %. */
static inline uint32_t stoai_native_pairs_most(uint32_t lanes) { return lanes < NATIVE_GROUP ? NATIVE_GROUP : 4 * NATIVE_GROUP; }
#define NATIVE_PAIRS_FROM 16 /* products; fewer are not worth it */
static inline uint32_t stoai_native_sums(uint32_t count, uint32_t length, uint32_t lanes)
{
    if (count < NATIVE_CHAIN_BELOW) return NATIVE_CHAINS;
    return count <= stoai_native_pairs_most(lanes) && length >= NATIVE_PAIRS_FROM ? 2 : 1;
}
static inline size_t stoai_native_weight_at(uint32_t count, uint32_t length, uint32_t o, uint32_t k)
{
    if (count < NATIVE_CHAIN_BELOW) return (size_t)o * length + k;
    return ((size_t)(o / NATIVE_GROUP) * length + k) * NATIVE_GROUP + o % NATIVE_GROUP;
}

struct tile;
struct native_step;
typedef void (*native_step_kernel)(const struct tile *t, const struct native_step *s);

/* What a matrix product reads of its step for a row alone comes first and fits one line of the cache: with the weights of a usual model
 * little room is left in L1. */
typedef struct native_step {
    native_step_kernel row[2];  /* what a row alone calls, on the host: where inputs are read from columns, or streamed; NULL: nothing */
    const float *weights;      /* GEMM: packed */
    const float *bias;         /* GEMM: [count rounded up to NATIVE_GROUP], zeros where the model has none */
    uint32_t count;            /* output columns (REDUCE, SOFTMAX, NORM: groups) */
    uint32_t length;           /* GEMM: K; REDUCE, SOFTMAX, NORM: columns of a group */
    uint32_t out;              /* first ref of the output columns, always contiguous */
    uint32_t first_value;      /* LOAD, STORE, GATHER, SCATTER: index of the first stoa_bound among all values of the space */
    native_step_kind kind;
    native_op op;              /* MAP; GEMM: activation fused into the store, NATIVE_COPY: none */
    native_type type;          /* of the computation; CAST: of the input */
    native_type out_type;      /* CAST, comparisons (I32) */
    native_space space;        /* LOAD, STORE, GATHER, SCATTER */
    uint8_t sums;              /* GEMM: of each neuron, stoai_native_sums for the level's vectors; also where a device computes it */
    bool streamed;             /* LOAD: one GEMM alone reads its columns, all of them in order. GEMM: that one; it may read the
                                  values (space, first_value) itself where they are floats without gaps */
    native_reduce reduce;
    native_operand in[3]; /* GEMM: in[0]; NORM: in[0], scale and bias as constants of [length] in in[1], in[2] (constants NULL: none) */
    stoa_dtype narrow; /* CAST to a narrow integer, bool, f16 or bf16 (rounded): the ONNX type */
    float alpha, beta; /* parameters of activations: slopes, CLIP's bounds in F32; NORM: epsilon in alpha.
                                  LEAKY_RELU, ELU, CELU, THRESHOLDED_RELU, SWISH: alpha. SELU: alpha, gamma. HARD_SIGMOID:
                                  alpha, beta. SHRINK: lambd, bias. ISINF: detect_negative, detect_positive (0 or 1) */
    uint32_t other; /* GATHER, SCATTER: axis of those values */
    double low, high; /* CLIP in F64, I32, I64 */
    stoa_precision precision; /* GEMM: of its fragments */
    bool log, last; /* SOFTMAX; ARG_ */
    const uint32_t *fragments; /* GEMM: weights for tensor cores (fragments.h), NULL: computed in float32 */
    const char *text; /* for plans: "gemm 30 -> 64, relu" */
} __attribute__((aligned(64))) native_step;

typedef struct native_program {
    native_step *steps;
    uint32_t step_count, streamed_end; /* the last streamed LOAD is in front of that step */
    uint32_t axis; /* its rows are those of this axis of the schema */
    bool fragments; /* a matrix has some */
    uint32_t ref_count; /* columns of the workspace, in units of 4 bytes x lanes */
    uint32_t tile_rows; /* a multiple of 48, or the largest that keeps the tile in cache */
    uint32_t few_rows; /* fewer rows go alone, on the host */
} native_program;

/* A column that is kept between programs. */
typedef struct native_kept {
    uint32_t axis;
    native_type type;
    uint32_t memory; /* its own number, or that of a column used in earlier programs only, whose memory it takes over */
} native_kept;

/* The compiled model: programs in the order in which they run, one for most models. */
typedef struct native_plan {
    native_program *programs;
    native_kept *kept; /* [kept_count], values of NATIVE_KEPT */
    uint32_t program_count, kept_count;
    bool crosses_rows; /* something is gathered or scattered */
} native_plan;

/* What a program runs on. */
typedef struct native_call {
    const stoa_bound *bounds[NATIVE_SPACE_COUNT];
    void *workspace; /* stoai_native_workspace_bytes of the plan */
    uint32_t first; /* row where the run begins, of each axis; the first one that row numbers count */
    const uint32_t *rows; /* of each axis */
    bool failed; /* out: a row number was beyond its axis; results are not specified then */
    int64_t bad_row; /* the first such number */
    uint32_t bad_axis;
} native_call;

/* The kernels of one instruction-set level; kernels.c defines one table a level, stoai_native_kernels_<level>.
 * A run executes all steps on the rows [first, first + rows) of the program's axis, tile by tile.
 * The lanes beyond `rows` of a tile hold zeros or garbage that no result depends on. No step can trap or fault on any value. */
typedef struct native_kernels {
    const char *name; /* "avx2" */
    uint32_t lanes; /* floats in a vector */
    bool (*supported)(void); /* by this processor */
    void (*prepare)(native_program *program); /* fills in what depends on the level: few_rows and the steps' `row` */
    void (*run)(const native_program *program, native_call *call);
    /* The vector functions alone, for tests of their bounds: out[i] = op(in[i]). */
    void (*map_f32)(native_op op, const float *in, float *out, uint32_t count, float alpha, float beta);
    /* Whether MAP has that operation for operands of that type (WHERE: of its values). Lowering asks before it makes a step. */
    bool (*has)(native_op op, native_type type);
} native_kernels;

/* All levels of this build, worst first, NULL at the end. */
const native_kernels *const *stoai_native_levels(void);
/* Best level of this machine, or the named one (ENAME unknown, ENOTSUP processor lacks it). */
stoa_status stoai_native_choose(const char *isa, const native_kernels **kernels, stoa_error *err);

/* Bytes of the tile, which all programs of a plan use one after the other. */
size_t stoai_native_workspace_bytes(const native_plan *plan);
/* Pack w[o][k] (w + o*stride_o + k*stride_k) of count x length into the layout above; `out` has stoai_native_packed_floats. */
void stoai_native_gemm_pack(const float *w, int64_t stride_o, int64_t stride_k, uint32_t count, uint32_t length, float *out);
size_t stoai_native_packed_floats(uint32_t count, uint32_t length);

#endif
