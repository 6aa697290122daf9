/* hdf5_array.c: a dataset as a tensor, after a look at everything that it claims. */
#include "io/hdf5.h"
#include "io/numbers.h"
#include <inttypes.h>

typedef struct set {
    sqz_ctx *ctx;
    const char *path;
    uint64_t file_bytes;
    hid_t d, type, space, plist;
} set;

static sqz_status damaged(const set *s, const char *why)
{
    return sqz_h5_fail(s->ctx, SQZ_E_FORMAT, "dataset '%.200s' %s", s->path, why);
}

/* Only what is in the file, packed by HDF5's own filters. */
static sqz_status check_storage(const set *s)
{
    H5D_layout_t kind = H5Pget_layout(s->plist);
    if (kind == H5D_VIRTUAL || H5Pget_external_count(s->plist) != 0)
        return sqz_fail(s->ctx, SQZ_E_UNSUPPORTED,
                        "dataset '%.200s' keeps its data in another file; copy it into this one",
                        s->path);
    if (kind == H5D_LAYOUT_ERROR)
        return damaged(s, "is damaged");
    int n = kind == H5D_CHUNKED ? H5Pget_nfilters(s->plist) : 0;
    for (int i = 0; i < n; i++) {
        unsigned flags, config;
        size_t n_value = 0;
        H5Z_filter_t f = H5Pget_filter2(s->plist, (unsigned)i, &flags, &n_value, NULL, 0, NULL,
                                        &config);
        if (f != H5Z_FILTER_DEFLATE && f != H5Z_FILTER_SHUFFLE && f != H5Z_FILTER_FLETCHER32)
            return sqz_fail(s->ctx, SQZ_E_UNSUPPORTED,
                            "dataset '%.200s' is packed by filter %d, expected deflate", s->path,
                            (int)f);
    }
    return SQZ_OK;
}

/* `bytes` in memory, and every chunk, can come from what the file holds. */
static sqz_status check_size(const set *s, size_t bytes)
{
    hsize_t held = H5Dget_storage_size(s->d), dim[H5S_MAX_RANK];
    if (held > s->file_bytes || (bytes && (held == 0 || held < bytes / SQZ_DEFLATE_RATIO)))
        return sqz_fail(s->ctx, SQZ_E_FORMAT,
                        "dataset '%.200s' promises %zu bytes but holds %" PRIu64
                        "; it was not written to its end",
                        s->path, bytes, (uint64_t)held);
    if (H5Pget_layout(s->plist) != H5D_CHUNKED)
        return SQZ_OK;
    int rank = H5Pget_chunk(s->plist, H5S_MAX_RANK, dim);
    size_t chunk = H5Tget_size(s->type), most = (size_t)s->file_bytes;
    if (!sqz_mul(most, SQZ_DEFLATE_RATIO, &most))
        most = SIZE_MAX;
    for (int i = 0; i < rank; i++)
        if (dim[i] > SIZE_MAX || !sqz_mul(chunk, (size_t)dim[i], &chunk) || chunk > most)
            return damaged(s, "has chunks that are larger than the file can fill");
    return rank >= 0 ? SQZ_OK : damaged(s, "is damaged");
}

static sqz_status read_set(const set *s, sqz_tensor *out)
{
    hsize_t dim[H5S_MAX_RANK];
    sqz_shape shape = {0};
    size_t count, bytes, stored;
    int rank = H5Sget_simple_extent_dims(s->space, dim, NULL);
    H5T_class_t kind = H5Tget_class(s->type);
    if (rank < 0 || rank > SQZ_MAX_RANK)
        return damaged(s, "has more than 8 axes");
    if (kind != H5T_FLOAT && kind != H5T_INTEGER)
        return damaged(s, "does not hold numbers");
    shape.rank = rank;
    for (int i = 0; i < rank; i++) {
        if (dim[i] > INT64_MAX)
            return damaged(s, "is too large");
        shape.dim[i] = (int64_t)dim[i];
    }
    SQZ_TRY(sqz_shape_count(s->ctx, &shape, SQZ_F32, &count, &bytes));
    if (H5Tget_size(s->type) > 16 || !sqz_mul(count, H5Tget_size(s->type), &stored))
        return damaged(s, "has elements of strange size");
    SQZ_TRY(check_storage(s));
    SQZ_TRY(check_size(s, stored));
    SQZ_TRY(sqz_tensor_alloc(s->ctx, SQZ_F32, &shape, out));
    if (count == 0 ||
        H5Dread(s->d, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, out->data) >= 0)
        return SQZ_OK;
    sqz_tensor_free(s->ctx, out);
    return damaged(s, "cannot be read");
}

sqz_status sqz_h5_read_f32(sqz_ctx *ctx, hid_t at, const char *path, uint64_t file_bytes,
                           sqz_tensor *out)
{
    set s = {ctx, path, file_bytes, -1, -1, -1, -1};
    *out = (sqz_tensor){0};
    if (!sqz_h5_exists(at, path))
        return sqz_fail(ctx, SQZ_E_FORMAT, "dataset '%.200s' is missing, or a link", path);
    s.d = H5Dopen2(at, path, H5P_DEFAULT);
    if (s.d >= 0) {
        s.type = H5Dget_type(s.d);
        s.space = H5Dget_space(s.d);
        s.plist = H5Dget_create_plist(s.d);
    }
    sqz_status st = s.type < 0 || s.space < 0 || s.plist < 0 ? damaged(&s, "cannot be opened")
                                                             : read_set(&s, out);
    if (s.plist >= 0)
        (void)H5Pclose(s.plist);
    if (s.space >= 0)
        (void)H5Sclose(s.space);
    if (s.type >= 0)
        (void)H5Tclose(s.type);
    if (s.d >= 0)
        (void)H5Dclose(s.d);
    return st;
}
