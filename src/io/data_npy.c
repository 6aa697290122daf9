/* npy: one .npy array; the first axis counts samples, there are no labels. */
#include "io/npz_header.h"
#include <string.h>

static bool probe(const char *path, const unsigned char *head, size_t n)
{
    (void)path;
    return n >= 6 && memcmp(head, "\x93NUMPY", 6) == 0;
}

static sqz_status open_set(sqz_dataset *ds)
{
    sqz_columns *c;
    SQZ_TRY(sqz_columns_new(ds, &c));
    SQZ_TRY(sqz_stream_open(ds->ctx, ds->path, &c->x.s));
    SQZ_TRY(sqz_npy_numbers(&c->x));
    return sqz_columns_describe(ds);
}

const sqz_data_format sqz_data_format_npy = {
    .info = {.name = "npy", .doc = "NumPy .npy: samples without labels"},
    .probe = probe,
    .open = open_set,
    .read = sqz_columns_read,
    .close = sqz_columns_close,
};
