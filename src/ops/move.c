/* move.c: see move.h. */
#include "ops/move.h"
#include <string.h>

sqz_status sqz_need_bytes(const sqz_infer *q, unsigned i)
{
    if (sqz_dtype_bits(q->in[i]->dtype) >= 8)
        return SQZ_OK;
    return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "input %u is packed %s, expected whole bytes", i,
                    sqz_dtype_name(q->in[i]->dtype));
}

sqz_status sqz_view_run(const sqz_call *c)
{
    if (c->out[0]->data != c->in[0]->data && c->out[0]->bytes)
        memcpy(c->out[0]->data, c->in[0]->data, c->out[0]->bytes);
    return SQZ_OK;
}

void sqz_view_cost(const sqz_infer *q, sqz_cost *out)
{
    (void)q;
    *out = (sqz_cost){.kind = SQZ_COST_NONE};
}

void sqz_move_cost(const sqz_infer *q, sqz_cost *out)
{
    *out = (sqz_cost){.kind = SQZ_COST_MOVE};
    for (unsigned i = 0; i < q->n_out; i++) {
        uint64_t n = 1;
        for (int32_t d = 0; d < q->out[i].rank; d++)
            n *= (uint64_t)q->out[i].dim[d];
        out->ops += n;
    }
}

sqz_split3 sqz_split_at(const sqz_shape *s, int32_t axis)
{
    sqz_split3 r = {1, 1, 1};
    for (int32_t i = 0; i < s->rank; i++)
        *(i < axis ? &r.outer : i == axis ? &r.n : &r.inner) *= (size_t)s->dim[i];
    return r;
}

sqz_status sqz_axes_mask(sqz_ctx *ctx, const sqz_ints *axes, int32_t rank, uint32_t *mask)
{
    *mask = 0;
    for (uint32_t i = 0; i < axes->n; i++) {
        int32_t a = 0;
        SQZ_TRY(sqz_axis(ctx, axes->v[i], rank, &a));
        if (*mask & 1u << a)
            return sqz_fail(ctx, SQZ_E_FORMAT, "axis %d is listed twice", (int)a);
        *mask |= 1u << a;
    }
    return SQZ_OK;
}

sqz_status sqz_ints_new(sqz_arena *a, uint32_t n, sqz_ints *list, int64_t **v)
{
    *v = sqz_arena_alloc(a, SQZ_MAX(n, 1u), sizeof **v);
    *list = (sqz_ints){*v ? n : 0, *v};
    return *v ? SQZ_OK : SQZ_E_NOMEM;
}

sqz_status sqz_ints_of_tensor(sqz_arena *a, const sqz_tensor *t, sqz_ints *list, int64_t **v)
{
    if (t->count > UINT16_MAX)
        return sqz_fail(a->ctx, SQZ_E_LIMIT, "a list of %zu numbers, at most %d are supported",
                        t->count, UINT16_MAX);
    SQZ_TRY(sqz_ints_new(a, (uint32_t)t->count, list, v));
    for (size_t i = 0; i < t->count; i++)
        (*v)[i] = sqz_tensor_i64(t, i);
    return SQZ_OK;
}

/* ---- maps ---- */

static bool is_identity(const int64_t *map, int64_t in, int64_t out)
{
    for (int64_t i = 0; i < out; i++)
        if (map[i] != i)
            return false;
    return in == out;
}

sqz_status sqz_maps_prepare(sqz_prep *p, sqz_map_axis_fn fn)
{
    const sqz_shape *in = &p->in[0]->shape, *out = &p->out[0]->shape;
    sqz_maps *m = sqz_arena_alloc(p->arena, 1, sizeof *m);
    if (!m)
        return SQZ_E_NOMEM;
    m->rank = out->rank;
    m->block = 1;
    for (int32_t a = 0; a < out->rank; a++) {
        int32_t k = a - (out->rank - in->rank);
        int64_t *map = sqz_arena_alloc(p->arena, SQZ_MAX((size_t)out->dim[a], (size_t)1), 8);
        if (!map)
            return SQZ_E_NOMEM;
        m->in[a] = k < 0 ? 1 : in->dim[k];
        m->out[a] = out->dim[a];
        fn(p->attrs, p, a, m->in[a], m->out[a], map);
        m->map[a] = map;
        if (!is_identity(map, m->in[a], m->out[a]))
            m->n_mapped = a + 1;
    }
    for (int32_t a = m->n_mapped; a < m->rank; a++)
        m->block *= (size_t)m->out[a];
    p->state = m;
    return SQZ_OK;
}

typedef struct maps_job {
    const sqz_maps *m;
    size_t elem;
    const unsigned char *x, *fill;
    unsigned char *y;
} maps_job;

static void fill_with(unsigned char *y, const unsigned char *fill, size_t elem, size_t n)
{
    for (size_t i = 0; i < n; i++)
        memcpy(y + i * elem, fill, elem);
}

/* One pass along the last mapped axis: neighbors in the input are copied together. `base` is the
 * index of its first block in the input, -1: the whole row is fill. */
static void copy_row(const maps_job *j, int64_t base, unsigned char *y)
{
    const sqz_maps *m = j->m;
    const int64_t *map = m->map[m->n_mapped - 1], n = m->out[m->n_mapped - 1];
    const size_t bytes = m->block * j->elem;
    for (int64_t i = 0, k; i < n; i = k) {
        int64_t from = base < 0 ? -1 : map[i];
        for (k = i + 1; k < n && (from < 0 ? base < 0 || map[k] < 0 : map[k] == from + k - i);)
            k++;
        if (from < 0)
            fill_with(y + (size_t)i * bytes, j->fill, j->elem, (size_t)(k - i) * m->block);
        else
            memcpy(y + (size_t)i * bytes, j->x + (size_t)(base + from) * bytes,
                   (size_t)(k - i) * bytes);
    }
}

static sqz_status maps_piece(void *arg, size_t begin, size_t end)
{
    const maps_job *j = arg;
    const sqz_maps *m = j->m;
    const int32_t last = m->n_mapped - 1;
    const size_t row_bytes = (size_t)m->out[last] * m->block * j->elem;
    for (size_t row = begin; row < end; row++) {
        int64_t base = 0, step = m->in[last];
        size_t rest = row;
        for (int32_t a = last - 1; a >= 0; a--) {
            int64_t at = m->map[a][rest % (size_t)m->out[a]];
            rest /= (size_t)m->out[a];
            base = at < 0 || base < 0 ? -1 : base + at * step;
            step *= m->in[a];
        }
        copy_row(j, base, j->y + row * row_bytes);
    }
    return SQZ_OK;
}

sqz_status sqz_maps_run(const sqz_call *c, const void *fill)
{
    const sqz_maps *m = c->state;
    if (c->out[0]->count == 0)
        return SQZ_OK;
    if (m->n_mapped == 0)
        return sqz_view_run(c);
    maps_job j = {m, sqz_elem(c->in[0]), c->in[0]->data, fill, c->out[0]->data};
    size_t rows = 1, row_bytes = (size_t)m->out[m->n_mapped - 1] * m->block * j.elem;
    for (int32_t a = 0; a < m->n_mapped - 1; a++)
        rows *= (size_t)m->out[a];
    return sqz_parallel(c->ctx, rows, 65536 / SQZ_MIN(row_bytes, (size_t)65536), maps_piece, &j);
}

sqz_status sqz_maps_run_plain(const sqz_call *c) { return sqz_maps_run(c, NULL); }
