/* mixing.c: see mixing.h. */
#include "train/mixing.h"
#include "base/draw.h"
#include "train/source.h"

#define MIXUP 0x6d69787570u /* keeps these draws apart from those of others with the same seed */

bool sqz_one_hot(float label, size_t classes, double smoothing, float *row)
{
    if (!(label >= 0 && label < (float)classes) || label != (float)(size_t)label)
        return false;
    const float rest = (float)(smoothing / (double)classes);
    for (size_t i = 0; i < classes; i++)
        row[i] = rest;
    row[(size_t)label] = (float)(1 - smoothing + smoothing / (double)classes);
    return true;
}

void sqz_mixing_draw(uint64_t seed, uint64_t epoch, int64_t step, double alpha, size_t batch,
                     sqz_mixing *m)
{
    sqz_rng r = {.seed = sqz_rng_key(seed, epoch, MIXUP, (uint64_t)step)};
    m->share = (float)sqz_rng_beta(&r, alpha);
    for (size_t i = 0; i < batch; i++)
        m->partner[i] = (int64_t)i;
    sqz_order_shuffle(&r, batch, m->partner);
}

void sqz_mixing_apply(const sqz_mixing *m, size_t begin, size_t end, size_t n, const float *in,
                      float *out)
{
    const float other = 1 - m->share;
    for (size_t i = begin; i < end; i++, out += n) {
        const float *a = in + i * n, *b = in + (size_t)m->partner[i] * n;
        for (size_t k = 0; k < n; k++)
            out[k] = m->share * a[k] + other * b[k];
    }
}
