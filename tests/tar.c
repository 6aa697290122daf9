/* tar.c: POSIX.1-1988 ustar headers of 512 bytes, the names and sizes of POSIX.1-2001 (pax)
 * extended headers, and GNU's long names and base-256 sizes. */
#include "tar.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define BLOCK 512u
enum { NAME = 0, SIZE = 124, SUM = 148, TYPE = 156, MAGIC = 257, PREFIX = 345 };

static const char *unpack(const char *path, tar *t)
{
    size_t room = (size_t)1 << 22;
    int got = 1;
    gzFile f = gzopen(path, "rb"); /* reads what is not compressed as well */
    if (!f)
        return "cannot be opened";
    t->bytes = malloc(room);
    while (t->bytes && (got = gzread(f, t->bytes + t->n, (unsigned)(room - t->n))) > 0) {
        t->n += (size_t)got;
        if (t->n < room)
            continue;
        unsigned char *more = room < (size_t)1 << 30 ? realloc(t->bytes, room *= 2) : NULL;
        if (!more)
            free(t->bytes);
        t->bytes = more;
    }
    int end = gzclose(f);
    if (!t->bytes)
        return "is larger than memory or than 1 GiB";
    return got < 0 || end != Z_OK ? "is a damaged gzip file" : NULL;
}

/* Octal digits with blanks around them, or GNU's big-endian number after the byte 0x80. */
static const char *number(const unsigned char *p, size_t n, uint64_t *out)
{
    size_t i = 0;
    *out = 0;
    if (p[0] & 0x80) {
        *out = p[0] & 0x7f;
        for (i = 1; i < n; i++) {
            if (*out >> 55)
                return "has a number that is too large";
            *out = *out << 8 | p[i];
        }
        return NULL;
    }
    while (i < n && p[i] == ' ')
        i++;
    for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
        *out = *out << 3 | (unsigned)(p[i] - '0'); /* at most 36 bits: 12 digits */
    for (; i < n; i++)
        if (p[i] != ' ' && p[i] != 0)
            return "has a header with a number that is none";
    return NULL;
}

static const char *check_sum(const unsigned char *h)
{
    uint64_t want, sum = 0;
    const char *why = number(h + SUM, 8, &want);
    for (unsigned i = 0; i < BLOCK; i++)
        sum += i >= SUM && i < SUM + 8 ? ' ' : h[i];
    return why ? why : sum != want ? "has a header whose sum is wrong" : NULL;
}

typedef struct reader {
    tar *t;
    size_t room;
    char *long_name; /* for the next file, from GNU or pax */
    int64_t size;    /* for the next file, from pax; -1: none */
} reader;

static char *copy(const void *text, size_t n)
{
    char *p = malloc(n + 1);
    if (p) {
        memcpy(p, text, n);
        p[n] = 0;
    }
    return p;
}

/* Records "LENGTH key=value\n"; LENGTH counts itself. */
static const char *pax(reader *r, const char *p, size_t n)
{
    while (n) {
        size_t len = 0, i = 0;
        for (; i < n && i < 9 && p[i] >= '0' && p[i] <= '9'; i++)
            len = len * 10 + (size_t)(p[i] - '0');
        if (i == 0 || i >= n || p[i] != ' ' || len <= i + 1 || len > n || p[len - 1] != '\n')
            return "has a damaged pax header";
        const char *key = p + i + 1, *end = p + len - 1;
        if ((size_t)(end - key) > 5 && memcmp(key, "path=", 5) == 0) {
            free(r->long_name);
            r->long_name = copy(key + 5, (size_t)(end - key - 5));
        } else if ((size_t)(end - key) > 5 && memcmp(key, "size=", 5) == 0) {
            r->size = strtoll(key + 5, NULL, 10); /* ends at the newline */
            if (r->size < 0)
                return "has a damaged pax header";
        }
        p += len;
        n -= len;
    }
    return NULL;
}

static char *name_of(reader *r, const unsigned char *h)
{
    char name[BLOCK];
    size_t n = 0, k;
    char *taken = r->long_name;
    r->long_name = NULL;
    if (taken)
        return taken;
    if (memcmp(h + MAGIC, "ustar", 6) == 0 && h[PREFIX]) { /* GNU: "ustar  " has no prefix */
        n = strnlen((const char *)h + PREFIX, 155);
        memcpy(name, h + PREFIX, n);
        name[n++] = '/';
    }
    k = strnlen((const char *)h + NAME, 100);
    memcpy(name + n, h + NAME, k);
    return copy(name, n + k);
}

static const char *add(reader *r, const unsigned char *h, const unsigned char *data, size_t n)
{
    tar *t = r->t;
    if (t->n_member == r->room) {
        size_t room = r->room ? r->room * 2 : 1024;
        tar_member *more = realloc(t->member, room * sizeof *more);
        if (!more)
            return "is larger than memory";
        t->member = more;
        r->room = room;
    }
    char *name = name_of(r, h);
    if (!name)
        return "is larger than memory";
    if (name[0] == '.' && name[1] == '/')
        memmove(name, name + 2, strlen(name) - 1);
    t->member[t->n_member++] = (tar_member){name, data, n};
    return NULL;
}

static const char *entry(reader *r, size_t *at)
{
    const unsigned char *h = r->t->bytes + *at;
    uint64_t n;
    const char *why = check_sum(h);
    if (!why)
        why = number(h + SIZE, 12, &n);
    if (why)
        return why;
    if (r->size >= 0 && h[TYPE] != 'x' && h[TYPE] != 'L') {
        n = (uint64_t)r->size;
        r->size = -1;
    }
    size_t left = r->t->n - *at - BLOCK;
    if (n > left)
        return "ends in the middle of a file";
    const unsigned char *data = h + BLOCK;
    *at += BLOCK + ((size_t)n + BLOCK - 1) / BLOCK * BLOCK;
    switch (h[TYPE]) {
    case 'x': return pax(r, (const char *)data, (size_t)n);
    case 'L':
        free(r->long_name);
        r->long_name = copy(data, strnlen((const char *)data, (size_t)n));
        return NULL;
    case '0':
    case 0: return add(r, h, data, (size_t)n);
    default: /* folders, links, global headers: nothing to read in them */
        free(r->long_name);
        r->long_name = NULL;
        return NULL;
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const tar_member *)a)->name, ((const tar_member *)b)->name);
}

const char *tar_open(const char *path, tar *out)
{
    *out = (tar){0};
    reader r = {.t = out, .size = -1};
    const char *why = unpack(path, out);
    for (size_t at = 0; !why && at + BLOCK <= out->n && out->bytes[at];)
        why = entry(&r, &at);
    free(r.long_name);
    if (!why && out->n_member == 0)
        why = "is not a tar archive with files in it";
    if (why)
        tar_close(out);
    else
        qsort(out->member, out->n_member, sizeof *out->member, by_name);
    return why;
}

void tar_close(tar *t)
{
    for (size_t i = 0; i < t->n_member; i++)
        free(t->member[i].name);
    free(t->member);
    free(t->bytes);
    *t = (tar){0};
}

const tar_member *tar_find(const tar *t, const char *name)
{
    const tar_member key = {.name = (char *)(uintptr_t)name};
    return t->n_member ? bsearch(&key, t->member, t->n_member, sizeof key, by_name) : NULL;
}
