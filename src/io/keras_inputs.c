/* keras_inputs.c: the inputs of a Keras model: their names, types and shapes, with every dimension
 * bound. */
#include "io/keras_model.h"
#include "io/shape_option.h"
#include <string.h>

typedef struct input {
    const char *name;
    const char *type;          /* NULL: float32 */
    int64_t dim[SQZ_MAX_RANK]; /* -1: open */
    uint32_t rank;             /* 0: not told */
} input;

static void shape_of(sqz_klayer *l, input *in)
{
    const cJSON *shape = sqz_kc_get(l->config, "batch_input_shape|batch_shape");
    const cJSON *size = sqz_kc_get(l->config, "input_dim"), *length = NULL;
    if (shape && cJSON_IsArray(shape) && shape->child && cJSON_IsArray(shape->child))
        shape = shape->child;
    if (shape) {
        in->rank = sqz_kc_list(l, shape, -1, in->dim);
        return;
    }
    length = sqz_kc_get(l->config, "input_length");
    in->dim[in->rank++] = -1;
    if (length && cJSON_IsNumber(length))
        in->dim[in->rank++] = sqz_kc_int(l, "input_length", -1);
    if (size && !sqz_kc_is("Embedding", l->type))
        in->dim[in->rank++] = sqz_kc_int(l, "input_dim", -1);
    if (in->rank == 1)
        in->rank = 0;
}

static sqz_status of_layer(sqz_keras *k, sqz_klayer *l, const char *name, input *in)
{
    *in = (input){.name = name};
    if (!cJSON_IsObject(l->config))
        return SQZ_OK;
    shape_of(l, in);
    in->type = sqz_kc_str(l, "input_dtype|dtype", NULL);
    if (l->status != SQZ_OK && !l->refused) {
        sqz_refuse(&k->no, l->status, "layer '%.100s' (%.60s): %s", l->name, l->type,
                   k->ctx->error);
        l->refused = true;
    }
    l->status = SQZ_OK;
    return SQZ_OK;
}

/* How many inputs a model has. */
uint32_t sqz_keras_n_inputs(const sqz_kmodel *m) /* NOLINT(misc-no-recursion) */
{
    uint32_t n = 0;
    if (!m->sequential)
        return m->n_input;
    for (uint32_t i = 0; i < m->layer[0].n_branch; i++)
        n += sqz_keras_n_inputs(m->layer[0].branch[i].model);
    return SQZ_MAX(n, 1);
}

/* The first layer of a Sequential model tells its input; it may be a model itself. */
static sqz_status of_sequential(sqz_keras *k, const sqz_kmodel *m, input *in)
{
    sqz_klayer *l = &m->layer[0];
    const char *name = strcmp(l->type, "InputLayer") == 0
                           ? l->own
                           : sqz_arena_printf(&k->arena, "%s_input", l->own);
    if (!name)
        return SQZ_E_NOMEM;
    while (l->model) {
        const sqz_kmodel *inner = l->model;
        if (!inner->sequential && inner->n_input != 1)
            return sqz_fail(k->ctx, SQZ_E_FORMAT,
                            "a Sequential model begins with a model of %u inputs", inner->n_input);
        l = inner->sequential ? &inner->layer[0] : &inner->layer[inner->input[0].layer];
    }
    SQZ_TRY(of_layer(k, l, name, in));
    const cJSON *built = in->rank || !cJSON_IsObject(m->config)
                             ? NULL
                             : sqz_kc_get(m->config, "build_input_shape");
    if (built)
        in->rank = sqz_kc_list(l, built, -1, in->dim);
    return SQZ_OK;
}

/* "1,?,40": the option that the user has to complete. */
static void ask(sqz_keras *k, const input *in)
{
    sqz_str t = {.ctx = k->ctx};
    for (uint32_t i = 0; i < in->rank; i++) {
        sqz_str_add(&t, i ? "," : "");
        if (in->dim[i] >= 0)
            sqz_str_addf(&t, "%lld", (long long)in->dim[i]);
        else
            sqz_str_add(&t, i ? "<size>" : "1");
    }
    sqz_refuse(&k->no, SQZ_E_SHAPE,
               "input '%.80s': its shape is open, give it: --shape '%.80s=%.200s'", in->name,
               in->name, t.len ? t.data : "<sizes>");
    sqz_str_free(&t);
}

/* What the caller knows of an input: by name, else by place; a lone array is the lone input's. */
static sqz_given *given_of(const sqz_keras *k, const char *name, uint32_t place, uint32_t n)
{
    const sqz_import_options *o = k->opt;
    sqz_given *by_place = NULL;
    for (size_t i = 0; i < o->n_given; i++) {
        if (o->given[i].name && strcmp(o->given[i].name, name) == 0)
            return &o->given[i];
        if (!o->given[i].name && i == place)
            by_place = &o->given[i];
    }
    return !by_place && o->n_given == 1 && n == 1 ? &o->given[0] : by_place;
}

/* Dimension 0 is the batch: 1 inside, unless the caller wants another. */
static sqz_status bind(sqz_keras *k, const input *in, const sqz_given *known, sqz_shape *out,
                       bool *open)
{
    bool given;
    *open = false;
    SQZ_TRY(sqz_shape_option(k->ctx, k->opt->shape, in->name, &given, out));
    if (!given && known && (in->rank == 0 || (uint32_t)known->tensor->shape.rank == in->rank)) {
        *out = known->tensor->shape;
        for (uint32_t i = 1; i < in->rank; i++)
            *open = *open || (in->dim[i] >= 0 && out->dim[i] != in->dim[i]);
        given = !*open;
        *open = false;
        known = given ? known : NULL;
    } else {
        known = NULL;
    }
    if (given && in->rank && (uint32_t)out->rank != in->rank)
        return sqz_fail(k->ctx, SQZ_E_ARG, "input '%.80s' has %u dimensions, the shape option %d",
                        in->name, in->rank, (int)out->rank);
    if (!given)
        out->rank = (int32_t)in->rank;
    *open = !given && in->rank == 0;
    for (uint32_t i = 0; i < in->rank; i++) {
        if (in->dim[i] >= 0 && given && out->dim[i] != in->dim[i] && i > 0)
            return sqz_fail(k->ctx, SQZ_E_ARG,
                            "input '%.80s': the shape option gives dimension %u as %lld, the model "
                            "has %lld",
                            in->name, i, (long long)out->dim[i], (long long)in->dim[i]);
        if (i == 0) /* a batch that a stateful model fixed matters to its training only */
            out->dim[0] = given ? out->dim[0] : 1;
        else if (in->dim[i] >= 0)
            out->dim[i] = in->dim[i];
        else if (!given)
            *open = true;
    }
    if ((given && !known) || out->rank < 2)
        k->batch_bound = true;
    return SQZ_OK;
}

static sqz_status add(sqz_keras *k, const input *in, sqz_given *known, sqz_kval *out)
{
    static const struct row {
        const char *name;
        sqz_dtype type;
    } types[] = {{"float32", SQZ_F32},  {"float64", SQZ_F32}, {"float16", SQZ_F32},
                 {"bfloat16", SQZ_F32}, {"int32", SQZ_S32},   {"int64", SQZ_S64},
                 {"uint8", SQZ_U8},     {"int8", SQZ_S8},     {"bool", SQZ_BOOL}};
    sqz_dtype d = in->type ? SQZ_N_DTYPE : SQZ_F32;
    sqz_shape s = {0};
    bool open;
    *out = (sqz_kval){SQZ_NONE, SQZ_NONE, false, true};
    for (size_t i = 0; in->type && i < SQZ_COUNT(types); i++)
        if (strcmp(types[i].name, in->type) == 0)
            d = types[i].type;
    if (d == SQZ_N_DTYPE) {
        sqz_refuse(&k->no, SQZ_E_UNSUPPORTED, "input '%.80s': type '%.40s' is not supported",
                   in->name, in->type);
        return SQZ_OK;
    }
    SQZ_TRY(bind(k, in, known, &s, &open));
    if (open) {
        ask(k, in);
        return SQZ_OK;
    }
    out->bad = false;
    SQZ_TRY(sqz_graph_input(k->g, in->name, d, &s, &out->plain));
    if (known) {
        known->name = sqz_val(k->g, out->plain)->name;
        known->value = out->plain;
    }
    return SQZ_OK;
}

/* Inputs of a model, in order; *in moves on. */
static sqz_status describe(sqz_keras *k, const sqz_kmodel *m, input **in) /* NOLINT */
{
    for (uint32_t i = 0; !m->sequential && i < m->n_input; i++) {
        sqz_klayer *l = &m->layer[m->input[i].layer];
        SQZ_TRY(of_layer(k, l, l->own, (*in)++));
    }
    if (!m->sequential)
        return SQZ_OK;
    const sqz_klayer *first = &m->layer[0];
    for (uint32_t i = 0; i < first->n_branch; i++)
        SQZ_TRY(describe(k, first->branch[i].model, in));
    return first->n_branch ? SQZ_OK : of_sequential(k, m, (*in)++);
}

sqz_status sqz_keras_inputs(sqz_keras *k, const sqz_kmodel *m, sqz_kval **out, uint32_t *n)
{
    *n = sqz_keras_n_inputs(m);
    input *in = sqz_arena_alloc(&k->arena, *n, sizeof *in);
    const char **name = sqz_arena_alloc(&k->arena, *n, sizeof *name);
    *out = sqz_arena_alloc(&k->arena, *n, sizeof **out);
    if (!in || !name || !*out)
        return SQZ_E_NOMEM;
    input *at = in;
    SQZ_TRY(describe(k, m, &at));
    for (uint32_t i = 0; i < *n; i++)
        name[i] = in[i].name;
    SQZ_TRY(sqz_option_check(k->ctx, "shape", k->opt->shape, name, *n));
    if (k->opt->bind)
        return sqz_fail(k->ctx, SQZ_E_ARG, "bind option: inputs of Keras models are not bound");
    for (uint32_t i = 0; i < *n; i++)
        SQZ_TRY(add(k, &in[i], given_of(k, in[i].name, i, *n), &(*out)[i]));
    return SQZ_OK;
}
