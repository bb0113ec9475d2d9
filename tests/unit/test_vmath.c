/* SPDX-License-Identifier: Apache-2.0 */
/* Accuracy of the vector functions: the largest error in units of the last place over a walk through all floats, on every
 * level this machine has, against libm in double, and the bounds that vmath.h states. Prints what it measures. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/native/program.h"
#include "runtime/native/vmath.h"

#define BATCH 4096u
#define STRIDE 509u /* a prime: 8.4 million of the 4.3 billion floats, every exponent and both signs */

static double sigmoid(double x) { return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)); }
static double softplus(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }
static double elu(double x) { return x < 0 ? expm1(x) : x; }

static double (*const exact_functions[NATIVE_OP_COUNT])(double) = {
    [NATIVE_EXP] = exp,     [NATIVE_LOG] = log,           [NATIVE_TANH] = tanh,       [NATIVE_SIGMOID] = sigmoid,
    [NATIVE_ERF] = erf,     [NATIVE_SOFTPLUS] = softplus, [NATIVE_ELU] = elu,         [NATIVE_SQRT] = sqrt,
    [NATIVE_FLOOR] = floor, [NATIVE_CEIL] = ceil,         [NATIVE_ROUND] = nearbyint,
};

typedef struct function {
    const char *name;
    native_op op;
    double bound; /* ulp */
} function;

static const function functions[] = {
#define FUNCTION(name, bound) {#name, NATIVE_##name, bound},
    VMATH_BOUND_MAP(FUNCTION)
#undef FUNCTION
};

static float of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

/* Distance to the exact value in units of the float spacing there; infinities and NaN must agree. */
static double ulp_error(float got, double exact)
{
    if (isnan(exact)) return isnan(got) ? 0 : INFINITY;
    const float nearest = (float)exact;
    if (isinf(nearest) || isinf(got))
        return got == nearest || (isinf(nearest) && fabsf(got) == 0x1.fffffep127f && signbit(got) == signbit(nearest)) ? 0 : INFINITY;
    int e;
    frexp(exact, &e);
    const double spacing = ldexp(1.0, (e < -125 ? -125 : e) - 24);
    return fabs((double)got - exact) / spacing;
}

static double worst_of(const native_kernels *k, const function *f, float *where)
{
    static float in[BATCH], out[BATCH];
    double worst = 0;
    for (uint64_t start = 0; start < UINT64_C(1) << 32; start += (uint64_t)BATCH * STRIDE) {
        for (uint32_t i = 0; i < BATCH; i++) {
            const uint64_t bits = start + (uint64_t)i * STRIDE;
            in[i] = of_bits((uint32_t)bits);
        }
        k->map_f32(f->op, in, out, BATCH, 1.0f, 0);
        for (uint32_t i = 0; i < BATCH; i++) {
            if (f->op == NATIVE_ELU && !(in[i] <= 0)) continue;
            const double error = ulp_error(out[i], exact_functions[f->op]((double)in[i]));
            if (error > worst) {
                worst = error;
                *where = in[i];
            }
        }
    }
    return worst;
}

static void every_level(void (*check)(const native_kernels *k))
{
    for (const native_kernels *const *k = stoai_native_levels(); *k != NULL; k++)
        if ((*k)->supported()) check(*k);
        else print_message("%s: skipped, this processor lacks it\n", (*k)->name);
}

static void check_bounds(const native_kernels *k)
{
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        float where = 0;
        const double worst = worst_of(k, &functions[i], &where);
        print_message("%-9s %-12s %.3f ulp at %a (bound %.2f)\n", k->name, functions[i].name, worst, (double)where, functions[i].bound);
        assert_true(worst <= functions[i].bound);
    }
}
static void test_bounds(void **state)
{
    (void)state;
    every_level(check_bounds);
}

/* Functions whose result is a small difference: the error is measured against the size of x. */
static double gelu(double x) { return 0.5 * x * erfc(-x * 0.70710678118654752440); }
static double gelu_tanh(double x) { return x * sigmoid(2 * 0.79788456080286535588 * (x + 0.044715 * x * x * x)); }
static double swish(double x) { return x * sigmoid(x); }
static double mish(double x) { return x * tanh(softplus(x)); }

static void check_products(const native_kernels *k)
{
    static const struct {
        const char *name;
        native_op op;
        double (*exact)(double);
    } rows[] = {
        {"gelu", NATIVE_GELU, gelu},
        {"gelu_tanh", NATIVE_GELU_TANH, gelu_tanh},
        {"swish", NATIVE_SWISH, swish},
        {"mish", NATIVE_MISH, mish},
    };
    for (size_t f = 0; f < sizeof rows / sizeof *rows; f++) {
        double worst = 0;
        for (float x = -20; x <= 20; x += 1.0f / 1024) {
            float y;
            k->map_f32(rows[f].op, &x, &y, 1, 1.0f, 0);
            const double error = fabs((double)y - rows[f].exact((double)x)) / fmax(fabs((double)x), 1e-3);
            worst = error > worst ? error : worst;
        }
        print_message("%-9s %-12s |error| <= %.3g |x|\n", k->name, rows[f].name, worst);
        assert_true(worst <= VMATH_PRODUCT_BOUND);
    }
}
static void test_products(void **state)
{
    (void)state;
    every_level(check_products);
}

static void check_special(const native_kernels *k)
{
    const float inf = INFINITY, tiny = 0x1p-149f;
    const struct {
        native_op op;
        float x, y;
    } rows[] = {
        {NATIVE_EXP, -inf, 0},
        {NATIVE_EXP, inf, inf},
        {NATIVE_EXP, 0, 1},
        {NATIVE_EXP, 89, inf},
        {NATIVE_EXP, -103.9f, tiny},
        {NATIVE_LOG, 0, -inf},
        {NATIVE_LOG, -0.0f, -inf},
        {NATIVE_LOG, inf, inf},
        {NATIVE_LOG, 1, 0},
        {NATIVE_LOG, -1, NAN},
        {NATIVE_LOG, -inf, NAN},
        {NATIVE_TANH, inf, 1},
        {NATIVE_TANH, -inf, -1},
        {NATIVE_TANH, -0.0f, -0.0f},
        {NATIVE_SIGMOID, -inf, 0},
        {NATIVE_SIGMOID, inf, 1},
        {NATIVE_SIGMOID, 0, 0.5f},
        {NATIVE_ERF, inf, 1},
        {NATIVE_ERF, -inf, -1},
        {NATIVE_ERF, -0.0f, -0.0f},
        {NATIVE_SOFTPLUS, -inf, 0},
        {NATIVE_SOFTPLUS, inf, inf},
        {NATIVE_ROUND, 2.5f, 2},
        {NATIVE_ROUND, -1.5f, -2},
        {NATIVE_ROUND, -0.25f, -0.0f},
        {NATIVE_ROUND, 0x1.fffffep22f, 0x1p23f},
        {NATIVE_FLOOR, -0.5f, -1},
        {NATIVE_CEIL, -0.5f, -0.0f},
        {NATIVE_FLOOR, inf, inf},
        {NATIVE_SIGN, -3, -1},
        {NATIVE_SIGN, 0, 0},
        {NATIVE_RELU, -inf, 0},
        {NATIVE_RELU, inf, inf},
        {NATIVE_SQRT, -1, NAN},
        {NATIVE_RECIPROCAL, 0, inf},
        {NATIVE_ELU, -inf, -1},
        {NATIVE_ABS, -inf, inf},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        float y;
        k->map_f32(rows[i].op, &rows[i].x, &y, 1, 1.0f, 0);
        if (isnan(rows[i].y)) assert_true(isnan(y));
        else if (memcmp(&y, &rows[i].y, 4) != 0)
            fail_msg("%s, row %zu: f(%a) is %a, not %a", k->name, i, (double)rows[i].x, (double)y, (double)rows[i].y);
    }
    /* NaN in, NaN out, of either sign; these are defined to swallow it, as ONNX Runtime does. */
    for (int op = NATIVE_NEG; op <= NATIVE_CLIP; op++) {
        if (op == NATIVE_ISNAN || op == NATIVE_ISINF || op == NATIVE_THRESHOLDED_RELU || op == NATIVE_SHRINK ||
            !k->has((native_op)op, NATIVE_F32))
            continue;
        for (int sign = 0; sign < 2; sign++) {
            const float x = of_bits(sign != 0 ? 0xffc00000u : 0x7fc00000u);
            float y;
            k->map_f32((native_op)op, &x, &y, 1, 1.0f, 2.0f);
            if (!isnan(y)) fail_msg("%s: operation %d makes %a of NaN", k->name, op, (double)y);
        }
    }
}
static void test_special(void **state)
{
    (void)state;
    every_level(check_special);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_special),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
