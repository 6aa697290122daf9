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

enum { PANEL = 64, BLOCK = 128, SWEEPS = 30, TURNS = 3, RETRIES = 4, NODES = 20000 };

/* ---- J of codes ---- */

void sqz_rounding_gradient(const sqz_rounding *r, size_t begin, size_t end, const float *d,
                           float *g)
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

typedef struct panels { /* a job over rows; scratch of PANEL x cols for each worker */
    const sqz_rounding *r;
    const sqz_gptq_options *o;
    const struct factor *f;
    int8_t *codes;
    double *cost;
    float *d, *g, *s; /* errors, gradients, scales */
    int8_t *q;        /* codes that are tried */
    float *given;     /* rows x cols: scales to begin with */
} panels;

static size_t of_worker(const panels *p) { return (size_t)sqz_worker_index() * PANEL * p->r->cols; }

static sqz_status make_scratch(panels *p, sqz_arena *a)
{
    const size_t each = (size_t)sqz_pool_threads(p->r->ctx->pool) * PANEL * p->r->cols;
    p->d = sqz_arena_room(a, each, sizeof *p->d);
    p->g = sqz_arena_room(a, each, sizeof *p->g);
    p->s = sqz_arena_room(a, each, sizeof *p->s);
    p->q = sqz_arena_room(a, each, 1);
    return p->d && p->g && p->s && p->q ? SQZ_OK : SQZ_E_NOMEM;
}

static sqz_status over_rows(panels *p, sqz_task_fn fn)
{
    sqz_arena a = {.ctx = p->r->ctx};
    sqz_status s = make_scratch(p, &a);
    if (s == SQZ_OK)
        s = sqz_parallel(p->r->ctx, p->r->rows, PANEL, fn, p);
    sqz_arena_free(&a);
    return s;
}

/* d and g of rows begin .. end for codes q and scales s of the panel. */
static void look(const sqz_rounding *r, size_t begin, size_t end, const float *s, const int8_t *q,
                 float *d, float *g)
{
    const size_t at = begin * r->cols;
    for (size_t i = 0; i < (end - begin) * r->cols; i++)
        d[i] = s[i] * (float)(q[i] - r->zero[at + i]) - r->w[at + i];
    sqz_rounding_gradient(r, begin, end, d, g);
}

/* J - J(0) of a row: d^T (H d + a) + d^T a. */
static double row_cost(const sqz_rounding *r, size_t row, const float *d, const float *g)
{
    const float *a = r->a + row * r->cols;
    double sum = 0;
    for (size_t c = 0; c < r->cols; c++)
        sum += (double)d[c] * ((double)g[c] + (double)a[c]);
    return sum;
}

static sqz_status cost_panel(void *arg, size_t begin, size_t end)
{
    const panels *p = arg;
    const sqz_rounding *r = p->r;
    const size_t k = r->cols;
    float *d = p->d + of_worker(p), *g = p->g + of_worker(p);
    look(r, begin, end, r->scale + begin * k, p->codes + begin * k, d, g);
    for (size_t row = begin; row < end; row++)
        p->cost[row] = row_cost(r, row, d + (row - begin) * k, g + (row - begin) * k);
    return SQZ_OK;
}

sqz_status sqz_rounding_cost(const sqz_rounding *r, const int8_t *codes, double *cost)
{
    panels p = {.r = r, .codes = (int8_t *)(uintptr_t)codes, .cost = cost};
    return over_rows(&p, cost_panel);
}

static int nearest(const sqz_rounding *r, double w, float scale, int32_t zero)
{
    const double q = nearbyint(w / (double)scale) + zero;
    return (int)SQZ_MAX(SQZ_MIN(q, (double)r->hi), (double)r->lo);
}

void sqz_rounding_nearest(const sqz_rounding *r, const float *target, int8_t *codes)
{
    const float *w = target ? target : r->w;
    for (size_t i = 0; i < r->rows * r->cols; i++)
        codes[i] = (int8_t)nearest(r, (double)w[i], r->scale[i], r->zero[i]);
}

/* ---- descent ---- */

/* The best change of one code after the other, as long as one lowers J. */
static void descend_row(const sqz_rounding *r, size_t row, const float *scale, int8_t *q, float *g)
{
    const size_t k = r->cols;
    const float *h = r->hf + row / (r->rows / r->groups) * k * k;
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
    const sqz_rounding *r = p->r;
    const size_t k = r->cols;
    float *d = p->d + of_worker(p), *g = p->g + of_worker(p);
    look(r, begin, end, r->scale + begin * k, p->codes + begin * k, d, g);
    for (size_t row = begin; row < end; row++)
        descend_row(r, row, r->scale + row * k, p->codes + row * k, g + (row - begin) * k);
    return SQZ_OK;
}

sqz_status sqz_rounding_descend(const sqz_rounding *r, int8_t *codes)
{
    panels p = {.r = r, .codes = codes};
    return over_rows(&p, descend_panel);
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
static void search_row(const sqz_rounding *r, const factor *f, size_t row, const float *scale,
                       int8_t *codes)
{
    const size_t k = r->cols;
    const int32_t *zero = r->zero + row * k;
    double l[SQZ_LATTICE_MAX * SQZ_LATTICE_MAX], center[SQZ_LATTICE_MAX];
    int x[SQZ_LATTICE_MAX];
    const double *target = f->target + (row - f->group * (r->rows / r->groups)) * k;
    for (size_t i = 0; i < k; i++) {
        for (size_t j = 0; j <= i; j++)
            l[i * k + j] = f->l[i * k + j] * (double)scale[f->perm[j]];
        center[i] = target[i] / (double)scale[f->perm[i]] + zero[f->perm[i]];
        x[i] = codes[f->perm[i]];
    }
    const sqz_lattice s = {
        .n = k, .lo = r->lo, .hi = r->hi, .l = l, .center = center, .nodes = NODES};
    (void)sqz_lattice_search(&s, x);
    for (size_t i = 0; i < k; i++)
        codes[f->perm[i]] = (int8_t)x[i];
}

/* Places b0 .. b1 of a row that has d for the places before, and `sum` of what these ask for. */
static void round_block(const sqz_rounding *r, const factor *f, size_t row, size_t b0, size_t b1,
                        const float *sum, const float *scale, float *d, int8_t *codes)
{
    const size_t k = r->cols;
    const int32_t *zero = r->zero + row * k;
    const double *target = f->target + (row - f->group * (r->rows / r->groups)) * k;
    double err[BLOCK];
    for (size_t i = b0; i < b1; i++) {
        const double *l = f->l + i * k;
        const size_t at = f->perm[i];
        double s = 0;
        for (size_t j = b0; j < i; j++)
            s += l[j] * err[j - b0];
        const double w = target[i] - (double)sum[i - b0] - s / l[i];
        const int q = nearest(r, w, scale[at], zero[at]);
        codes[at] = (int8_t)q;
        err[i - b0] = (double)scale[at] * (q - zero[at]) - target[i];
        d[i] = (float)err[i - b0];
    }
}

static void round_rows(const panels *p, size_t first, size_t n, const float *scale, int8_t *codes)
{
    const sqz_rounding *r = p->r;
    const factor *f = p->f;
    const size_t k = r->cols;
    float *d = p->d + of_worker(p), *sum = p->g + of_worker(p);
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
        for (size_t i = 0; i < n; i++)
            round_block(r, f, first + i, b0, b1, sum + i * len, scale + i * k, d + i * k,
                        codes + i * k);
    }
    for (size_t i = 0; i < n && p->o->exact && k <= SQZ_LATTICE_MAX; i++)
        search_row(r, f, first + i, scale + i * k, codes + i * k);
}

/* ---- scales ---- */

/* The scale of a row with least J for its codes: with v = q - zero, v^T (H w - a) / v^T H v, where
 * s H v = H (d + w) = g - a + H w. */
static void move_scale(const sqz_rounding *r, size_t row, const int8_t *q, const float *g,
                       float *scale)
{
    const size_t k = r->cols;
    const float *hw = r->hw + row * k, *a = r->a + row * k;
    const int32_t *zero = r->zero + row * k;
    double cross = 0, square = 0;
    for (size_t i = 0; i < k; i++) {
        const double v = q[i] - zero[i], b = (double)hw[i] - (double)a[i];
        cross += v * b;
        square += v * ((double)g[i] + b);
    }
    const double s = square > 0 ? (double)scale[0] * cross / square : 0;
    if (s > 0.5 * (double)scale[0] && s < 2 * (double)scale[0])
        for (size_t i = 0; i < k; i++)
            scale[i] = (float)s;
}

static void polish_rows(const panels *p, size_t first, size_t n, float *scale, int8_t *codes,
                        bool scales)
{
    const size_t k = p->r->cols;
    float *d = p->d + of_worker(p), *g = p->g + of_worker(p);
    for (int turn = 0; turn < (scales ? TURNS : 1); turn++) {
        look(p->r, first, first + n, scale, codes, d, g);
        for (size_t i = 0; i < n; i++)
            descend_row(p->r, first + i, scale + i * k, codes + i * k, g + i * k);
        for (size_t i = 0; i < n && scales; i++) /* g is kept up by the descent */
            move_scale(p->r, first + i, codes + i * k, g + i * k, scale + i * k);
    }
}

/* ---- all of a panel ---- */

static void try_scale(const panels *p, size_t first, size_t n, float by, double *least)
{
    const sqz_rounding *r = p->r;
    const size_t k = r->cols, at = first * k;
    const bool scales = p->o->scales && r->row_scale;
    float *d = p->d + of_worker(p), *g = p->g + of_worker(p), *scale = p->s + of_worker(p);
    int8_t *q = p->q + of_worker(p);
    for (size_t i = 0; i < n * k; i++)
        scale[i] = by * p->given[at + i];
    round_rows(p, first, n, scale, q);
    if (p->o->polish)
        polish_rows(p, first, n, scale, q, scales);
    look(r, first, first + n, scale, q, d, g);
    for (size_t i = 0; i < n; i++) {
        const double cost = row_cost(r, first + i, d + i * k, g + i * k);
        if (!(cost < least[i]))
            continue;
        least[i] = cost;
        memcpy(p->codes + at + i * k, q + i * k, k);
        if (scales)
            memcpy(r->scale + at + i * k, scale + i * k, k * sizeof *scale);
    }
}

/* Rows of the group, counted from its first. */
static sqz_status round_panel(void *arg, size_t begin, size_t end)
{
    static const float by[] = {1.0f, 0.9f, 0.8f, 1.1f};
    const panels *p = arg;
    const size_t n = end - begin, first = p->f->group * (p->r->rows / p->r->groups) + begin;
    double least[PANEL];
    for (size_t i = 0; i < n; i++)
        least[i] = INFINITY;
    for (size_t i = 0; i < (p->o->scales && p->r->row_scale ? SQZ_COUNT(by) : 1); i++)
        try_scale(p, first, n, by[i], least);
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
    const size_t k = r->cols;
    double *turned = sqz_arena_alloc(a, k * k, sizeof *turned);
    f->perm = sqz_arena_alloc(a, k, sizeof *f->perm);
    f->l = sqz_arena_alloc(a, k * k, sizeof *f->l);
    f->lf = sqz_arena_alloc(a, k * k, sizeof *f->lf);
    f->target = sqz_arena_alloc(a, r->rows / r->groups * k, sizeof *f->target);
    p->given = sqz_arena_room(a, r->rows * k, sizeof *p->given);
    if (!turned || !f->perm || !f->l || !f->lf || !f->target || !p->given)
        return SQZ_E_NOMEM;
    memcpy(p->given, r->scale, r->rows * k * sizeof *p->given);
    SQZ_TRY(make_scratch(p, a));
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
