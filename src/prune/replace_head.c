/* replace_head.c: another number of classes: the last layer before the output is made anew. */
#include "prune/student.h"
#include <stdio.h>
#include <string.h>

static bool is(const sqz_node *n, const char *names) /* "|a|b|" */
{
    char key[64];
    (void)snprintf(key, sizeof key, "|%s|", n->op->info.name);
    return strstr(names, key) != NULL;
}

/* What may stand between the layer and the output: it keeps the classes apart. */
#define BEHIND                                                                                     \
    "|softmax|log_softmax|reshape|flatten|squeeze|transpose|global_average_pool|"                  \
    "global_max_pool|average_pool|reduce_mean|identity|cast|"

static bool is_layer(const sqz_graph *g, const sqz_node *n)
{
    const sqz_value *w = n->n_in > 1 && n->in[1] != SQZ_NONE ? sqz_val(g, n->in[1]) : NULL;
    if (!is(n, "|gemm|matmul|conv2d|") || !w || !w->constant || w->dtype != SQZ_F32)
        return false;
    if (is(n, "|conv2d|")) { /* 1x1, one group */
        const sqz_value *x = sqz_val(g, n->in[0]);
        return (int64_t)w->constant->count == w->shape.dim[0] * x->shape.dim[sqz_axis_c(x)];
    }
    return w->shape.rank == 2;
}

typedef struct head {
    sqz_nid layer;
    int64_t classes; /* now */
    sqz_vid bias;    /* constant that an addition behind the layer adds, or SQZ_NONE */
} head;

/* The other operand of an addition with a constant. */
static bool passes_addition(const sqz_graph *g, const sqz_node *n, head *h, sqz_vid *v)
{
    for (unsigned k = 0; k < 2 && is(n, "|add|"); k++)
        if (sqz_val(g, n->in[k])->constant && h->bias == SQZ_NONE) {
            h->bias = n->in[k];
            *v = n->in[1 - k];
            return true;
        }
    return false;
}

static sqz_status none(const sqz_graph *g, const sqz_node *n)
{
    if (!n)
        return sqz_fail(g->ctx, SQZ_E_UNSUPPORTED,
                        "no dense layer or 1x1 convolution leads to the output: there is no head "
                        "to replace");
    return sqz_fail(g->ctx, SQZ_E_UNSUPPORTED,
                    "node '%s' (%s) stands before the output, not a dense layer or 1x1 "
                    "convolution: there is no head to replace",
                    n->name, n->op->info.name);
}

static sqz_status find(const sqz_graph *g, head *h)
{
    *h = (head){.layer = SQZ_NONE, .bias = SQZ_NONE};
    if (g->n_output != 1)
        return sqz_fail(g->ctx, SQZ_E_UNSUPPORTED,
                        "the model has %u outputs: only the head of a single one is replaced",
                        (unsigned)g->n_output);
    for (sqz_vid v = g->output[0];;) {
        const sqz_nid p = sqz_val(g, v)->producer;
        if (p == SQZ_NONE)
            return none(g, NULL);
        const sqz_node *n = sqz_nod(g, p);
        if (is_layer(g, n)) {
            const sqz_shape *w = &sqz_val(g, n->in[1])->shape;
            h->layer = p;
            h->classes = w->dim[is(n, "|matmul|") ? 1 : 0];
            return SQZ_OK;
        }
        if (passes_addition(g, n, h, &v))
            continue;
        if (!is(n, BEHIND) && !(n->op->traits & SQZ_T_UNARY))
            return none(g, n);
        v = n->in[0];
    }
}

/* A constant with another length along the axis that has as many entries as classes were. */
static sqz_status resize(sqz_graph *g, sqz_vid v, int64_t from, int64_t to, int32_t axis)
{
    sqz_shape s = sqz_val(g, v)->shape;
    sqz_tensor t;
    if (axis >= s.rank || s.dim[axis] != from)
        return sqz_fail(g->ctx, SQZ_E_UNSUPPORTED, "'%s' has no axis of %lld entries to replace",
                        sqz_val(g, v)->name, (long long)from);
    s.dim[axis] = to;
    SQZ_TRY(sqz_tensor_alloc(g->ctx, SQZ_F32, &s, &t));
    return sqz_value_set_constant(g, v, &t);
}

/* Constants of another reader keep what they have: the layer gets its own. */
static sqz_status own(sqz_graph *g, sqz_nid layer, unsigned slot)
{
    const sqz_vid v = sqz_nod(g, layer)->in[slot];
    bool shared = false;
    SQZ_EACH_NODE(g, id)
    {
        for (unsigned i = 0; i < sqz_nod(g, id)->n_in; i++)
            shared = shared || (sqz_nod(g, id)->in[i] == v && (id != layer || i != slot));
    }
    if (!shared)
        return SQZ_OK;
    sqz_tensor t;
    sqz_vid fresh;
    const sqz_value *old = sqz_val(g, v);
    const bool last = old->channel_last;
    sqz_tensor_share(old->constant, &t);
    SQZ_TRY(sqz_graph_constant(g, old->name, &t, &fresh));
    sqz_val(g, fresh)->channel_last = last;
    sqz_nod(g, layer)->in[slot] = fresh;
    return SQZ_OK;
}

/* Targets of a reshape behind the layer that name the classes. */
static sqz_status retarget(sqz_graph *g, sqz_arena *a, const head *h, int64_t classes)
{
    bool behind = false;
    SQZ_EACH_NODE(g, id)
    {
        const sqz_node *n = sqz_nod(g, id);
        behind = behind || id == h->layer;
        if (!behind || !is(n, "|reshape|"))
            continue;
        void *attrs;
        SQZ_TRY(sqz_opts_copy(a, &n->op->info, n->attrs, &attrs));
        for (unsigned i = 0; i < n->op->info.n_opts; i++) {
            if (strcmp(n->op->info.opts[i].name, "shape") != 0)
                continue;
            sqz_ints *list = sqz_opt_field(&n->op->info.opts[i], attrs);
            int64_t *v = sqz_arena_alloc(a, (size_t)list->n + 1, sizeof *v);
            if (!v)
                return SQZ_E_NOMEM;
            for (uint32_t k = 0; k < list->n; k++)
                v[k] = list->v[k] == h->classes ? classes : list->v[k];
            list->v = v;
        }
        SQZ_TRY(sqz_node_set_attrs(g, id, attrs));
    }
    return SQZ_OK;
}

static sqz_status replace(sqz_graph *g, sqz_arena *a, const head *h, int64_t classes, uint64_t seed,
                          sqz_vid *weight, sqz_vid *bias)
{
    const sqz_node *n = sqz_nod(g, h->layer);
    bool *only = NULL;
    SQZ_TRY(own(g, h->layer, 1));
    SQZ_TRY(resize(g, n->in[1], h->classes, classes, is(n, "|matmul|") ? 1 : 0));
    *weight = n->in[1];
    *bias = h->bias;
    if (n->n_in > 2 && n->in[2] != SQZ_NONE) {
        SQZ_TRY(own(g, h->layer, 2));
        *bias = n->in[2];
        SQZ_TRY(resize(g, *bias, h->classes, classes, 0));
    }
    if (h->bias != SQZ_NONE && sqz_val(g, h->bias)->constant->count > 1) {
        const int32_t rank = sqz_val(g, h->bias)->shape.rank;
        SQZ_TRY(resize(g, h->bias, h->classes, classes, rank - 1));
    }
    SQZ_TRY(retarget(g, a, h, classes));
    SQZ_TRY(sqz_graph_infer(g));
    only = sqz_arena_alloc(a, (size_t)g->n_value + 1, sizeof *only);
    if (!only)
        return SQZ_E_NOMEM;
    only[*weight] = true; /* biases are zeros already */
    SQZ_TRY(sqz_init_random(g, seed, only));
    return sqz_graph_verify(g);
}

sqz_status sqz_replace_head(sqz_graph *g, int64_t classes, uint64_t seed, sqz_vid *weight,
                            sqz_vid *bias)
{
    sqz_arena a = {.ctx = g->ctx};
    sqz_vid unused[2];
    head h;
    if (classes < 1 || classes > INT32_MAX)
        return sqz_fail(g->ctx, SQZ_E_ARG, "%lld classes, expected at least 1", (long long)classes);
    sqz_status s = find(g, &h);
    if (s == SQZ_OK)
        s = replace(g, &a, &h, classes, seed, weight ? weight : &unused[0],
                    bias ? bias : &unused[1]);
    sqz_arena_free(&a);
    return sqz_note(g->ctx, s, "new head");
}
