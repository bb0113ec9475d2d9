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
    one.alone = 1;
    one.base += row * t->apart;
    one.first += row;
    return one;
}

/* Values [i, count) of rows alone, in whatever type. */
static __attribute__((noinline)) void load_rest(const tile *t, const native_step *s, uint32_t i)
{
    const uint32_t refs = type_bytes(s->type) / 4;
    for (; i < s->count; i++)
        for (uint32_t r = 0; r < t->alone; r++) {
            const tile one = tile_alone(t, r);
            load_converted(&one, s, tile_values(t, s) + i, tile_column(&one, s->out + i * refs));
        }
}

/* One value of each row alone, at the same place of every column: no calls in the usual case. */
INLINE void load_alone(const tile *t, const native_step *s, const uint32_t alone)
{
    const stoa_bound *b = tile_values(t, s);
    float *out = tile_column(t, s->out);
    for (uint32_t i = 0; i < s->count; i++, b++, out++) {
        if (s->type != NATIVE_F32 || b->dtype != STOA_FLOAT32) {
            load_rest(t, s, i);
            return;
        }
        const float *from = (const float *)b->data + t->first * b->row_stride;
        *out = *from;
#pragma GCC unroll 4
        for (uint32_t r = 1; r < alone; r++) out[r * t->apart] = from[r * b->row_stride];
    }
}

static void load_row(const tile *t, const native_step *s) { load_alone(t, s, 1); }
static void load_rows(const tile *t, const native_step *s) { load_alone(t, s, t->alone); }

static void load_tile(const tile *t, const native_step *s)
{
    const uint32_t refs = type_bytes(s->type) / 4;
    for (uint32_t i = 0; i < s->count; i++) {
        const stoa_bound *b = tile_values(t, s) + i;
        float *column = tile_column(t, s->out + i * refs);
        if (b->dtype == STOA_FLOAT32 && s->type == NATIVE_F32 && b->row_stride == 1)
            load_floats(column, (const float *)b->data + t->first, t->rows);
        else load_converted(t, s, b, column);
    }
}

static void store_converted(const tile *t, const native_step *s, const stoa_bound *b, const float *column)
{
    const int64_t row_bytes = b->row_stride * memory_bytes[b->dtype];
    char *to = (char *)b->data + t->first * row_bytes;
    store_kernels[b->dtype][s->type](to, column, b->row_stride, t->rows);
}

/* Values [i, count) of rows alone, in whatever type. */
static __attribute__((noinline)) void store_rest(const tile *t, const native_step *s, uint32_t i)
{
    for (; i < s->count; i++)
        for (uint32_t r = 0; r < t->alone; r++) {
            const tile one = tile_alone(t, r);
            store_converted(&one, s, tile_values(t, s) + i, tile_column(&one, operand_ref(&s->in[0], i)));
        }
}

INLINE void store_alone(const tile *t, const native_step *s, const uint32_t alone)
{
    const stoa_bound *b = tile_values(t, s);
    for (uint32_t i = 0; i < s->count; i++, b++) {
        if (s->type != NATIVE_F32 || b->dtype != STOA_FLOAT32) {
            store_rest(t, s, i);
            return;
        }
        const float *column = tile_column(t, operand_ref(&s->in[0], i));
        float *to = (float *)b->data + t->first * b->row_stride;
        *to = *column;
#pragma GCC unroll 4
        for (uint32_t r = 1; r < alone; r++) to[r * b->row_stride] = column[r * t->apart];
    }
}

static void store_row(const tile *t, const native_step *s) { store_alone(t, s, 1); }
static void store_rows(const tile *t, const native_step *s) { store_alone(t, s, t->alone); }

static void store_tile(const tile *t, const native_step *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        const stoa_bound *b = tile_values(t, s) + i;
        const float *column = tile_column(t, operand_ref(&s->in[0], i));
        if (b->dtype == STOA_FLOAT32 && s->type == NATIVE_F32 && b->row_stride == 1)
            memcpy((float *)b->data + t->first, column, t->rows * sizeof(float));
        else store_converted(t, s, b, column);
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

/* What a batch calls; what a few rows call, all of them at once; the other steps take such rows one by one. */
static const native_step_kernel tile_kernels[] = {
    [NATIVE_STEP_LOAD] = load_tile,     [NATIVE_STEP_STORE] = store_tile,     [NATIVE_STEP_GEMM] = gemm_tile,
    [NATIVE_STEP_MAP] = step_map,       [NATIVE_STEP_CAST] = step_cast,       [NATIVE_STEP_REDUCE] = step_reduce,
    [NATIVE_STEP_GATHER] = step_gather, [NATIVE_STEP_SCATTER] = step_scatter, [NATIVE_STEP_SOFTMAX] = step_softmax,
    [NATIVE_STEP_NORM] = step_norm,
};
static const native_step_kernel rows_kernels[sizeof tile_kernels / sizeof *tile_kernels] = {
    [NATIVE_STEP_LOAD] = load_rows, [NATIVE_STEP_STORE] = store_rows, [NATIVE_STEP_GEMM] = gemm_few};

INLINE bool is_left_out(const native_step *s, bool streams) { return streams && s->streamed && s->kind == NATIVE_STEP_LOAD; }

static native_step_kernel row_kernel(const native_step *s, bool streams)
{
    if (is_left_out(s, streams)) return NULL;
    switch ((int)s->kind) {
    case NATIVE_STEP_LOAD: return load_row;
    case NATIVE_STEP_STORE: return store_row;
    case NATIVE_STEP_GEMM: return gemm_one_kernel(s, streams);
    default: return tile_kernels[s->kind];
    }
}

/* Fewer rows go alone, with the neurons in the lanes, which is faster than a vector with gaps; where every step takes all of them at once,
 * up to almost two vectors of rows, since one vector has too few sums to share what is read. */
static void prepare(native_program *program)
{
    bool at_once = true;
    for (native_step *s = program->steps; s < program->steps + program->step_count; s++) {
        for (uint32_t streams = 0; streams < 2; streams++) s->row[streams] = row_kernel(s, streams);
        at_once &= rows_kernels[s->kind] != NULL;
    }
    program->few_rows = (uint32_t)(at_once ? LANES * 2 : LANES * 3 / 4);
}

static void run_tile(const tile *t, const native_program *program)
{
    const native_step *s = program->steps, *const end = s + program->step_count;
    for (; s < end; s++)
        if (!is_left_out(s, t->streams)) tile_kernels[s->kind](t, s);
}

/* A row alone takes little longer than its calls: nothing is left to decide. */
INLINE void run_row(const tile *t, const native_program *program, const size_t streams)
{
    const native_step *s = program->steps, *const end = s + program->step_count;
    for (; s < end; s++)
        if (s->row[streams]) s->row[streams](t, s);
}

static __attribute__((noinline)) void run_rows(const tile *t, const native_program *program)
{
    const native_step *s = program->steps, *const end = s + program->step_count;
    for (; s < end; s++) {
        if (is_left_out(s, t->streams)) continue;
        if (rows_kernels[s->kind]) rows_kernels[s->kind](t, s);
        else
            for (uint32_t r = 0; r < t->alone; r++) {
                const tile one = tile_alone(t, r);
                s->row[t->streams](&one, s);
            }
    }
}

/* All rows of t alone. */
INLINE void run_alone(tile *t, const native_program *program, uint32_t rows)
{
    t->rows = 1;
    t->pitch = t->vectors = 1;
    t->alone = rows;
    t->apart = (program->ref_count + 15) / 16 * 16;
    if (rows == 1) run_row(t, program, t->streams);
    else run_rows(t, program);
}

/* Whether the values of every streamed LOAD are floats without gaps. */
INLINE bool can_stream(const native_program *program, const native_call *call)
{
    for (const native_step *s = program->steps, *end = s + program->streamed_end; s < end; s++) {
        if (!s->streamed || s->kind != NATIVE_STEP_LOAD) continue;
        const stoa_bound *b = &call->bounds[s->space][s->first_value], *const last = b + s->count;
        do {
            if (b->row_stride != 1 || b->dtype != STOA_FLOAT32) return false;
            b += b->alike + (b->alike == 0);
        } while (b < last);
    }
    return true;
}

/* Fewer bytes of inputs are in a near cache, where who made them left them: asking for them costs more than waiting for them, and sooner
 * where all lines of a block of rows are asked for at once. */
#define FETCHED_FROM ((size_t)(FETCH_BY_NEURONS ? 1 : 2) << 20)

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

/* The next rows of those that are left: as many whole vectors as a tile has, or a few that go alone. */
INLINE uint32_t next_rows(const native_program *program, uint32_t left)
{
    const uint32_t most = left < program->tile_rows ? left : program->tile_rows, rest = most % (uint32_t)LANES;
    return rest < program->few_rows && most - rest >= program->few_rows ? most - rest : most;
}

static __attribute__((noinline)) void run_tiles(tile *t, const native_program *program, uint32_t rows)
{
    const bool streams = t->streams;
    const uint32_t columns = rows > program->tile_rows ? columns_per_block(program, rows) : 0;
    t->fetch->columns = 0;
    for (uint32_t done; rows > 0; t->first += done) {
        done = next_rows(program, rows);
        rows -= done;
        if (columns > 0)
            *t->fetch = (fetcher){.call = t->call,
                                  .step = program->steps,
                                  .end = program->steps + program->step_count,
                                  .columns = rows > 0 ? columns : 0,
                                  .first = t->first + done,
                                  .rows = rows < done ? rows : done};
        t->streams = streams;
        if (done < program->few_rows) {
            run_alone(t, program, done);
            continue;
        }
        t->rows = done;
        t->alone = 0;
        t->vectors = (done + LANES - 1) / LANES;
        t->pitch = t->vectors * LANES;
        t->streams &= done % LANES == 0; /* nothing is read behind the last row */
        run_tile(t, program);
    }
}

static void run(const native_program *program, native_call *call)
{
    const uint32_t rows = call->rows[program->axis];
    fetcher fetch;
    tile t; /* the rest by what runs it */
    t.base = call->workspace;
    t.fetch = &fetch;
    t.call = call;
    t.first = call->first;
    t.streams = can_stream(program, call);
    if (rows > 0 && rows < program->few_rows) run_alone(&t, program, rows);
    else run_tiles(&t, program, rows);
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
const native_kernels SYMBOL_1(STOA_ISA) = {NAME_1(STOA_ISA), (uint32_t)LANES, supported, prepare, run, map_f32, has};
