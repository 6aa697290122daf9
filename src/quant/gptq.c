/* gptq.c: Optimal Brain quantization in a fixed order (Frantar et al. 2022, "GPTQ"), and descent by
 * single codes.
 *
 * With H = L^T L, L lower triangular, J is a sum of squares over columns in their order,
 * sum over i of (l_ii d_i + sum over j < i of l_ij d_j)^2: column i, decided after those before it,
 * is rounded to make its square small. That is what the recursion of OBQ comes to: it moves the
 * weights that are left by minus l_ij / l_ii times the errors made. No inverse is needed, only the
 * Cholesky factor of H in reversed order. */
#include "kernels/blas.h"
#include "kernels/lapack.h"
#include "quant/refine.h"
#include <math.h>
#include <string.h>

enum { PANEL = 64, BLOCK = 128, SWEEPS = 30, RETRIES = 4, NODES = 20000 };

/* ---- J of codes ---- */

static float step_of(const sqz_rounding *r, size_t at, int code)
{
    return r->scale[at] * (float)(code - r->zero[at]) - r->w[at];
}

/* g = d H + a of rows begin .. end, d given. */
static void gradient(const sqz_rounding *r, size_t begin, size_t end, const float *d, float *g)
{
    const size_t k = r->cols, wide = r->rows / r->groups;
    while (begin < end) {
        const size_t group = begin / wide, n = SQZ_MIN(end, (group + 1) * wide) - begin;
        const sqz_sgemm p = {.m = n,
                             .n = k,
                             .k = k,
                             .a = d,
                             .b = r->hf + group * k * k,
                             .lda = k,
                             .ldb = k,
                             .ldc = k,
                             .b_rows = true,
                             .c = g};
        sqz_sgemm_rows(&p, 0, n);
        for (size_t i = 0; i < n * k; i++)
            g[i] += r->a[begin * k + i];
        begin += n;
        d += n * k;
        g += n * k;
    }
}

typedef struct panels { /* a job over rows; scratch of PANEL x cols for each worker, twice */
    const sqz_rounding *r;
    const sqz_gptq_options *o;
    const struct factor *f;
    int8_t *codes;
    double *cost;
    float *d, *g;
} panels;

static float *of_worker(const panels *p, float *scratch)
{
    return scratch + (size_t)sqz_worker_index() * PANEL * p->r->cols;
}

static sqz_status start(const sqz_rounding *r, panels *p, sqz_task_fn fn)
{
    const size_t each = (size_t)sqz_pool_threads(r->ctx->pool) * PANEL * r->cols;
    p->r = r;
    p->d = sqz_calloc(r->ctx, each, sizeof *p->d);
    p->g = sqz_calloc(r->ctx, each, sizeof *p->g);
    sqz_status s = p->d && p->g ? sqz_parallel(r->ctx, r->rows, PANEL, fn, p) : SQZ_E_NOMEM;
    sqz_free(r->ctx, p->d);
    sqz_free(r->ctx, p->g);
    return s;
}

static sqz_status cost_panel(void *arg, size_t begin, size_t end)
{
    const panels *p = arg;
    const sqz_rounding *r = p->r;
    const size_t k = r->cols;
    float *d = of_worker(p, p->d), *g = of_worker(p, p->g);
    for (size_t i = 0; i < (end - begin) * k; i++)
        d[i] = step_of(r, begin * k + i, p->codes[begin * k + i]);
    gradient(r, begin, end, d, g);
    for (size_t row = begin; row < end; row++) { /* d^T (H d + a) + d^T a */
        double sum = 0;
        for (size_t c = 0; c < k; c++) {
            const size_t i = (row - begin) * k + c;
            sum += (double)d[i] * ((double)g[i] + (double)r->a[row * k + c]);
        }
        p->cost[row] = sum;
    }
    return SQZ_OK;
}

sqz_status sqz_rounding_cost(const sqz_rounding *r, const int8_t *codes, double *cost)
{
    panels p = {.codes = (int8_t *)(uintptr_t)codes, .cost = cost};
    return start(r, &p, cost_panel);
}

static int nearest(const sqz_rounding *r, size_t at, double w)
{
    const double q = nearbyint(w / (double)r->scale[at]) + r->zero[at];
    return (int)SQZ_MAX(SQZ_MIN(q, (double)r->hi), (double)r->lo);
}

void sqz_rounding_nearest(const sqz_rounding *r, const float *target, int8_t *codes)
{
    const float *w = target ? target : r->w;
    for (size_t i = 0; i < r->rows * r->cols; i++)
        codes[i] = (int8_t)nearest(r, i, (double)w[i]);
}

/* ---- descent ---- */

/* The best change of one code after the other, as long as one lowers J. */
static void descend_row(const sqz_rounding *r, size_t row, int8_t *q, float *g)
{
    const size_t k = r->cols;
    const float *h = r->hf + row / (r->rows / r->groups) * k * k, *scale = r->scale + row * k;
    bool moved = true;
    for (int sweep = 0; sweep < SWEEPS && moved; sweep++) {
        moved = false;
        for (size_t c = 0; c < k; c++) {
            const float curve = h[c * k + c];
            const float want = curve > 0.0f ? -g[c] / (curve * scale[c]) : 0.0f;
            if (!(fabsf(want) > 0.501f))
                continue;
            const float to = SQZ_MAX(SQZ_MIN((float)q[c] + nearbyintf(want), (float)r->hi),
                                     (float)r->lo);
            const float d = (to - (float)q[c]) * scale[c];
            if (d == 0.0f || !(d * (d * curve + 2.0f * g[c]) < 0.0f))
                continue;
            q[c] = (int8_t)to;
            for (size_t j = 0; j < k; j++)
                g[j] += d * h[c * k + j];
            moved = true;
        }
    }
}

static sqz_status descend_panel(void *arg, size_t begin, size_t end)
{
    const panels *p = arg;
    const size_t k = p->r->cols;
    float *d = of_worker(p, p->d), *g = of_worker(p, p->g);
    for (size_t i = 0; i < (end - begin) * k; i++)
        d[i] = step_of(p->r, begin * k + i, p->codes[begin * k + i]);
    gradient(p->r, begin, end, d, g);
    for (size_t row = begin; row < end; row++)
        descend_row(p->r, row, p->codes + row * k, g + (row - begin) * k);
    return SQZ_OK;
}

sqz_status sqz_rounding_descend(const sqz_rounding *r, int8_t *codes)
{
    panels p = {.codes = codes};
    return start(r, &p, descend_panel);
}

/* ---- the factor of H ---- */

typedef struct factor { /* of one group */
    size_t group;
    size_t *perm;   /* column at each place of the order */
    double *l;      /* places x places, lower; H in that order = l^T l */
    float *lf;      /* the same, rows divided by their diagonal */
    double *target; /* rows of the group x cols: minimum of J */
} factor;

/* Columns by falling diagonal; equal ones stay in their order. */
static void order_columns(const sqz_rounding *r, const sqz_gptq_options *o, factor *f)
{
    const size_t k = r->cols;
    const double *h = r->h + f->group * k * k;
    for (size_t i = 0; i < k; i++) {
        size_t at = i;
        for (; o->order && at > 0 && h[f->perm[at - 1] * (k + 1)] < h[i * (k + 1)]; at--)
            f->perm[at] = f->perm[at - 1];
        f->perm[at] = i;
    }
}

/* l by the Cholesky factor of H turned round; more damping where H is not positive definite. */
static sqz_status factorize(const sqz_rounding *r, const sqz_gptq_options *o, factor *f,
                            double *turned)
{
    const size_t k = r->cols;
    const double *h = r->h + f->group * k * k;
    double mean = 0, more = 0;
    for (size_t i = 0; i < k; i++)
        mean += h[i * (k + 1)] / (double)k;
    order_columns(r, o, f);
    for (int tries = 0;; tries++) {
        for (size_t i = 0; i < k; i++)
            for (size_t j = 0; j < k; j++)
                turned[i * k + j] = h[f->perm[k - 1 - i] * k + f->perm[k - 1 - j]];
        for (size_t i = 0; i < k; i++)
            turned[i * (k + 1)] += more;
        if (sqz_cholesky(turned, k))
            break;
        if (tries == RETRIES)
            return sqz_fail(r->ctx, SQZ_E_FORMAT,
                            "the moments of its input are not positive definite, damped by %g",
                            more);
        more = more > 0 ? 10 * more : mean > 0 ? 0.01 * mean : 1.0;
    }
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j <= i; j++) {
            f->l[i * k + j] = turned[(k - 1 - j) * k + k - 1 - i];
            f->lf[i * k + j] = (float)(f->l[i * k + j] / turned[(k - 1 - i) * (k + 1)]);
        }
    return SQZ_OK;
}

/* w - H^-1 a for the rows of the group, a panel at a time to solve for. */
static void find_targets(const sqz_rounding *r, const factor *f, const double *turned)
{
    const size_t k = r->cols, wide = r->rows / r->groups, first = f->group * wide;
    bool moved = false;
    for (size_t i = 0; i < wide * k; i++)
        moved = moved || r->a[first * k + i] != 0.0f;
    for (size_t row = 0; row < wide; row++)
        for (size_t i = 0; i < k; i++)
            f->target[row * k + i] = (double)r->a[(first + row) * k + f->perm[k - 1 - i]];
    if (moved)
        sqz_cholesky_solve(turned, k, f->target, wide);
    for (size_t row = 0; row < wide; row++) { /* back from turned order to the places' */
        double *t = f->target + row * k;
        for (size_t i = 0, j = k - 1; i < j; i++, j--) {
            const double x = t[i];
            t[i] = t[j];
            t[j] = x;
        }
        for (size_t i = 0; i < k; i++)
            t[i] = (double)r->w[(first + row) * k + f->perm[i]] - t[i];
    }
}

/* ---- rounding ---- */

/* Few terms: the best codes there are, from those of the recursion on. */
static void search_row(const panels *p, const factor *f, size_t row, int8_t *codes)
{
    const sqz_rounding *r = p->r;
    const size_t k = r->cols, at = row * k;
    double l[SQZ_LATTICE_MAX * SQZ_LATTICE_MAX], center[SQZ_LATTICE_MAX];
    int x[SQZ_LATTICE_MAX];
    const double *target = f->target + (row - f->group * (r->rows / r->groups)) * k;
    for (size_t i = 0; i < k; i++) {
        for (size_t j = 0; j <= i; j++)
            l[i * k + j] = f->l[i * k + j] * (double)r->scale[at + f->perm[j]];
        center[i] = target[i] / (double)r->scale[at + f->perm[i]] + r->zero[at + f->perm[i]];
        x[i] = codes[at + f->perm[i]];
    }
    const sqz_lattice s = {
        .n = k, .lo = r->lo, .hi = r->hi, .l = l, .center = center, .nodes = NODES};
    (void)sqz_lattice_search(&s, x);
    for (size_t i = 0; i < k; i++)
        codes[at + f->perm[i]] = (int8_t)x[i];
}

/* Places b0 .. b1 of rows that have d for the places before, and `sum` of what these ask for. */
static void round_block(const sqz_rounding *r, const factor *f, size_t row, size_t b0, size_t b1,
                        const float *sum, float *d, int8_t *codes)
{
    const size_t k = r->cols;
    const double *target = f->target + (row - f->group * (r->rows / r->groups)) * k;
    double err[BLOCK];
    for (size_t i = b0; i < b1; i++) {
        const double *l = f->l + i * k;
        const size_t at = row * k + f->perm[i];
        double s = 0;
        for (size_t j = b0; j < i; j++)
            s += l[j] * err[j - b0];
        const double w = target[i] - (double)sum[i - b0] - s / l[i];
        const int q = nearest(r, at, w);
        codes[at] = (int8_t)q;
        err[i - b0] = (double)r->scale[at] * (q - r->zero[at]) - target[i];
        d[i] = (float)err[i - b0];
    }
}

/* Rows of the group, counted from its first. */
static sqz_status round_panel(void *arg, size_t begin, size_t end)
{
    const panels *p = arg;
    const sqz_rounding *r = p->r;
    const factor *f = p->f;
    const size_t k = r->cols, n = end - begin, first = f->group * (r->rows / r->groups) + begin;
    float *d = of_worker(p, p->d), *sum = of_worker(p, p->g);
    for (size_t b0 = 0; b0 < k; b0 += BLOCK) {
        const size_t b1 = SQZ_MIN(k, b0 + BLOCK), len = b1 - b0;
        const sqz_sgemm g = {.m = n,
                             .n = len,
                             .k = b0,
                             .a = d,
                             .b = f->lf + b0 * k,
                             .lda = k,
                             .ldb = k,
                             .ldc = len,
                             .b_rows = true,
                             .c = sum};
        sqz_sgemm_rows(&g, 0, n);
        for (size_t row = 0; row < n; row++)
            round_block(r, f, first + row, b0, b1, sum + row * len, d + row * k, p->codes);
    }
    for (size_t row = 0; row < n && p->o->exact && k <= SQZ_LATTICE_MAX; row++)
        search_row(p, f, first + row, p->codes);
    return SQZ_OK;
}

static sqz_status run_groups(const sqz_rounding *r, panels *p, factor *f, double *turned)
{
    p->f = f;
    for (f->group = 0; f->group < r->groups; f->group++) {
        SQZ_TRY(factorize(r, p->o, f, turned));
        find_targets(r, f, turned);
        SQZ_TRY(sqz_parallel(r->ctx, r->rows / r->groups, PANEL, round_panel, p));
    }
    return SQZ_OK;
}

static sqz_status make(const sqz_rounding *r, panels *p, factor *f, sqz_arena *a)
{
    const size_t k = r->cols, each = (size_t)sqz_pool_threads(r->ctx->pool) * PANEL * k;
    double *turned = sqz_arena_alloc(a, k * k, sizeof *turned);
    f->perm = sqz_arena_alloc(a, k, sizeof *f->perm);
    f->l = sqz_arena_alloc(a, k * k, sizeof *f->l);
    f->lf = sqz_arena_alloc(a, k * k, sizeof *f->lf);
    f->target = sqz_arena_alloc(a, r->rows / r->groups * k, sizeof *f->target);
    p->d = sqz_arena_alloc(a, each, sizeof *p->d);
    p->g = sqz_arena_alloc(a, each, sizeof *p->g);
    if (!turned || !f->perm || !f->l || !f->lf || !f->target || !p->d || !p->g)
        return SQZ_E_NOMEM;
    return run_groups(r, p, f, turned);
}

sqz_status sqz_gptq(const sqz_rounding *r, const sqz_gptq_options *o, int8_t *codes)
{
    sqz_arena a = {.ctx = r->ctx};
    panels p = {.r = r, .o = o, .codes = codes};
    factor f = {0};
    sqz_status s = make(r, &p, &f, &a);
    sqz_arena_free(&a);
    return s;
}
