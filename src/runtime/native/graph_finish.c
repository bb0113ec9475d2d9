/* SPDX-License-Identifier: Apache-2.0 */
/* From steps over virtual columns to the program: what no output needs is dropped, what follows a GEMM melts into it, and
 * columns get their places in the tile. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/native/graph.h"

#define GROUP_REFS 16u                  /* a vector of the widest level: kernels may touch whole vectors */
#define TILE_STEP 48u
#define L1_BYTES ((size_t)24 * 1024)

typedef struct finisher {
    lowering *l;
    uint32_t *uses;        /* of each column by live steps */
    uint32_t *rename;      /* column that holds this one's values after fusion */
    uint32_t *place;       /* ref of each column */
    size_t *last_use;      /* index of the last live step that reads any column of a step, by step */
    struct packed *packed; /* weights that have been packed, so that equal ones are kept once */
    size_t packed_count, packed_capacity;
} finisher;

uint32_t stoai_operand_length(const native_step *s, uint32_t index)
{
    if (s->kind == NATIVE_STEP_GEMM) return index == 0 ? s->length : 0;
    if (s->kind == NATIVE_STEP_GATHER || s->kind == NATIVE_STEP_SCATTER) return index == 0 ? 1 : s->count;
    if (s->kind == NATIVE_STEP_NORM && index > 0) return s->length;
    const bool grouped = s->kind == NATIVE_STEP_REDUCE || s->kind == NATIVE_STEP_SOFTMAX || s->kind == NATIVE_STEP_NORM;
    return grouped ? s->count * s->length : s->count;
}

/* ---- dead steps and use counts --------------------------------------------------------------------------------------- */

static void count_uses(finisher *f)
{
    lowering *l = f->l;
    for (size_t i = l->step_count; i-- > 0;) {
        graph_step *step = &l->steps[i];
        bool used = step->step.kind == NATIVE_STEP_STORE || step->step.kind == NATIVE_STEP_SCATTER;
        for (uint32_t c = 0; c < step->out_count && !used; c++) used = f->uses[step->out + c] > 0;
        step->dead = !used;
        for (uint32_t p = 0; p < 3 && used; p++)
            for (uint32_t c = 0; step->step.in[p].refs && c < stoai_operand_length(&step->step, p); c++)
                f->uses[step->step.in[p].refs[c]]++;
    }
}

/* ---- fusion ----------------------------------------------------------------------------------------------------------- */

/* The GEMM whose columns operand `index` is, all of them in order and used nowhere else; NULL: none. */
static graph_step *sole_gemm(finisher *f, const graph_step *step, uint32_t index)
{
    lowering *l = f->l;
    const uint32_t *refs = step->step.in[index].refs;
    if (!refs) return NULL;
    const uint32_t first = f->rename[refs[0]];
    graph_step *gemm = &l->steps[l->producer[first]];
    if (gemm->step.kind != NATIVE_STEP_GEMM || gemm->step.op != NATIVE_COPY || gemm->step.count != step->step.count) return NULL;
    for (uint32_t i = 0; i < step->step.count; i++)
        if (f->rename[refs[i]] != gemm->out + i || f->uses[gemm->out + i] != 1) return NULL;
    return gemm;
}

/* w x + b, then one of x + c, x - c, c - x, x * c, x / c: as new weights. Not when that would overflow, or turn a constant
 * of zero, infinity or NaN into other results. */
static bool fold_affine(finisher *f, graph_step *gemm, native_op op, const graph_element *c, bool constant_first)
{
    const uint32_t count = gemm->step.count, length = gemm->step.length;
    double *w = stoai_graph_take(f->l, (size_t)count * length, sizeof *w), *b = stoai_graph_take(f->l, count, sizeof *b);
    if (!w || !b || (op == NATIVE_DIV && constant_first)) return false;
    for (uint32_t o = 0; o < count; o++) {
        const double x = c[o].real;
        const bool scales = op == NATIVE_MUL || op == NATIVE_DIV;
        const double factor = op == NATIVE_MUL ? x : op == NATIVE_DIV ? 1.0 / x : op == NATIVE_SUB && constant_first ? -1.0 : 1.0;
        const double shift = scales ? 0.0 : op == NATIVE_SUB && !constant_first ? -x : x;
        if (!isfinite(x) || !isfinite(factor) || factor == 0.0) return false;
        b[o] = gemm->bias[o] * factor + shift;
        bool in_range = fabs(b[o]) < 1e30;
        for (uint32_t k = 0; k < length; k++) {
            const double weight = gemm->weights[(size_t)o * length + k] * factor;
            w[(size_t)o * length + k] = weight;
            in_range &= weight == 0.0 || (fabs(weight) > 1e-30 && fabs(weight) < 1e30);
        }
        if (!in_range) return false;
    }
    gemm->weights = w;
    gemm->bias = b;
    return true;
}

static bool fuse_map(finisher *f, const graph_step *map)
{
    const native_step *s = &map->step;
    if (s->type != NATIVE_F32 || s->out_type != NATIVE_F32) return false;
    if (s->op == NATIVE_ADD || s->op == NATIVE_SUB || s->op == NATIVE_MUL || s->op == NATIVE_DIV) {
        const uint32_t column = map->exact[0] ? 1 : 0;
        graph_step *gemm = map->exact[!column] ? sole_gemm(f, map, column) : NULL;
        return gemm && fold_affine(f, gemm, s->op, map->exact[!column], column == 1);
    }
    if (map->exact[0] || s->in[1].refs || map->exact[1]) return false;
    graph_step *gemm = sole_gemm(f, map, 0);
    if (!gemm) return false;
    gemm->step.op = s->op;
    gemm->step.alpha = s->alpha;
    gemm->step.beta = s->beta;
    gemm->step.low = s->low;
    gemm->step.high = s->high;
    return true;
}

static void fuse(finisher *f)
{
    lowering *l = f->l;
    for (size_t i = 0; i < l->step_count; i++) {
        graph_step *step = &l->steps[i];
        if (step->dead || step->step.kind != NATIVE_STEP_MAP || !fuse_map(f, step)) continue;
        const uint32_t *refs = step->step.in[step->exact[0] ? 1 : 0].refs;
        for (uint32_t c = 0; c < step->out_count; c++) {
            const uint32_t holder = f->rename[refs[c]];
            f->rename[step->out + c] = holder;
            f->uses[holder] = f->uses[step->out + c];
        }
        step->dead = true;
    }
}

/* ---- places -------------------------------------------------------------------------------------------------------------- */

/* Refs are given out first-fit from a sorted list of gaps; the last gap has no end. */
typedef struct gap {
    uint32_t first, count;
} gap;

typedef struct gaps {
    gap *list;
    size_t count, capacity;
    uint32_t top;           /* refs ever used */
} gaps;

static bool insert_gap(lowering *l, gaps *g, size_t at, gap value)
{
    gap *list = stoai_arena_grow(l->arena, g->list, g->count, &g->capacity, sizeof *list);
    if (!list) return stoai_graph_no_memory(l) != NULL;
    memmove(list + at + 1, list + at, (g->count - at) * sizeof *list);
    list[at] = value;
    g->list = list;
    g->count++;
    return true;
}

static uint32_t take_place(gaps *g, uint32_t refs)
{
    for (size_t i = 0; i < g->count; i++)
        if (g->list[i].count >= refs) {
            const uint32_t first = g->list[i].first;
            g->list[i].first += refs;
            g->list[i].count -= refs;
            if (!g->list[i].count) {
                memmove(g->list + i, g->list + i + 1, (g->count - i - 1) * sizeof *g->list);
                g->count--;
            }
            return first;
        }
    g->top += refs;
    return g->top - refs;
}

static bool give_place(lowering *l, gaps *g, uint32_t first, uint32_t refs)
{
    size_t at = 0;
    while (at < g->count && g->list[at].first < first) at++;
    const bool joins_last = at > 0 && g->list[at - 1].first + g->list[at - 1].count == first;
    const bool joins_next = at < g->count && first + refs == g->list[at].first;
    if (joins_last) {
        g->list[at - 1].count += refs;
        if (!joins_next) return true;
        g->list[at - 1].count += g->list[at].count;
        memmove(g->list + at, g->list + at + 1, (g->count - at - 1) * sizeof *g->list);
        g->count--;
        return true;
    }
    if (!joins_next) return insert_gap(l, g, at, (gap){first, refs});
    g->list[at].first = first;
    g->list[at].count += refs;
    return true;
}

static uint32_t column_refs(native_type type) { return type == NATIVE_F64 || type == NATIVE_I64 ? 2 : 1; }

static uint32_t group_refs(const graph_step *step)
{ return (step->out_count * column_refs(step->step.out_type) + GROUP_REFS - 1) / GROUP_REFS * GROUP_REFS; }

static void find_last_uses(finisher *f)
{
    lowering *l = f->l;
    for (size_t i = 0; i < l->step_count; i++) {
        const graph_step *step = &l->steps[i];
        f->last_use[i] = i;
        for (uint32_t p = 0; p < 3 && !step->dead; p++)
            for (uint32_t c = 0; step->step.in[p].refs && c < stoai_operand_length(&step->step, p); c++)
                f->last_use[l->producer[f->rename[step->step.in[p].refs[c]]]] = i;
    }
}

/* Places of all columns: a step's own before those that it reads last are given back, so that they never overlap. */
static bool plan_places(finisher *f, native_program *program)
{
    lowering *l = f->l;
    gaps g = {NULL, 0, 0, 0};
    size_t *next = stoai_graph_take(l, l->step_count + 1, sizeof *next); /* lists of steps by the step that reads them last */
    size_t *head = stoai_graph_take(l, l->step_count + 1, sizeof *head);
    if (!next || !head) return false;
    for (size_t i = 0; i < l->step_count; i++) {
        if (l->steps[i].dead || !l->steps[i].out_count) continue;
        next[i] = head[f->last_use[i]];
        head[f->last_use[i]] = i + 1;
    }
    for (size_t i = 0; i < l->step_count; i++) {
        graph_step *step = &l->steps[i];
        if (step->dead) continue;
        if (step->out_count) step->step.out = take_place(&g, group_refs(step));
        for (uint32_t c = 0; c < step->out_count; c++) f->place[step->out + c] = step->step.out + c * column_refs(step->step.out_type);
        for (size_t done = head[i]; done; done = next[done - 1])
            if (!give_place(l, &g, l->steps[done - 1].step.out, group_refs(&l->steps[done - 1]))) return false;
    }
    program->ref_count = g.top;
    return true;
}

/* Tiles that L1 holds, where the model is so small; else the smallest. */
static uint32_t choose_tile(uint32_t refs)
{
    const size_t rows = refs ? L1_BYTES / (4 * (size_t)refs) / TILE_STEP * TILE_STEP : NATIVE_TILE_MAX;
    return (uint32_t)(rows < TILE_STEP ? TILE_STEP : rows > NATIVE_TILE_MAX ? NATIVE_TILE_MAX : rows);
}

/* ---- constants and weights --------------------------------------------------------------------------------------------------- */

static const void *write_constants(lowering *l, const graph_element *e, uint32_t count, native_type type)
{
    const size_t bytes = column_refs(type) * 4;
    char *out = stoai_arena_take(l->kept, count, bytes);
    if (!out) return stoai_graph_no_memory(l);
    for (uint32_t i = 0; i < count; i++) {
        const float real = (float)e[i].real;
        const int32_t integer = (int32_t)e[i].integer;
        const void *value = type == NATIVE_F64   ? (const void *)&e[i].real
                            : type == NATIVE_I64 ? (const void *)&e[i].integer
                            : type == NATIVE_F32 ? (const void *)&real
                                                 : (const void *)&integer;
        memcpy(out + i * bytes, value, bytes);
    }
    return out;
}

typedef struct packed {
    const double *source;
    uint32_t count, length;
    uint64_t hash;
    float *weights;
} packed;

static uint64_t hash_floats(const float *x, size_t count)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        hash = (hash ^ bits) * 1099511628211u;
    }
    return hash;
}

static const float *find_packed(const finisher *f, const graph_step *step, const float *plain, uint64_t hash, size_t floats)
{
    for (size_t i = 0; i < f->packed_count; i++) {
        const packed *p = &f->packed[i];
        if (p->count != step->step.count || p->length != step->step.length) continue;
        if (p->source == step->weights) return p->weights;
        if (plain && p->hash == hash && memcmp(p->weights, plain, floats * sizeof *plain) == 0) return p->weights;
    }
    return NULL;
}

static bool pack_weights(finisher *f, graph_step *step)
{
    lowering *l = f->l;
    const uint32_t count = step->step.count, length = step->step.length;
    const size_t floats = stoai_native_packed_floats(count, length), plain_floats = (size_t)count * length;
    if ((step->step.weights = find_packed(f, step, NULL, 0, 0))) return true;
    float *plain = stoai_graph_take(l, plain_floats, sizeof *plain), *out = stoai_graph_take(l, floats, sizeof *out);
    if (!plain || !out) return false;
    for (size_t i = 0; i < plain_floats; i++) plain[i] = (float)step->weights[i];
    stoai_native_gemm_pack(plain, length, 1, count, length, out);
    const uint64_t hash = hash_floats(out, floats);
    if ((step->step.weights = find_packed(f, step, out, hash, floats))) return true;
    packed *list = stoai_arena_grow(l->arena, f->packed, f->packed_count, &f->packed_capacity, sizeof *list);
    float *kept = stoai_arena_take(l->kept, floats, sizeof *kept);
    if (!list || !kept) return stoai_graph_no_memory(l) != NULL;
    memcpy(kept, out, floats * sizeof *kept);
    f->packed = list;
    f->packed[f->packed_count++] = (packed){step->weights, count, length, hash, kept};
    step->step.weights = kept;
    return true;
}

static bool write_bias(lowering *l, graph_step *step)
{
    float *bias = stoai_arena_take(l->kept, (step->step.count + NATIVE_GROUP - 1) / NATIVE_GROUP * NATIVE_GROUP, sizeof *bias);
    if (!bias) return stoai_graph_no_memory(l) != NULL;
    for (uint32_t o = 0; o < step->step.count; o++) bias[o] = (float)step->bias[o];
    step->step.bias = bias;
    return true;
}

/* ---- text -------------------------------------------------------------------------------------------------------------------- */

static const char *const op_names[] = {
#define OP_NAME(name, operands) #name,
    NATIVE_OP_MAP(OP_NAME)
#undef OP_NAME
};
static const char *const reduce_names[] = {"sum", "mean",       "product", "min",         "max",    "l1",
                                           "l2",  "sum square", "log sum", "log sum exp", "argmin", "argmax"};

static const char *describe(lowering *l, const native_step *s)
{
    char op[32];
    size_t at = 0;
    for (const char *c = op_names[s->op]; *c && at + 1 < sizeof op; c++) op[at++] = (char)(*c == '_' ? ' ' : tolower((unsigned char)*c));
    op[at] = 0;
    const char *kept = s->space == NATIVE_KEPT ? " kept" : "";
    switch (s->kind) {
    case NATIVE_STEP_LOAD: return stoai_arena_print(l->kept, "load %u%s", s->count, kept);
    case NATIVE_STEP_STORE: return stoai_arena_print(l->kept, "store %u%s", s->count, kept);
    case NATIVE_STEP_GEMM:
        return stoai_arena_print(l->kept, "gemm %u -> %u%s%s", s->length, s->count, s->op == NATIVE_COPY ? "" : ", ",
                                 s->op == NATIVE_COPY ? "" : op);
    case NATIVE_STEP_MAP: return stoai_arena_print(l->kept, "%s %u", op, s->count);
    case NATIVE_STEP_CAST: return stoai_arena_print(l->kept, "cast %u to %s", s->count, stoa_dtype_name(s->narrow));
    case NATIVE_STEP_REDUCE: return stoai_arena_print(l->kept, "%s %u x %u", reduce_names[s->reduce], s->count, s->length);
    case NATIVE_STEP_SOFTMAX: return stoai_arena_print(l->kept, "%ssoftmax %u x %u", s->log ? "log " : "", s->count, s->length);
    case NATIVE_STEP_GATHER: return stoai_arena_print(l->kept, "gather %u of '%s'", s->count, l->axes[s->other]);
    case NATIVE_STEP_SCATTER: return stoai_arena_print(l->kept, "scatter %s %u to '%s'", op, s->count, l->axes[s->other]);
    case NATIVE_STEP_NORM: return stoai_arena_print(l->kept, "layer norm %u x %u", s->count, s->length);
    }
    return NULL;
}

static uint64_t count_flop(const native_step *s)
{
    switch (s->kind) {
    case NATIVE_STEP_GEMM: return 2 * (uint64_t)s->count * s->length;
    case NATIVE_STEP_MAP: return s->op == NATIVE_COPY ? 0 : s->count;
    case NATIVE_STEP_REDUCE:
    case NATIVE_STEP_SOFTMAX:
    case NATIVE_STEP_NORM: return (uint64_t)s->count * s->length;
    case NATIVE_STEP_SCATTER: return s->count;
    case NATIVE_STEP_LOAD:
    case NATIVE_STEP_STORE:
    case NATIVE_STEP_CAST:
    case NATIVE_STEP_GATHER: break;
    }
    return 0;
}

/* ---- writing the steps --------------------------------------------------------------------------------------------------------- */

/* Columns in a row need no table. */
static bool write_operand(finisher *f, graph_step *step, uint32_t index)
{
    native_operand *operand = &step->step.in[index];
    const uint32_t count = stoai_operand_length(&step->step, index);
    if (step->exact[index]) {
        operand->type = step->step.kind == NATIVE_STEP_NORM ? NATIVE_F32 : operand->type;
        operand->constants = write_constants(f->l, step->exact[index], count, operand->type);
        return operand->constants != NULL;
    }
    if (!operand->refs) return true;
    bool contiguous = true;
    uint32_t *refs = stoai_graph_take(f->l, count, sizeof *refs);
    for (uint32_t i = 0; refs && i < count; i++) {
        refs[i] = f->place[f->rename[operand->refs[i]]];
        contiguous &= refs[i] == refs[0] + i * column_refs(operand->type);
    }
    if (!refs) return false;
    operand->first = refs[0];
    operand->refs = NULL;
    if (contiguous) return true;
    uint32_t *kept = stoai_arena_take(f->l->kept, count, sizeof *kept);
    if (!kept) return stoai_graph_no_memory(f->l) != NULL;
    memcpy(kept, refs, count * sizeof *kept);
    operand->refs = kept;
    return true;
}

static bool push_step(lowering *l, native_program *program, size_t *capacity, const native_step *step, uint64_t *flop)
{
    native_step *steps = stoai_arena_grow(l->arena, program->steps, program->step_count, capacity, sizeof *steps);
    const char *text = describe(l, step);
    if (!steps || !text) return stoai_graph_no_memory(l) != NULL;
    program->steps = steps;
    steps[program->step_count] = *step;
    steps[program->step_count++].text = text;
    *flop += count_flop(step);
    return true;
}

/* An input's LOAD becomes one for each run of values that are used. */
static bool write_loads(finisher *f, native_program *program, size_t *capacity, const graph_step *step, uint64_t *flop)
{
    for (uint32_t first = 0, end; first < step->out_count; first = end + 1) {
        for (end = first; end < step->out_count && f->uses[step->out + end]; end++) {}
        if (end == first) continue;
        native_step load = step->step;
        load.count = end - first;
        load.first_value += first;
        load.out += first * column_refs(load.type);
        if (!push_step(f->l, program, capacity, &load, flop)) return false;
    }
    return true;
}

/* The LOAD whose columns the GEMM takes, all of them in order and used nowhere else; NULL: none. */
static const graph_step *sole_load(const finisher *f, const graph_step *gemm)
{
    const uint32_t *refs = gemm->step.in[0].refs;
    if (!refs) return NULL;
    const graph_step *load = &f->l->steps[f->l->producer[refs[0]]];
    if (load->step.kind != NATIVE_STEP_LOAD || load->step.type != NATIVE_F32 || load->out_count != gemm->step.length) return NULL;
    for (uint32_t k = 0; k < gemm->step.length; k++)
        if (refs[k] != load->out + k || f->uses[refs[k]] != 1) return NULL;
    return load;
}

static void mark_streamed(native_program *program, const native_step *load, native_step *gemm)
{
    for (uint32_t i = 0; i < program->step_count; i++) {
        native_step *s = &program->steps[i];
        if (s->kind != NATIVE_STEP_LOAD || s->space != load->space || s->first_value != load->first_value) continue;
        s->streamed = gemm->streamed = true;
        if (program->streamed_end <= i) program->streamed_end = i + 1;
        gemm->space = load->space;
        gemm->first_value = load->first_value;
    }
}

static bool write_steps(finisher *f, native_program *program, uint64_t *flop)
{
    lowering *l = f->l;
    size_t capacity = 0;
    for (size_t i = 0; i < l->step_count; i++) {
        graph_step *step = &l->steps[i];
        if (step->dead) continue;
        const graph_step *source = step->step.kind == NATIVE_STEP_GEMM ? sole_load(f, step) : NULL;
        for (uint32_t p = 0; p < 3; p++)
            if (!write_operand(f, step, p)) return false;
        if (source) mark_streamed(program, &source->step, &step->step);
        if (step->step.kind == NATIVE_STEP_GEMM) {
            if (!pack_weights(f, step) || !write_bias(l, step)) return false;
            step->step.sums = (uint8_t)stoai_native_sums(step->step.count, step->step.length, l->kernels->lanes);
        }
        const bool load = step->step.kind == NATIVE_STEP_LOAD;
        if (!(load ? write_loads(f, program, &capacity, step, flop) : push_step(l, program, &capacity, &step->step, flop))) return false;
    }
    native_step *kept = stoai_arena_take(l->kept, program->step_count, sizeof *kept);
    if (!kept) return stoai_graph_no_memory(l) != NULL;
    if (program->step_count) memcpy(kept, program->steps, program->step_count * sizeof *kept);
    program->steps = kept;
    return true;
}

stoa_status stoai_graph_finish(lowering *l, native_program *program, uint64_t *flop_per_row)
{
    finisher f = {.l = l};
    *program = (native_program){0};
    *flop_per_row = 0;
    f.uses = stoai_graph_take(l, l->column_count, sizeof *f.uses);
    f.rename = stoai_graph_take(l, l->column_count, sizeof *f.rename);
    f.place = stoai_graph_take(l, l->column_count, sizeof *f.place);
    f.last_use = stoai_graph_take(l, l->step_count, sizeof *f.last_use);
    if (!f.uses || !f.rename || !f.place || !f.last_use) return l->status;
    for (uint32_t i = 0; i < l->column_count; i++) f.rename[i] = i;
    count_uses(&f);
    fuse(&f);
    find_last_uses(&f);
    if (l->status != STOA_OK || !plan_places(&f, program) || !write_steps(&f, program, flop_per_row)) return l->status;
    program->tile_rows = choose_tile(program->ref_count);
    l->kernels->prepare(program);
    return STOA_OK;
}
