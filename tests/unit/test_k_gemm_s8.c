/* gemm_s8 of every instruction set on random shapes, strides, segments and widths, against sums in
 * 64 bits that go through the runtime's requantization. All operands are heap blocks of exactly the
 * size that the contract names, so that the address sanitizer sees a read or write past the end. */
#include "kernel_test.h"
#include "runtime/sqz_rt.h"
#if defined(__x86_64__) && !defined(__clang__)
#    define YMM_FORM /* the form for processors with AVX-VNNI, under another encoding */
#    pragma GCC push_options
#    pragma GCC target("avx2,fma,avx512f,avx512vl,avx512vnni")
#    include "kernels/gemm_s8_ymm.h"
static void ymm_form(const sqz_packed *w, size_t begin, size_t end, const sqz_left *l,
                     const sqz_out_s8 *o)
{
    gemm_s8_ymm(w, begin, end, l, o);
}
#    pragma GCC pop_options
#endif

enum { SEED = 20261123, ROUNDS = 600, SLACK = 3 };

static size_t upto(sqz_rng *r, size_t most) { return 1 + (size_t)sqz_rng_below(r, most); }

static int8_t *codes(sqz_rng *r, size_t n)
{
    int8_t *p = block(n);
    bool extreme = sqz_rng_below(r, 4) == 0; /* saturation inside a kernel shows on the corners */
    for (size_t i = 0; i < n; i++)
        p[i] = extreme ? (int8_t)(sqz_rng_below(r, 2) ? 127 : -128)
                       : (int8_t)((int)sqz_rng_below(r, 256) - 128);
    return p;
}

typedef struct product { /* a random one, with all its operands */
    size_t n, k, begin, end;
    sqz_left l;
    sqz_requant rq;
    size_t seg[5], a_bytes, ld, y_bytes;
    int8_t *a, *b; /* weights as (N,K) */
    int32_t *bias, *mult, *shift;
} product;

static void left(sqz_rng *r, product *p)
{
    sqz_left *l = &p->l;
    l->m = upto(r, 40);
    l->width = sqz_rng_below(r, 3) ? upto(r, l->m) : l->m;
    l->len = sqz_rng_below(r, 40);
    l->n_seg = upto(r, 5);
    l->step = sqz_rng_below(r, 2 * l->len + 1);
    l->line = l->width * l->step + sqz_rng_below(r, 9);
    p->a_bytes = 0;
    for (size_t s = 0; s < l->n_seg; s++)
        p->seg[s] = sqz_rng_below(r, 100);
    for (size_t i = 0; i < l->m; i++)
        for (size_t s = 0; s < l->n_seg; s++)
            p->a_bytes = SQZ_MAX(p->a_bytes, i / l->width * l->line + i % l->width * l->step +
                                                 p->seg[s] + l->len + (l->len % 4 ? SLACK : 0));
    p->a = codes(r, p->a_bytes);
    p->k = l->n_seg * l->len;
}

/* Factors as layers have them, or anything that requantization takes. */
static void factors(sqz_rng *r, product *p)
{
    const size_t room = (p->n + SQZ_PANEL - 1) / SQZ_PANEL * SQZ_PANEL;
    const bool any = sqz_rng_below(r, 3) == 0;
    const size_t most = sqz_rng_below(r, 2) ? 20 : 7;
    p->mult = block(room * sizeof *p->mult);
    p->shift = block(room * sizeof *p->shift);
    for (size_t j = 0; j < room; j++) {
        p->mult[j] = (int32_t)((UINT64_C(1) << 30) + sqz_rng_below(r, UINT64_C(1) << 30));
        p->shift[j] = -(int32_t)upto(r, most);
        if (any && sqz_rng_below(r, 8) == 0)
            p->mult[j] = 0;
        if (any)
            p->shift[j] = (int32_t)sqz_rng_below(r, 62) - 31;
    }
    p->rq = (sqz_requant){.n = p->n, .mult = p->mult, .shift = p->shift, .lo = -128, .hi = 127};
    p->rq.zero = sqz_rng_below(r, 2) ? -128 : (int32_t)sqz_rng_below(r, 256) - 128;
    if (any) {
        p->rq.lo = (int32_t)sqz_rng_below(r, 256) - 128;
        p->rq.hi = p->rq.lo + (int32_t)sqz_rng_below(r, (uint64_t)(128 - p->rq.lo));
    }
}

/* Biases small, or such that sums come near the ends of int32. */
static void biases(sqz_rng *r, product *p)
{
    const bool large = sqz_rng_below(r, 3) == 0; /* else below 200 * 2^14 + 1000 */
    p->rq.small = !large && sqz_rng_below(r, 4) > 0;
    p->bias = block(p->n * sizeof *p->bias);
    for (size_t j = 0; j < p->n; j++) {
        int64_t size = 0;
        for (size_t t = 0; t < p->k; t++)
            size += 128 * abs(p->b[j * p->k + t]);
        p->bias[j] = large ? (int32_t)(INT32_MAX - size) : (int32_t)sqz_rng_below(r, 2000) - 1000;
        if (sqz_rng_below(r, 2))
            p->bias[j] = -p->bias[j];
    }
}

static product make(sqz_rng *r)
{
    product p = {.n = upto(r, 100)};
    left(r, &p);
    p.b = codes(r, p.n * p.k);
    factors(r, &p);
    biases(r, &p);
    if (sqz_rng_below(r, 4))
        fit_make(&p.rq, (p.n + SQZ_PANEL - 1) / SQZ_PANEL * SQZ_PANEL);
    p.begin = sqz_rng_below(r, (p.n + SQZ_PANEL - 1) / SQZ_PANEL) * SQZ_PANEL;
    p.end = p.begin + SQZ_PANEL * upto(r, 7);
    p.end = SQZ_MIN(p.end, p.n);
    p.ld = p.n + sqz_rng_below(r, 3);
    p.y_bytes = (p.l.m - 1) * p.ld + p.end;
    return p;
}

static void drop(product *p)
{
    free(p->a);
    free(p->b);
    free(p->bias);
    free(p->mult);
    fit_free(&p->rq);
    free(p->shift);
}

static int8_t expected(const product *p, size_t i, size_t j)
{
    int64_t v = p->bias[j];
    for (size_t t = 0; t < p->k; t++)
        v += p->a[i / p->l.width * p->l.line + i % p->l.width * p->l.step + p->seg[t / p->l.len] +
                  t % p->l.len] *
             p->b[j * p->k + t];
    return sqz_rt_to_s8((int32_t)v, p->mult[j], p->shift[j], p->rq.zero, p->rq.lo, p->rq.hi);
}

/* Weights as the kernel wants them, stored as (N,K) or as (K,N). */
static sqz_packed right(const product *p, bool columns, uint8_t flip)
{
    const size_t bytes = sqz_pack_s8_bytes(p->n, p->l.n_seg, p->l.len);
    sqz_packed w = {p->n, p->l.n_seg, p->l.len, aligned_alloc(64, bytes)};
    int32_t *start = block(p->n * sizeof *start);
    int8_t *stored = block(p->n * p->k);
    assert_non_null(w.data);
    for (size_t j = 0; j < p->n; j++) {
        uint32_t sum = 0;
        for (size_t t = 0; t < p->k; t++) {
            sum += (uint32_t)p->b[j * p->k + t];
            stored[columns ? t * p->n + j : j * p->k + t] = p->b[j * p->k + t];
        }
        start[j] = (int32_t)((uint32_t)p->bias[j] - flip * sum);
    }
    sqz_pack_s8(&w, stored, columns ? 1 : p->k, columns ? p->n : 1, start);
    free(stored);
    free(start);
    return w;
}

static size_t forms(sqz_kernels out[SQZ_N_ISA + 1])
{
    size_t n = implementations(out);
#ifdef YMM_FORM
    if (sqz_isa_supported(SQZ_ISA_avx512vnni))
        out[n++] = (sqz_kernels){.isa = SQZ_ISA_avxvnni, .s8_flip = 0x80, .gemm_s8 = ymm_form};
#endif
    return n;
}

static void check(const product *p, const sqz_kernels *k, bool columns, int round)
{
    sqz_packed w = right(p, columns, k->s8_flip);
    sqz_left l = p->l;
    int8_t *y = block(p->y_bytes), *a = block(p->a_bytes);
    for (size_t i = 0; i < p->a_bytes; i++)
        a[i] = (int8_t)(p->a[i] ^ k->s8_flip);
    memset(y, 0x5a, p->y_bytes);
    l.a = a;
    l.seg = p->seg;
    k->gemm_s8(&w, p->begin, p->end, &l, &(sqz_out_s8){.y = y, .ld = p->ld, .rq = &p->rq});
    for (size_t at = 0; at < p->y_bytes; at++) {
        const size_t i = at / p->ld, j = at % p->ld;
        const int want = j >= p->begin && j < p->end ? expected(p, i, j) : 0x5a;
        if (y[at] != want)
            fail_msg("%s, round %d: m %zu n %zu..%zu k %zu x %zu at (%zu,%zu): %d, expected %d",
                     sqz_isa_name(k->isa), round, l.m, p->begin, p->end, l.n_seg, l.len, i, j,
                     y[at], want);
    }
    free(y);
    free(a);
    free(w.data);
}

static void test_products_are_exact_for_every_instruction_set(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 0};
    sqz_kernels set[SQZ_N_ISA + 1];
    const size_t n_set = forms(set);
    for (int round = 0; round < ROUNDS; round++) {
        product p = make(&r);
        const bool columns = sqz_rng_below(&r, 2);
        for (size_t s = 0; s < n_set; s++)
            check(&p, &set[s], columns, round);
        drop(&p);
    }
}

static void test_the_largest_sum_is_exact(void **state)
{
    (void)state;
    enum { K = 66311 }; /* K * 255 * 127 just fits int32 */
    sqz_rng r = {SEED, 1};
    sqz_kernels set[SQZ_N_ISA + 1];
    const size_t n_set = forms(set);
    product p = {.n = 1, .k = K, .end = 1, .ld = 1, .y_bytes = 1, .a_bytes = K + SLACK};
    p.l = (sqz_left){.m = 1, .width = 1, .n_seg = 1, .len = K};
    p.a = codes(&r, p.a_bytes);
    p.b = codes(&r, K);
    memset(p.a, 127, p.a_bytes);
    memset(p.b, 127, K);
    factors(&r, &p);
    p.bias = block(sizeof *p.bias);
    for (int z = -128; z <= 0; z += 64) { /* as if the zero point were z */
        p.bias[0] = -z * 127 * K;
        p.mult[0] = INT32_MAX;
        p.shift[0] = -20;
        p.rq = (sqz_requant){.n = 1, .mult = p.mult, .shift = p.shift, .lo = -128, .hi = 127};
        for (int zero = -128; zero < 128; zero += 5) {
            p.rq.zero = zero;
            for (size_t s = 0; s < n_set; s++)
                check(&p, &set[s], false, z);
        }
    }
    drop(&p);
}

/* One output whose sum is the start alone: every sum that is asked for. */
static void test_requantization_is_exact_around_every_step(void **state)
{
    (void)state;
    enum { M = 1 };
    sqz_rng r = {SEED, 2};
    sqz_kernels set[SQZ_N_ISA + 1];
    const size_t n_set = forms(set), none = 0;
    for (int round = 0; round < ROUNDS; round++) {
        int32_t mult[16], shift[16], start[16], zero = (int32_t)sqz_rng_below(&r, 256) - 128;
        const int32_t s = (int32_t)sqz_rng_below(&r, 23);
        int8_t y[16], a[4] = {0};
        if (sqz_rng_below(&r, 2))
            zero = -128;
        for (int j = 0; j < 16; j++) { /* sums at a tie between two codes, or one beside it */
            mult[j] = (int32_t)((UINT64_C(1) << 30) + sqz_rng_below(&r, UINT64_C(1) << 30));
            if (sqz_rng_below(&r, 4) == 0)
                mult[j] = 1 << 30;
            shift[j] = -s;
            double step = ldexp(1, s + 31) / mult[j];
            double at = ((double)sqz_rng_below(&r, 600) - 300 + 0.5) * step;
            int64_t v = (int64_t)llround(at) + (int64_t)sqz_rng_below(&r, 3) - 1;
            start[j] = (int32_t)SQZ_MAX(SQZ_MIN(v, INT32_MAX), INT32_MIN);
            if (sqz_rng_below(&r, 50) == 0)
                start[j] = sqz_rng_below(&r, 2) ? INT32_MIN : INT32_MAX;
        }
        bool small = true;
        for (int j = 0; j < 16; j++)
            small = small && start[j] < 1 << 29 && start[j] > -(1 << 29);
        sqz_requant rq = {.n = 16,
                          .mult = mult,
                          .shift = shift,
                          .zero = zero,
                          .lo = -128,
                          .hi = 127,
                          .small = small};
        if (sqz_rng_below(&r, 4))
            fit_make(&rq, 16);
        const sqz_left l = {.a = a, .m = M, .width = 1, .seg = &none, .n_seg = 1, .len = 0};
        sqz_packed w = {16, 1, 0, aligned_alloc(64, sqz_pack_s8_bytes(16, 1, 0))};
        assert_non_null(w.data);
        sqz_pack_s8(&w, a, 0, 0, start);
        for (size_t i = 0; i < n_set; i++) {
            set[i].gemm_s8(&w, 0, 16, &l, &(sqz_out_s8){.y = y, .ld = 16, .rq = &rq});
            for (int j = 0; j < 16; j++) {
                int want = sqz_rt_to_s8(start[j], mult[j], shift[j], zero, -128, 127);
                if (y[j] != want)
                    fail_msg("%s: %d * %d, shift %d, zero %d: %d, expected %d",
                             sqz_isa_name(set[i].isa), start[j], mult[j], shift[j], zero, y[j],
                             want);
            }
        }
        free(w.data);
        fit_free(&rq);
    }
}

static void test_a_form_in_float_gives_the_same_code_for_every_sum(void **state)
{
    (void)state;
    enum { N = 24 };
    sqz_rng r = {SEED, 3};
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    int found = 0;
    for (int round = 0; round < 60; round++) {
        int32_t mult[N], shift[N];
        float scale[SQZ_N_ISA][N], offset[SQZ_N_ISA][N];
        const size_t most = upto(&r, SQZ_FIT_SHIFT);
        for (int j = 0; j < N; j++) {
            mult[j] = (int32_t)((UINT64_C(1) << 30) + sqz_rng_below(&r, UINT64_C(1) << 30));
            mult[j] = sqz_rng_below(&r, 8) ? mult[j] : sqz_rng_below(&r, 2) ? 1 << 30 : INT32_MAX;
            shift[j] = -(int32_t)upto(&r, most);
        }
        for (size_t i = 0; i < n_set; i++)
            set[i].requant_fit(N, mult, shift, scale[i], offset[i]);
        for (size_t i = 1; i < n_set; i++) {
            assert_memory_equal(scale[i], scale[0], sizeof scale[0]);
            assert_memory_equal(offset[i], offset[0], sizeof offset[0]);
        }
        for (int j = 0; j < N; j++) {
            found += scale[0][j] > 0;
            if (scale[0][j] == 0)
                continue;
            const int32_t end = 258 << -shift[j] << 1;
            for (int32_t k = -20; k < end + 20; k++) { /* the last ones: anywhere, and extremes */
                const int32_t far = (int32_t)sqz_rng_below(&r, UINT64_C(1) << 30) - (1 << 29);
                const int32_t v = k < end ? k : k == end ? (1 << 29) - 1 : far;
                const float y = nearbyintf(fmaf((float)v, scale[0][j], offset[0][j]));
                const int code = y < -128 ? -128 : y > 127 ? 127 : (int)y;
                if (code != sqz_rt_to_s8(v, mult[j], shift[j], -128, -128, 127))
                    fail_msg("%d * %d, shift %d: %d", v, mult[j], shift[j], code);
            }
        }
    }
    assert_true(found > 60 * N * 9 / 10); /* most have one */
}

static void test_packing_refuses_what_does_not_fit(void **state)
{
    (void)state;
    assert_int_equal(sqz_pack_s8_bytes(SIZE_MAX / 2, 1, 64), 0);
    assert_int_equal(sqz_pack_s8_bytes(64, 3, SIZE_MAX / 2), 0);
    assert_int_equal(sqz_pack_s8_bytes(17, 3, 5), 2 * 64 * (1 + 3 * 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products_are_exact_for_every_instruction_set),
        cmocka_unit_test(test_the_largest_sum_is_exact),
        cmocka_unit_test(test_requantization_is_exact_around_every_step),
        cmocka_unit_test(test_a_form_in_float_gives_the_same_code_for_every_sum),
        cmocka_unit_test(test_packing_refuses_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
