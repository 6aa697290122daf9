/* test_ops_cast.c: casts between all pairs of types against a definition number by number; 16-bit
 * floats against the neighbors that they are rounded to. */
#include "import_case.h"
#include "ops/cast.h"

static const sqz_dtype all[] = {SQZ_F32, SQZ_F16, SQZ_BF16, SQZ_F64, SQZ_S8,
                                SQZ_U8,  SQZ_S16, SQZ_U16,  SQZ_S32, SQZ_U32,
                                SQZ_S64, SQZ_U64, SQZ_BOOL, SQZ_S4,  SQZ_U4};

static bool is_signed(sqz_dtype d)
{
    return d == SQZ_S8 || d == SQZ_S16 || d == SQZ_S32 || d == SQZ_S64 || d == SQZ_S4;
}

/* What an integer becomes in type d: its low bits. */
static __int128 low_bits(__int128 v, sqz_dtype d)
{
    const unsigned bits = sqz_dtype_bits(d);
    v &= ((__int128)1 << bits) - 1;
    return is_signed(d) && v >> (bits - 1) ? v - ((__int128)1 << bits) : v;
}

/* Element i of `y` is the cast of element i of `x`. */
static bool is_cast(const sqz_tensor *x, const sqz_tensor *y, size_t i)
{
    const bool real = sqz_dtype_is_float(x->dtype), u64 = y->dtype == SQZ_U64;
    const double v = sqz_tensor_f64(x, i);
    __int128 whole = real ? (isnan(v) ? 0 : (__int128)v) : (__int128)sqz_tensor_i64(x, i);
    if (x->dtype == SQZ_U64)
        whole = ((const uint64_t *)x->data)[i];
    if (y->dtype == SQZ_BOOL)
        return sqz_tensor_i64(y, i) == (real ? v != 0 : whole != 0);
    if (!sqz_dtype_is_float(y->dtype))
        return (u64 ? (__int128)((const uint64_t *)y->data)[i] : sqz_tensor_i64(y, i)) ==
               low_bits(whole, y->dtype);
    sqz_tensor one = *y; /* the writer of single numbers, from double: an own implementation */
    union {
        double d;
        float f;
    } to;
    one.data = &to;
    sqz_tensor_set_f64(&one, 0, real ? v : (double)whole);
    if (y->dtype == SQZ_F32 && !real)
        to.f = (float)whole;
    return memcmp(&to, (char *)y->data + i * (sqz_dtype_bits(y->dtype) / 8),
                  sqz_dtype_bits(y->dtype) / 8) == 0;
}

static void fill(sqz_tensor *x, sqz_rng *rng)
{
    static const double special[] = {0,    1,     -1,    0.5,   -0.5, 127, 128, -128, 255, 256,
                                     -129, 32768, 65504, 65535, 7,    8,   -8,  -9,   15,  16};
    for (size_t i = 0; i < x->count; i++) { /* infinities have no integer */
        if (sqz_rng_below(rng, 3) == 0)
            sqz_tensor_set_f64(x, i, special[sqz_rng_below(rng, SQZ_COUNT(special))]);
        else if (sqz_dtype_is_float(x->dtype))
            sqz_tensor_set_f64(x, i,
                               sqz_rng_normal(rng) * exp2((double)sqz_rng_below(rng, 30) - 8));
        else if (sqz_dtype_bits(x->dtype) == 64)
            ((uint64_t *)x->data)[i] = sqz_rng_u64(rng) >> sqz_rng_below(rng, 64);
        else
            sqz_tensor_set_i64(x, i, (int64_t)sqz_rng_u64(rng) >> sqz_rng_below(rng, 64));
        if (isinf(sqz_tensor_f64(x, i)))
            sqz_tensor_set_f64(x, i, 3);
    }
}

static void test_all_pairs_of_types(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 21};
    for (size_t k = 0; k < SQZ_COUNT(all) * SQZ_COUNT(all); k++) {
        const sqz_dtype from = all[k % SQZ_COUNT(all)], to = all[k / SQZ_COUNT(all)];
        char attrs[32];
        op_run r;
        op_begin(&r);
        sqz_tensor *x = op_in(&r, from,
                              SHAPE(3, 7, 33)); /* odd: 4-bit types have a half byte left */
        fill(x, &rng);
        (void)snprintf(attrs, sizeof attrs, "to=%d", (int)sqz_dtype_onnx(to));
        const sqz_tensor *y = op_run_ok(&r, "cast", attrs);
        assert_int_equal(y->dtype, to);
        for (size_t i = 0; i < y->count; i++)
            if (!is_cast(x, y, i))
                fail_msg("%s to %s: %.17g became %.17g", sqz_dtype_name(from), sqz_dtype_name(to),
                         sqz_tensor_f64(x, i), sqz_tensor_f64(y, i));
        op_end(&r);
    }
}

/* Every half is a float, and comes back bit by bit (NaN as some NaN). */
static void test_halves_survive_float(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        const char *half = k ? "to=16" : "to=10";
        op_run r, s;
        op_begin(&r);
        op_begin(&s);
        sqz_tensor *x = op_in(&r, k ? SQZ_BF16 : SQZ_F16, SHAPE(65536));
        for (unsigned i = 0; i < 65536; i++)
            ((uint16_t *)x->data)[i] = (uint16_t)i;
        const sqz_tensor *f = op_run_ok(&r, "cast", "to=1");
        memcpy(op_in(&s, SQZ_F32, SHAPE(65536))->data, f->data, f->bytes);
        const sqz_tensor *y = op_run_ok(&s, "cast", half);
        for (unsigned i = 0; i < 65536; i++) {
            assert_true(isnan(SQZ_F32P(f)[i]) ? isnan(sqz_tensor_f64(x, i))
                                              : (double)SQZ_F32P(f)[i] == sqz_tensor_f64(x, i));
            assert_true(isnan(SQZ_F32P(f)[i]) ? isnan(sqz_tensor_f64(y, i))
                                              : ((uint16_t *)y->data)[i] == i);
        }
        op_end(&r);
        op_end(&s);
    }
}

/* Floats of all magnitudes, among them ties, numbers that become subnormal, and the borders of
 * infinity: the half is that of the double, rounded once. */
static void test_floats_become_the_nearest_half(void **state)
{
    (void)state;
    sqz_rng rng = {.seed = 22};
    sqz_ctx *ctx = test_ctx();
    const sqz_shape s = {1, {1}};
    for (int k = 0; k < 200000; k++) {
        const sqz_dtype d = k % 2 ? SQZ_BF16 : SQZ_F16;
        uint32_t bits = (uint32_t)sqz_rng_u64(&rng);
        if (k % 3 == 0) /* halfway between two halves */
            bits = d == SQZ_F16 ? (bits & ~0x1fffu) | 0x1000u : (bits & ~0xffffu) | 0x8000u;
        float f;
        uint16_t got, want;
        sqz_tensor x, y, w;
        memcpy(&f, &bits, sizeof f);
        TEST_OK(ctx, sqz_tensor_view(ctx, SQZ_F32, &s, &f, &x));
        TEST_OK(ctx, sqz_tensor_view(ctx, d, &s, &got, &y));
        TEST_OK(ctx, sqz_tensor_view(ctx, d, &s, &want, &w));
        sqz_cast_range(&x, &y, 0, 1, false);
        sqz_tensor_set_f64(&w, 0, (double)f);
        if (isnan(f) ? !isnan(sqz_tensor_f64(&y, 0)) : got != want)
            fail_msg("%.9g is %04x, expected %04x", (double)f, got, want);
    }
    sqz_ctx_free(ctx);
}

static void test_reals_outside_of_4_bits_are_clamped_or_wrapped(void **state)
{
    static const float x[] = {-9, -8, 7.9f, 9, 17};
    static const int64_t clamped[] = {-8, -8, 7, 7, 7}, wrap[] = {7, -8, 7, -7, 1};
    (void)state;
    for (int k = 0; k < 2; k++) {
        op_run r;
        op_begin(&r);
        memcpy(op_in(&r, SQZ_F32, SHAPE(5))->data, x, sizeof x);
        const sqz_tensor *y = op_run_ok(&r, "cast", k ? "to=22" : "to=22 clamp=1");
        for (size_t i = 0; i < 5; i++)
            assert_int_equal(sqz_tensor_i64(y, i), k ? wrap[i] : clamped[i]);
        op_end(&r);
    }
}

static void test_types_are_named_as_each_opset_does(void **state)
{
    (void)state;
    fixture f;
    begin(&f);
    CONSTANT(&f, SQZ_F32, 1.5, -2.5);
    attr_s(&f, "to", "INT64"); /* until opset 5 */
    TEST_OK(f.ctx, import(&f, "Cast", 5));
    assert_int_equal(folded(&f)->dtype, SQZ_S64);
    ASSERT_NUMBERS(folded(&f), 1, -2);
    end(&f);
    begin(&f);
    CONSTANT(&f, SQZ_F32, 1.5, -2.5);
    CONSTANT(&f, SQZ_S8, 0);
    TEST_OK(f.ctx, import(&f, "CastLike", 15));
    assert_int_equal(folded(&f)->dtype, SQZ_S8);
    end(&f);
    begin(&f);
    input(&f, SHAPE(2));
    attr_i(&f, "to", 1);
    TEST_OK(f.ctx, import(&f, "Cast", 13));
    assert_text(&f, "identity");
    end(&f);
    begin(&f);
    input(&f, SHAPE(2));
    attr_i(&f, "to", 8);
    TEST_FAILS(f.ctx, import(&f, "Cast", 13), SQZ_E_UNSUPPORTED, "a cast to STRING");
    end(&f);
    begin(&f);
    input(&f, SHAPE(2));
    attr_i(&f, "to", 99);
    TEST_FAILS(f.ctx, import(&f, "Cast", 13), SQZ_E_FORMAT, "names no type");
    end(&f);
}

static void test_bits_are_kept(void **state)
{
    (void)state;
    op_run r;
    op_begin(&r);
    memcpy(op_in(&r, SQZ_F32, SHAPE(2))->data, (float[]){1, -2}, 8);
    const sqz_tensor *y = op_run_ok(&r, "bit_cast", "to=12");
    assert_int_equal(y->dtype, SQZ_U32);
    assert_int_equal(sqz_tensor_i64(y, 0), 0x3f800000);
    assert_int_equal(sqz_tensor_i64(y, 1), 0xc0000000);
    op_end(&r);
    op_refuses("bit_cast", "to=7", SHAPE(2), SQZ_F32, SQZ_E_FORMAT, "has not the width");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_pairs_of_types),
        cmocka_unit_test(test_halves_survive_float),
        cmocka_unit_test(test_floats_become_the_nearest_half),
        cmocka_unit_test(test_reals_outside_of_4_bits_are_clamped_or_wrapped),
        cmocka_unit_test(test_types_are_named_as_each_opset_does),
        cmocka_unit_test(test_bits_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
