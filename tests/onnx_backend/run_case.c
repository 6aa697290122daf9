/* run_case.c: one case as a user would meet it: import, canonical recipe, executor, comparison.
 * Tolerances are those of the runner of ONNX's own tests. */
#include "cases.h"
#include "exec/exec.h"
#include "io/data.h"
#include "io/import.h"
#include "ir/pass.h"
#include "onnx.pb-c.h"
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define MOST 64 /* inputs or outputs of a case */

typedef struct data_set {
    sqz_array in[MOST];
    unsigned n_in;
    char *shape;      /* option of the import: shapes of inputs that the file leaves open */
    char unread[300]; /* an input of a type that squeeze does not have; "": none */
} data_set;

typedef struct job {
    sqz_ctx *ctx;
    sqz_arena arena;
    const tar *archive;
    const onnx_case *c;
    Onnx__ModelProto *model;
    bool roundtrip;
} job;

SQZ_PRINTF(3, 4) static verdict say(const job *j, verdict v, const char *fmt, ...)
{
    va_list va;
    result *r = j->c->result;
    va_start(va, fmt);
    (void)vsnprintf(r->why, sizeof r->why, fmt, va);
    va_end(va);
    for (char *p = r->why; *p; p++)
        if (*p == '\n')
            *p = ';';
    return v;
}

/* A call that failed: by name, or otherwise. */
static verdict failed(const job *j, sqz_status s, const char *where)
{
    return say(j, s == SQZ_E_UNSUPPORTED ? REFUSED : FAILED, "%s%s", where, sqz_last_error(j->ctx));
}

static const tar_member *member(const job *j, unsigned set, const char *kind, unsigned k)
{
    char name[600];
    if (j->c->light)
        (void)snprintf(name, sizeof name, "%s_%s_%u.pb", j->c->path, kind, k);
    else
        (void)snprintf(name, sizeof name, "%s/test_data_set_%u/%s_%u.pb", j->c->path, set, kind, k);
    return tar_find(j->archive, name);
}

static bool has_initializer(const Onnx__GraphProto *g, const char *name)
{
    for (size_t i = 0; i < g->n_initializer; i++)
        if (g->initializer[i]->name && strcmp(g->initializer[i]->name, name) == 0)
            return true;
    return false;
}

/* The k-th input of the file that has no initializer: what input_k.pb is for. NULL: none. */
static const Onnx__ValueInfoProto *input_of(const Onnx__GraphProto *g, unsigned k)
{
    for (size_t i = 0; i < g->n_input; i++)
        if (g->input[i]->name && !has_initializer(g, g->input[i]->name) && k-- == 0)
            return g->input[i];
    return NULL;
}

static const Onnx__TensorShapeProto *shape_of(const Onnx__ValueInfoProto *v)
{
    bool tensor = v->type && v->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    return tensor ? v->type->tensor_type->shape : NULL;
}

static bool is_open(const Onnx__ValueInfoProto *v)
{
    const Onnx__TensorShapeProto *s = shape_of(v);
    for (size_t i = 0; s && i < s->n_dim; i++)
        if (s->dim[i]->value_case != ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE)
            return true;
    return !s;
}

/* Adds "name=1,3;" for an input whose shape is open. */
static sqz_status add_shape(job *j, data_set *d, const Onnx__ValueInfoProto *v, const sqz_tensor *t)
{
    if (!is_open(v) || t->shape.rank == 0 || t->count == 0)
        return SQZ_OK;
    d->shape = sqz_arena_printf(&j->arena, "%s%s%s", d->shape, *d->shape ? ";" : "", v->name);
    for (int32_t i = 0; i < t->shape.rank && d->shape; i++)
        d->shape = sqz_arena_printf(&j->arena, "%s%c%lld", d->shape, i ? ',' : '=',
                                    (long long)t->shape.dim[i]);
    return d->shape ? SQZ_OK : SQZ_E_NOMEM;
}

/* arange(n)/n in the shape of the only input. */
static sqz_status light_input(job *j, data_set *d)
{
    const Onnx__ValueInfoProto *v = input_of(j->model->graph, 0);
    const Onnx__TensorShapeProto *s = v ? shape_of(v) : NULL;
    sqz_shape shape = {0};
    if (!s || s->n_dim > SQZ_MAX_RANK)
        return sqz_fail(j->ctx, SQZ_E_FORMAT, "the case has no input with a shape");
    for (size_t i = 0; i < s->n_dim; i++)
        shape.dim[shape.rank++] = s->dim[i]->dim_value;
    sqz_tensor *t = &d->in[0].t;
    SQZ_TRY(sqz_tensor_alloc(j->ctx, SQZ_F32, &shape, t));
    d->in[d->n_in++].name = v->name;
    for (size_t i = 0; i < t->count; i++)
        SQZ_F32P(t)[i] = (float)((double)i / (double)t->count);
    return SQZ_OK;
}

static sqz_status read_inputs(job *j, unsigned set, data_set *d)
{
    const tar_member *m;
    for (unsigned k = 0; k < MOST && (m = member(j, set, "input", k)); k++) {
        const Onnx__ValueInfoProto *v = input_of(j->model->graph, k);
        sqz_tensor t;
        if (!v)
            return sqz_fail(j->ctx, SQZ_E_FORMAT, "input_%u.pb is for no input of the model", k);
        if (sqz_tensor_from_pb(j->ctx, m->data, m->n, &t, NULL, 0) != SQZ_OK) {
            (void)snprintf(d->unread, sizeof d->unread, "input_%u.pb: %.280s", k,
                           sqz_last_error(j->ctx));
            continue;
        }
        d->in[d->n_in++] = (sqz_array){v->name, t};
        SQZ_TRY(add_shape(j, d, v, &t));
    }
    return SQZ_OK;
}

/* ---- comparison ---- */
static bool near(const sqz_tensor *want, const sqz_tensor *got, size_t i)
{
    bool half = want->dtype == SQZ_F16 || want->dtype == SQZ_BF16;
    if (!sqz_dtype_is_float(want->dtype)) {
        size_t each = sqz_dtype_bits(want->dtype) / 8;
        if (each == 0) /* two to a byte */
            return sqz_tensor_i64(want, i) == sqz_tensor_i64(got, i);
        return memcmp((char *)want->data + i * each, (char *)got->data + i * each, each) == 0;
    }
    double w = sqz_tensor_f64(want, i), g = sqz_tensor_f64(got, i);
    if (isnan(w) || isnan(g))
        return isnan(w) && isnan(g);
    return w == g || fabs(w - g) <= (half ? 1e-3 : 1e-5) + (half ? 1e-2 : 1e-3) * fabs(w);
}

static verdict compare(const job *j, unsigned k, const sqz_tensor *want, const sqz_tensor *got)
{
    char a[160], b[160];
    size_t bad = 0, first = 0;
    sqz_shape_print(a, &want->shape);
    sqz_shape_print(b, &got->shape);
    if (want->dtype != got->dtype)
        return say(j, WRONG, "output %u has type %s, wanted is %s", k, sqz_dtype_name(got->dtype),
                   sqz_dtype_name(want->dtype));
    if (!sqz_shape_eq(&want->shape, &got->shape))
        return say(j, WRONG, "output %u has shape %s, wanted is %s", k, b, a);
    for (size_t i = 0; i < want->count; i++)
        if (!near(want, got, i) && bad++ == 0)
            first = i;
    if (bad == 0)
        return RIGHT;
    return say(j, WRONG,
               "output %u (%s %s): %zu of %zu differ, first at %zu: got %.9g, wanted %.9g", k,
               sqz_dtype_name(want->dtype), a, bad, want->count, first, sqz_tensor_f64(got, first),
               sqz_tensor_f64(want, first));
}

static verdict compare_stored(const job *j, unsigned set, const sqz_tensor *out, unsigned n)
{
    const tar_member *m;
    verdict v = RIGHT;
    unsigned k = 0;
    for (; v == RIGHT && k < MOST && (m = member(j, set, "output", k)); k++) {
        sqz_tensor want;
        if (k >= n)
            return say(j, WRONG, "the model has %u outputs, more are wanted", n);
        sqz_status s = sqz_tensor_from_pb(j->ctx, m->data, m->n, &want, NULL, 0);
        if (s != SQZ_OK)
            return say(j, FAILED, "output_%u.pb: %s", k, sqz_last_error(j->ctx));
        v = compare(j, k, &want, &out[k]);
        sqz_tensor_free(j->ctx, &want);
    }
    return v == RIGHT && k == 0 ? say(j, FAILED, "the case has no outputs to compare with") : v;
}

/* ---- running ---- */
static verdict execute(const job *j, const data_set *d, sqz_graph *g, sqz_tensor out[MOST])
{
    sqz_tensor in[MOST];
    sqz_status s = sqz_run_recipe(g, SQZ_CANONICAL, NULL);
    if (s != SQZ_OK)
        return failed(j, s, "");
    if (g->n_input > MOST || g->n_output > MOST)
        return say(j, FAILED, "more than %d inputs or outputs", MOST);
    for (uint32_t i = 0; i < g->n_input; i++) {
        const char *name = sqz_val(g, g->input[i])->name;
        unsigned k = 0;
        while (k < d->n_in && strcmp(d->in[k].name, name) != 0)
            k++;
        if (k == d->n_in)
            return say(j, FAILED, "no value for input '%s'%s%s", name, *d->unread ? "; " : "",
                       d->unread);
        in[i] = d->in[k].t;
    }
    s = sqz_exec_once(g, in, out);
    return s == SQZ_OK ? RIGHT : failed(j, s, "");
}

static void drop(const job *j, sqz_tensor out[MOST], uint32_t n)
{
    for (uint32_t k = 0; k < n; k++)
        sqz_tensor_free(j->ctx, &out[k]);
}

/* Written and read again, the model computes what `out` has. g is as imported. */
static verdict again(const job *j, const data_set *d, const sqz_import_options *opt, sqz_graph *g,
                     const void *bytes, size_t n)
{
    sqz_graph *back;
    sqz_tensor out[MOST], out2[MOST];
    verdict v = execute(j, d, g, out);
    if (v != RIGHT) /* judged by the plain run */
        return say(j, REFUSED, "%s", j->c->result->why);
    sqz_status s = sqz_import_bytes(j->ctx, bytes, n, opt, &back);
    if (s != SQZ_OK) {
        v = say(j, FAILED, "read again: %s", sqz_last_error(j->ctx));
    } else {
        v = execute(j, d, back, out2);
        if (v == RIGHT) {
            if (back->n_output != g->n_output)
                v = say(j, WRONG, "read again, it has %u outputs", back->n_output);
            for (uint32_t k = 0; v == RIGHT && k < g->n_output; k++)
                v = compare(j, k, &out[k], &out2[k]);
            drop(j, out2, back->n_output);
        } else {
            v = FAILED;
        }
        sqz_graph_free(back);
    }
    drop(j, out, g->n_output);
    return v;
}

static verdict run_graph(const job *j, unsigned set, const data_set *d,
                         const sqz_import_options *opt, sqz_graph *g)
{
    void *bytes;
    size_t n;
    sqz_tensor out[MOST];
    if (!j->roundtrip) {
        verdict v = execute(j, d, g, out);
        if (v != RIGHT)
            return v;
        v = compare_stored(j, set, out, g->n_output);
        drop(j, out, g->n_output);
        return v;
    }
    sqz_status s = sqz_export_onnx(g, &bytes, &n);
    if (s != SQZ_OK)
        return failed(j, s, "export: ");
    verdict v = again(j, d, opt, g, bytes, n);
    sqz_free(j->ctx, bytes);
    return v;
}

static verdict run_set(job *j, unsigned set)
{
    data_set d = {.shape = ""};
    sqz_graph *g = NULL;
    sqz_status s = j->c->light ? light_input(j, &d) : read_inputs(j, set, &d);
    verdict v;
    if (s != SQZ_OK) {
        v = failed(j, s, "");
    } else {
        sqz_given given[MOST];
        for (unsigned i = 0; i < d.n_in; i++)
            given[i] = (sqz_given){.name = d.in[i].name, .tensor = &d.in[i].t};
        const sqz_import_options opt = {
            .shape = *d.shape ? d.shape : NULL, .given = given, .n_given = d.n_in};
        s = sqz_import_bytes(j->ctx, j->c->model->data, j->c->model->n, &opt, &g);
        v = s == SQZ_OK ? run_graph(j, set, &d, &opt, g) : failed(j, s, "");
    }
    sqz_graph_free(g);
    sqz_arrays_free(j->ctx, d.in, d.n_in);
    return v;
}

void case_run(const tar *archive, const onnx_case *c, bool roundtrip)
{
    job j = {.archive = archive, .c = c, .roundtrip = roundtrip};
    sqz_ctx_options opt = SQZ_CTX_OPTIONS_INIT;
    opt.threads = 1; /* cases run beside each other */
    if (sqz_ctx_create(&opt, &j.ctx) != SQZ_OK)
        abort();
    sqz_own_process(j.ctx);
    j.arena.ctx = j.ctx;
    j.model = onnx__model_proto__unpack(NULL, c->model->n, c->model->data);
    verdict v = RIGHT;
    if (!j.model || !j.model->graph)
        v = say(&j, FAILED, "model.onnx is not a model");
    for (unsigned set = 0; v == RIGHT && (set == 0 || member(&j, set, "output", 0)); set++) {
        v = run_set(&j, set);
        if (c->light)
            break;
    }
    if (j.model)
        onnx__model_proto__free_unpacked(j.model, NULL);
    sqz_arena_free(&j.arena);
    sqz_ctx_free(j.ctx); /* asserts that nothing leaked */
    c->result->verdict = v;
}
