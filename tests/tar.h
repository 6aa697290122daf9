/* tar.h: a .tar or .tar.gz in memory: ustar with pax and GNU long names, regular files only. For
 * data beside the repository, so a damaged archive is an error with a sentence, not a puzzle. */
#ifndef SQZ_TEST_TAR_H
#define SQZ_TEST_TAR_H
#include <stddef.h>

typedef struct tar_member {
    char *name; /* without a leading "./" */
    const unsigned char *data;
    size_t n;
} tar_member;
typedef struct tar {
    unsigned char *bytes; /* unpacked */
    size_t n;
    tar_member *member; /* in the order of their names */
    size_t n_member;
} tar;

/* NULL, or what is wrong with the file (text that stays). */
const char *tar_open(const char *path, tar *out);
void tar_close(tar *t);
/* NULL: no such file. */
const tar_member *tar_find(const tar *t, const char *name);
#endif
