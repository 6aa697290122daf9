/* cmocka.h: what the tests of kernels use of cmocka, for machines that have none: test groups that
 * run every test and count the failures. */
#ifndef SQZ_AARCH64_CMOCKA_H
#define SQZ_AARCH64_CMOCKA_H
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
};
#define cmocka_unit_test(fn)                                                                       \
    {                                                                                              \
#        fn, fn                                                                                    \
    }

static jmp_buf cmocka_failed;
static inline void cmocka_fail(const char *file, int line)
{
    fprintf(stderr, "\n%s:%d: failure\n", file, line);
    longjmp(cmocka_failed, 1);
}
#define fail()        cmocka_fail(__FILE__, __LINE__)
#define fail_msg(...) (fprintf(stderr, __VA_ARGS__), fail())
#define assert_true(c)                                                                             \
    do {                                                                                           \
        if (!(c))                                                                                  \
            fail_msg("not true: %s", #c);                                                          \
    } while (0)
#define assert_false(c)              assert_true(!(c))
#define assert_null(p)               assert_true((p) == NULL)
#define assert_non_null(p)           assert_true((p) != NULL)
#define assert_int_equal(a, b)       assert_true((long long)(a) == (long long)(b))
#define assert_int_not_equal(a, b)   assert_true((long long)(a) != (long long)(b))
#define assert_memory_equal(a, b, n) assert_true(memcmp((a), (b), (n)) == 0)
#define assert_string_equal(a, b)    assert_true(strcmp((a), (b)) == 0)

/* 1 if it fails; alone in a function, so that longjmp finds no variable that changes. */
static inline int cmocka_run_one(const struct CMUnitTest *t)
{
    void *state = NULL;
    if (setjmp(cmocka_failed)) {
        fprintf(stderr, "FAILED %s\n", t->name);
        return 1;
    }
    t->run(&state);
    printf("ok %s\n", t->name);
    return 0;
}

static inline int cmocka_run(const struct CMUnitTest *t, size_t n)
{
    int failures = 0;
    for (size_t i = 0; i < n; i++)
        failures += cmocka_run_one(&t[i]);
    return failures;
}
#define cmocka_run_group_tests(tests, setup, teardown)                                             \
    cmocka_run(tests, sizeof(tests) / sizeof *(tests))
#endif
