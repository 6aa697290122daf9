/* place.c: see place.h. */
#include "train/place.h"
#include <stdlib.h>

typedef struct entry {
    sqz_place *p;
    size_t index;
} entry;

static int larger(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->p->bytes != y->p->bytes)
        return (x->p->bytes < y->p->bytes) - (x->p->bytes > y->p->bytes);
    return (x->index > y->index) - (x->index < y->index);
}

static int lower(const void *a, const void *b)
{
    const sqz_place *x = *(sqz_place *const *)a, *y = *(sqz_place *const *)b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

/* The lowest gap between those that are there at the same time; `near` has room for n. */
static sqz_status put(sqz_ctx *ctx, const entry *all, size_t k, sqz_place **near)
{
    sqz_place *p = all[k].p;
    size_t n = 0, at = 0;
    for (size_t i = 0; i < k; i++)
        if (all[i].p->begin <= p->end && p->begin <= all[i].p->end)
            near[n++] = all[i].p;
    qsort(near, n, sizeof(sqz_place *), lower);
    for (size_t i = 0; i < n; i++) {
        if (near[i]->offset >= at && near[i]->offset - at >= p->bytes)
            break;
        at = SQZ_MAX(at, near[i]->offset + near[i]->bytes);
    }
    p->offset = at;
    return p->bytes <= PTRDIFF_MAX - at ? SQZ_OK
                                        : sqz_fail(ctx, SQZ_E_LIMIT, "the plan is too large");
}

sqz_status sqz_place_all(sqz_ctx *ctx, sqz_place *p, size_t n, size_t *bytes)
{
    sqz_arena a = {.ctx = ctx};
    entry *all = sqz_arena_alloc(&a, n + 1, sizeof *all);
    sqz_place **near = sqz_arena_alloc(&a, n + 1, sizeof(sqz_place *));
    sqz_status s = all && near ? SQZ_OK : SQZ_E_NOMEM;
    *bytes = 0;
    for (size_t i = 0; i < n && s == SQZ_OK; i++) {
        p[i].bytes = (p[i].bytes + SQZ_ALIGN - 1) / SQZ_ALIGN * SQZ_ALIGN;
        all[i] = (entry){&p[i], i};
    }
    if (s == SQZ_OK)
        qsort(all, n, sizeof *all, larger);
    for (size_t i = 0; i < n && s == SQZ_OK; i++) {
        s = put(ctx, all, i, near);
        *bytes = SQZ_MAX(*bytes, all[i].p->offset + all[i].p->bytes);
    }
    sqz_arena_free(&a);
    return s;
}
