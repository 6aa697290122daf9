/* transpose_b4 in blocks of 4 x 4; three rows (the planes of an image) are woven 4 pixels at a
 * time, three columns taken apart likewise. */
#include "kernels/kernels.h"
#include <arm_neon.h>

static inline void block(const uint32_t *x, size_t ldx, uint32_t *y, size_t ldy)
{
    const uint32x4_t a = vld1q_u32(x), b = vld1q_u32(x + ldx);
    const uint32x4_t c = vld1q_u32(x + 2 * ldx), d = vld1q_u32(x + 3 * ldx);
    const uint64x2_t ab0 = vreinterpretq_u64_u32(vzip1q_u32(a, b));
    const uint64x2_t ab1 = vreinterpretq_u64_u32(vzip2q_u32(a, b));
    const uint64x2_t cd0 = vreinterpretq_u64_u32(vzip1q_u32(c, d));
    const uint64x2_t cd1 = vreinterpretq_u64_u32(vzip2q_u32(c, d));
    vst1q_u32(y, vreinterpretq_u32_u64(vzip1q_u64(ab0, cd0)));
    vst1q_u32(y + ldy, vreinterpretq_u32_u64(vzip2q_u64(ab0, cd0)));
    vst1q_u32(y + 2 * ldy, vreinterpretq_u32_u64(vzip1q_u64(ab1, cd1)));
    vst1q_u32(y + 3 * ldy, vreinterpretq_u32_u64(vzip2q_u64(ab1, cd1)));
}

static void weave3(size_t n, const uint32_t *x, size_t ldx, uint32_t *y)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const uint32x4x3_t v = {
            {vld1q_u32(x + i), vld1q_u32(x + ldx + i), vld1q_u32(x + 2 * ldx + i)}};
        vst3q_u32(y + 3 * i, v);
    }
    sqz_transpose_b4_scalar(3, n - i, x + i, ldx, y + 3 * i, 3);
}

static void part3(size_t n, const uint32_t *x, uint32_t *y, size_t ldy)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const uint32x4x3_t v = vld3q_u32(x + 3 * i);
        for (size_t k = 0; k < 3; k++)
            vst1q_u32(y + k * ldy + i, v.val[k]);
    }
    sqz_transpose_b4_scalar(n - i, 3, x + 3 * i, 3, y + i, ldy);
}

void sqz_transpose_b4_neondot(size_t rows, size_t cols, const void *px, size_t ldx, void *py,
                              size_t ldy)
{
    const uint32_t *x = px;
    uint32_t *y = py;
    if (rows == 3 && ldy == 3) {
        weave3(cols, x, ldx, y);
    } else if (cols == 3 && ldx == 3) {
        part3(rows, x, y, ldy);
    } else if (rows < 4 || cols < 4) {
        sqz_transpose_b4_scalar(rows, cols, x, ldx, y, ldy);
    } else {
        for (size_t j = 0; j < cols; j += 4) {
            const size_t j0 = cols - j < 4 ? cols - 4 : j; /* the last block once more covers the */
            for (size_t i = 0; i < rows; i += 4) {         /* rest, in both directions */
                const size_t i0 = rows - i < 4 ? rows - 4 : i;
                block(x + i0 * ldx + j0, ldx, y + j0 * ldy + i0, ldy);
            }
        }
    }
}
