/* site_measure.c: second moments of a site's inputs and of what it should give.
 *
 * Patches are taken in blocks of BLOCK. A block is turned so that a term lies along a line; its
 * sums of products are float matrix products, added to totals in double. Panels of lines are done
 * in parallel, each by one thread, so that threads change nothing. */
#include "kernels/blas.h"
#include "quant/feed.h"
#include "quant/site_means.h"
#include <string.h>

enum { BLOCK = 512, PANEL = 64 };

typedef struct measure {
    sqz_ctx *ctx;
    sqz_flow *f;
    const sqz_site *s;
    const float *w;
    const sqz_moment_options *o;
    sqz_site_moments *m;
    float *x, *xq;   /* the input in a batch, of both sides */
    size_t *at;      /* patches of the batch that are used */
    size_t n, first; /* of them; in this block */
    size_t len;      /* of the block */
    size_t group;
    bool sums;     /* of all patches are wanted, no products */
    float *p, *pq; /* cols x BLOCK: patches of the block, turned */
    float *y;      /* rows of a group x BLOCK */
    float *sum;    /* products of a panel, one for each worker */
} measure;

/* ---- which patches ---- */

/* Of a batch of `all` patches, `n`: one at random from each of n equal pieces. */
static void choose(size_t *at, size_t all, size_t n, uint64_t seed)
{
    sqz_rng r = {.seed = seed};
    for (size_t i = 0; i < n; i++) {
        const size_t begin = (size_t)((unsigned __int128)i * all / n),
                     end = (size_t)((unsigned __int128)(i + 1) * all / n);
        at[i] = begin + (size_t)sqz_rng_below(&r, end - begin);
    }
}

/* ---- one block of one group ---- */

static sqz_status gather_lines(void *arg, size_t begin, size_t end)
{
    const measure *m = arg;
    const size_t k = m->s->cols;
    float *row = m->sum + (size_t)sqz_worker_index() * SQZ_MAX(k, (size_t)PANEL * k);
    for (size_t i = begin; i < end; i++) {
        const size_t *at = m->at + m->first + i;
        sqz_patches_gather(m->s, m->x, m->group, at, 1, row);
        for (size_t c = 0; c < k; c++)
            m->p[c * BLOCK + i] = row[c];
        if (m->xq == m->x)
            continue;
        sqz_patches_gather(m->s, m->xq, m->group, at, 1, row);
        for (size_t c = 0; c < k; c++)
            m->pq[c * BLOCK + i] = row[c];
    }
    return SQZ_OK;
}

static double sum_of(const float *x, size_t n)
{
    double s = 0;
    for (size_t i = 0; i < n; i++)
        s += (double)x[i];
    return s;
}

static sqz_status add_means(void *arg, size_t begin, size_t end)
{
    const measure *m = arg;
    for (size_t c = begin; c < end; c++) {
        m->m->mx[m->group * m->s->cols + c] += sum_of(m->p + c * BLOCK, m->len);
        m->m->mq[m->group * m->s->cols + c] += sum_of(m->pq + c * BLOCK, m->len);
    }
    return SQZ_OK;
}

/* Lines of h, from the diagonal on. */
static sqz_status add_h(void *arg, size_t begin, size_t end)
{
    const measure *m = arg;
    const size_t k = m->s->cols, n = k - begin;
    float *c = m->sum + (size_t)sqz_worker_index() * PANEL * k;
    const sqz_sgemm g = {.m = end - begin,
                         .n = n,
                         .k = m->len,
                         .a = m->pq + begin * BLOCK,
                         .b = m->pq + begin * BLOCK,
                         .lda = BLOCK,
                         .ldb = BLOCK,
                         .ldc = n,
                         .b_rows = true,
                         .c = c};
    sqz_sgemm_rows(&g, 0, g.m);
    double *h = m->m->h + m->group * k * k;
    for (size_t i = begin; i < end; i++)
        for (size_t j = i; j < k; j++)
            h[i * k + j] += (double)c[(i - begin) * n + j - begin];
    return SQZ_OK;
}

/* Rows of y = W x, of yy, my and t. */
static sqz_status add_t(void *arg, size_t begin, size_t end)
{
    const measure *m = arg;
    const size_t k = m->s->cols, wide = m->s->rows / m->s->groups, from = m->group * wide;
    float *c = m->sum + (size_t)sqz_worker_index() * PANEL * k;
    const sqz_sgemm y = {.m = end - begin,
                         .n = m->len,
                         .k = k,
                         .a = m->w + (from + begin) * k,
                         .b = m->p,
                         .lda = k,
                         .ldb = BLOCK,
                         .ldc = BLOCK,
                         .c = m->y + begin * BLOCK};
    const sqz_sgemm t = {.m = end - begin,
                         .n = k,
                         .k = m->len,
                         .a = y.c,
                         .b = m->pq,
                         .lda = BLOCK,
                         .ldb = BLOCK,
                         .ldc = k,
                         .b_rows = true,
                         .c = c};
    sqz_sgemm_rows(&y, 0, y.m);
    for (size_t r = begin; r < end; r++) {
        const float *line = m->y + r * BLOCK;
        double square = 0;
        for (size_t i = 0; i < m->len; i++)
            square += (double)line[i] * (double)line[i];
        m->m->my[from + r] += sum_of(line, m->len);
        m->m->yy[from + r] += square;
    }
    sqz_sgemm_rows(&t, 0, t.m);
    for (size_t i = 0; i < (end - begin) * k; i++)
        m->m->t[(from + begin) * k + i] += (double)c[i];
    return SQZ_OK;
}

static sqz_status see_block(measure *m)
{
    sqz_ctx *ctx = m->ctx;
    SQZ_TRY(sqz_parallel(ctx, m->len, PANEL, gather_lines, m));
    SQZ_TRY(sqz_parallel(ctx, m->s->cols, PANEL, add_means, m));
    if (m->o->means_only)
        return SQZ_OK;
    SQZ_TRY(sqz_parallel(ctx, m->s->cols, PANEL, add_h, m));
    return sqz_parallel(ctx, m->s->rows / m->s->groups, PANEL, add_t, m);
}

static sqz_status see_batch(measure *m)
{
    for (m->group = 0; m->group < m->s->groups; m->group++)
        for (m->first = 0; m->first < m->n; m->first += m->len) {
            m->len = SQZ_MIN(m->n - m->first, (size_t)BLOCK);
            SQZ_TRY(see_block(m));
        }
    m->m->n += m->n;
    return SQZ_OK;
}

/* Means over all patches, which need not be gathered. */
static sqz_status see_all(measure *m)
{
    const size_t count = sqz_flow_count(m->f, SQZ_FLOAT_SIDE, m->s->x);
    SQZ_TRY(sqz_site_sums(m->ctx, m->s, m->x, count, m->m->mx));
    SQZ_TRY(sqz_site_sums(m->ctx, m->s, m->xq, count, m->m->mq));
    m->m->n += m->n;
    return SQZ_OK;
}

/* ---- from sums to means ---- */

static void divide(double *x, size_t n, double by)
{
    for (size_t i = 0; x && i < n; i++)
        x[i] /= by;
}

/* E[W x] from E[x]: what means_only has. */
static void mean_results(const measure *m)
{
    const size_t k = m->s->cols;
    for (size_t r = 0; r < m->s->rows; r++) {
        double sum = 0;
        const double *x = m->m->mx + sqz_site_group(m->s, r) * k;
        for (size_t c = 0; c < k; c++)
            sum += (double)m->w[r * k + c] * x[c];
        m->m->my[r] = sum;
    }
}

static void center(const measure *m)
{
    const size_t k = m->s->cols;
    sqz_site_moments *s = m->m;
    for (size_t g = 0; g < s->groups; g++)
        for (size_t i = 0; i < k; i++)
            for (size_t j = i; j < k; j++)
                s->h[(g * k + i) * k + j] -= s->mq[g * k + i] * s->mq[g * k + j];
    for (size_t r = 0; r < s->rows; r++) {
        const double *mq = s->mq + sqz_site_group(m->s, r) * k;
        for (size_t c = 0; c < k; c++)
            s->t[r * k + c] -= s->my[r] * mq[c];
        s->yy[r] = SQZ_MAX(s->yy[r] - s->my[r] * s->my[r], 0.0);
    }
}

static void finish(const measure *m)
{
    sqz_site_moments *s = m->m;
    const size_t k = s->cols, g = s->groups;
    const double n = (double)s->n;
    divide(s->mx, g * k, n);
    divide(s->mq, g * k, n);
    if (m->o->means_only) {
        mean_results(m);
        return;
    }
    divide(s->my, s->rows, n);
    divide(s->yy, s->rows, n);
    divide(s->t, s->rows * k, n);
    divide(s->h, g * k * k, n);
    s->centered = m->o->centered;
    if (s->centered)
        center(m);
    for (size_t i = 0; i < g; i++)
        for (size_t a = 0; a < k; a++)
            for (size_t b = 0; b < a; b++)
                s->h[(i * k + a) * k + b] = s->h[(i * k + b) * k + a];
}

/* ---- all of it ---- */

static sqz_status make_totals(const measure *m, sqz_arena *a)
{
    sqz_site_moments *s = m->m;
    const size_t k = m->s->cols, g = m->s->groups;
    *s = (sqz_site_moments){.groups = g, .cols = k, .rows = m->s->rows};
    s->mx = sqz_arena_alloc(a, g * k, sizeof *s->mx);
    s->mq = sqz_arena_alloc(a, g * k, sizeof *s->mq);
    s->my = sqz_arena_alloc(a, s->rows, sizeof *s->my);
    if (!s->mx || !s->mq || !s->my)
        return SQZ_E_NOMEM;
    if (m->o->means_only)
        return SQZ_OK;
    size_t square;
    if (!sqz_mul(k, k, &square) || !sqz_mul(square, g, &square))
        return sqz_fail(m->ctx, SQZ_E_LIMIT, "moments of %zu terms are too large", k);
    s->h = sqz_arena_alloc(a, square, sizeof *s->h);
    s->t = sqz_arena_alloc(a, s->rows * k, sizeof *s->t);
    s->yy = sqz_arena_alloc(a, s->rows, sizeof *s->yy);
    return s->h && s->t && s->yy ? SQZ_OK : SQZ_E_NOMEM;
}

static sqz_status make_buffers(measure *m, sqz_arena *a, size_t patches)
{
    const size_t k = m->s->cols, wide = m->s->rows / m->s->groups;
    const size_t count = sqz_flow_count(m->f, SQZ_FLOAT_SIDE, m->s->x);
    m->x = sqz_arena_room(a, SQZ_MAX(count, 1u), sizeof *m->x);
    m->xq = sqz_arena_room(a, SQZ_MAX(count, 1u), sizeof *m->xq);
    if (!m->x || !m->xq)
        return SQZ_E_NOMEM;
    if (m->sums)
        return SQZ_OK;
    m->at = sqz_arena_room(a, patches + 1, sizeof *m->at);
    m->p = sqz_arena_room(a, k, BLOCK * sizeof *m->p);
    m->pq = sqz_arena_room(a, k, BLOCK * sizeof *m->pq);
    m->y = sqz_arena_room(a, wide, BLOCK * sizeof *m->y);
    m->sum = sqz_arena_room(a, (size_t)sqz_pool_threads(m->ctx->pool) * PANEL,
                            SQZ_MAX(k, (size_t)1) * sizeof *m->sum);
    return m->at && m->p && m->pq && m->y && m->sum ? SQZ_OK : SQZ_E_NOMEM;
}

static sqz_status run(measure *m, sqz_arena *temp)
{
    const size_t all = sqz_patches(m->f, m->s), batches = sqz_flow_batches(m->f);
    const uint64_t most = m->o->patches ? m->o->patches : UINT64_MAX;
    m->n = (size_t)SQZ_MIN((uint64_t)all, most / batches + (most % batches != 0));
    if (sqz_flow_count(m->f, SQZ_QUANT_SIDE, m->s->qx) !=
        sqz_flow_count(m->f, SQZ_FLOAT_SIDE, m->s->x))
        return sqz_fail(m->ctx, SQZ_E_INTERNAL, "the input of a site has two sizes");
    m->sums = m->o->means_only && m->n == all && sqz_site_sums_fit(m->s);
    SQZ_TRY(make_buffers(m, temp, m->n));
    for (size_t i = 0; i < batches; i++) {
        SQZ_TRY(sqz_flow_read(m->f, SQZ_FLOAT_SIDE, m->s->x, i, m->x));
        SQZ_TRY(sqz_flow_read(m->f, SQZ_QUANT_SIDE, m->s->qx, i, m->xq));
        if (m->sums) {
            SQZ_TRY(see_all(m));
            continue;
        }
        choose(m->at, all, m->n, m->o->seed + i);
        SQZ_TRY(see_batch(m));
    }
    if (!m->m->n)
        return sqz_fail(m->ctx, SQZ_E_SHAPE, "a site without input");
    finish(m);
    return SQZ_OK;
}

sqz_status sqz_site_measure(sqz_flow *f, const sqz_site *s, const float *weights,
                            const sqz_moment_options *o, sqz_arena *a, sqz_site_moments *out)
{
    measure m = {.ctx = a->ctx, .f = f, .s = s, .w = weights, .o = o, .m = out};
    sqz_arena temp = {.ctx = a->ctx};
    sqz_status st = make_totals(&m, a);
    if (st == SQZ_OK)
        st = run(&m, &temp);
    sqz_arena_free(&temp);
    return st;
}

void sqz_site_errors(const sqz_site_moments *m, const float *w, double *error)
{
    const size_t k = m->cols, wide = m->rows / m->groups;
    for (size_t r = 0; r < m->rows; r++) {
        const float *row = w + r * k;
        const double *h = m->h + r / wide * k * k, *t = m->t + r * k;
        double sum = m->yy[r];
        for (size_t i = 0; i < k; i++) {
            double line = 0;
            for (size_t j = 0; j < k; j++)
                line += h[i * k + j] * (double)row[j];
            sum += (double)row[i] * (line - 2 * t[i]);
        }
        error[r] = sum;
    }
}
