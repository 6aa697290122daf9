/* ctx.c: the context. */
#include "base/base.h"
#include "kernels/kernels.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

/* Weights come in large blocks that are written once: with huge pages the system has 500 times
 * fewer pages to make, which is most of the time that loading a model takes. */
static void *default_alloc(void *user, size_t n)
{
    (void)user;
    if (n < 2 * HUGE_PAGE)
        return malloc(n);
    void *p = NULL;
    if (posix_memalign(&p, HUGE_PAGE, n) != 0)
        return NULL;
    (void)madvise(p, n / HUGE_PAGE * HUGE_PAGE,
                  MADV_HUGEPAGE); /* where that is not known: nothing */
    return p;
}

static void default_free(void *user, void *p)
{
    (void)user;
    free(p);
}

sqz_status sqz_ctx_create(const sqz_ctx_options *opt, sqz_ctx **out)
{
    sqz_ctx_options o = SQZ_CTX_OPTIONS_INIT;
    if (!out)
        return SQZ_E_ARG;
    *out = NULL;
    if (opt) /* copy only what the caller's header knew about */
        memcpy(&o, opt, SQZ_MIN(opt->struct_size, sizeof o));
    if (!o.allocator.alloc || !o.allocator.free)
        o.allocator = (sqz_allocator){NULL, default_alloc, default_free};
    sqz_ctx *ctx = o.allocator.alloc(o.allocator.user, sizeof *ctx);
    if (!ctx)
        return SQZ_E_NOMEM;
    *ctx = (sqz_ctx){.mem = o.allocator,
                     .rows = o.rows,
                     .log = o.log,
                     .log_user = o.log_user,
                     .progress = o.progress,
                     .progress_user = o.progress_user};
    if (o.rows < SQZ_ROWS_MODEL || o.rows > SQZ_ROWS_FLOAT) {
        sqz_ctx_free(ctx);
        return SQZ_E_ARG;
    }
    sqz_status s = sqz_kernels_create(ctx, o.cpu);
    if (s == SQZ_OK)
        s = sqz_pool_create(ctx, o.threads, &ctx->pool);
    if (s != SQZ_OK) {
        sqz_ctx_free(ctx);
        return s;
    }
    *out = ctx;
    return SQZ_OK;
}

void sqz_ctx_free(sqz_ctx *ctx)
{
    if (!ctx)
        return;
    sqz_pool_free(ctx, ctx->pool);
    sqz_free(ctx, ctx->kernels);
    sqz_free(ctx, ctx->list);
    assert(ctx->live == 0); /* every test is a leak test */
    sqz_allocator m = ctx->mem;
    m.free(m.user, ctx);
}
