/* Pool kernels: every instruction set against the definition, exact heap blocks, any number of
 * channels; NaN, infinities and zeros of both signs. */
#include "kernel_test.h"
#include "kernels/multiplier.h"

enum { SEED = 77, ROUNDS = 500 };

static sqz_taps random_taps(sqz_rng *r, size_t *in, size_t *out)
{
    sqz_taps w = {.m = 1 + sqz_rng_below(r, 5),
                  .n = 1 + sqz_rng_below(r, 150),
                  .ny = 1 + sqz_rng_below(r, 4),
                  .nx = 1 + sqz_rng_below(r, sqz_rng_below(r, 8) ? 4 : 150)};
    const size_t c = w.n + sqz_rng_below(r, 3); /* pixels may have more channels than are asked */
    w.next = c * (1 + sqz_rng_below(r, 2));
    w.step = c * (1 + sqz_rng_below(r, 3));
    w.ldy = c;
    w.line = (w.m - 1) * w.step + (w.nx - 1) * w.next + c + sqz_rng_below(r, 3);
    *in = (w.m - 1) * w.step + (w.ny - 1) * w.line + (w.nx - 1) * w.next + w.n;
    *out = (w.m - 1) * w.ldy + w.n;
    return w;
}

/* Does output element i of the block belong to a pixel's n channels? */
static bool written(const sqz_taps *w, size_t i) { return i % w->ldy < w->n; }

static float random_f32(sqz_rng *r)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f};
    return sqz_rng_below(r, 40) ? (float)sqz_rng_normal(r) : odd[sqz_rng_below(r, 5)];
}

static void test_float_maximum(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 0};
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    for (int round = 0; round < ROUNDS; round++) {
        size_t in, out;
        const sqz_taps w = random_taps(&r, &in, &out);
        float *x = block(in * 4), *y = block(out * 4);
        for (size_t i = 0; i < in; i++)
            x[i] = random_f32(&r);
        for (size_t s = 0; s < n_set; s++) {
            memset(y, 0x5a, out * 4);
            set[s].maxpool_f32(&w, x, y);
            for (size_t i = 0; i < out; i++) {
                float best = -INFINITY;
                uint32_t want = 0x5a5a5a5a, got, none;
                for (size_t t = 0; t < w.ny * w.nx; t++) {
                    const float v = x[i / w.ldy * w.step + t / w.nx * w.line + t % w.nx * w.next +
                                      i % w.ldy % w.n];
                    best = isnan(best) || isnan(v) ? NAN : v > best ? v : best;
                }
                if (written(&w, i))
                    memcpy(&want, &best, 4);
                memcpy(&got, &y[i], 4);
                none = isnan(best) ? 0x7fc00000 : want; /* one NaN everywhere */
                if (got != (written(&w, i) ? none : want))
                    fail_msg("%s: channel %zu of %zu: %a, expected %a", sqz_isa_name(set[s].isa),
                             i % w.ldy, w.n, (double)y[i], (double)best);
            }
        }
        free(x);
        free(y);
    }
}

static void test_int8_maximum(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 1 << 20};
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    for (int round = 0; round < ROUNDS; round++) {
        size_t in, out;
        const sqz_taps w = random_taps(&r, &in, &out);
        int8_t *x = block(in), *y = block(out);
        for (size_t i = 0; i < in; i++)
            x[i] = (int8_t)((int)sqz_rng_below(&r, 256) - 128);
        for (size_t s = 0; s < n_set; s++) {
            memset(y, 0x5a, out);
            set[s].maxpool_s8(&w, x, y);
            for (size_t i = 0; i < out; i++) {
                int best = -128;
                for (size_t t = 0; t < w.ny * w.nx && written(&w, i); t++) {
                    const int v =
                        x[i / w.ldy * w.step + t / w.nx * w.line + t % w.nx * w.next + i % w.ldy];
                    best = SQZ_MAX(best, v);
                }
                assert_int_equal(y[i], written(&w, i) ? best : 0x5a);
            }
        }
        free(x);
        free(y);
    }
}

static void test_float_average_has_the_same_bits_everywhere(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 2 << 20};
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    for (int round = 0; round < ROUNDS; round++) {
        size_t in, out;
        const sqz_taps w = random_taps(&r, &in, &out);
        const float count = (float)(w.ny * w.nx + sqz_rng_below(&r, 3));
        float *x = block(in * 4), *y = block(out * 4), *want = block(out * 4);
        for (size_t i = 0; i < in; i++)
            x[i] = (float)sqz_rng_normal(&r);
        memset(want, 0x5a, out * 4);
        sqz_avgpool_f32_scalar(&w, count, x, want);
        for (size_t i = 0; i < out; i++) {
            double sum = 0, size = 0;
            for (size_t t = 0; t < w.ny * w.nx && written(&w, i); t++) {
                const float v =
                    x[i / w.ldy * w.step + t / w.nx * w.line + t % w.nx * w.next + i % w.ldy];
                sum += (double)v;
                size += fabs((double)v);
            }
            if (written(&w, i)) /* runs of 64, at most 10 of them, and a division */
                assert_true(fabs((double)want[i] - sum / count) <= 76 * 6e-8 * size / count);
        }
        for (size_t s = 1; s < n_set; s++) {
            memset(y, 0x5a, out * 4);
            set[s].avgpool_f32(&w, count, x, y);
            assert_memory_equal(y, want, out * 4);
        }
        free(x);
        free(y);
        free(want);
    }
}

static void test_int8_average_is_the_runtimes(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 3 << 20};
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    for (int round = 0; round < 2 * ROUNDS; round++) {
        size_t in, out;
        const sqz_taps w = random_taps(&r, &in, &out);
        const int32_t zero = (int32_t)sqz_rng_below(&r, 256) - 128;
        sqz_average_s8 a = {.start = -zero * (int32_t)(w.ny * w.nx),
                            .zero = (int32_t)sqz_rng_below(&r, 256) - 128};
        /* half of them exact powers of two: ties */
        const double ratio = sqz_rng_below(&r, 2) ? 0.25 + sqz_rng_uniform(&r) : 0.5;
        sqz_multiplier(ratio / (double)(round % 4 ? w.ny * w.nx : 4), &a.mult, &a.shift);
        assert_true(sqz_factor_small(&a.f, a.mult, a.shift));
        int8_t *x = block(in), *y = block(out);
        const bool extreme = sqz_rng_below(&r, 5) == 0;
        for (size_t i = 0; i < in; i++)
            x[i] = extreme ? -128 : (int8_t)((int)sqz_rng_below(&r, 256) - 128);
        for (size_t s = 0; s < n_set; s++) {
            memset(y, 0x5a, out);
            set[s].avgpool_s8(&w, &a, x, y);
            for (size_t i = 0; i < out; i++) {
                int32_t sum = 0;
                for (size_t t = 0; t < w.ny * w.nx && written(&w, i); t++)
                    sum +=
                        x[i / w.ldy * w.step + t / w.nx * w.line + t % w.nx * w.next + i % w.ldy] -
                        zero;
                const int want = sqz_rt_small_to_s8(sum, a.mult, a.shift, a.zero, -128, 127);
                assert_int_equal(y[i], written(&w, i) ? want : 0x5a);
            }
        }
        free(x);
        free(y);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_float_maximum),
        cmocka_unit_test(test_int8_maximum),
        cmocka_unit_test(test_float_average_has_the_same_bits_everywhere),
        cmocka_unit_test(test_int8_average_is_the_runtimes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
