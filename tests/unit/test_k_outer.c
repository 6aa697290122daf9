/* outer_f32 and dwouter_f32 of every instruction set on random shapes and strides. The contract
 * names the operations of each sum and their order, so the bytes are those of a chain of fmaf. All
 * operands are heap blocks of exactly the size that the contract names. */
#include "kernel_test.h"
#include <math.h>

enum { SEED = 20261124, ROUNDS = 300 };

static size_t upto(sqz_rng *r, size_t most) { return 1 + (size_t)sqz_rng_below(r, most); }

static float *numbers(sqz_rng *r, size_t n)
{
    float *p = block(n * sizeof *p);
    for (size_t i = 0; i < n; i++)
        p[i] = (float)sqz_rng_normal(r);
    return p;
}

static size_t reach(const sqz_outer *o, size_t plane, size_t line, size_t step, size_t n)
{
    return (o->planes - 1) * plane + (o->height - 1) * line + (o->width - 1) * step + n;
}

static sqz_outer make(sqz_rng *r)
{
    sqz_outer o = {.m = upto(r, 60),
                   .n = upto(r, 150),
                   .planes = upto(r, 3),
                   .height = upto(r, 4),
                   .width = upto(r, 9),
                   .fresh = (int)sqz_rng_below(r, 2)};
    o.step_a = sqz_rng_below(r, 2 * o.m);
    o.step_b = sqz_rng_below(r, 2 * o.n);
    o.line_a = o.width * o.step_a + sqz_rng_below(r, 9);
    o.line_b = o.width * o.step_b + sqz_rng_below(r, 9);
    o.plane_a = o.height * o.line_a + sqz_rng_below(r, 9);
    o.plane_b = o.height * o.line_b + sqz_rng_below(r, 9);
    o.ld = o.n + sqz_rng_below(r, 5);
    o.a = numbers(r, reach(&o, o.plane_a, o.line_a, o.step_a, o.m));
    o.b = numbers(r, reach(&o, o.plane_b, o.line_b, o.step_b, o.n));
    return o;
}

static void define(const sqz_outer *o, float *sum)
{
    for (size_t i = 0; i < o->m; i++)
        for (size_t j = 0; j < o->n; j++) {
            float *s = &sum[i * o->ld + j];
            *s = o->fresh ? 0 : *s;
            for (size_t z = 0; z < o->planes; z++)
                for (size_t y = 0; y < o->height; y++)
                    for (size_t x = 0; x < o->width; x++)
                        *s = fmaf(o->a[z * o->plane_a + y * o->line_a + x * o->step_a + i],
                                  o->b[z * o->plane_b + y * o->line_b + x * o->step_b + j], *s);
        }
}

static void test_each_sum_is_one_chain_in_any_tile_of_every_instruction_set(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 0};
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    for (int round = 0; round < ROUNDS; round++) {
        sqz_outer o = make(&r);
        const size_t count = (o.m - 1) * o.ld + o.n;
        float *start = numbers(&r, count), *want = block(count * sizeof *want);
        memcpy(want, start, count * sizeof *want);
        define(&o, want);
        for (size_t s = 0; s < n_set; s++) {
            o.sum = block(count * sizeof *o.sum);
            memcpy(o.sum, start, count * sizeof *o.sum);
            set[s].outer_f32(&o);
            if (memcmp(o.sum, want, count * sizeof *want) != 0)
                fail_msg("round %d, %s: %zu x %zu over %zu x %zu x %zu rows differ", round,
                         sqz_isa_name(set[s].isa), o.m, o.n, o.planes, o.height, o.width);
            free(o.sum);
        }
        free(start);
        free(want);
        free((void *)(uintptr_t)o.a);
        free((void *)(uintptr_t)o.b);
    }
}

/* Pixels lie anywhere: each address is drawn. */
static void test_depthwise_sums_are_chains_on_every_instruction_set(void **state)
{
    (void)state;
    enum { TAPS = 7, LINES = 4, WIDTH = 9, MOST = 70, POOL = 20 };
    sqz_rng r = {SEED, 1};
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    for (int round = 0; round < ROUNDS; round++) {
        const bool three = round % 3 == 0;
        const size_t n = upto(&r, MOST), seg = three ? 3 : upto(&r, 3);
        const size_t len = three ? 3 : upto(&r, TAPS);
        sqz_windows x = {.lines = upto(&r, LINES),
                         .width = upto(&r, WIDTH),
                         .line_step = upto(&r, 2),
                         .step = upto(&r, 2)};
        const size_t tall = (x.lines - 1) * x.line_step + seg, wide = (x.width - 1) * x.step + len;
        float *pool = numbers(&r, POOL * n), *g = numbers(&r, x.lines * x.width * n);
        const void **pixel = block(tall * wide * sizeof *pixel);
        const void *const **line = block(tall * sizeof *line);
        for (size_t i = 0; i < tall * wide; i++)
            pixel[i] = pool + n * sqz_rng_below(&r, POOL);
        for (size_t i = 0; i < tall; i++)
            line[i] = pixel + i * wide;
        x.x = line;
        float *start = numbers(&r, seg * len * n), *want = block(seg * len * n * sizeof *want);
        memcpy(want, start, seg * len * n * sizeof *want);
        for (size_t i = 0; i < x.lines * x.width; i++)
            for (size_t t = 0; t < seg * len; t++)
                for (size_t c = 0; c < n; c++) {
                    const size_t row = i / x.width * x.line_step + t / len;
                    const float *p = line[row][i % x.width * x.step + t % len];
                    want[t * n + c] = fmaf(g[i * n + c], p[c], want[t * n + c]);
                }
        for (size_t s = 0; s < n_set; s++) {
            float *sum = block(seg * len * n * sizeof *sum);
            memcpy(sum, start, seg * len * n * sizeof *sum);
            set[s].dwouter_f32(&x, seg, len, n, g, sum);
            assert_memory_equal(sum, want, seg * len * n * sizeof *sum);
            free(sum);
        }
        free(pool);
        free(g);
        free((void *)pixel);
        free((void *)line);
        free(start);
        free(want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_sum_is_one_chain_in_any_tile_of_every_instruction_set),
        cmocka_unit_test(test_depthwise_sums_are_chains_on_every_instruction_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
