/* export_keras_file.c: an HDF5 file in memory, some datasets of it written over. */
#include "io/export_keras.h"
#include "io/hdf5.h"
#include <string.h>

static sqz_status write_set(sqz_ctx *ctx, hid_t at, const sqz_keras_dataset *s)
{
    hid_t d = sqz_h5_exists(at, s->path) ? H5Dopen2(at, s->path, H5P_DEFAULT) : -1;
    bool ok = d >= 0 &&
              H5Dwrite(d, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, s->num.data) >= 0;
    if (d >= 0)
        (void)H5Dclose(d);
    return ok ? SQZ_OK : sqz_h5_fail(ctx, SQZ_E_IO, "dataset '%.200s' cannot be written", s->path);
}

/* A text of fixed length. */
static sqz_status write_text(sqz_ctx *ctx, hid_t at, const char *name, const char *text)
{
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR), a = -1;
    if (H5Aexists(at, name) > 0)
        (void)H5Adelete(at, name);
    bool ok = type >= 0 && space >= 0 && H5Tset_size(type, strlen(text) + 1) >= 0 &&
              (a = H5Acreate2(at, name, type, space, H5P_DEFAULT, H5P_DEFAULT)) >= 0 &&
              H5Awrite(a, type, text) >= 0;
    if (a >= 0)
        (void)H5Aclose(a);
    if (space >= 0)
        (void)H5Sclose(space);
    if (type >= 0)
        (void)H5Tclose(type);
    return ok ? SQZ_OK : sqz_h5_fail(ctx, SQZ_E_IO, "attribute '%.80s' cannot be written", name);
}

static sqz_status image_of(sqz_ctx *ctx, hid_t f, void **bytes, size_t *n)
{
    ssize_t size = H5Fflush(f, H5F_SCOPE_GLOBAL) >= 0 ? H5Fget_file_image(f, NULL, 0) : -1;
    *bytes = size > 0 ? sqz_malloc(ctx, (size_t)size) : NULL;
    if (size > 0 && !*bytes)
        return SQZ_E_NOMEM;
    if (size > 0 && H5Fget_file_image(f, *bytes, (size_t)size) == size) {
        *n = (size_t)size;
        return SQZ_OK;
    }
    sqz_free(ctx, *bytes);
    *bytes = NULL;
    return sqz_h5_fail(ctx, SQZ_E_IO, "the new file cannot be made");
}

static sqz_status write_all(sqz_ctx *ctx, hid_t f, const sqz_keras_dataset *set, uint32_t n_set,
                            const sqz_meta *meta)
{
    hid_t at = sqz_h5_exists(f, "model_weights") ? H5Gopen2(f, "model_weights", H5P_DEFAULT) : f;
    sqz_status s = at < 0 ? sqz_h5_fail(ctx, SQZ_E_FORMAT, "group 'model_weights' cannot be opened")
                          : SQZ_OK;
    for (uint32_t i = 0; s == SQZ_OK && i < n_set; i++)
        s = write_set(ctx, at, &set[i]);
    for (; s == SQZ_OK && meta; meta = meta->next)
        if (strncmp(meta->key, "squeeze.", 8) == 0)
            s = write_text(ctx, f, meta->key, meta->value);
    if (at >= 0 && at != f)
        (void)H5Gclose(at);
    return s;
}

sqz_status sqz_keras_rewrite(sqz_ctx *ctx, const void *original, size_t n,
                             const sqz_keras_dataset *set, uint32_t n_set, const sqz_meta *meta,
                             void **bytes, size_t *n_out)
{
    hid_t f;
    *bytes = NULL;
    SQZ_TRY(sqz_h5_edit_bytes(ctx, "the Keras file", original, n, &f));
    sqz_status s = write_all(ctx, f, set, n_set, meta);
    if (s == SQZ_OK)
        s = image_of(ctx, f, bytes, n_out);
    (void)H5Fclose(f);
    return s;
}
