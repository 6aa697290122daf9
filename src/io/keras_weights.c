/* keras_weights.c: the weights in an HDF5 file of Keras: a group for each layer of the outermost
 * model, its attribute weight_names in the order in which the layer made them. */
#include "io/keras.h"
#include <stdio.h>
#include <string.h>

/* ---- the file ---- */

static sqz_status text_of(sqz_keras *k, hid_t file, const char *name, const char **out)
{
    SQZ_TRY(sqz_h5_get_string(k->ctx, &k->arena, k->weights, name, 256, out));
    if (!*out)
        SQZ_TRY(sqz_h5_get_string(k->ctx, &k->arena, file, name, 256, out));
    return SQZ_OK;
}

/* Keras 1 did not say its backend, but TensorFlow's names of variables end in ":0". Theano turns
 * the kernel of a convolution around; Keras stored it as it was, and turned it when a file came to
 * another backend (Keras 2), or left that to convert_all_kernels_in_model (Keras 1). */
static sqz_status find_backend(sqz_keras *k)
{
    if (k->backend || k->version > 1) {
        k->theano = k->backend && strcmp(k->backend, "theano") == 0;
        return SQZ_OK;
    }
    for (uint32_t i = 0; i < k->n_layer_names; i++) {
        sqz_kweights w;
        bool found;
        SQZ_TRY(sqz_keras_group(k, k->layer_names[i], &w, &found));
        if (w.n == 0)
            continue;
        k->theano = strchr(w.v[0].name, ':') == NULL;
        return SQZ_OK;
    }
    return SQZ_OK;
}

sqz_status sqz_keras_open_weights(sqz_keras *k, hid_t file)
{
    const char *version;
    bool found;
    k->weights = file;
    if (sqz_h5_exists(file, "model_weights"))
        k->weights = H5Gopen2(file, "model_weights", H5P_DEFAULT);
    if (k->weights < 0)
        return sqz_h5_fail(k->ctx, SQZ_E_FORMAT, "group 'model_weights' cannot be opened");
    SQZ_TRY(sqz_h5_get_strings(k->ctx, &k->arena, k->weights, "layer_names", &k->layer_names,
                               &k->n_layer_names, &found));
    if (!found)
        return sqz_fail(k->ctx, SQZ_E_FORMAT,
                        "no weights of Keras: the attribute 'layer_names' is missing");
    SQZ_TRY(text_of(k, file, "keras_version", &version));
    SQZ_TRY(text_of(k, file, "backend", &k->backend));
    if (version && *version >= '0' && *version <= '9')
        k->version = *version - '0';
    return find_backend(k);
}

/* ---- weights of a layer ---- */

static sqz_status list_of(sqz_keras *k, hid_t group, const char *layer, sqz_kweights *out)
{
    const char **name;
    uint32_t n;
    bool found;
    SQZ_TRY(sqz_h5_get_strings(k->ctx, &k->arena, group, "weight_names", &name, &n, &found));
    if (n == 0)
        return SQZ_OK;
    sqz_kweight *w = sqz_arena_alloc(&k->arena, n, sizeof *w);
    if (!w)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < n; i++) {
        w[i].name = name[i];
        w[i].path = sqz_arena_printf(&k->arena, "%s/%s", layer, name[i]);
        if (!w[i].path)
            return SQZ_E_NOMEM;
    }
    *out = (sqz_kweights){w, n};
    return SQZ_OK;
}

sqz_status sqz_keras_group(sqz_keras *k, const char *layer, sqz_kweights *out, bool *found)
{
    *out = (sqz_kweights){0};
    *found = k->weights >= 0 && sqz_h5_exists(k->weights, layer);
    if (!*found)
        return SQZ_OK;
    hid_t group = H5Gopen2(k->weights, layer, H5P_DEFAULT);
    if (group < 0)
        return sqz_h5_fail(k->ctx, SQZ_E_FORMAT, "the weights of layer '%.100s' cannot be opened",
                           layer);
    sqz_status s = sqz_note(k->ctx, list_of(k, group, layer, out), "weights of layer '%.100s'",
                            layer);
    (void)H5Gclose(group);
    return s;
}

/* How well a weight's name belongs to a layer: 4 it is "layer/kernel:0"; 3 the layer's scope is the
 * last before the weight, "model/layer/kernel:0"; 2 another is inside, "layer/lstm_cell/kernel:0";
 * 1 Keras 1's "layer_W"; 0 not. Names of layers may have slashes themselves. */
static int belongs(const char *weight, const char *layer)
{
    const size_t n = strlen(layer);
    const char *last = strrchr(weight, '/');
    int best = 0;
    for (const char *at = weight; n && last && at <= last; at = strchr(at, '/') + 1) {
        if (strncmp(at, layer, n) == 0 && at[n] == '/') {
            int own = at + n != last ? 2 : at == weight ? 4 : 3;
            best = SQZ_MAX(best, own);
        }
    }
    const char *own = last ? last + 1 : weight;
    if (!best && n && strncmp(own, layer, n) == 0 && own[n] == '_')
        best = 1;
    return best;
}

sqz_status sqz_keras_pick(sqz_keras *k, const sqz_kweights *all, const char *layer,
                          sqz_kweights *out)
{
    int best = 0;
    *out = (sqz_kweights){0};
    for (uint32_t i = 0; i < all->n; i++)
        best = SQZ_MAX(best, belongs(all->v[i].name, layer));
    if (!best)
        return SQZ_OK;
    sqz_kweight *w = sqz_arena_alloc(&k->arena, all->n, sizeof *w);
    if (!w)
        return SQZ_E_NOMEM;
    out->v = w;
    for (uint32_t i = 0; i < all->n; i++)
        if (belongs(all->v[i].name, layer) == best)
            w[out->n++] = all->v[i];
    return SQZ_OK;
}

bool sqz_keras_expect(sqz_klayer *l, uint32_t n)
{
    if (l->status == SQZ_OK && l->w.n != n) {
        if (l->k->weights < 0)
            sqz_keras_fail(l, SQZ_E_FORMAT,
                           "no weights: give the file that has them with --weights (quantize: "
                           "--keras-weights)");
        else
            sqz_keras_fail(l, SQZ_E_FORMAT, "the file has %u weights for it, expected %u", l->w.n,
                           n);
    }
    return l->status == SQZ_OK;
}

void sqz_keras_weight(sqz_klayer *l, uint32_t i, sqz_karray *out)
{
    sqz_keras *k = l->k;
    *out = (sqz_karray){0};
    if (l->status != SQZ_OK)
        return;
    if (i >= l->w.n) {
        (void)sqz_keras_expect(l, i + 1);
        return;
    }
    l->status = sqz_h5_read_f32(k->ctx, k->weights, l->w.v[i].path, k->file_bytes, &out->num);
    if (l->status != SQZ_OK || !k->track)
        return;
    l->status = sqz_tensor_alloc(k->ctx, SQZ_S64, &out->num.shape, &out->idx);
    if (l->status != SQZ_OK) {
        sqz_karray_free(l, out);
        return;
    }
    for (size_t e = 0; e < out->idx.count; e++)
        SQZ_S64P(&out->idx)[e] = sqz_keras_place(l->w_base + i, e);
}
