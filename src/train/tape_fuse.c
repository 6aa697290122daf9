/* tape_fuse.c: clamps (relu, clip) behind batch norms and products are computed with them, where
 * nobody else reads what is clamped. A batch norm takes over the gradient of its clamp too: it
 * finds again what was cut. That of a product's clamp reads the result. */
#include "ops/batch_norm.h"
#include "ops/dropout.h"
#include "ops/team.h"
#include "train/tape_impl.h"
#include <math.h>
#include <string.h>

static bool is_node(const sqz_node *n, const char *name)
{
    return strcmp(n->op->info.name, name) == 0;
}

static double number(const sqz_node *n, const char *name)
{
    for (unsigned i = 0; i < n->op->info.n_opts; i++)
        if (strcmp(n->op->info.opts[i].name, name) == 0)
            return *(const double *)sqz_opt_field(&n->op->info.opts[i], n->attrs);
    return NAN;
}

/* Only a node reads it, and nobody outside. */
static sqz_nid sole_reader(const sqz_tape *t, const sqz_uses *u, sqz_vid v)
{
    if (v == SQZ_NONE || t->wanted[v] || t->seed[v] || t->read[v] || sqz_n_uses(u, v) != 1)
        return SQZ_NONE;
    return u->node[u->first[v]];
}

/* The clamp that alone reads v. */
static sqz_nid clamp_behind(const sqz_tape *t, const sqz_uses *u, sqz_vid v, double *lo, double *hi)
{
    const sqz_nid id = sole_reader(t, u, v);
    const sqz_node *n = id == SQZ_NONE ? NULL : sqz_nod(t->g, id);
    if (!n || (!is_node(n, "relu") && !is_node(n, "clip")))
        return SQZ_NONE;
    *lo = is_node(n, "relu") ? 0 : number(n, "min");
    *hi = is_node(n, "relu") ? (double)INFINITY : number(n, "max");
    return *lo < *hi ? id : SQZ_NONE;
}

static sqz_status fuse_norm(sqz_tape *t, const sqz_uses *u, sqz_nid id)
{
    sqz_node *n = sqz_nod(t->g, id);
    double lo, hi;
    const sqz_nid clamp = clamp_behind(t, u, n->out[0], &lo, &hi);
    const sqz_batch_norm_train_attrs *a = n->attrs;
    if (clamp == SQZ_NONE || a->lo > -(double)INFINITY || a->hi < (double)INFINITY)
        return SQZ_OK;
    sqz_batch_norm_train_attrs *b = sqz_arena_alloc(&t->g->arena, 1, sizeof *b);
    if (!b)
        return SQZ_E_NOMEM;
    *b = (sqz_batch_norm_train_attrs){a->epsilon, lo, hi, NULL};
    n->attrs = b;
    const sqz_vid y = sqz_nod(t->g, clamp)->out[0], own = n->out[0];
    n->out[0] = y;
    sqz_val(t->g, y)->producer = id;
    sqz_val(t->g, own)->producer = SQZ_NONE; /* dead */
    sqz_node *c = sqz_nod(t->g, clamp);
    *(c->prev == SQZ_NONE ? &t->g->first : &sqz_nod(t->g, c->prev)->next) = c->next;
    *(c->next == SQZ_NONE ? &t->g->last : &sqz_nod(t->g, c->next)->prev) = c->prev;
    return SQZ_OK;
}

sqz_status sqz_tape_fuse_norms(sqz_tape *t)
{
    sqz_uses u;
    SQZ_TRY(sqz_uses_build(t->g, &t->arena, &u));
    for (sqz_nid id = t->g->first; id != SQZ_NONE; id = sqz_nod(t->g, id)->next)
        if (is_node(sqz_nod(t->g, id), "batch_norm_train"))
            SQZ_TRY(fuse_norm(t, &u, id));
    return SQZ_OK;
}

static sqz_status share_norm(sqz_tape *t, sqz_node *n)
{
    sqz_batch_norm_train_attrs *b = sqz_arena_alloc(&t->g->arena, 1, sizeof *b);
    if (!b)
        return SQZ_E_NOMEM;
    *b = *(const sqz_batch_norm_train_attrs *)n->attrs;
    b->team = t->team;
    n->attrs = b;
    return SQZ_OK;
}

static sqz_status share_dropout(sqz_tape *t, sqz_node *n)
{
    sqz_dropout_train_attrs *b = sqz_arena_alloc(&t->g->arena, 1, sizeof *b);
    if (!b)
        return SQZ_E_NOMEM;
    *b = *(const sqz_dropout_train_attrs *)n->attrs;
    b->part = t->team->rank;
    n->attrs = b;
    return SQZ_OK;
}

sqz_status sqz_tape_share_batch(sqz_tape *t)
{
    for (sqz_nid id = t->g->first; t->team && id != SQZ_NONE; id = sqz_nod(t->g, id)->next) {
        sqz_node *n = sqz_nod(t->g, id);
        if (is_node(n, "batch_norm_train"))
            SQZ_TRY(share_norm(t, n));
        else if (is_node(n, "dropout_train"))
            SQZ_TRY(share_dropout(t, n));
    }
    return SQZ_OK;
}

/* The step of node `id`, which stands behind step i. */
static sqz_tape_step *step_of(sqz_tape *t, uint32_t i, sqz_nid id)
{
    while (++i < t->n)
        if (t->step[i].node == sqz_nod(t->g, id))
            return &t->step[i];
    return NULL;
}

sqz_status sqz_tape_fuse_clamps(sqz_tape *t)
{
    sqz_uses u;
    SQZ_TRY(sqz_uses_build(t->g, &t->arena, &u));
    for (uint32_t i = 0; i < t->n; i++) {
        sqz_tape_step *s = &t->step[i];
        double lo, hi;
        if (!(s->node->op->traits & SQZ_T_FUSES) || s->node->n_out != 1 ||
            (s->node->op->grad_reads & SQZ_GRAD_OUT))
            continue;
        const sqz_nid id = clamp_behind(t, &u, s->node->out[0], &lo, &hi);
        sqz_tape_step *c = id == SQZ_NONE ? NULL : step_of(t, i, id);
        if (!c || (c->node->op->grad_reads & SQZ_GRAD_IN0))
            continue; /* clip's gradient reads what is clamped */
        s->out = c->node->out;
        s->fused = (sqz_fused){.lo = (float)lo, .hi = (float)hi};
        s->call.fused = &s->fused;
        c->runs = false;
    }
    return SQZ_OK;
}
