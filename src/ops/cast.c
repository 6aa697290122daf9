/* cast.c: see cast.h. Through int64 or double in blocks; between the floats directly, since every
 * half-precision model is run that way. */
#include "ops/cast.h"
#include <math.h>
#include <string.h>

#define BLOCK 256

typedef union bits {
    float f;
    uint32_t u;
} bits;

/* ---- 16-bit floats ---- */

/* Scaling by 2^112 moves the exponent from one bias to the other, subnormals included. */
static float from_f16(uint16_t h)
{
    const uint32_t a = h & 0x7fffu;
    bits v = {.u = a << 13};
    v.f *= 0x1p112f;
    v.u = a >= 0x7c00u ? a << 13 | 0x7f800000u : v.u;
    v.u |= (uint32_t)(h & 0x8000u) << 16;
    return v.f;
}

/* Half to even. Below 2^-14, adding 1/2 lines the bits up to units of 2^-24, rounded. */
static uint16_t to_f16(float f)
{
    const bits v = {.f = f};
    const uint32_t a = v.u & 0x7fffffffu, sign = v.u >> 16 & 0x8000u;
    const bits small = {.f = ((bits){.u = a}).f + 0.5f};
    const uint32_t normal = ((a + 0xfffu + (a >> 13 & 1u)) >> 13) - (112u << 10);
    uint32_t h = a < 0x38800000u ? small.u - 0x3f000000u : normal;
    h = a >= 0x477ff000u ? 0x7c00u : h; /* from 65520 on: infinity */
    h = a > 0x7f800000u ? 0x7e00u : h;
    return (uint16_t)(h | sign);
}

static float from_bf16(uint16_t h) { return ((bits){.u = (uint32_t)h << 16}).f; }

static uint16_t to_bf16(float f)
{
    const bits v = {.f = f};
    const uint32_t up = v.u + 0x7fffu + (v.u >> 16 & 1u);
    return (uint16_t)((isnan(f) ? v.u | 0x400000u : up) >> 16);
}

/* ---- float to float, where one of them is f32 ---- */

#define AT(type, t) ((type *)(t)->data)
#define EACH(to, convert, from)                                                                    \
    for (size_t i = begin; i < end; i++)                                                           \
        AT(to, y)[i] = convert(AT(const from, x)[i]);                                              \
    return true

static bool direct(const sqz_tensor *x, const sqz_tensor *y, size_t begin, size_t end)
{
    if (y->dtype == SQZ_F32 && x->dtype == SQZ_F16) {
        EACH(float, from_f16, uint16_t);
    } else if (y->dtype == SQZ_F32 && x->dtype == SQZ_BF16) {
        EACH(float, from_bf16, uint16_t);
    } else if (y->dtype == SQZ_F32 && x->dtype == SQZ_F64) {
        EACH(float, (float), double);
    } else if (x->dtype == SQZ_F32 && y->dtype == SQZ_F16) {
        EACH(uint16_t, to_f16, float);
    } else if (x->dtype == SQZ_F32 && y->dtype == SQZ_BF16) {
        EACH(uint16_t, to_bf16, float);
    } else if (x->dtype == SQZ_F32 && y->dtype == SQZ_F64) {
        EACH(double, (double), float);
    }
    return false;
}

/* ---- through int64 and double ---- */

#define LOAD(type)                                                                                 \
    for (size_t i = 0; i < n; i++)                                                                 \
        v[i] = +AT(const type, x)[at + i]; /* small types pass through int */                      \
    return

/* Integers as int64; the upper half of uint64 as negative numbers. */
static void load_whole(const sqz_tensor *x, size_t at, size_t n, int64_t *v)
{
    switch (x->dtype) {
    case SQZ_S8: LOAD(int8_t);
    case SQZ_U8: LOAD(uint8_t);
    case SQZ_S16: LOAD(int16_t);
    case SQZ_U16: LOAD(uint16_t);
    case SQZ_S32: LOAD(int32_t);
    case SQZ_U32: LOAD(uint32_t);
    case SQZ_S64: LOAD(int64_t);
    case SQZ_U64: LOAD(int64_t);
    default: /* bool, 4 bits */
        for (size_t i = 0; i < n; i++)
            v[i] = sqz_tensor_i64(x, at + i);
    }
}

static void load_real(const sqz_tensor *x, size_t at, size_t n, double *v)
{
    switch (x->dtype) {
    case SQZ_F32:
        for (size_t i = 0; i < n; i++)
            v[i] = (double)AT(const float, x)[at + i];
        return;
    case SQZ_F64: LOAD(double);
    default:
        for (size_t i = 0; i < n; i++)
            v[i] = sqz_tensor_f64(x, at + i);
    }
}

#define STORE(type)                                                                                \
    for (size_t i = 0; i < n; i++)                                                                 \
        AT(type, y)[at + i] = (type)v[i];                                                          \
    return

static void store_whole(sqz_tensor *y, size_t at, size_t n, const int64_t *v)
{
    switch (y->dtype) {
    case SQZ_S8: STORE(int8_t);
    case SQZ_U8: STORE(uint8_t);
    case SQZ_S16: STORE(int16_t);
    case SQZ_U16: STORE(uint16_t);
    case SQZ_S32: STORE(int32_t);
    case SQZ_U32: STORE(uint32_t);
    case SQZ_S64:
    case SQZ_U64: STORE(int64_t);
    case SQZ_S4: /* the writer saturates: wrap before it */
        for (size_t i = 0; i < n; i++)
            sqz_tensor_set_i64(y, at + i, (int64_t)(((uint64_t)v[i] & 15u) ^ 8u) - 8);
        return;
    case SQZ_U4:
        for (size_t i = 0; i < n; i++)
            sqz_tensor_set_i64(y, at + i, (int64_t)((uint64_t)v[i] & 15u));
        return;
    default: /* bool and floats */
        for (size_t i = 0; i < n; i++)
            sqz_tensor_set_i64(y, at + i, v[i]);
    }
}

static int64_t truncated(double v)
{
    if (v >= 0x1p63 && v < 0x1p64) /* as the same bits of uint64 */
        return (int64_t)(uint64_t)v;
    return v > -0x1p63 && v < 0x1p63 ? (int64_t)v : v < 0 || v > 0 ? INT64_MIN : 0;
}

/* Reals to integers: truncated here, wrapped by store_whole. */
static void real_to_whole(sqz_tensor *y, size_t at, size_t n, const double *v, bool clamp)
{
    int64_t w[BLOCK];
    const double lo = y->dtype == SQZ_S4 ? -8 : 0, hi = y->dtype == SQZ_S4 ? 7 : 15;
    clamp = clamp && sqz_dtype_bits(y->dtype) == 4;
    for (size_t i = 0; i < n; i++)
        w[i] = truncated(clamp ? fmin(fmax(v[i], lo), hi) : v[i]);
    store_whole(y, at, n, w);
}

static void real_block(const sqz_tensor *x, sqz_tensor *y, size_t at, size_t n, bool clamp)
{
    double v[BLOCK];
    load_real(x, at, n, v);
    if (!sqz_dtype_is_float(y->dtype) && y->dtype != SQZ_BOOL)
        real_to_whole(y, at, n, v, clamp);
    else
        for (size_t i = 0; i < n; i++)
            sqz_tensor_set_f64(y, at + i, v[i]);
}

static void whole_block(const sqz_tensor *x, sqz_tensor *y, size_t at, size_t n)
{
    int64_t v[BLOCK];
    load_whole(x, at, n, v);
    if (x->dtype == SQZ_U64 && sqz_dtype_is_float(y->dtype))
        for (size_t i = 0; i < n; i++) {
            if (y->dtype == SQZ_F32)
                AT(float, y)[at + i] = (float)(uint64_t)v[i]; /* one rounding, not two */
            else
                sqz_tensor_set_f64(y, at + i, (double)(uint64_t)v[i]);
        }
    else
        store_whole(y, at, n, v);
}

void sqz_cast_range(const sqz_tensor *x, sqz_tensor *y, size_t begin, size_t end, bool clamp)
{
    if (direct(x, y, begin, end))
        return;
    if (sqz_dtype_bits(y->dtype) == 4 && end % 2) /* the half byte behind the last number is 0 */
        AT(uint8_t, y)[end / 2] = 0;
    for (size_t at = begin; at < end; at += BLOCK) {
        const size_t n = SQZ_MIN(end - at, (size_t)BLOCK);
        if (sqz_dtype_is_float(x->dtype))
            real_block(x, y, at, n, clamp);
        else
            whole_block(x, y, at, n);
    }
}
