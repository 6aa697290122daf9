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

/* The sentence about an input whose type is not in the table. */
static sqz_status refuse(const sqz_infer *q, unsigned i, bool floats, bool wholes)
{
    const char *want = floats && wholes ? "floats or integers"
                       : floats         ? "floats"
                       : wholes         ? "integers"
                                        : "bool";
    return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "input %u is %s, expected %s", i,
                    sqz_dtype_name(q->in[i]->dtype), want);
}

sqz_status sqz_ew_infer(sqz_infer *q, const sqz_ew_maps *maps)
{
    const sqz_dtype d = q->in[0]->dtype;
    q->out[0] = q->in[0]->shape;
    if (q->in[0]->quant || maps->of[d] || (sqz_dtype_is_float(d) && maps->of[SQZ_F32]))
        return SQZ_OK;
    return refuse(q, 0, maps->of[SQZ_F32] != NULL, maps->of[SQZ_S64] || maps->of[SQZ_U64]);
}

typedef struct map_job {
    sqz_map_fn map;
    const void *attrs;
    const unsigned char *x;
    unsigned char *y;
    size_t x_size, y_size; /* bytes of an element */
} map_job;

static sqz_status map_piece(void *arg, size_t begin, size_t end)
{
    const map_job *j = arg;
    j->map(j->attrs, j->x + begin * j->x_size, j->y + begin * j->y_size, end - begin);
    return SQZ_OK;
}

static size_t size_of(const sqz_tensor *t) { return sqz_dtype_bits(t->dtype) / 8; }

sqz_status sqz_ew_run(const sqz_call *c, const sqz_ew_maps *maps)
{
    const sqz_tensor *x = c->in[0], *y = c->out[0];
    map_job j = {maps->of[x->dtype], c->attrs, x->data, y->data, size_of(x), size_of(y)};
    return sqz_parallel(c->ctx, y->count, GRAIN, map_piece, &j);
}

sqz_status sqz_ew_part(const sqz_call *c, const sqz_ew_maps *maps, size_t begin, size_t end)
{
    const sqz_tensor *x = c->in[0], *y = c->out[0];
    map_job j = {maps->of[x->dtype], c->attrs, x->data, y->data, size_of(x), size_of(y)};
    return c->state ? sqz_lut_part(c, begin, end) : map_piece(&j, begin, end);
}

/* ---- broadcasting ---- */

#define BLOCK   256 /* elements that a repeated operand is spread to */
#define MOST_IN 3

/* Output dimensions with the steps of the operands (0: repeated); neighbors that step alike in all
 * of them are one dimension, so that equal shapes are a single row. */
typedef struct walk {
    int n_dim;
    unsigned n_in;
    bool repeats; /* along the last dimension, some operand is one element */
    size_t dim[SQZ_MAX_RANK], step[SQZ_MAX_RANK][MOST_IN];
    size_t size[MOST_IN], y_size; /* bytes of an element */
    const unsigned char *x[MOST_IN];
    unsigned char *y;
    sqz_row_fn row;
    const void *arg;
} walk;

/* Step of each output axis in an operand of shape s, in elements. */
static void steps_of(const sqz_shape *s, const sqz_shape *out, unsigned k,
                     size_t step[SQZ_MAX_RANK][MOST_IN])
{
    size_t at = 1;
    for (int32_t i = out->rank - 1; i >= 0; i--) {
        int32_t d = i - (out->rank - s->rank);
        step[i][k] = d < 0 || s->dim[d] == 1 ? 0 : at;
        at *= d < 0 ? 1 : (size_t)s->dim[d];
    }
}

static void plan(const sqz_tensor *const *in, const sqz_shape *out, walk *w)
{
    size_t step[SQZ_MAX_RANK][MOST_IN];
    for (unsigned k = 0; k < w->n_in; k++)
        steps_of(&in[k]->shape, out, k, step);
    for (int32_t i = 0; i < out->rank; i++) {
        const size_t d = (size_t)out->dim[i];
        int last = w->n_dim - 1;
        bool alike = last >= 0;
        if (d == 1)
            continue;
        for (unsigned k = 0; alike && k < w->n_in; k++)
            alike = w->step[last][k] == step[i][k] * d;
        if (!alike)
            w->dim[last = w->n_dim++] = 1;
        w->dim[last] *= d;
        for (unsigned k = 0; k < w->n_in; k++)
            w->step[last][k] = step[i][k];
    }
    if (w->n_dim == 0) { /* one element */
        w->n_dim = 1;
        w->dim[0] = 1;
        for (unsigned k = 0; k < w->n_in; k++)
            w->step[0][k] = 1;
    }
}

static void spread(unsigned char *block, const unsigned char *from, size_t size, size_t n)
{
    if (size == 1)
        memset(block, *from, n);
    else
        for (size_t i = 0; i < n; i++)
            memcpy(block + i * size, from, size);
}

/* Operands 0 and 1 of two; of three, the first is the argument. */
static void call_row(const walk *w, const unsigned char *const x[MOST_IN], unsigned char *y,
                     size_t n)
{
    if (w->n_in == 2)
        w->row(w->arg, x[0], x[1], y, n);
    else
        w->row(x[0], x[1], x[2], y, n);
}

/* A row in which some operands are one element each. */
static void run_repeating(const walk *w, const unsigned char *const from[MOST_IN], unsigned char *y,
                          size_t n)
{
    _Alignas(8) unsigned char block[MOST_IN - 1][BLOCK * 8]; /* one operand at least is whole */
    const unsigned char *x[MOST_IN] = {from[0], from[1], from[2]};
    const size_t *step = w->step[w->n_dim - 1];
    unsigned used = 0;
    for (unsigned k = 0; k < w->n_in; k++)
        if (!step[k]) {
            spread(block[used], from[k], w->size[k], SQZ_MIN(n, (size_t)BLOCK));
            x[k] = block[used++];
        }
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t m = SQZ_MIN(n - i, (size_t)BLOCK);
        call_row(w, x, y + i * w->y_size, m);
        for (unsigned k = 0; k < w->n_in; k++)
            x[k] += step[k] * m * w->size[k];
    }
}

static sqz_status walk_piece(void *arg, size_t begin, size_t end)
{
    const walk *w = arg;
    const int last = w->n_dim - 1;
    for (size_t at = begin, n; at < end; at += n) {
        size_t col = at % w->dim[last], row = at / w->dim[last], from[MOST_IN];
        const unsigned char *x[MOST_IN] = {0};
        n = SQZ_MIN(w->dim[last] - col, end - at);
        for (unsigned k = 0; k < MOST_IN; k++) /* steps of operands that are not there are 0 */
            from[k] = col * w->step[last][k];
        for (int d = last - 1; d >= 0; d--) {
            const size_t i = row % w->dim[d];
            for (unsigned k = 0; k < MOST_IN; k++)
                from[k] += i * w->step[d][k];
            row /= w->dim[d];
        }
        for (unsigned k = 0; k < w->n_in; k++)
            x[k] = w->x[k] + from[k] * w->size[k];
        if (w->repeats)
            run_repeating(w, x, w->y + at * w->y_size, n);
        else
            call_row(w, x, w->y + at * w->y_size, n);
    }
    return SQZ_OK;
}

static walk walk_of(const sqz_call *c, unsigned n_in, sqz_row_fn row, const void *arg)
{
    walk w = {.n_in = n_in, .y = c->out[0]->data, .row = row, .arg = arg};
    w.y_size = size_of(c->out[0]);
    for (unsigned k = 0; k < n_in; k++) {
        w.x[k] = c->in[k]->data;
        w.size[k] = size_of(c->in[k]);
    }
    plan(c->in, &c->out[0]->shape, &w);
    for (unsigned k = 0; k < n_in; k++)
        w.repeats = w.repeats || !w.step[w.n_dim - 1][k];
    return w;
}

sqz_status sqz_ew_broadcast(const sqz_call *c, sqz_row_fn row, const void *arg)
{
    walk w = walk_of(c, 2, row, arg);
    return sqz_parallel(c->ctx, c->out[0]->count, 4 * GRAIN / w.y_size, walk_piece, &w);
}

sqz_status sqz_ew_broadcast_part(const sqz_call *c, sqz_row_fn row, const void *arg, size_t begin,
                                 size_t end)
{
    const sqz_tensor *a = c->in[0], *b = c->in[1], *y = c->out[0];
    if (a->count == y->count && b->count == y->count) { /* nothing repeats: no walk to plan */
        const size_t from = begin * size_of(a);
        row(arg, (const char *)a->data + from, (const char *)b->data + from,
            (char *)y->data + begin * size_of(y), end - begin);
        return SQZ_OK;
    }
    walk w = walk_of(c, 2, row, arg);
    return walk_piece(&w, begin, end);
}

sqz_status sqz_ew_broadcast3(const sqz_call *c, sqz_row_fn row)
{
    walk w = walk_of(c, 3, row, NULL);
    return sqz_parallel(c->ctx, c->out[0]->count, GRAIN, walk_piece, &w);
}

/* ---- binary ---- */

sqz_status sqz_ew_infer2(sqz_infer *q, const sqz_rows *rows)
{
    const sqz_value *a = q->in[0], *b = q->in[1];
    const bool floats = rows->of[SQZ_F32] != NULL;
    if (a->dtype != b->dtype)
        return sqz_fail(q->ctx, SQZ_E_UNSUPPORTED, "inputs are %s and %s, expected one type",
                        sqz_dtype_name(a->dtype), sqz_dtype_name(b->dtype));
    if (!a->quant && !rows->of[a->dtype] && !(floats && sqz_dtype_is_float(a->dtype)))
        return refuse(q, 0, floats, rows->of[SQZ_S64] || rows->of[SQZ_U64]);
    return sqz_shape_broadcast(q->ctx, &a->shape, &b->shape, &q->out[0]);
}

sqz_status sqz_ew_run2(const sqz_call *c, const sqz_rows *rows)
{
    return sqz_ew_broadcast(c, rows->of[c->in[0]->dtype], c->attrs);
}

sqz_status sqz_ew_part2(const sqz_call *c, const sqz_rows *rows, size_t begin, size_t end)
{
    return sqz_ew_broadcast_part(c, rows->of[c->in[0]->dtype], c->attrs, begin, end);
}

sqz_status sqz_ew_no_zero(const sqz_call *c)
{
    const sqz_tensor *b = c->in[1];
    static const unsigned char zero[8] = {0};
    const size_t size = size_of(b);
    if (sqz_dtype_is_float(b->dtype))
        return SQZ_OK;
    for (size_t i = 0; i < b->count; i++)
        if (memcmp((const char *)b->data + i * size, zero, size) == 0)
            return sqz_fail(c->ctx, SQZ_E_ARG, "division of integers by zero at element %zu", i);
    return SQZ_OK;
}
