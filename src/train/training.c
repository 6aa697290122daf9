/* training.c: see training.h. */
#include "train/training.h"
#include "ops/batch_norm.h"
#include "ops/dropout.h"
#include <math.h>
#include <string.h>

static bool is_op(const sqz_node *n, const char *name)
{
    return strcmp(n->op->info.name, name) == 0;
}

/* A float constant without a grid; NULL: none. */
static const sqz_tensor *constant(const sqz_graph *g, sqz_vid v)
{
    const sqz_value *x = v == SQZ_NONE ? NULL : sqz_val(g, v);
    return x && x->constant && x->dtype == SQZ_F32 && !x->quant ? x->constant : NULL;
}

/* ---- the training form of nodes ---- */

static sqz_status statistic(sqz_graph *g, sqz_nid id, const char *what, sqz_vid *out)
{
    const sqz_node *n = sqz_nod(g, id);
    const char *name = sqz_arena_printf(&g->arena, "%s.%s", n->name, what);
    if (!name)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_graph_value(g, name, SQZ_F32, &sqz_val(g, n->in[1])->shape, out));
    sqz_val(g, *out)->producer = id;
    return SQZ_OK;
}

static sqz_status running(sqz_training *t, const sqz_tensor *from, float **out)
{
    *out = sqz_arena_alloc(&t->arena, from->count + 1, sizeof **out);
    if (!*out)
        return SQZ_E_NOMEM;
    memcpy(*out, from->data, from->bytes);
    return SQZ_OK;
}

/* Two nodes that read the same constants move the same numbers. */
static sqz_status share_running(sqz_training *t, const sqz_graph *g, sqz_training_norm *m)
{
    for (uint32_t i = 0; i < t->n_norm; i++) {
        const sqz_training_norm *o = &t->norm[i];
        if (o->to_mean == m->to_mean)
            m->running_mean = o->running_mean;
        if (o->to_variance == m->to_variance)
            m->running_variance = o->running_variance;
    }
    if (!m->running_mean)
        SQZ_TRY(running(t, sqz_val(g, m->to_mean)->constant, &m->running_mean));
    if (!m->running_variance)
        SQZ_TRY(running(t, sqz_val(g, m->to_variance)->constant, &m->running_variance));
    return SQZ_OK;
}

/* batch_norm becomes batch_norm_train, in place: its output keeps its id. */
static sqz_status train_norm(sqz_training *t, sqz_nid id, int32_t processes)
{
    sqz_graph *g = t->g;
    sqz_node *n = sqz_nod(g, id);
    const sqz_batch_norm_attrs *a = n->attrs;
    const sqz_tensor *mean = constant(g, n->in[3]), *variance = constant(g, n->in[4]);
    sqz_training_norm *m = &t->norm[t->n_norm];
    if (!mean || !variance)
        return SQZ_OK; /* computed by other nodes: they stay what they are */
    sqz_vid *out = sqz_arena_alloc(&g->arena, 3, sizeof *out);
    sqz_batch_norm_train_attrs *b = sqz_arena_alloc(&g->arena, 1, sizeof *b);
    if (!out || !b)
        return SQZ_E_NOMEM;
    *b = (sqz_batch_norm_train_attrs){a->epsilon, -INFINITY, INFINITY, NULL};
    out[0] = n->out[0];
    SQZ_TRY(statistic(g, id, "mean", &out[1]));
    SQZ_TRY(statistic(g, id, "variance", &out[2]));
    *m = (sqz_training_norm){.mean = out[1],
                             .variance = out[2],
                             .to_mean = n->in[3],
                             .to_variance = n->in[4],
                             .n = mean->count,
                             .momentum = a->momentum};
    SQZ_TRY(share_running(t, g, m));
    size_t count, bytes;
    SQZ_TRY(sqz_shape_count(g->ctx, &sqz_val(g, n->in[0])->shape, SQZ_F32, &count, &bytes));
    const size_t each = m->n ? count / m->n * (size_t)SQZ_MAX(processes, 1) : 0;
    m->correction = each > 1 ? (double)each / (double)(each - 1) : 1;
    n->op = sqz_op_find("batch_norm_train");
    n->attrs = b;
    n->out = out;
    n->n_in = n->n_out = 3;
    t->read[t->n_read++] = out[1];
    t->read[t->n_read++] = out[2];
    t->n_norm++;
    return SQZ_OK;
}

/* Every node draws other numbers. */
static sqz_status train_dropout(sqz_graph *g, sqz_nid id, uint64_t seed)
{
    sqz_node *n = sqz_nod(g, id);
    sqz_rng r = {.seed = seed, .counter = id};
    sqz_dropout_train_attrs *b = sqz_arena_alloc(&g->arena, 1, sizeof *b);
    if (!b)
        return SQZ_E_NOMEM;
    *b = (sqz_dropout_train_attrs){((const sqz_dropout_attrs *)n->attrs)->ratio,
                                   (int64_t)(sqz_rng_u64(&r) >> 2), 0};
    n->op = sqz_op_find("dropout_train");
    n->attrs = b;
    return SQZ_OK;
}

static sqz_status train_nodes(sqz_training *t, const sqz_training_options *o)
{
    sqz_graph *g = t->g;
    uint32_t n = 0;
    SQZ_EACH_NODE(g, id) n += is_op(sqz_nod(g, id), "batch_norm");
    t->norm = sqz_arena_alloc(&t->arena, n + 1u, sizeof *t->norm);
    t->read = sqz_arena_alloc(&t->arena, 2 * n + 1u, sizeof *t->read);
    if (!t->norm || !t->read)
        return SQZ_E_NOMEM;
    SQZ_EACH_NODE(g, id)
    {
        if (is_op(sqz_nod(g, id), "batch_norm") && !o->freeze_norms &&
            !(o->frozen && o->frozen[id]))
            SQZ_TRY(train_norm(t, id, o->processes));
        else if (is_op(sqz_nod(g, id), "dropout") && !o->no_dropout)
            SQZ_TRY(train_dropout(g, id, o->seed));
    }
    return sqz_graph_verify(g);
}

sqz_status sqz_training_make(const sqz_graph *model, const sqz_training_options *o,
                             sqz_training *out)
{
    *out = (sqz_training){.arena = {.ctx = model->ctx}};
    sqz_status s = sqz_graph_clone(model, &out->g);
    if (s == SQZ_OK && o->batch)
        s = sqz_graph_set_batch(out->g, o->batch);
    if (s == SQZ_OK)
        s = train_nodes(out, o);
    if (s != SQZ_OK)
        sqz_training_free(out);
    return s;
}

void sqz_training_free(sqz_training *t)
{
    sqz_graph_free(t->g);
    sqz_arena_free(&t->arena);
    *t = (sqz_training){0};
}

/* ---- running statistics ---- */

static void move(float *running, const float *now, size_t n, double momentum, double factor)
{
    for (size_t i = 0; i < n; i++)
        running[i] = (float)(momentum * (double)running[i] +
                             (1 - momentum) * factor * (double)now[i]);
}

void sqz_training_moved(sqz_training *t, const sqz_tape *tape)
{
    for (uint32_t i = 0; i < t->n_norm; i++) {
        const sqz_training_norm *m = &t->norm[i];
        move(m->running_mean, sqz_tape_data(tape, m->mean), m->n, m->momentum, 1);
        move(m->running_variance, sqz_tape_data(tape, m->variance), m->n, m->momentum,
             m->correction);
    }
}

static sqz_status set(sqz_graph *model, sqz_vid v, const float *numbers)
{
    const sqz_value *x = sqz_val(model, v);
    sqz_tensor t;
    SQZ_TRY(sqz_tensor_room(model->ctx, SQZ_F32, &x->shape, &t));
    memcpy(t.data, numbers, t.bytes);
    return sqz_value_set_constant(model, v, &t);
}

sqz_status sqz_training_write(const sqz_training *t, const sqz_vid *v, const float *const *numbers,
                              uint32_t n, sqz_graph *model)
{
    for (uint32_t i = 0; i < n; i++) {
        if (v[i] >= model->n_value || !constant(model, v[i]))
            return sqz_fail(model->ctx, SQZ_E_ARG, "value %u is no float constant of the model",
                            (unsigned)v[i]);
        SQZ_TRY(set(model, v[i], numbers[i]));
    }
    for (uint32_t i = 0; i < t->n_norm; i++) {
        SQZ_TRY(set(model, t->norm[i].to_mean, t->norm[i].running_mean));
        SQZ_TRY(set(model, t->norm[i].to_variance, t->norm[i].running_variance));
    }
    return SQZ_OK;
}

/* ---- what is trained ---- */

/* More than one number along at most two axes, and none that only masks (-1e9, -inf). */
static bool is_learned_row(const sqz_tensor *t)
{
    int wide = 0;
    for (int32_t d = 0; d < t->shape.rank; d++)
        wide += t->shape.dim[d] > 1;
    for (size_t i = 0; i < t->count; i++)
        if (!(fabsf(SQZ_F32P(t)[i]) < 1e4f))
            return false;
    return wide >= 1 && wide <= 2;
}

/* Whether input k of the node is a number that is learned; *decays: a weight. */
static bool is_parameter(const sqz_graph *g, const sqz_node *n, unsigned k, bool *decays)
{
    const sqz_tensor *t = constant(g, n->in[k]);
    const sqz_qrule *q = &n->op->quant;
    *decays = false;
    if (!t)
        return false;
    if (is_op(n, "add") || is_op(n, "mul"))
        return is_learned_row(t);
    if (is_op(n, "gather"))
        return k == 0 && t->shape.rank >= 2;
    if (is_op(n, "prelu"))
        return k == 1;
    if (strstr(n->op->info.name, "norm"))
        return k == 1 || k == 2;
    *decays = q->kind == SQZ_Q_LINEAR && k > 0 && ((int)k == q->weight || (int)k == q->weight2);
    return *decays || (q->kind == SQZ_Q_LINEAR && k > 0 && (int)k == q->bias);
}

sqz_status sqz_training_parameters(const sqz_graph *model, sqz_arena *a, sqz_parameter **list,
                                   uint32_t *n)
{
    bool *seen = sqz_arena_alloc(a, model->n_value + 1u, 1);
    *list = sqz_arena_alloc(a, model->n_value + 1u, sizeof **list);
    *n = 0;
    if (!seen || !*list)
        return SQZ_E_NOMEM;
    SQZ_EACH_NODE(model, id)
    {
        const sqz_node *nd = sqz_nod(model, id);
        bool decays;
        for (unsigned k = 0; k < nd->n_in; k++)
            if (is_parameter(model, nd, k, &decays) && !seen[nd->in[k]]) {
                seen[nd->in[k]] = true;
                (*list)[(*n)++] = (sqz_parameter){nd->in[k], id, decays};
            }
    }
    return SQZ_OK;
}
