/* ew.c: float runs of elementwise operators, and broadcasting. */
#include "ops/ew.h"
#include <string.h>

#define GRAIN 16384 /* elements of one piece of work */

sqz_status sqz_need_real(const sqz_infer *q, unsigned i)
{
    if (sqz_dtype_is_float(q->in[i]->dtype) || q->in[i]->quant)
        return SQZ_OK;
    return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "input %u is %s, expected floats", i,
                    sqz_dtype_name(q->in[i]->dtype));
}

sqz_status sqz_need_s8(const sqz_prep *p, unsigned n_in, bool *integer)
{
    unsigned n = 0;
    for (unsigned i = 0; i <= n_in; i++) {
        const sqz_quant *g = i < n_in ? sqz_grid_in(p, i) : sqz_grid_out(p);
        if (g && (g->dtype != SQZ_S8 || g->n != 1))
            return sqz_fail(p->ctx, SQZ_E_UNSUPPORTED,
                            "an %s grid with %u scales, expected int8 with one",
                            sqz_dtype_name(g->dtype), (unsigned)g->n);
        n += g != NULL;
    }
    if (n != 0 && n != n_in + 1)
        return sqz_fail(p->ctx, SQZ_E_INTERNAL,
                        "%u of %u values stand on a grid, expected all or none", n, n_in + 1);
    *integer = n != 0;
    return SQZ_OK;
}

sqz_status sqz_need_same_grid(const sqz_prep *p)
{
    bool integer = false;
    SQZ_TRY(sqz_need_s8(p, p->n_in, &integer));
    for (unsigned i = 0; integer && i < p->n_in; i++)
        if (p->in_q[i]->scale[0] != p->out_q[0]->scale[0] ||
            p->in_q[i]->zero[0] != p->out_q[0]->zero[0])
            return sqz_fail(p->ctx, SQZ_E_INTERNAL, "input %u and the output are on two grids", i);
    return SQZ_OK;
}

/* ---- unary ---- */

sqz_status sqz_ew_infer(sqz_infer *q)
{
    q->out[0] = q->in[0]->shape;
    return sqz_need_real(q, 0);
}

typedef struct map_job {
    sqz_map_fn map;
    const void *attrs;
    const float *x;
    float *y;
} map_job;

static sqz_status map_piece(void *arg, size_t begin, size_t end)
{
    const map_job *j = arg;
    j->map(j->attrs, j->x + begin, j->y + begin, end - begin);
    return SQZ_OK;
}

sqz_status sqz_ew_run(const sqz_call *c, sqz_map_fn map)
{
    map_job j = {map, c->attrs, SQZ_F32P(c->in[0]), SQZ_F32P(c->out[0])};
    return sqz_parallel(c->ctx, c->out[0]->count, GRAIN, map_piece, &j);
}

/* ---- broadcasting ---- */

#define BLOCK 256 /* elements that a repeated operand is spread to */

/* Output dimensions with the steps of both operands (0: repeated); neighbors that step alike are
 * one dimension, so that equal shapes are a single row. */
typedef struct walk {
    int n_dim;
    size_t dim[SQZ_MAX_RANK], step_a[SQZ_MAX_RANK], step_b[SQZ_MAX_RANK];
    size_t elem;
    const unsigned char *a, *b;
    unsigned char *y;
    sqz_row_fn row;
    const void *arg;
} walk;

/* Step of each output axis in an operand of shape s, in elements. */
static void steps_of(const sqz_shape *s, const sqz_shape *out, size_t step[SQZ_MAX_RANK])
{
    size_t at = 1;
    for (int32_t i = out->rank - 1; i >= 0; i--) {
        int32_t k = i - (out->rank - s->rank);
        step[i] = k < 0 || s->dim[k] == 1 ? 0 : at;
        at *= k < 0 ? 1 : (size_t)s->dim[k];
    }
}

static void plan(const sqz_shape *a, const sqz_shape *b, const sqz_shape *out, walk *w)
{
    size_t sa[SQZ_MAX_RANK], sb[SQZ_MAX_RANK];
    steps_of(a, out, sa);
    steps_of(b, out, sb);
    for (int32_t i = 0; i < out->rank; i++) {
        size_t d = (size_t)out->dim[i];
        int k = w->n_dim - 1;
        if (d == 1)
            continue;
        if (k < 0 || w->step_a[k] != sa[i] * d || w->step_b[k] != sb[i] * d) {
            k = w->n_dim++;
            w->dim[k] = 1;
        }
        w->dim[k] *= d;
        w->step_a[k] = sa[i];
        w->step_b[k] = sb[i];
    }
    if (w->n_dim == 0) { /* one element */
        w->n_dim = 1;
        w->dim[0] = w->step_a[0] = w->step_b[0] = 1;
    }
}

static void spread(unsigned char *block, const unsigned char *from, size_t elem, size_t n)
{
    if (elem == 1)
        memset(block, *from, n);
    else
        for (size_t i = 0; i < n; i++)
            memcpy(block + i * elem, from, elem);
}

static void run_row(const walk *w, const unsigned char *a, const unsigned char *b, unsigned char *y,
                    size_t n)
{
    size_t sa = w->step_a[w->n_dim - 1], sb = w->step_b[w->n_dim - 1], e = w->elem;
    _Alignas(8) unsigned char block[BLOCK * 8]; /* at most one operand is repeated */
    if (sa && sb) {
        w->row(w->arg, a, b, y, n);
        return;
    }
    spread(block, sa ? b : a, e, SQZ_MIN(n, (size_t)BLOCK));
    for (size_t i = 0; i < n; i += BLOCK)
        w->row(w->arg, sa ? a + i * e : block, sb ? b + i * e : block, y + i * e,
               SQZ_MIN(n - i, (size_t)BLOCK));
}

static sqz_status walk_piece(void *arg, size_t begin, size_t end)
{
    const walk *w = arg;
    const int last = w->n_dim - 1;
    for (size_t at = begin, n; at < end; at += n) {
        size_t col = at % w->dim[last], row = at / w->dim[last];
        size_t a = col * w->step_a[last], b = col * w->step_b[last];
        n = SQZ_MIN(w->dim[last] - col, end - at);
        for (int d = last - 1; d >= 0; d--) {
            a += row % w->dim[d] * w->step_a[d];
            b += row % w->dim[d] * w->step_b[d];
            row /= w->dim[d];
        }
        run_row(w, w->a + a * w->elem, w->b + b * w->elem, w->y + at * w->elem, n);
    }
    return SQZ_OK;
}

sqz_status sqz_ew_broadcast(const sqz_call *c, size_t elem, sqz_row_fn row, const void *arg)
{
    walk w = {.elem = elem,
              .a = c->in[0]->data,
              .b = c->in[1]->data,
              .y = c->out[0]->data,
              .row = row,
              .arg = arg};
    plan(&c->in[0]->shape, &c->in[1]->shape, &c->out[0]->shape, &w);
    return sqz_parallel(c->ctx, c->out[0]->count, GRAIN, walk_piece, &w);
}

static sqz_row_fn row_of(const sqz_rows *rows, sqz_dtype d)
{
    return d == SQZ_F32 ? rows->f32 : d == SQZ_S32 ? rows->s32 : d == SQZ_S64 ? rows->s64 : NULL;
}

sqz_status sqz_ew_infer2(sqz_infer *q, const sqz_rows *rows)
{
    const sqz_value *a = q->in[0], *b = q->in[1];
    if (a->dtype != b->dtype)
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "inputs are %s and %s, expected one type",
                        sqz_dtype_name(a->dtype), sqz_dtype_name(b->dtype));
    if (!a->quant && !row_of(rows, a->dtype))
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "inputs are %s, expected f32%s",
                        sqz_dtype_name(a->dtype), rows->s64 ? ", s32 or s64" : "");
    return sqz_shape_broadcast(q->ctx, &a->shape, &b->shape, &q->out[0]);
}

sqz_status sqz_ew_run2(const sqz_call *c, const sqz_rows *rows)
{
    sqz_dtype d = c->in[0]->dtype;
    return sqz_ew_broadcast(c, sqz_dtype_bits(d) / 8, row_of(rows, d), c->attrs);
}

/* ---- import of variadic operators ---- */

sqz_status sqz_ew_chain_open(sqz_import *im, const sqz_op *op, unsigned n, sqz_vid *out)
{
    *out = im->in[0];
    for (unsigned i = 1; i < n; i++) {
        const sqz_vid in[] = {*out, im->in[i]};
        SQZ_TRY(sqz_graph_node(im->g, op, NULL, NULL, in, 2, NULL, 1, SQZ_NONE, out));
    }
    return SQZ_OK;
}

sqz_status sqz_ew_chain(sqz_import *im, const sqz_op *op)
{
    if (im->n_in == 0)
        return sqz_fail(im->g->ctx, SQZ_E_FORMAT, "no inputs, expected at least one");
    if (im->n_in == 1)
        return sqz_import_node(im, sqz_op_find("identity"), NULL, im->in, 1);
    sqz_vid in[] = {SQZ_NONE, im->in[im->n_in - 1]};
    SQZ_TRY(sqz_ew_chain_open(im, op, im->n_in - 1, &in[0]));
    return sqz_import_node(im, op, NULL, in, 2);
}
