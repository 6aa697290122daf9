/* Graph text: what is printed reads back to the same text; what is wrong is refused with its line.
 */
#include "ir/op.h"
#include "sqz_test.h"

static const char sample[] =
    "graph \"net \\\"1\\\"\" producer \"a\\\\b\" opset 13 batch_free batch \"N\" ranges\n"
    "meta \"key\" \"two\\x0alines\"\n"
    "input x f32 1x2x3 range [-1 0.100000001]\n"
    "input \"input\" u8 4 was_u8\n"
    "const w f32 2x2 quant s8 axis=0 group=0 [0.5@0 0.25@-3] = 1 -0.333333343 1e-45 "
    "3.40282347e+38\n"
    "const i s64 3 = 9223372036854775807 -9223372036854775808 0\n"
    "const u u64 1 = 18446744073709551615\n"
    "const h f16 5 = 0.0999755859 inf -inf nan -0\n"
    "const n s4 3 = -8 7 0\n"
    "const three s4 3 quant s4 bits=3 axis=-1 group=0 [0.5@0] = -4 3 0\n"
    "const b bool 2 = 1 0\n"
    "const e f32 0 =\n"
    "const s f64 scalar = 0.1\n"
    "a/relu:0 f32 1x2x3 range [0 inf] normal [0.5@1 -2@0 1e-05@0.25] = relu(x) @a/relu\n"
    "\"strange name\" f32 1x2x3 = relu(a/relu:0) @\"_\"\n"
    "output \"strange name\", x\n";

static char *printed(sqz_ctx *ctx, const sqz_graph *g, sqz_str *s)
{
    *s = (sqz_str){.ctx = ctx};
    TEST_OK(ctx, sqz_graph_print(g, SIZE_MAX, s));
    return s->data;
}

static void test_text_reads_back_to_the_same_text(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = NULL, *h = NULL;
    sqz_str a, b;
    TEST_OK(ctx, sqz_graph_parse(ctx, sample, &g));
    char *once = printed(ctx, g, &a);
    TEST_OK(ctx, sqz_graph_parse(ctx, once, &h));
    assert_string_equal(printed(ctx, h, &b), once);
    assert_string_equal(g->name, "net \"1\"");
    assert_string_equal(sqz_graph_get_meta(g, "key"), "two\nlines");
    assert_true(g->batch_free && g->opset == 13 && g->have == SQZ_HAS_RANGES);
    const sqz_value *w = sqz_val(g, sqz_graph_find(g, "w"));
    assert_true(SQZ_F32P(w->constant)[1] == -1.0f / 3.0f);
    assert_true(SQZ_F32P(w->constant)[2] == 0x1p-149f);
    assert_int_equal(w->quant->zero[1], -3);
    const sqz_quant *three = sqz_val(h, sqz_graph_find(h, "three"))->quant;
    assert_int_equal(sqz_quant_bits(three), 3);
    assert_int_equal(sqz_quant_limit(three), 3);
    assert_int_equal(sqz_quant_limit(w->quant), 127);
    const sqz_value *i = sqz_val(g, sqz_graph_find(g, "i"));
    assert_true(SQZ_S64P(i->constant)[1] == INT64_MIN);
    sqz_str_free(&a);
    sqz_str_free(&b);
    sqz_graph_free(g);
    sqz_graph_free(h);
    sqz_ctx_free(ctx);
}

static void test_random_floats_keep_every_bit(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = NULL, *h = NULL;
    sqz_rng r = {.seed = 11};
    sqz_tensor t;
    sqz_vid v;
    sqz_shape s = {1, {2000}};
    TEST_OK(ctx, sqz_graph_create(ctx, &g));
    TEST_OK(ctx, sqz_tensor_alloc(ctx, SQZ_F32, &s, &t));
    for (size_t i = 0; i < t.count; i++) {
        uint32_t bits = (uint32_t)sqz_rng_u64(&r);
        if ((bits >> 23 & 255) == 255)
            bits ^= 1u << 30; /* NaN payloads are not kept */
        memcpy((char *)t.data + 4 * i, &bits, 4);
    }
    TEST_OK(ctx, sqz_graph_constant(g, "w", &t, &v));
    sqz_str a;
    TEST_OK(ctx, sqz_graph_parse(ctx, printed(ctx, g, &a), &h));
    assert_memory_equal(sqz_val(g, v)->constant->data, sqz_val(h, v)->constant->data, 8000);
    sqz_str_free(&a);
    sqz_graph_free(g);
    sqz_graph_free(h);
    sqz_ctx_free(ctx);
}

static void test_large_constants_are_hashed_and_then_refused(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = NULL, *h = NULL;
    sqz_str s = {.ctx = ctx};
    TEST_OK(ctx, sqz_graph_parse(ctx, "graph \"\"\nconst w s8 3 = 1 2 3\noutput w\n", &g));
    TEST_OK(ctx, sqz_graph_print(g, 2, &s));
    /* sha256 of the bytes 01 02 03 */
    assert_non_null(
        strstr(s.data, "sha256:039058c6f2c0cb492c533b0a4d14ef77cc0f78abccced5287d84a1a2011cfb81"));
    TEST_FAILS(ctx, sqz_graph_parse(ctx, s.data, &h), SQZ_E_FORMAT, "left out");
    assert_null(h);
    sqz_str_free(&s);
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

static void test_refusals_name_the_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
        sqz_status want;
    } row[] = {
        {"graph\n", "line 1: the graph's name", SQZ_E_FORMAT},
        {"graph \"\" colour\n", "'colour", SQZ_E_FORMAT},
        {"\n\ninput x f33 1\n", "line 3: 'f33' is no type", SQZ_E_FORMAT},
        {"input x f32 1x2x3x4x5x6x7x8x9\n", "8 dimensions", SQZ_E_FORMAT},
        {"input x f32 -1\n", "negative", SQZ_E_SHAPE},
        {"input x f32 2\ninput x f32 2\n", "line 2: value 'x' is defined twice", SQZ_E_FORMAT},
        {"const w f32 3 = 1 2\n", "3 numbers are expected, there are 2", SQZ_E_FORMAT},
        {"const w f32 1 = 1 2\n", "more than 1 numbers", SQZ_E_FORMAT},
        {"const w s8 1 = 200\n", "200 does not fit s8", SQZ_E_FORMAT},
        {"const w f32 999999999999 = 1\n", "too short", SQZ_E_FORMAT},
        {"const w f32 4611686018427387904 = 1\n", "too large", SQZ_E_LIMIT},
        {"input x f32 2\ny = relu(z)\n", "line 2: value 'z' is not defined yet", SQZ_E_FORMAT},
        {"input x f32 2\ny = rellu(x)\n", "no operator is called 'rellu'", SQZ_E_FORMAT},
        {"input x f32 2\ny f32 3 = relu(x)\n", "inference says f32 2", SQZ_E_FORMAT},
        {"input x f32 2\ny = relu(x) @n\nz = relu(x) @n\n", "node 'n' is defined twice",
         SQZ_E_FORMAT},
        {"input x f32 2\ny = relu(x) @n bits=3\n", "bits", SQZ_E_ARG},
        {"input x f32 2\ny = relu(x\n", "',' or ')'", SQZ_E_FORMAT},
        {"input x f32 2 last\n", "channel-last needs", SQZ_E_FORMAT},
        {"input x f32 2 quant s8 axis=-1 group=0 [0@0]\n", "scale", SQZ_E_ARG},
        {"input x f32 2 quant s8 axis=0 group=0 [1@0]\n", "one scale per index", SQZ_E_FORMAT},
        {"const w s4 1 quant s4 bits=3 axis=-1 group=0 [1@0] = 4\n", "does not fit the bits",
         SQZ_E_FORMAT},
        {"const w s4 1 quant s4 bits=4 axis=-1 group=0 [1@0] = 4\n",
         "grid of s4 cannot have 4 bits", SQZ_E_FORMAT},
        {"input x f32 2 twin z\n", "twin 'z' is not defined", SQZ_E_FORMAT},
        {"input \"x f32 2\n", "not closed", SQZ_E_FORMAT},
        {"input \"\\x0g\" f32 2\n", "hexadecimal", SQZ_E_FORMAT},
        {"output y\n", "not defined", SQZ_E_FORMAT},
    };
    sqz_ctx *ctx = test_ctx();
    for (size_t i = 0; i < SQZ_COUNT(row); i++) {
        sqz_graph *g = NULL;
        sqz_status s = sqz_graph_parse(ctx, row[i].text, &g);
        if (s != row[i].want || !strstr(sqz_last_error(ctx), row[i].part) || g)
            fail_msg("'%s': status %d, '%s'", row[i].text, (int)s, sqz_last_error(ctx));
    }
    sqz_ctx_free(ctx);
}

static void test_a_clone_keeps_the_bits_of_a_grid(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g, *h;
    TEST_OK(ctx, sqz_graph_parse(ctx, sample, &g));
    TEST_OK(ctx, sqz_graph_clone(g, &h));
    assert_int_equal(sqz_val(h, sqz_graph_find(h, "three"))->quant->bits, 3);
    sqz_graph_free(g);
    sqz_graph_free(h);
    sqz_ctx_free(ctx);
}

/* Truncated and damaged texts never crash, leak, or leave a graph behind on failure. */
static void test_damaged_text_is_survived(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {.seed = 5};
    char text[sizeof sample];
    unsigned refused = 0;
    for (int i = 0; i < 3000; i++) {
        memcpy(text, sample, sizeof sample);
        if (i % 3 == 0)
            text[sqz_rng_below(&r, sizeof sample)] = '\0';
        for (int k = 0; i % 3 && k < 1 + i % 4; k++)
            text[sqz_rng_below(&r, sizeof sample - 1)] = (char)(1 + sqz_rng_below(&r, 255));
        sqz_graph *g = NULL;
        if (sqz_graph_parse(ctx, text, &g) != SQZ_OK) {
            assert_null(g);
            assert_true(*sqz_last_error(ctx) != '\0');
            refused++;
        }
        sqz_graph_free(g);
    }
    assert_true(refused > 1000);
    sqz_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_reads_back_to_the_same_text),
        cmocka_unit_test(test_random_floats_keep_every_bit),
        cmocka_unit_test(test_large_constants_are_hashed_and_then_refused),
        cmocka_unit_test(test_refusals_name_the_line),
        cmocka_unit_test(test_a_clone_keeps_the_bits_of_a_grid),
        cmocka_unit_test(test_damaged_text_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
