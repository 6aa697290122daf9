/* cle: cross-layer equalization, with dead channels cleared before and high biases absorbed behind
 * it (Nagel et al. 2019, "Data-free quantization through weight equalization and bias correction").
 * Where weights have one scale for a tensor this is what keeps depthwise networks alive. */
#include "quant/cle.h"
#include <math.h>
#include <string.h>

typedef struct options {
    int64_t sweeps, absorb, dead, clip;
    double activations;
} options;

sqz_nid sqz_cle_reader(const sqz_cle *c, sqz_vid v)
{
    return sqz_n_uses(&c->uses, v) == 1 ? c->uses.node[c->uses.first[v]] : SQZ_NONE;
}

bool sqz_cle_clamp(const sqz_node *n, float *lo, float *hi)
{
    *lo = 0;
    *hi = INFINITY;
    if (strcmp(n->op->info.name, "relu") == 0)
        return true;
    if (strcmp(n->op->info.name, "clip") != 0)
        return false;
    for (unsigned i = 0; i < n->op->info.n_opts; i++) {
        const double v = *(const double *)sqz_opt_field(&n->op->info.opts[i], n->attrs);
        *(strcmp(n->op->info.opts[i].name, "min") == 0 ? lo : hi) = (float)v;
    }
    return *lo <= *hi;
}

sqz_scaled *sqz_cle_linear(const sqz_cle *c, sqz_nid node)
{
    for (uint32_t i = 0; i < c->k.n_linear; i++)
        if (c->k.linear[i].node == node)
            return &c->k.linear[i];
    return NULL;
}

bool sqz_cle_read_by_linear(const sqz_cle *c, sqz_vid v)
{
    for (uint32_t u = c->uses.first[v]; u < c->uses.first[v + 1]; u++)
        if (c->uses.node[u] == SQZ_NONE || c->uses.slot[u] != 0 ||
            !sqz_cle_linear(c, c->uses.node[u]))
            return false;
    return sqz_n_uses(&c->uses, v) > 0;
}

static sqz_status own(sqz_graph *g, sqz_nid node, unsigned slot, float **out)
{
    const sqz_tensor *old = sqz_val(g, sqz_nod(g, node)->in[slot])->constant;
    sqz_tensor t;
    SQZ_TRY(sqz_tensor_room(g->ctx, SQZ_F32, &old->shape, &t));
    memcpy(t.data, old->data, t.bytes);
    SQZ_TRY(sqz_put_operand(g, node, slot, &t));
    *out = SQZ_F32P(sqz_val(g, sqz_nod(g, node)->in[slot])->constant);
    return SQZ_OK;
}

sqz_status sqz_cle_own(sqz_cle *c, sqz_scaled *l, float **weights, float **bias)
{
    SQZ_TRY(own(c->g, l->node, 1, weights));
    l->w = sqz_nod(c->g, l->node)->in[1];
    if (!bias)
        return SQZ_OK;
    SQZ_TRY(sqz_need_bias(c->g, l));
    SQZ_TRY(own(c->g, l->node, 2, bias));
    l->b = sqz_nod(c->g, l->node)->in[2];
    return SQZ_OK;
}

static sqz_status equalize(sqz_cle *c, const options *o)
{
    uint32_t changed;
    SQZ_TRY(sqz_uses_build(c->g, c->a, &c->uses));
    SQZ_TRY(sqz_scaling_find(c->g, c->a, &c->k));
    SQZ_TRY(sqz_cle_find_ends(c));
    if (o->dead)
        SQZ_TRY(sqz_cle_dead(c));
    c->split_clips = o->clip != 0;
    c->activations = o->activations;
    SQZ_TRY(sqz_cle_sweep(c, o->sweeps));
    SQZ_TRY(sqz_scaling_apply(&c->k, &changed));
    if (c->split_clips)
        SQZ_TRY(sqz_cle_clips(c));
    if (o->absorb)
        SQZ_TRY(sqz_cle_absorb(c));
    SQZ_INFO(c->g->ctx,
             "equalized %u channels in %u sweeps; %u reach the bound of a clip and stay, %u clips "
             "have bounds by channel; %u channels dead, %u high biases absorbed",
             changed, c->sweeps, c->held, c->split, c->dead, c->absorbed);
    return SQZ_OK;
}

static sqz_status run(sqz_graph *g, const void *opts, sqz_env *env)
{
    sqz_arena a = {.ctx = g->ctx};
    sqz_cle c = {.g = g, .env = env, .a = &a};
    if (g->have & SQZ_HAS_QUANT)
        return sqz_fail(g->ctx, SQZ_E_ARG, "cle works on float models: put it before 'ptq'");
    if (env->ranges)
        return sqz_fail(g->ctx, SQZ_E_ARG,
                        "cle changes the ranges of activations: ranges that were found before "
                        "(--ranges) do not hold any more; give data instead");
    sqz_status s = equalize(&c, opts);
    sqz_arena_free(&a);
    return s;
}

static const sqz_attr schema[] = {
    {.name = "sweeps",
     .offset = offsetof(options, sweeps),
     .type = SQZ_A_INT,
     .def = 100,
     .min = 0,
     .max = 10000,
     .doc = "visits of all layers at most; it ends before when nothing moves"},
    {.name = "clip",
     .offset = offsetof(options, clip),
     .type = SQZ_A_ENUM,
     .max = 1,
     .names = "hold|channel",
     .doc =
         "ReLU6 and the like: channels that reach the bound are not scaled, or each gets its own "
         "bound (a min more for each clip)"},
    {.name = "activations",
     .offset = offsetof(options, activations),
     .type = SQZ_A_FLOAT,
     .def = 0.3,
     .min = 0,
     .max = 1,
     .doc = "weight on the ranges of activations beside those of the weights that make them"},
    {.name = "absorb",
     .offset = offsetof(options, absorb),
     .type = SQZ_A_BOOL,
     .max = 1,
     .doc = "take what a channel never falls below off its bias, into the next layer's"},
    {.name = "dead",
     .offset = offsetof(options, dead),
     .type = SQZ_A_BOOL,
     .def = 1,
     .max = 1,
     .doc = "clear channels that are constant, or that nobody reads"},
};

const sqz_pass sqz_pass_cle = {
    .info = {.name = "cle",
             .doc = "cross-layer equalization: weights of neighboring layers get equal ranges",
             .opt_size = sizeof(options),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .needs = SQZ_HAS_LAYOUT | SQZ_HAS_FOLDED,
    .breaks = SQZ_HAS_RANGES,
    .exact = true,
    .run = run,
};
