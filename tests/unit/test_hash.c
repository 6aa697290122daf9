/* SHA-256 against the FIPS 180 example vectors, and the random numbers. */
#include "sqz_test.h"

static void hash_of(const void *data, size_t n, size_t step, char hex[65])
{
    sqz_sha256 s;
    sqz_sha256_begin(&s);
    for (size_t at = 0; at < n; at += step)
        sqz_sha256_add(&s, (const char *)data + at, SQZ_MIN(step, n - at));
    sqz_sha256_end(&s, hex);
}

static void test_fips_vectors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *hex;
    } v[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrl"
         "mno"
         "pqrsmnopqrstnopqrstu",
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
    };
    char hex[65];
    for (size_t i = 0; i < SQZ_COUNT(v); i++) {
        hash_of(v[i].text, strlen(v[i].text), 1000, hex);
        assert_string_equal(hex, v[i].hex);
    }
}

static void test_a_million_letters_in_any_pieces(void **state)
{
    (void)state;
    char *a = malloc(1000000), hex[65];
    assert_non_null(a);
    memset(a, 'a', 1000000);
    static const size_t step[] = {1000000, 63, 64, 65, 1000, 127};
    for (size_t i = 0; i < SQZ_COUNT(step); i++) {
        hash_of(a, 1000000, step[i], hex);
        assert_string_equal(hex,
                            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    }
    free(a);
}

/* Every length around the padding's edges: whole at once and byte by byte agree. */
static void test_padding_edges(void **state)
{
    (void)state;
    char text[200], once[65], pieces[65];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * 7 + 1);
    for (size_t n = 0; n <= sizeof text; n++) {
        hash_of(text, n, 1000, once);
        hash_of(text, n, 1, pieces);
        assert_string_equal(once, pieces);
    }
}

/* The processor's own rounds, where it has them, against the plain ones. */
static void test_instructions_give_the_same_sums(void **state)
{
    (void)state;
    unsigned char data[1000];
    sqz_rng r = {.seed = 4};
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)sqz_rng_u64(&r);
    for (size_t n = 0; n <= sizeof data; n += 37) {
        char hex[2][65];
        for (int plain = 0; plain < 2; plain++) {
            sqz_sha256 s;
            sqz_sha256_begin(&s);
            if (plain)
                s.instructions = false;
            sqz_sha256_add(&s, data, n / 3);
            sqz_sha256_add(&s, data + n / 3, n - n / 3);
            sqz_sha256_end(&s, hex[plain]);
        }
        assert_string_equal(hex[0], hex[1]);
    }
}

/* The stream is part of what makes results reproducible: it may never change. The numbers were
 * computed by a separate program (Python integers, the formula in rng.c). */
static void test_stream_is_fixed(void **state)
{
    (void)state;
    sqz_rng r = {.seed = 42};
    static const uint64_t want[] = {0x270e65ffd12c41e9, 0xbd7f30f717b5dd26, 0x0568706dae375ce0,
                                    0x99bc1e092ae9e5e9};
    for (size_t i = 0; i < SQZ_COUNT(want); i++)
        assert_true(sqz_rng_u64(&r) == want[i]);
    sqz_rng again = {.seed = 42, .counter = 2}; /* the counter is a position: no state besides */
    assert_true(sqz_rng_u64(&again) == want[2]);
}

static void test_uniform_and_normal_moments(void **state)
{
    (void)state;
    enum { N = 200000 };
    sqz_rng r = {.seed = 1};
    double u1 = 0, u2 = 0, n1 = 0, n2 = 0, n4 = 0;
    for (int i = 0; i < N; i++) {
        double u = sqz_rng_uniform(&r), z = sqz_rng_normal(&r);
        assert_true(u >= 0 && u < 1 && isfinite(z));
        u1 += u / N;
        u2 += u * u / N;
        n1 += z / N;
        n2 += z * z / N;
        n4 += z * z * z * z / N;
    }
    /* five standard errors: sd of u is 0.289, of u^2 0.298, of z 1, of z^2 1.41, of z^4 9.8 */
    double root = sqrt((double)N);
    assert_true(fabs(u1 - 0.5) < 5 * 0.289 / root && fabs(u2 - 1.0 / 3) < 5 * 0.298 / root);
    assert_true(fabs(n1) < 5 / root && fabs(n2 - 1) < 5 * 1.42 / root);
    assert_true(fabs(n4 - 3) < 5 * 9.8 / root);
}

static void test_below_is_even_and_in_range(void **state)
{
    (void)state;
    sqz_rng r = {.seed = 9};
    int count[7] = {0};
    for (int i = 0; i < 70000; i++)
        count[sqz_rng_below(&r, 7)]++;
    for (int k = 0; k < 7; k++) /* sd of a count is 93 */
        assert_true(abs(count[k] - 10000) < 5 * 93);
    assert_true(sqz_rng_below(&r, 1) == 0);
    for (int i = 0; i < 1000; i++)
        assert_true(sqz_rng_below(&r, ((uint64_t)1 << 63) + 1) <= (uint64_t)1 << 63);
}

static void test_seeds_give_different_streams(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) { /* no stream is a neighbour's, shifted */
        sqz_rng a = {.seed = seed}, b = {.seed = seed + 1};
        uint64_t first = sqz_rng_u64(&b);
        for (int i = 0; i < 100; i++)
            assert_true(sqz_rng_u64(&a) != first);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fips_vectors),
        cmocka_unit_test(test_a_million_letters_in_any_pieces),
        cmocka_unit_test(test_padding_edges),
        cmocka_unit_test(test_instructions_give_the_same_sums),
        cmocka_unit_test(test_stream_is_fixed),
        cmocka_unit_test(test_uniform_and_normal_moments),
        cmocka_unit_test(test_below_is_even_and_in_range),
        cmocka_unit_test(test_seeds_give_different_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
