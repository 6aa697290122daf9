/* bench_loader: how fast batches are made. bench_loader SET MEMORY CHAIN...: for each chain of
 * augmentations ("" for none) one epoch in batches of 64, of a set of which up to MEMORY bytes are
 * held. By the clock, and by processor time (the loader's thread and this one, which only waits):
 * the latter is what counts where other programs run. */
#include "train/loader.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double processor_time(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static sqz_status measure(sqz_ctx *ctx, sqz_dataset *ds, size_t memory, const char *chain)
{
    const sqz_loader_options o = {
        .data = ds, .batch = 64, .seed = 1, .augment = chain, .memory = memory};
    sqz_loader *l;
    sqz_status s = sqz_loader_create(ctx, &o, &l);
    if (s != SQZ_OK)
        return s;
    const int64_t n = sqz_loader_steps(l);
    double clock = sqz_now(), used = processor_time();
    for (int64_t i = 0; i < n && s == SQZ_OK; i++) {
        sqz_batch b;
        s = sqz_loader_batch(l, 0, i, &b);
    }
    clock = sqz_now() - clock;
    used = processor_time() - used;
    sqz_loader_free(l);
    if (s == SQZ_OK)
        (void)printf("%-24s %9.0f samples/s, %9.0f per second of processor time\n", chain,
                     (double)(n * o.batch) / clock, (double)(n * o.batch) / used);
    return s;
}

int main(int argc, char **argv)
{
    sqz_ctx *ctx;
    sqz_dataset *ds = NULL;
    int64_t memory;
    if (argc < 4 || !sqz_parse_i64(argv[2], NULL, &memory) || memory < 0) {
        (void)fprintf(stderr, "usage: bench_loader SET MEMORY CHAIN...\n");
        return 2;
    }
    if (sqz_ctx_create(NULL, &ctx) != SQZ_OK)
        return 1;
    sqz_status s = sqz_data_open(ctx, argv[1], NULL, &ds);
    for (int i = 3; i < argc && s == SQZ_OK; i++)
        s = measure(ctx, ds, (size_t)memory, argv[i]);
    if (s != SQZ_OK)
        (void)fprintf(stderr, "%s\n", sqz_last_error(ctx));
    sqz_data_close(ds);
    sqz_ctx_free(ctx);
    return s != SQZ_OK;
}
