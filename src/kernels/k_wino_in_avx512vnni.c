/* wino_in, 16 channels at a time. */
#include "kernels/kernels.h"
#include <immintrin.h>

typedef __m512 vec;
enum { WIDTH = 16 };
#define LANES(n)   ((__mmask16)(0xffffu >> (16 - (n))))
#define LOAD(p, n) ((n) == WIDTH ? _mm512_loadu_ps(p) : _mm512_maskz_loadu_ps(LANES(n), p))
#define STORE(p, v, n)                                                                             \
    ((n) == WIDTH ? _mm512_storeu_ps(p, v) : _mm512_mask_storeu_ps(p, LANES(n), v))
#define SET  _mm512_set1_ps
#define ADD  _mm512_add_ps
#define SUB  _mm512_sub_ps
#define FMA  _mm512_fmadd_ps
#define FNMA _mm512_fnmadd_ps
#include "kernels/wino_in.h"

void sqz_wino_in_avx512vnni(const sqz_wino_in *s)
{
    if (s->m == 4)
        strip(4, s);
    else
        strip(2, s);
}
