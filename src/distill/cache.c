/* cache.c: answers of teachers on disk, in parts of up to PART bytes: DIR/KEY/part-000000.h5, each
 * written beside its place and renamed, so that a run that was stopped goes on after the last whole
 * part. KEY is a hash of everything that the answers depend on. Beside a part lies its sum,
 * part-000000.sha256: a part whose bytes differ is made again. A part has dataset "0", "1", ...
 * (samples, numbers), one for each value, with a checksum on every chunk, and attributes that say
 * what it is. Answers are held in memory where they fit, else rows are read as they are asked for.
 */
#include "distill/teacher_work.h"
#include "io/hdf5.h"
#include <stdio.h>
#include <string.h>

#define PART   ((size_t)32 << 20)  /* bytes of answers in a part, about */
#define CHUNK  ((size_t)16 << 10)  /* bytes of a chunk: what a sample read at random costs */
#define MEMORY ((size_t)256 << 20) /* standard limit */

typedef struct part {
    int64_t first, n;
    char *path, *sum;
    hid_t file; /* < 0: not open */
} part;

struct sqz_cache {
    sqz_ctx *ctx;
    sqz_arena arena;
    const sqz_answers *answers;
    char key[65];
    part *part;
    int64_t n_part, per_part, n; /* samples of a part, of the set */
    float **held;                /* of each value: all samples; NULL: rows are read from files */
    float **block;               /* of each value: a part's samples */
};

/* ---- what a cache is of ---- */

static sqz_status key_of(const sqz_teacher *t, const sqz_dataset *ds, const sqz_teacher_cache *c,
                         char key[65])
{
    const sqz_objective *o = t->answers.o;
    sqz_str text = {.ctx = t->ctx};
    sqz_sha256 sha;
    sqz_str_addf(&text, "squeeze teacher answers 1\nteachers %s\ndata %s\naugment %s\n",
                 c->teachers, ds->checksum, c->augment ? c->augment : "");
    for (uint32_t k = 0; k < o->n_teacher; k++)
        sqz_str_addf(&text, "value %zu%s%s %s\n", t->answers.count[k],
                     o->teacher[k].mean ? " mean" : "", o->teacher[k].logits ? " logits" : "",
                     o->teacher[k].name);
    sqz_sha256_begin(&sha);
    sqz_sha256_add(&sha, text.data, text.len);
    sqz_sha256_end(&sha, key);
    const sqz_status s = text.status;
    sqz_str_free(&text);
    return s;
}

static sqz_status make_room(struct sqz_cache *c, const sqz_teacher_cache *how)
{
    const sqz_answers *a = c->answers;
    const uint32_t n = a->o->n_teacher;
    const size_t limit = how->memory ? how->memory : MEMORY;
    size_t all;
    const bool hold = sqz_mul(a->all * sizeof(float), (size_t)c->n, &all) && all <= limit;
    char *dir = sqz_arena_printf(&c->arena, "%s/%.16s", how->dir, c->key);
    c->part = sqz_arena_alloc(&c->arena, (size_t)c->n_part + 1, sizeof *c->part);
    c->held = hold ? sqz_arena_alloc(&c->arena, n + 1u, sizeof *c->held) : NULL;
    c->block = sqz_arena_alloc(&c->arena, n + 1u, sizeof *c->block);
    if (!dir || !c->part || !c->block || (hold && !c->held))
        return SQZ_E_NOMEM;
    for (uint32_t k = 0; k < n; k++) {
        c->block[k] = sqz_arena_room(&c->arena, (size_t)c->per_part * a->count[k], sizeof(float));
        if (hold)
            c->held[k] = sqz_arena_room(&c->arena, (size_t)c->n * a->count[k], sizeof(float));
        if (!c->block[k] || (hold && !c->held[k]))
            return SQZ_E_NOMEM;
    }
    for (int64_t i = 0; i < c->n_part; i++) {
        part *p = &c->part[i];
        *p = (part){.first = i * c->per_part, .file = -1};
        p->n = SQZ_MIN(c->per_part, c->n - p->first);
        p->path = sqz_arena_printf(&c->arena, "%s/part-%06lld.h5", dir, (long long)i);
        p->sum = sqz_arena_printf(&c->arena, "%s/part-%06lld.sha256", dir, (long long)i);
        if (!p->path || !p->sum)
            return SQZ_E_NOMEM;
    }
    return sqz_make_dir(c->ctx, dir);
}

/* ---- writing a part ---- */

static bool put_attribute(hid_t file, const char *name, hid_t type, const void *value)
{
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t a = space < 0 ? -1 : H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    bool ok = a >= 0 && H5Awrite(a, type, value) >= 0;
    if (a >= 0)
        ok = H5Aclose(a) >= 0 && ok;
    if (space >= 0)
        (void)H5Sclose(space);
    return ok;
}

static bool put_key(hid_t file, const char *key)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    const bool ok = type >= 0 && H5Tset_size(type, 65) >= 0 &&
                    put_attribute(file, "key", type, key);
    if (type >= 0)
        (void)H5Tclose(type);
    return ok;
}

static bool put_values(hid_t file, uint32_t k, int64_t n, size_t count, const float *numbers)
{
    char name[16];
    (void)snprintf(name, sizeof name, "%u", (unsigned)k);
    const hsize_t dim[2] = {(hsize_t)n, count};
    const hsize_t rows = SQZ_MAX(CHUNK / (count * sizeof(float)), (size_t)1);
    const hsize_t chunk[2] = {SQZ_MIN(rows, (hsize_t)n), count};
    hid_t space = H5Screate_simple(2, dim, NULL), how = H5Pcreate(H5P_DATASET_CREATE), d = -1;
    bool ok = space >= 0 && how >= 0 && H5Pset_chunk(how, 2, chunk) >= 0 &&
              H5Pset_obj_track_times(how, false) >= 0 && H5Pset_shuffle(how) >= 0 &&
              H5Pset_deflate(how, 1) >= 0 && H5Pset_fletcher32(how) >= 0;
    if (ok)
        d = H5Dcreate2(file, name, H5T_IEEE_F32LE, space, H5P_DEFAULT, how, H5P_DEFAULT);
    ok = d >= 0 && H5Dwrite(d, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, numbers) >= 0;
    if (d >= 0)
        ok = H5Dclose(d) >= 0 && ok;
    if (how >= 0)
        (void)H5Pclose(how);
    if (space >= 0)
        (void)H5Sclose(space);
    return ok;
}

/* The file is made in memory, as libhdf5 does not survive a full disk. */
static sqz_status image_of(const struct sqz_cache *c, const part *p, void **bytes, size_t *n)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), file = -1;
    bool ok = access >= 0 && H5Pset_fapl_core(access, (size_t)1 << 20, false) >= 0;
    ssize_t size = -1;
    *bytes = NULL;
    if (ok)
        file = H5Fcreate(p->path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    ok = file >= 0 && put_key(file, c->key) &&
         put_attribute(file, "first", H5T_NATIVE_INT64, &p->first);
    for (uint32_t k = 0; ok && k < c->answers->o->n_teacher; k++)
        ok = put_values(file, k, p->n, c->answers->count[k], c->block[k]);
    ok = ok && H5Fflush(file, H5F_SCOPE_GLOBAL) >= 0 &&
         (size = H5Fget_file_image(file, NULL, 0)) > 0;
    *bytes = ok ? sqz_malloc(c->ctx, (size_t)size) : NULL;
    if (*bytes)
        ok = H5Fget_file_image(file, *bytes, (size_t)size) == size;
    *n = ok ? (size_t)size : 0;
    const sqz_status s = ok && *bytes ? SQZ_OK
                                      : sqz_h5_fail(c->ctx, SQZ_E_NOMEM,
                                                    "cannot make '%s' in memory", p->path);
    if (file >= 0)
        (void)H5Fclose(file);
    if (access >= 0)
        (void)H5Pclose(access);
    return s;
}

static sqz_status write_part(const struct sqz_cache *c, const part *p)
{
    sqz_h5_guard g;
    void *bytes;
    size_t n;
    sqz_h5_enter(&g);
    sqz_status s = image_of(c, p, &bytes, &n);
    sqz_h5_leave(&g);
    if (s == SQZ_OK)
        s = sqz_file_write(c->ctx, p->path, bytes, n);
    if (s == SQZ_OK) {
        char hex[65];
        sqz_sha256 sha;
        sqz_sha256_begin(&sha);
        sqz_sha256_add(&sha, bytes, n);
        sqz_sha256_end(&sha, hex);
        s = sqz_file_write(c->ctx, p->sum, hex, 64);
    }
    sqz_free(c->ctx, bytes);
    return s;
}

/* ---- reading ---- */

/* Rows [first, first + n) of value k of an open part. */
static bool read_rows(const struct sqz_cache *c, const part *p, uint32_t k, int64_t first,
                      int64_t n, float *to)
{
    char name[16];
    (void)snprintf(name, sizeof name, "%u", (unsigned)k);
    const hsize_t want[2] = {(hsize_t)p->n, c->answers->count[k]};
    const hsize_t at[2] = {(hsize_t)first, 0}, size[2] = {(hsize_t)n, want[1]};
    hsize_t have[2] = {0, 0};
    if (!sqz_h5_exists(p->file, name))
        return false;
    hid_t d = H5Dopen2(p->file, name, H5P_DEFAULT), space = d < 0 ? -1 : H5Dget_space(d), room = -1;
    bool ok = space >= 0 && H5Sget_simple_extent_ndims(space) == 2 &&
              H5Sget_simple_extent_dims(space, have, NULL) == 2 && have[0] == want[0] &&
              have[1] == want[1] &&
              H5Sselect_hyperslab(space, H5S_SELECT_SET, at, NULL, size, NULL) >= 0 &&
              (room = H5Screate_simple(2, size, NULL)) >= 0 &&
              H5Dread(d, H5T_NATIVE_FLOAT, room, space, H5P_DEFAULT, to) >= 0;
    if (room >= 0)
        (void)H5Sclose(room);
    if (space >= 0)
        (void)H5Sclose(space);
    if (d >= 0)
        (void)H5Dclose(d);
    return ok;
}

static bool is_ours(const struct sqz_cache *c, const part *p)
{
    char key[65] = "";
    double first = -1;
    size_t n = 0;
    bool found = false;
    return sqz_h5_get_text(c->ctx, p->file, "key", key, sizeof key, &found) == SQZ_OK && found &&
           strcmp(key, c->key) == 0 &&
           sqz_h5_get_f64(c->ctx, p->file, "first", &first, 1, &n) == SQZ_OK && n == 1 &&
           first == (double)p->first;
}

static bool is_whole(const struct sqz_cache *c, const part *p)
{
    void *sum = NULL;
    size_t n = 0;
    char hex[65] = "";
    const bool ok = sqz_file_read(c->ctx, p->sum, 256, &sum, &n) == SQZ_OK && n == 64 &&
                    sqz_file_sha256(c->ctx, p->path, hex) == SQZ_OK && memcmp(sum, hex, 64) == 0;
    sqz_free(c->ctx, sum);
    return ok;
}

/* All of a part, into block; leaves it open. false: there is none, or it is damaged. */
static bool read_part(const struct sqz_cache *c, part *p)
{
    sqz_h5_guard g;
    if (!is_whole(c, p))
        return false;
    sqz_h5_enter(&g);
    bool ok = sqz_h5_open(c->ctx, p->path, &p->file) == SQZ_OK;
    if (!ok)
        p->file = -1;
    ok = ok && is_ours(c, p);
    for (uint32_t k = 0; ok && k < c->answers->o->n_teacher; k++)
        ok = read_rows(c, p, k, 0, p->n, c->block[k]);
    if (p->file >= 0 && (!ok || c->held)) {
        (void)H5Fclose(p->file);
        p->file = -1;
    }
    sqz_h5_leave(&g);
    return ok;
}

static void keep(const struct sqz_cache *c, const part *p)
{
    for (uint32_t k = 0; c->held && k < c->answers->o->n_teacher; k++) {
        const size_t n = c->answers->count[k];
        memcpy(c->held[k] + (size_t)p->first * n, c->block[k],
               (size_t)p->n * n * sizeof *c->block[k]);
    }
}

sqz_status sqz_cache_read(struct sqz_cache *c, int64_t sample, float *const *to)
{
    sqz_h5_guard g;
    bool ok = sample >= 0 && sample < c->n;
    if (!ok)
        return sqz_fail(c->ctx, SQZ_E_INTERNAL, "sample %lld of %lld", (long long)sample,
                        (long long)c->n);
    if (c->held) {
        for (uint32_t k = 0; k < c->answers->o->n_teacher; k++) {
            const size_t n = c->answers->count[k];
            memcpy(to[k], c->held[k] + (size_t)sample * n, n * sizeof *to[k]);
        }
        return SQZ_OK;
    }
    const part *p = &c->part[sample / c->per_part];
    sqz_h5_enter(&g);
    for (uint32_t k = 0; ok && k < c->answers->o->n_teacher; k++)
        ok = read_rows(c, p, k, sample - p->first, 1, to[k]);
    const sqz_status s =
        ok ? SQZ_OK : sqz_h5_fail(c->ctx, SQZ_E_IO, "cannot read answers from '%s'", p->path);
    sqz_h5_leave(&g);
    return s;
}

/* ---- computing ---- */

/* Answers to the samples of a part, batch by batch; the last batch is filled up with its first
 * sample. */
static sqz_status compute(sqz_teacher *t, sqz_dataset *ds, const part *p, float *samples,
                          float *const *batch)
{
    const struct sqz_cache *c = t->cache;
    const sqz_answers *a = c->answers;
    size_t one;
    SQZ_TRY(sqz_shape_count(t->ctx, &ds->shape, SQZ_F32, &one, NULL));
    for (int64_t i = 0; i < p->n; i += t->batch) {
        const int64_t n = SQZ_MIN(t->batch, p->n - i);
        SQZ_TRY(sqz_data_read(ds, p->first + i, n, samples, NULL));
        for (int64_t k = n; k < t->batch; k++)
            memcpy(samples + (size_t)k * one, samples, one * sizeof *samples);
        SQZ_TRY(sqz_teacher_run(t, samples, batch));
        for (uint32_t k = 0; k < a->o->n_teacher; k++)
            memcpy(c->block[k] + (size_t)i * a->count[k], batch[k],
                   (size_t)n * a->count[k] * sizeof(float));
        if (!sqz_progress(t->ctx, "ask the teacher", (uint64_t)(p->first + i + n), (uint64_t)c->n))
            return sqz_fail(t->ctx, SQZ_E_ARG, "stopped");
    }
    return SQZ_OK;
}

static sqz_status fill(sqz_teacher *t, sqz_dataset *ds, sqz_cache_report *r)
{
    struct sqz_cache *c = t->cache;
    const sqz_answers *a = c->answers;
    size_t one;
    SQZ_TRY(sqz_shape_count(t->ctx, &ds->shape, SQZ_F32, &one, NULL));
    float *samples = sqz_arena_room(&c->arena, (size_t)t->batch * one, sizeof *samples);
    float **batch = sqz_arena_alloc(&c->arena, a->o->n_teacher + 1u, sizeof *batch);
    if (!samples || !batch)
        return SQZ_E_NOMEM;
    for (uint32_t k = 0; k < a->o->n_teacher; k++) {
        batch[k] = sqz_arena_room(&c->arena, (size_t)t->batch * a->count[k], sizeof(float));
        if (!batch[k])
            return SQZ_E_NOMEM;
    }
    for (int64_t i = 0; i < c->n_part; i++) {
        part *p = &c->part[i];
        uint64_t size = 0;
        const bool there = read_part(c, p);
        if (!there) {
            SQZ_TRY(compute(t, ds, p, samples, batch));
            SQZ_TRY(write_part(c, p));
            if (!c->held && !read_part(c, p))
                return sqz_fail(t->ctx, SQZ_E_IO, "'%s' cannot be read back", p->path);
        }
        keep(c, p);
        *(there ? &r->read : &r->computed) += p->n;
        SQZ_TRY(sqz_h5_size(t->ctx, p->path, &size));
        r->bytes += size;
    }
    return SQZ_OK;
}

sqz_status sqz_teacher_open_cache(sqz_teacher *t, sqz_dataset *ds, const sqz_teacher_cache *how,
                                  sqz_cache_report *report)
{
    sqz_cache_report r = {0};
    const double begin = sqz_now();
    size_t bytes;
    if (!t->answers.o->n_teacher)
        return SQZ_OK;
    struct sqz_cache *c = sqz_calloc(t->ctx, 1, sizeof *c);
    if (!c)
        return SQZ_E_NOMEM;
    t->cache = c;
    c->ctx = c->arena.ctx = t->ctx;
    c->answers = &t->answers;
    c->n = ds->n;
    if (!sqz_mul(t->answers.all, sizeof(float), &bytes))
        bytes = SIZE_MAX;
    /* whole batches, so that parts do not depend on where an earlier run was stopped */
    c->per_part = SQZ_MAX((int64_t)((how->part ? how->part : PART) / bytes) / t->batch, 1) *
                  t->batch;
    c->n_part = (c->n + c->per_part - 1) / c->per_part;
    sqz_status s = sqz_data_checksum(ds);
    if (s == SQZ_OK)
        s = key_of(t, ds, how, c->key);
    if (s == SQZ_OK)
        s = make_room(c, how);
    if (s == SQZ_OK)
        s = fill(t, ds, &r);
    r.seconds = sqz_now() - begin;
    if (report)
        *report = r;
    if (s != SQZ_OK) {
        sqz_cache_free(t->ctx, c);
        t->cache = NULL;
    }
    return sqz_note(t->ctx, s, "answers of the teacher");
}

void sqz_cache_free(sqz_ctx *ctx, struct sqz_cache *c)
{
    sqz_h5_guard g;
    if (!c)
        return;
    sqz_h5_enter(&g);
    for (int64_t i = 0; c->part && i < c->n_part; i++)
        if (c->part[i].file >= 0)
            (void)H5Fclose(c->part[i].file);
    sqz_h5_leave(&g);
    sqz_arena_free(&c->arena);
    sqz_free(ctx, c);
}
