/* mem.c: the allocator hooks, arenas, aligned blocks. Every live block is counted in the context.
 */
#include "base/base.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void *sqz_malloc(sqz_ctx *ctx, size_t bytes)
{
    void *p = bytes && bytes <= PTRDIFF_MAX ? ctx->mem.alloc(ctx->mem.user, bytes) : NULL;
    if (p)
        ctx->live++;
    else
        (void)sqz_fail(ctx, SQZ_E_NOMEM, "cannot allocate %zu bytes", bytes);
    return p;
}

void *sqz_calloc(sqz_ctx *ctx, size_t count, size_t elem)
{
    size_t bytes;
    if (!sqz_mul(count, elem, &bytes)) {
        (void)sqz_fail(ctx, SQZ_E_LIMIT, "size overflow: %zu x %zu bytes", count, elem);
        return NULL;
    }
    void *p = sqz_malloc(ctx, bytes);
    if (p)
        memset(p, 0, bytes);
    return p;
}

void *sqz_realloc(sqz_ctx *ctx, void *p, size_t old_bytes, size_t new_bytes)
{
    void *q = sqz_malloc(ctx, new_bytes);
    if (!q)
        return NULL;
    if (p) {
        memcpy(q, p, old_bytes < new_bytes ? old_bytes : new_bytes);
        sqz_free(ctx, p);
    }
    return q;
}

void sqz_free(sqz_ctx *ctx, void *p)
{
    if (!p)
        return;
    ctx->live--;
    ctx->mem.free(ctx->mem.user, p);
}

/* The pointer to the raw block stands right before the aligned data; the slack is in front, so the
 * sanitizers see the first byte past the end. */
void *sqz_malloc_aligned(sqz_ctx *ctx, size_t bytes)
{
    size_t total;
    if (!sqz_add(bytes ? bytes : 1, SQZ_ALIGN + sizeof(void *), &total)) {
        (void)sqz_fail(ctx, SQZ_E_LIMIT, "size overflow: %zu bytes", bytes);
        return NULL;
    }
    unsigned char *raw = sqz_malloc(ctx, total);
    if (!raw)
        return NULL;
    uintptr_t data = ((uintptr_t)raw + SQZ_ALIGN + sizeof(void *)) & ~(uintptr_t)(SQZ_ALIGN - 1);
    memcpy((unsigned char *)data - sizeof raw, &raw, sizeof raw);
    return (void *)data;
}

void sqz_free_aligned(sqz_ctx *ctx, void *p)
{
    if (!p)
        return;
    void *raw;
    memcpy(&raw, (unsigned char *)p - sizeof raw, sizeof raw);
    sqz_free(ctx, raw);
}

/* ---- arena ---- */
struct sqz_block {
    struct sqz_block *next;
    size_t used, size;
    unsigned char *base;
};

/* Blocks grow with the arena: what is not touched costs no memory, and large blocks have large
 * pages. */
#ifdef SQZ_ARENA_STRICT
static size_t block_size(const sqz_arena *a) { return (void)a, 0; }
#else
static size_t block_size(const sqz_arena *a)
{
    size_t total = 0;
    for (const struct sqz_block *b = a->head; b; b = b->next)
        total += b->size;
    return SQZ_MIN(SQZ_MAX(total / 4, (size_t)64 << 10), (size_t)32 << 20);
}
#endif

void *sqz_arena_room(sqz_arena *a, size_t count, size_t elem)
{
    size_t bytes, rounded;
    if (!sqz_mul(count, elem, &bytes) || !sqz_add(bytes, SQZ_ALIGN, &rounded)) {
        (void)sqz_fail(a->ctx, SQZ_E_LIMIT, "size overflow: %zu x %zu bytes", count, elem);
        return NULL;
    }
    bytes = SQZ_MAX(bytes, 1); /* nothing has an address of its own, aligned like everything else */
#ifndef SQZ_ARENA_STRICT
    bytes = (bytes + 15) & ~(size_t)15;
    if (bytes >= SQZ_ALIGN) /* only what may be vectorised pays for full alignment */
        bytes = (bytes + SQZ_ALIGN - 1) & ~(size_t)(SQZ_ALIGN - 1);
    if (a->head && bytes >= SQZ_ALIGN)
        a->head->used = (a->head->used + SQZ_ALIGN - 1) & ~(size_t)(SQZ_ALIGN - 1);
#endif
    if (!a->head || a->head->used > a->head->size || a->head->size - a->head->used < bytes) {
        size_t size = SQZ_MAX(bytes, block_size(a));
        struct sqz_block *b = sqz_malloc(a->ctx, sizeof *b);
        unsigned char *base = b ? sqz_malloc_aligned(a->ctx, size) : NULL;
        if (!base) {
            sqz_free(a->ctx, b);
            return NULL;
        }
        *b = (struct sqz_block){.next = a->head, .size = size, .base = base};
        a->head = b;
    }
    void *out = a->head->base + a->head->used;
    a->head->used += bytes;
    return out;
}

void *sqz_arena_alloc(sqz_arena *a, size_t count, size_t elem)
{
    void *out = sqz_arena_room(a, count, elem);
    if (out)
        memset(out, 0, SQZ_MAX(count * elem, (size_t)1));
    return out;
}

char *sqz_arena_strndup(sqz_arena *a, const char *text, size_t n)
{
    char *p = sqz_arena_alloc(a, n + 1, 1);
    if (p && n) /* an empty text may have no address */
        memcpy(p, text, n);
    return p;
}

char *sqz_arena_strdup(sqz_arena *a, const char *text)
{
    return sqz_arena_strndup(a, text, strlen(text));
}

char *sqz_arena_printf(sqz_arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = n < 0 ? NULL : sqz_arena_alloc(a, (size_t)n + 1, 1);
    if (p)
        (void)vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p;
}

void sqz_arena_free(sqz_arena *a)
{
    while (a->head) {
        struct sqz_block *next = a->head->next;
        sqz_free_aligned(a->ctx, a->head->base);
        sqz_free(a->ctx, a->head);
        a->head = next;
    }
}
