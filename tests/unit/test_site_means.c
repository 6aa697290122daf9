/* Sums over all patches of a site against gathered patches, for random convolutions: strides,
 * dilations, padding, groups, three dimensions; and for products. */
#include "quant/feed.h"
#include "quant/site_means.h"
#include "sqz_test.h"

static int64_t draw(sqz_rng *r, int64_t lo, int64_t hi)
{
    return lo + (int64_t)sqz_rng_below(r, (uint64_t)(hi - lo + 1));
}

/* false: no window fits. */
static bool random_site(sqz_ctx *ctx, sqz_rng *r, sqz_site *s)
{
    const int32_t nd = (int32_t)draw(r, 1, 3);
    int64_t in[3], k[3], stride[3], pad[6], dil[3];
    for (int32_t i = 0; i < nd; i++) {
        in[i] = draw(r, 1, nd == 3 ? 5 : 80);
        k[i] = draw(r, 1, 4);
        stride[i] = draw(r, 1, 3);
        dil[i] = draw(r, 1, 2);
        pad[i] = draw(r, 0, 2);
        pad[nd + i] = draw(r, 0, 2);
    }
    const uint32_t n = (uint32_t)nd;
    const sqz_window_attrs at = {
        .strides = {n, stride}, .pads = {2 * n, pad}, .dilations = {n, dil}};
    *s = (sqz_site){.window_op = true};
    if (sqz_window_make(ctx, nd, in, k, &at, false, &s->window) != SQZ_OK)
        return false;
    s->groups = (size_t)draw(r, 1, 3);
    s->depth = (size_t)draw(r, 1, 20);
    s->c_in = s->groups * s->depth;
    s->taps = sqz_volume(s->window.k);
    s->cols = s->taps * s->depth;
    s->rows = s->groups;
    return true;
}

static void check(sqz_ctx *ctx, sqz_rng *r, const sqz_site *s, size_t images)
{
    const size_t one = s->window_op ? sqz_volume(s->window.in) * s->c_in : s->cols;
    const size_t patches = images * (s->window_op ? sqz_volume(s->window.out) : 1);
    float *x = malloc(images * one * sizeof *x), *row = malloc(s->cols * sizeof *row);
    double *got = calloc(s->groups * s->cols, sizeof *got);
    for (size_t i = 0; i < images * one; i++)
        x[i] = (float)sqz_rng_normal(r);
    TEST_OK(ctx, sqz_site_sums(ctx, s, x, images * one, got));
    for (size_t g = 0; g < s->groups; g++) {
        double *want = calloc(s->cols, sizeof *want), *size = calloc(s->cols, sizeof *size);
        for (size_t p = 0; p < patches; p++) {
            sqz_patches_gather(s, x, g, &p, 1, row);
            for (size_t c = 0; c < s->cols; c++) {
                want[c] += (double)row[c];
                size[c] += fabs((double)row[c]);
            }
        }
        for (size_t c = 0; c < s->cols; c++) /* at most 64 float additions in a row */
            TEST_NEAR(got[g * s->cols + c], want[c], 64 * 0x1p-24 * size[c]);
        free(want);
        free(size);
    }
    free(x);
    free(row);
    free(got);
}

static void test_sums_are_those_of_gathered_patches(void **state)
{
    (void)state;
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {.seed = 11};
    unsigned done = 0;
    for (int i = 0; i < 200; i++) {
        sqz_site s;
        if (!random_site(ctx, &r, &s))
            continue;
        check(ctx, &r, &s, (size_t)draw(&r, 1, 3));
        done++;
    }
    assert_true(done > 100);
    for (int i = 0; i < 30; i++) {
        const size_t cols = (size_t)draw(&r, 1, 70);
        check(ctx, &r, &(sqz_site){.rows = 1, .groups = 1, .cols = cols, .depth = cols, .taps = 1},
              (size_t)draw(&r, 1, 200));
    }
    sqz_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sums_are_those_of_gathered_patches)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
