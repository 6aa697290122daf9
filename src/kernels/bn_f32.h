/* bn_f32.h: the bodies of the batch-norm kernels for the instruction set of the vec_<isa>.h that is
 * included before it. Columns are channels; their numbers stay in registers while rows go by. */
#include "kernels/kernels.h"
#include "kernels/vec_math.h"

V vf bn_get(const float *p, size_t n) { return n < VW ? v_load_n(p, n, 0) : v_load(p); }
V void bn_put(float *p, vf v, size_t n)
{
    if (n < VW)
        v_store_n(p, v, n);
    else
        v_store(p, v);
}

/* Columns in strips of 2 vectors, then one by one: STRIP(vectors, first column, columns of the last
 * vector). */
#define BN_STRIPS(n, STRIP)                                                                        \
    do {                                                                                           \
        size_t i_ = 0;                                                                             \
        for (; i_ + 2 * VW <= (n); i_ += 2 * VW)                                                   \
            STRIP(2, i_, (size_t)VW);                                                              \
        for (; i_ < (n); i_ += VW)                                                                 \
            STRIP(1, i_, (n)-i_ < VW ? (n)-i_ : VW);                                               \
    } while (0)
#define BN_LEFT(k, nv, left) ((k) == (nv)-1 ? (left) : VW)

/* g where the clamp let (x - from) * factor + shift through, else 0. */
V vf bn_masked(const int clamped, vf g, vf d, vf factor, vf shift, vf lo, vf hi)
{
    if (!clamped)
        return g;
    const vf y = v_fma(d, factor, shift);
    return v_sel(v_lt(lo, y), v_sel(v_lt(y, hi), g, v_set(0)), v_set(0));
}

V void bn_run_strip(const int nv, size_t left, const sqz_bn *p, const float *x, float *y, size_t at)
{
    vf from[2], factor[2], shift[2];
    const vf lo = v_set(p->lo), hi = v_set(p->hi);
    for (int k = 0; k < nv; k++) {
        const size_t m = BN_LEFT(k, nv, left), j = at + (size_t)k * VW;
        from[k] = bn_get(p->from + j, m);
        factor[k] = bn_get(p->factor + j, m);
        shift[k] = bn_get(p->shift + j, m);
    }
    x += at, y += at;
    for (size_t r = 0; r < p->rows; r++, x += p->n, y += p->n)
        for (int k = 0; k < nv; k++) {
            const size_t m = BN_LEFT(k, nv, left);
            const vf d = v_sub(bn_get(x + k * VW, m), from[k]);
            bn_put(y + k * VW, v_min(hi, v_max(lo, v_fma(d, factor[k], shift[k]))), m);
        }
}

V void bn_f32(const sqz_bn *p, const float *x, float *y)
{
#define STRIP(nv, at, left) bn_run_strip(nv, left, p, x, y, at)
    BN_STRIPS(p->n, STRIP);
#undef STRIP
}

V void bn_sum_strip(const int nv, const int clamped, size_t left, const sqz_bn *p, const float *x,
                    const float *g, float *first, float *second, size_t at)
{
    vf from[2], factor[2], shift[2], a[2], b[2];
    const vf lo = v_set(p->lo), hi = v_set(p->hi);
    for (int k = 0; k < nv; k++) {
        const size_t m = BN_LEFT(k, nv, left), j = at + (size_t)k * VW;
        from[k] = bn_get(p->from + j, m);
        factor[k] = bn_get(p->factor + j, m);
        shift[k] = bn_get(p->shift + j, m);
        a[k] = b[k] = v_set(0);
    }
    x += at, g += at;
    for (size_t r = 0; r < p->rows; r++, x += p->n, g += p->n)
        for (int k = 0; k < nv; k++) {
            const size_t m = BN_LEFT(k, nv, left);
            const vf d = v_sub(bn_get(x + k * VW, m), from[k]);
            const vf u = bn_masked(clamped, bn_get(g + k * VW, m), d, factor[k], shift[k], lo, hi);
            a[k] = v_add(a[k], u);
            b[k] = v_fma(u, d, b[k]);
        }
    for (int k = 0; k < nv; k++) {
        const size_t m = BN_LEFT(k, nv, left), j = at + (size_t)k * VW;
        bn_put(first + j, a[k], m);
        bn_put(second + j, b[k], m);
    }
}

V void bn_sum_f32(const sqz_bn *p, const float *x, const float *g, float *first, float *second)
{
#define STRIP(nv, at, left) bn_sum_strip(nv, 1, left, p, x, g, first, second, at)
    if (p->clamped) {
        BN_STRIPS(p->n, STRIP);
        return;
    }
#undef STRIP
#define STRIP(nv, at, left) bn_sum_strip(nv, 0, left, p, x, g, first, second, at)
    BN_STRIPS(p->n, STRIP);
#undef STRIP
}

V void bn_back_strip(const int nv, const int clamped, size_t left, const sqz_bn *p, const float *x,
                     const float *g, const float *slope, const float *rest, float *dx, size_t at)
{
    vf from[2], factor[2], shift[2], b[2], c[2];
    const vf lo = v_set(p->lo), hi = v_set(p->hi);
    const int add = p->add;
    for (int k = 0; k < nv; k++) {
        const size_t m = BN_LEFT(k, nv, left), j = at + (size_t)k * VW;
        from[k] = bn_get(p->from + j, m);
        factor[k] = bn_get(p->factor + j, m);
        shift[k] = bn_get(p->shift + j, m);
        b[k] = bn_get(slope + j, m);
        c[k] = bn_get(rest + j, m);
    }
    x += at, g += at, dx += at;
    for (size_t r = 0; r < p->rows; r++, x += p->n, g += p->n, dx += p->n)
        for (int k = 0; k < nv; k++) {
            const size_t m = BN_LEFT(k, nv, left);
            const vf d = v_sub(bn_get(x + k * VW, m), from[k]);
            const vf u = bn_masked(clamped, bn_get(g + k * VW, m), d, factor[k], shift[k], lo, hi);
            vf y = v_fma(factor[k], u, v_fma(d, b[k], c[k]));
            if (add)
                y = v_add(bn_get(dx + k * VW, m), y);
            bn_put(dx + k * VW, y, m);
        }
}

V void bn_back_f32(const sqz_bn *p, const float *x, const float *g, const float *slope,
                   const float *rest, float *dx)
{
#define STRIP(nv, at, left) bn_back_strip(nv, 1, left, p, x, g, slope, rest, dx, at)
    if (p->clamped) {
        BN_STRIPS(p->n, STRIP);
        return;
    }
#undef STRIP
#define STRIP(nv, at, left) bn_back_strip(nv, 0, left, p, x, g, slope, rest, dx, at)
    BN_STRIPS(p->n, STRIP);
#undef STRIP
}
