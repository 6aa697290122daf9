/* prepare_images.c: a folder of images: one folder a class, in it .jpg, .jpeg and .png files. Class
 * numbers follow the sorted folder names, samples the sorted file names (byte order, so that every
 * machine sorts alike). Names that begin with a dot are left out; any other file is an error. */
#include "io/prepare.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct name_list {
    const char **name;
    size_t n, room;
} name_list;

typedef struct folder {
    const char **file; /* n, in the source's arena: relative to the folder */
    int32_t *class_of;
    size_t n, room;
} folder;

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static sqz_status add_name(sqz_source *s, name_list *l, const char *text)
{
    if (l->n == l->room) {
        size_t room = l->room ? l->room * 2 : 64;
        const char **more = sqz_realloc(s->ctx, l->name, l->n * sizeof *more, room * sizeof *more);
        if (!more)
            return SQZ_E_NOMEM;
        l->name = more;
        l->room = room;
    }
    l->name[l->n] = sqz_arena_strdup(&s->arena, text);
    return l->name[l->n++] ? SQZ_OK : SQZ_E_NOMEM;
}

/* Entries of a folder, sorted. */
static sqz_status entries(sqz_source *s, const char *path, name_list *out)
{
    DIR *d = opendir(path);
    sqz_status st = SQZ_OK;
    if (!d)
        return sqz_fail(s->ctx, errno == ENOENT ? SQZ_E_NOTFOUND : SQZ_E_IO,
                        "%s: cannot open the folder: %m", path);
    errno = 0;
    for (struct dirent *e; st == SQZ_OK && (e = readdir(d));) /* NOLINT(concurrency-mt-unsafe) */
        if (e->d_name[0] != '.')
            st = add_name(s, out, e->d_name);
    if (st == SQZ_OK && errno)
        st = sqz_fail(s->ctx, SQZ_E_IO, "%s: cannot read the folder: %m", path);
    (void)closedir(d);
    if (out->n)
        qsort(out->name, out->n, sizeof *out->name, by_name);
    return st;
}

static bool is_image(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0 ||
                   strcasecmp(dot, ".png") == 0);
}

static sqz_status add_file(sqz_source *s, folder *f, const char *path, int32_t class_no)
{
    if (f->n == f->room) {
        size_t room = f->room ? f->room * 2 : 256;
        const char **file = sqz_realloc(s->ctx, f->file, f->n * sizeof *file, room * sizeof *file);
        if (!file)
            return SQZ_E_NOMEM;
        f->file = file;
        int32_t *c = sqz_realloc(s->ctx, f->class_of, f->n * sizeof *c, room * sizeof *c);
        if (!c)
            return SQZ_E_NOMEM;
        f->class_of = c;
        f->room = room;
    }
    f->file[f->n] = path;
    f->class_of[f->n++] = class_no;
    return SQZ_OK;
}

static sqz_status one_class(sqz_source *s, folder *f, const char *name, int32_t class_no)
{
    const char *path = sqz_arena_printf(&s->arena, "%s/%s", s->spec->file, name);
    name_list files = {0};
    if (!path)
        return SQZ_E_NOMEM;
    sqz_status st = entries(s, path, &files);
    for (size_t i = 0; st == SQZ_OK && i < files.n; i++) {
        const char *file = sqz_arena_printf(&s->arena, "%s/%s", path, files.name[i]);
        st = !file ? SQZ_E_NOMEM
             : is_image(file)
                 ? add_file(s, f, file, class_no)
                 : sqz_fail(s->ctx, SQZ_E_FORMAT, "%s: expected images (.jpg, .jpeg, .png)", file);
    }
    if (st == SQZ_OK && files.n == 0)
        st = sqz_fail(s->ctx, SQZ_E_FORMAT, "%s: no images in this folder of a class", path);
    sqz_free(s->ctx, files.name);
    return st;
}

/* The number of a class; the training source's when there is one. */
static sqz_status class_number(sqz_source *s, const sqz_source *like, const char *name, size_t i,
                               int32_t *out)
{
    *out = (int32_t)i;
    if (!like)
        return SQZ_OK;
    for (int64_t k = 0; like->class_names && k < like->classes; k++)
        if (strcmp(like->class_names[k], name) == 0) {
            *out = (int32_t)k;
            return SQZ_OK;
        }
    return sqz_fail(s->ctx, SQZ_E_FORMAT, "%s/%s: no such class in the training source",
                    s->spec->file, name);
}

static sqz_status list_all(sqz_source *s, folder *f, const sqz_source *like, name_list *classes)
{
    SQZ_TRY(entries(s, s->spec->file, classes));
    if (classes->n == 0 || classes->n > 65536)
        return sqz_fail(s->ctx, SQZ_E_FORMAT, "%s: %zu folders, expected one for each class",
                        s->spec->file, classes->n);
    for (size_t i = 0; i < classes->n; i++) {
        int32_t no;
        if (is_image(classes->name[i]))
            return sqz_fail(s->ctx, SQZ_E_FORMAT,
                            "%s/%s: an image outside of a folder of its class", s->spec->file,
                            classes->name[i]);
        SQZ_TRY(class_number(s, like, classes->name[i], i, &no));
        SQZ_TRY(one_class(s, f, classes->name[i], no));
    }
    s->classes = like ? like->classes : (int64_t)classes->n;
    s->class_names = sqz_arena_alloc(&s->arena, (size_t)s->classes, sizeof *s->class_names);
    if (!s->class_names)
        return SQZ_E_NOMEM;
    memcpy(s->class_names, like ? like->class_names : classes->name,
           (size_t)s->classes * sizeof *s->class_names);
    return SQZ_OK;
}

static sqz_status read_image(sqz_source *s, int64_t i, sqz_image *img, float *x, float *y)
{
    const folder *f = s->impl;
    (void)x;
    y[0] = (float)f->class_of[i];
    return sqz_image_load(s->ctx, f->file[i], img);
}

static int32_t class_of_image(const sqz_source *s, int64_t i)
{
    return ((const folder *)s->impl)->class_of[i];
}

static const char *name_of_image(const sqz_source *s, int64_t i)
{
    return ((const folder *)s->impl)->file[i];
}

static void close_images(sqz_source *s)
{
    folder *f = s->impl;
    if (!f)
        return;
    sqz_free(s->ctx, f->file);
    sqz_free(s->ctx, f->class_of);
    sqz_free(s->ctx, f);
}

sqz_status sqz_source_images(sqz_source *s, const sqz_source *like)
{
    name_list classes = {0};
    sqz_image first;
    folder *f = s->impl = sqz_calloc(s->ctx, 1, sizeof *f);
    if (!f)
        return SQZ_E_NOMEM;
    s->read = read_image;
    s->class_of = class_of_image;
    s->name_of = name_of_image;
    s->close = close_images;
    s->is_image = s->bytes = s->has_labels = true;
    sqz_status st = list_all(s, f, like, &classes);
    sqz_free(s->ctx, classes.name);
    SQZ_TRY(st);
    s->n = (int64_t)f->n;
    SQZ_TRY(sqz_image_load(s->ctx, f->file[0], &first));
    s->shape = sqz_shape_of(
        3, (int64_t[]){(int64_t)first.height, (int64_t)first.width, (int64_t)first.channels});
    sqz_image_free(s->ctx, &first);
    return SQZ_OK;
}
