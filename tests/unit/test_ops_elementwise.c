/* test_ops_elementwise.c: unary and binary operators against their definitions in double, the int8
 * forms against quantizing the exact result. */
#include "ir/qround.h"
#include "ops_test.h"

/* ---- unary ---- */

static double ref_relu(double x) { return x > 0 ? x : 0; }
static double ref_neg(double x) { return -x; }
static double ref_sign(double x) { return x > 0 ? 1 : x < 0 ? -1 : 0; }
static double ref_reciprocal(double x) { return 1 / x; }
static double ref_sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double ref_hard_swish(double x) { return x * fmax(0, fmin(1, x / 6 + 0.5)); }
static double ref_softplus(double x) { return log(1 + exp(x)); }
static double ref_mish(double x) { return x * tanh(log(1 + exp(x))); }
static double ref_leaky(double x) { return x >= 0 ? x : 0.3 * x; }
static double ref_elu(double x) { return x >= 0 ? x : 0.5 * (exp(x) - 1); }
static double ref_hard_sigmoid(double x) { return fmax(0, fmin(1, 0.3 * x + 0.4)); }
static double ref_gelu(double x) { return 0.5 * x * (1 + erf(x / sqrt(2.0))); }
static double ref_gelu_tanh(double x)
{
    return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1.0)) * (x + 0.044715 * x * x * x)));
}
static double ref_clip(double x) { return fmin(fmax(x, -0.5), 2); }

static const struct {
    const char *op, *attrs;
    double (*ref)(double);
    double lo, hi;
} unary[] = {
    {"relu", "", ref_relu, -2, 2},
    {"abs", "", fabs, -2, 2},
    {"neg", "", ref_neg, -2, 2},
    {"floor", "", floor, -4, 4},
    {"ceil", "", ceil, -4, 4},
    {"round", "", nearbyint, -4, 4},
    {"sign", "", ref_sign, -1, 1},
    {"exp", "", exp, -3, 3},
    {"log", "", log, 0.1, 9},
    {"sqrt", "", sqrt, 0, 9},
    {"reciprocal", "", ref_reciprocal, 0.2, 5},
    {"erf", "", erf, -3, 3},
    {"sigmoid", "", ref_sigmoid, -8, 8},
    {"tanh", "", tanh, -4, 4},
    {"hard_swish", "", ref_hard_swish, -5, 5},
    {"softplus", "", ref_softplus, -9, 9},
    {"mish", "", ref_mish, -5, 5},
    {"leaky_relu", "alpha=0.3", ref_leaky, -3, 3},
    {"elu", "alpha=0.5", ref_elu, -3, 3},
    {"hard_sigmoid", "alpha=0.3 beta=0.4", ref_hard_sigmoid, -4, 4},
    {"gelu", "", ref_gelu, -4, 4},
    {"gelu", "approximate=tanh", ref_gelu_tanh, -4, 4},
    {"clip", "min=-0.5 max=2", ref_clip, -3, 3},
};

/* float32 functions are good to a few units in the last place; cancellation (gelu, mish far below
 * 0) costs absolute, not relative accuracy. */
static void test_unary_operators_match_their_definition(void **state)
{
    (void)state;
    for (size_t k = 0; k < SQZ_COUNT(unary); k++) {
        op_run r;
        sqz_rng rng = {.seed = 1 + k};
        op_begin(&r);
        const sqz_tensor *x = op_random(&r, SQZ_F32, SHAPE(3, 1000, 17), unary[k].lo, unary[k].hi,
                                        &rng);
        const sqz_tensor *y = op_run_ok(&r, unary[k].op, unary[k].attrs);
        for (size_t i = 0; i < x->count; i++) {
            double want = unary[k].ref((double)SQZ_F32P(x)[i]), got = (double)SQZ_F32P(y)[i];
            if (fabs(got - want) > 1e-6 + 2e-6 * fabs(want))
                fail_msg("%s(%.9g) is %.9g, expected %.9g", unary[k].op, (double)SQZ_F32P(x)[i],
                         got, want);
        }
        op_end(&r);
    }
}

/* The table holds the rounded exact result of each of the 256 codes; one step more where float32
 * falls on the other side of a tie. */
static void test_int8_unary_operators_are_within_one_step_of_exact(void **state)
{
    (void)state;
    for (size_t k = 0; k < SQZ_COUNT(unary); k++) {
        op_run r;
        op_begin(&r);
        sqz_tensor *x = op_in(&r, SQZ_S8, SHAPE(256));
        for (int i = 0; i < 256; i++)
            SQZ_S8P(x)[i] = (int8_t)(i - 128);
        const float sx = (float)(unary[k].hi - unary[k].lo) / 255;
        const int32_t zx = (int32_t)nearbyint(-128 - unary[k].lo / (double)sx);
        op_grid(&r, 0, sx, zx);
        op_grid(&r, -1, 0.03125f, -5);
        const sqz_tensor *y = op_run_ok(&r, unary[k].op, unary[k].attrs);
        int off = 0;
        for (int i = 0; i < 256; i++) {
            double v = unary[k].ref((double)sx * (i - 128 - zx)), q = nearbyint(v / 0.03125) - 5;
            int want = isnan(v) ? -5 : (int)fmin(fmax(q, -128), 127);
            int d = abs(SQZ_S8P(y)[i] - want);
            bool jumps = strcmp(unary[k].op, "floor") == 0 || strcmp(unary[k].op, "ceil") == 0 ||
                         strcmp(unary[k].op, "round") == 0;
            if (d > 1 && !jumps)
                fail_msg("%s: code %d gives %d, expected %d", unary[k].op, i - 128, SQZ_S8P(y)[i],
                         want);
            off += d != 0;
        }
        assert_true(off <= 4);
        op_end(&r);
    }
}

static void test_nan_goes_through_clamps(void **state)
{
    static const char *const op[] = {"relu", "clip", "hard_sigmoid", "leaky_relu", "sigmoid"};
    (void)state;
    for (size_t k = 0; k < SQZ_COUNT(op); k++) {
        op_run r;
        op_begin(&r);
        SQZ_F32P(op_in(&r, SQZ_F32, SHAPE(1)))[0] = NAN;
        assert_true(isnan(SQZ_F32P(op_run_ok(&r, op[k], ""))[0]));
        op_end(&r);
    }
}

static void test_fixed_grids_hold_the_range_of_their_function(void **state)
{
    (void)state;
    assert_true(sqz_op_find("sigmoid")->quant.fixed_scale == 1.0f / 256);
    assert_int_equal(sqz_op_find("sigmoid")->quant.fixed_zero, -128);
    assert_true(sqz_op_find("tanh")->quant.fixed_scale == 1.0f / 128);
    assert_int_equal(sqz_op_find("tanh")->quant.fixed_zero, 0);
}

/* ---- binary ---- */

static double ref_add(double a, double b) { return a + b; }
static double ref_sub(double a, double b) { return a - b; }
static double ref_mul(double a, double b) { return a * b; }
static double ref_div(double a, double b) { return a / b; }
static const struct {
    const char *op;
    double (*ref)(double, double);
    bool ints;
} binary[] = {{"add", ref_add, true},  {"sub", ref_sub, true}, {"mul", ref_mul, true},
              {"div", ref_div, false}, {"min", fmin, true},    {"max", fmax, true},
              {"pow", pow, false}};

/* A random output shape, and operands with some axes of 1 or missing at the front. */
static void random_shapes(sqz_rng *rng, sqz_shape *a, sqz_shape *b)
{
    int32_t rank = (int32_t)sqz_rng_below(rng, 6);
    sqz_shape y = {.rank = rank};
    for (int32_t i = 0; i < rank; i++)
        y.dim[i] = 1 + (int64_t)sqz_rng_below(rng, i == rank - 1 ? 300 : 4);
    sqz_shape *s[] = {a, b};
    for (int k = 0; k < 2; k++) {
        int32_t drop = sqz_rng_below(rng, 3) ? 0 : (int32_t)sqz_rng_below(rng, (uint64_t)rank + 1);
        *s[k] = (sqz_shape){.rank = rank - drop};
        for (int32_t i = drop; i < rank; i++)
            s[k]->dim[i - drop] = sqz_rng_below(rng, 4) ? y.dim[i] : 1;
    }
}

/* Index in an operand of the element that output coordinates `at` read. */
static size_t operand_index(const sqz_shape *s, const sqz_shape *y, const int64_t *at)
{
    int64_t own[SQZ_MAX_RANK];
    for (int32_t i = 0; i < s->rank; i++)
        own[i] = s->dim[i] == 1 ? 0 : at[i + y->rank - s->rank];
    return flat(s, own);
}

static void test_broadcasting_follows_numpy(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 7};
    for (int round = 0; round < 210; round++) {
        const size_t k = (size_t)round % SQZ_COUNT(binary);
        const sqz_dtype d = !binary[k].ints || round % 3 ? SQZ_F32 : round % 2 ? SQZ_S64 : SQZ_S32;
        sqz_shape sa, sb;
        op_run r;
        random_shapes(&rng, &sa, &sb);
        op_begin(&r);
        const double lo = d == SQZ_F32 ? 0.5 : -9, hi = d == SQZ_F32 ? 3 : 9;
        const sqz_tensor *a = op_random(&r, d, sa, lo, hi, &rng),
                         *b = op_random(&r, d, sb, lo, hi, &rng);
        const sqz_tensor *y = op_run_ok(&r, binary[k].op, "");
        for (size_t i = 0; i < y->count; i++) {
            int64_t at[SQZ_MAX_RANK];
            coords(&y->shape, i, at);
            double want = binary[k].ref(sqz_tensor_f64(a, operand_index(&sa, &y->shape, at)),
                                        sqz_tensor_f64(b, operand_index(&sb, &y->shape, at)));
            double got = sqz_tensor_f64(y, i);
            assert_true(fabs(got - want) <= (d == SQZ_F32 ? 1e-6 * fabs(want) : 0));
        }
        op_end(&r);
    }
}

static void test_integer_division_truncates_and_refuses_zero(void **state)
{
    (void)state;
    const int64_t a[] = {7, -7, 7, -7, INT64_MIN}, b[] = {2, 2, -2, -2, -1};
    const int64_t want[] = {3, -3, -3, 3, INT64_MIN};
    op_run r;
    op_begin(&r);
    memcpy(op_in(&r, SQZ_S64, SHAPE(5))->data, a, sizeof a);
    memcpy(op_in(&r, SQZ_S64, SHAPE(5))->data, b, sizeof b);
    assert_memory_equal(op_run_ok(&r, "div", "")->data, want, sizeof want);
    op_end(&r);
    op_begin(&r);
    op_in(&r, SQZ_S32, SHAPE(2));
    op_in(&r, SQZ_S32, SHAPE(2));
    TEST_FAILS(r.ctx, op_try(&r, "div", ""), SQZ_E_ARG, "by zero at element 0");
    op_end(&r);
}

/* Operands lie on their grids; the exact result is rounded once, the kernel may be one step off. */
static void test_int8_arithmetic_is_within_one_step_of_exact(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 9};
    size_t off = 0, all = 0;
    for (int round = 0; round < 60; round++) {
        const size_t k = (size_t)round % 3; /* add, sub, mul */
        sqz_shape sa, sb;
        op_run r;
        random_shapes(&rng, &sa, &sb);
        op_begin(&r);
        const sqz_tensor *a = op_random(&r, SQZ_S8, sa, -128, 127, &rng);
        const sqz_tensor *b = op_random(&r, SQZ_S8, sb, -128, 127, &rng);
        const float s[] = {0.01f + 0.1f * (float)sqz_rng_uniform(&rng),
                           0.01f + 0.1f * (float)sqz_rng_uniform(&rng),
                           0.05f + 0.1f * (float)sqz_rng_uniform(&rng)};
        op_grid(&r, 0, s[0], 3);
        op_grid(&r, 1, s[1], -7);
        op_grid(&r, -1, s[2], 11);
        const sqz_tensor *y = op_run_ok(&r, binary[k].op, "");
        for (size_t i = 0; i < y->count; i++, all++) {
            int64_t at[SQZ_MAX_RANK];
            coords(&y->shape, i, at);
            double va = (double)s[0] * (SQZ_S8P(a)[operand_index(&sa, &y->shape, at)] - 3);
            double vb = (double)s[1] * (SQZ_S8P(b)[operand_index(&sb, &y->shape, at)] + 7);
            double q = nearbyint(binary[k].ref(va, vb) / (double)s[2]) + 11;
            int d = abs(SQZ_S8P(y)[i] - (int)fmin(fmax(q, -128), 127));
            assert_true(d <= 1);
            off += d != 0;
        }
        op_end(&r);
    }
    assert_true(all > 1000 && off * 100 < all); /* under 1 % differ at all */
}

static void test_int8_extremes_need_one_grid(void **state)
{
    (void)state;
    op_run r;
    sqz_rng rng = {.seed = 4};
    op_begin(&r);
    const sqz_tensor *a = op_random(&r, SQZ_S8, SHAPE(3, 40), -128, 127, &rng);
    const sqz_tensor *b = op_random(&r, SQZ_S8, SHAPE(40), -128, 127, &rng);
    for (int k = -1; k < 2; k++)
        op_grid(&r, k, 0.1f, 2);
    const sqz_tensor *y = op_run_ok(&r, "max", "");
    for (size_t i = 0; i < y->count; i++)
        assert_int_equal(SQZ_S8P(y)[i], SQZ_MAX(SQZ_S8P(a)[i], SQZ_S8P(b)[i % 40]));
    op_end(&r);
    op_begin(&r);
    op_random(&r, SQZ_S8, SHAPE(4), -128, 127, &rng);
    op_random(&r, SQZ_S8, SHAPE(4), -128, 127, &rng);
    op_grid(&r, 0, 0.1f, 2);
    op_grid(&r, 1, 0.2f, 2);
    op_grid(&r, -1, 0.1f, 2);
    TEST_FAILS(r.ctx, op_try(&r, "min", ""), SQZ_E_INTERNAL, "two grids");
    op_end(&r);
}

static void test_casts_truncate_reals_and_wrap_integers(void **state)
{
    (void)state;
    const float x[] = {-2.7f, -0.5f, 0.0f, 0.9f, 300.0f};
    const int64_t want_s64[] = {-2, 0, 0, 0, 300};
    const uint8_t want_bool[] = {1, 1, 0, 1, 1};
    op_run r;
    op_begin(&r);
    memcpy(op_in(&r, SQZ_F32, SHAPE(5))->data, x, sizeof x);
    const sqz_tensor *y = op_run_ok(&r, "cast", "to=7");
    assert_int_equal(y->dtype, SQZ_S64);
    assert_memory_equal(y->data, want_s64, sizeof want_s64);
    op_end(&r);
    op_begin(&r);
    memcpy(op_in(&r, SQZ_F32, SHAPE(5))->data, x, sizeof x);
    assert_memory_equal(op_run_ok(&r, "cast", "to=9")->data, want_bool, sizeof want_bool);
    op_end(&r);
    op_begin(&r);
    SQZ_S64P(op_in(&r, SQZ_S64, SHAPE(1)))[0] = 16777217; /* not a float32: rounds to even */
    assert_true(SQZ_F32P(op_run_ok(&r, "cast", "to=1"))[0] == 16777216.0f);
    op_end(&r);
    const int64_t wide[] = {300, -300, 127, -129};
    const int8_t low[] = {44, -44, 127, 127};
    op_begin(&r);
    memcpy(op_in(&r, SQZ_S64, SHAPE(4))->data, wide, sizeof wide);
    assert_memory_equal(op_run_ok(&r, "cast", "to=3")->data, low, sizeof low);
    op_end(&r);
}

static void test_wrong_types_and_shapes_are_refused(void **state)
{
    (void)state;
    op_refuses("relu", "", SHAPE(3), SQZ_BOOL, SQZ_E_UNSUPPORTED,
               "input 0 is bool, expected floats");
    op_refuses("exp", "", SHAPE(3), SQZ_S64, SQZ_E_UNSUPPORTED, "input 0 is s64, expected floats");
    op_refuses("cast", "to=17", SHAPE(3), SQZ_F32, SQZ_E_UNSUPPORTED, "a cast to FLOAT8E4M3FN");
    op_run r;
    op_begin(&r);
    op_in(&r, SQZ_F32, SHAPE(2, 3));
    op_in(&r, SQZ_F32, SHAPE(2, 4));
    TEST_FAILS(r.ctx, op_try(&r, "add", ""), SQZ_E_SHAPE, "do not broadcast");
    op_end(&r);
    op_begin(&r);
    op_in(&r, SQZ_F32, SHAPE(2));
    op_in(&r, SQZ_S64, SHAPE(2));
    TEST_FAILS(r.ctx, op_try(&r, "add", ""), SQZ_E_UNSUPPORTED, "f32 and s64");
    op_end(&r);
    op_begin(&r);
    op_in(&r, SQZ_F32, SHAPE(2));
    op_in(&r, SQZ_F32, SHAPE(2));
    TEST_FAILS(r.ctx, op_try(&r, "and", ""), SQZ_E_UNSUPPORTED, "expected bool");
    op_end(&r);
}

static void test_a_grid_on_one_side_only_is_refused(void **state)
{
    (void)state;
    op_run r;
    op_begin(&r);
    op_in(&r, SQZ_S8, SHAPE(4));
    op_grid(&r, 0, 0.1f, 0);
    TEST_FAILS(r.ctx, op_try(&r, "tanh", ""), SQZ_E_INTERNAL, "all or none");
    op_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unary_operators_match_their_definition),
        cmocka_unit_test(test_int8_unary_operators_are_within_one_step_of_exact),
        cmocka_unit_test(test_nan_goes_through_clamps),
        cmocka_unit_test(test_fixed_grids_hold_the_range_of_their_function),
        cmocka_unit_test(test_broadcasting_follows_numpy),
        cmocka_unit_test(test_integer_division_truncates_and_refuses_zero),
        cmocka_unit_test(test_int8_arithmetic_is_within_one_step_of_exact),
        cmocka_unit_test(test_int8_extremes_need_one_grid),
        cmocka_unit_test(test_casts_truncate_reals_and_wrap_integers),
        cmocka_unit_test(test_wrong_types_and_shapes_are_refused),
        cmocka_unit_test(test_a_grid_on_one_side_only_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
