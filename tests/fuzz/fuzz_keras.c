/* fuzz_keras.c: a Keras model: JSON up to the first 0, then its layers' weights, then instructions
 * for odd things beside them (fuzz_h5.h). A layer's weights are its name, ended by a 0, and their
 * number (modulo 16; 15 ends the layers); each weight is a name, a rank and dimensions. */
#include "fuzz_h5.h"
#include "fuzz_run.h"

#define LAYERS 16
#define WIDTH  32 /* bytes of a name in the lists of names */

typedef struct job {
    const char *config;
    size_t n;
} job;

static job the_job; /* fuzz_build has no argument for it */

static void put_list(hid_t at, const char *name, const char *text, size_t n)
{
    const hsize_t dim = n;
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate_simple(1, &dim, NULL);
    (void)H5Tset_size(type, WIDTH);
    hid_t a = H5Acreate2(at, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (a >= 0 && n)
        (void)H5Awrite(a, type, text);
    (void)H5Aclose(a);
    (void)H5Sclose(space);
    (void)H5Tclose(type);
}

static void put_config(hid_t file)
{
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    char *text = calloc(the_job.n + 1, 1);
    if (text && the_job.n)
        memcpy(text, the_job.config, the_job.n);
    (void)H5Tset_size(type, H5T_VARIABLE);
    hid_t a = H5Acreate2(file, "model_config", type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (a >= 0 && text)
        (void)H5Awrite(a, type, &text);
    (void)H5Aclose(a);
    (void)H5Sclose(space);
    (void)H5Tclose(type);
    free(text);
}

static void put_weight(fuzz_code *c, hid_t group, char name[WIDTH])
{
    char room[32];
    size_t n;
    (void)snprintf(name, WIDTH, "%.31s", fuzz_name(c, room));
    hid_t space = fuzz_space(c, &n);
    hid_t link = H5Pcreate(H5P_LINK_CREATE);
    (void)H5Pset_create_intermediate_group(link, 1); /* "forward/kernel:0" */
    hid_t d = H5Dcreate2(group, name, H5T_IEEE_F32LE, space, link, H5P_DEFAULT, H5P_DEFAULT);
    float *data = calloc(n + 1, sizeof *data);
    for (size_t i = 0; data && i < n; i++)
        data[i] = (float)((double)(i % 7) / 8 - 0.25);
    if (d >= 0 && data)
        (void)H5Dwrite(d, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
    free(data);
    (void)H5Pclose(link);
    (void)H5Sclose(space);
}

static bool put_layer(fuzz_code *c, hid_t at, char name[WIDTH])
{
    char weight[16][WIDTH] = {{0}};
    size_t i = 0;
    for (uint8_t b; c->n && (b = fuzz_byte(c));)
        if (i < WIDTH - 1) /* the rest is left out */
            name[i++] = (char)b;
    uint8_t n = fuzz_byte(c) % 16;
    if (n == 15 || i == 0)
        return false;
    hid_t g = H5Gcreate2(at, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    for (uint8_t k = 0; k < n && g >= 0; k++)
        put_weight(c, g, weight[k]);
    if (g >= 0)
        put_list(g, "weight_names", weight[0], n);
    return true;
}

static void make(fuzz_code *c, hid_t file)
{
    char name[LAYERS][WIDTH] = {{0}};
    size_t n = 0;
    put_config(file);
    hid_t g = H5Gcreate2(file, "model_weights", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    while (n < LAYERS && c->n && put_layer(c, g, name[n]))
        n++;
    put_list(g, "layer_names", name[0], n);
    fuzz_obey(c, n & 1 ? g : file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    the_job = (job){(const char *)data, zero ? (size_t)(zero - data) : size};
    fuzz_code code = {zero ? zero + 1 : NULL, zero ? size - the_job.n - 1 : 0};
    size_t n;
    void *image = fuzz_build(make, &code, &n);
    sqz_ctx *ctx = fuzz_ctx();
    sqz_graph *g = NULL;
    if (image && fuzz_may(ctx, sqz_import_bytes(ctx, image, n, NULL, &g), "keras")) {
        fuzz_must(ctx, sqz_graph_verify(g), "verify");
        fuzz_export(g, true);
        fuzz_run(g);
    }
    sqz_graph_free(g);
    free(image);
    sqz_ctx_free(ctx);
    return 0;
}
