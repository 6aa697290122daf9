/* joined.c: several arrays of a file as one data set: a sample is one sample of each, side by side.
 */
#include "io/data.h"
#include <string.h>

static size_t elements_of(const sqz_dataset *ds)
{
    size_t n = 1; /* counted when the set was opened */
    for (int32_t i = 0; i < ds->shape.rank; i++)
        n *= (size_t)ds->shape.dim[i];
    return n;
}

static sqz_status read(sqz_dataset *ds, int64_t first, int64_t n, float *x, float *y)
{
    const size_t row = elements_of(ds);
    size_t at = 0;
    for (uint32_t i = 0; i < ds->n_part; i++) {
        const size_t each = elements_of(ds->part[i]);
        float *t = sqz_calloc(ds->ctx, SQZ_MAX((size_t)n * each, (size_t)1), sizeof *t);
        sqz_status s = t ? sqz_data_read(ds->part[i], first, n, t, i ? NULL : y) : SQZ_E_NOMEM;
        for (size_t k = 0; s == SQZ_OK && k < (size_t)n; k++)
            memcpy(x + k * row + at, t + k * each, each * sizeof *t);
        sqz_free(ds->ctx, t);
        SQZ_TRY(s);
        at += each;
    }
    return SQZ_OK;
}

static void close(sqz_dataset *ds) { (void)ds; } /* whoever opened the parts closes them */

static const sqz_data_format format = {
    .info = {.name = "joined", .doc = "arrays of one file, one for each input of a model"},
    .read = read,
    .close = close,
};

sqz_status sqz_data_join(sqz_dataset *ds)
{
    const sqz_dataset *first = ds->part[0];
    size_t total = 0, count, bytes;
    ds->format = &format;
    ds->n = first->n;
    ds->has_labels = first->has_labels;
    ds->classes = first->classes;
    ds->label_shape = first->label_shape;
    ds->seekable = true;
    for (uint32_t i = 0; i < ds->n_part; i++) {
        const sqz_dataset *p = ds->part[i];
        if (p->n != ds->n)
            return sqz_fail(ds->ctx, SQZ_E_SHAPE,
                            "%s: array '%s' has %lld samples, array '%s' %lld", ds->path, p->x_name,
                            (long long)p->n, first->x_name, (long long)ds->n);
        SQZ_TRY(sqz_shape_count(ds->ctx, &p->shape, SQZ_F32, &count, &bytes));
        if (!sqz_add(total, count, &total) || total > INT32_MAX)
            return sqz_fail(ds->ctx, SQZ_E_LIMIT, "%s: a sample is too large", ds->path);
        ds->seekable = ds->seekable && p->seekable;
        ds->rewinds = ds->rewinds || p->rewinds;
    }
    ds->shape = (sqz_shape){1, {(int64_t)total}};
    return SQZ_OK;
}
