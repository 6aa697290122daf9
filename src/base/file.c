/* file.c: whole files in, atomic files out, folders, the clock. */
#include "base/base.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The sentence of a failed system call: "cannot <what> '<path>': <reason>". */
static sqz_status fail_errno(sqz_ctx *ctx, const char *what, const char *path, int err)
{
    char buffer[128];
    const char *why = strerror_r(err, buffer, sizeof buffer); /* the GNU one: thread safe */
    return sqz_fail(ctx, err == ENOENT ? SQZ_E_NOTFOUND : SQZ_E_IO, "cannot %s '%s': %s", what,
                    path, why);
}

/* ---- reading ---- */
static sqz_status open_input(sqz_ctx *ctx, const char *path, int *fd, struct stat *st)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0 || fstat(*fd, st) != 0)
        return fail_errno(ctx, "read", path, errno);
    if (S_ISDIR(st->st_mode))
        return sqz_fail(ctx, SQZ_E_IO, "cannot read '%s': it is a folder, a file is expected",
                        path);
    return SQZ_OK;
}

/* Reads up to `room` bytes; fewer only at the end of the file. */
static sqz_status read_some(sqz_ctx *ctx, const char *path, int fd, void *to, size_t room,
                            size_t *got)
{
    for (*got = 0; *got < room;) {
        ssize_t n = read(fd, (char *)to + *got, room - *got);
        if (n == 0)
            return SQZ_OK;
        if (n > 0)
            *got += (size_t)n;
        else if (errno != EINTR)
            return fail_errno(ctx, "read", path, errno);
    }
    return SQZ_OK;
}

static sqz_status too_long(sqz_ctx *ctx, const char *path, size_t limit)
{
    char text[32];
    sqz_print_bytes(text, limit);
    return sqz_fail(ctx, SQZ_E_LIMIT, "'%s' is longer than the %s that are allowed here", path,
                    text);
}

/* The size that fstat tells is a first guess only: pipes have none and files grow. */
static sqz_status read_all(sqz_ctx *ctx, const char *path, size_t limit, int fd, size_t guess,
                           void **data, size_t *bytes)
{
    size_t cap = guess + 1, len = 0; /* one more: sees the end, holds the 0 */
    char *p = sqz_malloc(ctx, cap);
    if (!p)
        return SQZ_E_NOMEM;
    for (;;) {
        size_t got = 0;
        sqz_status s = read_some(ctx, path, fd, p + len, cap - len, &got);
        len += got;
        if (s == SQZ_OK && len > limit)
            s = too_long(ctx, path, limit);
        if (s != SQZ_OK) {
            sqz_free(ctx, p);
            return s;
        }
        if (len < cap)
            break;
        size_t more = cap > SIZE_MAX / 2 ? SIZE_MAX : cap * 2 + 4096;
        char *q = sqz_realloc(ctx, p, cap, more);
        if (!q) {
            sqz_free(ctx, p);
            return SQZ_E_NOMEM;
        }
        p = q;
        cap = more;
    }
    p[len] = 0;
    *data = p;
    *bytes = len;
    return SQZ_OK;
}

sqz_status sqz_file_read(sqz_ctx *ctx, const char *path, size_t limit, void **data, size_t *bytes)
{
    int fd = -1;
    struct stat st = {0};
    *data = NULL;
    *bytes = 0;
    sqz_status s = open_input(ctx, path, &fd, &st);
    if (s == SQZ_OK && S_ISREG(st.st_mode) && (uint64_t)st.st_size > limit)
        s = too_long(ctx, path, limit);
    if (s == SQZ_OK) /* st_size <= limit <= SIZE_MAX; malloc refuses what is beyond PTRDIFF_MAX */
        s = read_all(ctx, path, limit, fd, S_ISREG(st.st_mode) ? (size_t)st.st_size : 4096, data,
                     bytes);
    if (fd >= 0)
        (void)close(fd);
    return s;
}

#define MAP_FROM ((size_t)1 << 20) /* bytes; smaller files are cheaper to read */

sqz_status sqz_file_view(sqz_ctx *ctx, const char *path, size_t limit, sqz_file_bytes *out)
{
    int fd = -1;
    struct stat st = {0};
    *out = (sqz_file_bytes){0};
    sqz_status s = open_input(ctx, path, &fd, &st);
    if (s == SQZ_OK && S_ISREG(st.st_mode) && (uint64_t)st.st_size <= limit &&
        (size_t)st.st_size >= MAP_FROM) {
        void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map != MAP_FAILED)
            *out = (sqz_file_bytes){.data = map, .bytes = (size_t)st.st_size};
    }
    if (fd >= 0)
        (void)close(fd);
    if (s != SQZ_OK || out->data)
        return s;
    s = sqz_file_read(ctx, path, limit, &out->own, &out->bytes);
    out->data = out->own;
    return s;
}

void sqz_file_release(const sqz_file_bytes *f, const void *from, size_t bytes)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t begin = ((uintptr_t)from + page - 1) / page * page;
    const uintptr_t end = ((uintptr_t)from + bytes) / page * page;
    if (f && f->data && !f->own && begin < end) /* read again from the file if need be */
        (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
}

void sqz_file_close(sqz_ctx *ctx, sqz_file_bytes *f)
{
    if (f->own)
        sqz_free(ctx, f->own);
    else if (f->data)
        (void)munmap((void *)(uintptr_t)f->data, f->bytes);
    *f = (sqz_file_bytes){0};
}

sqz_status sqz_file_sha256(sqz_ctx *ctx, const char *path, char hex[65])
{
    unsigned char chunk[16384];
    int fd = -1;
    struct stat st = {0};
    sqz_sha256 h;
    sqz_sha256_begin(&h);
    sqz_status s = open_input(ctx, path, &fd, &st);
    for (size_t got = sizeof chunk; s == SQZ_OK && got == sizeof chunk;) {
        s = read_some(ctx, path, fd, chunk, sizeof chunk, &got);
        sqz_sha256_add(&h, chunk, s == SQZ_OK ? got : 0);
    }
    if (fd >= 0)
        (void)close(fd);
    sqz_sha256_end(&h, hex);
    return s;
}

/* ---- atomic output ---- */
static char *text_copy(sqz_ctx *ctx, const char *text, size_t n)
{
    char *p = sqz_malloc(ctx, n + 1);
    if (p) {
        memcpy(p, text, n);
        p[n] = 0;
    }
    return p;
}

/* A name in the folder of `path`, short whatever the length of the file's own name. */
static char *temp_name(sqz_ctx *ctx, const char *path, unsigned attempt)
{
    const char *slash = strrchr(path, '/');
    sqz_str s = {.ctx = ctx};
    sqz_str_addn(&s, path, slash ? (size_t)(slash - path) + 1 : 0);
    sqz_str_addf(&s, ".sqz-%ld-%u.tmp", (long)getpid(), attempt);
    if (s.status != SQZ_OK)
        sqz_str_free(&s);
    return s.data;
}

static sqz_status open_temp(sqz_outfile *f)
{
    for (unsigned attempt = 0; attempt < 1000; attempt++) {
        f->temp = temp_name(f->ctx, f->path, attempt);
        if (!f->temp)
            return SQZ_E_NOMEM;
        f->fd = open(f->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        int err = errno;
        if (f->fd >= 0)
            return SQZ_OK;
        sqz_free(f->ctx, f->temp); /* not ours: abort must not delete it */
        f->temp = NULL;
        if (err != EEXIST)
            return fail_errno(f->ctx, "write", f->path, err);
    }
    return sqz_fail(f->ctx, SQZ_E_IO, "cannot write '%s': its folder is full of '.sqz-*.tmp' files",
                    f->path);
}

sqz_status sqz_out_begin(sqz_ctx *ctx, const char *path, sqz_outfile *f)
{
    struct stat st;
    *f = (sqz_outfile){.ctx = ctx, .fd = -1};
    bool exists = stat(path, &st) == 0;
    if (exists && S_ISDIR(st.st_mode))
        return sqz_fail(ctx, SQZ_E_IO, "cannot write '%s': it is a folder, a file is expected",
                        path);
    char real[PATH_MAX]; /* a link stays a link: what it points to is replaced */
    const char *target = exists && S_ISREG(st.st_mode) ? realpath(path, real) : path;
    if (!target)
        return fail_errno(ctx, "write", path, errno);
    f->path = text_copy(ctx, target, strlen(target));
    if (!f->path)
        return SQZ_E_NOMEM;
    sqz_status s;
    if (exists &&
        !S_ISREG(st.st_mode)) { /* a terminal, pipe or device has no old content to keep */
        f->fd = open(path, O_WRONLY | O_CLOEXEC);
        s = f->fd < 0 ? fail_errno(ctx, "write", path, errno) : SQZ_OK;
    } else {
        s = open_temp(f);
        if (s == SQZ_OK && exists && fchmod(f->fd, st.st_mode & 07777) != 0)
            s = fail_errno(ctx, "set the permissions of", path, errno);
    }
    if (s != SQZ_OK)
        sqz_out_abort(f);
    return s;
}

sqz_status sqz_out_write(sqz_outfile *f, const void *data, size_t bytes)
{
    const char *p = data;
    while (bytes) {
        ssize_t n = write(f->fd, p, bytes);
        if (n < 0 && errno != EINTR)
            return fail_errno(f->ctx, "write", f->path, errno);
        if (n > 0) {
            p += n;
            bytes -= (size_t)n;
        }
    }
    return SQZ_OK;
}

/* So that the new name survives a power cut. Some file systems cannot; the data is safe anyway. */
static void sync_folder(sqz_ctx *ctx, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? text_copy(ctx, path, (size_t)(slash - path) + 1)
                         : text_copy(ctx, ".", 1);
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)fsync(fd);
        (void)close(fd);
    }
    sqz_free(ctx, folder);
}

static sqz_status commit(sqz_outfile *f)
{
    if (f->temp && fsync(f->fd) != 0)
        return fail_errno(f->ctx, "write", f->path, errno);
    int fd = f->fd;
    f->fd = -1;
    if (close(fd) != 0 && errno != EINTR)
        return fail_errno(f->ctx, "write", f->path, errno);
    if (!f->temp)
        return SQZ_OK;
    if (rename(f->temp, f->path) != 0)
        return fail_errno(f->ctx, "write", f->path, errno);
    sqz_free(f->ctx, f->temp); /* renamed: nothing for abort to delete */
    f->temp = NULL;
    sync_folder(f->ctx, f->path);
    return SQZ_OK;
}

sqz_status sqz_out_commit(sqz_outfile *f)
{
    sqz_status s = commit(f);
    sqz_out_abort(f); /* after success there is only memory left to free */
    return s;
}

void sqz_out_abort(sqz_outfile *f)
{
    if (!f->path)
        return;
    if (f->fd >= 0)
        (void)close(f->fd);
    if (f->temp)
        (void)unlink(f->temp);
    sqz_free(f->ctx, f->temp);
    sqz_free(f->ctx, f->path);
    *f = (sqz_outfile){.ctx = f->ctx, .fd = -1};
}

sqz_status sqz_file_write(sqz_ctx *ctx, const char *path, const void *data, size_t bytes)
{
    sqz_outfile f;
    SQZ_TRY(sqz_out_begin(ctx, path, &f));
    sqz_status s = sqz_out_write(&f, data, bytes);
    if (s == SQZ_OK)
        return sqz_out_commit(&f);
    sqz_out_abort(&f);
    return s;
}

/* ---- folders and the clock ---- */
static sqz_status make_one(sqz_ctx *ctx, const char *path)
{
    struct stat st;
    if (mkdir(path, 0777) == 0)
        return SQZ_OK;
    int err = errno;
    if (stat(path, &st) == 0) { /* also where mkdir says "read-only" of what is there already */
        if (S_ISDIR(st.st_mode))
            return SQZ_OK;
        return sqz_fail(ctx, SQZ_E_IO, "cannot create folder '%s': there is a file of that name",
                        path);
    }
    return fail_errno(ctx, "create folder", path, err);
}

sqz_status sqz_make_dir(sqz_ctx *ctx, const char *path)
{
    if (!*path)
        return sqz_fail(ctx, SQZ_E_ARG, "the name of a folder is empty");
    char *p = text_copy(ctx, path, strlen(path));
    if (!p)
        return SQZ_E_NOMEM;
    sqz_status s = SQZ_OK;
    for (char *at = p + 1; s == SQZ_OK && *at; at++)
        if (*at == '/') {
            *at = 0;
            s = make_one(ctx, p);
            *at = '/';
        }
    if (s == SQZ_OK)
        s = make_one(ctx, p);
    sqz_free(ctx, p);
    return s;
}

double sqz_now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
