/* wino_out, 8 channels at a time. */
#include "kernels/kernels.h"
#include <immintrin.h>

typedef __m256 vec;
enum { WIDTH = 8 };
#define LANES(n)                                                                                   \
    _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
#define LOAD(p, n)     ((n) == WIDTH ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, LANES(n)))
#define STORE(p, v, n) ((n) == WIDTH ? _mm256_storeu_ps(p, v) : _mm256_maskstore_ps(p, LANES(n), v))
#define SET            _mm256_set1_ps
#define ADD            _mm256_add_ps
#define SUB            _mm256_sub_ps
#define MUL            _mm256_mul_ps
#define MIN            _mm256_min_ps
#define MAX            _mm256_max_ps
#define FMA            _mm256_fmadd_ps
#include "kernels/wino_out.h"

void sqz_wino_out_avx2(const sqz_wino_out *s)
{
    if (s->m == 4)
        strip(4, s);
    else
        strip(2, s);
}
