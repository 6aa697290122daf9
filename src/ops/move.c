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

/* ---- packed types ---- */

static bool is_packed(const sqz_tensor *t) { return t && sqz_dtype_bits(t->dtype) < 8; }

static sqz_dtype unpacked(sqz_dtype d) { return d == SQZ_S4 ? SQZ_S8 : SQZ_U8; }

static size_t up(size_t bytes) { return (bytes + SQZ_ALIGN - 1) / SQZ_ALIGN * SQZ_ALIGN; }

/* Tensors in the order inputs, outputs. */
static const sqz_tensor *end_of(const sqz_tensor *const *in, unsigned n_in,
                                const sqz_tensor *const *out, unsigned i)
{
    return i < n_in ? in[i] : out[i - n_in];
}

/* Descriptions of n tensors and pointers to them. */
static size_t head_bytes(unsigned n)
{
    return up(n * sizeof(sqz_tensor)) + up(n * sizeof(sqz_tensor *));
}

/* 0: nothing is packed. */
static size_t packed_bytes(const sqz_tensor *const *in, unsigned n_in, const sqz_tensor *const *out,
                           unsigned n_out)
{
    size_t bytes = 0; /* counts are of tensors that exist: at most twice their bytes, no overflow */
    for (unsigned i = 0; i < n_in + n_out; i++)
        if (is_packed(end_of(in, n_in, out, i)))
            bytes += up(end_of(in, n_in, out, i)->count);
    return bytes ? bytes + head_bytes(n_in + n_out) : 0;
}

sqz_status sqz_move_prepare(sqz_prep *p)
{
    if (sqz_add(p->scratch_bytes, packed_bytes(p->in, p->n_in, p->out, p->n_out),
                &p->scratch_bytes))
        return SQZ_OK;
    return sqz_fail(p->ctx, SQZ_E_LIMIT, "the packed tensors are too large");
}

static unsigned per_byte(sqz_dtype d) { return sqz_dtype_bits(d) == 2 ? 4 : 2; }

static void unpack(const sqz_tensor *from, sqz_tensor *to)
{
    const unsigned bits = sqz_dtype_bits(from->dtype), each = per_byte(from->dtype);
    const unsigned mask = (1u << bits) - 1;
    const unsigned sign = to->dtype == SQZ_S8 ? 1u << (bits - 1) : 0;
    const uint8_t *x = from->data;
    uint8_t *y = to->data;
    for (size_t i = 0; i < from->count; i++) {
        const unsigned code = x[i / each] >> (i % each * bits) & mask;
        y[i] = (uint8_t)((code ^ sign) - sign);
    }
}

static void pack(const sqz_tensor *from, sqz_tensor *to)
{
    const unsigned bits = sqz_dtype_bits(to->dtype), each = per_byte(to->dtype);
    const unsigned mask = (1u << bits) - 1;
    const uint8_t *x = from->data;
    uint8_t *y = to->data;
    for (size_t i = 0; i < to->count; i += each) {
        unsigned byte = 0;
        for (unsigned k = 0; k < each && i + k < to->count; k++)
            byte |= (x[i + k] & mask) << (k * bits);
        y[i / each] = (uint8_t)byte;
    }
}

sqz_status sqz_move_run(const sqz_call *c, sqz_move_fn fn, const void *arg)
{
    const unsigned n = c->n_in + c->n_out;
    const sqz_tensor *const *out = (const sqz_tensor *const *)c->out;
    const size_t used = packed_bytes(c->in, c->n_in, out, c->n_out);
    if (!used)
        return fn(c, arg);
    char *at = c->scratch;
    sqz_tensor *t = (sqz_tensor *)(void *)at;
    sqz_tensor **ptr = (sqz_tensor **)(void *)(at + up(n * sizeof *t));
    at += head_bytes(n);
    for (unsigned i = 0; i < n; i++) {
        const sqz_tensor *from = end_of(c->in, c->n_in, out, i);
        ptr[i] = from ? &t[i] : NULL;
        if (!from)
            continue;
        t[i] = *from;
        if (!is_packed(from))
            continue;
        t[i].dtype = unpacked(from->dtype);
        t[i].bytes = t[i].count;
        t[i].data = at;
        at += up(t[i].count);
        if (i < c->n_in)
            unpack(from, &t[i]);
    }
    sqz_call call = *c;
    call.in = (const sqz_tensor *const *)ptr;
    call.out = ptr + c->n_in;
    call.scratch = (char *)c->scratch + used;
    SQZ_TRY(fn(&call, arg));
    for (unsigned i = 0; i < c->n_out; i++)
        if (is_packed(c->out[i]) && call.out[i])
            pack(call.out[i], c->out[i]);
    return SQZ_OK;
}

/* ---- indices ---- */

sqz_status sqz_need_index(const sqz_infer *q, unsigned i)
{
    if (q->in[i]->dtype == SQZ_S64 || q->in[i]->dtype == SQZ_S32)
        return SQZ_OK;
    return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "indices are %s, expected s64 or s32",
                    sqz_dtype_name(q->in[i]->dtype));
}

sqz_status sqz_check_indices(sqz_ctx *ctx, const sqz_tensor *k, int64_t n)
{
    for (size_t i = 0; i < k->count; i++) {
        const int64_t at = sqz_index_raw(k, i);
        if (at < -n || at >= n)
            return sqz_fail(ctx, SQZ_E_ARG, "index %lld at position %zu, expected %lld .. %lld",
                            (long long)at, i, (long long)-n, (long long)(n - 1));
    }
    return SQZ_OK;
}

/* ---- views, costs, sizes ---- */

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

/* The runs of the last mapped axis. */
static sqz_status find_runs(sqz_arena *a, sqz_maps *m)
{
    const int64_t *map = m->n_mapped ? m->map[m->n_mapped - 1] : NULL;
    const int64_t n = m->n_mapped ? m->out[m->n_mapped - 1] : 0;
    if (n == 0)
        return SQZ_OK;
    for (int64_t i = 0; i < n; i++)
        m->n_run += i == 0 || map[i] != (map[i - 1] < 0 ? -1 : map[i - 1] + 1);
    sqz_map_run *run = sqz_arena_alloc(a, m->n_run, sizeof *run);
    if (!run)
        return SQZ_E_NOMEM;
    m->run = run--;
    for (int64_t i = 0; i < n; i++) {
        if (i == 0 || map[i] != (map[i - 1] < 0 ? -1 : map[i - 1] + 1))
            *++run = (sqz_map_run){map[i], 0};
        run->n++;
    }
    return SQZ_OK;
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
    SQZ_TRY(find_runs(p->arena, m));
    return sqz_move_prepare(p);
}

typedef struct maps_job {
    const sqz_maps *m;
    size_t elem;
    const unsigned char *x, *fill;
    unsigned char *y;
} maps_job;

static void fill_with(unsigned char *y, const unsigned char *fill, size_t elem, size_t n)
{
    if (elem == 1)
        memset(y, *fill, n);
    else
        for (size_t i = 0; i < n; i++)
            memcpy(y + i * elem, fill, elem);
}

/* One pass along the last mapped axis: neighbors in the input are copied together. `base` is the
 * index of its first block in the input, -1: the whole row is fill. */
static void copy_row(const maps_job *j, int64_t base, unsigned char *y)
{
    const sqz_maps *m = j->m;
    const size_t bytes = m->block * j->elem;
    if (base < 0) {
        fill_with(y, j->fill, j->elem, (size_t)m->out[m->n_mapped - 1] * m->block);
        return;
    }
    for (const sqz_map_run *r = m->run; r < m->run + m->n_run; r++) {
        if (r->from < 0)
            fill_with(y, j->fill, j->elem, (size_t)r->n * m->block);
        else
            sqz_copy(y, j->x + (size_t)(base + r->from) * bytes, (size_t)r->n * bytes);
        y += (size_t)r->n * bytes;
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

static sqz_status run_maps(const sqz_call *c, const void *fill)
{
    const sqz_maps *m = c->state;
    if (!c->out[0] || c->out[0]->count == 0)
        return SQZ_OK;
    if (m->n_mapped == 0)
        return sqz_view_run(c);
    maps_job j = {m, sqz_elem(c->in[0]), c->in[0]->data, fill, c->out[0]->data};
    size_t rows = 1, row_bytes = (size_t)m->out[m->n_mapped - 1] * m->block * j.elem;
    for (int32_t a = 0; a < m->n_mapped - 1; a++)
        rows *= (size_t)m->out[a];
    return sqz_parallel(c->ctx, rows, SQZ_MOVE_PIECE / SQZ_MIN(row_bytes, SQZ_MOVE_PIECE),
                        maps_piece, &j);
}

sqz_status sqz_maps_run(const sqz_call *c, const void *fill)
{
    return sqz_move_run(c, run_maps, fill);
}

sqz_status sqz_maps_run_plain(const sqz_call *c) { return sqz_maps_run(c, NULL); }
