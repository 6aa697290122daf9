/* graph: a loss that is given as an ONNX graph, which is how domain knowledge enters. Its inputs
 * are bound by their names to `label`, `teacher.<value>`, or any value of the student (inputs,
 * outputs and what lies between); its float initializers are trained beside the student (results of
 * Constant nodes are not). Output 0 is the loss, one number; further outputs, one number each, are
 * reported, and so are trained single numbers. */
#include "distill/work.h"
#include "io/import.h"
#include "ir/pass.h"
#include <stdio.h>
#include <string.h>

typedef struct opts {
    sqz_loss_common common;
    const char *file, *bind, *freeze;
    double rate;
} opts;
static const sqz_attr schema[] = {
    SQZ_LOSS_COMMON_ROWS(opts, 1),
    {.name = "file",
     .offset = offsetof(opts, file),
     .type = SQZ_A_STRING,
     .flags = SQZ_AF_REQUIRED,
     .doc = "ONNX file"},
    {.name = "bind",
     .offset = offsetof(opts, bind),
     .type = SQZ_A_STRING,
     .doc = "input=value;... where an input is called otherwise than the value"},
    {.name = "freeze",
     .offset = offsetof(opts, freeze),
     .type = SQZ_A_STRING,
     .doc = "initializers that are not trained: a name or a regular expression"},
    {.name = "rate",
     .offset = offsetof(opts, rate),
     .type = SQZ_A_FLOAT,
     .def = 1,
     .max = 1e6,
     .doc = "factor of the learning rate of its initializers"},
};

typedef struct splice {
    sqz_loss_site *s;
    const opts *o;
    sqz_graph *l; /* the loss */
    sqz_arena a;
    sqz_vid *to; /* of each value of l: the value of the training graph */
    const char **param;
    uint32_t n_param;
} splice;

/* ---- inputs ---- */

/* What an input can be called, for people. */
static sqz_status unbound(const splice *p, const char *input, const char *name)
{
    const sqz_graph *g = p->s->g;
    const sqz_objective *o = p->s->o;
    sqz_str t = {.ctx = g->ctx};
    unsigned n = 0;
    if (o->options.labels)
        sqz_str_addf(&t, "'label', ");
    if (o->options.n_teacher)
        sqz_str_addf(&t, "'teacher.%s' (or another value of the teacher), ",
                     sqz_val(o->work->first, o->work->first->output[0])->name);
    for (uint32_t i = 0; i < o->work->n_output; i++)
        sqz_str_addf(&t, "'%.60s', ", sqz_val(g, o->work->output[i])->name);
    for (sqz_vid v = 0; v < g->n_value && n < 8; v++) {
        const sqz_value *x = sqz_val(g, v);
        if (x->constant || sqz_value_dead(x) || x->dtype != SQZ_F32 ||
            (x->producer != SQZ_NONE && x->producer >= o->work->n_node))
            continue;
        sqz_str_addf(&t, "'%.60s', ", x->name);
        n++;
    }
    const sqz_status s = sqz_fail(
        g->ctx, SQZ_E_NOTFOUND, "input '%s' is bound to nothing%s%s%s; there are %s...", input,
        name == input ? "" : ": there is no value '", name == input ? "" : name,
        name == input ? "" : "'", t.len ? t.data : "");
    sqz_str_free(&t);
    return s;
}

/* The value called `name`, in `input=name;...` if it is there, else the input's own name. */
static sqz_status bound_name(splice *p, const char *input, const char **out)
{
    const size_t n = strlen(input);
    *out = input;
    for (const char *at = p->o->bind; at && *at;) {
        const size_t len = strcspn(at, ";");
        if (len > n && strncmp(at, input, n) == 0 && at[n] == '=') {
            *out = sqz_arena_strndup(&p->a, at + n + 1, len - n - 1);
            return *out ? SQZ_OK : SQZ_E_NOMEM;
        }
        at += len + (at[len] == ';');
    }
    return SQZ_OK;
}

static sqz_status bound_value(splice *p, const char *input, sqz_vid *out)
{
    const sqz_objective *o = p->s->o;
    const char *name;
    SQZ_TRY(bound_name(p, input, &name));
    *out = SQZ_NONE;
    if (strcmp(name, "label") == 0 && o->options.labels) {
        *out = sqz_loss_label(p->s, SQZ_NONE);
        return p->s->b.status;
    }
    if (strncmp(name, "teacher.", 8) == 0 && o->options.n_teacher) {
        const sqz_vid v = sqz_graph_find(o->work->first, name + 8);
        if (v == SQZ_NONE || sqz_val(o->work->first, v)->constant)
            return unbound(p, input, name);
        *out = sqz_loss_teacher(p->s, v);
        return p->s->b.status;
    }
    const sqz_vid v = sqz_graph_find(p->s->g, name);
    const sqz_value *x = v == SQZ_NONE ? NULL : sqz_val(p->s->g, v);
    if (!x || x->constant || (x->producer != SQZ_NONE && x->producer >= o->work->n_node))
        return unbound(p, input, name);
    *out = v;
    return SQZ_OK;
}

/* The loss's input takes the shape of the value, when only the batch differs. */
static sqz_status take_shape(splice *p, sqz_vid input, sqz_vid value)
{
    sqz_value *x = sqz_val(p->l, input);
    const sqz_value *v = sqz_val(p->s->g, value);
    const sqz_shape have = sqz_value_file_shape(v);
    char a[160], b[160];
    bool fits = have.rank == x->shape.rank && x->dtype == v->dtype;
    for (int32_t i = 1; fits && i < have.rank; i++)
        fits = have.dim[i] == x->shape.dim[i];
    if (fits) {
        x->shape = have;
        return SQZ_OK;
    }
    sqz_shape_print(a, &x->shape);
    sqz_shape_print(b, &have);
    return sqz_fail(p->l->ctx, SQZ_E_SHAPE,
                    "input '%s' is %s %s, and the value '%s' that it is bound to is %s %s", x->name,
                    sqz_dtype_name(x->dtype), a, v->name, sqz_dtype_name(v->dtype), b);
}

static sqz_status bind(splice *p, sqz_vid *value)
{
    sqz_graph *l = p->l;
    for (uint32_t i = 0; i < l->n_input; i++) {
        SQZ_TRY(bound_value(p, sqz_val(l, l->input[i])->name, &value[i]));
        SQZ_TRY(take_shape(p, l->input[i], value[i]));
    }
    SQZ_TRY(sqz_graph_infer(l));
    return sqz_run_recipe(l, "widen,layout,dce", NULL);
}

/* ---- into the training graph ---- */

static sqz_status put_inputs(splice *p, const sqz_vid *value)
{
    for (uint32_t i = 0; i < p->l->n_input; i++) {
        const sqz_value *x = sqz_val(p->l, p->l->input[i]);
        const sqz_value *v = sqz_val(p->s->g, value[i]);
        char perm[64] = "perm=";
        sqz_vid y = value[i];
        for (int32_t k = 0; k < v->shape.rank; k++)
            (void)snprintf(perm + strlen(perm), 4, "%s%d", k ? "," : "",
                           v->channel_last ? sqz_axis_to_last(k, v->shape.rank)
                                           : sqz_axis_to_file(k, v->shape.rank));
        if (v->channel_last != x->channel_last) {
            y = sqz_b(&p->s->b, "transpose", perm, 1, value[i]);
            SQZ_TRY(p->s->b.status);
            sqz_val(p->s->g, y)->channel_last = x->channel_last;
        }
        p->to[p->l->input[i]] = y;
    }
    return SQZ_OK;
}

static sqz_status is_trained(const splice *p, const char *name, bool *yes)
{
    bool frozen = false;
    *yes = false;
    for (uint32_t i = 0; i < p->n_param; i++)
        *yes = *yes || strcmp(p->param[i], name) == 0;
    if (*yes && p->o->freeze && *p->o->freeze)
        SQZ_TRY(sqz_match(p->l->ctx, p->o->freeze, name, &frozen));
    *yes = *yes && !frozen;
    return SQZ_OK;
}

static sqz_status put_constant(splice *p, sqz_vid v)
{
    const sqz_value *x = sqz_val(p->l, v);
    sqz_graph *g = p->s->g;
    sqz_tensor t;
    char name[512];
    bool train;
    SQZ_TRY(is_trained(p, x->name, &train));
    (void)snprintf(name, sizeof name, "loss.%s.%.400s", p->s->name, x->name);
    sqz_tensor_share(x->constant, &t);
    SQZ_TRY(sqz_graph_constant(g, name, &t, &p->to[v]));
    sqz_val(g, p->to[v])->channel_last = x->channel_last;
    if (!train)
        return SQZ_OK;
    SQZ_TRY(sqz_loss_train(p->s, p->to[v], p->o->rate, false));
    if (x->constant->count != 1)
        return SQZ_OK;
    return sqz_loss_report(p->s, x->name, sqz_b(&p->s->b, "identity", NULL, 1, p->to[v]));
}

static sqz_status put_node(splice *p, const sqz_node *n)
{
    sqz_graph *g = p->s->g;
    char name[512];
    sqz_vid *in = sqz_arena_alloc(&p->a, n->n_in + 1u, sizeof *in);
    sqz_vid *out = sqz_arena_alloc(&p->a, n->n_out + 1u, sizeof *out);
    if (!in || !out)
        return SQZ_E_NOMEM;
    for (unsigned k = 0; k < n->n_in; k++) {
        if (n->in[k] != SQZ_NONE && p->to[n->in[k]] == SQZ_NONE)
            SQZ_TRY(put_constant(p, n->in[k]));
        in[k] = n->in[k] == SQZ_NONE ? SQZ_NONE : p->to[n->in[k]];
    }
    (void)snprintf(name, sizeof name, "loss.%s/%.400s", p->s->name, n->name);
    SQZ_TRY(sqz_graph_node(g, n->op, name, n->attrs, in, n->n_in, NULL, n->n_out, SQZ_NONE, out));
    for (unsigned k = 0; k < n->n_out; k++) {
        sqz_val(g, out[k])->channel_last = sqz_val(p->l, n->out[k])->channel_last;
        p->to[n->out[k]] = out[k];
    }
    return SQZ_OK;
}

static sqz_status report_outputs(splice *p, sqz_vid *loss)
{
    const sqz_graph *l = p->l;
    for (uint32_t i = 0; i < l->n_output; i++) {
        const sqz_value *y = sqz_val(l, l->output[i]);
        char text[160];
        size_t n;
        SQZ_TRY(sqz_shape_count(l->ctx, &y->shape, y->dtype, &n, NULL));
        sqz_shape_print(text, &y->shape);
        if (n != 1 || y->dtype != SQZ_F32 || y->role != SQZ_ROLE_ACTIVATION)
            return sqz_fail(l->ctx, SQZ_E_SHAPE,
                            "output '%s' is %s %s, expected one f32 number that is computed: %s",
                            y->name, sqz_dtype_name(y->dtype), text,
                            i ? "it is shown each epoch" : "it is the loss");
        if (i > 0)
            SQZ_TRY(sqz_loss_report(p->s, y->name, p->to[l->output[i]]));
    }
    *loss = p->to[l->output[0]];
    return SQZ_OK;
}

static sqz_status put_all(splice *p, sqz_vid *loss)
{
    sqz_vid *value = sqz_arena_alloc(&p->a, p->l->n_input + 1u, sizeof *value);
    if (!value)
        return SQZ_E_NOMEM;
    SQZ_TRY(bind(p, value));
    p->to = sqz_arena_room(&p->a, p->l->n_value + 1u, sizeof *p->to);
    if (!p->to)
        return SQZ_E_NOMEM;
    memset(p->to, 0xff, (p->l->n_value + 1u) * sizeof *p->to); /* SQZ_NONE */
    SQZ_TRY(put_inputs(p, value));
    SQZ_EACH_NODE(p->l, id) SQZ_TRY(put_node(p, sqz_nod(p->l, id)));
    return report_outputs(p, loss);
}

static sqz_status read_file(splice *p)
{
    const sqz_import_options how = {.path = p->o->file, .trains = true};
    sqz_ctx *ctx = p->a.ctx;
    sqz_file_bytes file;
    SQZ_TRY(sqz_import_file(ctx, &how, NULL, &p->l));
    SQZ_TRY(sqz_file_view(ctx, p->o->file, (size_t)2 << 30, &file));
    const sqz_status s = sqz_onnx_initializers(&p->a, file.data, file.bytes, &p->param,
                                               &p->n_param);
    sqz_file_close(ctx, &file);
    return s;
}

static sqz_status build(sqz_loss_site *s, const void *o, sqz_vid *out)
{
    splice p = {.s = s, .o = o, .a = {.ctx = s->g->ctx}};
    sqz_status e = read_file(&p);
    if (e == SQZ_OK)
        e = sqz_note(s->g->ctx, put_all(&p, out), "%s", p.o->file);
    sqz_graph_free(p.l);
    sqz_arena_free(&p.a);
    return e;
}

const sqz_loss sqz_loss_graph = {
    .info = {.name = "graph",
             .doc = "an ONNX graph over inputs, outputs, labels, teacher and inner values",
             .opt_size = sizeof(opts),
             .opts = schema,
             .n_opts = SQZ_COUNT(schema)},
    .build = build,
};
