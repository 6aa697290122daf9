/* test_ops_indexing.c: operators with tensors of indices, on random shapes, against their
 * definition written as loops over coordinates. */
#include "ops_test.h"

static const sqz_dtype types[] = {SQZ_F32, SQZ_S8, SQZ_S64, SQZ_F16, SQZ_S4, SQZ_BF16, SQZ_U16};
#define ROUNDS 120

static int64_t below(sqz_rng *r, int64_t n) { return (int64_t)sqz_rng_below(r, (uint64_t)n); }
static int64_t between(sqz_rng *r, int64_t lo, int64_t hi) { return lo + below(r, hi - lo + 1); }

static sqz_shape random_shape(sqz_rng *r, int32_t lo, int32_t hi)
{
    sqz_shape s = {.rank = (int32_t)between(r, lo, hi)};
    for (int32_t i = 0; i < s.rank; i++)
        s.dim[i] = between(r, 1, 4);
    return s;
}
static sqz_tensor *numbers(op_run *run, sqz_rng *r, sqz_shape s) /* of a random type */
{
    return op_random(run, types[below(r, SQZ_COUNT(types))], s, -8, 7, r);
}
static sqz_tensor *indices(op_run *run, sqz_rng *r, sqz_shape s, int64_t n)
{
    return op_random(run, below(r, 2) ? SQZ_S64 : SQZ_S32, s, (double)-n, (double)n - 1, r);
}
static int64_t wrapped(const sqz_tensor *k, size_t i, int64_t n)
{
    const int64_t at = sqz_tensor_i64(k, i);
    return at < 0 ? at + n : at;
}
static void assert_same(const sqz_tensor *y, size_t i, const sqz_tensor *x, size_t k)
{
    if (sqz_tensor_f64(y, i) != sqz_tensor_f64(x, k))
        fail_msg("element %zu is %g, expected %g (element %zu)", i, sqz_tensor_f64(y, i),
                 sqz_tensor_f64(x, k), k);
}
#define ATTRS(...)                                                                                 \
    char attrs[96];                                                                                \
    (void)snprintf(attrs, sizeof attrs, __VA_ARGS__)

/* ---- gathering ---- */

static void test_gather_elements(void **state)
{
    sqz_rng r = {.seed = 1};
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        op_run run;
        op_begin(&run);
        const sqz_shape s = random_shape(&r, 1, 4);
        sqz_shape k = s;
        const int32_t axis = (int32_t)below(&r, s.rank);
        for (int32_t i = 0; i < s.rank; i++)
            k.dim[i] = i == axis ? between(&r, 1, 5) : between(&r, 1, s.dim[i]);
        const sqz_tensor *x = numbers(&run, &r, s);
        const sqz_tensor *index = indices(&run, &r, k, s.dim[axis]);
        ATTRS("axis=%d", (int)(below(&r, 2) ? axis : axis - s.rank));
        const sqz_tensor *y = op_run_ok(&run, "gather_elements", attrs);
        assert_shape(y, k);
        for (size_t i = 0; i < y->count; i++) {
            int64_t at[SQZ_MAX_RANK];
            coords(&k, i, at);
            at[axis] = wrapped(index, i, s.dim[axis]);
            assert_same(y, i, x, flat(&s, at));
        }
        op_end(&run);
    }
}

static void test_gather_nd(void **state)
{
    sqz_rng r = {.seed = 2};
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        op_run run;
        op_begin(&run);
        const sqz_shape s = random_shape(&r, 1, 4);
        const int32_t b = (int32_t)below(&r, s.rank), m = (int32_t)between(&r, 1, s.rank - b);
        sqz_shape k = {.rank = b};
        for (int32_t i = 0; i < b; i++)
            k.dim[i] = s.dim[i];
        for (int64_t more = below(&r, 3); more-- > 0;)
            k.dim[k.rank++] = between(&r, 1, 3);
        k.dim[k.rank++] = m;
        const sqz_tensor *x = numbers(&run, &r, s);
        sqz_tensor *index = op_in(&run, SQZ_S64, k);
        for (size_t i = 0; i < index->count; i++) {
            const int64_t n = s.dim[b + (int32_t)(i % (size_t)m)];
            SQZ_S64P(index)[i] = between(&r, -n, n - 1);
        }
        ATTRS("batch_dims=%d", (int)b);
        const sqz_tensor *y = op_run_ok(&run, "gather_nd", attrs);
        assert_int_equal(y->shape.rank, k.rank - 1 + s.rank - b - m);
        for (size_t i = 0; i < y->count; i++) {
            int64_t at[SQZ_MAX_RANK], from[SQZ_MAX_RANK], tuple[SQZ_MAX_RANK];
            coords(&y->shape, i, at);
            for (int32_t d = 0; d < k.rank - 1; d++)
                tuple[d] = at[d];
            for (int32_t d = 0; d < s.rank; d++) {
                tuple[k.rank - 1] = d - b;
                from[d] = d < b       ? at[d]
                          : d < b + m ? wrapped(index, flat(&k, tuple), s.dim[d])
                                      : at[k.rank - 1 + d - b - m];
            }
            assert_same(y, i, x, flat(&s, from));
        }
        op_end(&run);
    }
}

/* ---- scattering ---- */

static const char *const reductions[] = {"none", "add", "mul", "min", "max"};
static double meet(int how, double a, double b)
{
    return how == 0 ? b : how == 1 ? a + b : how == 2 ? a * b : how == 3 ? fmin(a, b) : fmax(a, b);
}
/* Types on which a few sums and products of whole numbers up to 2 are exact. */
static const sqz_dtype exact[] = {SQZ_F32, SQZ_F64, SQZ_S32, SQZ_S64, SQZ_S16, SQZ_F16};

/* want[at] meets update i, for all of them in order; then y must be want. */
static void assert_numbers(const sqz_tensor *y, const double *want)
{
    for (size_t i = 0; i < y->count; i++)
        if (sqz_tensor_f64(y, i) != want[i])
            fail_msg("element %zu is %g, expected %g", i, sqz_tensor_f64(y, i), want[i]);
}

static void test_scatter_elements(void **state)
{
    sqz_rng r = {.seed = 3};
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        op_run run;
        double want[256];
        op_begin(&run);
        const sqz_shape s = random_shape(&r, 1, 4);
        const int32_t axis = (int32_t)below(&r, s.rank);
        const int how = round % 5;
        const sqz_dtype d = exact[below(&r, SQZ_COUNT(exact))];
        sqz_shape k = s;
        for (int32_t i = 0; i < s.rank; i++)
            k.dim[i] = between(&r, 1, i == axis ? 3 : s.dim[i]);
        const sqz_tensor *x = op_random(&run, d, s, -2, 2, &r);
        const sqz_tensor *index = indices(&run, &r, k, s.dim[axis]);
        const sqz_tensor *u = op_random(&run, d, k, -2, 2, &r);
        for (size_t i = 0; i < x->count; i++)
            want[i] = sqz_tensor_f64(x, i);
        for (size_t i = 0; i < u->count; i++) {
            int64_t at[SQZ_MAX_RANK];
            coords(&k, i, at);
            at[axis] = wrapped(index, i, s.dim[axis]);
            double *there = &want[flat(&s, at)];
            *there = meet(how, *there, sqz_tensor_f64(u, i));
            if (d == SQZ_F32) /* each step is rounded */
                *there = (float)*there;
        }
        ATTRS("axis=%d reduction=%s", (int)axis, reductions[how]);
        const bool sums = how == 1 || how == 2;
        if (d != SQZ_F16 || !sums) /* rounding of half floats has a test of its own */
            assert_numbers(
                op_run_ok(&run, sums ? "scatter_elements_reduce" : "scatter_elements", attrs),
                want);
        op_end(&run);
    }
}

static void test_scatter_nd(void **state)
{
    sqz_rng r = {.seed = 4};
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        op_run run;
        double want[256];
        op_begin(&run);
        const sqz_shape s = random_shape(&r, 1, 4);
        const int32_t m = (int32_t)between(&r, 1, s.rank);
        const int how = round % 5;
        const sqz_dtype d = exact[1 + below(&r, 3)];
        const sqz_shape k = SHAPE(between(&r, 1, 4), m);
        sqz_shape us = {.rank = 1, .dim = {k.dim[0]}};
        size_t slice = 1;
        for (int32_t i = m; i < s.rank; i++) {
            us.dim[us.rank++] = s.dim[i];
            slice *= (size_t)s.dim[i];
        }
        const sqz_tensor *x = op_random(&run, d, s, -2, 2, &r);
        sqz_tensor *index = op_in(&run, SQZ_S64, k);
        for (size_t i = 0; i < index->count; i++) {
            const int64_t n = s.dim[i % (size_t)m];
            SQZ_S64P(index)[i] = between(&r, -n, n - 1);
        }
        const sqz_tensor *u = op_random(&run, d, us, -2, 2, &r);
        for (size_t i = 0; i < x->count; i++)
            want[i] = sqz_tensor_f64(x, i);
        for (size_t i = 0; i < u->count; i++) {
            size_t at = 0;
            for (int32_t e = 0; e < m; e++)
                at = at * (size_t)s.dim[e] +
                     (size_t)wrapped(index, i / slice * (size_t)m + (size_t)e, s.dim[e]);
            at = at * slice + i % slice;
            want[at] = meet(how, want[at], sqz_tensor_f64(u, i));
        }
        ATTRS("reduction=%s", reductions[how]);
        assert_numbers(
            op_run_ok(&run, how == 1 || how == 2 ? "scatter_nd_reduce" : "scatter_nd", attrs),
            want);
        op_end(&run);
    }
}

static void test_reductions_wrap_around_round_and_keep_nan(void **state)
{
    (void)state;
    op_run run;
    op_begin(&run);
    SQZ_S8P(op_in(&run, SQZ_S8, SHAPE(1)))[0] = 100;
    op_in(&run, SQZ_S64, SHAPE(1));
    SQZ_S8P(op_in(&run, SQZ_S8, SHAPE(1)))[0] = 100;
    assert_int_equal(SQZ_S8P(op_run_ok(&run, "scatter_elements_reduce", "reduction=add"))[0], -56);
    op_end(&run);
    op_begin(&run); /* 2048 + 1 is halfway in half precision: to even */
    sqz_tensor_set_f64(op_in(&run, SQZ_F16, SHAPE(1)), 0, 2048);
    op_in(&run, SQZ_S64, SHAPE(1));
    sqz_tensor_set_f64(op_in(&run, SQZ_F16, SHAPE(1)), 0, 1);
    TEST_NEAR(sqz_tensor_f64(op_run_ok(&run, "scatter_elements_reduce", "reduction=add"), 0), 2048,
              0);
    op_end(&run);
    for (int k = 0; k < 2; k++) { /* whichever of the two is NaN */
        op_begin(&run);
        SQZ_F32P(op_in(&run, SQZ_F32, SHAPE(1)))[0] = k ? NAN : 1;
        op_in(&run, SQZ_S64, SHAPE(1));
        SQZ_F32P(op_in(&run, SQZ_F32, SHAPE(1)))[0] = k ? 1 : NAN;
        assert_true(isnan(SQZ_F32P(op_run_ok(&run, "scatter_elements", "reduction=max"))[0]));
        op_end(&run);
    }
}

static void test_tensor_scatter(void **state)
{
    sqz_rng r = {.seed = 5};
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        op_run run;
        op_begin(&run);
        const bool circular = round % 2;
        const sqz_shape s = random_shape(&r, 2, 4);
        const int32_t axis = (int32_t)between(&r, 1, s.rank - 1);
        sqz_shape us = s;
        us.dim[axis] = between(&r, 1, s.dim[axis]);
        const sqz_tensor *x = numbers(&run, &r, s);
        const sqz_tensor *u = op_random(&run, x->dtype, us, -8, 7, &r);
        sqz_tensor *first = op_in(&run, SQZ_S64, SHAPE(s.dim[0]));
        for (int64_t b = 0; b < s.dim[0]; b++)
            SQZ_S64P(first)[b] = below(&r, circular ? s.dim[axis] : s.dim[axis] - us.dim[axis] + 1);
        ATTRS("axis=%d mode=%s", (int)axis - (round % 3 ? s.rank : 0),
              circular ? "circular" : "linear");
        const sqz_tensor *y = op_run_ok(&run, "tensor_scatter", attrs);
        for (size_t i = 0; i < y->count; i++) {
            int64_t at[SQZ_MAX_RANK];
            coords(&s, i, at);
            const int64_t n = s.dim[axis], k = (at[axis] + n - SQZ_S64P(first)[at[0]]) % n;
            at[axis] = k;
            if (k < us.dim[axis])
                assert_same(y, i, u, flat(&us, at));
            else
                assert_same(y, i, x, i);
        }
        op_end(&run);
    }
}

/* ---- order ---- */

/* Position k of the result is the element that has k others before it. */
static void test_top_k(void **state)
{
    static const sqz_dtype sorts[] = {SQZ_F32, SQZ_F64, SQZ_F16, SQZ_S8, SQZ_U8, SQZ_S64, SQZ_U64};
    sqz_rng r = {.seed = 6};
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        op_run run;
        op_begin(&run);
        run.n_out = 2;
        sqz_shape s = random_shape(&r, 1, 3);
        const int32_t axis = (int32_t)below(&r, s.rank);
        s.dim[axis] = between(&r, 1, 9);
        const int64_t n = s.dim[axis], k = between(&r, 0, n);
        const bool largest = round % 2;
        const sqz_dtype d = sorts[below(&r, SQZ_COUNT(sorts))];
        const sqz_tensor *x = op_random(&run, d, s, 0, 4, &r); /* integers have many ties */
        ATTRS("k=%d axis=%d largest=%d", (int)k, (int)axis, largest);
        op_run_ok(&run, "top_k", attrs);
        assert_int_equal(run.out[0].shape.dim[axis], k);
        for (size_t i = 0; i < run.out[0].count; i++) {
            int64_t at[SQZ_MAX_RANK];
            coords(&run.out[0].shape, i, at);
            const int64_t place = at[axis], from = SQZ_S64P(&run.out[1])[i];
            int64_t before = 0;
            at[axis] = from;
            const double v = sqz_tensor_f64(x, flat(&s, at));
            assert_same(&run.out[0], i, x, flat(&s, at));
            for (int64_t e = 0; e < n; e++) {
                at[axis] = e;
                const double w = sqz_tensor_f64(x, flat(&s, at));
                before += (largest ? w > v : w < v) || (w == v && e < from);
            }
            assert_int_equal(before, place);
        }
        op_end(&run);
    }
    op_run run;
    op_begin(&run);
    run.n_out = 2;
    op_in(&run, SQZ_F32, SHAPE(2, 3));
    TEST_FAILS(run.ctx, op_try(&run, "top_k", "k=4"), SQZ_E_SHAPE, "the top 4 of 3");
    op_end(&run);
}

static void test_one_hot(void **state)
{
    static const sqz_dtype kinds[] = {SQZ_S64, SQZ_S32, SQZ_F32, SQZ_S8};
    sqz_rng r = {.seed = 7};
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        op_run run;
        op_begin(&run);
        const sqz_shape s = random_shape(&r, 0, 3);
        const int32_t axis = (int32_t)below(&r, s.rank + 1);
        const int64_t depth = between(&r, 1, 5);
        const sqz_tensor *index = op_random(&run, kinds[round % 4], s, -7, 7, &r);
        const sqz_tensor *values = numbers(&run, &r, SHAPE(2));
        ATTRS("depth=%d axis=%d", (int)depth, (int)axis - (round % 2 ? s.rank + 1 : 0));
        const sqz_tensor *y = op_run_ok(&run, "one_hot", attrs);
        for (size_t i = 0; i < y->count; i++) {
            int64_t at[SQZ_MAX_RANK], from[SQZ_MAX_RANK] = {0};
            coords(&y->shape, i, at);
            for (int32_t d = 0; d < s.rank; d++)
                from[d] = at[d < axis ? d : d + 1];
            int64_t k = (int64_t)trunc(sqz_tensor_f64(index, flat(&s, from)));
            k += k < 0 && k >= -depth ? depth : 0;
            assert_same(y, i, values, k == at[axis] ? 1 : 0);
        }
        op_end(&run);
    }
}

/* ---- blocks and sequences; (N,H,W,C) ---- */

static void test_depth_to_space_and_back(void **state)
{
    sqz_rng r = {.seed = 8};
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        op_run run, back;
        op_begin(&run);
        const int64_t b = between(&r, 1, 3), c = between(&r, 1, 3);
        const bool crd = round % 2;
        const sqz_shape s = SHAPE(between(&r, 1, 2), between(&r, 1, 3), between(&r, 1, 3),
                                  c * b * b);
        const sqz_tensor *x = numbers(&run, &r, s);
        ATTRS("blocksize=%d mode=%s", (int)b, crd ? "CRD" : "DCR");
        const sqz_tensor *y = op_run_ok(&run, "depth_to_space", attrs);
        for (size_t i = 0; i < y->count; i++) {
            int64_t at[4];
            coords(&y->shape, i, at);
            const int64_t in_block = at[1] % b * b + at[2] % b;
            const int64_t from[4] = {at[0], at[1] / b, at[2] / b,
                                     crd ? at[3] * b * b + in_block : in_block * c + at[3]};
            assert_same(y, i, x, flat(&s, from));
        }
        if (!crd) {
            op_begin(&back);
            memcpy(op_in(&back, y->dtype, y->shape)->data, y->data, y->bytes);
            (void)snprintf(attrs, sizeof attrs, "blocksize=%d", (int)b);
            const sqz_tensor *z = op_run_ok(&back, "space_to_depth", attrs);
            assert_shape(z, s);
            assert_memory_equal(z->data, x->data, x->bytes);
            op_end(&back);
        }
        op_end(&run);
    }
    op_refuses("depth_to_space", "blocksize=2", SHAPE(1, 2, 2, 6), SQZ_F32, SQZ_E_SHAPE,
               "6 channels");
    op_refuses("space_to_depth", "blocksize=2", SHAPE(1, 3, 2, 6), SQZ_F32, SQZ_E_SHAPE,
               "3 x 2 pixels");
}

static void test_reverse_sequence(void **state)
{
    sqz_rng r = {.seed = 9};
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        op_run run;
        op_begin(&run);
        const sqz_shape s = random_shape(&r, 2, 4);
        const int32_t time = (int32_t)below(&r, s.rank);
        const int32_t batch = (int32_t)((time + 1 + below(&r, s.rank - 1)) % s.rank);
        const sqz_tensor *x = numbers(&run, &r, s);
        const sqz_tensor *lens = op_random(&run, SQZ_S64, SHAPE(s.dim[batch]), 0,
                                           (double)s.dim[time], &r);
        ATTRS("batch_axis=%d time_axis=%d", (int)batch, (int)time);
        const sqz_tensor *y = op_run_ok(&run, "reverse_sequence", attrs);
        for (size_t i = 0; i < y->count; i++) {
            int64_t at[SQZ_MAX_RANK];
            coords(&s, i, at);
            const int64_t len = SQZ_S64P(lens)[at[batch]];
            at[time] = at[time] < len ? len - 1 - at[time] : at[time];
            assert_same(y, i, x, flat(&s, at));
        }
        op_end(&run);
    }
}

/* ---- refusals ---- */

static void test_indices_outside_are_refused_when_they_are_there(void **state)
{
    static const struct {
        const char *op, *attrs;
        sqz_shape data, index, updates;
        int64_t bad;
        const char *part;
    } row[] = {
        {"gather_elements", "axis=1", {2, {2, 3}}, {2, {2, 1}}, {-1, {0}}, 3, "expected -3 .. 2"},
        {"gather_elements", "axis=0", {2, {2, 3}}, {2, {1, 1}}, {-1, {0}}, INT64_MIN, "-2 .. 1"},
        {"gather_nd", "", {2, {2, 3}}, {1, {2}}, {-1, {0}}, 3, "position 1 of tuple 0"},
        {"scatter_elements", "axis=1", {2, {2, 3}}, {2, {1, 1}}, {2, {1, 1}}, 3, "index 3"},
        {"scatter_elements_reduce", "reduction=add", {1, {2}}, {1, {1}}, {1, {1}}, -3, "index -3"},
        {"scatter_nd", "", {2, {2, 3}}, {2, {1, 1}}, {2, {1, 3}}, INT64_MAX, "tuple 0"},
        {"tensor_scatter", "axis=1", {2, {1, 3}}, {1, {1}}, {2, {1, 2}}, 2, "expected 0 .. 1"},
        {"tensor_scatter", "axis=1", {2, {1, 3}}, {1, {1}}, {2, {1, 2}}, -1, "expected 0 .. 1"},
        {"reverse_sequence", "", {2, {3, 1}}, {1, {1}}, {-1, {0}}, 4, "length 4 of sequence 0"},
    };
    (void)state;
    for (size_t i = 0; i < SQZ_COUNT(row); i++) {
        op_run run;
        op_begin(&run);
        const bool last = strcmp(row[i].op, "tensor_scatter") == 0; /* indices come last there */
        op_in(&run, SQZ_F32, row[i].data);
        if (last)
            op_in(&run, SQZ_F32, row[i].updates);
        sqz_tensor *k = op_in(&run, SQZ_S64, row[i].index);
        SQZ_S64P(k)[k->count - 1] = row[i].bad;
        if (!last && row[i].updates.rank >= 0)
            op_in(&run, SQZ_F32, row[i].updates);
        TEST_FAILS(run.ctx, op_try(&run, row[i].op, row[i].attrs), SQZ_E_ARG, row[i].part);
        op_end(&run);
    }
}

static void test_shapes_that_do_not_fit_are_refused(void **state)
{
    static const struct {
        const char *op, *attrs;
        sqz_shape in[3];
        sqz_dtype d[3];
        sqz_status want;
        const char *part;
    } row[] = {
        {"gather_elements",
         "axis=0",
         {{2, {2, 3}}, {2, {2, 4}}, {-1, {0}}},
         {0, SQZ_S64, 0},
         SQZ_E_SHAPE,
         "indices of shape 2x4"},
        {"gather_elements",
         "axis=0",
         {{2, {2, 3}}, {1, {2}}, {-1, {0}}},
         {0, SQZ_S64, 0},
         SQZ_E_SHAPE,
         "do not fit"},
        {"gather_elements",
         "axis=2",
         {{2, {2, 3}}, {2, {2, 3}}, {-1, {0}}},
         {0, SQZ_S64, 0},
         SQZ_E_SHAPE,
         "axis 2"},
        {"gather_elements",
         "axis=0",
         {{2, {2, 3}}, {2, {2, 3}}, {-1, {0}}},
         {0, SQZ_F32, 0},
         SQZ_E_UNSUPPORTED,
         "indices are f32"},
        {"gather_nd",
         "",
         {{2, {2, 3}}, {1, {3}}, {-1, {0}}},
         {0, SQZ_S64, 0},
         SQZ_E_SHAPE,
         "do not fit"},
        {"gather_nd",
         "batch_dims=1",
         {{2, {2, 3}}, {2, {3, 1}}, {-1, {0}}},
         {0, SQZ_S64, 0},
         SQZ_E_SHAPE,
         "batch_dims 1"},
        {"scatter_elements",
         "",
         {{2, {2, 3}}, {2, {1, 3}}, {2, {2, 3}}},
         {0, SQZ_S64, 0},
         SQZ_E_SHAPE,
         "updates of shape 2x3, expected 1x3"},
        {"scatter_elements",
         "reduction=add",
         {{1, {2}}, {1, {2}}, {1, {2}}},
         {0, SQZ_S64, 0},
         SQZ_E_ARG,
         "_reduce"},
        {"scatter_nd",
         "",
         {{2, {2, 3}}, {2, {1, 1}}, {2, {1, 2}}},
         {0, SQZ_S64, 0},
         SQZ_E_SHAPE,
         "expected 1x3"},
        {"scatter_nd",
         "",
         {{1, {2}}, {2, {1, 1}}, {1, {1}}},
         {0, SQZ_S64, SQZ_S32},
         SQZ_E_UNSUPPORTED,
         "updates are s32, data are f32"},
        {"tensor_scatter",
         "axis=0",
         {{2, {2, 3}}, {2, {2, 3}}, {1, {2}}},
         {0, 0, SQZ_S64},
         SQZ_E_SHAPE,
         "axis 0 is the batch"},
        {"tensor_scatter",
         "",
         {{3, {2, 3, 1}}, {3, {2, 4, 1}}, {1, {2}}},
         {0, 0, SQZ_S64},
         SQZ_E_SHAPE,
         "does not fit a cache"},
        {"one_hot",
         "depth=2",
         {{1, {2}}, {1, {3}}, {-1, {0}}},
         {SQZ_S64, 0, 0},
         SQZ_E_SHAPE,
         "list of two"},
        {"reverse_sequence",
         "time_axis=1",
         {{2, {3, 1}}, {1, {1}}, {-1, {0}}},
         {0, SQZ_S64, 0},
         SQZ_E_SHAPE,
         "are both 1"},
    };
    (void)state;
    for (size_t i = 0; i < SQZ_COUNT(row); i++) {
        op_run run;
        op_begin(&run);
        for (int k = 0; k < 3 && row[i].in[k].rank >= 0; k++)
            op_in(&run, row[i].d[k], row[i].in[k]);
        TEST_FAILS(run.ctx, op_try(&run, row[i].op, row[i].attrs), row[i].want, row[i].part);
        op_end(&run);
    }
}

/* ---- packed types ---- */

/* What every mover does to 4-bit elements is what it does to the same numbers in bytes. */
static void test_packed_elements_move_as_bytes_do(void **state)
{
    static const struct {
        const char *op, *attrs;
        sqz_shape in;
        unsigned n_in, n_out;
    } row[] = {
        {"transpose", "perm=2,0,1", {3, {3, 5, 3}}, 1, 1},
        {"slice", "starts=1,-1 ends=3,-9 axes=0,2 steps=1,-2", {3, {3, 5, 3}}, 1, 1},
        {"pad", "pads=1,0,2,0,1,0 mode=reflect", {3, {3, 5, 3}}, 1, 1},
        {"pad", "pads=1,0,2,0,1,0 value=3", {3, {3, 5, 3}}, 1, 1},
        {"tile", "repeats=1,2,3", {3, {1, 3, 3}}, 1, 1},
        {"expand", "shape=5,3,3", {3, {1, 3, 1}}, 1, 1},
        {"concat", "axis=1", {3, {3, 1, 3}}, 3, 1},
        {"split", "axis=2 split=1,2", {3, {3, 1, 3}}, 1, 2},
        {"depth_to_space", "blocksize=2 mode=CRD", {4, {1, 3, 1, 4}}, 1, 1},
        {"reshape", "shape=3,-1", {3, {1, 3, 3}}, 1, 1},
    };
    sqz_rng r = {.seed = 10};
    (void)state;
    for (size_t i = 0; i < SQZ_COUNT(row); i++)
        for (int k = 0; k < 2; k++) {
            op_run packed, bytes;
            op_begin(&packed);
            op_begin(&bytes);
            packed.n_out = bytes.n_out = row[i].n_out;
            for (unsigned n = 0; n < row[i].n_in; n++) {
                const sqz_tensor *x = op_random(&packed, k ? SQZ_U4 : SQZ_S4, row[i].in, k ? 0 : -8,
                                                k ? 15 : 7, &r);
                sqz_tensor *y = op_in(&bytes, k ? SQZ_U8 : SQZ_S8, row[i].in);
                for (size_t e = 0; e < x->count; e++)
                    sqz_tensor_set_i64(y, e, sqz_tensor_i64(x, e));
            }
            op_run_ok(&packed, row[i].op, row[i].attrs);
            op_run_ok(&bytes, row[i].op, row[i].attrs);
            for (unsigned n = 0; n < row[i].n_out; n++) {
                assert_shape(&packed.out[n], bytes.out[n].shape);
                assert_int_equal(packed.out[n].dtype, k ? SQZ_U4 : SQZ_S4);
                for (size_t e = 0; e < bytes.out[n].count; e++)
                    assert_same(&packed.out[n], e, &bytes.out[n], e);
            }
            op_end(&packed);
            op_end(&bytes);
        }
}

/* ---- determinants ---- */

/* Laplace's expansion along the first row. */
static double laplace(const double *a, size_t n)
{
    double sum = n == 0, minor[36];
    for (size_t c = 0; c < n; c++) {
        for (size_t i = 0; i < (n - 1) * (n - 1); i++) {
            const size_t col = i % (n - 1);
            minor[i] = a[(i / (n - 1) + 1) * n + col + (col >= c)];
        }
        sum += (c % 2 ? -1 : 1) * a[c] * laplace(minor, n - 1);
    }
    return sum;
}

static void test_determinants(void **state)
{
    sqz_rng r = {.seed = 11};
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        op_run run;
        double a[36];
        op_begin(&run);
        const int64_t n = between(&r, 0, 5), stack = between(&r, 1, 3);
        const sqz_tensor *x = op_random(&run, round % 2 ? SQZ_F64 : SQZ_F32, SHAPE(stack, n, n), -2,
                                        2, &r);
        if (round % 7 == 0 && n > 1) /* two equal rows */
            for (size_t i = 0; i < (size_t)n; i++)
                sqz_tensor_set_f64(&run.in[0], i, sqz_tensor_f64(x, (size_t)n + i));
        const sqz_tensor *y = op_run_ok(&run, "det", "");
        for (size_t m = 0; m < (size_t)stack; m++) {
            for (size_t i = 0; i < (size_t)(n * n); i++)
                a[i] = sqz_tensor_f64(x, m * (size_t)(n * n) + i);
            /* at most 5! products below 2^5: 120 * 32 * 2^-24 for the final rounding */
            TEST_NEAR(sqz_tensor_f64(y, m), laplace(a, (size_t)n), 3e-4);
        }
        op_end(&run);
    }
    op_refuses("det", "", SHAPE(2, 3), SQZ_F32, SQZ_E_SHAPE, "square");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gather_elements),
        cmocka_unit_test(test_gather_nd),
        cmocka_unit_test(test_scatter_elements),
        cmocka_unit_test(test_scatter_nd),
        cmocka_unit_test(test_reductions_wrap_around_round_and_keep_nan),
        cmocka_unit_test(test_tensor_scatter),
        cmocka_unit_test(test_top_k),
        cmocka_unit_test(test_one_hot),
        cmocka_unit_test(test_depth_to_space_and_back),
        cmocka_unit_test(test_reverse_sequence),
        cmocka_unit_test(test_indices_outside_are_refused_when_they_are_there),
        cmocka_unit_test(test_shapes_that_do_not_fit_are_refused),
        cmocka_unit_test(test_packed_elements_move_as_bytes_do),
        cmocka_unit_test(test_determinants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
