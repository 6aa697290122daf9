/* Numbers held in few bytes come back to the bit, however many different ones there are. */
#include "sqz_test.h"
#include "train/held.h"

/* n numbers, of `different` ones, added in pieces; with signed zeros and what is no number. */
static void round_trip(size_t n, size_t different, size_t piece, size_t width)
{
    sqz_ctx *ctx = test_ctx();
    sqz_rng r = {.seed = n + different};
    float *x = calloc(n, sizeof *x), *back = calloc(n, sizeof *back);
    sqz_held h;
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = (uint32_t)(i < different ? i : sqz_rng_below(&r, different));
        const uint32_t spread = bits == 1 ? 0x80000000u : bits == 2 ? 0x7fc00123u : bits * 65521u;
        memcpy(x + i, &spread, sizeof spread);
    }
    TEST_OK(ctx, sqz_held_create(ctx, n, &h));
    for (size_t i = 0; i < n; i += piece)
        TEST_OK(ctx, sqz_held_add(&h, x + i, SQZ_MIN(piece, n - i)));
    assert_int_equal(h.width, width);
    assert_true((sqz_held_floats(&h) != NULL) == (width == 4));
    for (size_t i = 0; i < n; i += 777)
        sqz_held_take(&h, i, SQZ_MIN((size_t)777, n - i), back + i);
    assert_memory_equal(x, back, n * sizeof *x);
    sqz_held_free(&h);
    sqz_held_free(&h);
    free(x);
    free(back);
    sqz_ctx_free(ctx);
}

static void test_numbers_come_back_to_the_bit(void **state)
{
    (void)state;
    round_trip(5000, 3, 1000, 1);
    round_trip(5000, 256, 999, 1);
    round_trip(5000, 257, 1000, 2); /* widened in the middle of a piece */
    round_trip(5000, 257, 5000, 2);
    round_trip(200000, 65536, 1000, 2);
    round_trip(200000, 65537, 1000, 4);
    round_trip(200000, 65537, 200000, 4);
    round_trip(100000, 100000, 333, 4);
    round_trip(1, 1, 1, 1);
}

static void test_what_cannot_be_counted_is_refused(void **state)
{
    sqz_held h;
    (void)state;
    sqz_ctx *ctx = test_ctx();
    TEST_FAILS(ctx, sqz_held_create(ctx, SIZE_MAX / 2 + 1, &h), SQZ_E_LIMIT, "too many numbers");
    sqz_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_come_back_to_the_bit),
        cmocka_unit_test(test_what_cannot_be_counted_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
