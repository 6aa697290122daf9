/* replay_main.c: runs a fuzz target over files without a fuzzer: each file as it is, every
 * truncation of small ones, and bit flips from a fixed seed. Arguments: files and folders. */
#include "fuzz.h"
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_BYTES ((size_t)1 << 22)
#define CUTS      400 /* truncations at most, evenly spread */
#define FLIPS     300

/* An exact block, so that the sanitizers see a read past the end. */
static void try_exact(const uint8_t *data, size_t size)
{
    uint8_t *p = malloc(size ? size : 1);
    if (!p)
        abort();
    memcpy(p, data, size);
    (void)LLVMFuzzerTestOneInput(p, size);
    free(p);
}

static void variations(uint8_t *data, size_t size)
{
    sqz_rng r = {.seed = size};
    try_exact(data, size);
    for (size_t k = 0, cuts = size < CUTS ? size : CUTS; k < cuts; k++)
        try_exact(data, size * k / cuts);
    for (int k = 0; size && k < FLIPS; k++) { /* one, two or three bits of the file as it was */
        uint64_t bit[3];
        for (int b = 0; b <= k % 3; b++) {
            bit[b] = sqz_rng_below(&r, (uint64_t)size * 8);
            data[bit[b] / 8] ^= (uint8_t)(1u << (bit[b] % 8));
        }
        try_exact(data, size);
        for (int b = k % 3; b >= 0; b--)
            data[bit[b] / 8] ^= (uint8_t)(1u << (bit[b] % 8));
    }
}

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data = f ? malloc(MAX_BYTES) : NULL;
    if (!data) {
        fprintf(stderr, "cannot read %s\n", path);
        if (f)
            (void)fclose(f);
        return -1;
    }
    size_t size = fread(data, 1, MAX_BYTES, f);
    (void)fclose(f);
    variations(data, size);
    free(data);
    return 1;
}

static int replay_folder(const char *path)
{
    struct dirent **entry;
    int n = scandir(path, &entry, NULL, alphasort), done = 0;
    for (int i = 0; i < n; i++) {
        char file[4096];
        if (entry[i]->d_name[0] != '.' && done >= 0 &&
            snprintf(file, sizeof file, "%s/%s", path, entry[i]->d_name) < (int)sizeof file)
            done = replay_file(file) < 0 ? -1 : done + 1;
        free(entry[i]);
    }
    if (n >= 0)
        free(entry);
    return n < 0 ? -1 : done;
}

int main(int argc, char **argv)
{
    int total = 0;
    for (int i = 1; i < argc; i++) {
        struct stat st;
        int n = stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode) ? replay_folder(argv[i])
                                                               : replay_file(argv[i]);
        if (n < 0)
            return 1;
        total += n;
    }
    printf("%d files replayed\n", total);
    return total ? 0 : 1; /* nothing replayed is nothing tested */
}
