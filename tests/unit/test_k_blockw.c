/* Products with weights that stay codes, for every instruction set, against sums in double over the
 * numbers that were packed. Operands are heap blocks of exactly the size that the contract names.
 */
#include "kernel_test.h"
#include <math.h>

enum { SEED = 20261123, ROUNDS = 250 };

typedef struct weights { /* in the plainest form */
    size_t n, k, block, n_block;
    int32_t *code, *zero;
    float *scale;
} weights;

static void *block_of(size_t bytes) /* exact; never NULL */
{
    void *p = malloc(bytes ? bytes : 1);
    if (!p)
        abort();
    return p;
}

static int32_t code_of(const void *arg, size_t i, size_t t)
{
    const weights *w = arg;
    return w->code[i * w->k + t];
}
static float scale_of(const void *arg, size_t i, size_t b)
{
    const weights *w = arg;
    return w->scale[i * w->n_block + b];
}
static int32_t zero_of(const void *arg, size_t i, size_t b)
{
    const weights *w = arg;
    return w->zero[i * w->n_block + b];
}

/* Random weights, the same packed; every other round a corner: all codes at the end of their range.
 */
static weights random_weights(sqz_rng *r, sqz_blockw *p)
{
    *p = (sqz_blockw){.n = 1 + sqz_rng_below(r, 150),
                      .k = 1 + sqz_rng_below(r, 300),
                      .block = 8 * (1 + sqz_rng_below(r, 17)),
                      .bits = sqz_rng_below(r, 2) ? 4 : 8,
                      .zeros = (int)sqz_rng_below(r, 2)};
    const uint64_t codes = p->bits == 4 ? 16 : 256;
    const size_t bytes = sqz_blockw_bytes(p);
    const bool corner = sqz_rng_below(r, 8) == 0;
    p->zero = corner ? 0 : (int32_t)sqz_rng_below(r, codes);
    weights w = {p->n, p->k, p->block, p->n_block, NULL, NULL, NULL};
    w.code = block_of(w.n * w.k * sizeof *w.code);
    w.zero = block_of(w.n * w.n_block * sizeof *w.zero);
    w.scale = block_of(w.n * w.n_block * sizeof *w.scale);
    for (size_t i = 0; i < w.n * w.k; i++)
        w.code[i] = corner ? (int32_t)codes - 1 : (int32_t)sqz_rng_below(r, codes);
    for (size_t i = 0; i < w.n * w.n_block; i++) {
        w.zero[i] = p->zeros ? (int32_t)sqz_rng_below(r, codes) : p->zero;
        w.scale[i] = (float)sqz_rng_normal(r);
    }
    p->data = aligned_alloc(64, bytes);
    if (!p->data)
        abort();
    const sqz_blockw_source s = {&w, code_of, scale_of, zero_of};
    sqz_blockw_pack(p, &s, 0, p->n);
    return w;
}

static void free_weights(weights *w, sqz_blockw *p)
{
    free(w->code);
    free(w->zero);
    free(w->scale);
    free(p->data);
}

/* The exact sum of row x and output j, and the sum of the magnitudes of its products. */
static double exact(const weights *w, const float *x, size_t j, double *size)
{
    double y = 0;
    *size = 0;
    for (size_t t = 0; t < w->k; t++) {
        const size_t b = j * w->n_block + t / w->block;
        const double v = (double)w->scale[b] * (w->code[j * w->k + t] - w->zero[b]) * (double)x[t];
        y += v;
        *size += fabs(v);
    }
    return y;
}

static void test_rows_of_floats_give_the_sum_for_every_instruction_set(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 0};
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    for (int round = 0; round < ROUNDS; round++) {
        sqz_blockw p;
        weights w = random_weights(&r, &p);
        const size_t m = 1 + sqz_rng_below(&r, 17), ldx = w.k + sqz_rng_below(&r, 3);
        const size_t ldy = w.n + sqz_rng_below(&r, 3), y_count = (m - 1) * ldy + w.n;
        float *x = block_of(((m - 1) * ldx + w.k) * sizeof *x);
        for (size_t i = 0; i < (m - 1) * ldx + w.k; i++)
            x[i] = (float)sqz_rng_normal(&r);
        for (size_t s = 0; s < n_set; s++) {
            float *y = block_of(y_count * sizeof *y);
            for (size_t i = 0; i < y_count; i++)
                y[i] = -77.0f;
            set[s].blockw_f32(&p, 0, w.n, m, x, ldx, y, ldy);
            for (size_t i = 0; i < y_count; i++) {
                double size = 0, want = -77.0;
                if (i % ldy < w.n)
                    want = exact(&w, x + i / ldy * ldx, i % ldy, &size);
                /* each product goes through fewer than k + n_block + 3 roundings of 2^-24 */
                if (!(fabs((double)y[i] - want) <= size * (double)(w.k + w.n_block + 3) * 0x1p-24))
                    fail_msg("%s: m %zu n %zu k %zu block %zu bits %u zeros %d at %zu: %g, not %g",
                             sqz_isa_name(set[s].isa), m, w.n, w.k, w.block, p.bits, p.zeros, i,
                             (double)y[i], want);
            }
            free(y);
        }
        free(x);
        free_weights(&w, &p);
    }
}

typedef struct coded {
    sqz_block_rows rows;
    int8_t *q;
    float *scale;
    int32_t *less;
} coded;

static coded random_rows(sqz_rng *r, const weights *w, size_t m)
{
    coded c = {.q = block_of(m * w->n_block * w->block),
               .scale = block_of(m * w->n_block * sizeof(float)),
               .less = block_of(m * w->n_block * sizeof(int32_t))};
    const bool corner = sqz_rng_below(r, 8) == 0;
    for (size_t i = 0; i < m * w->n_block; i++) {
        c.scale[i] = (float)sqz_rng_uniform(r);
        c.less[i] = 0;
        for (size_t t = 0; t < w->block; t++) {
            const bool inside = i % w->n_block * w->block + t < w->k;
            int8_t v = corner ? 127 : (int8_t)((int)sqz_rng_below(r, 255) - 127);
            c.q[i * w->block + t] = inside ? v : 0;
            c.less[i] -= inside ? v : 0;
        }
    }
    c.rows = (sqz_block_rows){m, c.q, c.scale, c.less};
    return c;
}

/* What the contract says, in its order. */
static float by_blocks(const weights *w, const coded *x, size_t r, size_t j)
{
    float y = 0;
    for (size_t b = 0; b < w->n_block; b++) {
        const size_t i = r * w->n_block + b, at = j * w->n_block + b;
        int64_t sum = 0;
        for (size_t t = b * w->block; t < w->k && t < (b + 1) * w->block; t++)
            sum += (w->code[j * w->k + t] - w->zero[at]) * x->q[r * w->n_block * w->block + t];
        y = fmaf((float)sum, w->scale[at] * x->scale[i], y);
    }
    return y;
}

static void test_rows_of_codes_give_the_same_bits_for_every_instruction_set(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 1 << 24};
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    for (int round = 0; round < ROUNDS; round++) {
        sqz_blockw p;
        weights w = random_weights(&r, &p);
        const size_t m = 1 + sqz_rng_below(&r, 17), ldy = w.n + sqz_rng_below(&r, 3);
        const size_t y_count = (m - 1) * ldy + w.n;
        coded x = random_rows(&r, &w, m);
        for (size_t s = 0; s < n_set; s++) {
            float *y = block_of(y_count * sizeof *y);
            for (size_t i = 0; i < y_count; i++)
                y[i] = -77.0f;
            set[s].blockw_s8(&p, 0, w.n, &x.rows, y, ldy);
            for (size_t i = 0; i < y_count; i++) {
                const float want = i % ldy < w.n ? by_blocks(&w, &x, i / ldy, i % ldy) : -77.0f;
                if (memcmp(&y[i], &want, sizeof want) != 0)
                    fail_msg("%s: m %zu n %zu k %zu block %zu bits %u zeros %d at %zu: %g, not %g",
                             sqz_isa_name(set[s].isa), m, w.n, w.k, w.block, p.bits, p.zeros, i,
                             (double)y[i], (double)want);
            }
            free(y);
        }
        free(x.q);
        free(x.scale);
        free(x.less);
        free_weights(&w, &p);
    }
}

static void test_results_do_not_depend_on_how_rows_and_outputs_are_split(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 2 << 24};
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    for (int round = 0; round < 60; round++) {
        sqz_blockw p;
        weights w = random_weights(&r, &p);
        const size_t m = 1 + sqz_rng_below(&r, 17), cut = w.n / 2 / SQZ_PANEL * SQZ_PANEL;
        float *x = block_of(m * w.k * sizeof *x), *y = block_of(m * w.n * sizeof *y);
        float *parts = block_of(m * w.n * sizeof *y);
        for (size_t i = 0; i < m * w.k; i++)
            x[i] = (float)sqz_rng_normal(&r);
        for (size_t s = 0; s < n_set; s++) {
            set[s].blockw_f32(&p, 0, w.n, m, x, w.k, y, w.n);
            for (size_t i = 0; i < m; i++) {
                set[s].blockw_f32(&p, 0, cut, 1, x + i * w.k, w.k, parts + i * w.n, w.n);
                set[s].blockw_f32(&p, cut, w.n, 1, x + i * w.k, w.k, parts + i * w.n, w.n);
            }
            assert_memory_equal(y, parts, m * w.n * sizeof *y);
        }
        free(x);
        free(y);
        free(parts);
        free_weights(&w, &p);
    }
}

/* What the contract says; rintf rounds halves to even. */
static void codes_of_block(const float *x, size_t n, size_t block, int8_t *q, float *scale,
                           int32_t *less)
{
    float most = 0;
    bool nan = false;
    for (size_t i = 0; i < n; i++) {
        most = fmaxf(most, fabsf(x[i]));
        nan = nan || isnan(x[i]);
    }
    *scale = nan ? NAN : most / 127.0f;
    *less = 0;
    for (size_t i = 0; i < block; i++) {
        const bool some = i<n && * scale> 0 && *scale < INFINITY;
        q[i] = some ? (int8_t)fmaxf(-127.0f, fminf(127.0f, rintf(x[i] / *scale))) : 0;
        *less -= q[i];
    }
}

static void test_rows_become_the_same_codes_for_every_instruction_set(void **state)
{
    (void)state;
    static const float odd[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1e-45f, -3e-45f, 3e38f};
    sqz_rng r = {SEED, 3 << 24};
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    for (int round = 0; round < 1000; round++) {
        const size_t k = 1 + sqz_rng_below(&r, 200), block = 8 * (1 + sqz_rng_below(&r, 12));
        const size_t n_block = (k + block - 1) / block;
        const uint64_t kind = sqz_rng_below(&r, 3); /* normal, odd numbers, ties */
        float *x = block_of(k * sizeof *x), *scale = block_of(n_block * sizeof *scale);
        int8_t *q = block_of(n_block * block), want[96];
        int32_t *less = block_of(n_block * sizeof *less);
        for (size_t i = 0; i < k; i++) {
            x[i] = (float)sqz_rng_normal(&r);
            if (kind == 1 && sqz_rng_below(&r, 8) == 0)
                x[i] = odd[sqz_rng_below(&r, SQZ_COUNT(odd))];
            if (kind == 2)
                x[i] = i % block == 0 ? 127.0f : 0.5f * (float)((int)sqz_rng_below(&r, 508) - 254);
        }
        for (size_t s = 0; s < n_set; s++) {
            memset(q, 0x55, n_block * block);
            set[s].block_rows(k, block, x, q, scale, less);
            for (size_t b = 0; b < n_block; b++) {
                float one;
                int32_t sum;
                const size_t n = k - b * block < block ? k - b * block : block;
                codes_of_block(x + b * block, n, block, want, &one, &sum);
                assert_memory_equal(q + b * block, want, block);
                assert_int_equal(less[b], sum);
                assert_true(isnan(one) ? isnan(scale[b]) : memcmp(&one, &scale[b], 4) == 0);
            }
        }
        free(x);
        free(scale);
        free(q);
        free(less);
    }
}

static void test_sizes_that_do_not_fit_are_told(void **state)
{
    (void)state;
    sqz_blockw w = {.n = SIZE_MAX / 64, .k = 4096, .block = 32, .bits = 4};
    assert_int_equal(sqz_blockw_bytes(&w), 0);
    w = (sqz_blockw){.n = 1, .k = SIZE_MAX / 8, .block = 32, .bits = 8};
    assert_int_equal(sqz_blockw_bytes(&w), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_of_floats_give_the_sum_for_every_instruction_set),
        cmocka_unit_test(test_rows_of_codes_give_the_same_bits_for_every_instruction_set),
        cmocka_unit_test(test_results_do_not_depend_on_how_rows_and_outputs_are_split),
        cmocka_unit_test(test_rows_become_the_same_codes_for_every_instruction_set),
        cmocka_unit_test(test_sizes_that_do_not_fit_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
