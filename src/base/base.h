/* base.h: what every file may use: checked arithmetic, errors, memory, strings, files, threads.
 * Depends on no other header of ours but the public one. */
#ifndef SQZ_BASE_H
#define SQZ_BASE_H
#include "squeeze/squeeze.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SQZ_COUNT(a)        (sizeof(a) / sizeof((a)[0]))
#define SQZ_ALIGN           64 /* alignment of tensor data, in bytes */
#define SQZ_PRINTF(fmt, va) __attribute__((format(printf, fmt, va)))
#define SQZ_MIN(a, b)       ((a) < (b) ? (a) : (b))
#define SQZ_MAX(a, b)       ((a) > (b) ? (a) : (b))

/* ---- context (ctx.c). One thread uses a context at a time; workers never touch it. ---- */
struct sqz_ctx {
    sqz_allocator mem;
    struct sqz_pool *pool;
    struct sqz_kernels *kernels; /* chosen at creation; see kernels/kernels.h */
    int32_t rows;                /* SQZ_ROWS_... */
    sqz_log_fn log;
    void *log_user;
    sqz_progress_fn progress;
    void *progress_user;
    size_t
        live; /* allocations not yet freed: sqz_ctx_free asserts 0, so every test is a leak test */
    char *list; /* last text of sqz_list */
    char error[1024];
};

/* ---- errors (error.c) ----
 * A failing call returns a status and leaves one sentence in the context: lower case, no full stop,
 * what was found and what was expected: "node 'conv1' (conv2d): kernel is larger than the input".
 */
SQZ_PRINTF(3, 4) sqz_status sqz_fail(sqz_ctx *ctx, sqz_status s, const char *fmt, ...);
/* Prefixes the sentence with where we are; does nothing for SQZ_OK; hands the status back. */
SQZ_PRINTF(3, 4) sqz_status sqz_note(sqz_ctx *ctx, sqz_status s, const char *fmt, ...);

#define SQZ_TRY(expr)                                                                              \
    do {                                                                                           \
        sqz_status try_s_ = (expr);                                                                \
        if (try_s_ != SQZ_OK)                                                                      \
            return try_s_;                                                                         \
    } while (0)

/* ---- log (log.c): goes to the callback of the context, nowhere by default ---- */
SQZ_PRINTF(3, 4) void sqz_log(sqz_ctx *ctx, sqz_log_level level, const char *fmt, ...);
#define SQZ_WARN(ctx, ...) sqz_log(ctx, SQZ_LOG_WARN, __VA_ARGS__)
#define SQZ_INFO(ctx, ...) sqz_log(ctx, SQZ_LOG_INFO, __VA_ARGS__)
/* Tells the caller how far a long job is. Returns false when the caller wants to stop. */
bool sqz_progress(sqz_ctx *ctx, const char *what, uint64_t done, uint64_t total);

/* ---- checked arithmetic: false on overflow ---- */
static inline bool sqz_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool sqz_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

/* ---- memory (mem.c) ---- */
/* NULL on failure, with the sentence set. bytes == 0 is a caller's mistake and fails as well. */
void *sqz_malloc(sqz_ctx *ctx, size_t bytes);
/* count x elem bytes, zeroed, overflow checked. */
void *sqz_calloc(sqz_ctx *ctx, size_t count, size_t elem);
/* Grows `p` (NULL: new) from old_bytes to new_bytes; the old block is freed only on success. */
void *sqz_realloc(sqz_ctx *ctx, void *p, size_t old_bytes, size_t new_bytes);
void sqz_free(sqz_ctx *ctx, void *p); /* NULL is fine */
/* SQZ_ALIGN-aligned block for tensor data; exactly `bytes` readable. Free with sqz_free_aligned. */
void *sqz_malloc_aligned(sqz_ctx *ctx, size_t bytes);
void sqz_free_aligned(sqz_ctx *ctx, void *p);

/* Arena: bump allocation, freed all at once; nothing in it may need closing. Zeroed, aligned to
 * SQZ_ALIGN, overflow checked. With SQZ_ARENA_STRICT every allocation is its own exact block, so
 * that the sanitizers see overruns. A zeroed arena with ctx set is ready for use. */
typedef struct sqz_arena {
    sqz_ctx *ctx;
    struct sqz_block *head;
} sqz_arena;
void *sqz_arena_alloc(sqz_arena *a, size_t count, size_t elem);
/* The same with undefined contents, for who writes all of it. */
void *sqz_arena_room(sqz_arena *a, size_t count, size_t elem);
char *sqz_arena_strdup(sqz_arena *a, const char *text);
char *sqz_arena_strndup(sqz_arena *a, const char *text, size_t n);
SQZ_PRINTF(2, 3) char *sqz_arena_printf(sqz_arena *a, const char *fmt, ...);
void sqz_arena_free(sqz_arena *a);

/* ---- text (str.c) ---- */
/* For people and JSON: control characters but \n and \t, and what is not UTF-8 (RFC 3629),
 * become '?', in place. Names in model files are anybody's bytes. */
void sqz_text_clean(char *text);
/* Growing text. A failure is remembered in `status`; check it once at the end. data is always a
 * terminated string ("" when empty) after the first append. */
typedef struct sqz_str {
    sqz_ctx *ctx;
    char *data;
    size_t len, cap;
    sqz_status status;
} sqz_str;
void sqz_str_add(sqz_str *s, const char *text);
void sqz_str_addn(sqz_str *s, const char *text, size_t n);
SQZ_PRINTF(2, 3) void sqz_str_addf(sqz_str *s, const char *fmt, ...);
void sqz_str_free(sqz_str *s);
/* Locale-free numbers: a host program may have set a decimal comma. `end` may be NULL, then the
 * whole text must be the number. false: not a number, or out of range. */
bool sqz_parse_f64(const char *text, const char **end, double *out);
bool sqz_parse_i64(const char *text, const char **end, int64_t *out);
/* Shortest text of at most 17 digits that reads back to the same float or double. */
void sqz_print_f64(char out[32], double v);
void sqz_print_f32(char out[32], float v);
/* Bytes for people: "64 KiB", "413.2 KiB", "12 B". */
void sqz_print_bytes(char out[32], uint64_t bytes);
/* Edit distance for "did you mean". */
unsigned sqz_distance(const char *a, const char *b);
/* Nearest of n names (each at `first + k*stride` as const char *), or NULL when none is near. */
const char *sqz_nearest(const char *name, const char *const *first, size_t n, size_t stride);
/* POSIX extended regular expression or plain name: true when `text` equals `pattern` or matches
 * whole. */
sqz_status sqz_match(sqz_ctx *ctx, const char *pattern, const char *text, bool *yes);

/* ---- numbers (rng.c, hash.c) ---- */
/* Counter-based generator (SplitMix64 of seed and counter): same numbers on every machine. */
typedef struct sqz_rng {
    uint64_t seed, counter;
} sqz_rng;
uint64_t sqz_rng_u64(sqz_rng *r);
double sqz_rng_uniform(sqz_rng *r); /* [0, 1) */
double sqz_rng_normal(sqz_rng *r);
uint64_t sqz_rng_below(sqz_rng *r, uint64_t n); /* 0 .. n-1, n > 0, without bias */
/* SHA-256 (FIPS 180-4), streaming; for checksums in recipes and data sets. */
typedef struct sqz_sha256 {
    uint32_t h[8];
    uint64_t bytes;
    unsigned char block[64];
    bool instructions; /* the processor has them; the same sums without */
} sqz_sha256;
void sqz_sha256_begin(sqz_sha256 *s);
void sqz_sha256_add(sqz_sha256 *s, const void *data, size_t bytes);
void sqz_sha256_end(sqz_sha256 *s, char hex[65]);

/* ---- files (file.c) ---- */
/* Whole file into a fresh block (free with sqz_free), one 0 byte after the end. Missing:
 * E_NOTFOUND. */
sqz_status sqz_file_read(sqz_ctx *ctx, const char *path, size_t limit, void **data, size_t *bytes);
/* The same without a copy where that is possible: a large file is mapped for reading, and no 0 byte
 * may follow. A file that another program shortens meanwhile ends the process, as everywhere. */
typedef struct sqz_file_bytes {
    const void *data;
    size_t bytes;
    void *own; /* NULL: mapped */
} sqz_file_bytes;
sqz_status sqz_file_view(sqz_ctx *ctx, const char *path, size_t limit, sqz_file_bytes *out);
/* What lies wholly within is not needed for now: mapped pages leave the memory. */
void sqz_file_release(const sqz_file_bytes *f, const void *from, size_t bytes);
void sqz_file_close(sqz_ctx *ctx, sqz_file_bytes *f);
sqz_status sqz_file_sha256(sqz_ctx *ctx, const char *path, char hex[65]);
/* Atomic output: writes go to a temporary file beside `path`; commit flushes, syncs and renames;
 * abort (or a kill) leaves the old file untouched. Use: begin, write..., then commit or abort. */
typedef struct sqz_outfile {
    sqz_ctx *ctx;
    char *path, *temp;
    int fd;
} sqz_outfile;
sqz_status sqz_out_begin(sqz_ctx *ctx, const char *path, sqz_outfile *f);
sqz_status sqz_out_write(sqz_outfile *f, const void *data, size_t bytes);
sqz_status sqz_out_commit(sqz_outfile *f);
void sqz_out_abort(sqz_outfile *f); /* fine after commit or after a failed begin */
sqz_status sqz_file_write(sqz_ctx *ctx, const char *path, const void *data, size_t bytes);
sqz_status sqz_make_dir(sqz_ctx *ctx, const char *path); /* and its parents; exists already: fine */
/* Wall clock in seconds from an arbitrary origin. */
double sqz_now(void);

/* ---- threads (pool.c) ----
 * The split depends on n and grain only, never on the number of threads: results are the same bytes
 * for any number. fn must not touch the context; the lowest failing chunk wins. Nested calls run
 * inline. */
typedef sqz_status (*sqz_task_fn)(void *arg, size_t begin, size_t end);
sqz_status sqz_pool_create(sqz_ctx *ctx, int threads, struct sqz_pool **out);
void sqz_pool_free(sqz_ctx *ctx, struct sqz_pool *p);
int sqz_pool_threads(const struct sqz_pool *p);
sqz_status sqz_parallel(sqz_ctx *ctx, size_t n, size_t grain, sqz_task_fn fn, void *arg);
/* Index of the calling worker: 0 is the caller, below sqz_pool_threads. For per-thread scratch
 * only: what is computed must not depend on it. */
int sqz_worker_index(void);

/* ---- tables ---- first member of every table entry ---- */
typedef struct sqz_info {
    const char *name, *doc;
    size_t opt_size;             /* bytes of the option struct; 0: no options */
    const struct sqz_attr *opts; /* schema, see base/schema.h */
    unsigned n_opts;
} sqz_info;
#endif
