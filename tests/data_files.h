/* data_files.h: files for tests of readers: a folder of our own, whole files in and out, and the
 * damage that every reader must survive. */
#ifndef SQZ_TEST_DATA_FILES_H
#define SQZ_TEST_DATA_FILES_H
#include "io/data.h"
#include "sqz_test.h"
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct test_dir {
    char path[64];
} test_dir;

static inline test_dir test_dir_make(void)
{
    test_dir d = {"/dev/shm/sqz_test_XXXXXX"}; /* in memory: thousands of small files */
    if (mkdtemp(d.path))
        return d;
    strcpy(d.path, "/tmp/sqz_test_XXXXXX");
    if (!mkdtemp(d.path))
        abort();
    return d;
}

static inline int test_remove_one(const char *path, const struct stat *info, int kind,
                                  struct FTW *at)
{
    (void)info, (void)kind, (void)at;
    return remove(path);
}

/* A folder and all that is in it. */
static inline void test_dir_remove(const test_dir *d)
{
    (void)nftw(d->path, test_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* dir/name; a few at a time. */
static inline const char *test_path(const test_dir *d, const char *name)
{
    static char text[8][256];
    static unsigned next;
    char *p = text[next++ % 8];
    snprintf(p, sizeof text[0], "%s/%s", d->path, name);
    return p;
}

static inline void test_write(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f) != 0)
        abort();
}

static inline unsigned char *test_read(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0)
        abort();
    *n = (size_t)ftell(f);
    rewind(f);
    unsigned char *p = malloc(*n + 1);
    if (!p || fread(p, 1, *n, f) != *n)
        abort();
    fclose(f);
    return p;
}

/* Opens a set and reads all of it, one sample after the other and then backwards. */
static inline sqz_status test_read_set(sqz_ctx *ctx, const char *path, const char *split)
{
    sqz_dataset *ds;
    sqz_status s = sqz_data_open(ctx, path, split, &ds);
    if (s != SQZ_OK)
        return s;
    size_t x, y, bytes;
    s = sqz_shape_count(ctx, &ds->shape, SQZ_F32, &x, &bytes);
    if (s == SQZ_OK)
        s = sqz_shape_count(ctx, &ds->label_shape, SQZ_F32, &y, &bytes);
    float *block = s == SQZ_OK && x + y < 1u << 24 ? malloc((x + y + 1) * sizeof *block) : NULL;
    for (int64_t i = 0; s == SQZ_OK && block && i < 2 * ds->n && i < 2000; i++)
        s = sqz_data_read(ds, i < ds->n ? i : 2 * ds->n - 1 - i, 1, block,
                          ds->has_labels ? block + x : NULL);
    free(block);
    sqz_data_close(ds);
    return s;
}

/* Every truncation of the file fails with a sentence that names it. */
static inline void test_truncations(sqz_ctx *ctx, const char *path, const unsigned char *bytes,
                                    size_t n, size_t step)
{
    for (size_t i = 0; i < n; i += step) {
        test_write(path, bytes, i);
        sqz_status s = test_read_set(ctx, path, NULL);
        if (s == SQZ_OK || !strstr(sqz_last_error(ctx), path))
            fail_msg("%s cut to %zu of %zu bytes: status %d, '%s'", path, i, n, (int)s,
                     sqz_last_error(ctx));
    }
    test_write(path, bytes, n);
    TEST_OK(ctx, test_read_set(ctx, path, NULL));
}

/* One random bit flipped, many times: read, or refused with a sentence that names the file. Returns
 * how often it was refused. */
static inline unsigned test_flips(sqz_ctx *ctx, const char *path, const unsigned char *bytes,
                                  size_t n, unsigned times)
{
    sqz_rng r = {.seed = 20240917};
    unsigned refused = 0;
    unsigned char *copy = malloc(n);
    if (!copy)
        abort();
    for (unsigned k = 0; k < times; k++) {
        memcpy(copy, bytes, n);
        size_t bit = (size_t)sqz_rng_below(&r, n * 8);
        copy[bit / 8] ^= (unsigned char)(1u << bit % 8);
        test_write(path, copy, n);
        sqz_status s = test_read_set(ctx, path, NULL);
        refused += s != SQZ_OK;
        if (s != SQZ_OK && !strstr(sqz_last_error(ctx), path))
            fail_msg("bit %zu flipped: status %d, '%s'", bit, (int)s, sqz_last_error(ctx));
    }
    free(copy);
    return refused;
}

/* What reading a large set may take at most. The address sanitizer keeps freed memory for a while.
 */
#ifdef __SANITIZE_ADDRESS__
#    define TEST_MEMORY_KIB (512 * 1024)
#else
#    define TEST_MEMORY_KIB (64 * 1024)
#endif

/* libhdf5 loses memory when it refuses a damaged file; that is not for our leak check. */
#define TEST_HDF5_LEAKS                                                                            \
    __attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);          \
    const char *__lsan_default_suppressions(void) { return "leak:libhdf5\n"; }

/* Highest resident memory of this process so far, in KiB. */
static inline long test_peak_kib(void)
{
    char line[256];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    if (f)
        fclose(f);
    return kib;
}
#endif
