/* import_keras.c: a Keras file -> graph: HDF5 with model_config and weights, or the architecture as
 * JSON with the weights in a file of their own. docs/keras.md. */
#include "io/keras.h"
#include <stdio.h>
#include <string.h>

#define CONFIG_BYTES ((size_t)256 << 20)

/* ---- what kind of file ---- */

static bool is_json(const unsigned char *bytes, size_t n)
{
    static const char key[] = "\"class_name\"";
    size_t at = 0;
    while (at < n && strchr(" \t\r\n", bytes[at]))
        at++;
    if (at == n || bytes[at] != '{')
        return false;
    for (; at + sizeof key - 1 <= n; at++)
        if (memcmp(bytes + at, key, sizeof key - 1) == 0)
            return true;
    return false;
}

static bool probe(const unsigned char *bytes, size_t n)
{
    return sqz_h5_signature(bytes, n) || is_json(bytes, n);
}

/* ---- what the file says of itself ---- */

static int major(const char *version)
{
    return version && *version >= '1' && *version <= '9' ? *version - '0' : 0;
}

/* Files before Keras 1.1 do not tell their version; their layers do, by Keras 1's names. */
static int guess(const char *config, size_t n) /* bytes, not a terminated text */
{
    static const char *const old[] = {"\"border_mode\"", "\"inner_activation\"", "\"nb_filter\"",
                                      "\"W_regularizer\"", "\"output_dim\": "};
    for (size_t i = 0; i < SQZ_COUNT(old); i++)
        if (memmem(config, n, old[i], strlen(old[i])))
            return 1;
    return 2;
}

static const char *text_of(const cJSON *o, const char *name)
{
    const cJSON *item = sqz_kc_get(o, name);
    return item && cJSON_IsString(item) ? item->valuestring : NULL;
}

static sqz_status describe(sqz_keras *k, const char *version)
{
    sqz_graph *g = k->g;
    const cJSON *config = sqz_kc_get(k->root, "config");
    const char *name = config && cJSON_IsObject(config) ? text_of(config, "name") : NULL;
    g->name = sqz_arena_strdup(&g->arena, name ? name : "keras");
    g->producer = sqz_arena_printf(&g->arena, "keras%s%.40s%s%.40s%s", version ? " " : "",
                                   version ? version : "", k->backend ? " (" : "",
                                   k->backend ? k->backend : "", k->backend ? ")" : "");
    g->opset = SQZ_KERAS_OPSET;
    return g->name && g->producer ? SQZ_OK : SQZ_E_NOMEM;
}

/* ---- the whole ---- */

typedef struct files {
    const unsigned char *bytes; /* of the model */
    size_t n;
    hid_t model, weights; /* -1: none */
    const char *config;   /* JSON */
    size_t config_n;
    cJSON *json;
} files;

static sqz_status open_files(sqz_keras *k, files *f)
{
    if (!sqz_h5_signature(f->bytes, f->n)) {
        f->config = (const char *)f->bytes;
        f->config_n = f->n;
    } else {
        SQZ_TRY(sqz_h5_open_bytes(k->ctx, "Keras model", f->bytes, f->n, &f->model));
        SQZ_TRY(sqz_h5_get_string(k->ctx, &k->arena, f->model, "model_config", CONFIG_BYTES,
                                  &f->config));
        if (!f->config)
            return sqz_fail(
                k->ctx, SQZ_E_FORMAT,
                sqz_h5_exists(f->model, "model_weights") || H5Aexists(f->model, "layer_names") > 0
                    ? "it has weights only (no attribute model_config): give the architecture "
                      "(model.to_json()) as "
                      "MODEL and this file with --weights"
                    : "no model of Keras: the attribute 'model_config' is missing; give "
                      "a data set with --data");
        f->config_n = strlen(f->config);
    }
    k->file_bytes = f->n;
    if (k->opt->weights) {
        SQZ_TRY(sqz_h5_open(k->ctx, k->opt->weights, &f->weights));
        SQZ_TRY(sqz_h5_size(k->ctx, k->opt->weights, &k->file_bytes));
        return sqz_note(k->ctx, sqz_keras_open_weights(k, f->weights), "%s", k->opt->weights);
    }
    return f->model >= 0 ? sqz_keras_open_weights(k, f->model) : SQZ_OK;
}

static sqz_status build(sqz_keras *k, files *f)
{
    const char *version = NULL;
    SQZ_TRY(open_files(k, f));
    if (f->model >= 0)
        SQZ_TRY(sqz_h5_get_string(k->ctx, &k->arena, f->model, "keras_version", 256, &version));
    SQZ_TRY(sqz_keras_parse(k->ctx, f->config, f->config_n, &f->json));
    k->root = f->json;
    if (!version)
        version = text_of(k->root, "keras_version");
    if (k->version == 0)
        k->version = major(version);
    if (k->version == 0)
        k->version = guess(f->config, f->config_n);
    SQZ_TRY(describe(k, version));
    if (k->theano)
        SQZ_INFO(k->ctx, "the weights are Theano's: convolution kernels are turned around");
    SQZ_TRY(sqz_keras_model(k));
    return k->no.n ? SQZ_OK : sqz_graph_verify(k->g);
}

sqz_status sqz_keras_load(sqz_keras *k, const unsigned char *bytes, size_t n)
{
    files f = {.bytes = bytes, .n = n, .model = -1, .weights = -1};
    sqz_h5_guard guard;
    static const sqz_import_options none;
    k->arena.ctx = k->no.ctx = k->ctx;
    k->opt = k->opt ? k->opt : &none;
    k->weights = -1;
    SQZ_TRY(sqz_graph_create(k->ctx, &k->g));
    sqz_h5_enter(&guard);
    sqz_status s = build(k, &f);
    cJSON_Delete(f.json);
    if (f.model >= 0)
        (void)H5Fclose(f.model);
    if (f.weights >= 0)
        (void)H5Fclose(f.weights);
    sqz_h5_leave(&guard);
    return s;
}

void sqz_keras_close(sqz_keras *k)
{
    for (uint32_t i = 0; i < k->n_tracked; i++)
        sqz_tensor_free(k->ctx, &k->tracked[i].idx);
    sqz_graph_free(k->g);
    sqz_arena_free(&k->arena);
    k->g = NULL;
    k->n_tracked = 0;
}

static sqz_status import(sqz_ctx *ctx, const unsigned char *bytes, size_t n,
                         const sqz_import_options *opt, sqz_graph **out)
{
    sqz_str lines = {.ctx = ctx};
    sqz_keras k = {.ctx = ctx, .opt = opt, .no = {.lines = &lines}};
    *out = NULL;
    sqz_status s = sqz_keras_load(&k, bytes, n);
    if (s == SQZ_OK)
        s = sqz_refuse_all(&k.no);
    if (s == SQZ_OK) {
        *out = k.g;
        k.g = NULL;
    }
    sqz_keras_close(&k);
    sqz_str_free(&lines);
    return s;
}

sqz_status sqz_keras_unsupported(sqz_ctx *ctx, const void *bytes, size_t n,
                                 const sqz_import_options *opt, sqz_str *lines)
{
    sqz_keras k = {.ctx = ctx, .opt = opt, .no = {.lines = lines}};
    sqz_status s = sqz_keras_load(&k, bytes, n);
    sqz_keras_close(&k);
    return s;
}

const sqz_importer sqz_importer_keras = {
    .info = {.name = "keras", .doc = "Keras HDF5 and JSON, Keras 1 to tf.keras"},
    .probe = probe,
    .load = import,
};
