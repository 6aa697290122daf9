/* Transposition and int8 softmax: every instruction set against the definition; exact heap
 * blocks. */
#include "kernel_test.h"

enum { SEED = 4711 };

static uint8_t *random_bytes(sqz_rng *r, size_t n)
{
    uint8_t *p = block(n);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)sqz_rng_below(r, 256);
    return p;
}

static void check_transpose(sqz_rng *r, sqz_transpose_b4_fn fn, size_t elem, const char *isa)
{
    const size_t most = sqz_rng_below(r, 8) ? 40 : 3; /* images have three planes */
    const size_t rows = 1 + sqz_rng_below(r, most), cols = 1 + sqz_rng_below(r, 43 - most);
    const size_t ldx = cols + (sqz_rng_below(r, 3) ? 0 : 2);
    const size_t ldy = rows + (sqz_rng_below(r, 3) ? 0 : 2);
    const size_t y_bytes = ((cols - 1) * ldy + rows) * elem;
    uint8_t *x = random_bytes(r, ((rows - 1) * ldx + cols) * elem);
    uint8_t *y = random_bytes(r, y_bytes), *want = block(y_bytes);
    memcpy(want, y, y_bytes); /* the gaps between columns are not touched */
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            memcpy(want + (j * ldy + i) * elem, x + (i * ldx + j) * elem, elem);
    fn(rows, cols, x, ldx, y, ldy);
    if (memcmp(y, want, y_bytes) != 0)
        fail_msg("%s: %zu x %zu of %zu bytes, %zu to %zu", isa, rows, cols, elem, ldx, ldy);
    free(x);
    free(y);
    free(want);
}

static void test_matrices_are_transposed(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 0};
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    for (int round = 0; round < 3000; round++)
        for (size_t s = 0; s < n_set; s++) {
            check_transpose(&r, set[s].transpose_b4, 4, sqz_isa_name(set[s].isa));
            check_transpose(&r, set[s].transpose_b1, 1, sqz_isa_name(set[s].isa));
        }
}

static void test_int8_softmax_is_the_runtimes(void **state)
{
    (void)state;
    sqz_rng r = {SEED, 1 << 30};
    sqz_kernels set[SQZ_N_ISA];
    const size_t n_set = implementations(set);
    for (int round = 0; round < 1500; round++) {
        const bool whole = round % 100 == 0; /* all alike, 512 of them: quotients are integers */
        const size_t rows = 1 + sqz_rng_below(&r, 3), n = whole ? 512 : 1 + sqz_rng_below(&r, 300);
        const double scale = ldexp(0.5 + sqz_rng_uniform(&r), (int)sqz_rng_below(&r, 12) - 10);
        const int spread = whole ? 1 : 1 + (int)sqz_rng_below(&r, 256);
        uint32_t *table = block(256 * sizeof *table);
        int8_t *x = block(rows * n), *y = block(rows * n), *want = block(rows * n);
        for (int d = 0; d < 256; d++)
            table[d] = (uint32_t)nearbyint(8388608.0 * exp(-d * scale));
        for (size_t i = 0; i < rows * n; i++)
            x[i] = (int8_t)((int)sqz_rng_below(&r, (uint64_t)spread) + 128 - spread -
                            (round % 2 || whole
                                 ? 0
                                 : (int)sqz_rng_below(&r, (uint64_t)(257 - spread))));
        sqz_rt_softmax_s8(table, x, want, (int32_t)rows, (int32_t)n);
        for (size_t s = 0; s < n_set; s++) {
            set[s].softmax_s8(table, x, y, rows, n);
            for (size_t i = 0; i < rows * n; i++)
                if (y[i] != want[i])
                    fail_msg("%s: %zu of %zu: %d, expected %d", sqz_isa_name(set[s].isa), i, n,
                             y[i], want[i]);
            memcpy(y, x, rows * n); /* in place */
            set[s].softmax_s8(table, y, y, rows, n);
            assert_memory_equal(y, want, rows * n);
        }
        free(table);
        free(x);
        free(y);
        free(want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matrices_are_transposed),
        cmocka_unit_test(test_int8_softmax_is_the_runtimes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
