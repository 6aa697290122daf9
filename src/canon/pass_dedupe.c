/* pass_dedupe.c: constants with the same numbers become one. Graph outputs keep their own. */
#include "ir/pass.h"
#include <stdlib.h>
#include <string.h>

typedef struct item {
    uint64_t hash;
    sqz_vid v;
    const sqz_value *val;
} item;

static uint64_t hash_of(const sqz_value *v)
{
    sqz_sha256 h;
    char hex[65];
    uint64_t out = 0;
    sqz_sha256_begin(&h);
    sqz_sha256_add(&h, v->constant->data, v->constant->bytes);
    sqz_sha256_end(&h, hex);
    for (int i = 0; i < 16; i++)
        out = out << 4 | (uint64_t)(hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10);
    return out;
}

static int by_hash(const void *a, const void *b)
{
    const item *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return (x->v > y->v) - (x->v < y->v); /* the oldest first */
}

static bool same_quant(const sqz_quant *a, const sqz_quant *b)
{
    if (!a || !b)
        return a == b;
    return a->dtype == b->dtype && a->axis == b->axis && a->group == b->group && a->n == b->n &&
           memcmp(a->scale, b->scale, a->n * sizeof *a->scale) == 0 &&
           memcmp(a->zero, b->zero, a->n * sizeof *a->zero) == 0;
}

static bool same(const sqz_value *a, const sqz_value *b)
{
    return a->dtype == b->dtype && sqz_shape_eq(&a->shape, &b->shape) &&
           a->channel_last == b->channel_last && a->was_u8 == b->was_u8 && a->twin == b->twin &&
           same_quant(a->quant, b->quant) &&
           (a->constant->bytes == 0 ||
            memcmp(a->constant->data, b->constant->data, a->constant->bytes) == 0);
}

/* to[v]: the constant that stands for v. */
static sqz_status find_equal(const sqz_graph *g, sqz_arena *a, sqz_vid *to)
{
    uint32_t n = 0;
    item *it = sqz_arena_alloc(a, (size_t)g->n_value + 1, sizeof *it);
    if (!it)
        return SQZ_E_NOMEM;
    for (sqz_vid v = 0; v < g->n_value; v++) {
        to[v] = v;
        if (sqz_val(g, v)->constant)
            it[n++] = (item){hash_of(sqz_val(g, v)), v, sqz_val(g, v)};
    }
    qsort(it, n, sizeof *it, by_hash);
    for (uint32_t i = 1, first = 0; i < n; i++) {
        if (it[i].hash != it[first].hash)
            first = i;
        for (uint32_t k = first; k < i && to[it[i].v] == it[i].v; k++)
            if (to[it[k].v] == it[k].v && same(it[k].val, it[i].val))
                to[it[i].v] = it[k].v;
    }
    return SQZ_OK;
}

static sqz_status dedupe(sqz_graph *g, sqz_arena *a)
{
    sqz_vid *to = sqz_arena_alloc(a, (size_t)g->n_value + 1, sizeof *to);
    if (!to)
        return SQZ_E_NOMEM;
    SQZ_TRY(find_equal(g, a, to));
    for (uint32_t i = 0; i < g->n_output; i++)
        to[g->output[i]] = g->output[i];
    for (sqz_vid v = 0; v < g->n_value; v++) /* a twin's original stays */
        if (sqz_val(g, v)->twin != SQZ_NONE)
            to[sqz_val(g, v)->twin] = sqz_val(g, v)->twin;
    SQZ_EACH_NODE(g, n)
    {
        sqz_node *nd = sqz_nod(g, n);
        for (unsigned i = 0; i < nd->n_in; i++)
            if (nd->in[i] != SQZ_NONE)
                nd->in[i] = to[nd->in[i]];
    }
    for (sqz_vid v = 0; v < g->n_value; v++)
        if (to[v] != v)
            sqz_graph_remove_value(g, v);
    return SQZ_OK;
}

static sqz_status run(sqz_graph *g, const void *opts, sqz_env *env)
{
    (void)opts;
    (void)env;
    sqz_arena a = {.ctx = g->ctx};
    sqz_status s = dedupe(g, &a);
    sqz_arena_free(&a);
    return s;
}

const sqz_pass sqz_pass_dedupe = {
    .info = {.name = "dedupe", .doc = "keeps one of several equal constants"},
    .exact = true,
    .run = run,
};
