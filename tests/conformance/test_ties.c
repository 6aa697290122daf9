/* Walks the operator table: for every case of an operator with rows, taking classes of indices away
 * equals setting them to zero and cutting the result; and a rule lets something leave in at least
 * one case. Names are <operator>/<case>/ties. */
#include "prune_case.h"

#define MAX_IN  8
#define MAX_OUT 8

typedef struct claim {
    const sqz_op *op;
    unsigned index;
} claim;

typedef struct made {
    sqz_graph *g;
    sqz_tensor in[MAX_IN]; /* of the graph's inputs */
} made;

static void fill(sqz_tensor *t, const sqz_case *c, sqz_rng *r)
{
    const double lo = c->lo == 0 && c->hi == 0 ? -1 : c->lo,
                 hi = c->lo == 0 && c->hi == 0 ? 1 : c->hi;
    for (size_t i = 0; i < t->count; i++)
        if (sqz_dtype_is_float(t->dtype))
            sqz_tensor_set_f64(t, i, lo + (hi - lo) * sqz_rng_uniform(r));
        else
            sqz_tensor_set_i64(t, i,
                               (int64_t)lo + (int64_t)sqz_rng_below(r, (uint64_t)(hi - lo) + 1));
}

static void add_node(sqz_graph *g, const sqz_op *op, const sqz_case *c, const sqz_vid *in)
{
    sqz_arena a = {.ctx = g->ctx};
    void *opts = sqz_arena_alloc(&a, 1, op->info.opt_size + 1);
    sqz_opts_default(&op->info, opts);
    TEST_OK(g->ctx, sqz_opts_parse(&a, &op->info, c->attrs ? c->attrs : "", opts));
    const unsigned most = SQZ_MIN(op->n_out_max, MAX_OUT);
    sqz_status s = SQZ_E_ARG;
    for (unsigned n = op->n_out_min; n <= most && s != SQZ_OK; n++)
        s = sqz_graph_node(g, op, "node", opts, in, c->n_in, NULL, n, SQZ_NONE, NULL);
    TEST_OK(g->ctx, s);
    sqz_arena_free(&a);
}

static void make(made *m, sqz_ctx *ctx, const claim *cl)
{
    const sqz_case *c = &cl->op->cases[cl->index];
    sqz_rng r = {.seed = 4000 + cl->index};
    sqz_vid in[MAX_IN];
    *m = (made){0};
    TEST_OK(ctx, sqz_graph_create(ctx, &m->g));
    m->g->have = SQZ_HAS_LAYOUT;
    for (unsigned i = 0; i < c->n_in; i++) {
        sqz_tensor t;
        in[i] = SQZ_NONE;
        if (c->in[i].rank < 0)
            continue;
        TEST_OK(ctx, sqz_tensor_alloc(ctx, c->dtype[i], &c->in[i], &t));
        fill(&t, c, &r);
        if (c->constant >> i & 1) {
            TEST_OK(ctx, sqz_graph_constant(m->g, NULL, &t, &in[i]));
        } else {
            m->in[m->g->n_input] = t;
            TEST_OK(ctx, sqz_graph_input(m->g, NULL, c->dtype[i], &c->in[i], &in[i]));
        }
        sqz_val(m->g, in[i])->channel_last = cl->op->layout == SQZ_L_CHANNELS && c->in[i].rank >= 3;
    }
    add_node(m->g, cl->op, c, in);
    const sqz_node *n = sqz_nod(m->g, m->g->last);
    TEST_OK(ctx, sqz_graph_set_outputs(m->g, n->out, n->n_out));
}

static void unmake(made *m)
{
    for (uint32_t i = 0; i < m->g->n_input; i++)
        sqz_tensor_free(m->g->ctx, &m->in[i]);
    sqz_graph_free(m->g);
}

/* Zeros of the oracle would be divisors. */
static bool is_integer_division(const claim *cl)
{
    const char *name = cl->op->info.name;
    return cl->op->cases[cl->index].dtype[1] != SQZ_F32 &&
           (strcmp(name, "div") == 0 || strcmp(name, "mod") == 0);
}

static const sqz_class_options open_ends = {.open_ends = true};

/* Largest family of the case. */
static uint32_t widest(const sqz_classes *c)
{
    uint32_t n = 0;
    for (uint32_t f = 0; f < c->n_family; f++)
        n = SQZ_MAX(n, c->family[f].n);
    return n;
}

static void test_ties(void **state)
{
    sqz_ctx *ctx = test_ctx();
    made m;
    sqz_classes *c;
    make(&m, ctx, *state);
    const bool numbers = !is_integer_division(*state);
    TEST_OK(ctx, sqz_classes_build(m.g, &open_ends, &c));
    bool *gone = calloc(c->n_class + 1, sizeof *gone), shifts;
    sqz_rng r = {.seed = 5};
    for (int round = 0; round < 6; round++) { /* few, many, and one class at a time */
        prune_draw(c, &r, round < 3 ? 0.3 : 0.8, gone, &shifts);
        prune_check(c, gone, m.in, numbers ? shifts ? PRUNE_SHAPES : PRUNE_EXACT : PRUNE_CUT);
    }
    for (uint32_t f = 0; f < c->n_family; f++) {
        memset(gone, 0, c->n_class * sizeof *gone);
        gone[c->member[c->family[f].first]] = c->family[f].n > 1;
        prune_check(c, gone, m.in,
                    numbers ? c->family[f].shifts ? PRUNE_SHAPES : PRUNE_EXACT : PRUNE_CUT);
    }
    free(gone);
    sqz_classes_free(c);
    unmake(&m);
    sqz_ctx_free(ctx);
}

static void test_not_vacuous(void **state)
{
    const claim *cl = *state;
    uint32_t n = 0;
    for (unsigned i = 0; i < cl->op->n_cases; i++) {
        sqz_ctx *ctx = test_ctx();
        const claim one = {cl->op, i};
        made m;
        sqz_classes *c;
        make(&m, ctx, &one);
        TEST_OK(ctx, sqz_classes_build(m.g, &open_ends, &c));
        n = SQZ_MAX(n, widest(c));
        sqz_classes_free(c);
        unmake(&m);
        sqz_ctx_free(ctx);
    }
    assert_true(n > 1);
}

int main(void)
{
    static struct CMUnitTest test[4096];
    static claim claims[4096];
    static char name[4096][64];
    size_t n = 0;
    for (size_t i = 0; i < sqz_n_ops; i++) {
        const sqz_op *op = sqz_ops[i];
        for (unsigned k = 0; op->ties && k <= op->n_cases && n < SQZ_COUNT(test); k++, n++) {
            claims[n] = (claim){op, k};
            (void)snprintf(name[n], sizeof name[n], k < op->n_cases ? "%s/%u/ties" : "%s/leaves",
                           op->info.name, k);
            test[n] = (struct CMUnitTest){.name = name[n],
                                          .test_func = k < op->n_cases ? test_ties
                                                                       : test_not_vacuous,
                                          .initial_state = &claims[n]};
        }
    }
    if (n < 300 || n == SQZ_COUNT(test)) {
        (void)fprintf(stderr, "%zu claims\n", n);
        return 1;
    }
    return _cmocka_run_group_tests("ties", test, n, NULL, NULL);
}
