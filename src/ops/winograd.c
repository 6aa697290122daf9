/* winograd.c: y = A^T [ sum over channels of (G g G^T) * (B^T d B) ] A for tiles of m x m outputs,
 * t = m + 2: t^2 matrix products of tiles x channels by channels x outputs in place of the 9 m^2 of
 * the convolution, 36 for 144 or 16 for 36. The points of m = 4 are 0, +-5/8, +-3/2 and infinity:
 * the usual 0, +-1, +-2 lose twice as many bits (see docs/numerics.md). */
#include "ops/winograd.h"
#include <math.h>

enum {
    T_MOST = SQZ_WINO_T,
    AREA_MOST = T_MOST * T_MOST,
    TILES = 28,             /* of a group that one thread computes, at least */
    SHARED_BYTES = 5 << 18, /* of the transforms of a group that all threads share */
    BLOCK = 64              /* outputs of a product */
};

struct sqz_winograd {
    sqz_conv v;
    size_t m, t, area;       /* area = t * t */
    size_t tiles_x, tiles_y; /* of an image */
    size_t strips;           /* rows of tiles in all images */
    size_t group;            /* strips whose transforms are kept at a time */
    size_t block;            /* outputs of a product */
    bool together;           /* all threads work on one group; else each has its own */
    size_t ld_v, plane_v;    /* floats; v[point][tile][channel] */
    size_t ld_p, plane_p;    /* products[point][tile][output] */
    size_t v_bytes, each;    /* scratch: transforms of a group; of a worker */
    sqz_packed weights[AREA_MOST];
    const float *zeros;               /* a line of padding; no bias */
    bool fresh;                       /* weights are no constants: transformed at every run */
    size_t weights_at, room_at, room; /* in the scratch; bytes of a worker's room for a panel */
};

/* ---- geometry ---- */

static size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

static size_t vectors(size_t n) { return ceil_div(n, SQZ_PANEL) * SQZ_PANEL; }

/* Elements from row to row: whole vectors, and no multiple of 256 bytes, so that the rows of a
 * tile of the product do not meet in few sets of the cache. */
static size_t spread(size_t n)
{
    const size_t ld = vectors(n);
    return ld % (4 * SQZ_PANEL) ? ld : ld + SQZ_PANEL;
}

bool sqz_winograd_can(const sqz_prep *p, const sqz_conv *v)
{
    const sqz_window *w = &v->w;
    bool can = w->in[SQZ_AXIS_D] == 1 && w->out[SQZ_AXIS_D] == 1 && w->k[SQZ_AXIS_D] == 1;
    (void)p;
    for (int a = SQZ_AXIS_H; a <= SQZ_AXIS_W; a++)
        can = can && w->k[a] == 3 && w->stride[a] == 1 && w->dil[a] == 1;
    return can && v->groups == 1 && !v->transposed;
}

/* ---- whether, and how ----
 * A model of one thread on one image, in picoseconds, fitted on a Zen 4 core; only ratios matter.
 * Weights are read once an image: a layer's small ones from a cache, large ones from memory. */
enum {
    PS_MAC = 17,        /* a multiply-accumulate in a matrix product */
    START = 6,          /* beginning and storing a sum take as long as so many of them */
    PS_TRANSFORM = 120, /* a float of transforms or products: computed, written and read again */
    PS_WEIGHT = 1000,   /* a transformed weight */
    PS_NEAR = 12,       /* a byte of weights in the last-level cache */
    PS_FAR = 50,        /* and in memory */
    FAR_BYTES = 1 << 20,
    MOST_BYTES = 24 << 20 /* of a node's transformed weights, 4 (m = 4) or 1.8 times the original:
                             three layers of ResNet-18 would take 110 MB with m = 4 */
};

/* Most of the shorter of computing and loading hides behind the longer. */
static double cost(double compute, double weights)
{
    const double bytes = weights * sizeof(float);
    const double load = bytes * (bytes > FAR_BYTES ? PS_FAR : PS_NEAR);
    return SQZ_MAX(compute, load) + 0.3 * SQZ_MIN(compute, load);
}

static double direct_cost(const sqz_conv *v)
{
    const double k = 9 * (double)v->c_in, n = (double)v->c_out;
    return cost((double)sqz_volume(v->w.out) * (k + START) * n * PS_MAC, k * n);
}

/* Transforming weights that are no constants, for a share of a batch that such models come in. */
static double fresh_cost(const sqz_conv *v, size_t m)
{
    enum { IMAGES = 16 };
    return (double)((m + 2) * (m + 2)) * (double)v->c_in * (double)v->c_out * PS_WEIGHT / IMAGES;
}

static double tiles_cost(const sqz_conv *v, size_t m)
{
    const size_t high = (size_t)v->w.out[SQZ_AXIS_H], wide = (size_t)v->w.out[SQZ_AXIS_W];
    const double c = (double)v->c_in, n = (double)v->c_out, area = (double)((m + 2) * (m + 2));
    const double floats = (double)(vectors(v->c_in) + vectors(v->c_out));
    const double tiles = (double)(ceil_div(high, m) * ceil_div(wide, m));
    if (area * c * n * sizeof(float) > MOST_BYTES)
        return INFINITY;
    return cost(area * tiles * ((c + START) * n * PS_MAC + floats * PS_TRANSFORM), area * c * n);
}

size_t sqz_winograd_tile(const sqz_prep *p, const sqz_conv *v, bool gradient)
{
    if (!sqz_winograd_can(p, v))
        return 0;
    const bool fresh = !p->in[1]->data;
    const double two = tiles_cost(v, 2) + (fresh ? fresh_cost(v, 2) : 0);
    const double four = fresh && !gradient ? INFINITY
                                           : tiles_cost(v, 4) + (fresh ? fresh_cost(v, 4) : 0);
    const double direct = direct_cost(v);
    if (SQZ_MIN(two, four) > 0.9 * direct)
        return 0;
    return four <= two ? 4 : 2;
}

/* How the work is divided. Where there are tiles enough, and the weights fit beside the transforms
 * in a second-level cache, each thread takes groups of its own. Else all threads transform one
 * group, and each then multiplies some of the outputs: it reads a part of the weights only. */
static void divide(sqz_winograd *w)
{
    const size_t c = w->v.c_in, n = w->v.c_out, line = w->area * w->tiles_x * sizeof(float);
    const size_t strips = ceil_div(TILES, w->tiles_x);
    w->together = w->area * c * n * sizeof(float) > FAR_BYTES || w->strips < 2 * strips;
    w->group = SQZ_MAX(1, SQZ_MIN(w->together ? SHARED_BYTES / (line * c) : strips, w->strips));
    w->block = BLOCK;
    if (w->together && n <= BLOCK)
        w->block = SQZ_MAX(n / 2, SQZ_PANEL);
    w->block = SQZ_MIN(vectors(n), vectors(w->block));
}

static void shape(const sqz_conv *v, size_t tile, sqz_winograd *w)
{
    const size_t high = (size_t)v->w.out[SQZ_AXIS_H], wide = (size_t)v->w.out[SQZ_AXIS_W];
    w->v = *v;
    w->m = tile;
    w->t = w->m + 2;
    w->area = w->t * w->t;
    w->tiles_x = ceil_div(wide, w->m);
    w->tiles_y = ceil_div(high, w->m);
    w->strips = v->pixels / (high * wide) * w->tiles_y;
    divide(w);
    const size_t tiles = w->group * w->tiles_x;
    w->ld_v = spread(v->c_in);
    w->plane_v = tiles * w->ld_v + SQZ_PANEL;
    w->ld_p = spread(w->block);
    w->plane_p = tiles * w->ld_p + SQZ_PANEL;
    w->v_bytes = sqz_scratch_round(w->area * w->plane_v * sizeof(float));
    w->each = sqz_scratch_round(w->area * w->plane_p * sizeof(float));
}

/* ---- weights ---- */

/* Outputs o .. o + n of the product at point e. */
static sqz_packed part_of(const sqz_winograd *w, size_t e, size_t o, size_t n)
{
    sqz_packed part = w->weights[e];
    part.n = n;
    part.data = (float *)part.data + o * (w->v.c_in + 1);
    return part;
}

/* G: row i has the powers 0 .. 2 of point i over the product of its distances to the others. */
static void matrix(size_t m, double g[T_MOST][3])
{
    static const double four[] = {0, SQZ_WINO_PA, -SQZ_WINO_PA, SQZ_WINO_PB, -SQZ_WINO_PB},
                        two[] = {0, 1, -1};
    const double *at = m == 4 ? four : two;
    for (size_t i = 0; i < m + 1; i++) {
        double f = 1;
        for (size_t j = 0; j < m + 1; j++)
            f *= j == i ? 1 : at[i] - at[j];
        for (int k = 0; k < 3; k++)
            g[i][k] = (k == 0 ? 1 : k == 1 ? at[i] : at[i] * at[i]) / f;
    }
    g[m + 1][0] = g[m + 1][1] = 0; /* infinity */
    g[m + 1][2] = 1;
}

enum { BATCH = 64 }; /* channels that are transformed together */

/* G k G^T for `n` channels of a kernel (Kh,Kw,c), in double, rounded once: u of point e, channel i
 * is u[e*ld + i]. */
static void transform(const double g[T_MOST][3], size_t t, const float *k, size_t c, size_t n,
                      float *u, size_t ld)
{
    double half[3][BATCH];
    for (size_t p = 0; p < t; p++) {
        for (size_t x = 0; x < 3; x++)
            for (size_t i = 0; i < n; i++)
                half[x][i] = g[p][0] * (double)k[x * c + i] + g[p][1] * (double)k[(3 + x) * c + i] +
                             g[p][2] * (double)k[(6 + x) * c + i];
        for (size_t q = 0; q < t; q++)
            for (size_t i = 0; i < n; i++)
                u[(p * t + q) * ld + i] = (float)(g[q][0] * half[0][i] + g[q][1] * half[1][i] +
                                                  g[q][2] * half[2][i]);
    }
}

/* The panel of outputs from `first` on, in room for one panel of all points. */
static void pack_panel(const sqz_winograd *w, const float *weights, size_t first, float *room)
{
    const size_t c = w->v.c_in, many = SQZ_MIN(SQZ_PANEL, w->v.c_out - first);
    double g[T_MOST][3];
    matrix(w->m, g);
    for (size_t o = 0; o < many; o++)
        for (size_t i = 0; i < c; i += BATCH)
            transform(g, w->t, weights + (first + o) * 9 * c + i, c, SQZ_MIN(BATCH, c - i),
                      room + o * c + i, SQZ_PANEL * c);
    for (size_t e = 0; e < w->area; e++) {
        const sqz_packed panel = part_of(w, e, first, many);
        sqz_pack_f32(&panel, room + e * SQZ_PANEL * c, c, 1, NULL);
    }
}

static sqz_status make_weights(const sqz_prep *p, sqz_winograd *w)
{
    const size_t n = w->v.c_out, c = w->v.c_in, bytes = sqz_pack_f32_bytes(n, 1, c);
    float *room = sqz_malloc(p->ctx, w->area * SQZ_PANEL * c * sizeof *room);
    bool all = room;
    for (size_t e = 0; all && e < w->area; e++) {
        w->weights[e].data = sqz_arena_alloc(p->arena, bytes, 1);
        all = w->weights[e].data;
    }
    for (size_t first = 0; all && first < n; first += SQZ_PANEL)
        pack_panel(w, SQZ_F32P(p->in[1]), first, room);
    sqz_free(p->ctx, room);
    return all ? SQZ_OK : SQZ_E_NOMEM;
}

/* Room for them in the scratch, behind what else is there. */
static sqz_status weights_later(sqz_prep *p, sqz_winograd *w)
{
    const size_t bytes = sqz_pack_f32_bytes(w->v.c_out, 1, w->v.c_in);
    const size_t threads = (size_t)sqz_pool_threads(p->ctx->pool);
    size_t all, rooms;
    w->weights_at = sqz_scratch_round(p->scratch_bytes);
    w->room = sqz_scratch_round(w->area * SQZ_PANEL * w->v.c_in * sizeof(float));
    if (!bytes || !sqz_mul(w->area, bytes, &all) || !sqz_add(all, w->weights_at, &w->room_at) ||
        !sqz_mul(w->room, threads, &rooms) || !sqz_add(w->room_at, rooms, &p->scratch_bytes))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the workspace is too large");
    return SQZ_OK;
}

sqz_status sqz_winograd_prepare(sqz_prep *p, const sqz_conv *v, size_t tile, sqz_winograd **out)
{
    sqz_winograd *w = sqz_arena_alloc(p->arena, 1, sizeof *w);
    if (!w)
        return SQZ_E_NOMEM;
    shape(v, tile, w);
    for (size_t e = 0; e < w->area; e++)
        w->weights[e] = (sqz_packed){.n = v->c_out, .n_seg = 1, .len = v->c_in};
    w->fresh = !p->in[1]->data;
    if (!w->fresh) {
        SQZ_TRY(make_weights(p, w));
        p->spent |= 1u << 1;
    }
    w->zeros = sqz_arena_alloc(p->arena, SQZ_MAX((size_t)v->w.in[SQZ_AXIS_W] * v->c_in, v->c_out),
                               sizeof(float));
    if (!w->zeros)
        return SQZ_E_NOMEM;
    if (!w->together)
        w->each += w->v_bytes;
    SQZ_TRY(sqz_scratch_all(p, w->each));
    if (w->together && !sqz_add(p->scratch_bytes, w->v_bytes, &p->scratch_bytes))
        return sqz_fail(p->ctx, SQZ_E_LIMIT, "the workspace is too large");
    *out = w;
    return w->fresh ? weights_later(p, w) : SQZ_OK;
}

/* ---- running ---- */

typedef struct job {
    const sqz_winograd *w;
    const sqz_call *call;
    size_t begin, end; /* together: strips of the group */
} job;

/* Strip r of all images into the planes of a group, from tile `at` on. */
static void transform_in(const job *j, size_t r, float *v)
{
    const sqz_winograd *w = j->w;
    const sqz_window *win = &w->v.w;
    const size_t line = (size_t)win->in[SQZ_AXIS_W] * w->v.c_in;
    const int64_t high = win->in[SQZ_AXIS_H];
    const int64_t top = (int64_t)(r % w->tiles_y * w->m) - win->begin[SQZ_AXIS_H];
    const float *image = SQZ_F32P(j->call->in[0]) + r / w->tiles_y * (size_t)high * line;
    sqz_wino_in s = {.m = w->m,
                     .n_tile = w->tiles_x,
                     .c = w->v.c_in,
                     .first = -win->begin[SQZ_AXIS_W],
                     .width = win->in[SQZ_AXIS_W],
                     .v = v,
                     .plane = w->plane_v,
                     .ld = w->ld_v};
    for (size_t i = 0; i < w->t; i++) {
        const int64_t y = top + (int64_t)i;
        s.line[i] = y < 0 || y >= high ? w->zeros : image + (size_t)y * line;
    }
    j->call->ctx->kernels->wino_in(&s);
}

/* Outputs of strip r, channels from o on, from the products of a block. */
static void transform_out(const job *j, size_t r, size_t o, const float *prod)
{
    const sqz_winograd *w = j->w;
    const sqz_window *win = &w->v.w;
    const sqz_fused *f = j->call->fused;
    const sqz_tensor *bias = sqz_input(j->call, 2);
    const size_t high = (size_t)win->out[SQZ_AXIS_H], wide = (size_t)win->out[SQZ_AXIS_W];
    const size_t y = r % w->tiles_y * w->m, n = w->v.c_out;
    const size_t at = (r / w->tiles_y * high + y) * wide * n + o;
    const sqz_wino_out s = {.m = w->m,
                            .n_tile = w->tiles_x,
                            .c = SQZ_MIN(w->block, n - o),
                            .rows = SQZ_MIN(w->m, high - y),
                            .cols = wide,
                            .prod = prod,
                            .plane = w->plane_p,
                            .ld = w->ld_p,
                            .bias = (bias ? SQZ_F32P(bias) : w->zeros) + o,
                            .more = f && f->bias ? SQZ_F32P(f->bias) + o : NULL,
                            .y = SQZ_F32P(j->call->out[0]) + at,
                            .add = f && f->add ? SQZ_F32P(f->add) + at : NULL,
                            .line = wide * n,
                            .pixel = n,
                            .lo = f ? f->lo : -INFINITY,
                            .hi = f ? f->hi : INFINITY};
    j->call->ctx->kernels->wino_out(&s);
}

/* Everything after the input transform for strips begin .. end and one block of outputs. */
static void block_of(const job *j, size_t begin, size_t end, size_t o, const float *v, float *prod)
{
    static const size_t no_offset = 0;
    const sqz_winograd *w = j->w;
    const size_t n = SQZ_MIN(w->block, w->v.c_out - o), m = (end - begin) * w->tiles_x;
    sqz_left left = {.m = m,
                     .width = m,
                     .step = w->ld_v * sizeof(float),
                     .seg = &no_offset,
                     .n_seg = 1,
                     .len = w->v.c_in};
    sqz_out_f32 out = {.ld = w->ld_p, .lo = -INFINITY, .hi = INFINITY};
    for (size_t e = 0; e < w->area; e++) {
        const sqz_packed part = part_of(w, e, o, n);
        left.a = v + e * w->plane_v;
        out.y = prod + e * w->plane_p;
        j->call->ctx->kernels->gemm_f32(&part, 0, n, &left, &out);
    }
    for (size_t r = begin; r < end; r++)
        transform_out(j, r, o, prod + (r - begin) * w->tiles_x * w->ld_p);
}

/* Output elements of strips begin .. end: whole lines, one after the other. */
static sqz_status then(const job *j, size_t begin, size_t end)
{
    const sqz_winograd *w = j->w;
    const size_t high = (size_t)w->v.w.out[SQZ_AXIS_H];
    const size_t line = (size_t)w->v.w.out[SQZ_AXIS_W] * w->v.c_out;
    const size_t from = begin / w->tiles_y * high + begin % w->tiles_y * w->m;
    const size_t to = end / w->tiles_y * high + end % w->tiles_y * w->m;
    return sqz_fused_then(j->call->fused, from * line, to * line);
}

static sqz_status alone(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const sqz_winograd *w = j->w;
    char *mem = (char *)j->call->scratch + (size_t)sqz_worker_index() * w->each;
    float *v = (float *)(void *)mem, *prod = (float *)(void *)(mem + w->v_bytes);
    for (size_t r = begin; r < end; r++)
        transform_in(j, r, v + (r - begin) * w->tiles_x * w->ld_v);
    for (size_t o = 0; o < w->v.c_out; o += w->block)
        block_of(j, begin, end, o, v, prod);
    return then(j, begin, end);
}

static sqz_status inputs(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    float *v = j->call->scratch;
    for (size_t r = begin; r < end; r++)
        transform_in(j, j->begin + r, v + r * j->w->tiles_x * j->w->ld_v);
    return SQZ_OK;
}
static sqz_status blocks(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    const sqz_winograd *w = j->w;
    char *mem = (char *)j->call->scratch + w->v_bytes + (size_t)sqz_worker_index() * w->each;
    for (size_t b = begin; b < end; b++)
        block_of(j, j->begin, j->end, b * w->block, j->call->scratch, (float *)(void *)mem);
    return SQZ_OK;
}
static sqz_status thens(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    return then(j, j->begin + begin, j->begin + end);
}

static sqz_status together(job *j)
{
    const sqz_winograd *w = j->w;
    for (j->begin = 0; j->begin < w->strips; j->begin = j->end) {
        j->end = SQZ_MIN(j->begin + w->group, w->strips);
        SQZ_TRY(sqz_parallel(j->call->ctx, j->end - j->begin, 1, inputs, j));
        SQZ_TRY(sqz_parallel(j->call->ctx, ceil_div(w->v.c_out, w->block), 1, blocks, j));
        if (j->call->fused && j->call->fused->n_then)
            SQZ_TRY(sqz_parallel(j->call->ctx, j->end - j->begin, 1, thens, j));
    }
    return SQZ_OK;
}

static sqz_status fresh_panels(void *arg, size_t begin, size_t end)
{
    const job *j = arg;
    char *room = (char *)j->call->scratch + j->w->room_at + (size_t)sqz_worker_index() * j->w->room;
    for (size_t i = begin; i < end; i++)
        pack_panel(j->w, SQZ_F32P(j->call->in[1]), i * SQZ_PANEL, (float *)(void *)room);
    return SQZ_OK;
}

/* own: a copy of the state that finds its weights in the scratch of this run. */
static sqz_status fresh_weights(const job *j, sqz_winograd *own)
{
    const size_t bytes = sqz_pack_f32_bytes(own->v.c_out, 1, own->v.c_in);
    job k = *j;
    for (size_t e = 0; e < own->area; e++)
        own->weights[e].data = (char *)j->call->scratch + own->weights_at + e * bytes;
    return sqz_parallel(j->call->ctx, ceil_div(own->v.c_out, SQZ_PANEL), 1, fresh_panels, &k);
}

sqz_status sqz_winograd_run(const sqz_winograd *w, const sqz_call *c)
{
    sqz_winograd own = *w;
    job j = {.w = &own, .call = c};
    if (w->fresh && c->out[0]->count)
        SQZ_TRY(fresh_weights(&j, &own));
    return w->together ? together(&j) : sqz_parallel(c->ctx, w->strips, w->group, alone, &j);
}
