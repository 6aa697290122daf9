/* once.c: a graph run a single time on tensors in the layout of the model file. */
#include "exec/exec.h"
#include <string.h>

/* perm[i]: the axis before that becomes axis i; `map` leads from after to before. */
static void order(int32_t rank, int (*map)(int axis, int rank), int perm[SQZ_MAX_RANK])
{
    for (int32_t i = 0; i < rank; i++)
        perm[i] = map(i, rank);
}

static sqz_status bind_batch(sqz_graph *g, const sqz_tensor *in)
{
    const sqz_value *v = g->n_input ? sqz_val(g, g->input[0]) : NULL;
    if (!v || v->shape.rank < 1 || in->shape.rank < 1 || in->shape.dim[0] == v->shape.dim[0])
        return SQZ_OK;
    return sqz_note(g->ctx, sqz_graph_set_batch(g, in->shape.dim[0]), "input '%s' has batch %lld",
                    v->name, (long long)in->shape.dim[0]);
}

static sqz_status convert(sqz_ctx *ctx, const sqz_value *v, const sqz_tensor *in, sqz_tensor *out)
{
    int perm[SQZ_MAX_RANK] = {0};
    sqz_shape want = sqz_value_file_shape(v);
    if (!sqz_shape_eq(&in->shape, &want)) {
        char got[160], wanted[160];
        sqz_shape_print(got, &in->shape);
        sqz_shape_print(wanted, &want);
        return sqz_fail(ctx, SQZ_E_SHAPE, "the array for input '%s' is %s, the model wants %s",
                        v->name, got, wanted);
    }
    sqz_tensor cast;
    SQZ_TRY(sqz_tensor_cast(ctx, in, v->dtype, &cast));
    if (!v->channel_last) {
        *out = cast;
        return SQZ_OK;
    }
    order(want.rank, sqz_axis_to_file, perm);
    sqz_status s = sqz_tensor_permute(ctx, &cast, perm, out);
    sqz_tensor_free(ctx, &cast);
    return s;
}

/* An output as the executor leaves it, in the order of the file. */
static sqz_status restore(sqz_ctx *ctx, const sqz_value *v, sqz_tensor *t)
{
    int perm[SQZ_MAX_RANK] = {0};
    sqz_tensor turned;
    if (!v->channel_last)
        return SQZ_OK;
    order(v->shape.rank, sqz_axis_to_last, perm);
    SQZ_TRY(sqz_tensor_permute(ctx, t, perm, &turned));
    sqz_tensor_free(ctx, t);
    *t = turned;
    return SQZ_OK;
}

typedef struct buffers {
    sqz_tensor *in;
    const void **ip;
    void **op;
} buffers;

static sqz_status run(sqz_graph *g, buffers *b, const sqz_tensor *in, sqz_tensor *out)
{
    sqz_ctx *ctx = g->ctx;
    SQZ_TRY(bind_batch(g, in));
    for (uint32_t i = 0; i < g->n_input; i++) {
        SQZ_TRY(convert(ctx, sqz_val(g, g->input[i]), &in[i], &b->in[i]));
        b->ip[i] = b->in[i].data;
    }
    for (uint32_t i = 0; i < g->n_output; i++) {
        const sqz_value *v = sqz_val(g, g->output[i]);
        SQZ_TRY(sqz_tensor_alloc(ctx, v->dtype, &v->shape, &out[i]));
        b->op[i] = out[i].data;
    }
    sqz_exec *e;
    SQZ_TRY(sqz_exec_create(g, 0, NULL, &e));
    sqz_status s = sqz_exec_run(e, b->ip, b->op);
    sqz_exec_free(e);
    for (uint32_t i = 0; s == SQZ_OK && i < g->n_output; i++)
        s = restore(ctx, sqz_val(g, g->output[i]), &out[i]);
    return s;
}

sqz_status sqz_exec_once(sqz_graph *g, const sqz_tensor *in, sqz_tensor *out)
{
    sqz_arena a = {.ctx = g->ctx};
    buffers b = {.in = sqz_arena_alloc(&a, g->n_input + 1u, sizeof *b.in),
                 .ip = sqz_arena_alloc(&a, g->n_input + 1u, sizeof *b.ip),
                 .op = sqz_arena_alloc(&a, g->n_output + 1u, sizeof *b.op)};
    memset(out, 0, g->n_output * sizeof *out);
    sqz_status s = b.in && b.ip && b.op ? run(g, &b, in, out) : SQZ_E_NOMEM;
    for (uint32_t i = 0; b.in && i < g->n_input; i++)
        sqz_tensor_free(g->ctx, &b.in[i]);
    for (uint32_t i = 0; s != SQZ_OK && i < g->n_output; i++)
        sqz_tensor_free(g->ctx, &out[i]);
    sqz_arena_free(&a);
    return s;
}
