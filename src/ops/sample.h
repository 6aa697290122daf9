/* sample.h: reading an image of one to three spatial axes between its pixels: which pixels count,
 * and how much. Shared by grid_sample and deform_conv. */
#ifndef SQZ_SAMPLE_H
#define SQZ_SAMPLE_H
#include "ir/op.h"

typedef enum sqz_sample_mode {
    SQZ_SAMPLE_LINEAR,
    SQZ_SAMPLE_NEAREST,
    SQZ_SAMPLE_CUBIC /* Keys' kernel, a = -0.75 */
} sqz_sample_mode;
typedef enum sqz_sample_padding { /* what lies outside */
                                  SQZ_SAMPLE_ZEROS,
                                  SQZ_SAMPLE_BORDER,
                                  SQZ_SAMPLE_REFLECTION
} sqz_sample_padding;

#define SQZ_SAMPLE_AXES 3
#define SQZ_SAMPLE_TAPS 64
typedef struct sqz_sampler {
    int32_t n; /* axes, at most SQZ_SAMPLE_AXES */
    int64_t size[SQZ_SAMPLE_AXES];
    sqz_sample_mode mode;
    sqz_sample_padding padding;
    bool align_corners; /* reflection is about the centers of the border pixels, not their edges */
} sqz_sampler;
typedef struct sqz_samples {
    unsigned n;
    size_t at[SQZ_SAMPLE_TAPS]; /* flat index of a pixel */
    float weight[SQZ_SAMPLE_TAPS];
} sqz_samples;

/* The same with how much each weight changes along each axis; pixels of weight 0 are there too. */
typedef struct sqz_sample_slopes {
    sqz_samples s;
    float slope[SQZ_SAMPLE_TAPS][SQZ_SAMPLE_AXES];
} sqz_sample_slopes;
void sqz_sample_grad(const sqz_sampler *s, const float *x, sqz_sample_slopes *out);
/* The pixels around x, one coordinate for each axis (0 is the center of the first pixel). Pixels
 * outside are left out, or replaced, by the padding. Any float is a coordinate. */
void sqz_sample(const sqz_sampler *s, const float *x, sqz_samples *out);
#endif
