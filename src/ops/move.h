/* move.h: what operators that only move elements share. They work on every type, so their float run
 * is their integer run too. Elements smaller than a byte are moved as bytes: see sqz_move_run. */
#ifndef SQZ_MOVE_H
#define SQZ_MOVE_H
#include "ir/op.h"
#include <string.h>

/* Input i has elements of whole bytes (not packed ones). */
sqz_status sqz_need_bytes(const sqz_infer *q, unsigned i);
static inline size_t sqz_elem(const sqz_tensor *t) { return sqz_dtype_bits(t->dtype) / 8; }

/* ---- packed types ----
 * sqz_move_run(c, fn, arg) is fn(c, arg) where packed tensors (two or more elements to a byte) have
 * become int8 or uint8 ones of the same numbers; what fn writes is packed again. prepare asks for
 * the memory that this takes; it comes before the operator's own scratch, which fn sees alone. */
typedef sqz_status (*sqz_move_fn)(const sqz_call *c, const void *arg);
sqz_status sqz_move_prepare(sqz_prep *p); /* adds to p->scratch_bytes; call it last */
sqz_status sqz_move_run(const sqz_call *c, sqz_move_fn fn, const void *arg);

/* Views: the same bytes under another shape; copies when the planner gave two places. */
sqz_status sqz_view_run(const sqz_call *c);
void sqz_view_cost(const sqz_infer *q, sqz_cost *out); /* nothing */
void sqz_move_cost(const sqz_infer *q, sqz_cost *out); /* one move for each output element */

/* ---- copies ---- */
#define SQZ_MOVE_PIECE ((size_t)1 << 18) /* bytes in a piece of work: some 10 us */
/* n bytes that do not overlap, short ones without a call. */
static inline void sqz_copy(unsigned char *to, const unsigned char *from, size_t n)
{
    if (n > 256) {
        memcpy(to, from, n);
    } else if (n >= 16) { /* the last 16 may be copied twice */
        for (size_t i = 0; i + 16 <= n; i += 16)
            memcpy(to + i, from + i, 16);
        memcpy(to + n - 16, from + n - 16, 16);
    } else if (n >= 4) {
        const size_t half = n >= 8 ? 8 : 4;
        memcpy(to, from, half);
        memcpy(to + n - half, from + n - half, half);
    } else {
        for (size_t i = 0; i < n; i++)
            to[i] = from[i];
    }
}
/* Rows of n bytes, all distances in bytes. */
static inline void sqz_copy_rows(unsigned char *to, size_t ld_to, const unsigned char *from,
                                 size_t ld_from, size_t n, size_t rows)
{
    for (size_t i = 0; i < rows; i++)
        sqz_copy(to + i * ld_to, from + i * ld_from, n);
}

/* ---- maps: output coordinate o reads input coordinate map[axis][o], -1: the fill value ----
 * Slices, pads, repeats, nearest-neighbor resizing. Shapes are aligned at the end, as broadcasting
 * does. */
typedef void (*sqz_map_axis_fn)(const void *attrs, const sqz_prep *p, int32_t axis, int64_t in,
                                int64_t out, int64_t *map);
typedef struct sqz_map_run { /* of the last mapped axis: neighbors in both, from -1: fill */
    int64_t from, n;
} sqz_map_run;
typedef struct sqz_maps {
    int32_t rank, n_mapped; /* axes from n_mapped on are copied whole */
    int64_t in[SQZ_MAX_RANK], out[SQZ_MAX_RANK];
    size_t block; /* elements of the axes that are copied whole */
    const int64_t *map[SQZ_MAX_RANK];
    const sqz_map_run *run; /* n_run of them make an output row */
    size_t n_run;
} sqz_maps;
sqz_status sqz_maps_prepare(sqz_prep *p, sqz_map_axis_fn fn); /* p->state becomes the maps */
sqz_status sqz_maps_run(const sqz_call *c, const void *fill); /* one element; NULL: no -1 in maps */
sqz_status sqz_maps_run_plain(const sqz_call *c);

/* ---- indices (int32 or int64), which may be computed from data ---- */
/* Input i has a type that indices may have. */
sqz_status sqz_need_index(const sqz_infer *q, unsigned i);
/* Every index lies in -n .. n-1; says which one does not. */
sqz_status sqz_check_indices(sqz_ctx *ctx, const sqz_tensor *k, int64_t n);
static inline int64_t sqz_index_raw(const sqz_tensor *k, size_t i)
{
    switch (k->dtype) {
    case SQZ_S64: return SQZ_S64P(k)[i];
    case SQZ_S32: return SQZ_S32P(k)[i];
    default: return sqz_tensor_i64(k, i);
    }
}
/* Index i of a checked tensor along a dimension of n: negative ones count from the end. */
static inline size_t sqz_index(const sqz_tensor *k, size_t i, int64_t n)
{
    const int64_t at = sqz_index_raw(k, i);
    return (size_t)(at < 0 ? at + n : at);
}

/* ---- axes ---- */
/* Sizes before, at and after an axis. */
typedef struct sqz_split3 {
    size_t outer, n, inner;
} sqz_split3;
sqz_split3 sqz_split_at(const sqz_shape *s, int32_t axis);
/* Bit mask of a list of axes of a tensor of that rank; refuses repeats. */
sqz_status sqz_axes_mask(sqz_ctx *ctx, const sqz_ints *axes, int32_t rank, uint32_t *mask);

/* Lists made by import hooks. */
sqz_status sqz_ints_new(sqz_arena *a, uint32_t n, sqz_ints *list, int64_t **v);
sqz_status sqz_ints_of_tensor(sqz_arena *a, const sqz_tensor *t, sqz_ints *list, int64_t **v);
#endif
