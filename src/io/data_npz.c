/* npz: a NumPy .npz with array `x` and perhaps `y`, stored or deflated. Both are checked whole
 * (CRC-32) when the set is opened, then streamed; a deflated array is unpacked again from its
 * beginning when somebody reads backwards. */
#include "io/npz_header.h"
#include <string.h>

static bool probe(const char *path, const unsigned char *head, size_t n)
{
    (void)path;
    return n >= 4 && (memcmp(head, "PK\3\4", 4) == 0 || memcmp(head, "PK\5\6", 4) == 0);
}

static sqz_status open_member(sqz_dataset *ds, const sqz_zip_member *m, sqz_numbers *a)
{
    SQZ_TRY(sqz_stream_open(ds->ctx, ds->path, &a->s));
    SQZ_TRY(sqz_stream_part(&a->s, m->name, m->pack, m->begin, m->packed, m->size));
    SQZ_TRY(sqz_stream_verify(&a->s, m->size, &m->crc));
    return sqz_npy_numbers(a);
}

static sqz_status no_member(sqz_dataset *ds, const sqz_zip *z, const char *want)
{
    sqz_str found = {.ctx = ds->ctx};
    for (size_t i = 0; i < z->n && i < 8; i++)
        sqz_str_addf(&found, "%s'%s'", i ? ", " : "", z->member[i].name);
    sqz_status st = found.status;
    if (st == SQZ_OK)
        st = sqz_fail(ds->ctx, SQZ_E_FORMAT,
                      "%s: no array '%s' in the archive, found %s%s; save it with "
                      "np.savez(file, x=samples, y=labels)",
                      ds->path, want, found.data, z->n > 8 ? ", ..." : "");
    sqz_str_free(&found);
    return st;
}

static sqz_status open_arrays(sqz_dataset *ds, sqz_arena *a, sqz_stream *file)
{
    sqz_columns *c;
    sqz_zip zip;
    const char *x = ds->x_name ? ds->x_name : "x", *y = ds->y_name ? ds->y_name : "y";
    SQZ_TRY(sqz_columns_new(ds, &c));
    SQZ_TRY(sqz_stream_open(ds->ctx, ds->path, file));
    SQZ_TRY(sqz_zip_open(a, file, &zip));
    const sqz_zip_member *mx = sqz_zip_find(&zip, x), *my = *y ? sqz_zip_find(&zip, y) : NULL;
    if (!mx || (!my && ds->y_name && *y))
        return no_member(ds, &zip, mx ? y : x);
    SQZ_TRY(open_member(ds, mx, &c->x));
    c->has_y = my != NULL;
    if (my)
        SQZ_TRY(open_member(ds, my, &c->y));
    return sqz_columns_describe(ds);
}

static sqz_status open_set(sqz_dataset *ds)
{
    sqz_arena a = {.ctx = ds->ctx};
    sqz_stream file = SQZ_STREAM_CLOSED;
    sqz_status st = open_arrays(ds, &a, &file);
    sqz_stream_close(&file);
    sqz_arena_free(&a);
    return st;
}

const sqz_data_format sqz_data_format_npz = {
    .info = {.name = "npz", .doc = "NumPy .npz with arrays x and y"},
    .probe = probe,
    .open = open_set,
    .read = sqz_columns_read,
    .close = sqz_columns_close,
};
