/* axes.c: attributes that name axes, between the file's layout and channel-last. */
#include "ir/op.h"
#include <string.h>

int sqz_axis_to_last(int axis, int rank) { return axis == 0 ? 0 : axis == 1 ? rank - 1 : axis - 1; }

int sqz_axis_to_file(int axis, int rank) { return axis == 0 ? 0 : axis == rank - 1 ? 1 : axis + 1; }

sqz_shape sqz_value_file_shape(const sqz_value *v)
{
    sqz_shape s = v->shape;
    for (int32_t i = 0; v->channel_last && i < s.rank; i++)
        s.dim[sqz_axis_to_file(i, s.rank)] = v->shape.dim[i];
    return s;
}

typedef struct renumber {
    sqz_ctx *ctx;
    sqz_arena *a;
    int rank;
    int (*map)(int axis, int rank);
} renumber;

static sqz_status one_axis(const renumber *r, int64_t *axis)
{
    int32_t norm;
    SQZ_TRY(sqz_axis(r->ctx, *axis, r->rank, &norm));
    *axis = r->map(norm, r->rank);
    return SQZ_OK;
}

/* Entry i of a list with `per` entries for each axis (all first ones, then all second ones). */
static sqz_status permute_list(const renumber *r, void *field, const sqz_attr *at, unsigned per)
{
    uint32_t n = per * (uint32_t)r->rank;
    bool ints = at->type == SQZ_A_INTS;
    uint32_t have = ints ? ((sqz_ints *)field)->n : ((sqz_floats *)field)->n;
    if (have == 0)
        return SQZ_OK;
    if (have != n)
        return sqz_fail(r->ctx, SQZ_E_SHAPE, "attribute '%s' has %u entries, expected %u", at->name,
                        have, n);
    int64_t *iv = ints ? sqz_arena_alloc(r->a, n, sizeof *iv) : NULL;
    float *fv = ints ? NULL : sqz_arena_alloc(r->a, n, sizeof *fv);
    if (!iv && !fv)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t half = i / (uint32_t)r->rank * (uint32_t)r->rank;
        uint32_t to = half + (uint32_t)r->map((int)(i - half), r->rank);
        if (ints)
            iv[to] = ((sqz_ints *)field)->v[i];
        else
            fv[to] = ((sqz_floats *)field)->v[i];
    }
    if (ints)
        ((sqz_ints *)field)->v = iv;
    else
        ((sqz_floats *)field)->v = fv;
    return SQZ_OK;
}

static sqz_status axis_list(const renumber *r, sqz_ints *list)
{
    int64_t *v = list->n ? sqz_arena_alloc(r->a, list->n, sizeof *v) : NULL;
    if (!list->n)
        return SQZ_OK;
    if (!v)
        return SQZ_E_NOMEM;
    for (uint32_t i = 0; i < list->n; i++) {
        v[i] = list->v[i];
        SQZ_TRY(one_axis(r, &v[i]));
    }
    list->v = v;
    return SQZ_OK;
}

sqz_status sqz_attrs_renumber(sqz_ctx *ctx, sqz_arena *a, const sqz_op *op, const void *attrs,
                              int32_t rank, bool to_last, void **out)
{
    const renumber r = {ctx, a, rank, to_last ? sqz_axis_to_last : sqz_axis_to_file};
    *out = NULL;
    if (!op->info.opt_size)
        return SQZ_OK;
    SQZ_TRY(sqz_opts_copy(a, &op->info, attrs, out));
    for (unsigned i = 0; i < op->info.n_opts; i++) {
        const sqz_attr *at = &op->info.opts[i];
        void *field = sqz_opt_field(at, *out);
        if (at->flags & SQZ_AF_AXIS)
            SQZ_TRY(at->type == SQZ_A_INTS ? axis_list(&r, field) : one_axis(&r, field));
        else if (at->flags & SQZ_AF_PER_AXIS)
            SQZ_TRY(permute_list(&r, field, at, 1));
        else if (at->flags & SQZ_AF_PER_AXIS2)
            SQZ_TRY(permute_list(&r, field, at, 2));
    }
    return SQZ_OK;
}
