/* tensor.c: tensors in counted buffers; element access for every type, 16-bit floats and 4-bit
 * integers included; casts and permutations. */
#include "ir/graph.h"
#include <math.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

/* ---- memory ---- */

sqz_status sqz_tensor_view(sqz_ctx *ctx, sqz_dtype d, const sqz_shape *s, void *data,
                           sqz_tensor *out)
{
    *out = (sqz_tensor){.dtype = d, .shape = *s, .data = data};
    return sqz_shape_count(ctx, s, d, &out->count, &out->bytes);
}

sqz_status sqz_tensor_room(sqz_ctx *ctx, sqz_dtype d, const sqz_shape *s, sqz_tensor *out)
{
    sqz_tensor t;
    *out = (sqz_tensor){0};
    SQZ_TRY(sqz_tensor_view(ctx, d, s, NULL, &t));
    sqz_data *own = sqz_malloc(ctx, sizeof *own);
    void *block = own ? sqz_malloc_aligned(ctx, t.bytes) : NULL;
    if (!block) {
        sqz_free(ctx, own);
        return SQZ_E_NOMEM;
    }
    *own = (sqz_data){.bytes = t.bytes, .block = block};
    atomic_init(&own->refs, 1);
    t.own = own;
    t.data = block;
    *out = t;
    return SQZ_OK;
}

sqz_status sqz_tensor_alloc(sqz_ctx *ctx, sqz_dtype d, const sqz_shape *s, sqz_tensor *out)
{
    SQZ_TRY(sqz_tensor_room(ctx, d, s, out));
    if (out->bytes)
        memset(out->data, 0, out->bytes);
    return SQZ_OK;
}

bool sqz_tensor_alone(const sqz_tensor *t)
{
    return t->own && t->own->block && atomic_load(&t->own->refs) == 1;
}

sqz_status sqz_tensor_map(sqz_ctx *ctx, sqz_dtype d, const sqz_shape *s, void *map,
                          size_t map_bytes, void *data, sqz_tensor *out)
{
    sqz_tensor t;
    *out = (sqz_tensor){0};
    sqz_status st = sqz_tensor_view(ctx, d, s, data, &t);
    sqz_data *own = st == SQZ_OK ? sqz_malloc(ctx, sizeof *own) : NULL;
    if (!own) {
        (void)munmap(map, map_bytes);
        return st == SQZ_OK ? SQZ_E_NOMEM : st;
    }
    *own = (sqz_data){.bytes = t.bytes, .map = map, .map_bytes = map_bytes};
    atomic_init(&own->refs, 1);
    t.own = own;
    *out = t;
    return SQZ_OK;
}

void sqz_tensor_share(const sqz_tensor *from, sqz_tensor *out)
{
    if (from->own)
        atomic_fetch_add_explicit(&from->own->refs, 1, memory_order_relaxed);
    *out = *from;
}

void sqz_tensor_free(sqz_ctx *ctx, sqz_tensor *t)
{
    sqz_data *own = t->own;
    *t = (sqz_tensor){0};
    /* acquire-release: whoever frees sees every write made through other references */
    if (own && atomic_fetch_sub_explicit(&own->refs, 1, memory_order_acq_rel) == 1) {
        if (own->map)
            (void)munmap(own->map, own->map_bytes);
        else
            sqz_free_aligned(ctx, own->block);
        sqz_free(ctx, own);
    }
}

/* ---- 16-bit floats ---- */

/* Rounds to a float of `mant` stored mantissa bits and exponents down to `emin`; one rounding, half
 * to even, straight from double. */
static double round_to(double v, int mant, int emin)
{
    int e;
    if (v == 0.0 || !isfinite(v))
        return v;
    (void)frexp(v, &e); /* |v| in [2^(e-1), 2^e) */
    int q = SQZ_MAX(e - 1, emin) - mant;
    return ldexp(rint(ldexp(v, -q)), q);
}

static uint16_t f16_bits(double v)
{
    uint16_t sign = signbit(v) ? 0x8000u : 0;
    if (isnan(v))
        return (uint16_t)(sign | 0x7e00u);
    double a = fabs(round_to(v, 10, -14));
    if (a > 65504.0)
        return (uint16_t)(sign | 0x7c00u);
    if (a < 0x1p-14) /* subnormal: counts units of 2^-24 */
        return (uint16_t)(sign | (unsigned)(a * 0x1p24));
    int e;
    double m = frexp(a, &e); /* a = 2m * 2^(e-1), 2m in [1, 2) */
    return (uint16_t)(sign | (unsigned)(e - 1 + 15) << 10 | (unsigned)((2 * m - 1) * 1024));
}

static double f16_value(uint16_t h)
{
    unsigned e = h >> 10 & 31, m = h & 1023;
    double a = e == 31  ? (m ? (double)NAN : (double)INFINITY)
               : e == 0 ? m * 0x1p-24
                        : ldexp(1024.0 + m, (int)e - 25);
    return h & 0x8000 ? -a : a;
}

static double bf16_value(uint16_t h)
{
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static uint16_t bf16_bits(double v)
{
    float f = (float)round_to(v, 7, -126);
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    if (isnan(v))
        u |= 0x00400000u; /* keep it a NaN after the cut */
    return (uint16_t)(u >> 16);
}

/* ---- elements ---- */

static unsigned nibble(const sqz_tensor *t, size_t i)
{
    return ((const uint8_t *)t->data)[i / 2] >> (i % 2 * 4) & 15u;
}

static void set_nibble(sqz_tensor *t, size_t i, unsigned v)
{
    uint8_t *p = (uint8_t *)t->data + i / 2;
    unsigned shift = i % 2 * 4;
    *p = (uint8_t)((*p & ~(15u << shift)) | (v & 15u) << shift);
}

#define AT(type, t, i) (((type *)(t)->data)[i])

int64_t sqz_tensor_i64(const sqz_tensor *t, size_t i)
{
    switch (t->dtype) {
    case SQZ_S8: return AT(int8_t, t, i);
    case SQZ_U8: return AT(uint8_t, t, i);
    case SQZ_S16: return AT(int16_t, t, i);
    case SQZ_U16: return AT(uint16_t, t, i);
    case SQZ_S32: return AT(int32_t, t, i);
    case SQZ_U32: return AT(uint32_t, t, i);
    case SQZ_S64: return AT(int64_t, t, i);
    case SQZ_U64: return (int64_t)SQZ_MIN(AT(uint64_t, t, i), (uint64_t)INT64_MAX);
    case SQZ_BOOL: return AT(uint8_t, t, i) != 0;
    case SQZ_S4: return (int64_t)(nibble(t, i) ^ 8u) - 8;
    case SQZ_U4: return nibble(t, i);
    default: break;
    }
    double v = rint(sqz_tensor_f64(t, i));
    if (isnan(v))
        return 0;
    return v >= 0x1p63 ? INT64_MAX : v <= -0x1p63 ? INT64_MIN : (int64_t)v;
}

double sqz_tensor_f64(const sqz_tensor *t, size_t i)
{
    switch (t->dtype) {
    case SQZ_F32: return AT(float, t, i);
    case SQZ_F64: return AT(double, t, i);
    case SQZ_F16: return f16_value(AT(uint16_t, t, i));
    case SQZ_BF16: return bf16_value(AT(uint16_t, t, i));
    case SQZ_U64: return (double)AT(uint64_t, t, i);
    default: return (double)sqz_tensor_i64(t, i);
    }
}

/* Bounds of the integer types; 64-bit unsigned is handled by its writers. */
static void bounds(sqz_dtype d, int64_t *lo, int64_t *hi)
{
    unsigned bits = sqz_dtype_bits(d);
    bool is_signed = d == SQZ_S4 || d == SQZ_S8 || d == SQZ_S16 || d == SQZ_S32 || d == SQZ_S64;
    *lo = is_signed ? INT64_MIN >> (64 - bits) : 0;
    *hi = bits == 64  ? INT64_MAX
          : is_signed ? ((int64_t)1 << (bits - 1)) - 1
                      : ((int64_t)1 << bits) - 1;
}

static void put_int(sqz_tensor *t, size_t i, int64_t v)
{
    int64_t lo, hi;
    bounds(t->dtype, &lo, &hi);
    v = SQZ_MAX(lo, SQZ_MIN(hi, v));
    switch (t->dtype) {
    case SQZ_S8: AT(int8_t, t, i) = (int8_t)v; break;
    case SQZ_U8: AT(uint8_t, t, i) = (uint8_t)v; break;
    case SQZ_S16: AT(int16_t, t, i) = (int16_t)v; break;
    case SQZ_U16: AT(uint16_t, t, i) = (uint16_t)v; break;
    case SQZ_S32: AT(int32_t, t, i) = (int32_t)v; break;
    case SQZ_U32: AT(uint32_t, t, i) = (uint32_t)v; break;
    case SQZ_S64: AT(int64_t, t, i) = v; break;
    case SQZ_U64: AT(uint64_t, t, i) = (uint64_t)v; break;
    case SQZ_S4:
    case SQZ_U4: set_nibble(t, i, (unsigned)v & 15u); break;
    default: break;
    }
}

void sqz_tensor_set_i64(sqz_tensor *t, size_t i, int64_t v)
{
    if (t->dtype == SQZ_F32)
        AT(float, t, i) = (float)v; /* one rounding, not two */
    else if (t->dtype == SQZ_BOOL)
        AT(uint8_t, t, i) = v != 0;
    else if (sqz_dtype_is_float(t->dtype))
        sqz_tensor_set_f64(t, i, (double)v);
    else
        put_int(t, i, v);
}

void sqz_tensor_set_f64(sqz_tensor *t, size_t i, double v)
{
    switch (t->dtype) {
    case SQZ_F32: AT(float, t, i) = (float)v; return;
    case SQZ_F64: AT(double, t, i) = v; return;
    case SQZ_F16: AT(uint16_t, t, i) = f16_bits(v); return;
    case SQZ_BF16: AT(uint16_t, t, i) = bf16_bits(v); return;
    case SQZ_BOOL: AT(uint8_t, t, i) = v != 0.0; return;
    default: break;
    }
    v = isnan(v) ? 0.0 : rint(v);
    if (t->dtype == SQZ_U64 && v >= 0x1p63)
        AT(uint64_t, t, i) = v >= 0x1p64 ? UINT64_MAX : (uint64_t)v;
    else
        put_int(t, i, v >= 0x1p63 ? INT64_MAX : v <= -0x1p63 ? INT64_MIN : (int64_t)v);
}

/* ---- whole tensors ---- */

sqz_status sqz_tensor_cast(sqz_ctx *ctx, const sqz_tensor *from, sqz_dtype d, sqz_tensor *out)
{
    sqz_tensor t;
    *out = (sqz_tensor){0};
    SQZ_TRY(sqz_tensor_alloc(ctx, d, &from->shape, &t));
    /* u64 goes through double: its upper half has no int64 */
    bool ints = !sqz_dtype_is_float(from->dtype) && from->dtype != SQZ_U64;
    if (from->dtype == d && t.bytes)
        memcpy(t.data, from->data, t.bytes);
    else if (from->dtype != d)
        for (size_t i = 0; i < t.count; i++) {
            if (ints)
                sqz_tensor_set_i64(&t, i, sqz_tensor_i64(from, i));
            else
                sqz_tensor_set_f64(&t, i, sqz_tensor_f64(from, i));
        }
    *out = t;
    return SQZ_OK;
}

/* Elements i, i + 1, ... of `to` are elements j, j + step, ... of `from`. */
static void copy_run(sqz_tensor *to, size_t i, const sqz_tensor *from, size_t j, size_t step,
                     size_t n)
{
    const size_t size = sqz_dtype_bits(from->dtype) / 8;
    if (step == 1 && size) {
        memcpy((char *)to->data + i * size, (const char *)from->data + j * size, n * size);
        return;
    }
    for (size_t k = 0; k < n; k++, j += step)
        switch (size) {
        case 1: AT(uint8_t, to, i + k) = AT(uint8_t, from, j); break;
        case 2: AT(uint16_t, to, i + k) = AT(uint16_t, from, j); break;
        case 4: AT(uint32_t, to, i + k) = AT(uint32_t, from, j); break;
        case 8: AT(uint64_t, to, i + k) = AT(uint64_t, from, j); break;
        default: set_nibble(to, i + k, nibble(from, j)); break;
        }
}

sqz_status sqz_tensor_permute(sqz_ctx *ctx, const sqz_tensor *from, const int *perm,
                              sqz_tensor *out)
{
    int rank = from->shape.rank;
    sqz_shape s = {.rank = rank};
    size_t stride[SQZ_MAX_RANK] = {0}, step = 1, at[SQZ_MAX_RANK] = {0};
    unsigned seen = 0;
    *out = (sqz_tensor){0};
    for (int i = 0; i < rank; i++)
        seen |= perm[i] >= 0 && perm[i] < rank ? 1u << perm[i] : 0;
    if (seen != (1u << rank) - 1u)
        return sqz_fail(ctx, SQZ_E_ARG, "not a permutation of %d axes", rank);
    for (int i = 0; i < rank; i++)
        s.dim[i] = from->shape.dim[perm[i]];
    for (int a = rank - 1; a >= 0; a--) {
        for (int i = 0; i < rank; i++)
            stride[i] = perm[i] == a ? step : stride[i];
        step *= (size_t)from->shape.dim[a];
    }
    while (rank > 0 && s.dim[rank - 1] == 1)
        rank--; /* runs along the last axis that has a length */
    sqz_tensor t;
    SQZ_TRY(sqz_tensor_alloc(ctx, from->dtype, &s, &t));
    const size_t run = rank ? (size_t)s.dim[rank - 1] : 1, along = rank ? stride[rank - 1] : 1;
    size_t j = 0;
    for (size_t i = 0; i < t.count; i += run) {
        copy_run(&t, i, from, j, along, run);
        for (int a = rank - 2; a >= 0; a--) { /* odometer over the output's other axes */
            j += stride[a];
            if (++at[a] < (size_t)s.dim[a])
                break;
            j -= stride[a] * (size_t)s.dim[a];
            at[a] = 0;
        }
    }
    *out = t;
    return SQZ_OK;
}
