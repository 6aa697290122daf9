/* test_ops_types.c: elementwise operators on every type that ONNX gives them, with random shapes
 * that broadcast, against naive loops: integers in 128 bits and wrapped, reals in double. */
#include "ops_test.h"

typedef __int128 wide;

static const sqz_dtype wholes[] = {SQZ_S8,  SQZ_U8,  SQZ_S16, SQZ_U16,
                                   SQZ_S32, SQZ_U32, SQZ_S64, SQZ_U64};
static const sqz_dtype reals[] = {SQZ_F32, SQZ_F64, SQZ_F16, SQZ_BF16};

static bool is_signed(sqz_dtype d)
{
    return d == SQZ_S8 || d == SQZ_S16 || d == SQZ_S32 || d == SQZ_S64 || d == SQZ_S4;
}
/* Element i of an integer tensor; uint64 whole. */
static wide whole(const sqz_tensor *t, size_t i)
{
    return t->dtype == SQZ_U64 ? (wide)((const uint64_t *)t->data)[i] : (wide)sqz_tensor_i64(t, i);
}
/* The low bits of v, as a number of type d. */
static wide wrapped(wide v, sqz_dtype d)
{
    const unsigned bits = sqz_dtype_bits(d);
    const wide span = (wide)1 << bits;
    v &= span - 1;
    return is_signed(d) && v >> (bits - 1) ? v - span : v;
}
static void set_bits(sqz_tensor *t, size_t i, uint64_t v)
{
    memcpy((char *)t->data + i * (sqz_dtype_bits(t->dtype) / 8), &v, sqz_dtype_bits(t->dtype) / 8);
}

/* Small numbers, extremes and any bits in between. */
static sqz_tensor *random_whole(op_run *r, sqz_dtype d, sqz_shape s, sqz_rng *rng)
{
    sqz_tensor *t = op_in(r, d, s);
    for (size_t i = 0; i < t->count; i++) {
        const uint64_t kind = sqz_rng_below(rng, 4), any = sqz_rng_u64(rng);
        set_bits(t, i,
                 kind == 0   ? any
                 : kind == 1 ? (uint64_t)1 << (sqz_dtype_bits(d) - 1)
                             : any % 19 - 9);
        if (!is_signed(d) && kind > 1)
            set_bits(t, i, any % 19);
    }
    return t;
}

static void random_shapes(sqz_rng *rng, sqz_shape *s, unsigned n)
{
    const int32_t rank = (int32_t)sqz_rng_below(rng, 5);
    sqz_shape y = {.rank = rank};
    for (int32_t i = 0; i < rank; i++)
        y.dim[i] = 1 + (int64_t)sqz_rng_below(rng, i == rank - 1 ? 300 : 4);
    for (unsigned k = 0; k < n; k++) {
        int32_t drop = sqz_rng_below(rng, 3) ? 0 : (int32_t)sqz_rng_below(rng, (uint64_t)rank + 1);
        s[k] = (sqz_shape){.rank = rank - drop};
        for (int32_t i = drop; i < rank; i++)
            s[k].dim[i - drop] = sqz_rng_below(rng, 4) ? y.dim[i] : 1;
    }
}
/* Element of an operand that element i of the result reads. */
static size_t source(const sqz_tensor *x, const sqz_tensor *y, size_t i)
{
    int64_t at[SQZ_MAX_RANK], own[SQZ_MAX_RANK];
    coords(&y->shape, i, at);
    for (int32_t d = 0; d < x->shape.rank; d++)
        own[d] = x->shape.dim[d] == 1 ? 0 : at[d + y->shape.rank - x->shape.rank];
    return flat(&x->shape, own);
}

/* ---- integers ---- */

static wide w_add(wide a, wide b) { return a + b; }
static wide w_sub(wide a, wide b) { return a - b; }
static wide w_mul(wide a, wide b) { return (wide)((unsigned __int128)a * (unsigned __int128)b); }
static wide w_div(wide a, wide b) { return a / b; }
static wide w_fmod(wide a, wide b) { return a % b; }
static wide w_mod(wide a, wide b) { return ((a % b) + b) % b; }
static wide w_max(wide a, wide b) { return a > b ? a : b; }
static wide w_min(wide a, wide b) { return a < b ? a : b; }
static wide w_and(wide a, wide b) { return a & b; }
static wide w_or(wide a, wide b) { return a | b; }
static wide w_xor(wide a, wide b) { return a ^ b; }
static wide w_eq(wide a, wide b) { return a == b; }
static wide w_gt(wide a, wide b) { return a > b; }
static wide w_lt(wide a, wide b) { return a < b; }
static wide w_ge(wide a, wide b) { return a >= b; }
static wide w_le(wide a, wide b) { return a <= b; }

static void test_integers_of_every_width_wrap_around(void **state)
{
    static const struct {
        const char *op, *attrs;
        wide (*ref)(wide, wide);
        bool divides, compares;
    } row[] = {{"add", "", w_add, 0, 0},
               {"sub", "", w_sub, 0, 0},
               {"mul", "", w_mul, 0, 0},
               {"div", "", w_div, 1, 0},
               {"mod", "fmod=1", w_fmod, 1, 0},
               {"mod", "", w_mod, 1, 0},
               {"max", "", w_max, 0, 0},
               {"min", "", w_min, 0, 0},
               {"bitwise_and", "", w_and, 0, 0},
               {"bitwise_or", "", w_or, 0, 0},
               {"bitwise_xor", "", w_xor, 0, 0},
               {"equal", "", w_eq, 0, 1},
               {"greater", "", w_gt, 0, 1},
               {"less", "", w_lt, 0, 1},
               {"greater_or_equal", "", w_ge, 0, 1},
               {"less_or_equal", "", w_le, 0, 1}};
    (void)state;
    sqz_rng rng = {.seed = 11};
    for (size_t round = 0; round < SQZ_COUNT(row) * SQZ_COUNT(wholes) * 2; round++) {
        const size_t k = round % SQZ_COUNT(row);
        const sqz_dtype d = wholes[round / SQZ_COUNT(row) % SQZ_COUNT(wholes)];
        sqz_shape s[2];
        op_run r;
        random_shapes(&rng, s, 2);
        op_begin(&r);
        const sqz_tensor *a = random_whole(&r, d, s[0], &rng);
        sqz_tensor *b = random_whole(&r, d, s[1], &rng);
        for (size_t i = 0; row[k].divides && i < b->count; i++)
            if (whole(b, i) == 0)
                set_bits(b, i, 3);
        const sqz_tensor *y = op_run_ok(&r, row[k].op, row[k].attrs);
        assert_int_equal(y->dtype, row[k].compares ? SQZ_BOOL : d);
        for (size_t i = 0; i < y->count; i++) {
            wide want = row[k].ref(whole(a, source(a, y, i)), whole(b, source(b, y, i)));
            if (whole(y, i) != wrapped(want, y->dtype == SQZ_BOOL ? SQZ_U8 : d))
                fail_msg("%s %s of %s, element %zu", row[k].op, row[k].attrs, sqz_dtype_name(d), i);
        }
        op_end(&r);
    }
}

static void test_powers_of_integers_are_repeated_products(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 12};
    for (size_t k = 0; k < SQZ_COUNT(wholes); k++) {
        op_run r;
        op_begin(&r);
        const sqz_tensor *a = random_whole(&r, wholes[k], SHAPE(200), &rng);
        sqz_tensor *b = op_in(&r, wholes[k], SHAPE(200));
        for (size_t i = 0; i < b->count; i++)
            sqz_tensor_set_i64(b, i,
                               (int64_t)sqz_rng_below(&rng, 12) - (is_signed(wholes[k]) ? 2 : 0));
        const sqz_tensor *y = op_run_ok(&r, "pow", "");
        for (size_t i = 0; i < y->count; i++) {
            wide v = whole(a, i), n = whole(b, i), want = 1;
            if (n < 0) /* only 1 and -1 have whole inverses */
                want = v == 1 ? 1 : v == -1 ? (n % 2 ? -1 : 1) : 0;
            for (; n > 0; n--)
                want = wrapped((wide)((unsigned __int128)want * (unsigned __int128)v), wholes[k]);
            assert_true(whole(y, i) == want);
        }
        op_end(&r);
    }
}

static void test_shifts_beyond_the_width_leave_the_sign(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 13};
    for (size_t k = 0; k < 2 * SQZ_COUNT(wholes); k++) {
        const sqz_dtype d = wholes[k / 2];
        const unsigned bits = sqz_dtype_bits(d);
        op_run r;
        op_begin(&r);
        const sqz_tensor *a = random_whole(&r, d, SHAPE(300), &rng);
        sqz_tensor *b = op_in(&r, d, SHAPE(300));
        for (size_t i = 0; i < b->count; i++)
            sqz_tensor_set_i64(b, i, (int64_t)sqz_rng_below(&rng, bits + 9));
        const sqz_tensor *y = op_run_ok(&r, "bit_shift",
                                        k % 2 ? "direction=RIGHT" : "direction=LEFT");
        for (size_t i = 0; i < y->count; i++) {
            const wide v = whole(a, i);
            const unsigned by = SQZ_MIN((unsigned)whole(b, i), bits);
            const wide want = k % 2 ? v >> by : wrapped((wide)((unsigned __int128)v << by), d);
            assert_true(whole(y, i) == want);
        }
        op_end(&r);
    }
}

static wide w_abs(wide v) { return v < 0 ? -v : v; }
static wide w_neg(wide v) { return -v; }
static wide w_sign(wide v) { return (v > 0) - (v < 0); }
static wide w_relu(wide v) { return v > 0 ? v : 0; }
static wide w_not(wide v) { return ~v; }

static void test_unary_operators_of_integers(void **state)
{
    static const struct {
        const char *op;
        wide (*ref)(wide);
        bool only_signed;
    } row[] = {{"abs", w_abs, 0},
               {"neg", w_neg, 1},
               {"sign", w_sign, 0},
               {"relu", w_relu, 1},
               {"bitwise_not", w_not, 0}};
    (void)state;
    sqz_rng rng = {.seed = 14};
    for (size_t n = 0; n < SQZ_COUNT(row) * SQZ_COUNT(wholes); n++) {
        const size_t k = n % SQZ_COUNT(row);
        const sqz_dtype d = wholes[n / SQZ_COUNT(row)];
        op_run r;
        op_begin(&r);
        const sqz_tensor *x = random_whole(&r, d, SHAPE(3, 111), &rng);
        if (row[k].only_signed && !is_signed(d)) {
            TEST_FAILS(r.ctx, op_try(&r, row[k].op, ""), SQZ_E_UNSUPPORTED, sqz_dtype_name(d));
        } else {
            const sqz_tensor *y = op_run_ok(&r, row[k].op, "");
            for (size_t i = 0; i < y->count; i++)
                assert_true(whole(y, i) == wrapped(row[k].ref(whole(x, i)), d));
        }
        op_end(&r);
    }
}

/* ---- reals ---- */

static double r_add(double a, double b) { return a + b; }
static double r_sub(double a, double b) { return a - b; }
static double r_mul(double a, double b) { return a * b; }
static double r_div(double a, double b) { return a / b; }
static double r_mod(double a, double b) { return a - b * floor(a / b); }
static double r_max(double a, double b) { return isnan(a) || isnan(b) ? NAN : fmax(a, b); }
static double r_min(double a, double b) { return isnan(a) || isnan(b) ? NAN : fmin(a, b); }
static double r_eq(double a, double b) { return a == b; }
static double r_gt(double a, double b) { return a > b; }
static double r_lt(double a, double b) { return a < b; }
static double r_ge(double a, double b) { return a >= b; }
static double r_le(double a, double b) { return a <= b; }

/* Relative spacing of a float type. */
static double step_of(sqz_dtype d)
{
    return d == SQZ_F64 ? 0x1p-52 : d == SQZ_F32 ? 0x1p-23 : d == SQZ_F16 ? 0x1p-10 : 0x1p-7;
}

/* Results are those in double, rounded to the type: one step at most, as halves pass through
 * float. A remainder may fall to either side of a multiple of b. */
static void test_reals_of_every_width_are_rounded_doubles(void **state)
{
    static const struct {
        const char *op, *attrs;
        double (*ref)(double, double);
        bool compares;
    } row[] = {{"add", "", r_add, 0},
               {"sub", "", r_sub, 0},
               {"mul", "", r_mul, 0},
               {"div", "", r_div, 0},
               {"pow", "", pow, 0},
               {"max", "", r_max, 0},
               {"min", "", r_min, 0},
               {"mod", "fmod=1", fmod, 0},
               {"mod", "", r_mod, 0},
               {"equal", "", r_eq, 1},
               {"greater", "", r_gt, 1},
               {"less", "", r_lt, 1},
               {"greater_or_equal", "", r_ge, 1},
               {"less_or_equal", "", r_le, 1}};
    (void)state;
    sqz_rng rng = {.seed = 15};
    for (size_t round = 0; round < SQZ_COUNT(row) * SQZ_COUNT(reals) * 2; round++) {
        const size_t k = round % SQZ_COUNT(row);
        const sqz_dtype d = reals[round / SQZ_COUNT(row) % SQZ_COUNT(reals)];
        const bool mod = strcmp(row[k].op, "mod") == 0, power = row[k].ref == pow;
        sqz_shape s[2];
        op_run r;
        random_shapes(&rng, s, 2);
        op_begin(&r);
        sqz_tensor *a = op_random(&r, d, s[0], power ? 0.5 : -4, 4, &rng);
        const sqz_tensor *b = op_random(&r, d, s[1], -3, 3, &rng);
        if (!mod && !power)
            sqz_tensor_set_f64(a, sqz_rng_below(&rng, a->count), NAN);
        const sqz_tensor *y = op_run_ok(&r, row[k].op, row[k].attrs);
        assert_int_equal(y->dtype, row[k].compares ? SQZ_BOOL : d);
        for (size_t i = 0; i < y->count; i++) {
            const double va = sqz_tensor_f64(a, source(a, y, i)),
                         vb = sqz_tensor_f64(b, source(b, y, i));
            const double want = row[k].ref(va, vb), got = sqz_tensor_f64(y, i);
            const double off = step_of(d) * fabs(want) * (power ? 2 : 1) +
                               (mod ? 1e-12 : 0x1p-24 * (d == SQZ_F16));
            if (isnan(want)
                    ? !isnan(got)
                    : fabs(got - want) > off && !(mod && fabs(fabs(got - want) - fabs(vb)) < 1e-6))
                fail_msg("%s of %s: %.17g, %.17g gives %.17g, expected %.17g", row[k].op,
                         sqz_dtype_name(d), va, vb, got, want);
        }
        op_end(&r);
    }
}

/* Single precision would be seven digits. */
static void test_functions_of_doubles_are_computed_in_double(void **state)
{
    static const struct {
        const char *op;
        double (*ref)(double);
        double lo, hi;
    } row[] = {{"exp", exp, -3, 3},         {"log", log, .1, 9},     {"sin", sin, -9, 9},
               {"cos", cos, -9, 9},         {"tan", tan, -1, 1},     {"asin", asin, -1, 1},
               {"acos", acos, -1, 1},       {"atan", atan, -9, 9},   {"sinh", sinh, -3, 3},
               {"cosh", cosh, -3, 3},       {"asinh", asinh, -9, 9}, {"acosh", acosh, 1, 9},
               {"atanh", atanh, -.9, .9},   {"erf", erf, -3, 3},     {"tanh", tanh, -3, 3},
               {"sqrt", sqrt, 0, 9},        {"floor", floor, -9, 9}, {"ceil", ceil, -9, 9},
               {"round", nearbyint, -9, 9}, {"abs", fabs, -9, 9}};
    (void)state;
    sqz_rng rng = {.seed = 16};
    for (size_t k = 0; k < 2 * SQZ_COUNT(row); k++) {
        const sqz_dtype d = k % 2 ? SQZ_F32 : SQZ_F64;
        op_run r;
        op_begin(&r);
        const sqz_tensor *x = op_random(&r, d, SHAPE(7, 31), row[k / 2].lo, row[k / 2].hi, &rng);
        const sqz_tensor *y = op_run_ok(&r, row[k / 2].op, "");
        for (size_t i = 0; i < y->count; i++) {
            const double want = row[k / 2].ref(sqz_tensor_f64(x, i));
            if (fabs(sqz_tensor_f64(y, i) - want) > 4 * step_of(d) * fmax(1, fabs(want)))
                fail_msg("%s(%.17g) is %.17g", row[k / 2].op, sqz_tensor_f64(x, i),
                         sqz_tensor_f64(y, i));
        }
        op_end(&r);
    }
}

/* ---- bool, and what is moved ---- */

static void test_logic_takes_bool_only(void **state)
{
    static const struct {
        const char *op;
        unsigned table; /* bit 2a + b */
    } row[] = {{"and", 8}, {"or", 14}, {"xor", 6}, {"equal", 9}};
    (void)state;
    for (size_t k = 0; k < SQZ_COUNT(row); k++) {
        op_run r;
        op_begin(&r);
        memcpy(op_in(&r, SQZ_BOOL, SHAPE(2, 1))->data, (uint8_t[]){0, 1}, 2);
        memcpy(op_in(&r, SQZ_BOOL, SHAPE(2))->data, (uint8_t[]){0, 1}, 2);
        const sqz_tensor *y = op_run_ok(&r, row[k].op, "");
        for (unsigned i = 0; i < 4; i++)
            assert_int_equal(sqz_tensor_i64(y, i), row[k].table >> i & 1);
        op_end(&r);
    }
    op_refuses("not", "", SHAPE(3), SQZ_U8, SQZ_E_UNSUPPORTED, "input 0 is u8, expected bool");
}

static void test_infinities_and_nan_are_told_apart(void **state)
{
    static const double v[] = {1, NAN, INFINITY, -INFINITY, 0};
    static const struct {
        const char *op, *attrs, *want;
    } row[] = {{"is_nan", "", "01000"},
               {"is_inf", "", "00110"},
               {"is_inf", "detect_negative=0", "00100"},
               {"is_inf", "detect_positive=0", "00010"},
               {"is_inf", "detect_positive=0 detect_negative=0", "00000"}};
    (void)state;
    for (size_t k = 0; k < SQZ_COUNT(row) * SQZ_COUNT(reals); k++) {
        const size_t i = k / SQZ_COUNT(reals);
        op_run r;
        op_begin(&r);
        sqz_tensor *x = op_in(&r, reals[k % SQZ_COUNT(reals)], SHAPE(5));
        for (size_t n = 0; n < 5; n++)
            sqz_tensor_set_f64(x, n, v[n]);
        const sqz_tensor *y = op_run_ok(&r, row[i].op, row[i].attrs);
        for (size_t n = 0; n < 5; n++)
            assert_int_equal(sqz_tensor_i64(y, n), row[i].want[n] - '0');
        op_end(&r);
    }
}

static void test_where_broadcasts_all_three(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 17};
    for (size_t round = 0; round < 80; round++) {
        const sqz_dtype d = round % 2 ? wholes[round / 2 % 8] : reals[round / 2 % 4];
        sqz_shape s[3];
        op_run r;
        random_shapes(&rng, s, 3);
        op_begin(&r);
        const sqz_tensor *c = op_random(&r, SQZ_BOOL, s[0], 0, 1, &rng);
        const sqz_tensor *a = random_whole(&r, d, s[1], &rng), *b = random_whole(&r, d, s[2], &rng);
        const sqz_tensor *y = op_run_ok(&r, "where", "");
        const size_t size = sqz_dtype_bits(d) / 8;
        for (size_t i = 0; i < y->count; i++) {
            const sqz_tensor *from = sqz_tensor_i64(c, source(c, y, i)) ? a : b;
            assert_memory_equal((char *)y->data + i * size,
                                (char *)from->data + source(from, y, i) * size, size);
        }
        op_end(&r);
    }
    op_run r;
    op_begin(&r);
    for (int k = 0; k < 3; k++)
        op_in(&r, SQZ_F32, SHAPE(2));
    TEST_FAILS(r.ctx, op_try(&r, "where", ""), SQZ_E_UNSUPPORTED, "the condition is f32");
    op_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers_of_every_width_wrap_around),
        cmocka_unit_test(test_powers_of_integers_are_repeated_products),
        cmocka_unit_test(test_shifts_beyond_the_width_leave_the_sign),
        cmocka_unit_test(test_unary_operators_of_integers),
        cmocka_unit_test(test_reals_of_every_width_are_rounded_doubles),
        cmocka_unit_test(test_functions_of_doubles_are_computed_in_double),
        cmocka_unit_test(test_logic_takes_bool_only),
        cmocka_unit_test(test_infinities_and_nan_are_told_apart),
        cmocka_unit_test(test_where_broadcasts_all_three),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
