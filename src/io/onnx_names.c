/* onnx_names.c: names of a model file to numbers: open addressing, FNV-1a, at most half full. */
#include "io/onnx.h"
#include <string.h>

static uint32_t hash(const char *key)
{
    uint32_t h = 2166136261u;
    for (; *key; key++)
        h = (h ^ (unsigned char)*key) * 16777619u;
    return h;
}

sqz_status sqz_onnx_names_create(sqz_onnx_names *t, sqz_arena *a, size_t n)
{
    size_t cap = 16;
    while (cap < 2 * n + 2)
        cap *= 2;
    if (cap > UINT32_MAX / 2)
        return sqz_fail(a->ctx, SQZ_E_LIMIT, "%zu names in one model", n);
    *t = (sqz_onnx_names){.arena = a, .cap = (uint32_t)cap};
    t->slot = sqz_arena_alloc(a, cap, sizeof *t->slot);
    return t->slot ? SQZ_OK : SQZ_E_NOMEM;
}

/* The slot of `key`, or the free one where it belongs. */
static struct sqz_onnx_name *find(const sqz_onnx_names *t, const char *key)
{
    uint32_t i = hash(key) & (t->cap - 1);
    while (t->slot[i].key && strcmp(t->slot[i].key, key) != 0)
        i = (i + 1) & (t->cap - 1);
    return &t->slot[i];
}

uint32_t sqz_onnx_names_get(const sqz_onnx_names *t, const char *key)
{
    const struct sqz_onnx_name *s = find(t, key);
    return s->key ? s->value : SQZ_NONE;
}

bool sqz_onnx_names_add(sqz_onnx_names *t, const char *key, uint32_t value)
{
    struct sqz_onnx_name *s = find(t, key);
    if (s->key)
        return false;
    *s = (struct sqz_onnx_name){key, value};
    t->used++;
    return true;
}

void sqz_onnx_names_set(sqz_onnx_names *t, const char *key, uint32_t value)
{
    if (!sqz_onnx_names_add(t, key, value))
        find(t, key)->value = value;
}
