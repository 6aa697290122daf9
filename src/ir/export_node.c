/* export_node.c: a node in ONNX spelling, by the operator's schema. */
#include "ir/op.h"
#include <string.h>

/* Entry `index` of an "a|b|c" list, as a copy. */
static const char *enum_name(sqz_arena *a, const char *names, int64_t index)
{
    while (index-- > 0 && (names = strchr(names, '|')))
        names++;
    return names ? sqz_arena_strndup(a, names, strcspn(names, "|")) : NULL;
}

static sqz_status write_attr(sqz_export *e, const sqz_attr *at, const void *field)
{
    sqz_export_attr x = {.name = at->name};
    switch (at->type) {
    case SQZ_A_INT:
    case SQZ_A_BOOL:
        x.type = 2;
        x.i = *(const int64_t *)field;
        break;
    case SQZ_A_FLOAT:
        x.type = 1;
        x.f = (float)*(const double *)field;
        break;
    case SQZ_A_ENUM:
        x.type = 3;
        x.s = enum_name(e->arena, at->names, *(const int64_t *)field);
        if (!x.s)
            return SQZ_E_NOMEM;
        break;
    case SQZ_A_STRING:
        x.type = 3;
        x.s = *(const char *const *)field;
        if (!x.s)
            return SQZ_OK;
        break;
    case SQZ_A_INTS:
        x.type = 7;
        x.ints = *(const sqz_ints *)field;
        if (!x.ints.n)
            return SQZ_OK;
        break;
    case SQZ_A_FLOATS:
        x.type = 6;
        x.floats = *(const sqz_floats *)field;
        if (!x.floats.n)
            return SQZ_OK;
        break;
    }
    if (e->n_attr == SQZ_COUNT(e->attr))
        return sqz_fail(e->ctx, SQZ_E_LIMIT, "node '%s': more than %zu attributes", e->node->name,
                        SQZ_COUNT(e->attr));
    e->attr[e->n_attr++] = x;
    return SQZ_OK;
}

static sqz_status write_input(sqz_export *e, unsigned slot, const sqz_attr *at, const void *field)
{
    int64_t *i = sqz_arena_alloc(e->arena, 1, sizeof *i);
    float *f = sqz_arena_alloc(e->arena, 1, sizeof *f);
    if (!i || !f)
        return SQZ_E_NOMEM;
    e->in[slot].value = SQZ_NONE;
    e->in[slot].is_const = true;
    e->in[slot].is_float = at->type == SQZ_A_FLOAT || at->type == SQZ_A_FLOATS;
    e->in[slot].scalar = at->type != SQZ_A_INTS && at->type != SQZ_A_FLOATS;
    switch (at->type) {
    case SQZ_A_INTS: e->in[slot].ints = *(const sqz_ints *)field; break;
    case SQZ_A_FLOATS: e->in[slot].floats = *(const sqz_floats *)field; break;
    case SQZ_A_FLOAT:
        *f = (float)*(const double *)field;
        e->in[slot].floats = (sqz_floats){1, f};
        break;
    default:
        *i = *(const int64_t *)field;
        e->in[slot].ints = (sqz_ints){1, i};
        break;
    }
    /* an empty list is an input left out, where that is allowed */
    e->in[slot].is_const = e->in[slot].ints.n || e->in[slot].floats.n ||
                           (at->flags & SQZ_AF_REQUIRED);
    return SQZ_OK;
}

/* What a reader assumes anyway is not written. Lists are skipped when empty, where they are
 * written. */
static bool is_default(const sqz_attr *at, const void *field)
{
    if (at->flags & SQZ_AF_REQUIRED)
        return false;
    if (at->type == SQZ_A_FLOAT)
        return *(const double *)field == at->def;
    if (at->type == SQZ_A_INT || at->type == SQZ_A_BOOL || at->type == SQZ_A_ENUM)
        return (double)*(const int64_t *)field == at->def;
    return false;
}

static const sqz_attr *attr_in_slot(const sqz_export *e, unsigned slot)
{
    const sqz_info *info = &e->node->op->info;
    for (unsigned i = 0; i < info->n_opts; i++)
        if (info->opts[i].slot && (unsigned)info->opts[i].slot == slot &&
            e->opset >= info->opts[i].since)
            return &info->opts[i];
    return NULL;
}

/* The node's inputs move up to make room for the attributes that are inputs in this opset. */
static sqz_status spread_inputs(sqz_export *e)
{
    __typeof__(e->in) old;
    unsigned n_old = e->n_in, next = 0, last = 0;
    memcpy(old, e->in, sizeof old);
    for (unsigned slot = 1; slot < SQZ_COUNT(e->in); slot++)
        last = attr_in_slot(e, slot) ? slot : last;
    memset(e->in, 0, sizeof e->in);
    e->n_in = 0;
    for (unsigned slot = 0; next < n_old || slot <= last; slot++) {
        if (slot >= SQZ_COUNT(e->in))
            return sqz_fail(e->ctx, SQZ_E_LIMIT, "node '%s': more than %zu inputs", e->node->name,
                            SQZ_COUNT(e->in));
        const sqz_attr *at = attr_in_slot(e, slot);
        e->in[slot].value = SQZ_NONE;
        if (at && !is_default(at, sqz_opt_field(at, e->attrs)))
            SQZ_TRY(write_input(e, slot, at, sqz_opt_field(at, e->attrs)));
        else if (at)
            continue;
        else if (next < n_old)
            e->in[slot] = old[next++];
        if (e->in[slot].value != SQZ_NONE || e->in[slot].is_const)
            e->n_in = slot + 1;
    }
    return SQZ_OK;
}

sqz_status sqz_export_schema(sqz_export *e)
{
    const sqz_info *info = &e->node->op->info;
    for (unsigned i = 0; i < info->n_opts; i++) {
        const sqz_attr *at = &info->opts[i];
        bool input = at->slot && e->opset >= at->since;
        const void *field = sqz_opt_field(at, e->attrs);
        if (!input && !(at->flags & SQZ_AF_INTERNAL) && !is_default(at, field))
            SQZ_TRY(write_attr(e, at, field));
    }
    return spread_inputs(e);
}
