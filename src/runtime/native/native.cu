/* SPDX-License-Identifier: Apache-2.0 */
/* The native engine on CUDA (native_device.h): all steps of a program in one launch. The operations, conversions and groups are the
 * host's own (map_ops.h, conversions.h, rows.h); what differs is who does what: the values of a step, value by value and row by
 * row, are shared among the threads of a block, so that neighbouring threads have neighbouring rows. Sums are
 * added in order of k by fma, as on the host's levels that have one. */
#include "runtime/native/device_gemm.h"
#include "runtime/native/device_mma.h"
#include "runtime/native/map_ops.h"
#include "runtime/native/rows.h"

namespace
{

/* What the host's parts of steps take; only the rarer steps do, as its address goes to functions. */
__device__ tile tile_of(const place &p)
{
    tile t = {};
    t.base = p.base;
    t.pitch = p.pitch;
    t.rows = p.rows;
    return t;
}

__device__ void *cell_of(const place &p, native_type type, uint32_t first, uint32_t i, uint32_t row)
{ return type_bytes(type) == 8 ? (void *)p.cell<int64_t>(first + 2 * i, row) : (void *)p.cell<int32_t>(first + i, row); }

/* ---- load and store ------------------------------------------------------------------------------------------------------ */

#define LOAD_CASE_f32(name, type, ...) \
    case STOA_##name: return to_f32_##name(__ldg((const type *)from));
#define LOAD_CASE_f64(name, type, ...) \
    case STOA_##name: return to_f64_##name(__ldg((const type *)from));
#define LOAD_CASE_i32(name, type, ...) \
    case STOA_##name: return to_i32_##name(__ldg((const type *)from));
#define LOAD_CASE_i64(name, type, ...) \
    case STOA_##name: return to_i64_##name(__ldg((const type *)from));
/* Zero for STOA_DTYPE_NONE. */
#define LOADED(suffix, T) \
    STEP_PART T loaded_##suffix(const void *from, uint32_t dtype) \
    { \
        switch (dtype) { \
            MEMORY_MAP(LOAD_CASE_##suffix) \
        default: return 0; \
        } \
    }
LOADED(f32, float)
LOADED(f64, double)
LOADED(i32, int32_t)
LOADED(i64, int64_t)

#define STORE_CASE_f32(name, type, v, ...) \
    case STOA_##name: *(type *)to = (type)(v); break;
#define STORE_CASE_f64(name, type, f32, v, ...) \
    case STOA_##name: *(type *)to = (type)(v); break;
#define STORE_CASE_i32(name, type, f32, f64, v, ...) \
    case STOA_##name: *(type *)to = (type)(v); break;
#define STORE_CASE_i64(name, type, f32, f64, i32, v) \
    case STOA_##name: *(type *)to = (type)(v); break;
#define STORED(suffix, T) \
    STEP_PART void stored_##suffix(void *to, T x, uint32_t dtype) \
    { \
        switch (dtype) { \
            MEMORY_MAP(STORE_CASE_##suffix) \
        default: break; \
        } \
    }
STORED(f32, float)
STORED(f64, double)
STORED(i32, int32_t)
STORED(i64, int64_t)

/* The part of a span that a step loads or stores: its values [begin, begin + count), which are the step's from `at` on. */
struct part {
    native_span span;
    uint32_t begin, count, at;

    __device__ char *address(uint32_t i, uint32_t row) const
    {
        const int64_t element = (int64_t)row * span.row_stride + (int64_t)(begin + i) * span.step;
        return (char *)span.data + element * span.bytes;
    }
};

STOA_DEVICE uint32_t rows_of(const native_device_args *args, uint32_t axis)
{
    const uint32_t *count = args->counts[axis];
    return count && *count < args->rows[axis] ? *count : args->rows[axis];
}

/* The first thread that finds the place free has it; what the others would say is lost. */
STEP_PART void report_row(native_bad_row *to, int64_t row, uint32_t axis, uint32_t rows)
{
    const uint32_t taken = *(volatile const uint32_t *)&to->taken;
    if (*(volatile const uint32_t *)&to->claimed != taken || atomicCAS(&to->claimed, taken, taken + 1) != taken) return;
    to->row = row;
    to->axis = axis;
    to->rows = rows;
    __threadfence_system();
    atomicExch(&to->full, taken + 1);
}

/* The row that the step's first operand names for `row`, those below 0 counted from the end; UINT32_MAX where there is none. */
STOA_DEVICE uint32_t named_row(const place &p, const native_step *s, const native_device_args *args, uint32_t row)
{
    const uint32_t ref = operand_ref(&s->in[0], 0);
    const int64_t given = s->in[0].type == NATIVE_I64 ? *p.cell<int64_t>(ref, row) : *p.cell<int32_t>(ref, row);
    const int64_t rows = rows_of(args, s->other), at = given < 0 ? given + rows : given;
    if (at >= 0 && at < rows) return args->first + (uint32_t)at;
    report_row(args->bad_row, given, s->other, (uint32_t)rows);
    return UINT32_MAX;
}

/* LOAD and GATHER. Zeros where there is no such row. */
STOA_DEVICE void load_part(const place &p, const native_step *s, const native_device_args *args, const part &from, stoa_grid grid)
{
    const bool gather = s->kind == NATIVE_STEP_GATHER;
    const uint32_t out = s->out + from.at * (type_bytes(s->type) / 4);
    if (!gather && s->type == NATIVE_F32 && from.span.dtype == STOA_FLOAT32) {
        FOR_CELLS (i, row, p, grid, from.count)
            copy_begin(p, p.cell<float>(out + i, row), (const float *)from.address(i, p.first + row), row < p.rows);
        return;
    }
    FOR_CELLS (i, row, p, grid, from.count) {
        const uint32_t source = row >= p.rows ? UINT32_MAX : gather ? named_row(p, s, args, row) : p.first + row;
        const uint32_t dtype = source == UINT32_MAX ? STOA_DTYPE_NONE : from.span.dtype;
        const void *address = from.address(i, source);
        switch (s->type) {
        case NATIVE_F32: *p.cell<float>(out + i, row) = loaded_f32(address, dtype); break;
        case NATIVE_F64: *p.cell<double>(out + 2 * i, row) = loaded_f64(address, dtype); break;
        case NATIVE_I32: *p.cell<int32_t>(out + i, row) = loaded_i32(address, dtype); break;
        case NATIVE_I64: *p.cell<int64_t>(out + 2 * i, row) = loaded_i64(address, dtype); break;
        }
    }
}

STOA_DEVICE void store_part(const place &p, const native_step *s, const part &to, stoa_grid grid)
{
    FOR_CELLS (i, row, p, grid, to.count) {
        if (row >= p.rows) continue;
        const uint32_t ref = operand_ref(&s->in[0], to.at + i);
        char *address = to.address(i, p.first + row);
        switch (s->type) {
        case NATIVE_F32:
            if (to.span.dtype == STOA_FLOAT32) *(float *)address = *p.cell<float>(ref, row);
            else stored_f32(address, *p.cell<float>(ref, row), to.span.dtype);
            break;
        case NATIVE_F64: stored_f64(address, *p.cell<double>(ref, row), to.span.dtype); break;
        case NATIVE_I32: stored_i32(address, *p.cell<int32_t>(ref, row), to.span.dtype); break;
        case NATIVE_I64: stored_i64(address, *p.cell<int64_t>(ref, row), to.span.dtype); break;
        }
    }
}

template <class T, class U> STOA_DEVICE T combined(native_op op, T a, T b)
{
    switch (op) {
    case NATIVE_ADD: return (T)((U)a + (U)b);
    case NATIVE_MUL: return (T)((U)a * (U)b);
    case NATIVE_MIN: return b < a ? b : a;
    case NATIVE_MAX: return b > a ? b : a;
    default: return a;
    }
}

/* Rows in their order, as several may name the same: a thread has a value and goes through the rows. */
template <class T, class U>
STOA_DEVICE void scatter_part(const place &p, const native_step *s, const native_device_args *args, const part &to, stoa_grid grid)
{
    STOA_FOR (i, grid, to.count) {
        const T *from = p.cell<T>(operand_ref(&s->in[1], to.at + i), 0);
        for (uint32_t row = 0; row < p.rows; row++) {
            const uint32_t target = named_row(p, s, args, row);
            if (target == UINT32_MAX) continue;
            T *cell = (T *)to.address(i, target);
            *cell = combined<T, U>(s->op, *cell, from[row]);
        }
    }
}

STOA_DEVICE void move_part(const place &p, const native_step *s, const native_device_args *args, const part &columns, stoa_grid grid)
{
    if (s->kind == NATIVE_STEP_STORE) store_part(p, s, columns, grid);
    else if (s->kind != NATIVE_STEP_SCATTER) load_part(p, s, args, columns, grid);
    else if (s->type == NATIVE_F32) scatter_part<float, float>(p, s, args, columns, grid);
    else if (s->type == NATIVE_F64) scatter_part<double, double>(p, s, args, columns, grid);
    else if (s->type == NATIVE_I32) scatter_part<int32_t, uint32_t>(p, s, args, columns, grid);
    else scatter_part<int64_t, uint64_t>(p, s, args, columns, grid);
}

/* The step's values [first_value, first_value + count) of its space lie in one span or several. */
STOA_DEVICE void step_columns(const place &p, const native_step *s, const native_device_args *args, const native_span *span, stoa_grid grid)
{
    const uint32_t end = s->first_value + s->count;
    uint32_t value = 0;
    for (uint32_t i = s->space ? args->span_end[s->space - 1] : 0; i < args->span_end[s->space] && value < end; i++) {
        const uint32_t next = value + span[i].count;
        if (next > s->first_value) {
            const uint32_t from = value < s->first_value ? s->first_value : value, to = next < end ? next : end;
            const part columns = {span[i], from - value, to - from, from - s->first_value};
            move_part(p, s, args, columns, grid);
        }
        value = next;
    }
}

/* ---- elementwise --------------------------------------------------------------------------------------------------------- */

STEP_PART float map_f32(const native_step *s, float a, float b, float c)
{
    const float alpha = s->alpha, beta = s->beta;
    switch (s->op) {
#define F32_CASE(name, value) \
    case NATIVE_##name: return value;
        F32_MAP(F32_CASE)
#undef F32_CASE
    default: return a;
    }
}

/* Comparisons give I32 in place of the operands' type T. */
#define MAP_CASE(name, value) \
    case NATIVE_##name: *(T *)out = (T)(value); break;
#define MAP_TO_I32_CASE(name, value) \
    case NATIVE_##name: *(int32_t *)out = (int32_t)(value); break;

#define T double
STEP_PART void map_f64(const native_step *s, T a, T b, void *out)
{
    switch (s->op) {
        F64_MAP(MAP_CASE)
        F64_TO_I32_MAP(MAP_TO_I32_CASE)
    default: break;
    }
}
#undef T

#define INT_CLIP(a, low, high) ((a) < (low) ? (low) : (a) > (high) ? (high) : (a))

STOA_DEVICE int32_t int_of(double x, int32_t) { return f64_to_i32(x); }
STOA_DEVICE int64_t int_of(double x, int64_t) { return f64_to_i64(x); }

/* U is T without a sign. */
#define INT_OF_DOUBLE(x) int_of(x, T())
template <class T, class U> STEP_PART void map_int(const native_step *s, T a, T b, void *out)
{
    const double beyond = (double)((U)1 << (8 * sizeof(T) - 1));
    const T low = INT_OF_DOUBLE(s->low), high = s->high >= beyond ? (T)((U)-1 >> 1) : INT_OF_DOUBLE(s->high);
    switch (s->op) {
        INT_MAP(MAP_CASE)
        INT_TO_I32_MAP(MAP_TO_I32_CASE)
        MAP_CASE(CLIP, INT_CLIP(a, low, high))
    default: break;
    }
}
#undef INT_OF_DOUBLE

template <class T> STOA_DEVICE T operand(const place &p, const native_operand *o, uint32_t i, uint32_t row)
{ return o->constants ? ((const T *)o->constants)[i] : *p.cell<T>(operand_ref(o, i), row); }

/* Operands that the operation does not have are not read: nothing says where they lie. */
template <class T> struct operands {
    T a, b, c;
    __device__ operands(const place &p, const native_step *s, uint32_t count, uint32_t i, uint32_t row)
        : a(operand<T>(p, &s->in[0], i, row)), b(count > 1 ? operand<T>(p, &s->in[1], i, row) : a),
          c(count > 2 ? operand<T>(p, &s->in[2], i, row) : a)
    {
    }
};

STOA_DEVICE uint32_t operand_count(native_op op)
{
    switch (op) {
#define COUNT_CASE(name, operands) \
    case NATIVE_##name: return operands;
        NATIVE_OP_MAP(COUNT_CASE)
#undef COUNT_CASE
    default: return 1;
    }
}

/* WHERE: the condition is I32 whatever the type. */
template <class T> STOA_DEVICE T where(const place &p, const native_step *s, uint32_t i, uint32_t row)
{ return operand<T>(p, &s->in[operand<int32_t>(p, &s->in[0], i, row) != 0 ? 1 : 2], i, row); }

#define MAP_CELL(T, function) \
    do { \
        if (s->op == NATIVE_WHERE) { \
            *(T *)out = where<T>(p, s, i, row); \
        } else { \
            const operands<T> in(p, s, count, i, row); \
            function(s, in.a, in.b, out); \
        } \
    } while (0)

STOA_DEVICE void step_map(const place &p, const native_step *s, stoa_grid grid)
{
    const uint32_t count = operand_count(s->op);
    FOR_CELLS (i, row, p, grid, s->count) {
        void *out = cell_of(p, s->out_type, s->out, i, row);
        switch (s->type) {
        case NATIVE_F32: {
            const operands<float> in(p, s, count, i, row);
            *(float *)out = map_f32(s, in.a, in.b, in.c);
            break;
        }
        case NATIVE_F64: MAP_CELL(double, map_f64); break;
        case NATIVE_I32: MAP_CELL(int32_t, (map_int<int32_t, uint32_t>)); break;
        case NATIVE_I64: MAP_CELL(int64_t, (map_int<int64_t, uint64_t>)); break;
        }
    }
}

/* ---- cast ---------------------------------------------------------------------------------------------------------------- */

/* A value in the column's type, rounded or wrapped to what a narrower type holds. */
#define NARROW_CASE(name, T, value) \
    case STOA_##name: return (T)(value);
#define NARROWED(suffix, T) \
    STOA_DEVICE T narrowed_##suffix(T x, stoa_dtype dtype) \
    { \
        switch ((int)dtype) { \
            NARROW_MAP_##suffix(NARROW_CASE) default : return x; \
        } \
    }
NARROWED(f32, float)
NARROWED(i32, int32_t)
NARROWED(i64, int64_t)

#define CAST_FROM(suffix, T, name) \
    STEP_PART void cast_##suffix(const native_step *s, T from, void *out) \
    { \
        if (s->narrow == STOA_BOOL) { \
            *(int32_t *)out = from != 0; \
            return; \
        } \
        switch (s->out_type) { \
        case NATIVE_F32: *(float *)out = narrowed_f32(to_f32_##name(from), s->narrow); break; \
        case NATIVE_F64: *(double *)out = to_f64_##name(from); break; \
        case NATIVE_I32: *(int32_t *)out = narrowed_i32(to_i32_##name(from), s->narrow); break; \
        case NATIVE_I64: *(int64_t *)out = narrowed_i64(to_i64_##name(from), s->narrow); break; \
        } \
    }
CAST_FROM(f32, float, FLOAT32)
CAST_FROM(f64, double, FLOAT64)
CAST_FROM(i32, int32_t, INT32)
CAST_FROM(i64, int64_t, INT64)

STOA_DEVICE void step_cast(const place &p, const native_step *s, stoa_grid grid)
{
    const native_operand *in = &s->in[0];
    FOR_CELLS (i, row, p, grid, s->count) {
        void *out = cell_of(p, s->out_type, s->out, i, row);
        switch (s->type) {
        case NATIVE_F32: cast_f32(s, operand<float>(p, in, i, row), out); break;
        case NATIVE_F64: cast_f64(s, operand<double>(p, in, i, row), out); break;
        case NATIVE_I32: cast_i32(s, operand<int32_t>(p, in, i, row), out); break;
        case NATIVE_I64: cast_i64(s, operand<int64_t>(p, in, i, row), out); break;
        }
    }
}

/* ---- matrices ------------------------------------------------------------------------------------------------------------ */

STOA_DEVICE void step_gemm(const place &p, const native_step *s, stoa_grid grid)
{
    if (s->count < NATIVE_CHAIN_BELOW) {
        FOR_CELLS (i, row, p, grid, s->count) {
            const float x = gemm_chain(p, s, i, row);
            *p.cell<float>(s->out + i, row) = s->op == NATIVE_COPY ? x : map_f32(s, x, x, x);
        }
        return;
    }
    if (s->fragments) gemm_tensor(p, s, grid);
    else gemm_float32(p, s, grid);
    if (s->op == NATIVE_COPY || s->op == NATIVE_RELU) return;
    STOA_BARRIER();
    FOR_CELLS (i, row, p, grid, s->count) {
        float *y = p.cell<float>(s->out + i, row);
        *y = map_f32(s, *y, *y, *y);
    }
}

/* ---- groups of columns --------------------------------------------------------------------------------------------------- */

STOA_DEVICE void step_groups(const place &p, const native_step *s, stoa_grid grid)
{
    const tile t = tile_of(p);
    const bool arg = s->reduce == NATIVE_REDUCE_ARG_MIN || s->reduce == NATIVE_REDUCE_ARG_MAX;
    FOR_CELLS (group, row, p, grid, s->count) {
        if (s->kind == NATIVE_STEP_SOFTMAX) softmax_group(&t, s, group, row);
        else if (s->kind == NATIVE_STEP_NORM) norm_group(&t, s, group, row);
        else if (arg || s->type != NATIVE_F32) reduce_scalar(&t, s, group, row, arg);
        else *p.cell<float>(s->out + group, row) = reduce_f32(&t, s, group, row);
    }
}

/* ---- a run --------------------------------------------------------------------------------------------------------------- */

STOA_DEVICE void run_step(const place &p, const native_step *s, const native_device_args *args, const native_span *span, stoa_grid grid)
{
    switch (s->kind) {
    case NATIVE_STEP_LOAD:
    case NATIVE_STEP_STORE:
    case NATIVE_STEP_GATHER:
    case NATIVE_STEP_SCATTER: step_columns(p, s, args, span, grid); break;
    case NATIVE_STEP_GEMM: step_gemm(p, s, grid); break;
    case NATIVE_STEP_MAP: step_map(p, s, grid); break;
    case NATIVE_STEP_CAST: step_cast(p, s, grid); break;
    case NATIVE_STEP_REDUCE:
    case NATIVE_STEP_SOFTMAX:
    case NATIVE_STEP_NORM: step_groups(p, s, grid); break;
    }
}

enum { LINE_BYTES = 128, PREFETCH_BYTES_MAX = 32 * 1024 };

STOA_DEVICE void prefetch(const void *from, size_t bytes, stoa_grid grid)
{
    const size_t end = bytes < PREFETCH_BYTES_MAX ? bytes : PREFETCH_BYTES_MAX;
    for (size_t at = grid.index * LINE_BYTES; at < end; at += grid.size * LINE_BYTES) prefetch_line((const char *)from + at);
}

/* The first tile would wait for each line of the steps and of their weights when it gets there. */
STOA_DEVICE void prefetch_program(const native_device_args *args, stoa_grid grid)
{
    prefetch(args->steps, args->step_count * sizeof *args->steps, grid);
    for (uint32_t i = 0; i < args->step_count; i++) {
        const native_step *s = args->steps + i;
        const void *weights = s->fragments ? (const void *)s->fragments : s->weights;
        if (s->kind == NATIVE_STEP_GEMM) prefetch(weights, (size_t)s->count * s->length * sizeof(float), grid);
    }
}

/* Loads that follow one another write columns of their own, so one wait is enough for all of them. */
STOA_DEVICE void finish_step(const native_step *s, bool last)
{
    if (s->kind == NATIVE_STEP_LOAD) {
        if (!last && s[1].kind == NATIVE_STEP_LOAD) return;
        copies_wait();
    }
    STOA_BARRIER();
}

STOA_DEVICE float *in_block() { return reinterpret_cast<float *>(STOA_BLOCK_MEMORY()); }

STOA_DEVICE float *in_workspace(const native_device_args *args, stoa_grid grid)
{ return args->wide + (size_t)grid.block * args->ref_count * args->pitch; }

STOA_DEVICE void run_tiles(float *base, bool shared, const native_device_args *args, const native_span *span, stoa_grid grid)
{
    const uint32_t rows = rows_of(args, args->axis), tile_rows = 1u << args->tile_shift;
    if (grid.block * tile_rows < rows) prefetch_program(args, grid);
    for (uint32_t done = grid.block * tile_rows; done < rows; done += grid.blocks * tile_rows) {
        const uint32_t left = rows - done;
        const place p = {base, args->pitch, args->tile_shift, args->first + done, left < tile_rows ? left : tile_rows, shared};
        for (uint32_t i = 0; i < args->step_count; i++) {
            run_step(p, args->steps + i, args, span, grid);
            finish_step(args->steps + i, i + 1 == args->step_count);
        }
    }
}

}  // namespace

/* Two kernels, so that the compiler knows which memory the tiles are in, and one for either with columns of many spans. */
STOA_KERNEL_TILES(stoai_native_tiles, native_few_spans) { run_tiles(in_block(), true, &args->args, args->span, grid); }

STOA_KERNEL_TILES(stoai_native_wide, native_few_spans) { run_tiles(in_workspace(&args->args, grid), false, &args->args, args->span, grid); }

STOA_KERNEL_TILES(stoai_native_many, native_many_spans)
{ run_tiles(args->args.wide ? in_workspace(&args->args, grid) : in_block(), false, &args->args, args->span, grid); }
