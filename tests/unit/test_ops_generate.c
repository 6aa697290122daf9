/* test_ops_generate.c: constants that are made at import, elementwise operators as old opsets spell
 * them, and what is refused. */
#include "import_case.h"

static void attr_tensor_type(fixture *f, const char *name, sqz_dtype d)
{
    attr_i(f, name, sqz_dtype_onnx(d));
}

static void test_ranges_of_integers_and_reals(void **state)
{
    (void)state;
    static const struct {
        sqz_dtype dtype;
        double start, limit, delta, last;
        size_t n;
    } row[] = {{SQZ_S64, 3, 9, 3, 6, 2},       {SQZ_S32, 10, 4, -2, 6, 3},
               {SQZ_S16, 5, 5, 1, 0, 0},       {SQZ_S64, 5, 9, -1, 0, 0},
               {SQZ_F32, 0, 1, 0.25, 0.75, 4}, {SQZ_F64, 1, 0, -0.3, 0.1, 4},
               {SQZ_F16, 0, 3, 1, 2, 3},       {SQZ_S64, -1, 8, 4, 7, 3}};
    for (size_t k = 0; k < SQZ_COUNT(row); k++) {
        fixture f;
        begin(&f);
        constant(&f, row[k].dtype, (sqz_shape){0}, &row[k].start);
        constant(&f, row[k].dtype, (sqz_shape){0}, &row[k].limit);
        constant(&f, row[k].dtype, (sqz_shape){0}, &row[k].delta);
        TEST_OK(f.ctx, import(&f, "Range", 11));
        const sqz_tensor *t = folded(&f);
        assert_int_equal(t->dtype, row[k].dtype);
        assert_int_equal(t->count, row[k].n);
        for (size_t i = 0; i < t->count; i++)
            assert_true(fabs(sqz_tensor_f64(t, i) - (row[k].start + (double)i * row[k].delta)) <
                        1e-3);
        assert_true(!t->count || fabs(sqz_tensor_f64(t, t->count - 1) - row[k].last) < 1e-3);
        end(&f);
    }
}

static void refuses_range(sqz_dtype d, double start, double limit, double delta, sqz_status want,
                          const char *part)
{
    fixture f;
    begin(&f);
    CONSTANT(&f, d, start);
    CONSTANT(&f, d, limit);
    CONSTANT(&f, d, delta);
    TEST_FAILS(f.ctx, import(&f, "Range", 11), want, part);
    end(&f);
}

static void test_hostile_ranges_are_refused(void **state)
{
    (void)state;
    refuses_range(SQZ_S64, 0, 4, 0, SQZ_E_ARG, "steps of 0");
    refuses_range(SQZ_F32, 0, 4, 0, SQZ_E_ARG, "a range of inf");
    refuses_range(SQZ_F32, 0, NAN, 1, SQZ_E_ARG, "a range of nan");
    refuses_range(SQZ_S64, -0x1p62, 0x1p62, 1, SQZ_E_LIMIT, "");
    refuses_range(SQZ_F64, 0, 1e12, 1, SQZ_E_LIMIT, "at most");
    fixture f;
    begin(&f);
    input(&f, (sqz_shape){0});
    CONSTANT(&f, SQZ_F32, 3);
    CONSTANT(&f, SQZ_F32, 1);
    TEST_FAILS(f.ctx, import(&f, "Range", 11), SQZ_E_UNSUPPORTED, "must be a constant");
    end(&f);
}

static void test_ones_on_a_diagonal(void **state)
{
    (void)state;
    for (int k = -5; k <= 5; k++) {
        fixture f;
        begin(&f);
        input(&f, SHAPE(3, 4));
        attr_i(&f, "k", k);
        attr_tensor_type(&f, "dtype", SQZ_S16);
        TEST_OK(f.ctx, import(&f, "EyeLike", 9));
        const sqz_tensor *t = folded(&f);
        assert_int_equal(t->dtype, SQZ_S16);
        for (int i = 0; i < 12; i++)
            assert_int_equal(sqz_tensor_i64(t, (size_t)i), i % 4 - i / 4 == k);
        end(&f);
    }
}

static void test_size_is_the_product_of_the_dimensions(void **state)
{
    (void)state;
    fixture f;
    begin(&f);
    input(&f, SHAPE(3, 4, 5));
    TEST_OK(f.ctx, import(&f, "Size", 13));
    ASSERT_NUMBERS(folded(&f), 60);
    end(&f);
}

static void test_windows_are_sums_of_cosines(void **state)
{
    static const struct {
        const char *op;
        double a[3];
    } row[] = {{"HannWindow", {0.5, 0.5, 0}},
               {"HammingWindow", {25.0 / 46, 21.0 / 46, 0}},
               {"BlackmanWindow", {0.42, 0.5, 0.08}}};
    (void)state;
    for (size_t k = 0; k < 2 * SQZ_COUNT(row); k++) {
        fixture f;
        begin(&f);
        CONSTANT(&f, SQZ_S32, 10);
        attr_i(&f, "periodic", (int64_t)k % 2);
        attr_tensor_type(&f, "output_datatype", SQZ_F64);
        TEST_OK(f.ctx, import(&f, row[k / 2].op, 17));
        const double turn = 2 * acos(-1) / (k % 2 ? 10 : 9), *a = row[k / 2].a;
        for (size_t i = 0; i < 10; i++)
            assert_true(fabs(sqz_tensor_f64(folded(&f), i) - (a[0] - a[1] * cos(turn * (double)i) +
                                                              a[2] * cos(2 * turn * (double)i))) <
                        1e-12);
        end(&f);
    }
    fixture f;
    begin(&f);
    CONSTANT(&f, SQZ_S64, 1);
    attr_i(&f, "periodic", 0);
    TEST_OK(f.ctx, import(&f, "HannWindow", 17));
    assert_true(isfinite(sqz_tensor_f64(folded(&f), 0)));
    end(&f);
}

/* Each column rises from 0 to 1 and falls again; neighbors cross where one begins to fall. */
static void test_mel_columns_are_triangles(void **state)
{
    (void)state;
    fixture f;
    begin(&f);
    CONSTANT(&f, SQZ_S64, 8);
    CONSTANT(&f, SQZ_S64, 256);
    CONSTANT(&f, SQZ_S64, 8192);
    CONSTANT(&f, SQZ_F32, 0);
    CONSTANT(&f, SQZ_F32, 4096);
    TEST_OK(f.ctx, import(&f, "MelWeightMatrix", 17));
    const sqz_tensor *t = folded(&f);
    assert_shape(t, SHAPE(129, 8));
    for (size_t m = 0; m < 8; m++) {
        double top = 0;
        int turns = 0;
        for (size_t i = 0; i < 128; i++) {
            const double a = sqz_tensor_f64(t, 8 * i + m), b = sqz_tensor_f64(t, 8 * (i + 1) + m);
            top = fmax(top, fmax(a, b));
            turns += i && (b - a < 0) != (a - sqz_tensor_f64(t, 8 * (i - 1) + m) < 0);
        }
        assert_true(top == 1 && turns <= 2);
    }
    end(&f);
}

static void test_random_numbers_are_refused_with_a_reason(void **state)
{
    static const char *const op[] = {"RandomNormal",      "RandomUniform", "RandomNormalLike",
                                     "RandomUniformLike", "Bernoulli",     "Multinomial"};
    (void)state;
    for (size_t k = 0; k < SQZ_COUNT(op); k++) {
        fixture f;
        begin(&f);
        input(&f, SHAPE(2, 3));
        TEST_FAILS(f.ctx, import(&f, op[k], 15), SQZ_E_UNSUPPORTED, "draws random numbers");
        end(&f);
    }
}

/* ---- elementwise operators of old opsets ---- */

static void test_old_broadcasting_places_the_second_operand(void **state)
{
    (void)state;
    for (int axis = -1; axis < 3; axis++) { /* -1: none, at the end */
        fixture f;
        begin(&f);
        double a[24], b[24] = {0.5, 0.25, 2, 7};
        static const int64_t dim[] = {2, 3, 4}, inner[] = {12, 4, 1};
        for (int i = 0; i < 24; i++)
            a[i] = i;
        const int at = axis < 0 ? 2 : axis;
        constant(&f, SQZ_F32, SHAPE(2, 3, 4), a);
        constant(&f, SQZ_F32, SHAPE(dim[at]), b);
        attr_i(&f, "broadcast", 1);
        if (axis >= 0)
            attr_i(&f, "axis", axis);
        TEST_OK(f.ctx, import(&f, "Mul", 6));
        const sqz_tensor *t = folded(&f);
        assert_shape(t, SHAPE(2, 3, 4));
        for (int i = 0; i < 24; i++)
            assert_true(sqz_tensor_f64(t, (size_t)i) == a[i] * b[i / inner[at] % dim[at]]);
        end(&f);
    }
    fixture f;
    begin(&f);
    input(&f, SHAPE(2, 3, 4));
    CONSTANT(&f, SQZ_F32, 1, 2, 3);
    attr_i(&f, "broadcast", 1);
    attr_i(&f, "axis", 7);
    TEST_FAILS(f.ctx, import(&f, "Add", 6), SQZ_E_SHAPE, "axis 7");
    end(&f);
}

static void test_exponents_of_another_type(void **state)
{
    (void)state;
    fixture f;
    begin(&f);
    CONSTANT(&f, SQZ_F32, 2, 3);
    CONSTANT(&f, SQZ_S64, 3, 2);
    TEST_OK(f.ctx, import(&f, "Pow", 12));
    assert_int_equal(folded(&f)->dtype, SQZ_F32);
    ASSERT_NUMBERS(folded(&f), 8, 9);
    end(&f);
    begin(&f);
    CONSTANT(&f, SQZ_S32, 4, 10);
    CONSTANT(&f, SQZ_F32, 0.5, 1.5);
    TEST_OK(f.ctx, import(&f, "Pow", 12));
    assert_int_equal(folded(&f)->dtype, SQZ_S32);
    ASSERT_NUMBERS(folded(&f), 2, 31); /* truncated */
    end(&f);
}

static void test_bounds_of_clip_may_be_integers_or_computed(void **state)
{
    (void)state;
    fixture f;
    begin(&f);
    CONSTANT(&f, SQZ_S8, -100, -3, 5, 100);
    CONSTANT(&f, SQZ_S8, -4);
    CONSTANT(&f, SQZ_S8, 7);
    TEST_OK(f.ctx, import(&f, "Clip", 12));
    ASSERT_NUMBERS(folded(&f), -4, -3, 5, 7);
    end(&f);
    begin(&f);
    input(&f, SHAPE(2, 3));
    left_out(&f);
    input(&f, (sqz_shape){0});
    TEST_OK(f.ctx, import(&f, "Clip", 13));
    assert_text(&f, "= min(");
    end(&f);
    begin(&f);
    input(&f, SHAPE(2, 3));
    left_out(&f);
    constant(&f, SQZ_F32, (sqz_shape){0}, (double[]){6});
    TEST_OK(f.ctx, import(&f, "Clip", 13));
    assert_text(&f, "= clip(");
    assert_text(&f, "max=6");
    end(&f);
}

static void test_slopes_of_any_shape(void **state)
{
    (void)state;
    fixture f;
    begin(&f); /* until opset 6 a list belongs to the channels */
    constant(&f, SQZ_F32, SHAPE(1, 2, 2), (double[]){-1, -2, -3, 4});
    CONSTANT(&f, SQZ_F32, 10, 100);
    TEST_OK(f.ctx, import(&f, "PRelu", 6));
    assert_text(&f, "prelu(");
    end(&f);
    begin(&f); /* since opset 7 it belongs to the last axis, where the operator does not go */
    CONSTANT(&f, SQZ_S32, -1, 2);
    CONSTANT(&f, SQZ_S32, 10, 100);
    TEST_OK(f.ctx, import(&f, "PRelu", 9));
    ASSERT_NUMBERS(folded(&f), -10, 2);
    end(&f);
}

static void test_means_normalize(void **state)
{
    (void)state;
    fixture f;
    begin(&f);
    double x[12];
    for (int i = 0; i < 12; i++)
        x[i] = i * i;
    constant(&f, SQZ_F64, SHAPE(2, 3, 2), x);
    INTS(&f, "axes", 0, 2);
    TEST_OK(f.ctx, import(&f, "MeanVarianceNormalization", 13));
    const sqz_tensor *t = folded(&f);
    for (size_t c = 0; c < 3; c++) {
        double sum = 0, square = 0;
        for (size_t i = 0; i < 4; i++) {
            const double v = sqz_tensor_f64(t, i / 2 * 6 + c * 2 + i % 2);
            sum += v;
            square += v * v;
        }
        assert_true(fabs(sum) < 1e-9 && fabs(square / 4 - 1) < 1e-6);
    }
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges_of_integers_and_reals),
        cmocka_unit_test(test_hostile_ranges_are_refused),
        cmocka_unit_test(test_ones_on_a_diagonal),
        cmocka_unit_test(test_size_is_the_product_of_the_dimensions),
        cmocka_unit_test(test_windows_are_sums_of_cosines),
        cmocka_unit_test(test_mel_columns_are_triangles),
        cmocka_unit_test(test_random_numbers_are_refused_with_a_reason),
        cmocka_unit_test(test_old_broadcasting_places_the_second_operand),
        cmocka_unit_test(test_exponents_of_another_type),
        cmocka_unit_test(test_bounds_of_clip_may_be_integers_or_computed),
        cmocka_unit_test(test_slopes_of_any_shape),
        cmocka_unit_test(test_means_normalize),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
