/* norm_grad.c: the gradient of layer_norm. With z = (x - mean) * inverse and u = g * scale, each
 * row of n: dx = inverse * (u - mean(u) - z * mean(u * z)); dscale = sum of g * z, dbias = sum of g
 * over what they are repeated for. */
#include "ops/grad.h"
#include "ops/linear.h"
#include "ops/norm.h"
#include "ops/walk.h"
#include <string.h>

enum {
    STRIP = 64, /* rows whose parameters' terms are added up in float */
    PIECES = 16,
    LANES = 16 /* sums of a row beside each other */
};

typedef struct state {
    size_t rows, n;
    double epsilon;
    size_t lines; /* rows of a piece; a multiple of STRIP */
    size_t sums;  /* bytes of a piece's sums; they lie behind the rows' statistics */
} state;

sqz_status sqz_layer_norm_grad_prepare(sqz_grad_prep *p)
{
    const sqz_row_norm_attrs *at = p->attrs;
    const sqz_shape *x = &p->in[0]->shape;
    state *s = sqz_arena_alloc(p->arena, 1, sizeof *s);
    int32_t axis;
    if (!s)
        return SQZ_E_NOMEM;
    SQZ_TRY(sqz_axis(p->ctx, at->axis, x->rank, &axis));
    s->n = 1;
    for (int32_t d = axis; d < x->rank; d++)
        s->n *= (size_t)x->dim[d];
    s->rows = s->n ? p->in[0]->count / s->n : 0;
    s->epsilon = at->epsilon;
    p->state = s;
    s->lines = ((s->rows + PIECES - 1) / PIECES + STRIP - 1) / STRIP * STRIP;
    if (!sqz_mul(s->n, 2 * (sizeof(double) + sizeof(float)), &s->sums) || s->sums > SIZE_MAX / 64)
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the workspace of the gradient is too large");
    s->sums = sqz_scratch_round(s->sums);
    if (!sqz_mul(s->rows, 2 * sizeof(double), &p->scratch_bytes) ||
        !sqz_add(p->scratch_bytes, PIECES * s->sums + SQZ_ALIGN, &p->scratch_bytes))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the workspace of the gradient is too large");
    return SQZ_OK;
}

typedef struct job {
    const sqz_grad_call *c;
    const state *s;
    sqz_walk scale, bias; /* of the parameters along x */
    double *mean, *inverse;
} job;

static size_t place(const sqz_walk *w, size_t at)
{
    size_t from[SQZ_WALK_IN];
    sqz_walk_at(w, at, from);
    return from[0];
}

static double scaled(const job *j, size_t at)
{
    const sqz_tensor *scale = j->c->n_in > 1 ? j->c->in[1] : NULL;
    const double g = (double)j->c->out_grad[0][at];
    return scale ? g * (double)SQZ_F32P(scale)[place(&j->scale, at)] : g;
}

static sqz_status row_piece(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const size_t n = j->s->n;
    const bool want = sqz_grad_wants(j->c, 0), add = sqz_grad_adds(j->c, 0);
    for (size_t r = begin; r < end; r++) {
        const float *x = SQZ_F32P(j->c->in[0]) + r * n;
        double sum = 0, square = 0, u = 0, uz = 0;
        for (size_t i = 0; i < n; i++)
            sum += (double)x[i];
        const double mean = sum / (double)n;
        for (size_t i = 0; i < n; i++)
            square += ((double)x[i] - mean) * ((double)x[i] - mean);
        const double inverse = 1 / sqrt(square / (double)n + j->s->epsilon);
        j->mean[r] = mean;
        j->inverse[r] = inverse;
        for (size_t i = 0; want && i < n; i++) {
            u += scaled(j, r * n + i);
            uz += scaled(j, r * n + i) * ((double)x[i] - mean) * inverse;
        }
        for (size_t i = 0; want && i < n; i++) {
            const double z = ((double)x[i] - mean) * inverse;
            const double d = inverse * (scaled(j, r * n + i) - u / (double)n - z * uz / (double)n);
            float *to = j->c->in_grad[0] + r * n + i;
            *to = (add ? *to : 0) + (float)d;
        }
    }
    return SQZ_OK;
}

/* Element by element, in order: parameters are few. */
static void parameters(const job *j)
{
    const sqz_grad_call *c = j->c;
    sqz_grad_begin(c, 1);
    sqz_grad_begin(c, 2);
    for (size_t r = 0; r < j->s->rows; r++)
        for (size_t i = 0; i < j->s->n; i++) {
            const size_t at = r * j->s->n + i;
            const double g = (double)c->out_grad[0][at];
            const double z = ((double)SQZ_F32P(c->in[0])[at] - j->mean[r]) * j->inverse[r];
            if (sqz_grad_wants(c, 1))
                c->in_grad[1][place(&j->scale, at)] += (float)(g * z);
            if (sqz_grad_wants(c, 2))
                c->in_grad[2][place(&j->bias, at)] += (float)g;
        }
}

/* ---- the same by vectors, where scale and bias have one number for each of a row ---- */

typedef struct lanes {
    const job *j;
    const float *scale; /* NULL: 1 */
    char *sums;         /* of the pieces */
} lanes;

/* Sum of term(i) over a row, in LANES chains that are added up in order. */
#define ROW_SUM(out, n, ...)                                                                       \
    do {                                                                                           \
        float lane_[LANES] = {0};                                                                  \
        size_t i = 0;                                                                              \
        for (; i + LANES <= (n); i += LANES)                                                       \
            for (size_t l_ = 0; l_ < LANES; l_++) {                                                \
                const size_t e = i + l_;                                                           \
                lane_[l_] += (__VA_ARGS__);                                                        \
            }                                                                                      \
        for (; i < (n); i++) {                                                                     \
            const size_t e = i;                                                                    \
            lane_[0] += (__VA_ARGS__);                                                             \
        }                                                                                          \
        (out) = 0;                                                                                 \
        for (size_t l_ = 0; l_ < LANES; l_++)                                                      \
            (out) += (double)lane_[l_];                                                            \
    } while (0)

/* One row; its terms go to ds and db. */
static void row(const lanes *q, size_t r, float *ds, float *db)
{
    const sqz_grad_call *c = q->j->c;
    const size_t n = q->j->s->n;
    const float *x = SQZ_F32P(c->in[0]) + r * n, *g = c->out_grad[0] + r * n, *w = q->scale;
    double sum, square, su = 0, sz = 0;
    ROW_SUM(sum, n, x[e]);
    const float mean = (float)(sum / (double)n);
    ROW_SUM(square, n, (x[e] - mean) * (x[e] - mean));
    const float inverse = (float)(1 / sqrt(square / (double)n + q->j->s->epsilon));
    for (size_t i = 0; ds && i < n; i++)
        ds[i] += g[i] * ((x[i] - mean) * inverse);
    for (size_t i = 0; db && i < n; i++)
        db[i] += g[i];
    if (!sqz_grad_wants(c, 0))
        return;
    if (w) {
        ROW_SUM(su, n, g[e] * w[e]);
        ROW_SUM(sz, n, g[e] * w[e] * ((x[e] - mean) * inverse));
    } else {
        ROW_SUM(su, n, g[e]);
        ROW_SUM(sz, n, g[e] * ((x[e] - mean) * inverse));
    }
    const float u = (float)(su / (double)n), z = (float)(sz / (double)n);
    float *d = c->in_grad[0] + r * n, part[SQZ_GRAD_BLOCK];
    const bool add = sqz_grad_adds(c, 0);
    for (size_t at = 0; at < n; at += SQZ_GRAD_BLOCK) {
        const size_t m = SQZ_MIN(n - at, SQZ_GRAD_BLOCK);
        for (size_t i = 0; i < m; i++)
            part[i] = w ? g[at + i] * w[at + i] : g[at + i];
        for (size_t i = 0; i < m; i++)
            part[i] = inverse * (part[i] - u - ((x[at + i] - mean) * inverse) * z);
        for (size_t i = 0; i < m; i++)
            d[at + i] = add ? d[at + i] + part[i] : part[i];
    }
}

static sqz_status rows_piece(void *arg, size_t begin, size_t end)
{
    const lanes *q = arg;
    const state *s = q->j->s;
    const size_t n = s->n;
    for (size_t p = begin; p < end; p++) {
        double *sum = (double *)(void *)(q->sums + p * s->sums);
        float *strip = (float *)(void *)(sum + 2 * n);
        const size_t last = SQZ_MIN((p + 1) * s->lines, s->rows);
        memset(sum, 0, 2 * n * sizeof *sum);
        for (size_t r = p * s->lines; r < last; r += STRIP) {
            memset(strip, 0, 2 * n * sizeof *strip);
            for (size_t t = r; t < SQZ_MIN(r + STRIP, last); t++)
                row(q, t, sqz_grad_wants(q->j->c, 1) ? strip : NULL,
                    sqz_grad_wants(q->j->c, 2) ? strip + n : NULL);
            for (size_t i = 0; i < 2 * n; i++)
                sum[i] += (double)strip[i];
        }
    }
    return SQZ_OK;
}

static sqz_status by_vectors(const job *j, char *sums)
{
    const sqz_grad_call *c = j->c;
    const state *s = j->s;
    lanes q = {j, c->n_in > 1 && c->in[1] ? SQZ_F32P(c->in[1]) : NULL, sums};
    const size_t pieces = (s->rows + s->lines - 1) / s->lines;
    SQZ_TRY(sqz_parallel(c->ctx, pieces, 1, rows_piece, &q));
    for (unsigned k = 1; k < 3; k++)
        for (size_t i = 0; sqz_grad_wants(c, k) && i < s->n; i++) {
            double sum = 0;
            for (size_t p = 0; p < pieces; p++)
                sum += ((const double *)(const void *)(sums + p * s->sums))[(k - 1) * s->n + i];
            c->in_grad[k][i] = (sqz_grad_adds(c, k) ? c->in_grad[k][i] : 0) + (float)sum;
        }
    return SQZ_OK;
}

/* Parameter k is there, and number i of it belongs to number i of every row; or it is not there. */
static bool is_a_row(const job *j, unsigned k, const sqz_walk *w)
{
    const sqz_tensor *t = j->c->n_in > k ? j->c->in[k] : NULL;
    bool all = !t || t->count == j->s->n;
    for (size_t i = 0; t && all && i < j->s->n; i++)
        all = place(w, i) == i && place(w, (j->s->rows - 1) * j->s->n + i) == i;
    return all;
}

sqz_status sqz_layer_norm_grad(const sqz_grad_call *c)
{
    const state *s = c->state;
    double *rows = c->scratch;
    job j = {.c = c, .s = s, .mean = rows, .inverse = rows + s->rows};
    if (sqz_grad_none(c) || s->n == 0)
        return SQZ_OK;
    if (c->n_out > 1 && ((c->out_grad[1] != NULL) || (c->n_out > 2 && c->out_grad[2])))
        return sqz_fail(c->ctx, SQZ_E_UNSUPPORTED,
                        "the gradient through the statistics that layer_norm hands out");
    if (c->n_in > 1 && c->in[1])
        sqz_walk_plan(&j.scale, &c->in[1], 1, &c->in[0]->shape);
    if (c->n_in > 2 && c->in[2])
        sqz_walk_plan(&j.bias, &c->in[2], 1, &c->in[0]->shape);
    if (s->rows && is_a_row(&j, 1, &j.scale) && is_a_row(&j, 2, &j.bias))
        return by_vectors(&j, (char *)c->scratch + sqz_scratch_round(2 * s->rows * sizeof(double)));
    SQZ_TRY(sqz_parallel(c->ctx, s->rows, 16384 / s->n + 1, row_piece, &j));
    if (sqz_grad_wants(c, 1) || sqz_grad_wants(c, 2))
        parameters(&j);
    return SQZ_OK;
}
