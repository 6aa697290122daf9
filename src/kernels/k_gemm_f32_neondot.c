/* gemm_f32 with NEON: a panel is four registers; tiles of 5 rows of a panel, or 8 of a half one,
 * leave registers for the weights and for a number of each row. */
#include "kernels/vec_neon.h"
enum { ROWS = 8, VECTORS = 8 };
#include "kernels/gemm_f32.h"

#define UP_TO_5(vectors)                                                                           \
    TILE(1, vectors)                                                                               \
    TILE(2, vectors)                                                                               \
    TILE(3, vectors)                                                                               \
    TILE(4, vectors)                                                                               \
    TILE(5, vectors)
UP_TO_5(2)
TILE(6, 2)
TILE(7, 2)
TILE(8, 2)
UP_TO_5(4)
TILE(1, 8)
TILE(2, 8)

#define FROM_1(vectors)                                                                            \
    tile_1_##vectors, tile_2_##vectors, tile_3_##vectors, tile_4_##vectors, tile_5_##vectors
static const shape shapes[] = {
    {2, 8, {FROM_1(2), tile_6_2, tile_7_2, tile_8_2}},
    {4, 5, {FROM_1(4)}},
    {8, 2, {tile_1_8, tile_2_8}}, /* few rows: loads of weights one behind the other */
};

void sqz_gemm_f32_neondot(const sqz_packed *w, size_t begin, size_t end, const sqz_left *l,
                          const sqz_out_f32 *o)
{
    gemm_f32(shapes, &shapes[l->m <= 2 ? 2 : 1], w, begin, end, l, o);
}
