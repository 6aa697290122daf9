/* pool_grad.c: gradients of pools: the largest element gets the gradient of its window (the first
 * one, where several are equal), or every element its share. */
#include "ops/grad.h"
#include "ops/pool.h"

typedef struct state {
    sqz_window w;
    size_t samples, channels;
    bool count_pad;
} state;

sqz_status sqz_pool_grad_prepare(sqz_grad_prep *p)
{
    state *s = sqz_arena_alloc(p->arena, 1, sizeof *s);
    const sqz_shape *x = &p->in[0]->shape;
    const sqz_pool_attrs *at = p->attrs;
    if (!s)
        return SQZ_E_NOMEM;
    p->state = s;
    s->samples = (size_t)x->dim[0];
    s->channels = (size_t)x->dim[x->rank - 1];
    s->count_pad = at && at->count_include_pad;
    return sqz_pool_window(p->ctx, at, x, 1, &s->w);
}

typedef struct job {
    const sqz_grad_call *c;
    const state *s;
} job;

typedef struct taps { /* of one output: [lo, hi) of the input, how many steps of `dil` */
    int64_t lo[SQZ_WINDOW_AXES], hi[SQZ_WINDOW_AXES];
} taps;

static size_t element(const state *s, size_t n, int64_t z, int64_t y, int64_t x)
{
    const sqz_window *w = &s->w;
    return (((n * (size_t)w->in[SQZ_AXIS_D] + (size_t)z) * (size_t)w->in[SQZ_AXIS_H] + (size_t)y) *
                (size_t)w->in[SQZ_AXIS_W] +
            (size_t)x) *
           s->channels;
}

/* fn at every element of the window of output pixel o of sample n. */
typedef void (*tap_fn)(void *arg, size_t at);
static void each_tap(const state *s, size_t n, const int64_t o[SQZ_WINDOW_AXES], tap_fn fn,
                     void *arg)
{
    const sqz_window *w = &s->w;
    taps t;
    for (int a = 0; a < SQZ_WINDOW_AXES; a++)
        sqz_window_taps(w, a, o[a], &t.lo[a], &t.hi[a]);
    for (int64_t z = t.lo[0]; z < t.hi[0]; z++)
        for (int64_t y = t.lo[1]; y < t.hi[1]; y++)
            for (int64_t x = t.lo[2]; x < t.hi[2]; x++)
                fn(arg, element(s, n, sqz_window_input(w, 0, o[0], z),
                                sqz_window_input(w, 1, o[1], y), sqz_window_input(w, 2, o[2], x)));
}

typedef struct pixel {
    const job *j;
    const float *g; /* of the output pixel */
    size_t c;       /* channel, for maxima */
    size_t best;
    float share;
} pixel;

static void add_share(void *arg, size_t at)
{
    const pixel *p = arg;
    float *d = p->j->c->in_grad[0] + at;
    for (size_t c = 0; c < p->j->s->channels; c++)
        d[c] += p->g[c] * p->share;
}

static void find_largest(void *arg, size_t at)
{
    pixel *p = arg;
    const float *x = SQZ_F32P(p->j->c->in[0]);
    if (p->best == SIZE_MAX || x[at + p->c] > x[p->best])
        p->best = at + p->c;
}

/* Taps that an average counts: as in the run, those outside of the padding never do. */
static double counted(const state *s, const int64_t o[SQZ_WINDOW_AXES])
{
    double n = 1;
    for (int a = 0; a < SQZ_WINDOW_AXES; a++) {
        int64_t lo, hi, k = 0;
        sqz_window_taps(&s->w, a, o[a], &lo, &hi);
        for (int64_t t = 0; t < s->w.k[a]; t++)
            k += sqz_window_input(&s->w, a, o[a], t) < s->w.in[a] + s->w.end[a];
        n *= (double)(s->count_pad ? k : hi - lo);
    }
    return n;
}

static void average_pixel(const job *j, size_t n, const int64_t *o, size_t at)
{
    const double count = counted(j->s, o);
    pixel p = {.j = j, .g = j->c->out_grad[0] + at, .share = count > 0 ? (float)(1 / count) : 0};
    each_tap(j->s, n, o, add_share, &p);
}

static void max_pixel(const job *j, size_t n, const int64_t *o, size_t at)
{
    pixel p = {.j = j, .g = j->c->out_grad[0] + at};
    for (p.c = 0; p.c < j->s->channels; p.c++) {
        p.best = SIZE_MAX;
        each_tap(j->s, n, o, find_largest, &p);
        if (p.best != SIZE_MAX)
            j->c->in_grad[0][p.best] += p.g[p.c];
    }
}

static void samples(const job *j, size_t begin, size_t end,
                    void (*fn)(const job *j, size_t n, const int64_t *o, size_t at))
{
    const int64_t *size = j->s->w.out;
    int64_t o[SQZ_WINDOW_AXES];
    size_t at = begin * sqz_volume(size) * j->s->channels;
    for (size_t n = begin; n < end; n++)
        for (o[0] = 0; o[0] < size[0]; o[0]++)
            for (o[1] = 0; o[1] < size[1]; o[1]++)
                for (o[2] = 0; o[2] < size[2]; o[2]++, at += j->s->channels)
                    fn(j, n, o, at);
}
static sqz_status average_piece(void *arg, size_t begin, size_t end)
{
    samples(arg, begin, end, average_pixel);
    return SQZ_OK;
}
static sqz_status max_piece(void *arg, size_t begin, size_t end)
{
    samples(arg, begin, end, max_pixel);
    return SQZ_OK;
}

static sqz_status spread(const sqz_grad_call *c, sqz_task_fn fn)
{
    const state *s = c->state;
    job j = {c, s};
    if (!sqz_grad_wants(c, 0) || sqz_grad_none(c))
        return SQZ_OK;
    sqz_grad_begin(c, 0);
    return sqz_parallel(c->ctx, s->samples, 1, fn, &j);
}
sqz_status sqz_pool_grad_average(const sqz_grad_call *c) { return spread(c, average_piece); }
sqz_status sqz_pool_grad_max(const sqz_grad_call *c) { return spread(c, max_piece); }
