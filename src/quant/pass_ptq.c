/* ptq: post-training quantization. Activations get asymmetric grids from their ranges,
 * weights symmetric ones per output channel, biases 32 bits. docs/quantization.md says what becomes
 * integer and which grids are shared. */
#include "quant/ptq.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef sqz_ptq_options options;

static void note(const sqz_ptq *p, sqz_log_level level, const char *fmt, va_list ap)
{
    char text[512];
    (void)vsnprintf(text, sizeof text, fmt, ap);
    sqz_log(p->g->ctx, level, "%s", text);
    if (p->env->notes) {
        sqz_str_add(p->env->notes, text);
        sqz_str_add(p->env->notes, "\n");
    }
}

void sqz_ptq_note(const sqz_ptq *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    note(p, SQZ_LOG_WARN, fmt, ap);
    va_end(ap);
}

void sqz_ptq_fact(const sqz_ptq *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    note(p, SQZ_LOG_INFO, fmt, ap);
    va_end(ap);
}

static sqz_status refuse_quantized(const sqz_graph *g)
{
    if (g->have & SQZ_HAS_QUANT)
        return sqz_fail(g->ctx, SQZ_E_ARG, "the model is quantized already");
    for (sqz_vid v = 0; v < g->n_value; v++)
        if (!sqz_value_dead(sqz_val(g, v)) && sqz_val(g, v)->quant && !sqz_val(g, v)->constant)
            return sqz_fail(g->ctx, SQZ_E_ARG,
                            "the model is quantized already: value '%s' has a "
                            "scale",
                            sqz_val(g, v)->name);
    return SQZ_OK;
}

/* Weights that the file keeps as integers, under float operators, are quantized anew. */
static sqz_status unfold_weights(sqz_ptq *p)
{
    sqz_graph *g = p->g;
    uint32_t n = 0;
    SQZ_EACH_NODE(g, id)
    {
        const sqz_node *nd = sqz_nod(g, id);
        if (strcmp(nd->op->info.name, "dequantize") != 0 || !sqz_val(g, nd->in[0])->constant)
            continue;
        SQZ_TRY(sqz_fold_node(g, id));
        n++;
    }
    if (n == 0)
        return SQZ_OK;
    sqz_ptq_fact(p, "%u weights of the model are integers already; they are quantized anew", n);
    sqz_uses u;
    SQZ_TRY(sqz_uses_build(g, p->a, &u));
    for (sqz_vid v = 0; v < g->n_value; v++)
        if (sqz_val(g, v)->constant && sqz_val(g, v)->quant && sqz_n_uses(&u, v) == 0)
            sqz_graph_remove_value(g, v);
    return SQZ_OK;
}

static void set_type(sqz_ptq *p)
{
    const int64_t bits = p->o->activations;
    p->type = bits == 16 ? SQZ_S16 : bits == 4 ? SQZ_S4 : SQZ_S8;
    p->hi = (1 << (sqz_dtype_bits(p->type) - 1)) - 1;
    p->lo = -p->hi - 1;
}

static sqz_status prepare(sqz_ptq *p)
{
    p->n_value = p->g->n_value;
    p->n_node = p->g->n_node;
    p->integer = sqz_arena_alloc(p->a, p->n_node + 1u, sizeof *p->integer);
    p->pairs = sqz_arena_alloc(p->a, p->n_node + 1u, sizeof *p->pairs);
    p->coded = sqz_arena_alloc(p->a, p->n_node + 1u, sizeof *p->coded);
    p->covered = sqz_arena_alloc(p->a, p->n_value + 1u, sizeof *p->covered);
    p->range = sqz_arena_alloc(p->a, p->n_value + 1u, sizeof *p->range);
    p->grid = sqz_arena_alloc(p->a, p->n_value + 1u, sizeof *p->grid);
    p->set_grid = sqz_arena_alloc(p->a, p->n_value + 1u, sizeof *p->set_grid);
    p->fixed_apart = sqz_arena_alloc(p->a, p->n_value + 1u, sizeof *p->fixed_apart);
    if (!p->integer || !p->pairs || !p->coded || !p->covered || !p->range || !p->grid ||
        !p->set_grid || !p->fixed_apart)
        return SQZ_E_NOMEM;
    return sqz_uses_build(p->g, p->a, &p->uses);
}

static sqz_status quantize(sqz_ptq *p)
{
    SQZ_TRY(prepare(p));
    set_type(p);
    SQZ_TRY(sqz_ptq_schemes(p));
    SQZ_TRY(sqz_ptq_plan(p));
    if (p->o->dynamic) {
        SQZ_TRY(sqz_ptq_dynamic(p));
    } else {
        SQZ_TRY(sqz_ptq_trim(p));
        SQZ_TRY(sqz_ptq_grids(p));
        SQZ_TRY(sqz_ptq_weights(p));
        SQZ_TRY(sqz_ptq_borders(p));
    }
    SQZ_TRY(sqz_ptq_coded(p));
    return p->env->notes ? p->env->notes->status : SQZ_OK;
}

static sqz_status run(sqz_graph *g, const void *opts, sqz_env *env)
{
    const options *o = opts;
    sqz_arena a = {.ctx = g->ctx};
    sqz_ptq p = {.g = g,
                 .env = env,
                 .a = &a,
                 .o = o,
                 .integer_softmax = env->integer_only || o->softmax == 1};
    SQZ_TRY(refuse_quantized(g));
    SQZ_TRY(sqz_note(g->ctx, sqz_selection_check(g, o->exclude), "exclude"));
    sqz_status s = unfold_weights(&p);
    if (s == SQZ_OK)
        s = sqz_keep_reference(g, env);
    if (s == SQZ_OK)
        s = quantize(&p);
    sqz_arena_free(&a);
    return s;
}

static const sqz_attr schema[] = {
    {.name = "exclude",
     .offset = offsetof(options, exclude),
     .type = SQZ_A_STRING,
     .doc = "nodes that stay float: names, regular expressions or operator types, by commas"},
    {.name = "per_tensor",
     .offset = offsetof(options, per_tensor),
     .type = SQZ_A_BOOL,
     .max = 1,
     .doc = "one scale for all output channels of a weight"},
    {.name = "weights",
     .offset = offsetof(options, weights),
     .type = SQZ_A_INT,
     .def = 8,
     .min = 2,
     .max = 8,
     .doc = "bits of a weight: 8, 4, 3 or 2"},
    {.name = "group",
     .offset = offsetof(options, group),
     .type = SQZ_A_INT,
     .max = 1024,
     .doc = "terms of a product that share a scale: 16, 32, 64, 128; 0: all of an output"},
    {.name = "activations",
     .offset = offsetof(options, activations),
     .type = SQZ_A_INT,
     .def = 8,
     .max = 16,
     .doc = "bits of activations: 8, 16, 4; 0: they stay float"},
    {.name = "dynamic",
     .offset = offsetof(options, dynamic),
     .type = SQZ_A_BOOL,
     .doc = "grids of activations are found at every run: no calibration"},
    {.name = "ranges",
     .offset = offsetof(options, ranges),
     .type = SQZ_A_ENUM,
     .names = "auto|minmax|mse|lsq",
     .doc = "how the scale of weights is found; auto: minmax for 8 bits, mse for fewer"},
    {.name = "bits",
     .offset = offsetof(options, bits),
     .type = SQZ_A_STRING,
     .doc = "bits of some nodes' weights: \"stem:8, block.*:4, fc:float\"; the first that fits"},
    {.name = "edges",
     .offset = offsetof(options, edges),
     .type = SQZ_A_INT,
     .def = -1,
     .min = -1,
     .max = 8,
     .doc = "least bits of the first and last products' weights; 0: as all; -1: 8 where they hold "
            "at most a tenth of all weights"},
    {.name = "pow2",
     .offset = offsetof(options, pow2),
     .type = SQZ_A_BOOL,
     .doc = "scales are powers of two"},
    {.name = "symmetric",
     .offset = offsetof(options, symmetric),
     .type = SQZ_A_BOOL,
     .doc = "zero points of activations are 0"},
    {.name = "softmax",
     .offset = offsetof(options, softmax),
     .type = SQZ_A_ENUM,
     .names = "float|integer",
     .doc =
         "a softmax that ends the model: in 1/256 steps probabilities tie, and rare ones vanish"},
    {.name = "islands",
     .offset = offsetof(options, islands),
     .type = SQZ_A_ENUM,
     .names = "float|integer",
     .doc = "elementwise nodes that only float nodes and outputs read; roots and logarithms"},
};

/* Grids of activations come from ranges; weights alone need none. */
static unsigned needs_by(const void *opts)
{
    const options *o = opts;
    return o->activations && !o->dynamic ? SQZ_HAS_RANGES : 0;
}

const sqz_pass sqz_pass_ptq = {
    .info = {.name = "ptq",
             .doc = "post-training quantization",
             .opt_size = sizeof(options),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .needs = SQZ_HAS_LAYOUT,
    .needs_by = needs_by,
    .gives = SQZ_HAS_QUANT,
    .run = run,
};
