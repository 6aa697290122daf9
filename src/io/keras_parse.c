/* keras_parse.c: the JSON of a model to layers and references between them, of any depth. */
#include "io/keras_model.h"
#include <string.h>

#define LAYERS 20000 /* of one model, and calls of its layers */

bool sqz_keras_is_model(const cJSON *spec)
{
    const cJSON *type = sqz_kc_get(spec, "class_name"), *config = sqz_kc_get(spec, "config");
    if (!type || !cJSON_IsString(type) || !config || strcmp(type->valuestring, "Merge") == 0)
        return false;
    return (cJSON_IsArray(config) && strcmp(type->valuestring, "Sequential") == 0) ||
           (cJSON_IsObject(config) && sqz_kc_get(config, "layers"));
}

static const cJSON *layers_of(const cJSON *config)
{
    return cJSON_IsArray(config) ? config : sqz_kc_get(config, "layers");
}

static sqz_status no_list(sqz_keras *k, const char *what)
{
    return sqz_fail(k->ctx, SQZ_E_FORMAT, "the model's JSON: %s is not what Keras writes", what);
}

/* ---- layers ---- */

static const char *text_of(const cJSON *item, const char *name)
{
    const cJSON *e = sqz_kc_get(item, name);
    return e && cJSON_IsString(e) ? e->valuestring : NULL;
}

/* Entries of Keras 3's class names: "Package>Name". */
static const char *bare(const char *type)
{
    const char *at = type ? strrchr(type, '>') : NULL;
    return at ? at + 1 : type;
}

static sqz_status fill(sqz_keras *k, const cJSON *spec, const char *prefix, sqz_klayer *l)
{
    const cJSON *config = sqz_kc_get(spec, "config");
    const char *own = text_of(spec, "name");
    l->k = k;
    l->type = bare(text_of(spec, "class_name"));
    l->config = config;
    l->own = own ? own : config && cJSON_IsObject(config) ? text_of(config, "name") : NULL;
    if (!l->type || !config)
        return no_list(k, "a layer");
    l->type = sqz_arena_strdup(&k->arena, l->type); /* the JSON goes before the layer does */
    l->own = l->own ? sqz_arena_strdup(&k->arena, l->own) : l->type;
    if (!l->type || !l->own)
        return SQZ_E_NOMEM;
    l->name = *prefix ? sqz_arena_printf(&k->arena, "%s/%s", prefix, l->own) : l->own;
    l->cls = sqz_keras_is_model(spec) ? NULL : sqz_keras_class(l->type);
    return l->name ? SQZ_OK : SQZ_E_NOMEM;
}

static void refuse_class(sqz_klayer *l)
{
    l->refused = true;
    sqz_refuse(&l->k->no, SQZ_E_UNSUPPORTED, "layer '%.100s' (%.60s): %s", l->name, l->type,
               sqz_keras_advice(l->type));
}

static sqz_status inside(sqz_klayer *outer, const cJSON *spec, const sqz_kweights *w,
                         sqz_klayer *out)
{
    sqz_keras *k = outer->k;
    SQZ_TRY(fill(k, spec, "", out));
    out->name = outer->name;
    out->w = *w;
    if (sqz_keras_is_model(spec))
        return sqz_keras_parse_model(k, spec, outer->name, &out->w, &out->model);
    if (!out->cls)
        refuse_class(out);
    return SQZ_OK;
}

/* The layer in TimeDistributed; the two in Bidirectional, with half of the weights each. */
static sqz_status wrapped(sqz_klayer *l)
{
    bool two = sqz_kc_is("Bidirectional", l->type);
    const cJSON *spec = sqz_kc_get(l->config, "layer"),
                *back = sqz_kc_get(l->config, "backward_layer");
    if (!spec || !sqz_kc_is("Bidirectional|TimeDistributed", l->type))
        return SQZ_OK;
    l->inner = sqz_arena_alloc(&l->k->arena, 2, sizeof *l->inner);
    if (!l->inner)
        return SQZ_E_NOMEM;
    uint32_t half = l->w.n / 2;
    const sqz_kweights fw = {l->w.v, two ? half : l->w.n},
                       bw = {half ? l->w.v + half : l->w.v, l->w.n - half};
    SQZ_TRY(inside(l, spec, &fw, &l->inner[0]));
    l->refused = l->inner[0].refused;
    if (!two)
        return SQZ_OK;
    SQZ_TRY(inside(l, back ? back : spec, &bw, &l->inner[1]));
    l->inner[1].w_base = half;
    return SQZ_OK;
}

/* Keras 1: a Sequential model of several inputs begins with a Merge that holds one model for each.
 */
static sqz_status branches(sqz_klayer *l, const char *prefix,
                           const sqz_kweights *scope) /* NOLINT */
{
    const cJSON *list = sqz_kc_get(l->config, "layers"), *spec = NULL;
    int n = list ? cJSON_GetArraySize(list) : 0;
    if (!sqz_kc_is("Merge", l->type) || n < 1 || n > LAYERS)
        return SQZ_OK;
    l->branch = sqz_arena_alloc(&l->k->arena, (size_t)n, sizeof *l->branch);
    if (!l->branch)
        return SQZ_E_NOMEM;
    cJSON_ArrayForEach(spec, list)
    {
        sqz_klayer *b = &l->branch[l->n_branch++];
        SQZ_TRY(fill(l->k, spec, prefix, b));
        if (!sqz_keras_is_model(spec))
            return no_list(l->k, "a branch of Merge");
        b->name = *prefix ? prefix : b->name; /* the weights inside have groups of their own */
        SQZ_TRY(sqz_keras_parse_model(l->k, spec, prefix, scope, &b->model));
    }
    return SQZ_OK;
}

static sqz_status add_layer(sqz_keras *k, const cJSON *spec, const char *prefix,
                            const sqz_kweights *scope, sqz_klayer *l)
{
    bool found = false;
    SQZ_TRY(fill(k, spec, prefix, l));
    if (scope)
        SQZ_TRY(sqz_keras_pick(k, scope, l->own, &l->w));
    else
        SQZ_TRY(sqz_keras_group(k, l->own, &l->w, &found));
    if (sqz_keras_is_model(spec)) {
        /* Keras 1 had a group for each layer inside, too; names inside may leave the model out */
        const sqz_kweights *within = !scope ? (found ? &l->w : NULL) : l->w.n ? &l->w : scope;
        return sqz_keras_parse_model(k, spec, l->name, within, &l->model);
    }
    if (!l->cls)
        refuse_class(l);
    SQZ_TRY(branches(l, prefix, scope));
    return wrapped(l);
}

/* ---- references ---- */

typedef struct refs {
    sqz_keras *k;
    const sqz_kmodel *m;
    sqz_kcall *call;
    uint32_t room;
    sqz_status status;
} refs;

static uint32_t layer_at(const sqz_kmodel *m, const char *own)
{
    for (uint32_t i = 0; i < m->n_layer; i++)
        if (strcmp(m->layer[i].own, own) == 0)
            return i;
    return SQZ_NONE;
}

static bool small(const cJSON *item, uint32_t *out)
{
    if (!item || !cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble < LAYERS))
        return false;
    *out = (uint32_t)item->valuedouble;
    return true;
}

/* ["name", node, tensor] */
static void add_ref(refs *r, const cJSON *list)
{
    sqz_kref ref;
    if (list->child && cJSON_IsString(list->child) &&
        strcmp(list->child->valuestring, "_CONSTANT_VALUE") == 0) {
        r->call->constant = list->child->next ? list->child->next->next : NULL;
        return;
    }
    const cJSON *node = list->child ? list->child->next : NULL, *tensor = node ? node->next : NULL;
    ref.layer = list->child && cJSON_IsString(list->child)
                    ? layer_at(r->m, list->child->valuestring)
                    : SQZ_NONE;
    if (ref.layer == SQZ_NONE || !small(node, &ref.node) || !small(tensor, &ref.tensor) ||
        ref.tensor >= SQZ_KERAS_OUTS) {
        r->status = no_list(r->k, "a reference to a layer");
        return;
    }
    if (r->call->n_in == r->room) {
        uint32_t room = r->room ? 2 * r->room : 4;
        sqz_kref *more = sqz_arena_alloc(&r->k->arena, room, sizeof *more);
        if (!more) {
            r->status = SQZ_E_NOMEM;
            return;
        }
        if (r->room)
            memcpy(more, r->call->in, r->room * sizeof *more);
        r->call->in = more;
        r->room = room;
    }
    r->call->in[r->call->n_in++] = ref;
}

static bool is_ref(const cJSON *item)
{
    return cJSON_IsArray(item) && item->child && cJSON_IsString(item->child);
}

/* Keras 3: {"class_name": "__keras_tensor__", "config": {"keras_history": [...]}} */
static const cJSON *history(const cJSON *item)
{
    const cJSON *config = cJSON_IsObject(item) ? sqz_kc_get(item, "config") : NULL;
    return config && cJSON_IsObject(config) ? sqz_kc_get(config, "keras_history") : NULL;
}

/* Every reference in the arguments of a call, in order. The parser bounds the nesting. */
static void collect(refs *r, const cJSON *item) /* NOLINT(misc-no-recursion) */
{
    const cJSON *e = NULL;
    if (r->status != SQZ_OK)
        return;
    if (history(item)) {
        add_ref(r, history(item));
    } else if (is_ref(item)) {
        add_ref(r, item);
        const cJSON *kwargs = cJSON_GetArrayItem(item, 3);
        if (kwargs && cJSON_IsObject(kwargs) && kwargs->child) {
            r->call->kwargs = kwargs;
            cJSON_ArrayForEach(e, kwargs)
            {
                if (is_ref(e) && cJSON_GetArraySize(e) >= 3 && e->string &&
                    strcmp(e->string, "mask") != 0 &&
                    layer_at(r->m, e->child->valuestring) != SQZ_NONE)
                    add_ref(r, e);
            }
        }
    } else if (cJSON_IsArray(item)) {
        cJSON_ArrayForEach(e, item) collect(r, e);
    } else if (cJSON_IsObject(item) && sqz_kc_get(item, "args")) {
        r->call->kwargs = sqz_kc_get(item, "kwargs");
        collect(r, sqz_kc_get(item, "args"));
        cJSON_ArrayForEach(e, r->call->kwargs)
        {
            if (e->string && strcmp(e->string, "mask") != 0)
                collect(r, e);
        }
    }
}

static sqz_status calls_of(sqz_keras *k, sqz_kmodel *m, uint32_t i, const cJSON *spec,
                           uint32_t *total)
{
    const cJSON *nodes = sqz_kc_get(spec, "inbound_nodes"), *e = NULL;
    uint32_t n = nodes ? (uint32_t)cJSON_GetArraySize(nodes) : 0;
    *total += n;
    if (*total > LAYERS)
        return sqz_fail(k->ctx, SQZ_E_LIMIT, "more than %d calls of layers", LAYERS);
    m->n_call[i] = n ? n : 1; /* an input has none */
    m->call[i] = sqz_arena_alloc(&k->arena, m->n_call[i], sizeof **m->call);
    if (!m->call[i])
        return SQZ_E_NOMEM;
    n = 0;
    cJSON_ArrayForEach(e, nodes)
    {
        refs r = {.k = k, .m = m, .call = &m->call[i][n++]};
        collect(&r, e);
        SQZ_TRY(r.status);
    }
    return SQZ_OK;
}

/* One reference or a list of them. */
static sqz_status ends_of(sqz_keras *k, sqz_kmodel *m, const char *name, sqz_kref **out,
                          uint32_t *n)
{
    sqz_kcall call = {0};
    refs r = {.k = k, .m = m, .call = &call};
    collect(&r, sqz_kc_get(m->config, name));
    SQZ_TRY(r.status);
    *out = call.in;
    *n = call.n_in;
    return *n ? SQZ_OK : no_list(k, name);
}

/* Some versions count the call by which a nested model was made as call 0, and leave it out of the
 * file: then nobody refers to call 0. */
static void from_zero(sqz_kmodel *m, uint32_t *least)
{
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i <= m->n_layer; i++)
            for (uint32_t c = 0; c < (i < m->n_layer ? m->n_call[i] : 2); c++) {
                sqz_kref *in = i < m->n_layer ? m->call[i][c].in : c ? m->input : m->output;
                uint32_t n = i < m->n_layer ? m->call[i][c].n_in : c ? m->n_input : m->n_output;
                for (uint32_t t = 0; t < n; t++) {
                    if (pass == 0)
                        least[in[t].layer] = SQZ_MIN(least[in[t].layer], in[t].node);
                    else
                        in[t].node -= least[in[t].layer];
                }
            }
    }
}

static sqz_status functional(sqz_keras *k, sqz_kmodel *m, const cJSON *layers)
{
    const cJSON *spec = NULL;
    uint32_t i = 0, total = 0, *least = sqz_arena_alloc(&k->arena, m->n_layer, sizeof *least);
    m->call = sqz_arena_alloc(&k->arena, m->n_layer, sizeof *m->call);
    m->n_call = sqz_arena_alloc(&k->arena, m->n_layer, sizeof *m->n_call);
    if (!least || !m->call || !m->n_call)
        return SQZ_E_NOMEM;
    cJSON_ArrayForEach(spec, layers)
    {
        least[i] = UINT32_MAX;
        SQZ_TRY(calls_of(k, m, i++, spec, &total));
    }
    SQZ_TRY(ends_of(k, m, "input_layers", &m->input, &m->n_input));
    SQZ_TRY(ends_of(k, m, "output_layers", &m->output, &m->n_output));
    from_zero(m, least);
    return SQZ_OK;
}

sqz_status sqz_keras_parse_model(sqz_keras *k, const cJSON *spec, const char *prefix, /* NOLINT */
                                 const sqz_kweights *scope, sqz_kmodel **out)
{
    const cJSON *config = sqz_kc_get(spec, "config"), *e = NULL;
    const cJSON *layers = config ? layers_of(config) : NULL;
    int n = layers ? cJSON_GetArraySize(layers) : 0;
    sqz_kmodel *m = *out = sqz_arena_alloc(&k->arena, 1, sizeof *m);
    if (!m)
        return SQZ_E_NOMEM;
    if (n < 1 || !cJSON_IsArray(layers))
        return no_list(k, "the list of layers");
    if (n > LAYERS)
        return sqz_fail(k->ctx, SQZ_E_LIMIT, "%d layers, at most %d are read", n, LAYERS);
    m->config = config;
    m->layer = sqz_arena_alloc(&k->arena, (size_t)n, sizeof *m->layer);
    if (!m->layer)
        return SQZ_E_NOMEM;
    cJSON_ArrayForEach(e, layers) SQZ_TRY(add_layer(k, e, prefix, scope, &m->layer[m->n_layer++]));
    m->sequential = cJSON_IsArray(config) || !sqz_kc_get(config, "output_layers");
    return m->sequential ? SQZ_OK : functional(k, m, layers);
}
