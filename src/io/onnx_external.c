/* onnx_external.c: tensor numbers in a file beside the model. The location comes from the model, so
 * it is confined to the model's folder: relative, no "..", and no symbolic link on the way. A file
 * that another program shortens while its numbers are mapped ends the process, as everywhere. */
#include "io/onnx.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAP_FROM ((size_t)1 << 20) /* bytes */

typedef struct place {
    const char *location;
    int64_t offset, length; /* length -1: not given */
} place;

static sqz_status number(sqz_ctx *ctx, const char *key, const char *text, int64_t *out)
{
    if (!sqz_parse_i64(text, NULL, out) || *out < 0)
        return sqz_fail(ctx, SQZ_E_FORMAT, "external data: %s is '%.40s', expected a number", key,
                        text);
    return SQZ_OK;
}

static sqz_status parse(sqz_ctx *ctx, const Onnx__TensorProto *p, place *out)
{
    *out = (place){.length = -1};
    for (size_t i = 0; i < p->n_external_data; i++) {
        const char *key = sqz_onnx_str(p->external_data[i]->key);
        const char *value = sqz_onnx_str(p->external_data[i]->value);
        if (strcmp(key, "location") == 0)
            out->location = value;
        else if (strcmp(key, "offset") == 0)
            SQZ_TRY(number(ctx, key, value, &out->offset));
        else if (strcmp(key, "length") == 0)
            SQZ_TRY(number(ctx, key, value, &out->length));
    }
    if (!out->location || !out->location[0])
        return sqz_fail(ctx, SQZ_E_FORMAT, "external data has no location");
    if (out->location[0] == '/')
        return sqz_fail(ctx, SQZ_E_FORMAT,
                        "external data at '%.200s': the path is absolute, only files in the "
                        "model's folder are read",
                        out->location);
    return SQZ_OK;
}

/* Opens `name` in the folder `dir` and closes `dir`. */
static int step(int dir, const char *name, bool last)
{
    int fd = openat(dir, name,
                    O_RDONLY | O_NOFOLLOW | O_CLOEXEC | (last ? O_NONBLOCK : O_DIRECTORY));
    int e = errno;
    close(dir);
    errno = e;
    return fd;
}

static int folder_of(sqz_arena *a, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *dir = "."; /* the user's own path: links in it are fine */
    if (slash == path)
        dir = "/";
    else if (slash)
        dir = sqz_arena_strndup(a, path, (size_t)(slash - path));
    return dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

/* Walks the location one component at a time, so that no link is followed anywhere. */
static sqz_status walk(sqz_arena *a, const char *path, const char *location, int *out)
{
    int fd = folder_of(a, path);
    const char *at = location;
    while (fd >= 0) {
        at += strspn(at, "/");
        size_t n = strcspn(at, "/");
        bool last = at[n + strspn(at + n, "/")] == 0;
        if (n == 0) {
            close(fd);
            return sqz_fail(a->ctx, SQZ_E_FORMAT, "external data at '%.200s': not a file",
                            location);
        }
        if (n == 2 && at[0] == '.' && at[1] == '.') {
            close(fd);
            return sqz_fail(a->ctx, SQZ_E_FORMAT,
                            "external data at '%.200s': '..' leaves the model's folder", location);
        }
        char *name = sqz_arena_strndup(a, at, n);
        if (!name) {
            close(fd);
            return SQZ_E_NOMEM;
        }
        fd = step(fd, name, last);
        at += n;
        if (last)
            break;
    }
    if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
        return sqz_fail(a->ctx, SQZ_E_FORMAT,
                        "external data at '%.200s': symbolic links are not followed", location);
    if (fd < 0)
        return sqz_fail(a->ctx, errno == ENOENT ? SQZ_E_NOTFOUND : SQZ_E_IO,
                        "external data at '%.200s': %s", location, strerror(errno));
    *out = fd;
    return SQZ_OK;
}

static sqz_status check_part(sqz_ctx *ctx, int fd, const place *p, size_t bytes)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return sqz_fail(ctx, SQZ_E_FORMAT, "external data at '%.200s': not a regular file",
                        p->location);
    if (p->length >= 0 && (uint64_t)p->length != bytes)
        return sqz_fail(ctx, SQZ_E_FORMAT,
                        "external data at '%.200s': length is %lld, the tensor has %zu bytes",
                        p->location, (long long)p->length, bytes);
    if (p->offset > st.st_size || bytes > (uint64_t)(st.st_size - p->offset))
        return sqz_fail(
            ctx, SQZ_E_FORMAT,
            "external data at '%.200s': %zu bytes from %lld on are wanted, the file has %lld",
            p->location, bytes, (long long)p->offset, (long long)st.st_size);
    return SQZ_OK;
}

static sqz_status read_part(sqz_ctx *ctx, int fd, const place *p, sqz_tensor *t)
{
    unsigned char *data = t->data;
    for (size_t done = 0; done < t->bytes;) {
        ssize_t n = pread(fd, data + done, t->bytes - done, (off_t)(p->offset + (int64_t)done));
        if (n <= 0)
            return sqz_fail(ctx, SQZ_E_IO, "external data at '%.200s': %s", p->location,
                            n ? strerror(errno) : "the file became shorter");
        done += (size_t)n;
    }
    return SQZ_OK;
}

/* Small tensors are cheaper to read. Where the file does not align them, a map is no use. */
static bool worth_mapping(const place *p, sqz_dtype d, size_t bytes)
{
    return bytes >= MAP_FROM && p->offset % SQZ_ALIGN == 0 && d != SQZ_BOOL;
}

static sqz_status map_part(sqz_ctx *ctx, int fd, const place *p, sqz_dtype d, const sqz_shape *s,
                           size_t bytes, sqz_tensor *out)
{
    const int64_t page = sysconf(_SC_PAGESIZE), head = p->offset % page;
    const size_t n = bytes + (size_t)head;
    void *map = mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, (off_t)(p->offset - head));
    if (map == MAP_FAILED)
        return sqz_fail(ctx, SQZ_E_IO, "external data at '%.200s': %s", p->location,
                        strerror(errno));
    return sqz_tensor_map(ctx, d, s, map, n, (char *)map + head, out);
}

static sqz_status take(sqz_ctx *ctx, int fd, const place *p, sqz_dtype d, const sqz_shape *s,
                       sqz_tensor *out)
{
    size_t bytes;
    SQZ_TRY(sqz_shape_count(ctx, s, d, NULL, &bytes));
    SQZ_TRY(check_part(ctx, fd, p, bytes));
    if (worth_mapping(p, d, bytes))
        return map_part(ctx, fd, p, d, s, bytes, out);
    SQZ_TRY(sqz_tensor_alloc(ctx, d, s, out));
    sqz_status st = read_part(ctx, fd, p, out);
    if (st != SQZ_OK)
        sqz_tensor_free(ctx, out);
    return st;
}

sqz_status sqz_onnx_external(sqz_ctx *ctx, const Onnx__TensorProto *p, const char *path,
                             sqz_dtype d, const sqz_shape *shape, sqz_tensor *out)
{
    place pl;
    int fd = -1;
    sqz_arena a = {.ctx = ctx};
    sqz_status s = parse(ctx, p, &pl);
    if (s == SQZ_OK && !path)
        s = sqz_fail(ctx, SQZ_E_UNSUPPORTED,
                     "external data at '%.200s': the model has no folder, load it by its path",
                     pl.location);
    if (s == SQZ_OK)
        s = walk(&a, path, pl.location, &fd);
    if (s == SQZ_OK)
        s = take(ctx, fd, &pl, d, shape, out);
    if (fd >= 0)
        close(fd);
    sqz_arena_free(&a);
    return s;
}
