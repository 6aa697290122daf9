/* fuzz.h: what every fuzz target shares: a context with bounded memory, so that a file that asks
 * for gigabytes meets an allocation that fails instead of a machine that dies. */
#ifndef SQZ_FUZZ_H
#define SQZ_FUZZ_H
#include "base/base.h"
#include <stdlib.h>

#define FUZZ_LARGEST ((size_t)64 << 20) /* bytes of one allocation */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void *fuzz_alloc(void *user, size_t bytes)
{
    (void)user;
    return bytes > FUZZ_LARGEST ? NULL : malloc(bytes);
}
static inline void fuzz_free(void *user, void *p)
{
    (void)user;
    free(p);
}
static inline sqz_ctx *fuzz_ctx(void)
{
    sqz_ctx_options opt = SQZ_CTX_OPTIONS_INIT;
    sqz_ctx *ctx = NULL;
    opt.allocator = (sqz_allocator){NULL, fuzz_alloc, fuzz_free};
    opt.threads = 1;
    if (sqz_ctx_create(&opt, &ctx) != SQZ_OK)
        abort();
    return ctx;
}
#endif
