/* grad.c: see grad.h. */
#include "ops/grad.h"
#include "ops/move.h"
#include "ops/walk.h"
#include <string.h>

#define GRAIN 16384 /* elements of one piece of work */

void sqz_grad_begin(const sqz_grad_call *c, unsigned k)
{
    if (sqz_grad_wants(c, k) && !sqz_grad_adds(c, k) && c->in[k]->count)
        memset(c->in_grad[k], 0, c->in[k]->count * sizeof(float));
}

bool sqz_grad_none(const sqz_grad_call *c)
{
    bool none = true;
    for (unsigned k = 0; k < c->n_out; k++)
        none = none && !c->out_grad[k];
    for (unsigned k = 0; none && k < c->n_in; k++)
        sqz_grad_begin(c, k);
    return none;
}

sqz_prep sqz_grad_as_prep(const sqz_grad_prep *p)
{
    static const sqz_quant *const none[UINT8_MAX]; /* all NULL: float */
    return (sqz_prep){.ctx = p->ctx,
                      .arena = p->arena,
                      .attrs = p->attrs,
                      .n_in = p->n_in,
                      .n_out = p->n_out,
                      .in = p->in,
                      .out = p->out,
                      .in_q = none,
                      .out_q = none};
}

/* ---- unary ---- */

typedef struct unary {
    const sqz_grad_call *c;
    sqz_ew_grad_fn fn;
    const float *v;
} unary;

static sqz_status unary_piece(void *arg, size_t begin, size_t end)
{
    const unary *u = arg;
    const sqz_grad_call *c = u->c;
    u->fn(c->attrs, u->v ? u->v + begin : NULL, c->out_grad[0] + begin, c->in_grad[0] + begin,
          end - begin, sqz_grad_adds(c, 0));
    return SQZ_OK;
}

sqz_status sqz_ew_grad(const sqz_grad_call *c, sqz_ew_grad_fn fn, bool of_out)
{
    unary u = {c, fn, SQZ_F32P(of_out ? c->out[0] : c->in[0])};
    if (!sqz_grad_wants(c, 0) || sqz_grad_none(c))
        return SQZ_OK;
    return sqz_parallel(c->ctx, c->in[0]->count, GRAIN, unary_piece, &u);
}

/* ---- two operands ---- */

#define BLOCK 256

/* The gradient of operand k: output elements along the walk, where dimension `cut` belongs to the
 * pieces; what the operand repeats is added up in order. */
typedef struct binary {
    const sqz_grad_call *c;
    sqz_row_grad_fn fn;
    sqz_walk w;
    unsigned k;
    int cut;
    size_t out_step[SQZ_MAX_RANK];
} binary;

static void binary_run(const binary *j, size_t at, const size_t from[SQZ_WALK_IN], size_t n)
{
    const int last = j->w.n_dim - 1;
    const size_t sa = j->w.step[last][0], sb = j->w.step[last][1], sd = j->w.step[last][j->k];
    const float *a = SQZ_F32P(j->c->in[0]), *b = SQZ_F32P(j->c->in[1]);
    float *d = j->c->in_grad[j->k] + from[j->k], part[BLOCK];
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t m = SQZ_MIN(n - i, (size_t)BLOCK);
        j->fn(j->k, j->c->out_grad[0] + at + i, a ? a + from[0] + i * sa : NULL, sa,
              b ? b + from[1] + i * sb : NULL, sb, part, m);
        float sum = 0;
        for (size_t t = 0; sd && t < m; t++)
            d[i + t] += part[t];
        for (size_t t = 0; !sd && t < m; t++)
            sum += part[t];
        if (!sd)
            *d += sum;
    }
}

/* Indices [begin, end) of dimension `cut`, all of the others. */
static sqz_status binary_piece(void *arg, size_t begin, size_t end)
{
    const binary *j = arg;
    const int last = j->w.n_dim - 1;
    size_t dim[SQZ_MAX_RANK], index[SQZ_MAX_RANK] = {0}, rows = 1;
    for (int d = 0; d <= last; d++) {
        dim[d] = d == j->cut ? end - begin : j->w.dim[d];
        rows *= d == last ? 1 : dim[d];
    }
    for (size_t r = 0; r < rows; r++) {
        size_t at = 0, from[SQZ_WALK_IN] = {0};
        for (int d = 0; d <= last; d++) {
            const size_t i = index[d] + (d == j->cut ? begin : 0);
            at += i * j->out_step[d];
            from[0] += i * j->w.step[d][0];
            from[1] += i * j->w.step[d][1];
        }
        binary_run(j, at, from, dim[last]);
        for (int d = last - 1; d >= 0 && ++index[d] == dim[d]; d--)
            index[d] = 0;
    }
    return SQZ_OK;
}

static sqz_status binary_one(binary *j)
{
    size_t all = 1, most = 0;
    j->cut = -1;
    for (int d = j->w.n_dim - 1; d >= 0; d--) {
        j->out_step[d] = all;
        all *= j->w.dim[d];
        if (j->w.step[d][j->k] && j->w.dim[d] > most) {
            most = j->w.dim[d];
            j->cut = d;
        }
    }
    sqz_grad_begin(j->c, j->k);
    if (all == 0)
        return SQZ_OK;
    if (j->cut < 0) /* one number: a single sum */
        return binary_piece(j, 0, 0);
    size_t grain = SQZ_MAX(GRAIN / SQZ_MAX(all / most, (size_t)1), (size_t)1);
    if (j->cut == j->w.n_dim - 1) /* columns: whole lines of the cache */
        grain = SQZ_MAX(grain, (size_t)64);
    return sqz_parallel(j->c->ctx, most, grain, binary_piece, j);
}

sqz_status sqz_ew_grad2(const sqz_grad_call *c, sqz_row_grad_fn fn)
{
    binary j = {.c = c, .fn = fn};
    if (sqz_grad_none(c))
        return SQZ_OK;
    sqz_walk_plan(&j.w, c->in, 2, &c->out[0]->shape);
    for (j.k = 0; j.k < 2; j.k++)
        if (sqz_grad_wants(c, j.k))
            SQZ_TRY(binary_one(&j));
    return SQZ_OK;
}

/* ---- moves ---- */

static sqz_status copy_piece(void *arg, size_t begin, size_t end)
{
    const sqz_grad_call *c = arg;
    const float *g = c->out_grad[0];
    float *d = c->in_grad[0];
    if (!sqz_grad_adds(c, 0))
        memmove(d + begin, g + begin, (end - begin) * sizeof *d);
    else
        for (size_t i = begin; i < end; i++)
            d[i] += g[i];
    return SQZ_OK;
}

sqz_status sqz_grad_copy(const sqz_grad_call *c)
{
    sqz_grad_call call = *c;
    if (!sqz_grad_wants(c, 0) || sqz_grad_none(c))
        return SQZ_OK;
    return sqz_parallel(c->ctx, c->in[0]->count, GRAIN, copy_piece, &call);
}

void sqz_grad_rows(float *to, size_t ld_to, const float *from, size_t ld_from, size_t n,
                   size_t rows, bool add)
{
    for (size_t r = 0; r < rows; r++, to += ld_to, from += ld_from)
        if (!add && n)
            memcpy(to, from, n * sizeof *to);
        else
            for (size_t i = 0; i < n; i++)
                to[i] += from[i];
}

sqz_status sqz_maps_grad_prepare(sqz_grad_prep *p, sqz_status (*maps)(sqz_prep *p))
{
    sqz_prep run = sqz_grad_as_prep(p);
    SQZ_TRY(maps(&run));
    p->state = run.state;
    return SQZ_OK;
}

/* Input offset of the elements that are copied whole at flat index `i` of the mapped output axes;
 * false: new ones. */
static bool mapped(const sqz_maps *m, size_t i, size_t *from)
{
    size_t step = m->block;
    *from = 0;
    for (int32_t a = m->n_mapped - 1; a >= 0; a--) {
        const int64_t at = m->map[a][i % (size_t)m->out[a]];
        i /= (size_t)m->out[a];
        if (at < 0)
            return false;
        *from += (size_t)at * step;
        step *= (size_t)m->in[a];
    }
    return true;
}

static sqz_status maps_piece(void *arg, size_t begin, size_t end)
{
    const sqz_grad_call *c = arg;
    const sqz_maps *m = c->state;
    size_t inner = 1, from;
    for (int32_t a = 1; a < m->n_mapped; a++)
        inner *= (size_t)m->out[a];
    if (m->n_mapped == 0)
        end = SQZ_MIN(end, (size_t)1);
    for (size_t i = begin * inner; i < end * inner; i++)
        if (mapped(m, i, &from))
            for (size_t t = 0; t < m->block; t++)
                c->in_grad[0][from + t] += c->out_grad[0][i * m->block + t];
    return SQZ_OK;
}

/* No input coordinate of axis 0 is read twice: pieces of outputs do not meet. */
static bool is_injective(const sqz_maps *m)
{
    for (int64_t i = 1; i < m->out[0]; i++)
        if (m->map[0][i] >= 0 && m->map[0][i] != m->map[0][i - 1] + 1 && m->map[0][i - 1] >= 0)
            return false;
    return true;
}

void sqz_maps_grad_fill(const sqz_grad_call *c, unsigned k)
{
    const sqz_maps *m = c->state;
    const float *g = c->out_grad[0];
    double sum = 0;
    size_t from;
    if (!sqz_grad_wants(c, k) || !g)
        return;
    for (size_t i = 0; i < c->out[0]->count; i += m->block)
        if (!mapped(m, i / m->block, &from))
            for (size_t t = 0; t < m->block; t++)
                sum += (double)g[i + t];
    *c->in_grad[k] = (sqz_grad_adds(c, k) ? *c->in_grad[k] : 0) + (float)sum;
}

sqz_status sqz_maps_grad(const sqz_grad_call *c)
{
    const sqz_maps *m = c->state;
    sqz_grad_call call = *c;
    if (!sqz_grad_wants(c, 0) || sqz_grad_none(c))
        return SQZ_OK;
    sqz_grad_begin(c, 0);
    if (c->out[0]->count == 0)
        return SQZ_OK;
    const size_t n = m->n_mapped ? (size_t)m->out[0] : 1;
    if (m->n_mapped == 0 || !is_injective(m))
        return maps_piece(&call, 0, n);
    return sqz_parallel(c->ctx, n, SQZ_MAX(GRAIN / (c->out[0]->count / n), (size_t)1), maps_piece,
                        &call);
}
