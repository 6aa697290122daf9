/* Verification refuses every kind of damage that a pass could do. */
#include "ir/op.h"
#include "sqz_test.h"

static const char text[] =
    "graph \"\" layout\ninput x f32 1x4x5x3 last\n"
    "const w f32 2x1x1x3 last quant s8 axis=0 group=0 [1@0 2@0] = 1 2 3 4 5 6\n"
    "const b f32 2 = 1 2\n"
    "a f32 1x4x5x2 last = conv2d(x, w, b) @c\n"
    "r f32 1x4x5x2 last = relu(a) @r\n"
    "t f32 1x2x4x5 twin r = transpose(r) @t layout perm=0,3,1,2\n"
    "output t\n";

static sqz_value *val(sqz_graph *g, const char *name)
{
    return sqz_val(g, sqz_graph_find(g, name));
}
static sqz_node *nod(sqz_graph *g, const char *out) { return sqz_nod(g, val(g, out)->producer); }

static void wrong_order(sqz_graph *g) { nod(g, "a")->in[0] = sqz_graph_find(g, "r"); }
static void wrong_shape(sqz_graph *g) { val(g, "r")->shape.dim[1] = 9; }
static void wrong_type(sqz_graph *g) { val(g, "r")->dtype = SQZ_S8; }
static void wrong_producer(sqz_graph *g) { val(g, "a")->producer = val(g, "r")->producer; }
static void second_producer(sqz_graph *g) { nod(g, "r")->out[0] = sqz_graph_find(g, "a"); }
static void missing_input(sqz_graph *g) { nod(g, "r")->in[0] = SQZ_NONE; }
static void dead_input(sqz_graph *g)
{
    sqz_vid b = sqz_graph_find(g, "b");
    sqz_graph_remove_value(g, b);
}
static void dead_node(sqz_graph *g) { nod(g, "r")->dead = true; }
static void broken_list(sqz_graph *g) { nod(g, "r")->prev = SQZ_NONE; }
static void lost_node(sqz_graph *g)
{
    sqz_node *a = nod(g, "a");
    g->first = a->next;
    sqz_nod(g, g->first)->prev = SQZ_NONE;
}
static void same_name(sqz_graph *g) { val(g, "r")->name = "a"; }
static void scale_zero(sqz_graph *g) { ((float *)(uintptr_t)val(g, "w")->quant->scale)[1] = 0; }
static void scale_count(sqz_graph *g) { ((sqz_quant *)(uintptr_t)val(g, "w")->quant)->n = 1; }
static void grid_axis(sqz_graph *g) { ((sqz_quant *)(uintptr_t)val(g, "w")->quant)->axis = 4; }
static void grid_type(sqz_graph *g)
{
    ((sqz_quant *)(uintptr_t)val(g, "w")->quant)->dtype = SQZ_F32;
}
static void bias_grid(sqz_graph *g)
{
    static const float one = 1;
    static const int32_t zero = 0;
    (void)sqz_value_set_quant(g, sqz_graph_find(g, "b"), SQZ_S8, -1, 1, &one, &zero);
}
static void bias_zero(sqz_graph *g)
{
    static const float one = 1;
    static const int32_t zero = 3;
    (void)sqz_value_set_quant(g, sqz_graph_find(g, "b"), SQZ_S32, -1, 1, &one, &zero);
}
static void layout_file(sqz_graph *g) { val(g, "w")->channel_last = false; }
static void layout_last(sqz_graph *g)
{
    g->output[0] = sqz_graph_find(g, "r");
    val(g, "b")->channel_last = true;
}
static void twin_self(sqz_graph *g) { val(g, "t")->twin = sqz_graph_find(g, "x"); }
static void twin_layout(sqz_graph *g) { val(g, "t")->channel_last = true; }
static void constant_shape(sqz_graph *g) { val(g, "b")->shape.dim[0] = 3; }
static void constant_role(sqz_graph *g) { val(g, "b")->role = SQZ_ROLE_INPUT; }
static void bad_attrs(sqz_graph *g) { nod(g, "a")->attrs = NULL; }
static void lost_output(sqz_graph *g) { g->output[0] = 999; }
static void not_an_input(sqz_graph *g) { g->input[0] = sqz_graph_find(g, "b"); }

static void test_every_damage_is_found(void **state)
{
    (void)state;
    static void (*const damage[])(sqz_graph *) = {
        wrong_order, wrong_shape, wrong_type,  wrong_producer, second_producer, missing_input,
        dead_input,  dead_node,   broken_list, lost_node,      same_name,       scale_zero,
        scale_count, grid_axis,   grid_type,   bias_grid,      bias_zero,       layout_file,
        layout_last, twin_self,   twin_layout, constant_shape, constant_role,   bad_attrs,
        lost_output, not_an_input};
    sqz_ctx *ctx = test_ctx();
    sqz_graph *g = NULL;
    TEST_OK(ctx, sqz_graph_parse(ctx, text, &g));
    for (size_t i = 0; i < SQZ_COUNT(damage); i++) {
        sqz_graph *h = NULL;
        TEST_OK(ctx, sqz_graph_clone(g, &h));
        TEST_OK(ctx, sqz_graph_verify(h));
        damage[i](h);
        sqz_status s = sqz_graph_verify(h);
        if (s == SQZ_OK || !strstr(sqz_last_error(ctx), "invalid graph"))
            fail_msg("damage %zu: status %d, '%s'", i, (int)s, sqz_last_error(ctx));
        sqz_graph_free(h);
    }
    sqz_graph_free(g);
    sqz_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_damage_is_found)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
