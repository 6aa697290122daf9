/* Depthwise kernels of every instruction set against sums in double, on random windows with tails.
 * Pixels are heap blocks of exactly n channels, so that the address sanitizer sees a read past the
 * end of one. */
#include "kernel_test.h"
#include "runtime/sqz_rt.h"

enum { SEED = 20261123, ROUNDS = 250 };

typedef struct window_case {
    size_t n, n_seg, len, tall, wide;
    void **pixel;       /* tall * wide, each its own block or a shared one */
    const void **lines; /* tall */
    sqz_windows x;
} window_case;

/* 3x3 and 5x5 windows of steps 1 and 2, lines of one tap, anything. */
static void random_window(sqz_rng *r, window_case *c)
{
    static const size_t square[] = {3, 5, 3, 1};
    size_t kind = sqz_rng_below(r, 5), k = square[sqz_rng_below(r, 4)];
    *c = (window_case){.n = 1 + sqz_rng_below(r, 70)};
    c->n_seg = kind < 3 ? k : 1 + sqz_rng_below(r, 9);
    c->len = kind < 3 ? k : 1 + sqz_rng_below(r, 4);
    c->x.lines = 1 + sqz_rng_below(r, 5);
    c->x.width = 1 + sqz_rng_below(r, 21);
    c->x.step = 1 + sqz_rng_below(r, 3);
    c->x.line_step = kind < 3 ? c->x.step : sqz_rng_below(r, 4);
    c->tall = (c->x.lines - 1) * c->x.line_step + c->n_seg;
    c->wide = (c->x.width - 1) * c->x.step + c->len;
}

/* Pixels of `size` bytes a channel, filled by the caller; the first of each line is that of the
 * line above, as padding is. */
static void make_pixels(window_case *c, size_t size)
{
    c->pixel = block(c->tall * c->wide * sizeof *c->pixel);
    c->lines = block(c->tall * sizeof *c->lines);
    for (size_t i = 0; i < c->tall * c->wide; i++)
        c->pixel[i] = i && i % c->wide == 0 ? c->pixel[0] : block(c->n * size);
    for (size_t i = 0; i < c->tall; i++)
        c->lines[i] = c->pixel + i * c->wide;
    c->x.x = (const void *const *const *)c->lines;
}

static void free_pixels(window_case *c)
{
    for (size_t i = 0; i < c->tall * c->wide; i++)
        if (!i || i % c->wide)
            free(c->pixel[i]);
    free(c->pixel);
    free(c->lines);
}

/* The value of tap t under output row `row`, channel ch; and the bound on its error. */
static double sum_f32(const window_case *c, const float *w, const float *bias, size_t row,
                      size_t ch, double *size)
{
    const size_t i = row / c->x.width, j = row % c->x.width;
    double sum = bias ? (double)bias[ch] : 0.0;
    *size = fabs(sum);
    for (size_t s = 0; s < c->n_seg; s++)
        for (size_t t = 0; t < c->len; t++) {
            const float *p = c->pixel[(i * c->x.line_step + s) * c->wide + j * c->x.step + t];
            double v = (double)p[ch] * (double)w[ch * c->n_seg * c->len + s * c->len + t];
            sum += v;
            *size += fabs(v);
        }
    return sum;
}

static float *random_f32(sqz_rng *r, size_t n)
{
    float *p = block(n * sizeof *p);
    for (size_t i = 0; i < n; i++)
        p[i] = (float)sqz_rng_normal(r);
    return p;
}

/* One kernel on one window; the gap behind each row stays as it was. */
static void check_f32(const sqz_kernels *k, const window_case *c, const float *w, const float *bias,
                      const float *more, const float *add, const sqz_packed *packed, size_t gap,
                      float lo, float hi)
{
    const size_t rows = c->x.lines * c->x.width, ld = c->n + gap;
    const size_t count = (rows - 1) * ld + c->n;
    float *y = block(count * sizeof *y);
    for (size_t i = 0; i < count; i++)
        y[i] = 777.0f;
    const sqz_out_f32 o = {
        .y = y, .ld = ld, .add = add, .ld_add = c->n, .lo = lo, .hi = hi, .bias = more};
    k->dwconv_f32(packed, &c->x, &o);
    for (size_t i = 0; i < count; i++) {
        const size_t row = i / ld, ch = i % ld;
        if (ch >= c->n) {
            assert_true(y[i] == 777.0f);
            continue;
        }
        double size, want = sum_f32(c, w, bias, row, ch, &size);
        if (more) {
            want += (double)more[ch];
            size += fabs((double)more[ch]);
        }
        if (add) {
            want += (double)add[row * c->n + ch];
            size += fabs((double)add[row * c->n + ch]);
        }
        want = fmin(fmax(want, (double)lo), (double)hi);
        /* one rounding of 2^-24 of a partial sum for each tap, and those of biases and residual */
        const double room = (double)(c->n_seg * c->len + 3) * 6e-8 * size;
        if (!(fabs((double)y[i] - want) <= room))
            fail_msg("%s: n %zu window %zux%zu step %zu row %zu channel %zu: %g, expected %g",
                     sqz_isa_name(k->isa), c->n, c->n_seg, c->len, c->x.step, row, ch, (double)y[i],
                     want);
    }
    free(y);
}

static void test_dwconv_f32_is_the_sum_for_every_instruction_set(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 0};
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    for (int round = 0; round < ROUNDS; round++) {
        window_case c;
        random_window(&r, &c);
        make_pixels(&c, sizeof(float));
        for (size_t i = 0; i < c.tall * c.wide; i++)
            for (size_t ch = 0; ch < c.n; ch++)
                ((float *)c.pixel[i])[ch] = (float)sqz_rng_normal(&r);
        float *w = random_f32(&r, c.n * c.n_seg * c.len), *bias = random_f32(&r, c.n);
        float *more = random_f32(&r, c.n);
        float *add = random_f32(&r, c.x.lines * c.x.width * c.n);
        const bool with = sqz_rng_below(&r, 2), residual = sqz_rng_below(&r, 2);
        const bool extra = sqz_rng_below(&r, 2);
        const float lo = sqz_rng_below(&r, 2) ? 0.0f : -INFINITY;
        const float hi = sqz_rng_below(&r, 2) ? 1.5f : INFINITY;
        const size_t gap = sqz_rng_below(&r, 3);
        sqz_packed p = {c.n, c.n_seg, c.len, NULL};
        p.data = block(sqz_pack_f32_bytes(c.n, c.n_seg, c.len));
        sqz_pack_f32(&p, w, c.n_seg * c.len, 1, with ? bias : NULL);
        for (size_t s = 0; s < n_set; s++)
            check_f32(&set[s], &c, w, with ? bias : NULL, extra ? more : NULL,
                      residual ? add : NULL, &p, gap, lo, hi);
        free(p.data);
        free(add);
        free(more);
        free(bias);
        free(w);
        free_pixels(&c);
    }
}

/* The same chain of operations wherever a result lies: a line alone is the line among others. */
static void test_dwconv_f32_does_not_depend_on_the_tile(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 1 << 20};
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    for (int round = 0; round < ROUNDS; round++) {
        window_case c;
        random_window(&r, &c);
        make_pixels(&c, sizeof(float));
        for (size_t i = 0; i < c.tall * c.wide; i++)
            for (size_t ch = 0; ch < c.n; ch++)
                ((float *)c.pixel[i])[ch] = (float)sqz_rng_normal(&r);
        float *w = random_f32(&r, c.n * c.n_seg * c.len), *bias = random_f32(&r, c.n);
        sqz_packed p = {c.n, c.n_seg, c.len, NULL};
        p.data = block(sqz_pack_f32_bytes(c.n, c.n_seg, c.len));
        sqz_pack_f32(&p, w, c.n_seg * c.len, 1, bias);
        const size_t line = c.x.width * c.n;
        float *all = block(c.x.lines * line * sizeof *all), *one = block(line * sizeof *one);
        for (size_t s = 0; s < n_set; s++) {
            sqz_out_f32 o = {.y = all, .ld = c.n, .lo = -INFINITY, .hi = INFINITY};
            set[s].dwconv_f32(&p, &c.x, &o);
            o.y = one;
            for (size_t i = 0; i < c.x.lines; i++) {
                sqz_windows x = c.x;
                x.x += i * x.line_step;
                x.lines = 1;
                set[s].dwconv_f32(&p, &x, &o);
                assert_memory_equal(one, all + i * line, line * sizeof *one);
            }
        }
        free(one);
        free(all);
        free(p.data);
        free(bias);
        free(w);
        free_pixels(&c);
    }
}

static void test_dwconv_f32_keeps_nan(void **state)
{
    (void)state;
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    float pixel[17], w[17], y[17];
    for (size_t i = 0; i < 17; i++) {
        pixel[i] = NAN;
        w[i] = 1.0f;
    }
    const void *line[] = {pixel}, *lines[] = {line};
    const sqz_windows x = {(const void *const *const *)lines, 1, 1, 1, 1};
    sqz_packed p = {17, 1, 1, block(sqz_pack_f32_bytes(17, 1, 1))};
    sqz_pack_f32(&p, w, 1, 1, NULL);
    for (size_t s = 0; s < n_set; s++) {
        memset(y, 0, sizeof y);
        set[s].dwconv_f32(&p, &x, &(sqz_out_f32){.y = y, .ld = 17, .lo = 0.0f, .hi = 6.0f});
        for (size_t i = 0; i < 17; i++)
            assert_true(isnan(y[i]));
    }
    free(p.data);
}

/* What dwconv_s8 takes: a list of taps, 3x3 and 5x5 with steps of 1 and 2. */
static void random_window_s8(sqz_rng *r, window_case *c)
{
    const size_t kind = sqz_rng_below(r, 5), k = kind > 2 ? 5 : 3;
    *c = (window_case){.n = 1 + sqz_rng_below(r, 70)};
    c->n_seg = kind ? k : 1 + sqz_rng_below(r, 40);
    c->len = kind ? k : 1;
    c->x.lines = 1 + sqz_rng_below(r, 5);
    c->x.width = 1 + sqz_rng_below(r, 40); /* kernels go in strips of 32 */
    c->x.step = kind ? 1 + kind % 2 : 1 + sqz_rng_below(r, 3);
    c->x.line_step = kind ? c->x.step : sqz_rng_below(r, 4);
    c->tall = (c->x.lines - 1) * c->x.line_step + c->n_seg;
    c->wide = (c->x.width - 1) * c->x.step + c->len;
}

typedef struct grid_case { /* what the sums start with and how they end */
    int32_t *start, *mult, *shift;
    sqz_requant rq;
} grid_case;

static void random_grid(sqz_rng *r, size_t n, grid_case *g)
{
    const size_t room = (n + SQZ_PANEL - 1) / SQZ_PANEL * SQZ_PANEL;
    g->start = block(room * 4);
    g->mult = block(room * 4);
    g->shift = block(room * 4);
    const uint64_t most = sqz_rng_below(r, 2) ? 14 : 7;
    const uint64_t left = sqz_rng_below(r, 4), large = sqz_rng_below(r, 3);
    for (size_t i = 0; i < room; i++) {
        g->start[i] = (int32_t)sqz_rng_below(r, 20001) - 10000;
        if (large == 0 && sqz_rng_below(r, 10) == 0)
            g->start[i] = sqz_rng_below(r, 2) ? 2000000000 : -2000000000;
        g->mult[i] = sqz_rng_below(r, 30)
                         ? (int32_t)((UINT64_C(1) << 30) + sqz_rng_below(r, UINT64_C(1) << 30))
                         : (int32_t)(sqz_rng_below(r, 2) << 30);
        g->shift[i] = left ? -(int32_t)(1 + sqz_rng_below(r, most))
                           : (int32_t)sqz_rng_below(r, 40) - 31;
        if (g->mult[i] == 0)
            g->shift[i] = 0;
    }
    const bool clamps = sqz_rng_below(r, 4) == 0;
    const int32_t lo = clamps ? (int32_t)sqz_rng_below(r, 100) - 128 : -128;
    g->rq = (sqz_requant){.n = n,
                          .bias = g->start,
                          .mult = g->mult,
                          .shift = g->shift,
                          .zero = sqz_rng_below(r, 2) ? -128 : (int32_t)sqz_rng_below(r, 256) - 128,
                          .small = large != 0,
                          .lo = lo,
                          .hi = clamps ? lo + (int32_t)sqz_rng_below(r, 100) : 127};
    if (sqz_rng_below(r, 4))
        fit_make(&g->rq, room);
}

static int8_t want_s8(const window_case *c, const int8_t *w, const grid_case *g, size_t row,
                      size_t ch)
{
    const size_t i = row / c->x.width, j = row % c->x.width, taps = c->n_seg * c->len;
    int32_t sum = g->start[ch];
    for (size_t s = 0; s < c->n_seg; s++)
        for (size_t t = 0; t < c->len; t++) {
            const int8_t *p = c->pixel[(i * c->x.line_step + s) * c->wide + j * c->x.step + t];
            sum += p[ch] * w[ch * taps + t * c->n_seg + s]; /* by columns, as it is packed */
        }
    return sqz_rt_to_s8(sum, g->mult[ch], g->shift[ch], g->rq.zero, g->rq.lo, g->rq.hi);
}

static void check_s8(const sqz_kernels *k, const window_case *c, const int8_t *w,
                     const grid_case *g, const sqz_packed *packed, size_t gap)
{
    const size_t rows = c->x.lines * c->x.width, ld = c->n + gap, bytes = (rows - 1) * ld + c->n;
    int8_t *y = block(bytes);
    memset(y, 0x5a, bytes);
    k->dwconv_s8(packed, &c->x, &(sqz_out_s8){.y = y, .ld = ld, .rq = &g->rq});
    for (size_t i = 0; i < bytes; i++) {
        const size_t row = i / ld, ch = i % ld;
        const int want = ch < c->n ? want_s8(c, w, g, row, ch) : 0x5a;
        if (y[i] != want)
            fail_msg("%s: n %zu window %zux%zu step %zu row %zu channel %zu: %d, expected %d",
                     sqz_isa_name(k->isa), c->n, c->n_seg, c->len, c->x.step, row, ch, y[i], want);
    }
    free(y);
}

static void test_dwconv_s8_is_exact_for_every_instruction_set(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 2 << 20};
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    for (int round = 0; round < 2 * ROUNDS; round++) {
        window_case c;
        grid_case g;
        random_window_s8(&r, &c);
        random_grid(&r, c.n, &g);
        make_pixels(&c, 1);
        const bool extreme = sqz_rng_below(&r, 4) == 0;
        for (size_t i = 0; i < c.tall * c.wide; i++)
            for (size_t ch = 0; ch < c.n; ch++)
                ((int8_t *)c.pixel[i])[ch] = extreme ? (int8_t)(sqz_rng_below(&r, 2) ? 127 : -128)
                                                     : (int8_t)((int)sqz_rng_below(&r, 256) - 128);
        const size_t taps = c.n_seg * c.len;
        int8_t *w = block(c.n * taps);
        for (size_t i = 0; i < c.n * taps; i++)
            w[i] = extreme ? -128 : (int8_t)((int)sqz_rng_below(&r, 256) - 128);
        /* the kernel's segments are taps of a line, its terms lines */
        sqz_packed p = {c.n, c.len, c.n_seg, block(sqz_pack_s8_bytes(c.n, c.len, c.n_seg))};
        sqz_pack_s8(&p, w, taps, 1, g.start);
        const size_t gap = sqz_rng_below(&r, 3);
        for (size_t s = 0; s < n_set; s++)
            check_s8(&set[s], &c, w, &g, &p, gap);
        free(p.data);
        free(w);
        free(g.start);
        free(g.mult);
        fit_free(&g.rq);
        free(g.shift);
        free_pixels(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dwconv_f32_is_the_sum_for_every_instruction_set),
        cmocka_unit_test(test_dwconv_f32_does_not_depend_on_the_tile),
        cmocka_unit_test(test_dwconv_f32_keeps_nan),
        cmocka_unit_test(test_dwconv_s8_is_exact_for_every_instruction_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
