/* hdf5.c: the one lock around libhdf5, its errors as sentences, and checked opening. */
#include "io/hdf5.h"
#include "io/stream.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The only global state that we add: libhdf5 itself is global, so its lock must be, and what the
 * program is. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static _Atomic bool own_process;

void sqz_h5_own_process(void)
{
    (void)H5dont_atexit();
    own_process = true;
}

void sqz_h5_enter(sqz_h5_guard *g)
{
    (void)pthread_mutex_lock(&lock);
    (void)H5open();
    *g = (sqz_h5_guard){0};
    (void)H5Eget_auto2(H5E_DEFAULT, &g->print, &g->user);
    (void)H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

void sqz_h5_leave(const sqz_h5_guard *g)
{
    (void)H5Eset_auto2(H5E_DEFAULT, g->print, g->user);
    (void)pthread_mutex_unlock(&lock);
}

static herr_t innermost(unsigned depth, const H5E_error2_t *e, void *out)
{
    if (depth == 0 && e->desc)
        (void)snprintf(out, 256, "%s", e->desc);
    return 0;
}

sqz_status sqz_h5_fail(sqz_ctx *ctx, sqz_status s, const char *fmt, ...)
{
    char what[512], why[256] = "";
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    (void)H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, why);
    return sqz_fail(ctx, s, why[0] ? "%s (libhdf5: %s)" : "%s", what, why);
}

/* ---- the superblock ---- (HDF5 file format specification 3.0, II.A) */
static const unsigned char magic[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};

/* It stands at byte 0, 512, 1024, 2048, ... */
static uint64_t next_place(uint64_t at) { return at ? at * 2 : 512; }

bool sqz_h5_signature(const unsigned char *head, size_t n)
{
    for (size_t at = 0; at + sizeof magic <= n; at = (size_t)next_place(at))
        if (memcmp(head + at, magic, sizeof magic) == 0)
            return true;
    return false;
}

static uint64_t little(const unsigned char *p, size_t n)
{
    uint64_t v = 0;
    while (n-- > 0)
        v = v << 8 | p[n];
    return v;
}

/* *out: bytes of the file as its superblock tells; `b` are its first bytes, 0 where there are none.
 */
static sqz_status check_superblock(sqz_ctx *ctx, const char *name, uint64_t size,
                                   const unsigned char b[96], uint64_t *out)
{
    unsigned version = b[8], width = version < 2 ? b[13] : b[9];
    if (version > 3 || (width != 4 && width != 8))
        return sqz_fail(ctx, SQZ_E_FORMAT,
                        "%s: HDF5 superblock version %u with %u-byte addresses, expected version "
                        "0 to 3 with 4 or 8",
                        name, version, width);
    size_t field = version == 0 ? 24 : version == 1 ? 28 : 12;
    uint64_t base = little(b + field, width), end = little(b + field + 2 * width, width);
    if (size < 48 || end < 48 || base + end > size || base + end < end)
        return sqz_fail(ctx, SQZ_E_FORMAT,
                        "%s: truncated: %" PRIu64 " bytes, but its HDF5 superblock tells %" PRIu64
                        "; get the file again",
                        name, size, end);
    *out = base + end;
    return SQZ_OK;
}

static sqz_status no_signature(sqz_ctx *ctx, const char *name)
{
    return sqz_fail(ctx, SQZ_E_FORMAT, "%s: not an HDF5 file: no signature", name);
}

sqz_status sqz_h5_size(sqz_ctx *ctx, const char *path, uint64_t *out)
{
    sqz_stream s = SQZ_STREAM_CLOSED;
    sqz_status st = sqz_stream_open(ctx, path, &s);
    bool seen = false;
    for (uint64_t at = 0;
         st == SQZ_OK && !seen && s.pack == SQZ_PACK_NONE && s.size >= 8 && at <= s.size - 8;
         at = next_place(at)) {
        unsigned char b[96] = {0};
        st = sqz_stream_read(&s, at, b, (size_t)SQZ_MIN(s.size - at, (uint64_t)sizeof b));
        seen = st == SQZ_OK && memcmp(b, magic, sizeof magic) == 0;
        if (seen)
            st = check_superblock(ctx, s.name, s.size, b, out);
    }
    if (st == SQZ_OK && !seen)
        st = no_signature(ctx, path);
    sqz_stream_close(&s);
    return st;
}

static sqz_status size_of_bytes(sqz_ctx *ctx, const char *name, const unsigned char *bytes,
                                size_t n)
{
    uint64_t out;
    for (size_t at = 0; n >= 8 && at <= n - 8; at = (size_t)next_place(at)) {
        unsigned char b[96] = {0};
        memcpy(b, bytes + at, SQZ_MIN(n - at, sizeof b));
        if (memcmp(b, magic, sizeof magic) == 0)
            return check_superblock(ctx, name, n, b, &out);
    }
    return no_signature(ctx, name);
}

/* plist: taken over. */
static sqz_status open_with(sqz_ctx *ctx, const char *name, const char *path, unsigned mode,
                            hid_t plist, bool ready, hid_t *out)
{
    sqz_status st = own_process && ready ? sqz_h5_try(ctx, path, plist) : SQZ_OK;
    if (st == SQZ_OK && ready && H5Pset_fclose_degree(plist, H5F_CLOSE_STRONG) >= 0)
        *out = H5Fopen(path, mode, plist);
    if (st == SQZ_OK && *out < 0)
        st = sqz_h5_fail(ctx, SQZ_E_FORMAT,
                         "%s: cannot be opened as HDF5: damaged or still being written", name);
    if (plist >= 0)
        (void)H5Pclose(plist);
    return st;
}

sqz_status sqz_h5_open(sqz_ctx *ctx, const char *path, hid_t *out)
{
    uint64_t size;
    *out = -1;
    SQZ_TRY(sqz_h5_size(ctx, path, &size));
    hid_t plist = H5Pcreate(H5P_FILE_ACCESS);
    return open_with(ctx, path, path, H5F_ACC_RDONLY, plist, plist >= 0, out);
}

/* The driver wants a name that no file on disk has: nothing can be below /dev/null. */
#define NOWHERE "/dev/null/squeeze"

static sqz_status open_image(sqz_ctx *ctx, const char *name, const void *bytes, size_t n,
                             unsigned mode, hid_t *out)
{
    *out = -1;
    SQZ_TRY(size_of_bytes(ctx, name, bytes, n));
    hid_t plist = H5Pcreate(H5P_FILE_ACCESS);
    bool ready = plist >= 0 && H5Pset_fapl_core(plist, (size_t)1 << 16, 0) >= 0 &&
                 H5Pset_file_image(plist, (void *)(uintptr_t)bytes, n) >= 0;
    return open_with(ctx, name, NOWHERE, mode, plist, ready, out);
}

sqz_status sqz_h5_open_bytes(sqz_ctx *ctx, const char *name, const void *bytes, size_t n,
                             hid_t *out)
{
    return open_image(ctx, name, bytes, n, H5F_ACC_RDONLY, out);
}

sqz_status sqz_h5_edit_bytes(sqz_ctx *ctx, const char *name, const void *bytes, size_t n,
                             hid_t *out)
{
    return open_image(ctx, name, bytes, n, H5F_ACC_RDWR, out);
}

bool sqz_h5_exists(hid_t at, const char *path)
{
    char part[256];
    for (const char *end = path; *end;) {
        end = strchr(end, '/');
        end = end ? end : path + strlen(path);
        size_t n = (size_t)(end - path);
        if (n >= sizeof part)
            return false;
        memcpy(part, path, n);
        part[n] = 0;
        H5L_info_t info;
        if (n && (H5Lexists(at, part, H5P_DEFAULT) <= 0 ||
                  H5Lget_info(at, part, &info, H5P_DEFAULT) < 0 || info.type != H5L_TYPE_HARD))
            return false;
        end += *end == '/';
    }
    return *path != 0;
}

/* ---- attributes ---- */
static sqz_status get_text(sqz_ctx *ctx, hid_t a, const char *name, char *out, size_t room)
{
    hid_t type = H5Aget_type(a), memory = -1;
    bool fits = type >= 0 && H5Tget_class(type) == H5T_STRING && !H5Tis_variable_str(type) &&
                H5Tget_size(type) <= room && H5Aget_storage_size(a) == H5Tget_size(type);
    bool ok = fits && (memory = H5Tcopy(H5T_C_S1)) >= 0 && H5Tset_size(memory, room) >= 0 &&
              H5Tset_cset(memory, H5Tget_cset(type)) >= 0 && H5Aread(a, memory, out) >= 0;
    if (memory >= 0)
        (void)H5Tclose(memory);
    if (type >= 0)
        (void)H5Tclose(type);
    return ok ? SQZ_OK
              : sqz_h5_fail(ctx, SQZ_E_FORMAT,
                            "attribute '%s' is damaged or no text of at most %zu bytes", name,
                            room);
}

sqz_status sqz_h5_get_text(sqz_ctx *ctx, hid_t object, const char *name, char *out, size_t room,
                           bool *found)
{
    *found = H5Aexists(object, name) > 0;
    if (!*found)
        return SQZ_OK;
    hid_t a = H5Aopen(object, name, H5P_DEFAULT);
    if (a < 0)
        return sqz_h5_fail(ctx, SQZ_E_FORMAT, "attribute '%s' cannot be opened", name);
    sqz_status st = get_text(ctx, a, name, out, room);
    (void)H5Aclose(a);
    return st;
}

static sqz_status get_f64(sqz_ctx *ctx, hid_t a, const char *name, double *out, size_t room,
                          size_t *n)
{
    hid_t space = H5Aget_space(a), type = H5Aget_type(a);
    hssize_t count = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
    H5T_class_t kind = type < 0 ? H5T_NO_CLASS : H5Tget_class(type);
    bool ok = count > 0 && (size_t)count <= room && (kind == H5T_INTEGER || kind == H5T_FLOAT) &&
              H5Aread(a, H5T_NATIVE_DOUBLE, out) >= 0;
    if (space >= 0)
        (void)H5Sclose(space);
    if (type >= 0)
        (void)H5Tclose(type);
    *n = ok ? (size_t)count : 0;
    return ok ? SQZ_OK
              : sqz_h5_fail(ctx, SQZ_E_FORMAT, "attribute '%s' is damaged, or not 1 to %zu numbers",
                            name, room);
}

sqz_status sqz_h5_get_f64(sqz_ctx *ctx, hid_t object, const char *name, double *out, size_t room,
                          size_t *n)
{
    *n = 0;
    if (H5Aexists(object, name) <= 0)
        return SQZ_OK;
    hid_t a = H5Aopen(object, name, H5P_DEFAULT);
    if (a < 0)
        return sqz_h5_fail(ctx, SQZ_E_FORMAT, "attribute '%s' cannot be opened", name);
    sqz_status st = get_f64(ctx, a, name, out, room, n);
    (void)H5Aclose(a);
    return st;
}
