/* export_value.c: names, shapes and numbers of values as the ONNX file has them: axis 1 back in its
 * place, and numbers of constants permuted accordingly. */
#include "io/onnx_export.h"
#include <stdio.h>
#include <string.h>

#define LONG_NAME 12 /* longer ones of inner values are not worth their bytes in a small file */

sqz_vid sqz_onnx_root(const sqz_graph *g, sqz_vid v)
{
    while (sqz_val(g, v)->twin != SQZ_NONE)
        v = sqz_val(g, v)->twin;
    return v;
}

bool sqz_onnx_is_ints(const sqz_value *v) { return v->quant && !sqz_dtype_is_float(v->dtype); }

bool sqz_onnx_is_output(const sqz_onnx_export *e, sqz_vid root)
{
    for (uint32_t i = 0; i < e->g->n_output; i++)
        if (sqz_onnx_root(e->g, e->g->output[i]) == root)
            return true;
    return false;
}

int32_t sqz_onnx_file_axis(const sqz_value *v, int32_t axis)
{
    return v->channel_last && axis >= 0 ? sqz_axis_to_file(axis, v->shape.rank) : axis;
}

int32_t sqz_onnx_file_type(const sqz_value *v)
{
    return sqz_dtype_onnx(v->was_u8 && v->dtype == SQZ_S8 ? SQZ_U8 : v->dtype);
}

const char *sqz_onnx_fresh(sqz_onnx_export *e)
{
    static const char digit[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    char text[8];
    do {
        uint32_t k = e->made_up++;
        size_t n = 0;
        text[n++] = digit[k % 26];
        for (k /= 26; k && n + 1 < sizeof text; k = (k - 1) / 36)
            text[n++] = digit[(k - 1) % 36];
        text[n] = 0;
    } while (sqz_graph_find(e->g, text) != SQZ_NONE);
    return sqz_arena_strdup(&e->arena, text);
}

const char *sqz_onnx_name(sqz_onnx_export *e, sqz_vid root)
{
    const sqz_value *v = sqz_val(e->g, root);
    if (e->quantized && v->role != SQZ_ROLE_INPUT && strlen(v->name) > LONG_NAME &&
        !sqz_onnx_is_output(e, root))
        return sqz_onnx_fresh(e);
    return v->name;
}

/* ---- numbers ---- */

static sqz_status keep(sqz_onnx_export *e, sqz_tensor *t, const sqz_tensor **out)
{
    if (e->n_temp == e->temp_room) {
        size_t room = e->temp_room ? 2 * e->temp_room : 16;
        sqz_tensor *grown = sqz_arena_alloc(&e->arena, room, sizeof *grown);
        if (!grown) {
            sqz_tensor_free(e->ctx, t);
            return SQZ_E_NOMEM;
        }
        if (e->n_temp)
            memcpy(grown, e->temp, e->n_temp * sizeof *grown);
        e->temp = grown;
        e->temp_room = room;
    }
    e->temp[e->n_temp] = *t;
    *out = &e->temp[e->n_temp++];
    return SQZ_OK;
}

/* The numbers of a constant in the file's layout and type; a copy only where they differ. */
static sqz_status numbers(sqz_onnx_export *e, const sqz_value *v, const sqz_tensor **out)
{
    int perm[SQZ_MAX_RANK];
    sqz_tensor t;
    bool u8 = v->was_u8 && v->dtype == SQZ_S8;
    *out = v->constant;
    if (!v->channel_last && !u8)
        return SQZ_OK;
    for (int32_t i = 0; i < v->shape.rank; i++) /* file axis i is our axis perm[i] */
        perm[i] = v->channel_last ? sqz_axis_to_last(i, v->shape.rank) : i;
    SQZ_TRY(sqz_tensor_permute(e->ctx, v->constant, perm, &t));
    for (size_t i = 0; u8 && i < t.bytes; i++)
        ((uint8_t *)t.data)[i] ^= 0x80; /* 128 higher */
    if (u8)
        t.dtype = SQZ_U8;
    return keep(e, &t, out);
}

static sqz_status add_init(sqz_onnx_export *e, Onnx__TensorProto *t)
{
    Onnx__GraphProto *g = &e->graph;
    if (g->n_initializer == e->init_room) {
        size_t room = e->init_room ? 2 * e->init_room : 32;
        Onnx__TensorProto **grown = sqz_arena_alloc(&e->arena, room, sizeof *grown);
        if (!grown)
            return SQZ_E_NOMEM;
        if (g->n_initializer)
            memcpy(grown, g->initializer, g->n_initializer * sizeof *grown);
        g->initializer = grown;
        e->init_room = room;
    }
    g->initializer[g->n_initializer++] = t;
    return SQZ_OK;
}

sqz_status sqz_onnx_add_constant(sqz_onnx_export *e, sqz_vid root, const char *name)
{
    const sqz_tensor *t;
    Onnx__TensorProto *p;
    SQZ_TRY(numbers(e, sqz_val(e->g, root), &t));
    SQZ_TRY(sqz_onnx_tensor_proto(&e->arena, t, name, &p));
    return add_init(e, p);
}

sqz_status sqz_onnx_add_tensor(sqz_onnx_export *e, sqz_tensor *t, const char **out)
{
    const sqz_tensor *kept;
    Onnx__TensorProto *p;
    SQZ_TRY(keep(e, t, &kept));
    *out = sqz_onnx_fresh(e);
    if (!*out)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_onnx_tensor_proto(&e->arena, kept, *out, &p));
    return add_init(e, p);
}

/* ---- small shared initializers ---- */

static sqz_status make_room(sqz_onnx_export *e)
{
    sqz_onnx_names grown;
    if (e->shared.used < e->shared_room)
        return SQZ_OK;
    e->shared_room = e->shared_room ? 2 * e->shared_room : 64;
    SQZ_TRY(sqz_onnx_names_create(&grown, &e->arena, e->shared_room));
    for (uint32_t i = 0; i < e->shared.cap; i++)
        if (e->shared.slot[i].key)
            (void)sqz_onnx_names_add(&grown, e->shared.slot[i].key, e->shared.slot[i].value);
    e->shared = grown;
    return SQZ_OK;
}

/* Type, shape and bytes as text. */
static char *content(sqz_arena *a, sqz_dtype d, const sqz_shape *s, const void *data, size_t bytes)
{
    static const char hex[] = "0123456789abcdef";
    char shape[160];
    sqz_shape_print(shape, s);
    char *head = sqz_arena_printf(a, "%s %d %s:", sqz_dtype_name(d), (int)s->rank, shape);
    size_t n = head ? strlen(head) : 0;
    char *key = head ? sqz_arena_alloc(a, n + 2 * bytes + 1, 1) : NULL;
    if (!key)
        return NULL;
    memcpy(key, head, n);
    for (size_t i = 0; i < bytes; i++) {
        key[n + 2 * i] = hex[((const uint8_t *)data)[i] >> 4];
        key[n + 2 * i + 1] = hex[((const uint8_t *)data)[i] & 15];
    }
    return key;
}

sqz_status sqz_onnx_share(sqz_onnx_export *e, sqz_dtype d, const sqz_shape *s, const void *data,
                          size_t bytes, const char **out)
{
    SQZ_TRY(make_room(e));
    char *key = content(&e->arena, d, s, data, bytes);
    void *own = sqz_arena_alloc(&e->arena, bytes + 1, 1);
    if (!key || !own)
        return SQZ_E_NOMEM;
    uint32_t have = sqz_onnx_names_get(&e->shared, key);
    if (have != SQZ_NONE) {
        *out = e->graph.initializer[have]->name;
        return SQZ_OK;
    }
    sqz_tensor t;
    Onnx__TensorProto *p;
    if (bytes) /* an empty list may have no address */
        memcpy(own, data, bytes);
    SQZ_TRY(sqz_tensor_view(e->ctx, d, s, own, &t));
    *out = sqz_onnx_fresh(e);
    if (!*out)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_onnx_tensor_proto(&e->arena, &t, *out, &p));
    (void)sqz_onnx_names_add(&e->shared, key, (uint32_t)e->graph.n_initializer);
    return add_init(e, p);
}
