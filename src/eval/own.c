/* own.c: every layer on inputs of the reference network. */
#include "eval/own.h"
#include "ir/qround.h"
#include <math.h>
#include <string.h>

struct sqz_own {
    const sqz_graph *g;
    uint32_t n;
    sqz_vid *value;  /* of each pair, in g and in the graph of side by side layers */
    sqz_arena arena; /* of what follows, for one size of batch */
    int64_t batch;   /* samples that it is made for; 0: not made */
    sqz_exec *exec;
    uint32_t n_in; /* inputs of g, then one for each pair */
    const void **in;
    sqz_tensor *buffer; /* of each pair: its reference on its grid; data NULL: read where it lies */
    void **out;
};

static void forget(sqz_own *o)
{
    for (uint32_t i = 0; o->buffer && i < o->n; i++)
        sqz_tensor_free(o->g->ctx, &o->buffer[i]);
    sqz_exec_free(o->exec);
    sqz_arena_free(&o->arena);
    o->exec = NULL;
    o->buffer = NULL;
    o->batch = 0;
}

sqz_status sqz_own_open(const sqz_graph *g, const sqz_layer_error *list, uint32_t n, sqz_own **out)
{
    sqz_own *o = *out = sqz_calloc(g->ctx, 1, sizeof *o);
    if (!o)
        return SQZ_E_NOMEM;
    *o = (sqz_own){.g = g, .n = n, .arena = {.ctx = g->ctx}};
    o->value = sqz_calloc(g->ctx, n + 1u, sizeof *o->value);
    if (!o->value) {
        sqz_own_close(o);
        *out = NULL;
        return SQZ_E_NOMEM;
    }
    for (uint32_t i = 0; i < n; i++)
        o->value[i] = list[i].value;
    return SQZ_OK;
}

void sqz_own_close(sqz_own *o)
{
    if (!o)
        return;
    forget(o);
    sqz_free(o->g->ctx, o->value);
    sqz_free(o->g->ctx, o);
}

/* ---- layers side by side ---- */

/* Who read v reads a new input of the same type, grid and layout. */
static sqz_status detach(sqz_graph *t, sqz_vid v)
{
    const sqz_value *old = sqz_val(t, v);
    sqz_vid made;
    SQZ_TRY(sqz_graph_input(t, NULL, old->dtype, &old->shape, &made));
    sqz_value *in = sqz_val(t, made);
    in->channel_last = sqz_val(t, v)->channel_last;
    if (sqz_val(t, v)->quant)
        SQZ_TRY(sqz_value_set_grid(t, made, sqz_val(t, v)->quant));
    sqz_graph_replace_uses(t, v, made);
    return SQZ_OK;
}

static sqz_status side_by_side(const sqz_own *o, int64_t batch, sqz_graph **out)
{
    SQZ_TRY(sqz_graph_clone(o->g, out));
    const sqz_shape in = sqz_val(*out, (*out)->input[0])->shape;
    if (in.rank && in.dim[0] != batch)
        SQZ_TRY(sqz_graph_set_batch(*out, batch));
    for (uint32_t i = 0; i < o->n; i++)
        SQZ_TRY(detach(*out, o->value[i]));
    return sqz_graph_set_outputs(*out, o->value, o->n);
}

static sqz_status memory(sqz_own *o, const sqz_graph *t)
{
    o->n_in = t->n_input;
    o->in = sqz_arena_alloc(&o->arena, t->n_input + 1u, sizeof *o->in);
    o->out = sqz_arena_alloc(&o->arena, o->n + 1u, sizeof *o->out);
    o->buffer = sqz_arena_alloc(&o->arena, o->n + 1u, sizeof *o->buffer);
    if (!o->in || !o->out || !o->buffer)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < o->n; i++) {
        const sqz_value *v = sqz_val(t, o->value[i]);
        size_t count, bytes;
        SQZ_TRY(sqz_shape_count(t->ctx, &v->shape, v->dtype, &count, &bytes));
        if (!(o->out[i] = sqz_arena_room(&o->arena, SQZ_MAX(bytes, (size_t)1), 1)))
            return SQZ_E_NOMEM;
        if (v->dtype != SQZ_F32)
            SQZ_TRY(sqz_tensor_room(t->ctx, v->dtype, &v->shape, &o->buffer[i]));
    }
    return SQZ_OK;
}

static sqz_status make(sqz_own *o, int64_t batch)
{
    sqz_graph *t = NULL;
    forget(o);
    sqz_status s = side_by_side(o, batch, &t);
    if (s == SQZ_OK)
        s = memory(o, t);
    if (s == SQZ_OK)
        s = sqz_exec_create(t, 0, &(sqz_exec_options){.no_fuse = true}, &o->exec);
    sqz_graph_free(t);
    if (s == SQZ_OK)
        o->batch = batch;
    return sqz_note(o->g->ctx, s, "layers side by side");
}

/* ---- one batch ---- */

/* Real numbers to the codes of a grid of one scale. */
static void to_grid(const sqz_tensor *x, const sqz_quant *q, sqz_tensor *out)
{
    const float *f = SQZ_F32P(x);
    for (size_t i = 0; i < out->count; i++)
        sqz_tensor_set_i64(out, i,
                           (int64_t)nearbyint((double)f[i] / (double)q->scale[0]) + q->zero[0]);
}

static sqz_status feed(sqz_own *o, const sqz_runner_batch *b, const sqz_layer_error *list)
{
    const uint32_t own = o->g->n_input;
    for (uint32_t i = 0; i < own; i++) {
        const sqz_tensor *t = sqz_exec_value(b->exec, o->g->input[i]);
        if (!t)
            return sqz_fail(o->g->ctx, SQZ_E_INTERNAL, "an input is not kept");
        o->in[i] = t->data;
    }
    for (uint32_t i = 0; i < o->n; i++) {
        const sqz_tensor *r = sqz_exec_value(b->reference_exec, list[i].reference);
        if (!r)
            return sqz_fail(o->g->ctx, SQZ_E_INTERNAL, "value '%s' is not kept",
                            sqz_val(o->g, o->value[i])->name);
        o->in[own + i] = r->data;
        if (!o->buffer[i].data)
            continue;
        to_grid(r, sqz_val(o->g, o->value[i])->quant, &o->buffer[i]);
        o->in[own + i] = o->buffer[i].data;
    }
    return SQZ_OK;
}

static void compare(const sqz_value *v, const sqz_tensor *y, const float *r, sqz_layer_error *e)
{
    for (size_t i = 0; i < y->count; i++) {
        double want = (double)r[i], got;
        if (v->quant)
            got = (double)v->quant->scale[0] * (double)(sqz_tensor_i64(y, i) - v->quant->zero[0]);
        else
            got = (double)SQZ_F32P(y)[i];
        e->own_noise += (want - got) * (want - got);
        e->own_dot += want * got;
        e->own_square += got * got;
    }
}

sqz_status sqz_own_add(sqz_own *o, const sqz_runner_batch *b, sqz_layer_error *list)
{
    const sqz_tensor *x = sqz_exec_value(b->exec, o->g->input[0]);
    if (!x)
        return sqz_fail(o->g->ctx, SQZ_E_INTERNAL, "an input is not kept");
    const int64_t batch = x->shape.rank ? x->shape.dim[0] : 1;
    if (batch != o->batch)
        SQZ_TRY(make(o, batch));
    SQZ_TRY(feed(o, b, list));
    SQZ_TRY(sqz_exec_run(o->exec, o->in, o->out));
    for (uint32_t i = 0; i < o->n; i++) {
        const sqz_value *v = sqz_val(o->g, o->value[i]);
        const sqz_tensor *r = sqz_exec_value(b->reference_exec, list[i].reference);
        sqz_tensor y;
        SQZ_TRY(sqz_tensor_view(o->g->ctx, v->dtype, &r->shape, o->out[i], &y));
        compare(v, &y, SQZ_F32P(r), &list[i]);
    }
    return SQZ_OK;
}
