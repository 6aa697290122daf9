/* sqz_test.h: the one include of every test. cmocka needs its four headers first, in this order. */
#ifndef SQZ_TEST_H
#define SQZ_TEST_H
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include "base/base.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A context for one test; freeing it asserts that nothing leaked. */
static inline sqz_ctx *test_ctx(void)
{
    sqz_ctx *ctx = NULL;
    if (sqz_ctx_create(NULL, &ctx) != SQZ_OK)
        abort();
    return ctx;
}
#define TEST_OK(ctx, expr)                                                                         \
    do {                                                                                           \
        sqz_status test_s_ = (expr);                                                               \
        if (test_s_ != SQZ_OK)                                                                     \
            fail_msg("%s: status %d: %s", #expr, (int)test_s_, sqz_last_error(ctx));               \
    } while (0)
/* The call fails with this status and its sentence contains `part`. */
#define TEST_FAILS(ctx, expr, want, part)                                                          \
    do {                                                                                           \
        sqz_status test_s_ = (expr);                                                               \
        if (test_s_ != (want) || !strstr(sqz_last_error(ctx), part))                               \
            fail_msg("%s: status %d, sentence '%s', expected %d with '%s'", #expr, (int)test_s_,   \
                     sqz_last_error(ctx), (int)(want), part);                                      \
    } while (0)
/* |got - want| <= tolerance, in double. */
#define TEST_NEAR(got, want, tolerance)                                                            \
    do {                                                                                           \
        double test_g_ = (got), test_w_ = (want);                                                  \
        if (!(fabs(test_g_ - test_w_) <= (tolerance)))                                             \
            fail_msg("%s is %.17g, expected %.17g", #got, test_g_, test_w_);                       \
    } while (0)
/* Fewest allocations a sweep must reach: a pooled arena (release) makes few. */
#ifdef SQZ_ARENA_STRICT
#    define TEST_ALLOCATIONS(strict) (strict)
#else
#    define TEST_ALLOCATIONS(strict) 3
#endif
#endif
