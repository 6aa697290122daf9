/* keras_file.h: small Keras files, written in memory with libhdf5 as Keras does. */
#ifndef KERAS_FILE_H
#define KERAS_FILE_H
#include "exec/exec.h"
#include "io/import.h"
#include "ir/pass.h"
#include "sqz_test.h"
#include <hdf5.h>

typedef struct keras_file {
    hid_t f, group; /* group: model_weights */
    bool variable;  /* texts of variable length, as newer versions of h5py write them */
} keras_file;

static inline void kf_text(const keras_file *k, hid_t at, const char *name, const char *text)
{
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    assert_true(H5Tset_size(type, k->variable ? H5T_VARIABLE : strlen(text)) >= 0);
    hid_t a = H5Acreate2(at, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(a >= 0 && H5Awrite(a, type, k->variable ? (const void *)&text : text) >= 0);
    (void)H5Aclose(a);
    (void)H5Sclose(space);
    (void)H5Tclose(type);
}

/* "a,b,c" as a list; "" is a list without entries, of floats, as numpy.array([]) is. */
static inline void kf_list(const keras_file *k, hid_t at, const char *name, const char *texts)
{
    char flat[64][64] = {{0}}, *list[64];
    hsize_t n = 0;
    for (const char *p = texts; *p; n++) {
        size_t len = strcspn(p, ",");
        assert_true(n < 64 && len < 64);
        memcpy(flat[n], p, len);
        list[n] = flat[n];
        p += len + (p[len] == ',');
    }
    hid_t type = H5Tcopy(n ? H5T_C_S1 : H5T_NATIVE_DOUBLE), space = H5Screate_simple(1, &n, NULL);
    if (n)
        assert_true(H5Tset_size(type, k->variable ? H5T_VARIABLE : 64) >= 0);
    hid_t a = H5Acreate2(at, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(a >= 0);
    if (n)
        assert_true(H5Awrite(a, type, k->variable ? (const void *)list : flat) >= 0);
    (void)H5Aclose(a);
    (void)H5Sclose(space);
    (void)H5Tclose(type);
}

static inline keras_file kf_begin(const char *config, const char *version, bool variable)
{
    hid_t plist = H5Pcreate(H5P_FILE_ACCESS);
    assert_true(H5Pset_fapl_core(plist, 65536, 0) >= 0);
    keras_file k = {.variable = variable};
    k.f = H5Fcreate("keras_file", H5F_ACC_TRUNC, H5P_DEFAULT, plist);
    assert_true(k.f >= 0);
    (void)H5Pclose(plist);
    if (config)
        kf_text(&k, k.f, "model_config", config);
    if (version)
        kf_text(&k, k.f, "keras_version", version);
    k.group = config ? H5Gcreate2(k.f, "model_weights", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT)
                     : k.f;
    return k;
}

/* A layer and the names of its weights; kf_weight adds their numbers. */
static inline void kf_layer(const keras_file *k, const char *layer, const char *weights)
{
    hid_t g = H5Gcreate2(k->group, layer, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(g >= 0);
    kf_list(k, g, "weight_names", weights);
    (void)H5Gclose(g);
}

static inline void kf_weight(const keras_file *k, const char *path, sqz_shape s, const float *v)
{
    hsize_t dim[SQZ_MAX_RANK];
    for (int32_t i = 0; i < s.rank; i++)
        dim[i] = (hsize_t)s.dim[i];
    hid_t link = H5Pcreate(H5P_LINK_CREATE), space = H5Screate_simple(s.rank, dim, NULL);
    (void)H5Pset_create_intermediate_group(link, 1);
    hid_t d = H5Dcreate2(k->group, path, H5T_NATIVE_FLOAT, space, link, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(d >= 0 && H5Dwrite(d, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, v) >= 0);
    (void)H5Dclose(d);
    (void)H5Sclose(space);
    (void)H5Pclose(link);
}

/* The bytes of the file; free them with free(). */
static inline void *kf_end(keras_file *k, size_t *n)
{
    if (k->group != k->f)
        (void)H5Gclose(k->group);
    assert_true(H5Fflush(k->f, H5F_SCOPE_GLOBAL) >= 0);
    ssize_t size = H5Fget_file_image(k->f, NULL, 0);
    assert_true(size > 0);
    void *bytes = malloc((size_t)size);
    assert_true(bytes && H5Fget_file_image(k->f, bytes, (size_t)size) == size);
    (void)H5Fclose(k->f);
    *n = (size_t)size;
    return bytes;
}

/* The same numbers for the same seed: -1 .. 1. */
static inline void kf_random(uint64_t seed, size_t n, float *out)
{
    sqz_rng r = {.seed = seed};
    for (size_t i = 0; i < n; i++)
        out[i] = (float)(2 * sqz_rng_uniform(&r) - 1);
}

/* Output 0 of a graph with inputs of its own shapes; `room` floats. Returns how many there are. */
static inline size_t kf_run(sqz_ctx *ctx, sqz_graph *g, const float *const *x, float *y,
                            size_t room)
{
    sqz_tensor in[4], out[8] = {{0}};
    size_t n;
    for (uint32_t i = 0; i < g->n_input; i++) {
        const sqz_value *v = sqz_val(g, g->input[i]);
        TEST_OK(ctx, sqz_tensor_alloc(ctx, v->dtype, &v->shape, &in[i]));
        for (size_t k = 0; k < in[i].count; k++)
            sqz_tensor_set_f64(&in[i], k, (double)x[i][k]);
    }
    sqz_graph *ready;
    sqz_env env = {0};
    TEST_OK(ctx, sqz_graph_clone(g, &ready));
    TEST_OK(ctx, sqz_run_recipe(ready, SQZ_CANONICAL, &env));
    TEST_OK(ctx, sqz_exec_once(ready, in, out));
    sqz_graph_free(ready);
    n = out[0].count;
    assert_true(n <= room);
    for (size_t k = 0; k < n; k++)
        y[k] = (float)sqz_tensor_f64(&out[0], k);
    for (uint32_t i = 0; i < g->n_output; i++)
        sqz_tensor_free(ctx, &out[i]);
    for (uint32_t i = 0; i < g->n_input; i++)
        sqz_tensor_free(ctx, &in[i]);
    return n;
}
#endif
