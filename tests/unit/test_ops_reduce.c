/* test_ops_reduce.c: reductions, arg max and min, cumulative sums, norms and triangles of every
 * type against naive loops. */
#include "ops_test.h"

typedef __int128 wide;
static const sqz_dtype wholes[] = {SQZ_S8,  SQZ_U8,  SQZ_S16, SQZ_U16,
                                   SQZ_S32, SQZ_U32, SQZ_S64, SQZ_U64};
static const sqz_dtype reals[] = {SQZ_F32, SQZ_F64, SQZ_F16, SQZ_BF16};

static bool is_signed(sqz_dtype d)
{
    return d == SQZ_S8 || d == SQZ_S16 || d == SQZ_S32 || d == SQZ_S64;
}
static wide whole(const sqz_tensor *t, size_t i)
{
    return t->dtype == SQZ_U64 ? (wide)((const uint64_t *)t->data)[i] : (wide)sqz_tensor_i64(t, i);
}
static wide wrapped(wide v, sqz_dtype d)
{
    const unsigned bits = sqz_dtype_bits(d);
    v &= ((wide)1 << bits) - 1;
    return is_signed(d) && v >> (bits - 1) ? v - ((wide)1 << bits) : v;
}
/* Any bits, so that sums overflow and comparisons meet extremes; `small`: below 100. */
static sqz_tensor *random_whole(op_run *r, sqz_dtype d, sqz_shape s, bool small, sqz_rng *rng)
{
    sqz_tensor *t = op_in(r, d, s);
    for (size_t i = 0; i < t->count; i++) {
        uint64_t v = sqz_rng_u64(rng) % (small ? 100 : UINT64_MAX);
        memcpy((char *)t->data + i * (sqz_dtype_bits(d) / 8), &v, sqz_dtype_bits(d) / 8);
    }
    return t;
}
static sqz_shape random_shape(sqz_rng *rng, int32_t least)
{
    sqz_shape s = {.rank = least + (int32_t)sqz_rng_below(rng, 4)};
    for (int32_t i = 0; i < s.rank; i++)
        s.dim[i] = 1 + (int64_t)sqz_rng_below(rng, 5);
    s.dim[sqz_rng_below(rng, (uint64_t)s.rank)] = 1 + (int64_t)sqz_rng_below(rng, 300);
    return s;
}

/* Result that element i of x goes into, when the axes of `mask` go. */
static size_t sink(const sqz_shape *x, unsigned mask, size_t i)
{
    int64_t at[SQZ_MAX_RANK];
    sqz_shape kept = *x;
    coords(x, i, at);
    for (int32_t d = 0; d < x->rank; d++)
        if (mask >> d & 1) {
            at[d] = 0;
            kept.dim[d] = 1;
        }
    return flat(&kept, at);
}
static unsigned random_axes(sqz_rng *rng, int32_t rank, char *text, size_t n)
{
    const unsigned mask = 1 + (unsigned)sqz_rng_below(rng, (1u << rank) - 1);
    size_t used = (size_t)snprintf(text, n, "keepdims=%d axes=", (int)sqz_rng_below(rng, 2));
    for (int32_t d = 0; d < rank; d++)
        if (mask >> d & 1)
            used += (size_t)snprintf(text + used, n - used, "%d,", (int)d);
    text[used - 1] = '\0'; /* the last comma */
    return mask;
}

/* ---- integers ---- */

static wide w_sum(wide a, wide v) { return a + v; }
static wide w_max(wide a, wide v) { return v > a ? v : a; }
static wide w_min(wide a, wide v) { return v < a ? v : a; }
static wide w_product(wide a, wide v)
{
    return (wide)((unsigned __int128)a * (unsigned __int128)v);
}
static wide w_l1(wide a, wide v) { return a + (v < 0 ? -v : v); }
static wide w_square(wide a, wide v)
{
    return a + (wide)((unsigned __int128)v * (unsigned __int128)v);
}

static void test_integers_are_folded_exactly(void **state)
{
    static const struct {
        const char *op;
        wide (*fold)(wide, wide);
        wide start;
        bool seeded; /* starts with the first element */
    } row[] = {{"reduce_sum", w_sum, 0, 0}, {"reduce_max", w_max, 0, 1},
               {"reduce_min", w_min, 0, 1}, {"reduce_prod", w_product, 1, 0},
               {"reduce_l1", w_l1, 0, 0},   {"reduce_sum_square", w_square, 0, 0}};
    (void)state;
    sqz_rng rng = {.seed = 31};
    for (size_t round = 0; round < 2 * SQZ_COUNT(row) * SQZ_COUNT(wholes); round++) {
        const size_t k = round % SQZ_COUNT(row);
        const sqz_dtype d = wholes[round / SQZ_COUNT(row) % SQZ_COUNT(wholes)];
        const sqz_shape s = random_shape(&rng, 1);
        char attrs[80];
        op_run r;
        op_begin(&r);
        const unsigned mask = random_axes(&rng, s.rank, attrs, sizeof attrs);
        const sqz_tensor *x = random_whole(&r, d, s, false, &rng);
        const sqz_tensor *y = op_run_ok(&r, row[k].op, attrs);
        wide *acc = calloc(y->count, sizeof *acc);
        bool *seen = calloc(y->count, 1);
        for (size_t i = 0; i < x->count; i++) {
            const size_t o = sink(&s, mask, i);
            wide from = seen[o] ? acc[o] : row[k].seeded ? whole(x, i) : row[k].start;
            acc[o] = wrapped(row[k].fold(from, whole(x, i)), d);
            seen[o] = true;
        }
        for (size_t i = 0; i < y->count; i++)
            if (whole(y, i) != acc[i])
                fail_msg("%s %s of %s, result %zu", row[k].op, attrs, sqz_dtype_name(d), i);
        free(acc);
        free(seen);
        op_end(&r);
    }
}

/* ---- reals, and integers through reals ---- */

/* reduce_log_sum_exp by its definition, in long double. */
static void test_logarithms_and_roots_of_sums(void **state)
{
    static const char *const op[] = {"reduce_log_sum", "reduce_log_sum_exp", "reduce_l2",
                                     "reduce_mean"};
    (void)state;
    sqz_rng rng = {.seed = 32};
    for (size_t round = 0; round < 96; round++) {
        const size_t k = round % 4;
        const bool ints = round / 4 % 3 == 0;
        const sqz_dtype d = ints ? wholes[round / 12] : reals[round / 4 % 4];
        const sqz_shape s = random_shape(&rng, 1);
        char attrs[80];
        op_run r;
        op_begin(&r);
        const unsigned mask = random_axes(&rng, s.rank, attrs, sizeof attrs);
        const sqz_tensor *x = ints ? random_whole(&r, d, s, true, &rng)
                                   : op_random(&r, d, s, 0.25, 9, &rng);
        const sqz_tensor *y = op_run_ok(&r, op[k], attrs);
        const size_t each = x->count / y->count;
        const long double count = (long double)each;
        long double *acc = calloc(y->count, sizeof *acc);
        for (size_t i = 0; i < x->count; i++) {
            const long double v = sqz_tensor_f64(x, i);
            acc[sink(&s, mask, i)] += k == 1 ? expl(v) : k == 2 ? v * v : v;
        }
        for (size_t i = 0; i < y->count; i++) {
            double want = (double)(k < 2 ? logl(acc[i]) : k == 2 ? sqrtl(acc[i]) : acc[i] / count);
            double step = d == SQZ_F16    ? 0x1p-11
                          : d == SQZ_BF16 ? 0x1p-8
                          : d == SQZ_F32  ? 0x1p-23
                                          : 0x1p-45;
            if (ints && k == 2) /* what does not fit saturates */
                want = fmin(want, ldexp(1, (int)sqz_dtype_bits(d) - is_signed(d)) - 1);
            if (ints ? sqz_tensor_f64(y, i) != trunc(want) && fabs(want - rint(want)) > 1e-9
                     : fabs(sqz_tensor_f64(y, i) - want) > step * fmax(fabs(want), 1))
                fail_msg("%s %s of %s: %.17g, expected %.17g", op[k], attrs, sqz_dtype_name(d),
                         sqz_tensor_f64(y, i), want);
        }
        free(acc);
        op_end(&r);
    }
}

static double one_log_sum_exp(const double *v, int64_t n)
{
    op_run r;
    op_begin(&r);
    memcpy(op_in(&r, SQZ_F64, SHAPE(n))->data, v, (size_t)n * sizeof *v);
    const double y = sqz_tensor_f64(op_run_ok(&r, "reduce_log_sum_exp", ""), 0);
    op_end(&r);
    return y;
}

static void test_log_sum_exp_neither_overflows_nor_loses_infinities(void **state)
{
    (void)state;
    assert_true(fabs(one_log_sum_exp((double[]){1e4, 1e4 - 1, -1e4}, 3) - (1e4 + log1p(exp(-1)))) <
                1e-9);
    assert_true(one_log_sum_exp((double[]){-1e4, -1e4}, 2) < -9999.0);
    assert_true(one_log_sum_exp((double[]){-INFINITY, 2, -INFINITY}, 3) == 2);
    assert_true(one_log_sum_exp((double[]){-INFINITY, -INFINITY}, 2) == -INFINITY);
    assert_true(one_log_sum_exp((double[]){1, INFINITY, INFINITY, 3}, 4) == INFINITY);
    assert_true(isnan(one_log_sum_exp((double[]){1, NAN, INFINITY}, 3)));
}

static void test_nothing_gives_the_identity_of_the_type(void **state)
{
    static const struct {
        const char *op;
        sqz_dtype dtype;
        double want;
    } row[] = {{"reduce_sum", SQZ_F32, 0},
               {"reduce_prod", SQZ_S64, 1},
               {"reduce_max", SQZ_F16, -INFINITY},
               {"reduce_min", SQZ_F64, INFINITY},
               {"reduce_max", SQZ_S8, -128},
               {"reduce_min", SQZ_S8, 127},
               {"reduce_max", SQZ_U16, 0},
               {"reduce_min", SQZ_U16, 65535},
               {"reduce_max", SQZ_BOOL, 0},
               {"reduce_min", SQZ_BOOL, 1},
               {"reduce_l1", SQZ_S32, 0},
               {"reduce_max", SQZ_U64, 0},
               {"reduce_min", SQZ_U64, 0x1p64},
               {"reduce_l2", SQZ_F32, 0},
               {"reduce_log_sum", SQZ_F32, -INFINITY},
               {"reduce_log_sum_exp", SQZ_F32, -INFINITY},
               {"reduce_mean", SQZ_F32, NAN}};
    (void)state;
    for (size_t k = 0; k < SQZ_COUNT(row); k++) {
        op_run r;
        op_begin(&r);
        op_in(&r, row[k].dtype, SHAPE(2, 0, 3));
        const sqz_tensor *y = op_run_ok(&r, row[k].op, "axes=1 keepdims=0");
        assert_shape(y, SHAPE(2, 3));
        for (size_t i = 0; i < y->count; i++)
            if (isnan(row[k].want) ? !isnan(sqz_tensor_f64(y, i))
                                   : sqz_tensor_f64(y, i) != row[k].want)
                fail_msg("%s of no %s is %g", row[k].op, sqz_dtype_name(row[k].dtype),
                         sqz_tensor_f64(y, i));
        op_end(&r);
    }
}

static void test_bools_are_any_and_all(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        op_run r;
        op_begin(&r);
        memcpy(op_in(&r, SQZ_BOOL, SHAPE(3, 2))->data, (uint8_t[]){0, 0, 1, 0, 1, 1}, 6);
        const sqz_tensor *y = op_run_ok(&r, k ? "reduce_max" : "reduce_min", "axes=1 keepdims=0");
        assert_memory_equal(y->data, (k ? (uint8_t[]){0, 1, 1} : (uint8_t[]){0, 0, 1}), 3);
        op_end(&r);
    }
    op_refuses("reduce_sum", "", SHAPE(2), SQZ_BOOL, SQZ_E_UNSUPPORTED, "input 0 is bool");
}

/* ---- along one axis ---- */

static bool beats(double a, double b, bool max, bool last)
{
    if (isnan(a) || isnan(b))
        return isnan(a) && (!isnan(b) || last);
    return max ? a > b || (last && a == b) : a < b || (last && a == b);
}

static void test_indices_of_extremes_with_ties_and_nan(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 33};
    for (size_t round = 0; round < 120; round++) {
        const sqz_dtype d = round % 3 ? wholes[round / 3 % 8] : reals[round / 3 % 4];
        const sqz_shape s = random_shape(&rng, 1);
        const int axis = (int)sqz_rng_below(&rng, (uint64_t)s.rank),
                  last = (int)sqz_rng_below(&rng, 2), max = (int)sqz_rng_below(&rng, 2);
        const bool nan = round % 6 == 0 && !last; /* of several NaN, ONNX does not say which */
        char attrs[80];
        op_run r;
        op_begin(&r);
        sqz_tensor *x = op_in(&r, d, s);
        for (size_t i = 0; i < x->count; i++) {
            sqz_tensor_set_i64(x, i, (int64_t)sqz_rng_below(&rng, 4));
            if (nan && sqz_rng_below(&rng, 5) == 0)
                sqz_tensor_set_f64(x, i, NAN);
        }
        (void)snprintf(attrs, sizeof attrs, "axis=%d keepdims=%d select_last_index=%d",
                       axis - (round % 2 ? s.rank : 0), (int)sqz_rng_below(&rng, 2), last);
        const sqz_tensor *y = op_run_ok(&r, max ? "arg_max" : "arg_min", attrs);
        assert_int_equal(y->dtype, SQZ_S64);
        int64_t *best = malloc(y->count * sizeof *best);
        double *value = malloc(y->count * sizeof *value);
        for (size_t i = 0; i < y->count; i++)
            best[i] = -1;
        for (size_t i = 0; i < x->count; i++) { /* ascending along the axis for each result */
            int64_t at[SQZ_MAX_RANK];
            coords(&s, i, at);
            const size_t o = sink(&s, 1u << axis, i);
            const double v = sqz_tensor_f64(x, i);
            if (best[o] < 0 || beats(v, value[o], max, last)) {
                best[o] = at[axis];
                value[o] = v;
            }
        }
        assert_memory_equal(y->data, best, y->bytes);
        free(best);
        free(value);
        op_end(&r);
    }
    op_refuses("arg_max", "", SHAPE(0, 2), SQZ_F32, SQZ_E_SHAPE, "no elements");
}

static void test_cumulative_sums_and_products(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 34};
    for (size_t round = 0; round < 96; round++) {
        const bool sum = round % 2, exclusive = round / 2 % 2, reverse = round / 4 % 2;
        const sqz_dtype d = round % 3 ? wholes[round / 8 % 8] : reals[round / 24 % 4];
        const bool ints = round % 3 != 0;
        const sqz_shape s = random_shape(&rng, 1);
        const int axis = (int)sqz_rng_below(&rng, (uint64_t)s.rank);
        char attrs[80];
        op_run r;
        op_begin(&r);
        const sqz_tensor *x = ints ? random_whole(&r, d, s, false, &rng)
                                   : op_random(&r, d, s, 0.9, 1.1, &rng);
        (void)snprintf(attrs, sizeof attrs, "axis=%d exclusive=%d reverse=%d", axis, exclusive,
                       reverse);
        const sqz_tensor *y = op_run_ok(&r, sum ? "cum_sum" : "cum_prod", attrs);
        for (size_t i = 0; i < y->count; i += 1 + sqz_rng_below(&rng, 9)) {
            int64_t at[SQZ_MAX_RANK];
            coords(&s, i, at);
            const int64_t me = at[axis], n = s.dim[axis];
            wide w = sum ? 0 : 1;
            double v = sum ? 0 : 1;
            for (int64_t k = 0; k < n; k++) {
                if (reverse ? k < me + exclusive : k > me - exclusive)
                    continue;
                at[axis] = k;
                const size_t from = flat(&s, at);
                w = ints ? wrapped(sum ? w + whole(x, from) : w_product(w, whole(x, from)), d) : 0;
                v = sum ? v + sqz_tensor_f64(x, from) : v * sqz_tensor_f64(x, from);
            }
            double step = d == SQZ_F16    ? 0x1p-10
                          : d == SQZ_BF16 ? 0x1p-7
                          : d == SQZ_F32  ? 0x1p-23
                                          : 0x1p-40;
            if (ints ? whole(y, i) != w : fabs(sqz_tensor_f64(y, i) - v) > step * fabs(v))
                fail_msg("%s of %s, element %zu", attrs, sqz_dtype_name(d), i);
        }
        op_end(&r);
    }
}

static void test_norms_become_one_and_zeros_stay(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 35};
    for (int p = 1; p < 3; p++) {
        op_run r;
        op_begin(&r);
        sqz_tensor *x = op_random(&r, SQZ_F32, SHAPE(4, 7, 3), -2, 2, &rng);
        for (size_t i = 0; i < 7; i++)
            SQZ_F32P(x)[3 * i] = 0; /* one row of zeros */
        const sqz_tensor *y = op_run_ok(&r, "lp_normalization", p == 1 ? "axis=1 p=1" : "axis=1");
        for (size_t row = 0; row < 12; row++) {
            double norm = 0;
            for (size_t i = 0; i < 7; i++)
                norm += pow(fabs((double)SQZ_F32P(y)[row / 3 * 21 + row % 3 + 3 * i]), p);
            assert_true(fabs(norm - (row == 0 ? 0 : 1)) < 1e-6);
        }
        op_end(&r);
    }
}

static void test_triangles_of_every_width(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 36};
    for (int round = 0; round < 80; round++) {
        const sqz_dtype d = wholes[round % 8];
        const bool upper = round / 8 % 2;
        const int k = (int)sqz_rng_below(&rng, 13) - 6;
        sqz_shape s = random_shape(&rng, 2);
        char attrs[40];
        op_run r;
        op_begin(&r);
        const sqz_tensor *x = random_whole(&r, d, s, false, &rng);
        (void)snprintf(attrs, sizeof attrs, "upper=%d k=%d", upper, k);
        const sqz_tensor *y = op_run_ok(&r, "trilu", attrs);
        for (size_t i = 0; i < y->count; i++) {
            int64_t at[SQZ_MAX_RANK];
            coords(&s, i, at);
            const int64_t right = at[s.rank - 1] - at[s.rank - 2];
            assert_true(whole(y, i) == ((upper ? right >= k : right <= k) ? whole(x, i) : 0));
        }
        op_end(&r);
    }
    op_refuses("trilu", "", SHAPE(3), SQZ_F32, SQZ_E_SHAPE, "expected matrices");
}

static void test_hardmax_marks_the_first_largest(void **state)
{
    (void)state;
    op_run r;
    op_begin(&r);
    memcpy(op_in(&r, SQZ_F32, SHAPE(2, 3))->data, (float[]){1, 3, 3, -1, -2, -3}, 24);
    assert_memory_equal(op_run_ok(&r, "hardmax", "axis=-1")->data, ((float[]){0, 1, 0, 1, 0, 0}),
                        24);
    op_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers_are_folded_exactly),
        cmocka_unit_test(test_logarithms_and_roots_of_sums),
        cmocka_unit_test(test_log_sum_exp_neither_overflows_nor_loses_infinities),
        cmocka_unit_test(test_nothing_gives_the_identity_of_the_type),
        cmocka_unit_test(test_bools_are_any_and_all),
        cmocka_unit_test(test_indices_of_extremes_with_ties_and_nan),
        cmocka_unit_test(test_cumulative_sums_and_products),
        cmocka_unit_test(test_norms_become_one_and_zeros_stay),
        cmocka_unit_test(test_triangles_of_every_width),
        cmocka_unit_test(test_hardmax_marks_the_first_largest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
