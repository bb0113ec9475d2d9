/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of a program as C text. As in the engine a block of rows lies in columns and rows are the innermost loop,
 * so that a compiler makes vectors of them. Elementwise operations are the very expressions of map_ops.h, computed in
 * double. */
#include "runtime/native/emit_c.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "runtime/native/map_ops.h"

static const char *const expressions[NATIVE_OP_COUNT] = {
#define EXPRESSION(name, value) [NATIVE_##name] = #value,
    F64_MAP(EXPRESSION)
#undef EXPRESSION
};

static const char functions[] =
#define FUNCTION(...) "static " #__VA_ARGS__ "\n"
    F64_FUNCTIONS(FUNCTION);
#undef FUNCTION

/* A reduction of values a: total t from `start`, by `next`, and what becomes of it. */
static const struct reduction {
    const char *start, *next, *result;
} reductions[] = {
    [NATIVE_REDUCE_SUM] = {"0.0", "t + a", "t"},
    [NATIVE_REDUCE_MEAN] = {"0.0", "t + a", "t / n"},
    [NATIVE_REDUCE_PROD] = {"1.0", "t * a", "t"},
    [NATIVE_REDUCE_MIN] = {"INFINITY", "a < t ? a : t", "t"},
    [NATIVE_REDUCE_MAX] = {"-INFINITY", "a > t ? a : t", "t"},
    [NATIVE_REDUCE_L1] = {"0.0", "t + fabs(a)", "t"},
    [NATIVE_REDUCE_L2] = {"0.0", "t + a * a", "sqrt(t)"},
    [NATIVE_REDUCE_SUM_SQUARE] = {"0.0", "t + a * a", "t"},
    [NATIVE_REDUCE_LOG_SUM] = {"0.0", "t + a", "log(t)"},
    [NATIVE_REDUCE_LOG_SUM_EXP] = {"0.0", "t + exp(a - most)", "log(t) + most"},
    [NATIVE_REDUCE_ARG_MIN] = {NULL, NULL, NULL},
    [NATIVE_REDUCE_ARG_MAX] = {NULL, NULL, NULL},
};

typedef struct emitter {
    stoa_text_sink sink;
    void *user;
    bool refused;  /* by the sink */
    uint32_t step; /* number of the one being written: its tables are called after it */
} emitter;

static void put(emitter *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(emitter *e, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    const int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const size_t bytes = length < 0 ? 0 : (size_t)length < sizeof text ? (size_t)length : sizeof text - 1;
    e->refused |= e->refused || !e->sink(e->user, text, bytes);
}

static void put_long(emitter *e, const char *text) { e->refused |= e->refused || !e->sink(e->user, text, strlen(text)); }

static void put_float(emitter *e, double x)
{
    if (isnan(x)) put(e, "NAN");
    else if (isinf(x)) put(e, x < 0.0 ? "-INFINITY" : "INFINITY");
    else put(e, "%a", x);
}

/* ---- tables of a step
 * ------------------------------------------------------------------------------------------------------ */

static void put_floats(emitter *e, const char *name, uint32_t index, const float *x, size_t count)
{
    put(e, "static const float %s%u_%u[%zu] = {", name, e->step, index, count);
    for (size_t i = 0; i < count; i++) {
        put(e, i % 8 ? ", " : i ? ",\n    " : "\n    ");
        put_float(e, (double)x[i]);
        put(e, isfinite(x[i]) ? "f" : "");
    }
    put(e, "};\n");
}

/* The list of columns or constants behind an operand of `count`; neighbouring columns need none. */
static void put_operand_table(emitter *e, const native_operand *o, uint32_t index, uint32_t count)
{
    if (o->constants) put_floats(e, "constant", index, o->constants, count);
    if (!o->refs) return;
    put(e, "static const unsigned column%u_%u[%u] = {", e->step, index, count);
    for (uint32_t i = 0; i < count; i++) put(e, "%s%u", i % 16 ? ", " : i ? ",\n    " : "\n    ", o->refs[i]);
    put(e, "};\n");
}

/* Value number `at` of an operand, in row r. */
static void put_operand(emitter *e, const native_operand *o, uint32_t index, const char *at)
{
    if (o->constants) put(e, "constant%u_%u[%s]", e->step, index, at);
    else if (o->refs) put(e, "v[column%u_%u[%s]][r]", e->step, index, at);
    else put(e, "v[%uu + %s][r]", o->first, at);
}

static uint32_t operand_count(const native_step *s)
{
#define OPERANDS(name, operands) operands,
    static const uint8_t operands[] = {NATIVE_OP_MAP(OPERANDS)};
#undef OPERANDS
    return s->kind == NATIVE_STEP_MAP ? operands[s->op] : s->kind == NATIVE_STEP_LOAD ? 0 : 1;
}

static uint32_t operand_length(const native_step *s)
{
    const bool grouped = s->kind == NATIVE_STEP_REDUCE || s->kind == NATIVE_STEP_SOFTMAX || s->kind == NATIVE_STEP_NORM;
    return s->kind == NATIVE_STEP_GEMM ? s->length : grouped ? s->count * s->length : s->count;
}

static void put_weights(emitter *e, const native_step *s)
{
    put(e, "static const float weight%u[%u][%u] = {", e->step, s->count, s->length);
    for (uint32_t o = 0; o < s->count; o++) {
        put(e, "%s\n    {", o ? "," : "");
        for (uint32_t k = 0; k < s->length; k++) {
            put(e, k ? "%s" : "", k % 8 ? ", " : ",\n     ");
            const float w = s->weights[stoai_native_weight_at(s->count, s->length, o, k)];
            put_float(e, (double)w);
            put(e, isfinite(w) ? "f" : "");
        }
        put(e, "}");
    }
    put(e, "};\n");
    put_floats(e, "bias", 0, s->bias, s->count);
}

/* float32's CLIP has its bounds in alpha and beta, the expression takes them as low and high. */
static void put_parameters(emitter *e, const native_step *s)
{
    if (!expressions[s->op] || !strstr(expressions[s->op], "s->")) return;
    const double values[] = {(double)s->alpha, (double)s->beta, (double)s->alpha, (double)s->beta};
    put(e, "static const struct parameters parameters%u = {", e->step);
    for (int i = 0; i < 4; i++) {
        put(e, i ? ", " : "");
        put_float(e, values[i]);
    }
    put(e, "};\n");
}

static void put_tables(emitter *e, const native_step *s)
{
    for (uint32_t i = 0; i < operand_count(s); i++) put_operand_table(e, &s->in[i], i, operand_length(s));
    if (s->kind == NATIVE_STEP_GEMM) put_weights(e, s);
    if (s->kind == NATIVE_STEP_GEMM || s->kind == NATIVE_STEP_MAP) put_parameters(e, s);
    for (uint32_t i = 1; i < 3 && s->kind == NATIVE_STEP_NORM; i++)
        if (s->in[i].constants) put_floats(e, "constant", i, s->in[i].constants, s->length);
}

/* ---- code of a step
 * -------------------------------------------------------------------------------------------------------- */

static void put_expression(emitter *e, const native_step *s)
{
    if (strstr(expressions[s->op], "s->")) put(e, "const struct parameters *const s = &parameters%u; ", e->step);
    put(e, "v[%uu + i][r] = (float)(%s); }\n", s->out, expressions[s->op]);
}

static void put_gemm(emitter *e, const native_step *s)
{
    put(e, "    for (unsigned i = 0; i < %u; i++) {\n        float sum[ROWS] = {0};\n", s->count);
    put(e,
        "        for (unsigned k = 0; k < %u; k++)\n            for (unsigned r = 0; r < ROWS; r++) sum[r] += "
        "weight%u[i][k] * ",
        s->length, e->step);
    put_operand(e, &s->in[0], 0, "k");
    put(e, ";\n        for (unsigned r = 0; r < ROWS; r++) { const double a = sum[r] + bias%u_0[i]; ", e->step);
    put_expression(e, s);
    put(e, "    }\n");
}

static void put_map(emitter *e, const native_step *s)
{
    put(e, "    for (unsigned i = 0; i < %u; i++)\n        for (unsigned r = 0; r < ROWS; r++) { ", s->count);
    for (uint32_t p = 0; p < operand_count(s); p++) {
        put(e, "const double %c = ", "abc"[p]);
        put_operand(e, &s->in[p], p, "i");
        put(e, "; ");
    }
    put_expression(e, s);
}

/* The head of a loop over groups, with x(k) for the k-th value of group g. */
static void put_groups(emitter *e, const native_step *s)
{
    put(e, "    for (unsigned g = 0; g < %u; g++)\n        for (unsigned r = 0; r < ROWS; r++) {\n", s->count);
    put(e, "            const unsigned n = %u;\n            double x[%u], most = -INFINITY;\n", s->length, s->length);
    put(e, "            for (unsigned k = 0; k < n; k++) {\n                x[k] = ");
    char at[32];
    snprintf(at, sizeof at, "g * %uu + k", s->length);
    put_operand(e, &s->in[0], 0, at);
    put(e, ";\n                most = x[k] > most ? x[k] : most;\n            }\n");
}

static void put_reduce(emitter *e, const native_step *s)
{
    const struct reduction *reduction = &reductions[s->reduce];
    put_groups(e, s);
    put(e, "            most = fabs(most) < INFINITY ? most : 0.0;\n            double t = %s;\n", reduction->start);
    put(e, "            for (unsigned k = 0; k < n; k++) { const double a = x[k]; t = %s; }\n", reduction->next);
    put(e, "            v[%uu + g][r] = (float)(%s);\n            (void)most;\n        }\n", s->out, reduction->result);
}

static void put_softmax(emitter *e, const native_step *s)
{
    put_groups(e, s);
    put(e, "            double t = 0.0;\n            for (unsigned k = 0; k < n; k++) t += exp(x[k] - most);\n");
    put(e, "            for (unsigned k = 0; k < n; k++) v[%uu + g * n + k][r] = (float)(%s);\n        }\n", s->out,
        s->log ? "x[k] - most - log(t)" : "exp(x[k] - most) / t");
}

static void put_norm(emitter *e, const native_step *s)
{
    put_groups(e, s);
    put(e, "            double mean = 0.0, t = 0.0;\n            (void)most;\n");
    put(e, "            for (unsigned k = 0; k < n; k++) mean += x[k] / n;\n");
    put(e, "            for (unsigned k = 0; k < n; k++) t += (x[k] - mean) * (x[k] - mean);\n");
    put(e,
        "            for (unsigned k = 0; k < n; k++)\n                v[%uu + g * n + k][r] = (float)((x[k] - mean) / "
        "sqrt(t / n + ",
        s->out);
    put_float(e, (double)s->alpha);
    put(e, ")");
    if (s->in[1].constants) put(e, " * constant%u_1[k]", e->step);
    if (s->in[2].constants) put(e, " + constant%u_2[k]", e->step);
    put(e, ");\n        }\n");
}

static void put_step(emitter *e, const native_step *s)
{
    put(e, "    /* %s */\n", s->text);
    switch (s->kind) {
    case NATIVE_STEP_LOAD:
        put(e, "    for (unsigned i = 0; i < %u; i++)\n        for (unsigned r = 0; r < ROWS; r++)\n", s->count);
        put(e, "            v[%uu + i][r] = r < rows ? in[%uu + i][first + r] : 0.0f;\n", s->out, s->first_value);
        break;
    case NATIVE_STEP_STORE:
        put(e,
            "    for (unsigned i = 0; i < %u; i++)\n        for (unsigned r = 0; r < rows; r++) out[%uu + i][first + "
            "r] = ",
            s->count, s->first_value);
        put_operand(e, &s->in[0], 0, "i");
        put(e, ";\n");
        break;
    case NATIVE_STEP_GEMM: put_gemm(e, s); break;
    case NATIVE_STEP_MAP: put_map(e, s); break;
    case NATIVE_STEP_REDUCE: put_reduce(e, s); break;
    case NATIVE_STEP_SOFTMAX: put_softmax(e, s); break;
    case NATIVE_STEP_NORM: put_norm(e, s); break;
    case NATIVE_STEP_CAST:
    case NATIVE_STEP_GATHER:
    case NATIVE_STEP_SCATTER: break; /* refused */
    }
}

/* ---- the file
 * -------------------------------------------------------------------------------------------------------------- */

static bool can_emit(const native_step *s)
{
    if (s->kind == NATIVE_STEP_CAST || s->kind == NATIVE_STEP_GATHER || s->kind == NATIVE_STEP_SCATTER || s->type != NATIVE_F32)
        return false;
    if (s->kind == NATIVE_STEP_REDUCE) return reductions[s->reduce].start != NULL;
    return (s->kind != NATIVE_STEP_GEMM && s->kind != NATIVE_STEP_MAP) || (s->out_type == NATIVE_F32 && expressions[s->op]);
}

static stoa_status check_tensors(const stoa_tensor_schema *tensors, uint32_t count, stoa_error *err)
{
    for (uint32_t i = 0; i < count; i++) {
        const stoa_tensor_schema *t = &tensors[i];
        if (t->dtype != STOA_FLOAT32)
            return STOA_FAIL(err, STOA_ENOTSUP, "emit C: tensor '%s' is %s, only float32 has a form in C", t->name,
                             stoa_dtype_name(t->dtype));
        if (t->axis == STOA_AXIS_ONE)
            return STOA_FAIL(err, STOA_ENOTSUP, "emit C: tensor '%s' has no row axis, only rows have a form in C", t->name);
    }
    return STOA_OK;
}

static stoa_status check(const native_plan *plan, const stoa_schema *schema, stoa_error *err)
{
    if (plan->program_count != 1)
        return STOA_FAIL(err, STOA_ENOTSUP, "emit C: the model is %u programs, only one has a form in C", plan->program_count);
    STOA_TRY(check_tensors(schema->inputs, schema->input_count, err));
    STOA_TRY(check_tensors(schema->outputs, schema->output_count, err));
    for (uint32_t i = 0; i < plan->programs[0].step_count; i++)
        if (!can_emit(&plan->programs[0].steps[i]))
            return STOA_FAIL(err, STOA_ENOTSUP, "emit C: step %u, '%s', has no form in C: only float32 steps have", i,
                             plan->programs[0].steps[i].text);
    return STOA_OK;
}

/* "input0" for the first: names of tensors need not be C's. */
static void put_tensors(emitter *e, const char *what, const stoa_tensor_schema *tensors, uint32_t count)
{
    for (uint32_t t = 0; t < count; t++)
        put(e, " *   %s%u[k][i]  value k < %u of row i of '%s'\n", what, t, tensors[t].width, tensors[t].name);
}

static uint32_t put_pointers(emitter *e, const char *array, const char *what, const stoa_tensor_schema *tensors, uint32_t count)
{
    uint32_t total = 0;
    for (uint32_t t = 0; t < count; t++) {
        if (array) put(e, "    for (unsigned k = 0; k < %u; k++) %s[%uu + k] = %s%u[k];\n", tensors[t].width, array, total, what, t);
        total += tensors[t].width;
    }
    return total;
}

static void put_head(emitter *e, const stoa_schema *schema, const char *name)
{
    put(e, "/* %s: a model as plain C11, written by Stoa. Needs libm and nothing else.\n *\n", name);
    put_tensors(e, "input", schema->inputs, schema->input_count);
    put_tensors(e, "output", schema->outputs, schema->output_count);
    put(e, " *\n * Columns are rows of float without gaps; outputs share no memory with inputs. Keeps no state: any "
           "threads. */\n");
    put(e, "#include <math.h>\n#include <stddef.h>\n\nenum { ROWS = 16 }; /* of a block; they ride in the lanes of "
           "vectors */\n\n");
    put(e, "struct parameters {\n    double alpha, beta, low, high;\n};\n\n");
    /* Not every model needs every one of them. */
    put(e, "#if defined(__GNUC__)\n#pragma GCC diagnostic ignored \"-Wunused-function\"\n#endif\n");
    put_long(e, functions);
    put(e, "\n");
}

static void put_signature(emitter *e, const stoa_schema *schema, const char *name)
{
    put(e, "void %s(", name);
    for (uint32_t t = 0; t < schema->input_count; t++) put(e, "const float *const input%u[%u], ", t, schema->inputs[t].width);
    for (uint32_t t = 0; t < schema->output_count; t++) put(e, "float *const output%u[%u], ", t, schema->outputs[t].width);
    put(e, "size_t rows)");
}

static void put_function(emitter *e, const stoa_schema *schema, const char *name)
{
    put_signature(e, schema, name);
    put(e, ";\n");
    put_signature(e, schema, name);
    put(e, "\n{\n    const float *in[%u];\n    float *out[%u];\n", put_pointers(e, NULL, "", schema->inputs, schema->input_count),
        put_pointers(e, NULL, "", schema->outputs, schema->output_count));
    put_pointers(e, "in", "input", schema->inputs, schema->input_count);
    put_pointers(e, "out", "output", schema->outputs, schema->output_count);
    put(e, "    for (size_t first = 0; first < rows; first += ROWS)\n");
    put(e, "        block(in, out, first, rows - first < ROWS ? rows - first : ROWS);\n}\n");
}

stoa_status stoai_native_emit_c(const native_plan *plan, const stoa_schema *schema, const char *name, stoa_text_sink sink, void *user,
                                stoa_error *err)
{
    STOA_TRY(check(plan, schema, err));
    const native_program *program = &plan->programs[0];
    emitter e = {.sink = sink, .user = user};
    put_head(&e, schema, name);
    for (e.step = 0; e.step < program->step_count; e.step++) put_tables(&e, &program->steps[e.step]);
    put(&e,
        "\nstatic void block(const float *const *in, float *const *out, size_t first, size_t rows)\n{\n    float "
        "v[%u][ROWS];\n",
        program->ref_count ? program->ref_count : 1);
    for (e.step = 0; e.step < program->step_count; e.step++) put_step(&e, &program->steps[e.step]);
    put(&e, "}\n\n");
    put_function(&e, schema, name);
    return e.refused ? STOA_FAIL(err, STOA_EIO, "emit C: the text of '%s' could not be written", name) : STOA_OK;
}
