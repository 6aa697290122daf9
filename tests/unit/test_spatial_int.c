/* test_spatial_int.c: conv_transpose and resize_linear on int8: bit for bit what the firmware
 * runtime computes, and close to the real numbers. */
#include "../linear_case.h"
#include "kernels/multiplier.h"
#include "runtime/sqz_rt.h"

static int64_t pick(sqz_rng *r, int64_t lo, int64_t hi)
{
    return lo + (int64_t)sqz_rng_below(r, (uint64_t)(hi - lo + 1));
}

/* The runtime on the same codes: weights as (O, Kh, Kw, I/g). */
static void deconv(const op_case *c, sqz_rt_conv p, int8_t *y)
{
    const int32_t wide = p.out_c / p.groups, depth = p.in_c / p.groups, taps = p.k_h * p.k_w;
    const int8_t *from = SQZ_S8P(&c->in[1]);
    int8_t *w = malloc((size_t)(p.out_c * taps * depth));
    int32_t *mult = malloc(4 * (size_t)p.out_c), *shift = malloc(4 * (size_t)p.out_c);
    for (int32_t o = 0; o < p.out_c; o++) {
        const uint32_t k = c->in_q[1].n == 1 ? 0 : (uint32_t)(o % wide);
        for (int32_t t = 0; t < taps; t++)
            for (int32_t i = 0; i < depth; i++)
                w[(o * taps + t) * depth + i] =
                    from[((o / wide * depth + i) * taps + t) * wide + o % wide];
        sqz_multiplier((double)c->in_q[0].scale[0] * (double)c->in_q[1].scale[k] /
                           (double)c->out_q.scale[0],
                       &mult[o], &shift[o]);
    }
    p.mult = mult;
    p.shift = shift;
    sqz_rt_deconv_s8(&p, SQZ_S8P(&c->in[0]), w, c->n_in > 2 ? SQZ_S32P(&c->in[2]) : NULL, y);
    free(w);
    free(mult);
    free(shift);
}

static void test_conv_transpose_is_the_runtime_bit_for_bit(void **state)
{
    (void)state;
    sqz_rng r = {.seed = 61};
    for (int round = 0; round < 100; round++) {
        sqz_ctx *ctx = case_ctx(NULL, 1 + round % 2);
        const int32_t g = (int32_t)pick(&r, 1, 3), depth = (int32_t)pick(&r, 1, 5),
                      wide = (int32_t)pick(&r, 1, 9);
        sqz_rt_conv p = {.n = (int32_t)pick(&r, 1, 2), .groups = g};
        p.in_c = g * depth;
        p.out_c = g * wide;
        p.k_h = (int32_t)pick(&r, 1, 3);
        p.k_w = (int32_t)pick(&r, 1, 3);
        p.stride_h = (int32_t)pick(&r, 1, 3);
        p.stride_w = (int32_t)pick(&r, 1, 3);
        p.dil_h = (int32_t)pick(&r, 1, 2);
        p.dil_w = (int32_t)pick(&r, 1, 2);
        p.pad_top = (int32_t)pick(&r, 0, p.k_h - 1);
        p.pad_left = (int32_t)pick(&r, 0, p.k_w - 1);
        p.in_h = (int32_t)pick(&r, 2, 5);
        p.in_w = (int32_t)pick(&r, 2, 5);
        p.out_h = p.stride_h * (p.in_h - 1) + p.dil_h * (p.k_h - 1) + 1 - p.pad_top;
        p.out_w = p.stride_w * (p.in_w - 1) + p.dil_w * (p.k_w - 1) + 1 - p.pad_left;
        char attrs[120];
        op_case c;
        (void)snprintf(attrs, sizeof attrs, "group=%d strides=%d,%d dilations=%d,%d pads=%d,%d,0,0",
                       (int)g, (int)p.stride_h, (int)p.stride_w, (int)p.dil_h, (int)p.dil_w,
                       (int)p.pad_top, (int)p.pad_left);
        case_begin(&c, ctx, "conv_transpose", attrs);
        fill_int(&r, case_input(&c, SQZ_S8, (sqz_shape){4, {p.n, p.in_h, p.in_w, p.in_c}}), -128,
                 127);
        fill_int(&r, case_input(&c, SQZ_S8, (sqz_shape){4, {p.in_c, p.k_h, p.k_w, wide}}), -127,
                 127);
        if (round % 3)
            fill_int(&r, case_input(&c, SQZ_S32, (sqz_shape){1, {p.out_c}}), -90000, 90000);
        case_linear_grids(&c, &r, 3, (uint32_t)wide, (size_t)(depth * p.k_h * p.k_w));
        if (c.n_in > 2) { /* a scale for each output, while groups share those of the weights */
            const sqz_quant w = c.in_q[1];
            c.in_q[2] = case_grid(&c, SQZ_S32, 0, (uint32_t)p.out_c);
            for (int32_t o = 0; o < p.out_c; o++)
                scales(&c.in_q[2])[o] = c.in_q[0].scale[0] * w.scale[w.n == 1 ? 0 : o % wide];
        }
        p.in_zero = c.in_q[0].zero[0];
        p.out_zero = c.out_q.zero[0];
        p.act_min = -128;
        p.act_max = 127;
        TEST_OK(ctx, case_run(&c, SQZ_S8));
        assert_int_equal(c.out.count, p.n * p.out_h * p.out_w * p.out_c);
        int8_t *want = malloc(c.out.count);
        deconv(&c, p, want);
        if (memcmp(want, c.out.data, c.out.count) != 0)
            fail_msg("round %d: %s", round, attrs);
        free(want);
        case_end(&c);
        sqz_ctx_free(ctx);
    }
}

/* Against the float operator on the same real numbers: rounding of the result (1/2 step) and of
 * weights with 11 bits: 4 products, each off by at most 255 * 2^-11 steps of the input. */
static void test_integer_resizing_is_within_a_step(void **state)
{
    (void)state;
    sqz_rng r = {.seed = 62};
    static const char *const attrs[] = {
        "scales=1,2,2,1", "scales=1,1.7,0.6,1", "sizes=0,3,11,0",
        "scales=1,2,3,1 coordinate_transformation_mode=align_corners"};
    for (int round = 0; round < 40; round++) {
        sqz_ctx *ctx = test_ctx();
        op_case q, f;
        const sqz_shape s = {4, {2, pick(&r, 2, 9), pick(&r, 2, 9), pick(&r, 1, 5)}};
        case_begin(&q, ctx, "resize_linear", attrs[round % 4]);
        case_begin(&f, ctx, "resize_linear", attrs[round % 4]);
        fill_int(&r, case_input(&q, SQZ_S8, s), -128, 127);
        case_input(&f, SQZ_F32, s);
        q.in_q[0] = case_grid(&q, SQZ_S8, -1, 1);
        q.out_q = case_grid(&q, SQZ_S8, -1, 1);
        q.quant[0] = q.out_quant = true;
        scales(&q.in_q[0])[0] = 0.03f;
        scales(&q.out_q)[0] = round % 2 ? 0.03f : 0.041f;
        zeros(&q.in_q[0])[0] = (int32_t)pick(&r, -20, 20);
        zeros(&q.out_q)[0] = (int32_t)pick(&r, -20, 20);
        for (size_t i = 0; i < f.in[0].count; i++)
            SQZ_F32P(&f.in[0])
            [i] = (float)(SQZ_S8P(&q.in[0])[i] - zeros(&q.in_q[0])[0]) * scales(&q.in_q[0])[0];
        TEST_OK(ctx, case_run(&q, SQZ_S8));
        TEST_OK(ctx, case_run(&f, SQZ_F32));
        for (size_t i = 0; i < f.out.count; i++) {
            double want = (double)SQZ_F32P(&f.out)[i] / (double)scales(&q.out_q)[0] +
                          zeros(&q.out_q)[0];
            want = fmin(fmax(want, -128), 127);
            assert_true(fabs(SQZ_S8P(&q.out)[i] - want) <= 0.5 + 0.3);
        }
        case_end(&q);
        case_end(&f);
        sqz_ctx_free(ctx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv_transpose_is_the_runtime_bit_for_bit),
        cmocka_unit_test(test_integer_resizing_is_within_a_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
