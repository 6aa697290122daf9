/* prepare_write.c: the HDF5 file of a prepared set, written beside its target and renamed when
 * whole. The newest file format is used because it has a checksum on all metadata; chunks carry
 * their own (Fletcher-32). No dates: the same spec and data give the same bytes. */
#include "io/hdf5.h"
#include "io/prepare.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define SQZ_RESERVE ((uint64_t)16 << 20)
#define SQZ_CHUNK   65536 /* bytes of a chunk, about: what one sample read at random costs */

struct sqz_set_writer {
    sqz_ctx *ctx;
    const sqz_set_info *info;
    sqz_outfile out;
    hid_t file, x, y;
    size_t row, label_row, x_bytes;    /* x_bytes: of a stored sample */
    int64_t per_chunk, held, at, left; /* samples: in a chunk, in the buffer, written, to come */
    unsigned char *block;              /* per_chunk stored samples */
    float *scaled;                     /* one sample as it will be read */
    float *label;
    sqz_data_sum sum;
    sqz_sha256 all; /* over "name checksum\n" of every split */
    char split[16];
    uint64_t reserved; /* bytes of the file that the disk has promised */
};

/* ---- attributes ---- */
static bool put_attribute(hid_t at, const char *name, hid_t type, size_t n, const void *value)
{
    hsize_t dim = n;
    hid_t space = n ? H5Screate_simple(1, &dim, NULL) : H5Screate(H5S_SCALAR);
    hid_t a = space < 0 ? -1 : H5Acreate2(at, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    bool ok = a >= 0 && H5Awrite(a, type, value) >= 0;
    if (a >= 0)
        ok = H5Aclose(a) >= 0 && ok;
    if (space >= 0)
        (void)H5Sclose(space);
    return ok;
}

static bool put_f64(hid_t at, const char *name, const double *v, size_t n)
{
    return put_attribute(at, name, H5T_IEEE_F64LE, n, v);
}

static bool put_i64(hid_t at, const char *name, int64_t v)
{
    return put_attribute(at, name, H5T_STD_I64LE, 0, &v);
}

/* n texts of `width` bytes each (n 0: one). */
static bool put_texts(hid_t at, const char *name, const char *text, size_t width, size_t n)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    bool ok = type >= 0 && H5Tset_size(type, width) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0 &&
              put_attribute(at, name, type, n, text);
    if (type >= 0)
        (void)H5Tclose(type);
    return ok;
}

static bool put_text(hid_t at, const char *name, const char *text)
{
    return put_texts(at, name, text, strlen(text) + 1, 0);
}

static bool put_names(sqz_set_writer *w, const char *const *name, size_t n)
{
    size_t width = 1, all;
    for (size_t i = 0; i < n; i++)
        width = SQZ_MAX(width, strlen(name[i]) + 1);
    char *text = sqz_mul(n, width, &all) ? sqz_calloc(w->ctx, all, 1) : NULL;
    for (size_t i = 0; text && i < n; i++)
        strcpy(text + i * width, name[i]);
    bool ok = text && put_texts(w->file, "class_names", text, width, n);
    sqz_free(w->ctx, text);
    return ok;
}

/* What x of a set of bytes needs to become floats; see open_scale in data_hdf5.c. */
static sqz_status put_scale(sqz_set_writer *w)
{
    const sqz_shaper *s = w->info->shaper;
    const sqz_transform *t = &s->spec->transform;
    double *v = sqz_calloc(w->ctx, s->channels, 2 * sizeof *v);
    if (!v)
        return SQZ_E_NOMEM;
    for (size_t c = 0; c < s->channels; c++) {
        v[c] = t->n_mean ? t->mean[t->n_mean > 1 ? c : 0] : 0;
        v[s->channels + c] = t->n_std ? t->stddev[t->n_std > 1 ? c : 0] : 1;
    }
    bool ok = put_f64(w->x, "divide", &t->divide, 0) && put_f64(w->x, "mean", v, s->channels) &&
              put_f64(w->x, "std", v + s->channels, s->channels) &&
              put_i64(w->x, "channel_axis", s->channel_axis);
    sqz_free(w->ctx, v);
    return ok ? SQZ_OK : sqz_h5_fail(w->ctx, SQZ_E_IO, "cannot write '%s'", w->out.path);
}

/* ---- room ---- */
/* libhdf5 1.10 crashes when a write fails while it cleans up. So the disk is asked for room before:
 * what is about to be written, twice the cache, and the index of `chunks`. */
static sqz_status reserve(sqz_set_writer *w, uint64_t bytes, uint64_t chunks)
{
    hsize_t size = 0;
    if (H5Fget_filesize(w->file, &size) < 0)
        return sqz_h5_fail(w->ctx, SQZ_E_IO, "cannot write '%s'", w->out.path);
    uint64_t need = size + bytes + 64 * chunks + SQZ_RESERVE;
    if (need <= w->reserved)
        return SQZ_OK;
    need += SQZ_RESERVE;
    int e = posix_fallocate(w->out.fd, 0, (off_t)need);
    if (e != 0) {
        errno = e;
        return sqz_fail(w->ctx, SQZ_E_IO, "cannot write '%s': no room for %" PRIu64 " bytes: %m",
                        w->out.path, need);
    }
    w->reserved = need;
    return SQZ_OK;
}

/* ---- creating ---- */
static sqz_status broken(const sqz_set_writer *w)
{
    return sqz_h5_fail(w->ctx, SQZ_E_IO, "cannot write '%s'", w->out.path);
}

static sqz_status create_file(sqz_set_writer *w)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), how = H5Pcreate(H5P_FILE_CREATE);
    bool ok = access >= 0 && how >= 0 && H5Pset_obj_track_times(how, false) >= 0 &&
              H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST) >= 0 &&
              H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0;
    if (ok)
        w->file = H5Fcreate(w->out.temp, H5F_ACC_TRUNC, how, access);
    if (access >= 0)
        (void)H5Pclose(access);
    if (how >= 0)
        (void)H5Pclose(how);
    return w->file < 0 ? broken(w) : SQZ_OK;
}

static sqz_status put_header(sqz_set_writer *w)
{
    static const char *const layout[] = {"", "nchw", "nhwc"};
    const sqz_source *src = w->info->source;
    const sqz_shaper *s = w->info->shaper;
    sqz_layout l = !s->image_like         ? SQZ_LAYOUT_UNKNOWN
                   : s->channel_axis == 0 ? SQZ_LAYOUT_NCHW
                                          : SQZ_LAYOUT_NHWC;
    bool ok = put_i64(w->file, "squeeze_data", 1) &&
              put_text(w->file, "created_by", "squeeze " SQZ_VERSION_STRING) &&
              put_i64(w->file, "classes", src->classes) && put_text(w->file, "layout", layout[l]);
    if (ok && src->class_names)
        ok = put_names(w, src->class_names, (size_t)src->classes);
    return ok ? SQZ_OK : broken(w);
}

static sqz_status buffers(sqz_set_writer *w)
{
    const sqz_shaper *s = w->info->shaper;
    size_t bytes;
    w->row = s->elements;
    SQZ_TRY(sqz_shape_count(w->ctx, &w->info->source->label_shape, SQZ_F32, &w->label_row, &bytes));
    if (!w->info->source->has_labels)
        w->label_row = 0;
    w->x_bytes = w->row * (w->info->store_bytes ? 1 : sizeof(float));
    w->per_chunk = (int64_t)SQZ_MAX((size_t)1, SQZ_CHUNK / SQZ_MAX(w->x_bytes, (size_t)1));
    w->block = sqz_calloc(w->ctx, (size_t)w->per_chunk, w->x_bytes);
    w->scaled = w->block ? sqz_calloc(w->ctx, w->row, sizeof *w->scaled) : NULL;
    w->label = w->scaled
                   ? sqz_calloc(w->ctx, (size_t)w->per_chunk, (w->label_row + 1) * sizeof *w->label)
                   : NULL;
    return w->label ? SQZ_OK : SQZ_E_NOMEM;
}

static sqz_status create(sqz_set_writer *w, const char *path)
{
    SQZ_TRY(sqz_out_begin(w->ctx, path, &w->out));
    if (!w->out.temp)
        return sqz_fail(w->ctx, SQZ_E_ARG, "%s: a data set can only be written to a file", path);
    SQZ_TRY(buffers(w));
    sqz_sha256_begin(&w->all);
    sqz_h5_guard g;
    sqz_h5_enter(&g);
    sqz_status s = create_file(w);
    if (s == SQZ_OK)
        s = reserve(w, 0, 0);
    if (s == SQZ_OK)
        s = put_header(w);
    sqz_h5_leave(&g);
    return s;
}

sqz_status sqz_set_create(sqz_ctx *ctx, const char *path, const sqz_set_info *info,
                          sqz_set_writer **out)
{
    *out = NULL;
    sqz_set_writer *w = sqz_calloc(ctx, 1, sizeof *w);
    if (!w)
        return SQZ_E_NOMEM;
    w->ctx = ctx;
    w->info = info;
    w->file = w->x = w->y = -1;
    sqz_status s = create(w, path);
    if (s == SQZ_OK)
        *out = w;
    else
        sqz_set_free(w);
    return s;
}

/* ---- a split ---- */
/* Filters: none for tiny data would be smaller, but the checksum is worth its bytes. */
static hid_t dataset(const sqz_set_writer *w, hid_t group, const char *name, hid_t type, int64_t n,
                     const sqz_shape *sample, int64_t chunk)
{
    hsize_t dim[SQZ_MAX_RANK + 1] = {(hsize_t)n}, part[SQZ_MAX_RANK + 1];
    part[0] = (hsize_t)SQZ_MIN(chunk, n);
    for (int32_t i = 0; i < sample->rank; i++)
        part[i + 1] = dim[i + 1] = (hsize_t)sample->dim[i];
    hid_t space = H5Screate_simple(sample->rank + 1, dim, NULL),
          plist = H5Pcreate(H5P_DATASET_CREATE);
    bool ok = space >= 0 && plist >= 0 && H5Pset_chunk(plist, sample->rank + 1, part) >= 0 &&
              H5Pset_obj_track_times(plist, false) >= 0 &&
              (H5Tget_size(type) == 1 || H5Pset_shuffle(plist) >= 0) &&
              H5Pset_deflate(plist, 4) >= 0 && H5Pset_fletcher32(plist) >= 0 &&
              H5Pset_fill_time(plist, H5D_FILL_TIME_NEVER) >= 0;
    hid_t d = ok ? H5Dcreate2(group, name, type, space, H5P_DEFAULT, plist, H5P_DEFAULT) : -1;
    if (space >= 0)
        (void)H5Sclose(space);
    if (plist >= 0)
        (void)H5Pclose(plist);
    (void)w;
    return d;
}

static sqz_status begin_split(sqz_set_writer *w, const char *name, int64_t n)
{
    const sqz_source *src = w->info->source;
    const sqz_shaper *s = w->info->shaper;
    hid_t type = w->info->store_bytes ? H5T_STD_U8LE : H5T_IEEE_F32LE;
    hid_t how = H5Pcreate(H5P_GROUP_CREATE), group = -1;
    if (how >= 0 && H5Pset_obj_track_times(how, false) >= 0)
        group = H5Gcreate2(w->file, name, H5P_DEFAULT, how, H5P_DEFAULT);
    if (how >= 0)
        (void)H5Pclose(how);
    if (group < 0)
        return broken(w);
    w->x = dataset(w, group, "x", type, n, &s->shape, w->per_chunk);
    if (src->has_labels)
        w->y = dataset(w, group, "y", src->classes ? H5T_STD_I32LE : H5T_IEEE_F32LE, n,
                       &src->label_shape, 16384);
    (void)H5Gclose(group);
    if (w->x < 0 || (src->has_labels && w->y < 0))
        return broken(w);
    return w->info->store_bytes ? put_scale(w) : SQZ_OK;
}

sqz_status sqz_set_begin_split(sqz_set_writer *w, const char *name, int64_t n)
{
    const sqz_source *src = w->info->source;
    sqz_h5_guard g;
    sqz_dataset like = {.n = n,
                        .shape = w->info->shaper->shape,
                        .has_labels = src->has_labels,
                        .classes = src->classes,
                        .label_shape = src->label_shape};
    SQZ_TRY(sqz_data_sum_begin(w->ctx, &w->sum, &like));
    w->held = w->at = 0;
    w->left = n;
    strncpy(w->split, name, sizeof w->split - 1);
    sqz_h5_enter(&g);
    sqz_status s = reserve(w, 0, (uint64_t)(n / w->per_chunk) + 1);
    if (s == SQZ_OK)
        s = begin_split(w, name, n);
    sqz_h5_leave(&g);
    return s;
}

static bool write_rows(const sqz_set_writer *w, hid_t d, hid_t memory, const void *from)
{
    hsize_t start[SQZ_MAX_RANK + 1] = {0}, count[SQZ_MAX_RANK + 1];
    hid_t space = H5Dget_space(d), flat = -1;
    int rank = space < 0 ? -1 : H5Sget_simple_extent_dims(space, count, NULL);
    start[0] = (hsize_t)w->at;
    count[0] = (hsize_t)w->held;
    bool ok = rank >= 1 &&
              H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 &&
              (flat = H5Screate_simple(rank, count, NULL)) >= 0 &&
              H5Dwrite(d, memory, flat, space, H5P_DEFAULT, from) >= 0;
    if (flat >= 0)
        (void)H5Sclose(flat);
    if (space >= 0)
        (void)H5Sclose(space);
    return ok;
}

static sqz_status flush(sqz_set_writer *w)
{
    sqz_h5_guard g;
    if (w->held == 0)
        return SQZ_OK;
    sqz_h5_enter(&g);
    sqz_status s = reserve(w, 2 * (uint64_t)w->held * (w->x_bytes + 4 * w->label_row),
                           (uint64_t)(w->left / w->per_chunk) + 1);
    if (s == SQZ_OK &&
        (!write_rows(w, w->x, w->info->store_bytes ? H5T_NATIVE_UCHAR : H5T_NATIVE_FLOAT,
                     w->block) ||
         (w->y >= 0 && !write_rows(w, w->y, H5T_NATIVE_FLOAT, w->label))))
        s = broken(w);
    sqz_h5_leave(&g);
    w->at += w->held;
    w->left -= w->held;
    w->held = 0;
    return s;
}

sqz_status sqz_set_add(sqz_set_writer *w, const float *unscaled, const float *y)
{
    unsigned char *to = w->block + (size_t)w->held * w->x_bytes;
    sqz_shaper_scale(w->info->shaper, unscaled, w->scaled);
    for (size_t i = 0; w->info->store_bytes && i < w->row; i++)
        to[i] = (unsigned char)unscaled[i];
    if (!w->info->store_bytes)
        memcpy(to, w->scaled, w->x_bytes);
    if (w->label_row)
        memcpy(w->label + (size_t)w->held * w->label_row, y, w->label_row * sizeof *y);
    sqz_data_sum_add(&w->sum, 1, w->scaled, y);
    return ++w->held == w->per_chunk ? flush(w) : SQZ_OK;
}

sqz_status sqz_set_end_split(sqz_set_writer *w, char hex[65])
{
    SQZ_TRY(flush(w));
    sqz_data_sum_end(&w->sum, hex);
    sqz_sha256_add(&w->all, w->split, strlen(w->split));
    sqz_sha256_add(&w->all, " ", 1);
    sqz_sha256_add(&w->all, hex, 64);
    sqz_sha256_add(&w->all, "\n", 1);
    sqz_h5_guard g;
    sqz_h5_enter(&g);
    hid_t group = H5Gopen2(w->file, w->split, H5P_DEFAULT);
    bool ok = group >= 0 && put_text(group, "checksum", hex) && H5Dclose(w->x) >= 0 &&
              (w->y < 0 || H5Dclose(w->y) >= 0);
    w->x = w->y = -1;
    if (group >= 0)
        (void)H5Gclose(group);
    sqz_status s = ok ? SQZ_OK : broken(w);
    sqz_h5_leave(&g);
    return s;
}

/* ---- the end ---- */
sqz_status sqz_set_commit(sqz_set_writer *w, const char *recipe, char hex[65], uint64_t *bytes)
{
    sqz_h5_guard g;
    sqz_sha256_end(&w->all, hex);
    sqz_h5_enter(&g);
    bool ok = put_text(w->file, "recipe", recipe) && put_text(w->file, "checksum", hex);
    sqz_status s = ok ? SQZ_OK : broken(w);
    hid_t file = w->file;
    w->file = -1;
    if (H5Fclose(file) < 0 && s == SQZ_OK) /* a full disk shows here */
        s = broken(w);
    sqz_h5_leave(&g);
    SQZ_TRY(s);
    SQZ_TRY(sqz_h5_size(w->ctx, w->out.temp, bytes)); /* what was reserved too much goes back */
    if (ftruncate(w->out.fd, (off_t)*bytes) != 0)
        return sqz_fail(w->ctx, SQZ_E_IO, "cannot write '%s': %m", w->out.path);
    return sqz_out_commit(&w->out);
}

void sqz_set_free(sqz_set_writer *w)
{
    if (!w)
        return;
    sqz_h5_guard g;
    sqz_h5_enter(&g);
    if (w->file >= 0)
        (void)H5Fclose(w->file);
    sqz_h5_leave(&g);
    sqz_out_abort(&w->out);
    sqz_free(w->ctx, w->block);
    sqz_free(w->ctx, w->scaled);
    sqz_free(w->ctx, w->label);
    sqz_free(w->ctx, w);
}
