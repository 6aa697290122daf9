/* site_means.c: sums over all patches of a site, without gathering any: each line of the input is
 * summed once for each horizontal tap, and the sum goes to every vertical tap that reads the line.
 */
#include "quant/site_means.h"
#include "kernels/kernels.h"
#include "quant/feed.h"
#include <string.h>

enum { PIECE = 64 }; /* pixels summed in float before they are added in double */

typedef struct job {
    const sqz_kernels *k;
    const sqz_site *s;
    const float *x;
    size_t n_row; /* of gemm: rows of x */
    double *part; /* terms of each image, or each run of rows */
    double *line; /* a line's sums, for each worker */
    float *piece; /* of a piece, for each worker */
} job;

/* line[c] += sum over n pixels, `ld` apart, of x[c]. */
static void add_pixels(const job *j, const float *x, size_t n, size_t ld, size_t c, double *line)
{
    float *piece = j->piece + (size_t)sqz_worker_index() * c;
    for (size_t i = 0; i < n; i += PIECE) {
        j->k->moments_f32(SQZ_MIN(n - i, (size_t)PIECE), c, ld, x + i * ld, NULL, piece, NULL);
        for (size_t k = 0; k < c; k++)
            line[k] += (double)piece[k];
    }
}

/* Outputs o in [*lo, *hi) whose tap t falls inside of the input along an axis. */
static void outputs_of(const sqz_window *w, int a, int64_t t, int64_t *lo, int64_t *hi)
{
    const int64_t from = w->begin[a] - t * w->dil[a], st = w->stride[a]; /* o * st >= from */
    const int64_t last = w->in[a] - 1 + from;                            /* o * st <= last */
    *lo = from <= 0 ? 0 : (from + st - 1) / st;
    *hi = last < 0 ? 0 : last / st + 1;
    *hi = SQZ_MAX(*lo, SQZ_MIN(*hi, w->out[a]));
}

/* Whether tap t of some output reads input i along an axis. */
static bool reads(const sqz_window *w, int a, int64_t t, int64_t i)
{
    const int64_t at = i + w->begin[a] - t * w->dil[a];
    return at >= 0 && at % w->stride[a] == 0 && at / w->stride[a] < w->out[a];
}

static void spread(const sqz_site *s, const double *line, int64_t z, int64_t y, int64_t tx,
                   double *sum)
{
    const sqz_window *w = &s->window;
    for (int64_t tz = 0; tz < w->k[SQZ_AXIS_D]; tz++)
        for (int64_t ty = 0; ty < w->k[SQZ_AXIS_H]; ty++) {
            if (!reads(w, SQZ_AXIS_D, tz, z) || !reads(w, SQZ_AXIS_H, ty, y))
                continue;
            const size_t tap = (size_t)((tz * w->k[SQZ_AXIS_H] + ty) * w->k[SQZ_AXIS_W] + tx) *
                               s->depth;
            for (size_t g = 0; g < s->groups; g++)
                for (size_t d = 0; d < s->depth; d++)
                    sum[g * s->cols + tap + d] += line[g * s->depth + d];
        }
}

static void image(const job *j, const float *x, double *sum)
{
    const sqz_site *s = j->s;
    const sqz_window *w = &s->window;
    const size_t c = s->c_in, line_size = (size_t)w->in[SQZ_AXIS_W] * c;
    double *line = j->line + (size_t)sqz_worker_index() * c;
    for (int64_t z = 0; z < w->in[SQZ_AXIS_D]; z++)
        for (int64_t y = 0; y < w->in[SQZ_AXIS_H]; y++, x += line_size)
            for (int64_t tx = 0; tx < w->k[SQZ_AXIS_W]; tx++) {
                int64_t lo, hi;
                outputs_of(w, SQZ_AXIS_W, tx, &lo, &hi);
                if (lo == hi)
                    continue;
                const int64_t first = sqz_window_input(w, SQZ_AXIS_W, lo, tx);
                memset(line, 0, c * sizeof *line);
                add_pixels(j, x + (size_t)first * c, (size_t)(hi - lo),
                           (size_t)w->stride[SQZ_AXIS_W] * c, c, line);
                spread(s, line, z, y, tx, sum);
            }
}

static size_t terms(const sqz_site *s) { return s->groups * s->cols; }

static sqz_status images(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const size_t size = sqz_volume(j->s->window.in) * j->s->c_in;
    for (size_t i = begin; i < end; i++)
        image(j, j->x + i * size, j->part + i * terms(j->s));
    return SQZ_OK;
}

static sqz_status rows(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const size_t c = j->s->cols;
    for (size_t i = begin; i < end; i++) {
        const size_t from = i * PIECE, n = SQZ_MIN(j->n_row - from, (size_t)PIECE);
        add_pixels(j, j->x + from * c, n, c, c, j->part + i * c);
    }
    return SQZ_OK;
}

bool sqz_site_sums_fit(const sqz_site *s) { return !s->transposed; }

sqz_status sqz_site_sums(sqz_ctx *ctx, const sqz_site *s, const float *x, size_t count, double *sum)
{
    sqz_arena a = {.ctx = ctx};
    const size_t workers = (size_t)sqz_pool_threads(ctx->pool);
    const size_t c = s->window_op ? s->c_in : s->cols;
    const size_t unit = s->window_op ? sqz_volume(s->window.in) * s->c_in : s->cols * PIECE;
    const size_t parts = unit ? (count + unit - 1) / unit : 0;
    job j = {.k = ctx->kernels, .s = s, .x = x, .n_row = s->window_op ? 0 : count / s->cols};
    size_t room;
    if (!parts)
        return SQZ_OK;
    if (!sqz_mul(parts, terms(s), &room))
        return sqz_fail(ctx, SQZ_E_LIMIT, "a site of too many terms");
    j.part = sqz_arena_alloc(&a, room, sizeof *j.part);
    j.line = sqz_arena_alloc(&a, workers * c, sizeof *j.line);
    j.piece = sqz_arena_alloc(&a, workers * c, sizeof *j.piece);
    sqz_status st = j.part && j.line && j.piece ? SQZ_OK : SQZ_E_NOMEM;
    if (st == SQZ_OK)
        st = sqz_parallel(ctx, parts, 1, s->window_op ? images : rows, &j);
    for (size_t p = 0; p < parts && st == SQZ_OK; p++)
        for (size_t i = 0; i < terms(s); i++)
            sum[i] += j.part[p * terms(s) + i];
    sqz_arena_free(&a);
    return st;
}
