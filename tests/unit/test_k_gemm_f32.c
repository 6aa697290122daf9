/* gemm_f32 of every instruction set on random shapes, strides, segments and widths. The contract
 * names the operations of each sum and their order, so the bytes are those of a chain of fmaf,
 * whatever tile a row or an output falls into. All operands are heap blocks of exactly the size
 * that the contract names, so that the address sanitizer sees a read or write past the end. */
#include "kernel_test.h"

enum { SEED = 20241105, ROUNDS = 600 };

static float *numbers(sqz_rng *r, size_t n)
{
    float *p = block(n * sizeof *p);
    for (size_t i = 0; i < n; i++)
        p[i] = (float)sqz_rng_normal(r);
    return p;
}

typedef struct product { /* a random one, with all its operands */
    sqz_packed w;
    sqz_left l;
    sqz_out_f32 o;
    size_t seg[5], begin, end, k;
    float *a, *b, *bias; /* weights as (N,K) */
    float *add, *more;
    size_t y_count;
} product;

static size_t upto(sqz_rng *r, size_t most) { return 1 + (size_t)sqz_rng_below(r, most); }

static void left(sqz_rng *r, product *p)
{
    sqz_left *l = &p->l;
    l->m = upto(r, 40);
    l->width = sqz_rng_below(r, 3) ? upto(r, l->m) : l->m;
    l->len = sqz_rng_below(r, 20);
    l->n_seg = upto(r, 5);
    l->step = sizeof(float) * sqz_rng_below(r, 2 * l->len + 1);
    l->line = l->width * l->step + sizeof(float) * sqz_rng_below(r, 9);
    size_t bytes = 0;
    for (size_t s = 0; s < l->n_seg; s++)
        p->seg[s] = sizeof(float) * sqz_rng_below(r, 100);
    for (size_t i = 0; i < l->m; i++)
        for (size_t s = 0; s < l->n_seg; s++)
            bytes = SQZ_MAX(bytes, i / l->width * l->line + i % l->width * l->step + p->seg[s] +
                                       l->len * sizeof(float));
    l->seg = p->seg;
    l->a = p->a = numbers(r, bytes / sizeof(float));
    p->k = l->n_seg * l->len;
}

static void right(sqz_rng *r, product *p)
{
    const size_t n = upto(r, 100), bytes = sqz_pack_f32_bytes(n, p->l.n_seg, p->l.len);
    const bool columns = sqz_rng_below(r, 2); /* stored as (K,N) */
    p->w = (sqz_packed){n, p->l.n_seg, p->l.len, aligned_alloc(64, bytes)};
    p->b = numbers(r, n * p->k);
    p->bias = sqz_rng_below(r, 4) ? numbers(r, n) : NULL;
    float *stored = block(n * p->k * sizeof *stored);
    for (size_t j = 0; j < n; j++)
        for (size_t t = 0; t < p->k; t++)
            stored[columns ? t * n + j : j * p->k + t] = p->b[j * p->k + t];
    assert_non_null(p->w.data);
    sqz_pack_f32(&p->w, stored, columns ? 1 : p->k, columns ? n : 1, p->bias);
    free(stored);
    p->begin = sqz_rng_below(r, (n + SQZ_PANEL - 1) / SQZ_PANEL) * SQZ_PANEL;
    p->end = p->begin + SQZ_PANEL * upto(r, 7);
    p->end = p->end < n ? p->end : n;
}

static product make(sqz_rng *r)
{
    product p = {.o = {.lo = -INFINITY, .hi = INFINITY}};
    left(r, &p);
    right(r, &p);
    p.o.ld = p.w.n + sqz_rng_below(r, 3);
    p.o.ld_add = p.w.n + sqz_rng_below(r, 3);
    p.y_count = (p.l.m - 1) * p.o.ld + p.end;
    if (sqz_rng_below(r, 2))
        p.o.add = p.add = numbers(r, (p.l.m - 1) * p.o.ld_add + p.end);
    if (sqz_rng_below(r, 2))
        p.o.bias = p.more = numbers(r, p.end);
    if (sqz_rng_below(r, 2))
        p.o.lo = (float)sqz_rng_normal(r) - 1;
    if (sqz_rng_below(r, 2))
        p.o.hi = p.o.lo > -10 ? p.o.lo + 1 : 1;
    return p;
}

static void drop(product *p)
{
    free(p->w.data);
    free(p->a);
    free(p->b);
    free(p->bias);
    free(p->add);
    free(p->more);
}

static float expected(const product *p, size_t i, size_t j)
{
    float v = p->bias ? p->bias[j] : 0;
    for (size_t t = 0; t < p->k; t++) {
        size_t at = i / p->l.width * p->l.line + i % p->l.width * p->l.step + p->seg[t / p->l.len] +
                    t % p->l.len * sizeof(float);
        v = fmaf(p->a[at / sizeof(float)], p->b[j * p->k + t], v);
    }
    if (p->more)
        v += p->more[j];
    if (p->add)
        v += p->add[i * p->o.ld_add + j];
    v = v < p->o.lo ? p->o.lo : v;
    return v > p->o.hi ? p->o.hi : v;
}

static bool same(float a, float b) { return memcmp(&a, &b, sizeof a) == 0; }

static void test_each_sum_is_one_chain_in_any_tile_of_every_instruction_set(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 0};
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    const float gap = 12345;
    for (int round = 0; round < ROUNDS; round++) {
        product p = make(&r);
        p.l.seg = p.seg; /* p has moved */
        for (size_t s = 0; s < n_set; s++) {
            p.o.y = block(p.y_count * sizeof(float));
            for (size_t i = 0; i < p.y_count; i++)
                p.o.y[i] = gap;
            set[s].gemm_f32(&p.w, p.begin, p.end, &p.l, &p.o);
            for (size_t at = 0; at < p.y_count; at++) {
                const size_t i = at / p.o.ld, j = at % p.o.ld;
                const bool written = j >= p.begin && j < p.end;
                const float want = written ? expected(&p, i, j) : gap;
                if (!same(p.o.y[at], want))
                    fail_msg("%s, round %d: m %zu n %zu..%zu k %zu x %zu at (%zu,%zu): %a, "
                             "expected %a",
                             sqz_isa_name(set[s].isa), round, p.l.m, p.begin, p.end, p.l.n_seg,
                             p.l.len, i, j, (double)p.o.y[at], (double)want);
            }
            free(p.o.y);
        }
        drop(&p);
    }
}

static void test_a_nan_stays_one_under_the_clamp(void **state)
{
    (void)state;
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set), zero = 0;
    const float a = NAN, w[24] = {1};
    float y[24];
    sqz_packed p = {24, 1, 1, aligned_alloc(64, sqz_pack_f32_bytes(24, 1, 1))};
    assert_non_null(p.data);
    sqz_pack_f32(&p, w, 1, 1, NULL);
    for (size_t s = 0; s < n_set; s++) {
        const sqz_left l = {
            .a = &a, .m = 1, .width = 1, .step = 4, .line = 4, .seg = &zero, .n_seg = 1, .len = 1};
        set[s].gemm_f32(&p, 0, 24, &l, &(sqz_out_f32){.y = y, .ld = 24, .lo = 0, .hi = 6});
        for (size_t j = 0; j < 24; j++)
            assert_true(isnan(y[j]));
    }
    free(p.data);
}

static void test_the_clamp_keeps_a_negative_zero(void **state)
{
    (void)state;
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    const float bias[24] = {-0.0f, -0.0f};
    float y[24];
    sqz_packed p = {24, 1, 0, aligned_alloc(64, sqz_pack_f32_bytes(24, 1, 0))};
    assert_non_null(p.data);
    sqz_pack_f32(&p, bias, 0, 0, bias);
    for (size_t s = 0; s < n_set; s++) {
        const size_t zero = 0;
        const sqz_left l = {.a = bias, .m = 1, .width = 1, .seg = &zero, .n_seg = 1, .len = 0};
        set[s].gemm_f32(&p, 0, 24, &l, &(sqz_out_f32){.y = y, .ld = 24, .lo = 0, .hi = 6});
        assert_true(same(y[0], -0.0f) && same(y[1], -0.0f) && same(y[2], 0.0f));
    }
    free(p.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_sum_is_one_chain_in_any_tile_of_every_instruction_set),
        cmocka_unit_test(test_a_nan_stays_one_under_the_clamp),
        cmocka_unit_test(test_the_clamp_keeps_a_negative_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
