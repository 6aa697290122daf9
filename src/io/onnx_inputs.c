/* onnx_inputs.c: graph inputs. Every dimension is bound: dimension 0, where the file leaves it
 * open, is the batch and becomes 1; any other open one is given by the caller as
 * "name=1,3,224,224". */
#include "io/onnx.h"
#include <string.h>

/* The entry for `name` in "a=1,2;b=3": its dimensions in *out; false when there is none. A name may
 * itself contain '=': the last one counts. */
static sqz_status option_of(sqz_ctx *ctx, const char *text, const char *name, bool *found,
                            sqz_shape *out)
{
    *found = false;
    for (const char *at = text; at && *at; at += *at == ';') {
        size_t n = strcspn(at, ";"), eq = n;
        while (eq > 0 && at[eq - 1] != '=')
            eq--;
        if (eq == 0)
            return sqz_fail(ctx, SQZ_E_ARG, "shape option '%.*s': expected name=1,3,224,224",
                            (int)SQZ_MIN(n, 80), at);
        const char *end = at + n, *p = at + eq;
        if (eq - 1 == strlen(name) && memcmp(at, name, eq - 1) == 0) {
            *out = (sqz_shape){0};
            *found = true;
            while (p < end) {
                if (out->rank == SQZ_MAX_RANK || !sqz_parse_i64(p, &p, &out->dim[out->rank]) ||
                    out->dim[out->rank++] < 1 || (p < end && *p++ != ','))
                    return sqz_fail(ctx, SQZ_E_ARG,
                                    "shape option '%.*s': expected at most %d numbers above 0, "
                                    "with commas between",
                                    (int)SQZ_MIN(n, 80), at, SQZ_MAX_RANK);
            }
        }
        at = end;
    }
    return SQZ_OK;
}

/* Every name in the option is an input. */
static sqz_status check_option(sqz_onnx_import *im)
{
    const char *text = im->opt ? im->opt->shape : NULL;
    for (const char *at = text; at && *at; at += *at == ';') {
        size_t n = strcspn(at, ";"), eq = n, i = 0;
        while (eq > 0 && at[eq - 1] != '=')
            eq--;
        for (; eq && i < im->graph->n_input; i++) {
            const char *name = sqz_onnx_str(im->graph->input[i]->name);
            if (strlen(name) == eq - 1 && memcmp(at, name, eq - 1) == 0)
                break;
        }
        if (eq && i == im->graph->n_input)
            return sqz_fail(im->ctx, SQZ_E_ARG, "shape option: the model has no input '%.*s'",
                            (int)SQZ_MIN(eq - 1, 80), at);
        at += n;
    }
    return SQZ_OK;
}

static bool open_dim(const Onnx__TensorShapeProto__Dimension *d)
{
    return d->value_case != ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE ||
           d->dim_value < 1;
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
    sqz_onnx_line(im, SQZ_E_SHAPE,
                  "input '%.80s': its shape is open, give it: --shape '%.80s=%.200s'", name, name,
                  t.len ? t.data : "<sizes>");
    sqz_str_free(&t);
}

/* The shape of one input; *batch: what the file calls an open dimension 0, else NULL. */
static sqz_status bind(sqz_onnx_import *im, const Onnx__ValueInfoProto *v, sqz_shape *out,
                       const char **batch)
{
    const char *name = sqz_onnx_str(v->name);
    const Onnx__TensorShapeProto *s = v->type->tensor_type->shape;
    bool given, open = !s;
    *batch = NULL;
    SQZ_TRY(option_of(im->ctx, im->opt ? im->opt->shape : NULL, name, &given, out));
    size_t rank = s ? s->n_dim : given ? (size_t)out->rank : 0;
    if (rank > SQZ_MAX_RANK || (given && (size_t)out->rank != rank))
        return sqz_fail(im->ctx, given ? SQZ_E_ARG : SQZ_E_UNSUPPORTED,
                        "input '%.80s' has %zu dimensions, expected %d", name, rank,
                        given ? out->rank : SQZ_MAX_RANK);
    out->rank = (int32_t)rank;
    for (size_t k = 0; s && k < rank; k++) {
        const Onnx__TensorShapeProto__Dimension *d = s->dim[k];
        if (!open_dim(d)) {
            if (given && out->dim[k] != d->dim_value)
                return sqz_fail(im->ctx, SQZ_E_ARG,
                                "input '%.80s': the shape option gives dimension %zu as %lld, the "
                                "model has %lld",
                                name, k, (long long)out->dim[k], (long long)d->dim_value);
            out->dim[k] = d->dim_value;
        } else if (!given && k == 0) {
            bool named = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            *batch = named && *d->dim_param ? d->dim_param : "batch";
            out->dim[0] = 1;
        } else if (!given) {
            open = true;
        }
    }
    if (open && !given)
        ask(im, name, s);
    return SQZ_OK;
}

sqz_status sqz_onnx_inputs(sqz_onnx_import *im)
{
    const Onnx__GraphProto *g = im->graph;
    bool all_open = true;
    SQZ_TRY(check_option(im));
    for (size_t i = 0; i < g->n_input; i++) {
        const Onnx__ValueInfoProto *v = g->input[i];
        const char *batch, *name = sqz_onnx_str(v->name);
        sqz_shape shape = {0};
        sqz_vid id;
        if (sqz_onnx_names_get(&im->init, name) != SQZ_NONE)
            continue; /* files of IR 3 list initializers as inputs: they are constants */
        (void)sqz_onnx_names_add(&im->value, name, SQZ_ONNX_POISON);
        if (!v->type || v->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
            continue; /* on the list already */
        sqz_dtype d = sqz_dtype_of_onnx(v->type->tensor_type->elem_type);
        if (d == SQZ_N_DTYPE) {
            sqz_onnx_line(im, SQZ_E_UNSUPPORTED, "input '%.80s': element type %d is not supported",
                          name, v->type->tensor_type->elem_type);
            continue;
        }
        uint32_t lines = im->n_line;
        SQZ_TRY(bind(im, v, &shape, &batch));
        if (im->n_line != lines)
            continue;
        SQZ_TRY(sqz_graph_input(im->g, name, d, &shape, &id));
        sqz_onnx_names_set(&im->value, name, id);
        all_open = all_open && (batch || shape.rank == 0);
        if (batch && !im->g->batch_name)
            im->g->batch_name = sqz_arena_strdup(&im->g->arena, batch);
    }
    im->g->batch_free = all_open && im->g->batch_name != NULL;
    return SQZ_OK;
}
