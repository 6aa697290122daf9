/* map_f32 and bin_f32: the same bits on every instruction set, errors against long double, special
 * values. */
#include "kernel_test.h"
#include <float.h>
#include <math.h>

enum { SEED = 20260711, BLOCK = 4096 };

static float of_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}
static uint32_t bits_of(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return isnan(f) ? 0x7fc00000 : u; /* any NaN is as good as another */
}

static const char *const names[] = {
#define NAME(kind) [SQZ_MAP_##kind] = #kind,
    SQZ_MAP_KINDS(NAME)};

/* Blocks of exact size, so that the address sanitizer sees what is read or written past the end;
 * all bit patterns, and ordinary numbers. */
static void test_every_instruction_set_gives_the_same_bits(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 0};
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    for (int kind = SQZ_MAP_none + 1; kind < SQZ_N_MAP; kind++)
        for (int round = 0; round < 200; round++) {
            const size_t n = sqz_rng_below(&r, 50);
            const float p[2] = {(float)sqz_rng_uniform(&r), (float)sqz_rng_uniform(&r) + 0.1f};
            float *x = malloc(n * 4 + 1), *want = malloc(n * 4 + 1);
            for (size_t i = 0; i < n; i++)
                x[i] = round % 2 ? of_bits((uint32_t)sqz_rng_below(&r, 1ull << 32))
                                 : (float)(20 * sqz_rng_uniform(&r) - 10);
            for (size_t i = 0; i < n; i++) /* the specification, at place 0 each time */
                set[0].map_f32((sqz_map_kind)kind, p, x + i, want + i, 1);
            for (size_t s = 0; s < n_set; s++) {
                float *y = malloc(n * 4 + 1);
                memcpy(y, x, n * 4);
                set[s].map_f32((sqz_map_kind)kind, p, y, y, n);
                for (size_t i = 0; i < n; i++)
                    if (bits_of(y[i]) != bits_of(want[i]))
                        fail_msg("%s, %s: %a gives %a, expected %a", sqz_isa_name(set[s].isa),
                                 names[kind], (double)x[i], (double)y[i], (double)want[i]);
                free(y);
            }
            free(x);
            free(want);
        }
}

/* Operands of every form that an output element can be made of, against one element at a time. */
static void test_binary_kernels_take_operands_that_repeat(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 1};
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    for (int kind = SQZ_BIN_none + 1; kind < SQZ_N_BIN; kind++)
        for (int round = 0; round < 200; round++) {
            const size_t rows = sqz_rng_below(&r, 5), n = 1 + sqz_rng_below(&r, 40);
            const size_t step[2] = {round % 3 != 0, round % 3 != 1};
            sqz_operand x[2];
            float *data[2];
            for (int k = 0; k < 2; k++) {
                const size_t row = sqz_rng_below(&r, 2) * (step[k] ? n : 1);
                const size_t count = (rows ? rows - 1 : 0) * row + (step[k] ? n : 1);
                data[k] = malloc(count * 4);
                for (size_t i = 0; i < count; i++)
                    data[k][i] = round % 4 ? (float)(4 * sqz_rng_uniform(&r) - 2)
                                           : of_bits((uint32_t)sqz_rng_below(&r, 1ull << 32));
                x[k] = (sqz_operand){data[k], row, step[k]};
            }
            for (size_t s = 0; s < n_set; s++) {
                float *y = malloc(rows * n * 4 + 1);
                set[s].bin_f32((sqz_bin_kind)kind, &x[0], &x[1], y, rows, n);
                for (size_t i = 0; i < rows * n; i++) {
                    const float a = data[0][i / n * x[0].row + i % n * step[0]],
                                b = data[1][i / n * x[1].row + i % n * step[1]];
                    const float want[] = {[SQZ_BIN_add] = a + b,
                                          [SQZ_BIN_sub] = a - b,
                                          [SQZ_BIN_mul] = a * b,
                                          [SQZ_BIN_div] = a / b,
                                          [SQZ_BIN_min] = isnan(a) || a < b ? a : b,
                                          [SQZ_BIN_max] = isnan(a) || a > b ? a : b,
                                          [SQZ_BIN_prelu] = a < 0 ? a * b : a};
                    if (bits_of(y[i]) != bits_of(want[kind]))
                        fail_msg("%s, kind %d: %a, %a gives %a, expected %a",
                                 sqz_isa_name(set[s].isa), kind, (double)a, (double)b, (double)y[i],
                                 (double)want[kind]);
                }
                free(y);
            }
            free(data[0]);
            free(data[1]);
        }
}

/* ---- accuracy ---- */

static long double sigmoid(long double x) { return 1 / (1 + expl(-x)); }
static long double softplus(long double x) { return fmaxl(x, 0) + log1pl(expl(-fabsl(x))); }
static long double elu(long double x) { return x < 0 ? expm1l(x) : x; }
static long double swish(long double x) { return x * sigmoid(x); }
static long double mish(long double x) { return x * tanhl(softplus(x)); }
static long double gelu(long double x) { return x / 2 * erfcl(-x * sqrtl(0.5L)); }
static long double gelu_tanh(long double x)
{
    return x / 2 * (1 + tanhl(sqrtl(2 / acosl(-1)) * (x + 0.044715L * x * x * x)));
}
static long double inverse(long double x) { return 1 / x; }
static long double softsign(long double x) { return x / (1 + fabsl(x)); }
static long double hard_swish(long double x) { return x * fminl(1, fmaxl(0, x / 6 + 0.5L)); }

/* Distance in units in the last place of the float nearest to `want`. */
static double ulps(float got, long double want)
{
    int e;
    if (fabsl(want) > (long double)FLT_MAX * (1 + 0x1p-25L))
        return isinf(got) && (got > 0) == (want > 0) ? 0 : INFINITY;
    (void)frexpl(want, &e);
    return (double)(fabsl((long double)got - want) / ldexpl(1, SQZ_MAX(e - 24, -149)));
}

typedef struct claim {
    sqz_map_kind kind;
    long double (*f)(long double);
    float p[2];
    double ulp;      /* largest error of a result */
    double of_input; /* or, where larger, this times |x| */
} claim;
/* Where a difference cancels (gelu below -3) the error is small against x, not against y; where the
 * result is denormal, so are its error and that of its factor. */
static const claim claims[] = {
    {SQZ_MAP_exp, expl, {0, 0}, 1.0, 0},
    {SQZ_MAP_log, logl, {0, 0}, 0.9, 0},
    {SQZ_MAP_tanh, tanhl, {0, 0}, 1.4, 0},
    {SQZ_MAP_sigmoid, sigmoid, {0, 0}, 2.4, 0},
    {SQZ_MAP_erf, erfl, {0, 0}, 1.2, 0},
    {SQZ_MAP_softplus, softplus, {0, 0}, 2.8, 0},
    {SQZ_MAP_elu, elu, {1, 1}, 1.5, 0},
    {SQZ_MAP_sqrt, sqrtl, {0, 0}, 0.5, 0},
    {SQZ_MAP_reciprocal, inverse, {0, 0}, 0.5, 0},
    {SQZ_MAP_softsign, softsign, {0, 0}, 1.5, 0},
    {SQZ_MAP_hard_swish, hard_swish, {0, 0}, 1.5, 1e-7},
    {SQZ_MAP_swish, swish, {1, 0}, 3.0, 0x1p-148},
    {SQZ_MAP_mish, mish, {0, 0}, 3.0, 0x1p-148},
    {SQZ_MAP_gelu, gelu, {0, 0}, 2.0, 1e-7},
    {SQZ_MAP_gelu_tanh, gelu_tanh, {0, 0}, 2.0, 1e-7},
};

static void check(const claim *c, const float *x, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const long double want = c->f(x[i]);
        if (isnan((double)want)
                ? isnan(y[i])
                : ulps(y[i], want) <= c->ulp ||
                      fabsl(y[i] - want) <= (long double)(c->of_input * fabsf(x[i])))
            continue;
        fail_msg("%s(%a) is %a, expected %.9Lg (%.2f units)", names[c->kind], (double)x[i],
                 (double)y[i], want, ulps(y[i], want));
    }
}

/* Every 20011th float: all exponents, both signs. All of them were checked once. */
static void test_errors_are_within_the_bounds(void **state)
{
    (void)state;
    sqz_kernels k;
    sqz_kernels_select(&k, SQZ_N_ISA - 1);
    static float x[BLOCK], y[BLOCK];
    for (size_t i = 0; i < SQZ_COUNT(claims); i++) {
        uint64_t at = 0;
        while (at < 1ull << 32) {
            size_t n = 0;
            for (; n < BLOCK && at < 1ull << 32; at += 20011)
                if (isfinite(of_bits((uint32_t)at)))
                    x[n++] = of_bits((uint32_t)at);
            k.map_f32(claims[i].kind, claims[i].p, x, y, n);
            check(&claims[i], x, y, n);
        }
    }
}

/* ---- special values ---- */

typedef struct special {
    sqz_map_kind kind;
    float p[2], x, y;
} special;
#define INF INFINITY
static const special specials[] = {
    {SQZ_MAP_exp, {0}, 0, 1},
    {SQZ_MAP_exp, {0}, -INF, 0},
    {SQZ_MAP_exp, {0}, INF, INF},
    {SQZ_MAP_exp, {0}, 88.73f, INF},
    {SQZ_MAP_exp, {0}, -104, 0},
    {SQZ_MAP_exp, {0}, -103, 0x1p-149f},
    {SQZ_MAP_log, {0}, 0, -INF},
    {SQZ_MAP_log, {0}, -0.0f, -INF},
    {SQZ_MAP_log, {0}, -1, NAN},
    {SQZ_MAP_log, {0}, -INF, NAN},
    {SQZ_MAP_log, {0}, INF, INF},
    {SQZ_MAP_log, {0}, 1, 0},
    {SQZ_MAP_log, {0}, 0x1p-149f, -0x1.9d1dap+6f},
    {SQZ_MAP_tanh, {0}, -0.0f, -0.0f},
    {SQZ_MAP_tanh, {0}, 0x1p-149f, 0x1p-149f},
    {SQZ_MAP_tanh, {0}, INF, 1},
    {SQZ_MAP_tanh, {0}, -INF, -1},
    {SQZ_MAP_tanh, {0}, 10, 1},
    {SQZ_MAP_erf, {0}, -0.0f, -0.0f},
    {SQZ_MAP_erf, {0}, INF, 1},
    {SQZ_MAP_erf, {0}, -INF, -1},
    {SQZ_MAP_sigmoid, {0}, 0, 0.5f},
    {SQZ_MAP_sigmoid, {0}, INF, 1},
    {SQZ_MAP_sigmoid, {0}, -INF, 0},
    {SQZ_MAP_softplus, {0}, INF, INF},
    {SQZ_MAP_softplus, {0}, -INF, 0},
    {SQZ_MAP_swish, {1}, INF, INF},
    {SQZ_MAP_swish, {1}, -INF, 0},
    {SQZ_MAP_swish, {-1}, INF, 0},
    {SQZ_MAP_mish, {0}, INF, INF},
    {SQZ_MAP_mish, {0}, -INF, 0},
    {SQZ_MAP_gelu, {0}, INF, INF},
    {SQZ_MAP_gelu, {0}, -INF, 0},
    {SQZ_MAP_gelu_tanh, {0}, INF, INF},
    {SQZ_MAP_gelu_tanh, {0}, -INF, 0},
    {SQZ_MAP_elu, {2, 1}, -INF, -2},
    {SQZ_MAP_elu, {2, 1}, INF, INF},
    {SQZ_MAP_selu, {2, 3}, -INF, -6},
    {SQZ_MAP_selu, {2, 3}, INF, INF},
    {SQZ_MAP_clip, {0, 6}, INF, 6},
    {SQZ_MAP_clip, {0, 6}, -INF, 0},
    {SQZ_MAP_clip, {1, -1}, 0, -1}, /* the upper bound wins */
    {SQZ_MAP_clip, {0, INF}, -0.0f, -0.0f},
    {SQZ_MAP_neg, {0}, 0, -0.0f},
    {SQZ_MAP_abs, {0}, -0.0f, 0},
    {SQZ_MAP_abs, {0}, -INF, INF},
    {SQZ_MAP_reciprocal, {0}, -0.0f, -INF},
    {SQZ_MAP_round, {0}, 2.5f, 2},
    {SQZ_MAP_round, {0}, -0.25f, -0.0f},
    {SQZ_MAP_sqrt, {0}, -1, NAN},
};

static void test_special_values(void **state)
{
    (void)state;
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    for (size_t s = 0; s < n_set; s++)
        for (size_t i = 0; i < SQZ_COUNT(specials); i++) {
            const special *v = &specials[i];
            float y;
            set[s].map_f32(v->kind, v->p, &v->x, &y, 1);
            if (bits_of(y) != bits_of(v->y))
                fail_msg("%s, %s(%a) is %a, expected %a", sqz_isa_name(set[s].isa), names[v->kind],
                         (double)v->x, (double)y, (double)v->y);
        }
}

static void test_nan_goes_through(void **state)
{
    (void)state;
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    const float p[2] = {0.5f, 1}, x = NAN;
    for (size_t s = 0; s < n_set; s++)
        for (int kind = SQZ_MAP_none + 1; kind < SQZ_N_MAP; kind++) {
            float y = 0;
            set[s].map_f32((sqz_map_kind)kind, p, &x, &y, 1);
            if (!isnan(y))
                fail_msg("%s, %s(NaN) is %a", sqz_isa_name(set[s].isa), names[kind], (double)y);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_instruction_set_gives_the_same_bits),
        cmocka_unit_test(test_binary_kernels_take_operands_that_repeat),
        cmocka_unit_test(test_errors_are_within_the_bounds),
        cmocka_unit_test(test_special_values),
        cmocka_unit_test(test_nan_goes_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
