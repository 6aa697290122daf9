/* gemm_s8 with vpdpbusd in the VEX encoding; see gemm_s8_ymm.h. */
#include "kernels/gemm_s8_ymm.h"

void sqz_gemm_s8_avxvnni(const sqz_packed *w, size_t begin, size_t end, const sqz_left *l,
                         const sqz_out_s8 *o)
{
    gemm_s8_ymm(w, begin, end, l, o);
}
