/* fuzz.h: what every fuzz target shares: contexts whose memory is bounded, and bytes as a file. */
#ifndef SQZ_FUZZ_H
#define SQZ_FUZZ_H
#include "base/base.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_LARGEST ((size_t)64 << 20) /* bytes of one allocation */

typedef struct fuzz_memory {
    size_t most; /* bytes of one allocation */
    bool strict; /* more is a finding; else it fails, as on a machine without the memory */
} fuzz_memory;

static inline void *fuzz_alloc(void *user, size_t bytes)
{
    const fuzz_memory *m = user;
    if (bytes > m->most && m->strict) {
        (void)fprintf(stderr, "%zu bytes asked for, %zu are justified by the file\n", bytes,
                      m->most);
        abort();
    }
    return bytes > m->most ? NULL : malloc(bytes);
}
static inline void fuzz_free(void *user, void *p)
{
    (void)user;
    free(p);
}
static inline sqz_ctx *fuzz_ctx_of(fuzz_memory *m)
{
    sqz_ctx_options opt = SQZ_CTX_OPTIONS_INIT;
    sqz_ctx *ctx = NULL;
    opt.allocator = (sqz_allocator){m, fuzz_alloc, fuzz_free};
    opt.threads = 1;
    if (sqz_ctx_create(&opt, &ctx) != SQZ_OK)
        abort();
    return ctx;
}
/* For models, whose activations may be large although the file is small: too much memory is
 * refused, not a finding. */
static inline sqz_ctx *fuzz_ctx(void)
{
    static fuzz_memory m = {FUZZ_LARGEST, false};
    return fuzz_ctx_of(&m);
}
/* For readers: a file of `size` bytes justifies 1 MiB and `times` its size. */
static inline sqz_ctx *fuzz_ctx_strict(size_t size, size_t times)
{
    static fuzz_memory m;
    m = (fuzz_memory){((size_t)1 << 20) + times * size, true};
    return fuzz_ctx_of(&m);
}

/* A call that may only fail for want of memory. */
static inline void fuzz_must(sqz_ctx *ctx, sqz_status s, const char *what)
{
    if (s == SQZ_OK || s == SQZ_E_NOMEM || s == SQZ_E_LIMIT)
        return;
    (void)fprintf(stderr, "%s: status %d: %s\n", what, (int)s, sqz_last_error(ctx));
    abort();
}
/* A call that may fail, but not without a sentence, and not by a fault of our own. With FUZZ_SAY in
 * the environment the sentences are shown: is a seed read as it should be? */
static inline bool fuzz_may(sqz_ctx *ctx, sqz_status s, const char *what)
{
    if (s == SQZ_OK)
        return true;
    if (s == SQZ_E_INTERNAL || !*sqz_last_error(ctx)) {
        (void)fprintf(stderr, "%s: status %d: '%s'\n", what, (int)s, sqz_last_error(ctx));
        abort();
    }
    if (getenv("FUZZ_SAY"))
        (void)fprintf(stderr, "%s: %s\n", what, sqz_last_error(ctx));
    return false;
}

/* The bytes as a file with a path; close the number that is returned. */
static inline int fuzz_file(const uint8_t *data, size_t n, char path[32])
{
    int fd = memfd_create("fuzz", 0);
    if (fd < 0 || write(fd, data, n) != (ssize_t)n)
        abort();
    (void)snprintf(path, 32, "/proc/self/fd/%d", fd);
    return fd;
}
#endif
