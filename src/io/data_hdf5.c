/* hdf5: the sets that squeeze prepare writes (docs/data.md), and any HDF5 file with datasets x and
 * y at the root or in groups train, calib, valid, test. Samples are read by hyperslab; memory is
 * one chunk cache of at most 64 MiB. */
#include "io/hdf5.h"
#include "io/numbers.h"
#include <inttypes.h>
#include <string.h>

#define SQZ_H5_SAMPLE ((size_t)1 << 30) /* bytes of one sample at most */
#define SQZ_H5_CACHE  ((size_t)64 << 20)

static const char *const split_names[] = {"train", "calib", "valid", "test"};

typedef struct h5_set {
    hid_t file, x, y;
    size_t row, label_row;
    /* Samples stored as bytes: value = lut[channel][byte]; the channel of element i of a sample is
     * i / inner % channels. */
    float *lut;
    size_t channels, inner;
    unsigned char *bytes;
    size_t room; /* of `bytes`, in samples */
} h5_set;

static bool probe(const char *path, const unsigned char *head, size_t n)
{
    (void)path;
    return sqz_h5_signature(head, n);
}

/* ---- opening ---- */
static sqz_dtype dtype_of(hid_t type)
{
    size_t n = H5Tget_size(type);
    switch (H5Tget_class(type)) {
    case H5T_FLOAT: return n == 2 ? SQZ_F16 : n == 4 ? SQZ_F32 : n == 8 ? SQZ_F64 : SQZ_N_DTYPE;
    case H5T_INTEGER:
        if (H5Tget_sign(type) == H5T_SGN_NONE)
            return n == 1   ? SQZ_U8
                   : n == 2 ? SQZ_U16
                   : n == 4 ? SQZ_U32
                   : n == 8 ? SQZ_U64
                            : SQZ_N_DTYPE;
        return n == 1   ? SQZ_S8
               : n == 2 ? SQZ_S16
               : n == 4 ? SQZ_S32
               : n == 8 ? SQZ_S64
                        : SQZ_N_DTYPE;
    default: return SQZ_N_DTYPE;
    }
}

static sqz_status shape_of(sqz_dataset *ds, hid_t d, const char *name, sqz_shape *out)
{
    hsize_t dim[SQZ_MAX_RANK];
    hid_t space = H5Dget_space(d);
    int rank = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    bool ok = rank >= 1 && rank <= SQZ_MAX_RANK && H5Sget_simple_extent_dims(space, dim, NULL) >= 0;
    if (space >= 0)
        (void)H5Sclose(space);
    out->rank = ok ? rank : 0;
    for (int i = 0; ok && i < rank; i++) {
        ok = dim[i] > 0 && dim[i] <= INT64_MAX;
        out->dim[i] = (int64_t)dim[i];
    }
    return ok ? SQZ_OK
              : sqz_h5_fail(ds->ctx, SQZ_E_FORMAT,
                            "%s: dataset '%s': expected 1 to 8 axes, none of length 0, the first "
                            "of which counts samples",
                            ds->path, name);
}

/* What could reach outside of the file, or promises more than the file can hold. */
static sqz_status check_storage(sqz_dataset *ds, hid_t d, const char *name, size_t bytes)
{
    hid_t plist = H5Dget_create_plist(d);
    H5D_layout_t kind = plist < 0 ? H5D_LAYOUT_ERROR : H5Pget_layout(plist);
    int outside = plist < 0 ? -1 : H5Pget_external_count(plist);
    if (plist >= 0)
        (void)H5Pclose(plist);
    if (kind == H5D_VIRTUAL || outside != 0 || kind == H5D_LAYOUT_ERROR)
        return sqz_fail(ds->ctx, SQZ_E_UNSUPPORTED,
                        "%s: dataset '%s' keeps its data in another file; copy it into this one",
                        ds->path, name);
    hsize_t held = H5Dget_storage_size(d);
    if (held == 0 || held < bytes / SQZ_DEFLATE_RATIO)
        return sqz_fail(ds->ctx, SQZ_E_FORMAT,
                        "%s: dataset '%s' promises %zu bytes but holds %" PRIu64
                        "; it was not written to its end",
                        ds->path, name, bytes, (uint64_t)held);
    return SQZ_OK;
}

/* A cache that holds two chunks, so that samples read one by one do not unpack a chunk each. */
static hid_t access_list(hid_t d)
{
    hsize_t dim[SQZ_MAX_RANK];
    hid_t plist = H5Dget_create_plist(d), type = H5Dget_type(d), access = -1;
    int rank = plist >= 0 && H5Pget_layout(plist) == H5D_CHUNKED
                   ? H5Pget_chunk(plist, SQZ_MAX_RANK, dim)
                   : 0;
    size_t bytes = type < 0 ? 0 : H5Tget_size(type);
    for (int i = 0; i < rank && bytes < SQZ_H5_CACHE; i++)
        bytes = dim[i] < SQZ_H5_CACHE ? bytes * (size_t)dim[i] : SQZ_H5_CACHE;
    bytes = SQZ_MAX((size_t)1 << 20, SQZ_MIN(2 * bytes, SQZ_H5_CACHE));
    if (rank > 0 && (access = H5Pcreate(H5P_DATASET_ACCESS)) >= 0)
        (void)H5Pset_chunk_cache(access, 521, bytes, 1.0);
    if (plist >= 0)
        (void)H5Pclose(plist);
    if (type >= 0)
        (void)H5Tclose(type);
    return access;
}

static sqz_status open_array(sqz_dataset *ds, hid_t at, const char *name, hid_t *out)
{
    *out = H5Dopen2(at, name, H5P_DEFAULT);
    if (*out < 0)
        return sqz_h5_fail(ds->ctx, SQZ_E_FORMAT, "%s: dataset '%s' cannot be opened", ds->path,
                           name);
    hid_t access = access_list(*out);
    if (access >= 0) {
        (void)H5Dclose(*out);
        *out = H5Dopen2(at, name, access);
        (void)H5Pclose(access);
    }
    return *out >= 0 ? SQZ_OK
                     : sqz_h5_fail(ds->ctx, SQZ_E_FORMAT, "%s: dataset '%s' cannot be opened",
                                   ds->path, name);
}

/* Shape, type and storage of a dataset; *row numbers in a sample. */
static sqz_status describe(sqz_dataset *ds, hid_t d, const char *name, sqz_shape *shape,
                           sqz_dtype *type, size_t *row)
{
    size_t count, bytes, row_bytes;
    SQZ_TRY(shape_of(ds, d, name, shape));
    hid_t t = H5Dget_type(d);
    *type = t < 0 ? SQZ_N_DTYPE : dtype_of(t);
    if (t >= 0)
        (void)H5Tclose(t);
    if (*type == SQZ_N_DTYPE)
        return sqz_fail(ds->ctx, SQZ_E_UNSUPPORTED,
                        "%s: dataset '%s': its element type cannot be read; save integers or "
                        "floats of 8 to 64 bits",
                        ds->path, name);
    sqz_shape sample = sqz_shape_of(shape->rank - 1, shape->dim + 1);
    SQZ_TRY(sqz_note(ds->ctx, sqz_shape_count(ds->ctx, shape, *type, &count, &bytes),
                     "%s: dataset '%s'", ds->path, name));
    SQZ_TRY(sqz_shape_count(ds->ctx, &sample, SQZ_F32, row, &row_bytes));
    if (row_bytes > SQZ_H5_SAMPLE)
        return sqz_fail(ds->ctx, SQZ_E_LIMIT,
                        "%s: dataset '%s': a sample of %zu bytes, at most 1 GiB is read", ds->path,
                        name, row_bytes);
    return check_storage(ds, d, name, bytes);
}

/* Samples first .. first+n-1 as `memory` type. */
static sqz_status read_slab(sqz_dataset *ds, hid_t d, const char *what, hid_t memory, int64_t first,
                            int64_t n, void *out)
{
    hsize_t start[SQZ_MAX_RANK] = {0}, count[SQZ_MAX_RANK];
    hid_t space = H5Dget_space(d), flat = -1;
    int rank = space < 0 ? -1 : H5Sget_simple_extent_dims(space, count, NULL);
    bool ok = rank >= 1;
    start[0] = (hsize_t)first;
    count[0] = (hsize_t)n;
    ok = ok && H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 &&
         (flat = H5Screate_simple(rank, count, NULL)) >= 0 &&
         H5Dread(d, memory, flat, space, H5P_DEFAULT, out) >= 0;
    if (flat >= 0)
        (void)H5Sclose(flat);
    if (space >= 0)
        (void)H5Sclose(space);
    return ok ? SQZ_OK
              : sqz_h5_fail(ds->ctx, SQZ_E_FORMAT,
                            "%s: %s of samples %" PRId64 " to %" PRId64 " cannot be read", ds->path,
                            what, first, first + n - 1);
}

static sqz_status scan_classes(sqz_dataset *ds, h5_set *h, int64_t *classes)
{
    double label[2048];
    for (int64_t i = 0; i < ds->n;) {
        int64_t n = SQZ_MIN((int64_t)SQZ_COUNT(label), ds->n - i);
        SQZ_TRY(read_slab(ds, h->y, "labels", H5T_NATIVE_DOUBLE, i, n, label));
        SQZ_TRY(sqz_classes_see(ds->ctx, ds->path, i, label, (size_t)n, classes));
        i += n;
    }
    return SQZ_OK;
}

static sqz_status open_labels(sqz_dataset *ds, hid_t at, const char *name)
{
    h5_set *h = ds->impl;
    sqz_shape shape;
    sqz_dtype type;
    double told = 0;
    int64_t classes = 0;
    size_t n = 0;
    SQZ_TRY(open_array(ds, at, name, &h->y));
    SQZ_TRY(describe(ds, h->y, name, &shape, &type, &h->label_row));
    SQZ_TRY(sqz_labels_describe(ds, ds->path, &shape, 0));
    if (h->label_row != 1 || sqz_dtype_is_float(type))
        return SQZ_OK;
    SQZ_TRY(scan_classes(ds, h, &classes));
    SQZ_TRY(sqz_note(ds->ctx, sqz_h5_get_f64(ds->ctx, h->file, "classes", &told, 1, &n), "%s",
                     ds->path));
    if (n && !(told >= (double)classes && told <= SQZ_CLASS_LIMIT))
        return sqz_fail(ds->ctx, SQZ_E_FORMAT,
                        "%s: attribute 'classes' is %.0f, but a label is %" PRId64, ds->path, told,
                        classes - 1);
    ds->classes = n ? (int64_t)told : classes;
    return SQZ_OK;
}

/* Attributes of x in a prepared set of bytes: divide, mean, std, channel_axis. The table is made as
 * prepare computes floats: in double, rounded once. */
static sqz_status open_scale(sqz_dataset *ds, h5_set *h)
{
    double divide = 1, axis = -1, *stat;
    size_t n, n_mean, n_std;
    if (ds->stored != SQZ_U8 || H5Aexists(h->x, "divide") <= 0)
        return SQZ_OK;
    SQZ_TRY(sqz_h5_get_f64(ds->ctx, h->x, "divide", &divide, 1, &n));
    SQZ_TRY(sqz_h5_get_f64(ds->ctx, h->x, "channel_axis", &axis, 1, &n));
    if (!(axis >= -1 && axis < ds->shape.rank))
        return sqz_fail(ds->ctx, SQZ_E_FORMAT, "attribute 'channel_axis' is %g, expected below %d",
                        axis, ds->shape.rank);
    int32_t a = (int32_t)axis;
    h->channels = a < 0 ? 1 : (size_t)ds->shape.dim[a];
    h->inner = 1;
    for (int32_t i = a + 1; a >= 0 && i < ds->shape.rank; i++)
        h->inner *= (size_t)ds->shape.dim[i];
    stat = sqz_calloc(ds->ctx, h->channels, 2 * sizeof *stat);
    h->lut = sqz_calloc(ds->ctx, h->channels, 256 * sizeof *h->lut);
    sqz_status st = stat && h->lut ? SQZ_OK : SQZ_E_NOMEM;
    if (st == SQZ_OK)
        st = sqz_h5_get_f64(ds->ctx, h->x, "mean", stat, h->channels, &n_mean);
    if (st == SQZ_OK)
        st = sqz_h5_get_f64(ds->ctx, h->x, "std", stat + h->channels, h->channels, &n_std);
    if (st == SQZ_OK && (n_mean != h->channels || n_std != h->channels))
        st = sqz_fail(ds->ctx, SQZ_E_FORMAT, "attributes 'mean' and 'std': expected %zu numbers",
                      h->channels);
    for (size_t c = 0; st == SQZ_OK && c < h->channels; c++)
        for (int q = 0; q < 256; q++)
            h->lut[c * 256 + q] = (float)((q / divide - stat[c]) / stat[h->channels + c]);
    sqz_free(ds->ctx, stat);
    ds->stored = SQZ_F32; /* what is read are floats, no bytes any more */
    return st;
}

static sqz_status open_prepared(sqz_dataset *ds, h5_set *h, hid_t group)
{
    char layout[8] = "";
    bool found;
    double version = 0;
    size_t n;
    SQZ_TRY(sqz_h5_get_f64(ds->ctx, h->file, "squeeze_data", &version, 1, &n));
    if (n == 0)
        return SQZ_OK;
    if (version != 1)
        return sqz_fail(ds->ctx, SQZ_E_UNSUPPORTED,
                        "data set version %g, this build reads version 1", version);
    SQZ_TRY(sqz_h5_get_text(ds->ctx, h->file, "layout", layout, sizeof layout, &found));
    ds->layout = strcmp(layout, "nchw") == 0   ? SQZ_LAYOUT_NCHW
                 : strcmp(layout, "nhwc") == 0 ? SQZ_LAYOUT_NHWC
                                               : SQZ_LAYOUT_UNKNOWN;
    SQZ_TRY(sqz_h5_get_text(ds->ctx, group, "checksum", ds->checksum, sizeof ds->checksum, &found));
    return open_scale(ds, h);
}

/* "train, test" or "none". */
static void list_splits(hid_t file, char out[64])
{
    int n = snprintf(out, 64, "none"), at = 0;
    for (size_t i = 0; i < SQZ_COUNT(split_names) && n >= 0 && at < 64; i++)
        if (sqz_h5_exists(file, split_names[i])) {
            n = snprintf(out + at, (size_t)(64 - at), "%s%s", at ? ", " : "", split_names[i]);
            at += n;
        }
}

/* The group to read: of the split; without one the root if it has x, else train. */
static sqz_status find_group(sqz_dataset *ds, hid_t file, const char *x, const char **group)
{
    char splits[64];
    *group = ds->split ? ds->split : sqz_h5_exists(file, x) ? "/" : "train";
    if (strcmp(*group, "/") == 0 || sqz_h5_exists(file, *group))
        return SQZ_OK;
    list_splits(file, splits);
    if (ds->split)
        return sqz_fail(ds->ctx, SQZ_E_NOTFOUND, "%s: no split '%s' (splits: %s)", ds->path,
                        ds->split, splits);
    return sqz_fail(
        ds->ctx, SQZ_E_FORMAT,
        "%s: no dataset '%s' and no group 'train' at the root (splits: %s); a set has x "
        "and y there, or is made with squeeze prepare",
        ds->path, x, splits);
}

static sqz_status open_file(sqz_dataset *ds, h5_set *h)
{
    const char *x = ds->x_name ? ds->x_name : "x", *y = ds->y_name ? ds->y_name : "y", *name;
    sqz_shape shape;
    SQZ_TRY(sqz_h5_open(ds->ctx, ds->path, &h->file));
    SQZ_TRY(find_group(ds, h->file, x, &name));
    hid_t group = H5Gopen2(h->file, name, H5P_DEFAULT);
    if (group < 0)
        return sqz_h5_fail(ds->ctx, SQZ_E_FORMAT, "%s: '%s' is no group", ds->path, name);
    if (!sqz_h5_exists(group, x))
        return sqz_fail(ds->ctx, SQZ_E_FORMAT, "%s: no dataset '%s' in '%s'", ds->path, x, name);
    SQZ_TRY(open_array(ds, group, x, &h->x));
    SQZ_TRY(describe(ds, h->x, x, &shape, &ds->stored, &h->row));
    ds->n = shape.dim[0];
    ds->shape = sqz_shape_of(shape.rank - 1, shape.dim + 1);
    if (*y && sqz_h5_exists(group, y))
        SQZ_TRY(open_labels(ds, group, y));
    else if (*y && ds->y_name)
        return sqz_fail(ds->ctx, SQZ_E_FORMAT, "%s: no dataset '%s' in '%s'", ds->path, y, name);
    return sqz_note(ds->ctx, open_prepared(ds, h, group), "%s: %s", ds->path, name);
    /* the group is closed with the file */
}

static sqz_status open_set(sqz_dataset *ds)
{
    sqz_h5_guard g;
    h5_set *h = ds->impl = sqz_calloc(ds->ctx, 1, sizeof *h);
    if (!h)
        return SQZ_E_NOMEM;
    h->file = h->x = h->y = -1;
    sqz_h5_enter(&g);
    sqz_status st = open_file(ds, h);
    sqz_h5_leave(&g);
    return st;
}

/* ---- reading ---- */
static sqz_status read_bytes(sqz_dataset *ds, h5_set *h, int64_t first, int64_t n, float *out)
{
    if (!h->bytes) {
        h->room = SQZ_MAX((size_t)1, ((size_t)1 << 20) / h->row);
        h->bytes = sqz_calloc(ds->ctx, h->room, h->row);
        if (!h->bytes)
            return SQZ_E_NOMEM;
    }
    for (int64_t end = first + n; first < end;) {
        int64_t now = SQZ_MIN((int64_t)h->room, end - first);
        SQZ_TRY(read_slab(ds, h->x, "x", H5T_NATIVE_UCHAR, first, now, h->bytes));
        for (int64_t s = 0; s < now; s++, out += h->row) {
            const unsigned char *q = h->bytes + (size_t)s * h->row;
            for (size_t i = 0; i < h->row; i++)
                out[i] = h->lut[(i / h->inner % h->channels) * 256 + q[i]];
        }
        first += now;
    }
    return SQZ_OK;
}

static sqz_status read_samples(sqz_dataset *ds, int64_t first, int64_t n, float *x, float *y)
{
    h5_set *h = ds->impl;
    sqz_h5_guard g;
    sqz_h5_enter(&g);
    sqz_status st = h->lut ? read_bytes(ds, h, first, n, x)
                           : read_slab(ds, h->x, "x", H5T_NATIVE_FLOAT, first, n, x);
    if (st == SQZ_OK && y)
        st = read_slab(ds, h->y, "y", H5T_NATIVE_FLOAT, first, n, y);
    sqz_h5_leave(&g);
    return st;
}

static void close_set(sqz_dataset *ds)
{
    h5_set *h = ds->impl;
    sqz_h5_guard g;
    if (!h)
        return;
    sqz_h5_enter(&g);
    if (h->file >= 0)
        (void)H5Fclose(h->file); /* and everything in it */
    sqz_h5_leave(&g);
    sqz_free(ds->ctx, h->lut);
    sqz_free(ds->ctx, h->bytes);
    sqz_free(ds->ctx, h);
    ds->impl = NULL;
}

static bool has_split(sqz_ctx *ctx, const char *path, const char *split)
{
    sqz_h5_guard g;
    hid_t file;
    sqz_h5_enter(&g);
    bool yes = sqz_h5_open(ctx, path, &file) == SQZ_OK && sqz_h5_exists(file, split);
    if (file >= 0)
        (void)H5Fclose(file);
    sqz_h5_leave(&g);
    return yes;
}

const sqz_data_format sqz_data_format_hdf5 = {
    .info = {.name = "hdf5", .doc = "HDF5: a set from squeeze prepare, or datasets x and y"},
    .probe = probe,
    .open = open_set,
    .read = read_samples,
    .close = close_set,
    .has_split = has_split,
};
