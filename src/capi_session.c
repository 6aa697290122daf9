/* capi_session.c: a model made ready to run, for applications: its weights are there once, in the
 * form that the kernels read. */
#include "exec/exec.h"
#include "io/import.h"
#include "ir/pass.h"
#include <string.h>

typedef struct port {
    const char *name;
    sqz_dtype dtype;
    sqz_shape file;      /* as the caller has it */
    size_t count, bytes; /* of the whole batch */
    bool turned;         /* the executor wants it channel-last, which is another order */
    void *memory;        /* of a turned input */
} port;

struct sqz_session {
    sqz_ctx *ctx;
    sqz_arena arena;
    sqz_exec *exec;
    port *in, *out;
    uint32_t n_in, n_out;
    const void **ip;
};

static sqz_status describe(sqz_session *s, const sqz_graph *g, sqz_vid v, port *p)
{
    const sqz_value *val = sqz_val(g, v);
    p->dtype = val->dtype;
    p->file = sqz_value_file_shape(val);
    p->name = sqz_arena_strdup(&s->arena, sqz_value_file_name(g, v));
    SQZ_TRY(sqz_shape_count(s->ctx, &p->file, p->dtype, &p->count, &p->bytes));
    size_t wide = 0; /* axes beside that of the batch that are longer than 1 */
    for (int32_t i = 2; i < p->file.rank; i++)
        wide += p->file.dim[i] != 1;
    p->turned = val->channel_last && wide && p->file.dim[1] != 1 && p->count;
    return p->name ? SQZ_OK : SQZ_E_NOMEM;
}

static sqz_status make_ports(sqz_session *s, const sqz_graph *g)
{
    s->in = sqz_arena_alloc(&s->arena, g->n_input + 1u, sizeof *s->in);
    s->out = sqz_arena_alloc(&s->arena, g->n_output + 1u, sizeof *s->out);
    s->ip = sqz_arena_alloc(&s->arena, g->n_input + 1u, sizeof *s->ip);
    if (!s->in || !s->out || !s->ip)
        return SQZ_E_NOMEM;
    for (; s->n_in < g->n_input; s->n_in++) {
        port *p = &s->in[s->n_in];
        SQZ_TRY(describe(s, g, g->input[s->n_in], p));
        if (p->turned && sqz_dtype_bits(p->dtype) < 8)
            return sqz_fail(s->ctx, SQZ_E_UNSUPPORTED, "input '%s' has elements of %u bits",
                            p->name, sqz_dtype_bits(p->dtype));
        if (p->turned && !(p->memory = sqz_arena_alloc(&s->arena, p->bytes, 1)))
            return SQZ_E_NOMEM;
    }
    for (; s->n_out < g->n_output; s->n_out++)
        SQZ_TRY(describe(s, g, g->output[s->n_out], &s->out[s->n_out]));
    return SQZ_OK;
}

static sqz_status prepare(sqz_session *s, sqz_graph *g, const sqz_session_options *o)
{
    sqz_env env = {0};
    SQZ_TRY(sqz_run_recipe(g, o->literal ? SQZ_CANONICAL_LITERAL : SQZ_CANONICAL, &env));
    if (o->batch < 0)
        return sqz_fail(s->ctx, SQZ_E_ARG, "batch %lld is negative", (long long)o->batch);
    if (o->batch && g->n_input && sqz_val(g, g->input[0])->shape.rank &&
        sqz_val(g, g->input[0])->shape.dim[0] != o->batch)
        SQZ_TRY(sqz_graph_set_batch(g, o->batch));
    return make_ports(s, g);
}

static sqz_status open_session(sqz_session *s, const sqz_model_source *src,
                               const sqz_session_options *o)
{
    const sqz_import_options opt = {.path = src->path, .shape = src->shape, .bind = src->bind};
    sqz_graph *g;
    SQZ_TRY(src->bytes ? sqz_import_bytes(s->ctx, src->bytes, src->n, &opt, &g)
                       : sqz_import_file(s->ctx, &opt, NULL, &g));
    sqz_status st = sqz_note(s->ctx, prepare(s, g, o), "'%s'", src->path ? src->path : "model");
    if (st != SQZ_OK) {
        sqz_graph_free(g);
        return st;
    }
    return sqz_exec_adopt(g, 0, NULL, &s->exec);
}

sqz_status sqz_session_open(sqz_ctx *ctx, const sqz_model_source *source,
                            const sqz_session_options *opt, sqz_session **out)
{
    sqz_model_source src = SQZ_MODEL_SOURCE_INIT;
    sqz_session_options o = SQZ_SESSION_OPTIONS_INIT;
    if (!ctx || !source || !out)
        return SQZ_E_ARG;
    *out = NULL;
    memcpy(&src, source, SQZ_MIN(source->struct_size, sizeof src));
    if (opt)
        memcpy(&o, opt, SQZ_MIN(opt->struct_size, sizeof o));
    if (!src.path && !src.bytes)
        return sqz_fail(ctx, SQZ_E_ARG, "the source has neither a path nor bytes");
    sqz_session *s = sqz_calloc(ctx, 1, sizeof *s);
    if (!s)
        return SQZ_E_NOMEM;
    s->ctx = s->arena.ctx = ctx;
    sqz_status st = open_session(s, &src, &o);
    if (st != SQZ_OK) {
        sqz_session_free(s);
        return st;
    }
    *out = s;
    return SQZ_OK;
}

void sqz_session_free(sqz_session *s)
{
    if (!s)
        return;
    sqz_exec_free(s->exec);
    sqz_arena_free(&s->arena);
    sqz_free(s->ctx, s);
}

uint32_t sqz_session_n_inputs(const sqz_session *s) { return s ? s->n_in : 0; }
uint32_t sqz_session_n_outputs(const sqz_session *s) { return s ? s->n_out : 0; }

static sqz_status tell(const port *p, sqz_port *out)
{
    sqz_port full = {.struct_size = out->struct_size,
                     .name = p->name,
                     .type = sqz_dtype_name(p->dtype),
                     .bytes = p->bytes,
                     .rank = (uint32_t)p->file.rank};
    for (int32_t i = 0; i < p->file.rank; i++)
        full.dim[i] = p->file.dim[i];
    memcpy(out, &full, SQZ_MIN(out->struct_size, sizeof full));
    return SQZ_OK;
}

sqz_status sqz_session_input(const sqz_session *s, uint32_t i, sqz_port *out)
{
    if (!s || !out)
        return SQZ_E_ARG;
    if (i >= s->n_in)
        return sqz_fail(s->ctx, SQZ_E_ARG, "the model has %u inputs, not %u", (unsigned)s->n_in,
                        (unsigned)i + 1);
    return tell(&s->in[i], out);
}

sqz_status sqz_session_output(const sqz_session *s, uint32_t i, sqz_port *out)
{
    if (!s || !out)
        return SQZ_E_ARG;
    if (i >= s->n_out)
        return sqz_fail(s->ctx, SQZ_E_ARG, "the model has %u outputs, not %u", (unsigned)s->n_out,
                        (unsigned)i + 1);
    return tell(&s->out[i], out);
}

static sqz_status turn(sqz_session *s, const port *p, const void *from)
{
    const size_t n = (size_t)p->file.dim[0], c = (size_t)p->file.dim[1];
    const sqz_turn t = {n, c, p->count / (n * c), sqz_dtype_bits(p->dtype) / 8};
    return sqz_turn_last(s->ctx, &t, from, p->memory);
}

sqz_status sqz_session_run(sqz_session *s, const void *const *in, void *const *out)
{
    if (!s)
        return SQZ_E_ARG;
    if (!in || !out)
        return sqz_fail(s->ctx, SQZ_E_ARG, "in or out is NULL");
    for (uint32_t i = 0; i < s->n_in; i++) {
        if (!in[i])
            return sqz_fail(s->ctx, SQZ_E_ARG, "input %u is NULL", (unsigned)i);
        if (s->in[i].turned)
            SQZ_TRY(turn(s, &s->in[i], in[i]));
        s->ip[i] = s->in[i].turned ? s->in[i].memory : in[i];
    }
    for (uint32_t i = 0; i < s->n_out; i++)
        if (!out[i])
            return sqz_fail(s->ctx, SQZ_E_ARG, "output %u is NULL", (unsigned)i);
    return sqz_exec_run(s->exec, s->ip, out);
}
