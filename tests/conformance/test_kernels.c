/* Every implementation of every kernel against the scalar one, on random shapes with tails. All
 * operands are heap blocks of exactly the size that the contract names, so that the address
 * sanitizer sees a read or write past the end. */
#include "ir/qround.h"
#include "kernel_test.h"

enum { SEED = 20240611, ROUNDS = 400 };

/* The kernels that the processor has, each instruction set once. */
/* An accumulator: small, anything, or a corner; acc + bias must fit. */
static int32_t random_acc(sqz_rng *r)
{
    static const int32_t corner[] = {INT32_MIN, INT32_MAX, 0, 1, -1, INT32_MIN + 1, 1 << 30};
    switch (sqz_rng_below(r, 3)) {
    case 0: return (int32_t)sqz_rng_below(r, 4096) - 2048;
    case 1: return (int32_t)((int64_t)sqz_rng_below(r, UINT64_C(1) << 32) - ((int64_t)1 << 31));
    default: return corner[sqz_rng_below(r, SQZ_COUNT(corner))];
    }
}

static void test_requant_s8_is_the_runtimes_for_every_instruction_set(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 2 << 20};
    sqz_kernels set[SQZ_N_ISA];
    size_t n_set = implementations(set);
    for (int round = 0; round < 4 * ROUNDS; round++) {
        size_t m = 1 + sqz_rng_below(&r, 4), n = 1 + sqz_rng_below(&r, 40);
        size_t ldy = n + sqz_rng_below(&r, 3), y_bytes = (m - 1) * ldy + n;
        int32_t *acc = block(m * n * 4), *bias = block(n * 4), *mult = block(n * 4),
                *shift = block(n * 4);
        int32_t lo = (int32_t)sqz_rng_below(&r, 256) - 128;
        int32_t hi = lo + (int32_t)sqz_rng_below(&r, (uint64_t)(128 - lo));
        int32_t zero = (int32_t)sqz_rng_below(&r, 256) - 128;
        bool left = sqz_rng_below(&r, 4) == 0;
        for (size_t c = 0; c < n; c++) {
            bias[c] = (int32_t)sqz_rng_below(&r, 2001) - 1000;
            mult[c] = sqz_rng_below(&r, 20)
                          ? (int32_t)((UINT64_C(1) << 30) + sqz_rng_below(&r, UINT64_C(1) << 30))
                          : 0;
            shift[c] = left ? (int32_t)sqz_rng_below(&r, 31) : -(int32_t)sqz_rng_below(&r, 32);
        }
        for (size_t i = 0; i < m * n; i++) {
            acc[i] = random_acc(&r);
            int64_t sum = (int64_t)acc[i] + bias[i % n];
            if (sum < INT32_MIN || sum > INT32_MAX)
                acc[i] = 0;
        }
        const sqz_requant p = {
            .n = n, .bias = bias, .mult = mult, .shift = shift, .zero = zero, .lo = lo, .hi = hi};
        int8_t *want = block(y_bytes);
        memset(want, 0x5a, y_bytes);
        set[0].requant_s8(&p, m, acc, want, ldy);
        for (size_t s = 1; s < n_set; s++) {
            int8_t *y = block(y_bytes);
            memset(y, 0x5a, y_bytes);
            set[s].requant_s8(&p, m, acc, y, ldy);
            assert_memory_equal(y, want, y_bytes);
            free(y);
        }
        free(want);
        free(acc);
        free(bias);
        free(mult);
        free(shift);
    }
}

static void test_minmax_f32_skips_nan_for_every_instruction_set(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 3 << 20};
    sqz_kernels set[SQZ_N_ISA];
    size_t n_set = implementations(set);
    for (int round = 0; round < ROUNDS; round++) {
        size_t n = 1 + sqz_rng_below(&r, 100);
        float *x = block(n * sizeof *x), lo = INFINITY, hi = -INFINITY;
        for (size_t i = 0; i < n; i++) {
            x[i] = sqz_rng_below(&r, 5) ? (float)sqz_rng_normal(&r) : NAN;
            if (!isnan(x[i])) {
                lo = fminf(lo, x[i]);
                hi = fmaxf(hi, x[i]);
            }
        }
        for (size_t s = 0; s < n_set; s++) {
            float a, b;
            set[s].minmax_f32(x, n, &a, &b);
            assert_true(a == lo && b == hi);
        }
        free(x);
    }
}

static void test_quantize_s8_is_qround_for_every_instruction_set(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 4 << 20};
    static const float corner[] = {NAN, INFINITY, -INFINITY, -0.0f, 3e38f, -3e38f, 1e-45f};
    sqz_kernels set[SQZ_N_ISA];
    size_t n_set = implementations(set);
    for (int round = 0; round < ROUNDS; round++) {
        size_t n = 1 + sqz_rng_below(&r, 70);
        int32_t zero = (int32_t)sqz_rng_below(&r, 511) - 256;
        float *x = block(n * sizeof *x);
        float scale = (float)ldexp(0.5 + sqz_rng_uniform(&r), (int)sqz_rng_below(&r, 30) - 20);
        if (sqz_rng_below(&r, 2))
            scale = ldexpf(1, (int)sqz_rng_below(&r, 9) - 6); /* halves come out exactly */
        for (size_t i = 0; i < n; i++)
            x[i] = sqz_rng_below(&r, 9) ? scale * (float)((int)sqz_rng_below(&r, 700) - 350) / 2
                                        : corner[sqz_rng_below(&r, SQZ_COUNT(corner))];
        for (size_t s = 0; s < n_set; s++) {
            int8_t *q = block(n);
            set[s].quantize_s8(n, x, scale, zero, q);
            for (size_t i = 0; i < n; i++)
                if (q[i] != sqz_qround(x[i], scale, zero, -128, 127))
                    fail_msg("%s: %a / %a, zero %d: %d", sqz_isa_name(set[s].isa), (double)x[i],
                             (double)scale, zero, q[i]);
            free(q);
        }
        free(x);
    }
}

static void test_packing_refuses_what_does_not_fit(void **state)
{
    (void)state;
    assert_int_equal(sqz_pack_s8_bytes(SIZE_MAX / 2, 1, 64), 0);
    assert_int_equal(sqz_pack_s8_bytes(64, 2, SIZE_MAX / 2), 0);
    assert_int_equal(sqz_pack_s8_bytes(17, 3, 5), 2 * 64 * 7);
}

static void test_a_cap_selects_no_wider_kernels(void **state)
{
    (void)state;
    sqz_kernels k;
    sqz_kernels_select(&k, SQZ_ISA_scalar);
    assert_true(k.gemm_s8 == sqz_gemm_s8_scalar && k.quantize_s8 == sqz_quantize_s8_scalar);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requant_s8_is_the_runtimes_for_every_instruction_set),
        cmocka_unit_test(test_minmax_f32_skips_nan_for_every_instruction_set),
        cmocka_unit_test(test_quantize_s8_is_qround_for_every_instruction_set),
        cmocka_unit_test(test_packing_refuses_what_does_not_fit),
        cmocka_unit_test(test_a_cap_selects_no_wider_kernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
