/* vec_math.h: elementary functions on the vectors of vec_<isa>.h. Every step is an operation that
 * IEEE 754 defines, so all instruction sets give the same bits. Largest errors over all floats, in
 * units in the last place (tests/unit/test_k_map.c): exp 1.0, log 0.9, expm1 1.5, tanh 1.4,
 * sigmoid 2.4, erf 1.2, softplus 2.8. The polynomials are minimax fits of our own. */
#ifndef SQZ_VEC_MATH_H
#define SQZ_VEC_MATH_H
#include <math.h> /* and vec_<isa>.h before this file */

V vf v_abs(vf a) { return v_real(vi_and(v_bits(a), vi_set(0x7fffffff))); }
V vf v_neg(vf a) { return v_sub(v_set(-0.0f), a); }
V vf v_copysign(vf a, vf sign) /* a >= 0 */
{
    return v_real(vi_or(v_bits(a), vi_and(v_bits(sign), vi_set(INT32_MIN))));
}
/* Clamps that let NaN through. */
V vf v_most(vf a, float hi) { return v_min(v_set(hi), a); }
V vf v_least(vf a, float lo) { return v_max(v_set(lo), a); }
/* c[n-1]*x^(n-1) + ... + c[0] */
#define V_POLY(x, ...)                                                                             \
    v_poly(x, (const float[]){__VA_ARGS__}, sizeof((const float[]){__VA_ARGS__}) / sizeof(float))
V vf v_poly(vf x, const float *c, size_t n)
{
    vf y = v_set(c[n - 1]);
    for (size_t i = n - 1; i-- > 0;)
        y = v_fma(y, x, v_set(c[i]));
    return y;
}

#ifndef V_SCALE
/* a * 2^n, rounded once, for a in 0.5 .. 2 and n in -252 .. 254; k is n as an integer. */
V vf v_scale(vf a, vf n, vi k)
{
    const vi half = vi_sar1(k), bias = vi_set(127);
    (void)n;
    return v_mul(v_mul(a, v_real(vi_shl23(vi_add(half, bias)))),
                 v_real(vi_shl23(vi_add(vi_sub(k, half), bias))));
}
#endif

/* x = n ln 2 + r, |r| <= ln(2)/2; adding 1.5 * 2^23 rounds to the nearest integer, which is then in
 * the low bits. */
typedef struct v_split {
    vf n, r;
    vi k;
} v_split;
V v_split v_reduce(vf x)
{
    const vf magic = v_set(0x1.8p23f);
    const vf b = v_fma(x, v_set(0x1.715476p0f), magic);
    v_split s;
    s.n = v_sub(b, magic);
    s.k = vi_sub(v_bits(b), v_bits(magic));
    s.r = v_fma(s.n, v_set(-0x1.7f7d1cp-20f), v_fma(s.n, v_set(-0x1.62e4p-1f), x));
    return s;
}

/* e^r - 1 for |r| <= ln(2)/2 */
V vf v_exp_poly(vf r)
{
    const vf q = V_POLY(r, 4.999999404e-01f, 1.666652113e-01f, 4.166838899e-02f, 8.368716575e-03f,
                        1.381459879e-03f);
    return v_fma(q, v_mul(r, r), r);
}

V vf v_exp(vf x)
{
    const v_split s = v_reduce(v_most(v_least(x, -104), 88.8f));
    return v_scale(v_add(v_set(1), v_exp_poly(s.r)), s.n, s.k);
}

/* e^x for x <= 0 */
V vf v_exp_neg(vf x)
{
    const v_split s = v_reduce(v_least(x, -104));
    return v_scale(v_add(v_set(1), v_exp_poly(s.r)), s.n, s.k);
}

/* e^x for |x| < 87 */
V vf v_exp_normal(vf x)
{
    const v_split s = v_reduce(x);
    return v_mul(v_add(v_set(1), v_exp_poly(s.r)), v_real(vi_shl23(vi_add(s.k, vi_set(127)))));
}

/* e^x - 1 for x <= 0 */
V vf v_expm1_neg(vf x)
{
    const v_split s = v_reduce(v_most(v_least(x, -30), 0));
    const vf q = V_POLY(s.r, 0.5f, 1.666666716e-01f, 4.166597128e-02f, 8.333256468e-03f,
                        1.396224136e-03f, 1.992273901e-04f);
    const vf two_n = v_real(vi_shl23(vi_add(s.k, vi_set(127))));
    return v_fma(v_fma(q, v_mul(s.r, s.r), s.r), two_n, v_sub(two_n, v_set(1)));
}

V vf v_log(vf x)
{
    const vm tiny = v_lt(x, v_set(0x1p-126f)); /* x = 2^k (1 + f), 1 + f in sqrt(1/2) .. sqrt(2) */
    const vi i = v_bits(v_sel(tiny, v_mul(x, v_set(0x1p23f)), x));
    const vi k = vi_sar23(vi_sub(i, vi_set(0x3f3504f3)));
    const vf n = v_sub(v_of_int(k), v_sel(tiny, v_set(23), v_set(0)));
    const vf f = v_sub(v_real(vi_sub(i, vi_shl23(k))), v_set(1)), ff = v_mul(f, f);
    const vf p = V_POLY(f, 3.333333135e-01f, -2.500082254e-01f, 2.000122815e-01f, -1.662335098e-01f,
                        1.420173794e-01f, -1.316022128e-01f, 1.276175380e-01f, -7.634615153e-02f);
    vf y = v_fma(v_mul(p, f), ff, v_mul(n, v_set(0x1.7f7d1cp-20f)));
    y = v_fma(n, v_set(0x1.62e4p-1f), v_add(v_fma(ff, v_set(-0.5f), y), f));
    y = v_sel(v_lt(x, v_set(INFINITY)), y, x); /* infinity and NaN as they are */
    y = v_sel(v_lt(x, v_set(0)), v_set(NAN), y);
    return v_sel(v_eq(x, v_set(0)), v_set(-INFINITY), y);
}

/* of |x|: x + x^3 P(x^2) below 0.6, else 1 - 2 / (e^2x + 1) */
V vf v_tanh(vf x)
{
    const vf a = v_abs(x), t = v_mul(x, x);
    const vf p = V_POLY(t, -3.333329856e-01f, 1.333192438e-01f, -5.378383026e-02f, 2.079597116e-02f,
                        -5.895158276e-03f);
    const vf z = v_most(a, 9.05f), e = v_exp_normal(v_add(z, z));
    const vf large = v_sub(v_set(1), v_div(v_set(2), v_add(e, v_set(1))));
    return v_copysign(v_sel(v_lt(a, v_set(0.6f)), v_fma(v_mul(p, t), a, a), large), x);
}

V vf v_sigmoid(vf x)
{
    const vf e = v_exp_neg(v_neg(v_abs(x)));
    return v_div(v_sel(v_lt(x, v_set(0)), e, v_set(1)), v_add(e, v_set(1)));
}

/* of |x|: x + x P(x^2) below 1, else 1 - e^-Q(x), Q fitted to -ln(erfc(x)) */
V vf v_erf(vf x)
{
    const vf a = v_abs(x), z = v_most(a, 4);
    const vf p = V_POLY(v_mul(x, x), 1.283791661e-01f, -3.761262596e-01f, 1.128358543e-01f,
                        -2.685381286e-02f, 5.188327748e-03f, -8.010193706e-04f, 7.853861462e-05f);
    const vf q = V_POLY(z, 3.415232641e-04f, 1.127089143e+00f, 6.381448507e-01f, 1.031067520e-01f,
                        -2.183806337e-02f, 2.947658068e-03f, -1.863791695e-04f);
    const vf large = v_sub(v_set(1), v_exp_normal(v_neg(q)));
    return v_copysign(v_sel(v_lt(a, v_set(1)), v_fma(p, a, a), large), x);
}

/* max(x, 0) + ln(1 + u), u = e^-|x|: ln(1 + u) = 2 artanh(u / (2 + u)) */
V vf v_softplus(vf x)
{
    const vf u = v_exp_neg(v_neg(v_abs(x))), s = v_div(u, v_add(u, v_set(2))), t = v_mul(s, s);
    const vf p = V_POLY(t, 6.666667461e-01f, 3.999888301e-01f, 2.861673236e-01f, 2.142912447e-01f,
                        2.429618090e-01f);
    return v_add(v_max(x, v_set(0)), v_fma(v_mul(p, t), s, v_add(s, s)));
}

/* x * s, where s goes to 0 faster than x to infinity */
V vf v_gate(vf x, vf s) { return v_sel(v_eq(s, v_set(0)), v_set(0), v_mul(x, s)); }
V vf v_swish(vf x, vf alpha) { return v_gate(x, v_sigmoid(v_mul(alpha, x))); }

/* x tanh(ln(1 + e^x)) = x w / (w + 2), w = e^x (e^x + 2) */
V vf v_mish(vf x)
{
    const vf n = v_exp(v_most(x, 20)), w = v_mul(n, v_add(n, v_set(2)));
    return v_gate(x, v_div(w, v_add(w, v_set(2))));
}

/* x/2 (1 + s); -infinity gives 0 */
V vf v_half_gate(vf x, vf s)
{
    const vf h = v_least(v_mul(x, v_set(0.5f)), -0x1.fffffep127f);
    return v_fma(h, s, h);
}
V vf v_gelu(vf x) { return v_half_gate(x, v_erf(v_mul(x, v_set(0x1.6a09e6p-1f)))); }
/* with tanh(sqrt(2/pi) (x + 0.044715 x^3)) */
V vf v_gelu_tanh(vf x)
{
    const vf c = v_fma(v_mul(x, x), v_set(0.044715f * 0.7978845608f), v_set(0.7978845608f));
    return v_half_gate(x, v_tanh(v_mul(x, c)));
}
#endif
