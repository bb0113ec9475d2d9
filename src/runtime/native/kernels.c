/* SPDX-License-Identifier: Apache-2.0 */
/* The native engine's kernels for one instruction-set level. Compiled once per level; STOA_ISA names it (src/CMakeLists.txt).
 * Plain vector extensions of the compiler throughout: the level decides the width of a vector and nothing else. */
#include "runtime/native/program.h"

#include <string.h>

#include "runtime/native/convert.h"
#include "runtime/native/cross.h"
#include "runtime/native/gemm.h"
#include "runtime/native/maps.h"
#include "runtime/native/rows.h"
#include "runtime/native/tile.h"
#include "runtime/native/vmath.h"

/* ------------------------------------------------------------------------------------------------ load, store */

/* The usual case: floats without gaps. Reads rows of them and no more; the rest of the last vector is zero. */
static void load_floats(float *column, const float *from, uint32_t rows)
{
    const size_t whole = rows / LANES * LANES;
    for (size_t i = 0; i < whole; i += LANES) v_store(column + i, v_load(from + i));
    if (whole < rows) {
        v_store(column + whole, (vf){0});
        memcpy(column + whole, from + whole, (rows - whole) * sizeof(float));
    }
}

static void load_converted(const tile *t, const native_step *s, const stoa_bound *b, void *column)
{
    const int64_t bytes = memory_bytes[b->dtype];
    const char *from = (const char *)b->data + (int64_t)t->first * b->row_stride * bytes;
    if (!tile_is_row(t)) memset(column, 0, t->pitch * type_bytes(s->type));
    load_kernels[b->dtype][s->type](column, from, b->row_stride, t->rows);
}

/* Row `row` of those that are alone, as a tile of its own. */
INLINE tile tile_alone(const tile *t, uint32_t row)
{
    tile one = *t;
    one.base += row * t->apart;
    one.first += row;
    return one;
}

/* One value of each row alone, at the same place of every column: no calls in the usual case. */
static void load_rows(const tile *t, const native_step *s)
{
    const stoa_bound *b = tile_values(t, s);
    const int64_t first = t->first;
    const uint32_t count = s->count, alone = t->alone, refs = type_bytes(s->type) / 4;
    const bool floats = s->type == NATIVE_F32;
    float *out = tile_column(t, s->out);
    for (uint32_t i = 0; i < count; i++, b++, out += refs) {
        if (floats && b->dtype == STOA_FLOAT32) {
            const float *from = (const float *)b->data + first * b->row_stride;
            *out = *from;
#pragma GCC unroll 4
            for (uint32_t r = 1; r < alone; r++) out[r * t->apart] = from[r * b->row_stride];
            continue;
        }
        for (uint32_t r = 0; r < alone; r++) {
            const tile one = tile_alone(t, r);
            load_converted(&one, s, b, out + r * t->apart);
        }
    }
}

static void step_load(const tile *t, const native_step *s)
{
    const uint32_t refs = type_bytes(s->type) / 4;
    if (tile_is_row(t)) {
        load_rows(t, s);
        return;
    }
    for (uint32_t i = 0; i < s->count; i++) {
        const stoa_bound *b = tile_values(t, s) + i;
        float *column = tile_column(t, s->out + i * refs);
        if (b->dtype == STOA_FLOAT32 && s->type == NATIVE_F32 && b->row_stride == 1)
            load_floats(column, (const float *)b->data + t->first, t->rows);
        else load_converted(t, s, b, column);
    }
}

static void step_store(const tile *t, const native_step *s)
{
    const stoa_bound *b = tile_values(t, s);
    for (uint32_t i = 0; i < s->count; i++, b++) {
        const float *column = tile_column(t, operand_ref(&s->in[0], i));
        const bool floats = b->dtype == STOA_FLOAT32 && s->type == NATIVE_F32;
        const int64_t row_bytes = b->row_stride * memory_bytes[b->dtype];
        char *to = (char *)b->data + (int64_t)t->first * row_bytes;
        uint32_t left = t->alone;
        do { /* each row alone, or once all of them */
            if (floats && t->rows == 1) *(float *)(void *)to = *column;
            else if (floats && b->row_stride == 1) memcpy(to, column, t->rows * sizeof(float));
            else store_kernels[b->dtype][s->type](to, column, b->row_stride, t->rows);
            to += row_bytes;
            column += t->apart;
        } while (left-- > 1);
    }
}

/* ------------------------------------------------------------------------------------------------------- cast */

#define CAST_DEFINE(suffix, T, name, R) \
    static void cast_##suffix##_##name(void *out, const void *const in[3], const size_t inc[3], size_t n, const native_step *s) \
    { \
        const T *from = in[0]; \
        R *to = out; \
        (void)s; \
        for (size_t i = 0; i < n; i++) to[i] = to_##name(from[i * inc[0]]); \
    }
#define CAST_FROM(suffix, T, dtype) \
    INLINE bool suffix##_is_true(T x) { return x != 0; } \
    CAST_DEFINE(suffix, T, f32_##dtype, float) \
    CAST_DEFINE(suffix, T, f64_##dtype, double) \
    CAST_DEFINE(suffix, T, i32_##dtype, int32_t) \
    CAST_DEFINE(suffix, T, i64_##dtype, int64_t) \
    static void cast_##suffix##_bool(void *out, const void *const in[3], const size_t inc[3], size_t n, const native_step *s) \
    { \
        const T *from = in[0]; \
        int32_t *to = out; \
        (void)s; \
        for (size_t i = 0; i < n; i++) to[i] = suffix##_is_true(from[i * inc[0]]); \
    }
CAST_FROM(f32, float, FLOAT32)
CAST_FROM(f64, double, FLOAT64)
CAST_FROM(i32, int32_t, INT32)
CAST_FROM(i64, int64_t, INT64)
#undef CAST_FROM
#undef CAST_DEFINE

/* [from][to], to == 4: bool. */
static const map_kernel cast_kernels[4][5] = {
#define CAST_ENTRY(suffix, dtype) \
    {cast_##suffix##_f32_##dtype, cast_##suffix##_f64_##dtype, cast_##suffix##_i32_##dtype, cast_##suffix##_i64_##dtype, \
     cast_##suffix##_bool},
    CAST_ENTRY(f32, FLOAT32) CAST_ENTRY(f64, FLOAT64) CAST_ENTRY(i32, INT32) CAST_ENTRY(i64, INT64)
#undef CAST_ENTRY
};

/* Values of a wide column rounded or wrapped to what the narrow type holds, in place. */
static void narrow(const tile *t, const native_step *s)
{
    void *out = tile_column(t, s->out);
    const size_t n = s->count * t->pitch;
#define NARROW(dtype, T, value) \
    case STOA_##dtype: \
        for (size_t i = 0; i < n; i++) { \
            const T x = ((T *)out)[i]; \
            ((T *)out)[i] = (value); \
        } \
        break;
    switch ((int)s->narrow) {
        NARROW_MAP_i32(NARROW) NARROW_MAP_i64(NARROW) NARROW_MAP_f32(NARROW) default : break;
    }
#undef NARROW
}

static void step_cast(const tile *t, const native_step *s)
{
    map_run(t, s, cast_kernels[s->type][s->narrow == STOA_BOOL ? 4 : (int)s->out_type], 1);
    narrow(t, s);
}

/* ----------------------------------------------------------------------------------------------- groups of columns */

static void step_reduce(const tile *t, const native_step *s)
{
    const bool arg = s->reduce == NATIVE_REDUCE_ARG_MIN || s->reduce == NATIVE_REDUCE_ARG_MAX;
    const bool one = tile_is_row(t);
    for (uint32_t g = 0; g < s->count; g++)
        if (arg || s->type != NATIVE_F32)
            for (size_t lane = 0; lane < t->rows; lane++) reduce_scalar(t, s, g, lane, arg);
        else
            for (size_t v = 0; v < t->vectors; v++) lane_store(tile_column(t, s->out + g) + v * LANES, reduce_f32(t, s, g, v), one);
}

static void step_softmax(const tile *t, const native_step *s)
{
    for (uint32_t g = 0; g < s->count; g++)
        for (size_t v = 0; v < t->vectors; v++) softmax_group(t, s, g, v);
}

static void step_norm(const tile *t, const native_step *s)
{
    for (uint32_t g = 0; g < s->count; g++)
        for (size_t v = 0; v < t->vectors; v++) norm_group(t, s, g, v);
}

/* -------------------------------------------------------------------------------------------------------- run */

/* In place, n values from `out` on. */
static void activate(const native_step *s, float *out, size_t n)
{ map_kernels[NATIVE_F32][s->op](out, (const void *const[3]){out, out, out}, (const size_t[3]){1, 0, 0}, n, s); }

/* Rows alone, one vector of values together, from `out` on. */
static void activate_together(const tile *t, const native_step *s, float *out, uint32_t rows)
{
    float together[VECTOR_BYTES / 4] = {0};
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t i = 0; i < s->count; i++) together[r * s->count + i] = out[r * t->apart + i];
    activate(s, together, LANES);
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t i = 0; i < s->count; i++) out[r * t->apart + i] = together[r * s->count + i];
}

static __attribute__((noinline)) void activate_few(const tile *t, const native_step *s)
{
    const uint32_t most = t->alone > 1 && s->count <= LANES ? (uint32_t)LANES / s->count : 1;
    float *out = tile_column(t, s->out);
    for (uint32_t r = 0, rows; r < t->alone; r += rows, out += rows * t->apart) {
        rows = t->alone - r < most ? t->alone - r : most;
        if (rows == 1) activate(s, out, s->count);
        else activate_together(t, s, out, rows);
    }
}

/* RELU is done while the sums are registers, any other activation here, on columns that L1 still holds. */
static void step_gemm(const tile *t, const native_step *s)
{
    const bool activates = s->op != NATIVE_COPY && s->op != NATIVE_RELU;
    if (t->alone > 0) gemm_few(t, s);
    else gemm_tile(t, s);
    if (!activates) return;
    if (t->alone > 0) activate_few(t, s);
    else activate(s, tile_column(t, s->out), s->count * t->pitch);
}

/* A row alone takes little longer than its calls: each kind has a function of its own, which saves the registers that it needs. */
static void (*const step_kernels[])(const tile *t, const native_step *s) = {
    [NATIVE_STEP_LOAD] = step_load,     [NATIVE_STEP_STORE] = step_store,     [NATIVE_STEP_GEMM] = step_gemm,
    [NATIVE_STEP_MAP] = step_map,       [NATIVE_STEP_CAST] = step_cast,       [NATIVE_STEP_REDUCE] = step_reduce,
    [NATIVE_STEP_GATHER] = step_gather, [NATIVE_STEP_SCATTER] = step_scatter, [NATIVE_STEP_SOFTMAX] = step_softmax,
    [NATIVE_STEP_NORM] = step_norm,
};

static void run_steps(const tile *t, const native_program *program)
{
    const native_step *const end = program->steps + program->step_count;
    for (const native_step *s = program->steps; s < end; s++) {
        if (t->streams && s->streamed && s->kind == NATIVE_STEP_LOAD) continue;
        if (t->alone <= 1 || stoai_native_at_once(s)) {
            step_kernels[s->kind](t, s);
            continue;
        }
        for (uint32_t r = 0; r < t->alone; r++) {
            const tile one = tile_alone(t, r);
            step_kernels[s->kind](&one, s);
        }
    }
}

/* Whether the values of every streamed LOAD are floats without gaps. */
static bool can_stream(const native_program *program, const native_call *call)
{
    for (uint32_t i = 0; i < program->streamed_end; i++) {
        const native_step *s = &program->steps[i];
        if (!s->streamed || s->kind != NATIVE_STEP_LOAD) continue;
        const stoa_bound *b = &call->bounds[s->space][s->first_value];
        for (uint32_t k = 0; k < s->count; k += b[k].alike > 0 ? b[k].alike : 1)
            if (b[k].row_stride != 1 || b[k].dtype != STOA_FLOAT32) return false;
    }
    return true;
}

/* Fewer bytes of inputs are in a near cache, where who made them left them: asking for them costs more than waiting for them. */
#define FETCHED_FROM ((size_t)2 << 20)

/* Columns of the next tile that each block of this one fetches, evenly shared out. */
static uint32_t columns_per_block(const native_program *program, uint32_t rows)
{
    size_t row_bytes = 0;
    uint32_t columns = 0, blocks = 0;
    for (uint32_t i = 0; i < program->step_count; i++) {
        const native_step *s = &program->steps[i];
        if (s->kind == NATIVE_STEP_LOAD) columns += s->count, row_bytes += s->count * type_bytes(s->type);
        else if (s->kind == NATIVE_STEP_GEMM) {
            const uint32_t R = block_vectors(s->sums), neurons = FETCH_BY_NEURONS ? block_neurons(R, s->sums) : s->count;
            blocks += program->tile_rows / (R * (uint32_t)LANES) * ((s->count + neurons - 1) / neurons);
        }
    }
    return rows * row_bytes > FETCHED_FROM && blocks > 0 ? columns / blocks + 1 : 0;
}

/* The next rows of those that are left: as many whole vectors as a tile has. The rest goes alone, with the neurons in the lanes, if
 * that is faster than a vector with gaps: always, where all of it goes through every step at once, and there also up to almost two
 * vectors of rows, since one vector alone has too few sums to share what is read. */
static void next_tile(tile *t, const native_program *program, uint32_t left)
{
    const uint32_t most = left < program->tile_rows ? left : program->tile_rows, rest = most % (uint32_t)LANES;
    const uint32_t few = (uint32_t)(program->at_once ? LANES * 7 / 4 : LANES * 3 / 4);
    if (most < few) {
        t->rows = 1;
        t->pitch = t->vectors = 1;
        t->alone = most;
        return;
    }
    t->rows = rest < few && most - rest >= few ? most - rest : most;
    t->vectors = (t->rows + LANES - 1) / LANES;
    t->pitch = t->vectors * LANES;
}

static void run(const native_program *program, native_call *call)
{
    fetcher fetch = {.columns = 0};
    uint32_t rows = call->rows[program->axis];
    tile t = {.base = call->workspace, .call = call, .first = call->first, .fetch = &fetch, .apart = (program->ref_count + 15) / 16 * 16};
    const bool streams = can_stream(program, call);
    const uint32_t columns = rows > program->tile_rows ? columns_per_block(program, rows) : 0;
    while (rows > 0) {
        next_tile(&t, program, rows);
        const uint32_t done = t.alone > 0 ? t.alone : t.rows;
        t.streams = streams && (t.alone > 0 || t.rows % LANES == 0); /* nothing is read behind the last row */
        rows -= done;
        if (columns > 0)
            fetch = (fetcher){.call = call,
                              .step = program->steps,
                              .end = program->steps + program->step_count,
                              .columns = rows > 0 ? columns : 0,
                              .first = t.first + done,
                              .rows = rows < done ? rows : done};
        run_steps(&t, program);
        t.first += done;
    }
}

static void map_f32(native_op op, const float *in, float *out, uint32_t count, float alpha, float beta)
{
    const native_step s = {.op = op, .alpha = alpha, .beta = beta};
    const uint32_t whole = count / (uint32_t)LANES * (uint32_t)LANES;
    float last[2][VECTOR_BYTES / 4] = {{0}};
    const size_t inc[3] = {1, 0, 0};
    map_kernels[NATIVE_F32][op](out, (const void *[3]){in, in, in}, inc, whole, &s);
    memcpy(last[0], in + whole, (count - whole) * sizeof(float));
    map_kernels[NATIVE_F32][op](last[1], (const void *[3]){last[0], last[0], last[0]}, inc, LANES, &s);
    memcpy(out + whole, last[1], (count - whole) * sizeof(float));
}

static bool has(native_op op, native_type type) { return map_kernels[type][op] != NULL; }

static bool supported(void)
{
#if defined(__AVX512F__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#elif defined(__AVX2__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
#else
    return true;
#endif
}

#define NAME_2(isa) #isa
#define NAME_1(isa) NAME_2(isa)
#define SYMBOL_2(isa) stoai_native_kernels_##isa
#define SYMBOL_1(isa) SYMBOL_2(isa)
extern const native_kernels SYMBOL_1(STOA_ISA);
const native_kernels SYMBOL_1(STOA_ISA) = {NAME_1(STOA_ISA), (uint32_t)LANES, supported, run, map_f32, has};
