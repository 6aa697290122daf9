/* Shapes and tensors: counts that cannot overflow, types of 4 to 64 bits, casts, permutations. */
#include "ir/graph.h"
#include "sqz_test.h"

static void test_counts_are_checked_products(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    size_t n, b;
    sqz_shape s = {3, {2, 3, 5}};
    TEST_OK(ctx, sqz_shape_count(ctx, &s, SQZ_F32, &n, &b));
    assert_int_equal(n, 30);
    assert_int_equal(b, 120);
    TEST_OK(ctx, sqz_shape_count(ctx, &s, SQZ_S4, &n, &b));
    assert_int_equal(b, 15);
    s = (sqz_shape){2, {3, 3}};
    TEST_OK(ctx, sqz_shape_count(ctx, &s, SQZ_S4, &n, &b));
    assert_int_equal(b, 5);
    s = (sqz_shape){.rank = 0};
    TEST_OK(ctx, sqz_shape_count(ctx, &s, SQZ_F64, &n, &b));
    assert_int_equal(n, 1);
    s = (sqz_shape){2, {0, 7}};
    TEST_OK(ctx, sqz_shape_count(ctx, &s, SQZ_F32, &n, &b));
    assert_int_equal(n, 0);
    s = (sqz_shape){3, {0, INT64_MAX, INT64_MAX}};
    TEST_FAILS(ctx, sqz_shape_count(ctx, &s, SQZ_F32, &n, &b), SQZ_E_LIMIT, "too large");
    s = (sqz_shape){2, {3, -1}};
    TEST_FAILS(ctx, sqz_shape_count(ctx, &s, SQZ_F32, &n, &b), SQZ_E_SHAPE, "-1");
    s = (sqz_shape){1, {INT64_MAX / 4}};
    TEST_FAILS(ctx, sqz_shape_count(ctx, &s, SQZ_F64, &n, &b), SQZ_E_LIMIT, "too large");
    s.rank = 9;
    TEST_FAILS(ctx, sqz_shape_count(ctx, &s, SQZ_F64, &n, &b), SQZ_E_LIMIT, "9 dimensions");
    sqz_ctx_free(ctx);
}

static void test_broadcast_follows_numpy(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_shape a = {3, {4, 1, 3}}, b = {2, {5, 1}}, out, want = {3, {4, 5, 3}};
    TEST_OK(ctx, sqz_shape_broadcast(ctx, &a, &b, &out));
    assert_true(sqz_shape_eq(&out, &want));
    a = (sqz_shape){1, {0}};
    b = (sqz_shape){1, {1}};
    TEST_OK(ctx, sqz_shape_broadcast(ctx, &a, &b, &out));
    assert_int_equal(out.dim[0], 0);
    b = (sqz_shape){1, {2}};
    TEST_FAILS(ctx, sqz_shape_broadcast(ctx, &a, &b, &out), SQZ_E_SHAPE, "0 and 2");
    sqz_ctx_free(ctx);
}

static void test_type_table_agrees_with_onnx(void **state)
{
    (void)state;
    for (int d = 0; d < SQZ_N_DTYPE; d++) {
        assert_int_equal(sqz_dtype_find(sqz_dtype_name((sqz_dtype)d)), d);
        assert_int_equal(sqz_dtype_of_onnx(sqz_dtype_onnx((sqz_dtype)d)), d);
    }
    assert_int_equal(sqz_dtype_find("f33"), SQZ_N_DTYPE);
    assert_int_equal(sqz_dtype_of_onnx(8), SQZ_N_DTYPE); /* string */
    assert_int_equal(sqz_dtype_onnx(SQZ_S64), 7);
}

/* All 65,536 half floats against their definition, and back. */
static void test_every_half_float_reads_and_writes_back(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_shape one = {1, {1}};
    sqz_tensor t;
    for (int bf = 0; bf < 2; bf++) {
        TEST_OK(ctx, sqz_tensor_alloc(ctx, bf ? SQZ_BF16 : SQZ_F16, &one, &t));
        for (uint32_t h = 0; h < 65536; h++) {
            *(uint16_t *)t.data = (uint16_t)h;
            double v = sqz_tensor_f64(&t, 0);
            int eb = bf ? 8 : 5, mb = bf ? 7 : 10;
            int e = (int)(h >> mb & ((1u << eb) - 1)), bias = (1 << (eb - 1)) - 1;
            double m = (double)(h & ((1u << mb) - 1)) / (1 << mb);
            if (e == (1 << eb) - 1) {
                assert_true(m == 0 ? isinf(v) : isnan(v));
            } else {
                double want = e ? (1 + m) * pow(2, e - bias) : m * pow(2, 1 - bias);
                assert_true(v == (h & 0x8000 ? -want : want));
            }
            sqz_tensor_set_f64(&t, 0, v);
            if (isnan(v))
                assert_true(isnan(sqz_tensor_f64(&t, 0)));
            else
                assert_int_equal(*(uint16_t *)t.data, h);
        }
        sqz_tensor_free(ctx, &t);
    }
    sqz_ctx_free(ctx);
}

static void test_writing_rounds_half_to_even_and_saturates(void **state)
{
    (void)state;
    static const struct {
        sqz_dtype d;
        double v, want;
    } row[] = {{SQZ_S8, 2.5, 2},
               {SQZ_S8, 3.5, 4},
               {SQZ_S8, -200, -128},
               {SQZ_S8, 1e300, 127},
               {SQZ_U8, -1, 0},
               {SQZ_U8, 256, 255},
               {SQZ_S4, -9, -8},
               {SQZ_S4, 7.5, 7},
               {SQZ_U4, 16, 15},
               {SQZ_S16, 40000, 32767},
               {SQZ_S32, -3e9, -2147483648.0},
               {SQZ_U32, 5e9, 4294967295.0},
               {SQZ_S64, 1e30, 0x1p63},
               {SQZ_U64, 1.5e19, 1.5e19},
               {SQZ_BOOL, 0.25, 1},
               {SQZ_F16, 65519.9, 65504},
               {SQZ_F16, 65520, INFINITY},
               {SQZ_F16, 2049, 2048},
               {SQZ_F16, 2051, 2052},
               {SQZ_F16, 0x1p-25, 0},
               {SQZ_F16, 0x1.8p-24, 0x1p-23},
               {SQZ_BF16, 257, 256},
               {SQZ_BF16, 259, 260},
               {SQZ_BF16, 3.4e38, INFINITY}};
    sqz_ctx *ctx = test_ctx();
    sqz_shape two = {1, {2}};
    for (size_t i = 0; i < SQZ_COUNT(row); i++) {
        sqz_tensor t;
        TEST_OK(ctx, sqz_tensor_alloc(ctx, row[i].d, &two, &t));
        sqz_tensor_set_f64(&t, 1, row[i].v);
        double got = sqz_tensor_f64(&t, 1);
        if (got != row[i].want || sqz_tensor_f64(&t, 0) != 0)
            fail_msg("%s: %.17g became %.17g", sqz_dtype_name(row[i].d), row[i].v, got);
        sqz_tensor_free(ctx, &t);
    }
    sqz_ctx_free(ctx);
}

static void test_integer_casts_are_exact(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_shape s = {1, {3}};
    sqz_tensor a, b, c;
    TEST_OK(ctx, sqz_tensor_alloc(ctx, SQZ_S64, &s, &a));
    SQZ_S64P(&a)[0] = INT64_MAX - 1; /* not a double */
    SQZ_S64P(&a)[1] = INT64_MIN + 1;
    SQZ_S64P(&a)[2] = -7;
    TEST_OK(ctx, sqz_tensor_cast(ctx, &a, SQZ_U64, &b));
    assert_true(((uint64_t *)b.data)[0] == (uint64_t)INT64_MAX - 1);
    assert_true(((uint64_t *)b.data)[2] == 0);
    TEST_OK(ctx, sqz_tensor_cast(ctx, &a, SQZ_S4, &c));
    assert_int_equal(sqz_tensor_i64(&c, 0), 7);
    assert_int_equal(sqz_tensor_i64(&c, 1), -8);
    assert_int_equal(sqz_tensor_i64(&c, 2), -7);
    sqz_tensor_free(ctx, &a);
    sqz_tensor_free(ctx, &b);
    sqz_tensor_free(ctx, &c);
    sqz_ctx_free(ctx);
}

/* out[i0..] = in[i_perm..] for random shapes; index arithmetic redone here by divisions. */
static void test_permute_moves_every_element(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {.seed = 7};
    static const sqz_dtype type[] = {SQZ_F32, SQZ_S8, SQZ_S16, SQZ_S64, SQZ_S4};
    for (int round = 0; round < 200; round++) {
        int rank = (int)sqz_rng_below(&r, 6), perm[SQZ_MAX_RANK];
        sqz_shape s = {.rank = rank};
        for (int i = 0; i < rank; i++) {
            s.dim[i] = 1 + (int64_t)sqz_rng_below(&r, 4);
            perm[i] = i;
        }
        for (int i = rank - 1; i > 0; i--) {
            int j = (int)sqz_rng_below(&r, (uint64_t)i + 1), t = perm[i];
            perm[i] = perm[j];
            perm[j] = t;
        }
        sqz_tensor a, b;
        TEST_OK(ctx, sqz_tensor_alloc(ctx, type[round % 5], &s, &a));
        for (size_t i = 0; i < a.count; i++)
            sqz_tensor_set_i64(&a, i, (int64_t)sqz_rng_below(&r, 15) - 8);
        TEST_OK(ctx, sqz_tensor_permute(ctx, &a, perm, &b));
        for (size_t i = 0; i < b.count; i++) {
            int64_t at[SQZ_MAX_RANK];
            size_t rest = i, j = 0;
            for (int k = rank - 1; k >= 0; k--) {
                at[perm[k]] = (int64_t)(rest % (size_t)b.shape.dim[k]);
                rest /= (size_t)b.shape.dim[k];
            }
            for (int k = 0; k < rank; k++)
                j = j * (size_t)s.dim[k] + (size_t)at[k];
            assert_int_equal(sqz_tensor_i64(&b, i), sqz_tensor_i64(&a, j));
        }
        sqz_tensor_free(ctx, &a);
        sqz_tensor_free(ctx, &b);
    }
    sqz_shape s = {2, {2, 2}};
    sqz_tensor a, b;
    TEST_OK(ctx, sqz_tensor_alloc(ctx, SQZ_F32, &s, &a));
    TEST_FAILS(ctx, sqz_tensor_permute(ctx, &a, (int[]){0, 0}, &b), SQZ_E_ARG, "permutation");
    sqz_tensor_free(ctx, &a);
    sqz_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_are_checked_products),
        cmocka_unit_test(test_broadcast_follows_numpy),
        cmocka_unit_test(test_type_table_agrees_with_onnx),
        cmocka_unit_test(test_every_half_float_reads_and_writes_back),
        cmocka_unit_test(test_writing_rounds_half_to_even_and_saturates),
        cmocka_unit_test(test_integer_casts_are_exact),
        cmocka_unit_test(test_permute_moves_every_element),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
