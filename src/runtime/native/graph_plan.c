/* SPDX-License-Identifier: Apache-2.0 */
/* Cuts the steps of a model into programs. A step belongs to the rows of one axis and to a pass, counted from the last one: that of
 * the steps that read its columns, and one before those that come `after` it, so that most columns live in one pass. All steps of a
 * pass and an axis are a program. Columns that a later pass reads are kept in memory, inputs are loaded again. A model of one
 * axis that gathers nothing is one program. */
#include <stdlib.h>
#include <string.h>

#include "runtime/native/graph.h"

typedef struct planner {
    lowering *l;
    bool *live;          /* steps that an output needs */
    uint32_t *pass;      /* of each step, how many come behind it */
    uint32_t *kept;      /* 1 + first kept column of the step's columns, 0: no later pass reads them */
    uint32_t pass_count;
    bool crosses_rows;
} planner;

/* Calls `visit` for the step that makes each column which step i reads. */
static void visit_makers(planner *p, size_t i, void (*visit)(planner *p, size_t reader, uint32_t maker))
{
    const native_step *s = &p->l->steps[i].step;
    for (uint32_t operand = 0; operand < 3; operand++)
        for (uint32_t c = 0; s->in[operand].refs && c < stoai_operand_length(s, operand); c++)
            visit(p, i, p->l->producer[s->in[operand].refs[c]]);
}

static void need(planner *p, size_t reader, uint32_t maker)
{
    p->live[maker] = true;
    if (p->pass[maker] < p->pass[reader]) p->pass[maker] = p->pass[reader];
}

static void keep_for_later(planner *p, size_t reader, uint32_t maker)
{
    const graph_step *step = &p->l->steps[maker];
    if (step->step.kind == NATIVE_STEP_LOAD || p->pass[maker] == p->pass[reader] || p->kept[maker]) return;
    p->kept[maker] = 1 + stoai_graph_keep(p->l, step->rows, step->step.out_type, step->out_count);
}

static void find_passes(planner *p)
{
    lowering *l = p->l;
    for (size_t i = l->step_count; i-- > 0;) {
        const graph_step *step = &l->steps[i];
        p->live[i] |= step->step.kind == NATIVE_STEP_STORE && step->step.space == NATIVE_OUTPUTS;
        if (!p->live[i]) continue;
        p->crosses_rows |= step->step.kind == NATIVE_STEP_GATHER || step->step.kind == NATIVE_STEP_SCATTER;
        visit_makers(p, i, need);
        if (p->pass[i] >= p->pass_count) p->pass_count = p->pass[i] + 1;
        if (!step->after) continue;
        const uint32_t before = step->after - 1;
        p->live[before] = true;
        if (p->pass[before] <= p->pass[i]) p->pass[before] = p->pass[i] + 1;
    }
    for (size_t i = 0; i < l->step_count; i++)
        if (p->live[i]) visit_makers(p, i, keep_for_later);
}

/* ---- one program ------------------------------------------------------------------------------------------------------ */

static bool is_part(const planner *p, size_t i, uint32_t pass, uint32_t rows)
{
    const graph_step *step = &p->l->steps[i];
    return p->live[i] && p->pass[i] == pass && step->rows == rows && step->step.kind != NATIVE_STEP_LOAD;
}

static bool append(lowering *part, const graph_step *step)
{
    graph_step *steps = stoai_arena_grow(part->arena, part->steps, part->step_count, &part->step_capacity, sizeof *steps);
    if (!steps) return stoai_graph_no_memory(part) != NULL;
    for (uint32_t c = 0; c < step->out_count; c++) part->producer[step->out + c] = (uint32_t)part->step_count;
    steps[part->step_count++] = *step;
    part->steps = steps;
    return true;
}

/* The columns of a step that ran in an earlier pass, or of an input. */
static bool append_load(const planner *p, lowering *part, size_t i)
{
    graph_step load = p->l->steps[i];
    if (load.step.kind == NATIVE_STEP_LOAD) return append(part, &load);
    const native_type type = load.step.out_type;
    load.step = (native_step){.kind = NATIVE_STEP_LOAD, .type = type, .out_type = type, .count = load.out_count};
    load.step.space = NATIVE_KEPT;
    load.step.first_value = p->kept[i] - 1;
    return append(part, &load);
}

static bool append_step(const planner *p, lowering *part, size_t i)
{
    const graph_step *step = &p->l->steps[i];
    if (!append(part, step)) return false;
    if (!p->kept[i]) return true;
    graph_step store = {.step = {.kind = NATIVE_STEP_STORE, .type = step->step.out_type, .count = step->out_count}};
    uint32_t *refs = stoai_graph_take(part, step->out_count, sizeof *refs);
    for (uint32_t c = 0; refs && c < step->out_count; c++) refs[c] = step->out + c;
    store.step.out_type = store.step.in[0].type = store.step.type;
    store.step.in[0].refs = refs;
    store.step.space = NATIVE_KEPT;
    store.step.first_value = p->kept[i] - 1;
    return refs && append(part, &store);
}

/* Steps of other parts, which columns of this one come from, by the order in which they were made. */
static bool *find_needed(const planner *p, uint32_t pass, uint32_t rows, bool *any)
{
    lowering *l = p->l;
    bool *needed = stoai_graph_take(l, l->step_count, sizeof *needed);
    for (size_t i = 0; needed && i < l->step_count; i++) {
        if (!is_part(p, i, pass, rows)) continue;
        const native_step *s = &l->steps[i].step;
        *any = true;
        for (uint32_t operand = 0; operand < 3; operand++)
            for (uint32_t c = 0; s->in[operand].refs && c < stoai_operand_length(s, operand); c++)
                needed[l->producer[s->in[operand].refs[c]]] = true;
    }
    return needed;
}

static stoa_status write_program(const planner *p, uint32_t pass, uint32_t rows, native_plan *plan, uint64_t *flop)
{
    lowering *l = p->l, part = *l;
    bool any = false;
    uint64_t program_flop = 0;
    const bool *needed = find_needed(p, pass, rows, &any);
    if (!needed || !any) return l->status;
    part.steps = NULL;
    part.step_count = part.step_capacity = 0;
    part.producer = stoai_graph_take(l, l->column_count, sizeof *part.producer);
    for (size_t i = 0; part.producer && part.status == STOA_OK && i < l->step_count; i++)
        if (is_part(p, i, pass, rows)) (void)append_step(p, &part, i);
        else if (needed[i]) (void)append_load(p, &part, i);
    l->status = part.status != STOA_OK ? part.status : l->status;
    if (l->status != STOA_OK) return l->status;
    native_program *program = &plan->programs[plan->program_count++];
    l->status = stoai_graph_finish(&part, program, &program_flop);
    program->axis = rows - 1;
    *flop += program_flop;
    return l->status;
}

/* ---- memory of kept columns --------------------------------------------------------------------------------------------- */

/* A kept column, and the first and the last program that touches it. */
typedef struct lifetime {
    uint32_t column, first, last;
} lifetime;

static int by_first(const void *a, const void *b)
{
    const lifetime *x = a, *y = b;
    return x->first != y->first ? (x->first > y->first) - (x->first < y->first) : (x->column > y->column) - (x->column < y->column);
}

static int by_last(const void *a, const void *b)
{
    const lifetime *x = a, *y = b;
    return x->last != y->last ? (x->last > y->last) - (x->last < y->last) : (x->column > y->column) - (x->column < y->column);
}

static void find_lifetimes(const native_plan *plan, lifetime *of)
{
    for (uint32_t k = 0; k < plan->kept_count; k++) of[k] = (lifetime){k, UINT32_MAX, UINT32_MAX};
    for (uint32_t p = 0; p < plan->program_count; p++)
        for (uint32_t i = 0; i < plan->programs[p].step_count; i++) {
            const native_step *s = &plan->programs[p].steps[i];
            for (uint32_t k = s->first_value; s->space == NATIVE_KEPT && k < s->first_value + s->count; k++) {
                if (of[k].first == UINT32_MAX) of[k].first = p;
                of[k].last = p;
            }
        }
}

/* Columns of one axis and size, in the order in which they begin, each take the memory of the one that ends first, if that ended. */
static void share_memory_of(native_plan *plan, uint32_t axis, bool wide, const lifetime *begins, const lifetime *ends)
{
    uint32_t next = 0;
#define IS_OF(k) (plan->kept[k].axis == axis && (plan->kept[k].type == NATIVE_F64 || plan->kept[k].type == NATIVE_I64) == wide)
    for (uint32_t i = 0; i < plan->kept_count; i++) {
        native_kept *column = &plan->kept[begins[i].column];
        if (!IS_OF(begins[i].column)) continue;
        column->memory = begins[i].column;
        while (next < plan->kept_count && !IS_OF(ends[next].column)) next++;
        if (next < plan->kept_count && ends[next].last < begins[i].first) column->memory = plan->kept[ends[next++].column].memory;
    }
#undef IS_OF
}

static bool share_memory(lowering *l, native_plan *plan)
{
    lifetime *begins = stoai_graph_take(l, plan->kept_count + 1, sizeof *begins);
    lifetime *ends = stoai_graph_take(l, plan->kept_count + 1, sizeof *ends);
    if (!begins || !ends) return false;
    find_lifetimes(plan, begins);
    memcpy(ends, begins, plan->kept_count * sizeof *ends);
    qsort(begins, plan->kept_count, sizeof *begins, by_first);
    qsort(ends, plan->kept_count, sizeof *ends, by_last);
    for (uint32_t axis = 0; axis < l->axis_count; axis++) {
        share_memory_of(plan, axis, false, begins, ends);
        share_memory_of(plan, axis, true, begins, ends);
    }
    return true;
}

stoa_status stoai_graph_plan(lowering *l, native_plan *plan, uint64_t *flop_per_row)
{
    planner p = {.l = l};
    *plan = (native_plan){0};
    *flop_per_row = 0;
    p.live = stoai_graph_take(l, l->step_count, sizeof *p.live);
    p.pass = stoai_graph_take(l, l->step_count, sizeof *p.pass);
    p.kept = stoai_graph_take(l, l->step_count, sizeof *p.kept);
    if (!p.live || !p.pass || !p.kept) return l->status;
    find_passes(&p);
    if (l->status != STOA_OK) return l->status;
    plan->programs = stoai_arena_take(l->kept, (size_t)p.pass_count * l->axis_count, sizeof *plan->programs);
    plan->kept = stoai_arena_take(l->kept, l->kept_count + 1, sizeof *plan->kept);
    if (!plan->programs || !plan->kept) return stoai_graph_no_memory(l), l->status;
    if (l->kept_count) memcpy(plan->kept, l->kept_columns, l->kept_count * sizeof *plan->kept);
    plan->kept_count = (uint32_t)l->kept_count;
    plan->crosses_rows = p.crosses_rows;
    for (uint32_t pass = p.pass_count; pass-- > 0;)
        for (uint32_t axis = 0; axis < l->axis_count; axis++) STOA_TRY(write_program(&p, pass, axis + 1, plan, flop_per_row));
    (void)share_memory(l, plan);
    return l->status;
}
