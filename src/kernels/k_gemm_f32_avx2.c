/* gemm_f32 with 256-bit fused multiply-adds: tiles whose sums stay in registers over all of k, as
 * many as hide the latency: 6 rows of one panel (two registers), fewer rows of several, or 10 rows
 * of a last panel with at most 8 outputs. */
#include "kernels/vec_avx2.h"
enum { ROWS = 10, VECTORS = 8 };
#include "kernels/gemm_f32.h"

#define UP_TO_3(vectors)                                                                           \
    TILE(1, vectors)                                                                               \
    TILE(2, vectors)                                                                               \
    TILE(3, vectors)
#define UP_TO_6(vectors)                                                                           \
    UP_TO_3(vectors)                                                                               \
    TILE(4, vectors)                                                                               \
    TILE(5, vectors)                                                                               \
    TILE(6, vectors)
UP_TO_6(1)
TILE(7, 1)
TILE(8, 1)
TILE(9, 1)
TILE(10, 1)
UP_TO_6(2)
UP_TO_3(4)
TILE(1, 8)

#define FROM_1(vectors)                                                                            \
    tile_1_##vectors, tile_2_##vectors, tile_3_##vectors, tile_4_##vectors, tile_5_##vectors,      \
        tile_6_##vectors
static const shape shapes[] = {
    {1, 10, {FROM_1(1), tile_7_1, tile_8_1, tile_9_1, tile_10_1}},
    {2, 6, {FROM_1(2)}},
    {4, 3, {tile_1_4, tile_2_4, tile_3_4}},
    {8, 1, {tile_1_8}},
};

void sqz_gemm_f32_avx2(const sqz_packed *w, size_t begin, size_t end, const sqz_left *l,
                       const sqz_out_f32 *o)
{
    gemm_f32(shapes, &shapes[l->m == 1 ? 3 : l->m <= 3 ? 2 : 1], w, begin, end, l, o);
}
