/* onnx_inputs.c: graph inputs. Every dimension is bound: dimension 0, where the file leaves it
 * open, is the batch and becomes 1; any other open one is given by the caller as
 * "name=1,3,224,224", or by a value of the input that the caller knows. "name=16000" (--bind) makes
 * an input a constant. */
#include "io/onnx.h"
#include "io/shape_option.h"
#include <string.h>

/* The names of the inputs; options may name no others. */
static sqz_status check_options(const sqz_onnx_import *im)
{
    const size_t n = im->graph->n_input;
    const char **name = sqz_calloc(im->ctx, n + 1, sizeof *name);
    if (!name)
        return SQZ_E_NOMEM;
    for (size_t i = 0; i < n; i++)
        name[i] = sqz_onnx_str(im->graph->input[i]->name);
    sqz_status s = sqz_option_check(im->ctx, "shape", im->opt->shape, name, n);
    if (s == SQZ_OK)
        s = sqz_option_check(im->ctx, "bind", im->opt->bind, name, n);
    sqz_free(im->ctx, name);
    return s;
}

/* ---- values that the caller knows ---- */

typedef struct bindings {
    sqz_given *list; /* for operators that need an input as a constant */
    size_t n;
    uint32_t place;
    bool lone, zero_batch; /* of all inputs: see below */
} bindings;

static bool lone_input(const sqz_onnx_import *im)
{
    size_t n = 0;
    for (size_t i = 0; i < im->graph->n_input; i++)
        n += sqz_onnx_names_get(&im->init, sqz_onnx_str(im->graph->input[i]->name)) == SQZ_NONE;
    return n == 1;
}

/* By name, else by place; a lone array is the lone input's, whatever it is called. */
static sqz_given *given_of(const sqz_onnx_import *im, const bindings *b, const char *name,
                           uint32_t place)
{
    const sqz_import_options *o = im->opt;
    sqz_given *by_place = NULL;
    for (size_t i = 0; o && i < o->n_given; i++) {
        if (o->given[i].name && strcmp(o->given[i].name, name) == 0)
            return &o->given[i];
        if (!o->given[i].name && i == place)
            by_place = &o->given[i];
    }
    return !by_place && o && o->n_given == 1 && b->lone ? &o->given[0] : by_place;
}

/* The numbers of "name=1,2,3" as a tensor of the input's type and shape; an open shape is a list.
 */
static sqz_status bound_value(const sqz_onnx_import *im, const sqz_option_entry *e, sqz_dtype d,
                              const sqz_shape *shape, bool open, sqz_tensor *out)
{
    size_t n = 1, i = 0;
    sqz_shape s = *shape;
    for (const char *p = e->values; p < e->end; p++)
        n += *p == ',';
    if (open)
        s = sqz_shape_of(1, (int64_t[]){(int64_t)n});
    SQZ_TRY(sqz_tensor_alloc(im->ctx, d, &s, out));
    bool right = out->count == n;
    for (const char *p = e->values; right && i < n; i++) {
        double v;
        int64_t whole;
        const char *after;
        if (!sqz_dtype_is_float(d) && sqz_parse_i64(p, &after, &whole))
            sqz_tensor_set_i64(out, i, whole);
        else if ((right = sqz_dtype_is_float(d) && sqz_parse_f64(p, &after, &v)))
            sqz_tensor_set_f64(out, i, v);
        right = right && (after == e->end || *after == ',');
        p = right ? after + 1 : p;
    }
    if (right)
        return SQZ_OK;
    char text[160];
    sqz_shape_print(text, &s);
    sqz_tensor_free(im->ctx, out);
    return sqz_fail(im->ctx, SQZ_E_ARG, "bind option '%.*s': expected %s numbers of type %s",
                    (int)SQZ_MIN(e->end - e->name, 80), e->name, s.rank ? text : "one",
                    sqz_dtype_name(d));
}

static bool open_dim(const Onnx__TensorShapeProto__Dimension *d)
{
    return d->value_case != ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE ||
           d->dim_value < 0;
}

/* Some old exporters write 0 for a batch that is open. It is meant so where every input has it: a
 * single empty input is an empty input. */
static bool zero_batches(const sqz_onnx_import *im)
{
    size_t n = 0;
    for (size_t i = 0; i < im->graph->n_input; i++) {
        const Onnx__ValueInfoProto *v = im->graph->input[i];
        if (sqz_onnx_names_get(&im->init, sqz_onnx_str(v->name)) != SQZ_NONE)
            continue;
        bool tensor = v->type && v->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
        const Onnx__TensorShapeProto *s = tensor ? v->type->tensor_type->shape : NULL;
        if (!s || !s->n_dim || open_dim(s->dim[0]) || s->dim[0]->dim_value != 0)
            return false;
        n++;
    }
    return n > 0;
}

/* "input 'x': ... --shape 'x=1,3,?,?'": the option that the user has to complete. */
static void ask(sqz_onnx_import *im, const char *name, const Onnx__TensorShapeProto *s)
{
    sqz_str t = {.ctx = im->ctx};
    for (size_t k = 0; s && k < s->n_dim; k++) {
        sqz_str_add(&t, k ? "," : "");
        if (!open_dim(s->dim[k]))
            sqz_str_addf(&t, "%lld", (long long)s->dim[k]->dim_value);
        else if (k == 0)
            sqz_str_add(&t, "1");
        else if (s->dim[k]->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM &&
                 *s->dim[k]->dim_param)
            sqz_str_addf(&t, "<%.40s>", s->dim[k]->dim_param);
        else
            sqz_str_add(&t, "<size>");
    }
    sqz_refuse(im->refusals, SQZ_E_SHAPE,
               "input '%.80s': its shape is open, give it: --shape '%.80s=%.200s'", name, name,
               t.len ? t.data : "<sizes>");
    sqz_str_free(&t);
}

/* The shape of one input. *batch: what the file calls an open dimension 0, else NULL; *open: a
 * dimension is not known. */
static sqz_status bind(const sqz_onnx_import *im, const Onnx__ValueInfoProto *v,
                       const sqz_given *known, bool zero_batch, sqz_shape *out, const char **batch,
                       bool *open)
{
    const char *name = sqz_onnx_str(v->name);
    const Onnx__TensorShapeProto *s = v->type->tensor_type->shape;
    bool given;
    *batch = NULL;
    SQZ_TRY(sqz_shape_option(im->ctx, im->opt ? im->opt->shape : NULL, name, &given, out));
    if (!given && known) {
        *out = known->tensor->shape;
        given = true;
    }
    *open = !s && !given;
    size_t rank = s ? s->n_dim : given ? (size_t)out->rank : 0;
    if (rank > SQZ_MAX_RANK || (given && (size_t)out->rank != rank))
        return sqz_fail(im->ctx, given ? SQZ_E_ARG : SQZ_E_UNSUPPORTED,
                        "input '%.80s' has %zu dimensions, expected %d", name, rank,
                        given ? out->rank : SQZ_MAX_RANK);
    out->rank = (int32_t)rank;
    for (size_t k = 0; s && k < rank; k++) {
        const Onnx__TensorShapeProto__Dimension *d = s->dim[k];
        if (!open_dim(d) && !(k == 0 && zero_batch)) {
            if (given && out->dim[k] != d->dim_value && !(known && k == 0))
                return sqz_fail(im->ctx, SQZ_E_ARG,
                                "input '%.80s': dimension %zu is given as %lld, the model has %lld",
                                name, k, (long long)out->dim[k], (long long)d->dim_value);
            out->dim[k] = d->dim_value;
            continue;
        }
        bool named = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
        if (k == 0)
            *batch = named && *d->dim_param ? d->dim_param : "batch";
        if (k == 0 && !given)
            out->dim[0] = 1;
        else if (!given)
            *open = true;
    }
    if (given && !known) /* the caller wants it so */
        *batch = NULL;
    return SQZ_OK;
}

/* ---- all ---- */

static sqz_status remember(sqz_onnx_import *im, bindings *b, sqz_given *known, sqz_vid v)
{
    const sqz_value *val = sqz_val(im->g, v);
    known->name = val->name;
    known->value = v;
    if (known->tensor->dtype == val->dtype && sqz_shape_eq(&known->tensor->shape, &val->shape))
        b->list[b->n++] = *known; /* others are cast, or are a batch: they are no constants */
    return SQZ_OK;
}

static sqz_status input(sqz_onnx_import *im, const Onnx__ValueInfoProto *v, bindings *b,
                        const char **batch, sqz_shape *shape)
{
    const char *name = sqz_onnx_str(v->name);
    sqz_given *known = given_of(im, b, name, b->place++);
    bool open;
    sqz_option_entry e;
    sqz_vid id;
    *batch = NULL;
    (void)sqz_onnx_names_add(&im->value, name, SQZ_ONNX_POISON);
    if (!v->type || v->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
        return SQZ_OK; /* on the list already */
    sqz_dtype d = sqz_dtype_of_onnx(v->type->tensor_type->elem_type);
    if (d == SQZ_N_DTYPE) {
        sqz_refuse(im->refusals, SQZ_E_UNSUPPORTED,
                   "input '%.80s': element type %s is not supported; cast it before the model",
                   name, sqz_onnx_type_name(v->type->tensor_type->elem_type));
        return SQZ_OK;
    }
    SQZ_TRY(bind(im, v, known, b->zero_batch, shape, batch, &open));
    if (im->opt && sqz_option_find(im->opt->bind, name, &e)) {
        sqz_tensor t;
        SQZ_TRY(bound_value(im, &e, d, shape, open || *batch, &t));
        SQZ_TRY(sqz_graph_constant(im->g, name, &t, &id));
        *batch = "";
        shape->rank = 0;
    } else if (open) {
        ask(im, name, v->type->tensor_type->shape);
        return SQZ_OK;
    } else {
        SQZ_TRY(sqz_graph_input(im->g, name, d, shape, &id));
        SQZ_TRY(sqz_onnx_keep_info(im->g, v, &sqz_val(im->g, id)->extra));
        if (known)
            SQZ_TRY(remember(im, b, known, id));
    }
    sqz_onnx_names_set(&im->value, name, id);
    return SQZ_OK;
}

sqz_status sqz_onnx_inputs(sqz_onnx_import *im)
{
    const Onnx__GraphProto *g = im->graph;
    bool all_open = true;
    bindings b = {
        .list = sqz_arena_alloc(&im->arena, im->opt ? im->opt->n_given + 1 : 1, sizeof *b.list)};
    if (!b.list)
        return SQZ_E_NOMEM;
    b.lone = lone_input(im);
    b.zero_batch = zero_batches(im);
    if (im->opt)
        SQZ_TRY(check_options(im));
    for (size_t i = 0; i < g->n_input; i++) {
        const char *batch;
        sqz_shape shape = {0};
        if (sqz_onnx_names_get(&im->init, sqz_onnx_str(g->input[i]->name)) != SQZ_NONE)
            continue; /* files of IR 3 list initializers as inputs: they are constants */
        SQZ_TRY(input(im, g->input[i], &b, &batch, &shape));
        all_open = all_open && (batch || shape.rank == 0);
        if (batch && *batch && !im->g->batch_name)
            im->g->batch_name = sqz_arena_strdup(&im->g->arena, batch);
    }
    im->g->batch_free = all_open && im->g->batch_name != NULL;
    im->g->given = b.list;
    im->g->n_given = b.n;
    return SQZ_OK;
}
