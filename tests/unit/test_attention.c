/* Attention, rotary embeddings and linear attention as ONNX and ONNX Runtime spell them, against
 * the definitions in double, one number at a time. */
#include "../onnx_node.h"
#include "../ops_test.h"

enum { SEED = 81, KEYS = 16 };

static int64_t any(sqz_rng *r, int64_t lo, int64_t hi)
{
    return lo + (int64_t)sqz_rng_below(r, (uint64_t)(hi - lo + 1));
}
static bool coin(sqz_rng *r) { return sqz_rng_below(r, 2) == 1; }
/* Products of ten numbers below 1, a softmax, a mean. */
static void near(double got, double want) { TEST_NEAR(got, want, 5e-6 * fmax(1, fabs(want))); }

/* ---- Attention of ONNX: Q, K, V, mask, past key, past value, lengths ---- */

typedef struct head {               /* sizes and attributes of a random node */
    int64_t B, H, G, S, T, P, D, E; /* P: keys of the cache, which T does not count */
    bool packed, causal, lengths;
    int64_t left, right;
    double scale, softcap;
    onnx_node t;
} head;

/* Number d of row s of head h: (B,H,S,D), or packed (B,S,H*D). */
static size_t place(const head *k, bool packed, int64_t heads, int64_t rows, int64_t width,
                    int64_t b, int64_t h, int64_t s, int64_t d)
{
    (void)k;
    return (size_t)(packed ? (b * rows + s) * heads * width + h * width + d
                           : ((b * heads + h) * rows + s) * width + d);
}

static double key(const head *k, int64_t b, int64_t g, int64_t j, int64_t d)
{
    if (j < k->P)
        return node_at(&k->t, 4, place(k, false, k->G, k->P, k->D, b, g, j, d));
    return node_at(&k->t, 1, place(k, k->packed, k->G, k->T, k->D, b, g, j - k->P, d));
}

static double value(const head *k, int64_t b, int64_t g, int64_t j, int64_t e)
{
    if (j < k->P)
        return node_at(&k->t, 5, place(k, false, k->G, k->P, k->E, b, g, j, e));
    return node_at(&k->t, 2, place(k, k->packed, k->G, k->T, k->E, b, g, j - k->P, e));
}

/* What is added to the score of query i and key j. */
static double bias(const head *k, int64_t b, int64_t h, int64_t i, int64_t j)
{
    const sqz_tensor *m = &k->t.in[3];
    const int64_t at[4] = {b, h, i, j}, all = k->P + k->T;
    const int64_t len = k->lengths ? sqz_tensor_i64(&k->t.in[6], (size_t)b) : all;
    const int64_t back = i + (k->lengths ? len - k->S : k->P) - j;
    if ((k->causal && back < 0) || (k->left >= 0 && back > k->left) ||
        (k->right >= 0 && -back > k->right) || j >= len)
        return -INFINITY;
    if (!k->t.given[3])
        return 0;
    size_t n = 0;
    for (int32_t d = 0; d < m->shape.rank; d++)
        n = n * (size_t)m->shape.dim[d] +
            (m->shape.dim[d] == 1 ? 0 : (size_t)at[d + 4 - m->shape.rank]);
    double v = sqz_tensor_f64(m, n);
    return m->dtype != SQZ_BOOL ? v : v != 0 ? 0 : -INFINITY;
}

static double score(const head *k, int64_t b, int64_t h, int64_t i, int64_t j)
{
    double s = 0;
    for (int64_t d = 0; d < k->D; d++)
        s += node_at(&k->t, 0, place(k, k->packed, k->H, k->S, k->D, b, h, i, d)) *
             key(k, b, h / (k->H / k->G), j, d);
    s *= k->scale;
    return k->softcap > 0 ? k->softcap * tanh(s / k->softcap) : s;
}

static void check_row(const head *k, int64_t b, int64_t h, int64_t i)
{
    const int64_t n = k->P + k->T;
    double p[KEYS], top = -INFINITY, sum = 0;
    for (int64_t j = 0; j < n; j++) {
        p[j] = score(k, b, h, i, j) + bias(k, b, h, i, j);
        top = fmax(top, p[j]);
    }
    for (int64_t j = 0; j < n; j++)
        sum += p[j] = top == -INFINITY ? 0 : exp(p[j] - top);
    for (int64_t e = 0; e < k->E; e++) {
        double y = 0;
        for (int64_t j = 0; sum > 0 && j < n; j++)
            y += p[j] / sum * value(k, b, h / (k->H / k->G), j, e);
        near(sqz_tensor_f64(&k->t.out[0], place(k, k->packed, k->H, k->S, k->E, b, h, i, e)), y);
    }
}

static void check(const head *k)
{
    for (int64_t b = 0; b < k->B; b++)
        for (int64_t h = 0; h < k->H; h++)
            for (int64_t i = 0; i < k->S; i++)
                check_row(k, b, h, i);
}

static sqz_shape rows(const head *k, int64_t heads, int64_t n, int64_t width)
{
    return k->packed ? SHAPE(k->B, n, heads * width) : SHAPE(k->B, heads, n, width);
}

static sqz_shape mask_shape(const head *k, sqz_rng *r)
{
    const int64_t n = k->P + k->T;
    switch (sqz_rng_below(r, 4)) {
    case 0: return SHAPE(k->S, n);
    case 1: return SHAPE(k->H, k->S, n);
    case 2: return SHAPE(k->B, 1, 1, n);
    default: return SHAPE(k->B, k->H, k->S, n);
    }
}

static void sizes(head *k, sqz_rng *r)
{
    *k = (head){.B = any(r, 1, 3), .G = any(r, 1, 3), .S = any(r, 1, 4), .T = any(r, 1, 6)};
    k->H = k->G * any(r, 1, 3);
    k->D = any(r, 1, 5);
    k->E = any(r, 1, 5);
    k->packed = coin(r);
    k->causal = coin(r);
    k->left = k->right = -1;
    k->scale = 1 / sqrt((double)k->D);
}

static void make_attention(head *k, sqz_ctx *ctx, sqz_rng *r)
{
    sizes(k, r);
    const int64_t opset = any(r, 23, 25);
    k->lengths = opset > 23 && sqz_rng_below(r, 3) == 0;
    k->P = !k->lengths && coin(r) ? any(r, 1, 3) : 0;
    node_begin(&k->t, ctx, "Attention", NULL, opset, k->P ? "y,pk,pv" : "y");
    if (k->packed) {
        node_int(&k->t, "q_num_heads", k->H);
        node_int(&k->t, "kv_num_heads", k->G);
    }
    node_int(&k->t, "is_causal", k->causal);
    if (coin(r))
        node_float(&k->t, "scale", k->scale = 0.75);
    if (coin(r))
        node_float(&k->t, "softcap", k->softcap = 0.5);
    if (opset == 25 && coin(r))
        node_int(&k->t, "left_window_size", k->left = any(r, 0, 3));
    if (opset == 25 && coin(r))
        node_int(&k->t, "right_window_size", k->right = any(r, 0, 3));
    node_f32(&k->t, rows(k, k->H, k->S, k->D), r);
    node_f32(&k->t, rows(k, k->G, k->T, k->D), r);
    node_f32(&k->t, rows(k, k->G, k->T, k->E), r);
    if (coin(r))
        node_in(&k->t, coin(r) ? SQZ_BOOL : SQZ_F32, mask_shape(k, r), coin(r), r, -0.4, 1);
    else
        node_skip(&k->t);
    if (k->t.given[3] && k->t.in[3].dtype == SQZ_BOOL)
        for (size_t i = 0; i < k->t.in[3].count; i++)
            sqz_tensor_set_i64(&k->t.in[3], i, sqz_rng_below(r, 3) != 0);
    if (k->P) {
        node_f32(&k->t, SHAPE(k->B, k->G, k->P, k->D), r);
        node_f32(&k->t, SHAPE(k->B, k->G, k->P, k->E), r);
    } else if (k->lengths) {
        node_skip(&k->t);
        node_skip(&k->t);
        node_in(&k->t, SQZ_S64, SHAPE(k->B), false, r, 0, (double)k->T);
    }
}

static void test_attention_is_its_definition(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {.seed = SEED};
    for (int i = 0; i < 120; i++) {
        head k;
        make_attention(&k, ctx, &r);
        node_run(&k.t);
        check(&k);
        for (size_t j = 0; k.P && j < k.t.out[1].count; j++) { /* the cache, with the new keys */
            int64_t at[4];
            coords(&k.t.out[1].shape, j, at);
            assert_true(sqz_tensor_f64(&k.t.out[1], j) == key(&k, at[0], at[1], at[2], at[3]));
        }
        node_end(&k.t);
    }
    sqz_ctx_free(ctx);
}

/* ---- MultiHeadAttention of ONNX Runtime: Q, K, V, bias, mask ---- */

/* Which keys count: by length (B), by begin and end (2B), by key (B,T), by query and key. */
static bool counts(const head *k, int64_t b, int64_t i, int64_t j)
{
    const sqz_tensor *m = &k->t.in[4];
    if (!k->t.given[4])
        return true;
    if (m->shape.rank == 1 && m->shape.dim[0] == k->B)
        return j < sqz_tensor_i64(m, (size_t)b);
    if (m->shape.rank == 1)
        return j < sqz_tensor_i64(m, (size_t)b) && j >= sqz_tensor_i64(m, (size_t)(k->B + b));
    if (m->shape.rank == 2)
        return sqz_tensor_i64(m, (size_t)(b * k->T + j)) > 0;
    return sqz_tensor_i64(m, (size_t)((b * k->S + i) * k->T + j)) > 0;
}

/* Number d of a row of operand `slot`, with its part of the bias. */
static double biased(const head *k, unsigned slot, int64_t from, int64_t width, int64_t rows_of,
                     int64_t b, int64_t h, int64_t s, int64_t d)
{
    return node_at(&k->t, slot, place(k, true, k->H, rows_of, width, b, h, s, d)) +
           node_at(&k->t, 3, (size_t)(from + h * width + d));
}

static void check_multi_head(const head *k, int64_t b, int64_t h, int64_t i)
{
    double p[KEYS], top = -INFINITY, sum = 0;
    for (int64_t j = 0; j < k->T; j++) {
        double s = 0;
        for (int64_t d = 0; d < k->D; d++)
            s += biased(k, 0, 0, k->D, k->S, b, h, i, d) *
                 biased(k, 1, k->H * k->D, k->D, k->T, b, h, j, d);
        p[j] = s * k->scale + (counts(k, b, i, j) ? 0 : -20);
        top = fmax(top, p[j]);
    }
    for (int64_t j = 0; j < k->T; j++)
        sum += p[j] = exp(p[j] - top);
    for (int64_t e = 0; e < k->E; e++) {
        double y = 0;
        for (int64_t j = 0; j < k->T; j++)
            y += p[j] / sum * biased(k, 2, 2 * k->H * k->D, k->E, k->T, b, h, j, e);
        near(sqz_tensor_f64(&k->t.out[0], place(k, true, k->H, k->S, k->E, b, h, i, e)), y);
    }
}

static void test_multi_head_attention_with_every_mask(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {.seed = SEED + 1};
    for (int n = 0; n < 60; n++) {
        head k;
        sizes(&k, &r);
        k.G = k.H;
        k.packed = true;
        const sqz_shape masks[] = {SHAPE(k.B), SHAPE(2 * k.B), SHAPE(k.B, k.T),
                                   SHAPE(k.B, k.S, k.T)};
        node_begin(&k.t, ctx, "MultiHeadAttention", "com.microsoft", 17, "y");
        node_int(&k.t, "num_heads", k.H);
        node_float(&k.t, "mask_filter_value", -20);
        node_f32(&k.t, rows(&k, k.H, k.S, k.D), &r);
        node_f32(&k.t, rows(&k, k.H, k.T, k.D), &r);
        node_f32(&k.t, rows(&k, k.H, k.T, k.E), &r);
        if (coin(&r))
            node_in(&k.t, SQZ_F32, SHAPE(k.H * (2 * k.D + k.E)), true, &r, -1, 1);
        else
            node_skip(&k.t);
        const int form = n % 5;
        if (form < 4)
            node_in(&k.t, SQZ_S32, masks[form], coin(&r), &r, 0, form < 2 ? (double)k.T : 1);
        node_run(&k.t);
        for (int64_t b = 0; b < k.B; b++)
            for (int64_t h = 0; h < k.H; h++)
                for (int64_t i = 0; i < k.S; i++)
                    check_multi_head(&k, b, h, i);
        node_end(&k.t);
    }
    sqz_ctx_free(ctx);
}

/* ---- RotaryEmbedding: X, cosines, sines, positions ---- */

static void test_rotary_embedding_turns_pairs(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {.seed = SEED + 2};
    for (int n = 0; n < 60; n++) {
        head k;
        sizes(&k, &r);
        k.D = 2 * any(&r, 2, 4);
        const bool pairs = coin(&r), by_position = coin(&r);
        const int64_t turned = coin(&r) ? k.D : k.D - 2, half = turned / 2, last = 7;
        node_begin(&k.t, ctx, "RotaryEmbedding", NULL, 23, "y");
        node_int(&k.t, "interleaved", pairs);
        node_int(&k.t, "num_heads", k.H);
        node_int(&k.t, "rotary_embedding_dim", turned == k.D ? 0 : turned);
        node_f32(&k.t, rows(&k, k.H, k.S, k.D), &r);
        for (int i = 0; i < 2; i++)
            node_f32(&k.t, by_position ? SHAPE(last + 1, half) : SHAPE(k.B, k.S, half), &r);
        if (by_position)
            node_in(&k.t, SQZ_S64, SHAPE(k.B, k.S), coin(&r), &r, 0, (double)last);
        node_run(&k.t);
        for (size_t i = 0; i < k.t.in[0].count; i++) {
            int64_t at[4];
            coords(&k.t.in[0].shape, i, at);
            const int64_t d = k.packed ? at[2] % k.D : at[3],
                          row = at[0] * k.S + at[k.packed ? 1 : 2];
            const bool first = pairs ? d % 2 == 0 : d < half;
            const int64_t other = pairs ? (first ? 1 : -1) : (first ? half : -half);
            const int64_t p = by_position ? sqz_tensor_i64(&k.t.in[3], (size_t)row) : row;
            const size_t angle = (size_t)(p * half + (pairs ? d / 2 : d % half));
            double x = node_at(&k.t, 0, i), want = x;
            if (d < turned) {
                double y = node_at(&k.t, 0, (size_t)((int64_t)i + other));
                want = x * node_at(&k.t, 1, angle) + (first ? -y : y) * node_at(&k.t, 2, angle);
            }
            near(sqz_tensor_f64(&k.t.out[0], i), want);
        }
        node_end(&k.t);
    }
    sqz_ctx_free(ctx);
}

/* ---- LinearAttention: query, key, value, past, decay, beta ---- */

/* State and output of one head of one sample. */
static void check_linear(const head *k, int rule, int64_t b, int64_t g)
{
    double s[5][5], u[5];
    const onnx_node *t = &k->t;
    for (int64_t i = 0; i < k->D; i++)
        for (int64_t e = 0; e < k->E; e++)
            s[i][e] = node_at(t, 3, (size_t)(((b * k->G + g) * k->D + i) * k->E + e));
    for (int64_t n = 0; n < k->S; n++) {
        const int64_t row = b * k->S + n;
        const int64_t wide = t->given[4] ? t->in[4].shape.dim[2] : 0;
        for (int64_t i = 0; i < k->D; i++)
            for (int64_t e = 0; e < k->E && rule & 1; e++)
                s[i][e] *= exp(
                    node_at(t, 4, (size_t)(row * wide + (wide == k->G ? g : g * k->D + i))));
        for (int64_t e = 0; e < k->E; e++) {
            u[e] = node_at(t, 2, (size_t)((row * k->G + g) * k->E + e));
            for (int64_t i = 0; i < k->D && rule & 2; i++)
                u[e] -= s[i][e] * node_at(t, 1, (size_t)((row * k->G + g) * k->D + i));
            if (rule & 2)
                u[e] *= node_at(t, 5, (size_t)(row * k->G + g));
        }
        for (int64_t i = 0; i < k->D; i++)
            for (int64_t e = 0; e < k->E; e++)
                s[i][e] += node_at(t, 1, (size_t)((row * k->G + g) * k->D + i)) * u[e];
        for (int64_t h = g * (k->H / k->G); h < (g + 1) * (k->H / k->G); h++)
            for (int64_t e = 0; e < k->E; e++) {
                double y = 0;
                for (int64_t i = 0; i < k->D; i++)
                    y += s[i][e] * node_at(t, 0, (size_t)((row * k->H + h) * k->D + i));
                near(sqz_tensor_f64(&t->out[0], (size_t)((row * k->H + h) * k->E + e)),
                     y * k->scale);
            }
    }
    for (int64_t i = 0; i < k->D; i++)
        for (int64_t e = 0; e < k->E; e++)
            near(sqz_tensor_f64(&t->out[1], (size_t)(((b * k->G + g) * k->D + i) * k->E + e)),
                 s[i][e]);
}

static void test_linear_attention_is_its_recurrence(void **state)
{
    (void)state;
    static const char *const rules[] = {"linear", "gated", "delta", "gated_delta"};
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {.seed = SEED + 3};
    for (int n = 0; n < 60; n++) {
        head k;
        const int rule = n % 4;
        sizes(&k, &r);
        k.packed = true;
        node_begin(&k.t, ctx, "LinearAttention", NULL, 27, "y,s");
        node_int(&k.t, "q_num_heads", k.H);
        node_int(&k.t, "kv_num_heads", k.G);
        node_text(&k.t, "update_rule", rules[rule]);
        node_f32(&k.t, rows(&k, k.H, k.S, k.D), &r);
        node_f32(&k.t, rows(&k, k.G, k.S, k.D), &r);
        node_f32(&k.t, rows(&k, k.G, k.S, k.E), &r);
        if (coin(&r))
            node_f32(&k.t, SHAPE(k.B, k.G, k.D, k.E), &r);
        else
            node_skip(&k.t);
        if (rule & 1)
            node_f32(&k.t, SHAPE(k.B, k.S, coin(&r) ? k.G : k.G * k.D), &r);
        else
            node_skip(&k.t);
        if (rule & 2)
            node_f32(&k.t, SHAPE(k.B, k.S, k.G), &r);
        node_run(&k.t);
        for (int64_t b = 0; b < k.B; b++)
            for (int64_t g = 0; g < k.G; g++)
                check_linear(&k, rule, b, g);
        node_end(&k.t);
    }
    sqz_ctx_free(ctx);
}

/* ---- refusals ---- */

static void refuse(sqz_shape q, sqz_shape kv, int64_t heads, int64_t groups, sqz_status want,
                   const char *part)
{
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {.seed = SEED};
    onnx_node t;
    node_begin(&t, ctx, "Attention", NULL, 23, "y");
    if (heads) {
        node_int(&t, "q_num_heads", heads);
        node_int(&t, "kv_num_heads", groups);
    }
    node_f32(&t, q, &r);
    node_f32(&t, kv, &r);
    node_f32(&t, kv, &r);
    TEST_FAILS(ctx, node_try(&t), want, part);
    node_end(&t);
    sqz_ctx_free(ctx);
}

static void test_what_does_not_fit_is_refused(void **state)
{
    (void)state;
    refuse(SHAPE(1, 4, 6), SHAPE(1, 4, 6), 0, 0, SQZ_E_SHAPE, "rows of 6 are no 0 heads");
    refuse(SHAPE(1, 4, 6), SHAPE(1, 4, 6), 4, 2, SQZ_E_SHAPE, "rows of 6 are no 4 heads");
    refuse(SHAPE(1, 3, 4, 6), SHAPE(1, 2, 4, 6), 0, 0, SQZ_E_SHAPE,
           "3 heads of queries, 2 of keys");
    refuse(SHAPE(1, 2, 4, 6), SHAPE(1, 2, 4, 5), 0, 0, SQZ_E_SHAPE, "do not fit together");
    refuse(SHAPE(4, 6), SHAPE(4, 6), 0, 0, SQZ_E_SHAPE, "input 0 has 2 dimensions");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attention_is_its_definition),
        cmocka_unit_test(test_multi_head_attention_with_every_mask),
        cmocka_unit_test(test_rotary_embedding_turns_pairs),
        cmocka_unit_test(test_linear_attention_is_its_recurrence),
        cmocka_unit_test(test_what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
